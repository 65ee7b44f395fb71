//! A whole catalog as one document: what `willcall catalog build` leaves for hosts that see neither the operator's
//! file nor the data's directories.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Catalog, Dataset, Upstream};
use crate::{Timestamp, account::Plan, id::is_name};

/// The version of the document's form. It goes up when a reader that does not know the new form would allow or tell
/// something else than was meant.
pub const CATALOG_SCHEMA: u32 = 1;

/// A catalog with everything that was read from its data sets, and when that was.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltCatalog {
    /// The catalog.
    pub catalog: Catalog,
    /// When its data sets were inspected.
    pub built: Timestamp,
}

/// A document is no catalog that this version can serve.
#[derive(Debug, thiserror::Error)]
pub enum BuiltCatalogError {
    /// It is not JSON, or not of the form that its version says.
    #[error("not a built catalog")]
    Form(#[source] serde_json::Error),
    /// A newer version wrote it.
    #[error("the catalog has form {found}; this version reads up to {CATALOG_SCHEMA}")]
    Newer {
        /// Its form.
        found: u32,
    },
    /// Its parts do not fit together.
    #[error("{place}: {detail}")]
    Inconsistent {
        /// The part, as a path of keys.
        place: String,
        /// What does not fit.
        detail: String,
    },
}

/// What every form has.
#[derive(Deserialize)]
struct AnyForm {
    schema: u32,
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    built: Timestamp,
    hash: String,
    default_plan: String,
    plans: BTreeMap<String, Plan>,
    datasets: BTreeMap<String, Arc<Dataset>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    upstreams: BTreeMap<String, Arc<Upstream>>,
}

impl BuiltCatalog {
    /// The document.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let catalog = self.catalog.clone();
        serde_json::to_vec(&Document {
            schema: CATALOG_SCHEMA,
            built: self.built,
            hash: catalog.hash,
            default_plan: catalog.default_plan,
            plans: catalog.plans,
            datasets: catalog.datasets,
            upstreams: catalog.upstreams,
        })
    }

    /// Reads a document, and refuses one whose parts do not fit together: whoever serves it does not look again.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BuiltCatalogError> {
        // Alone first: the rest of a newer form may look different.
        let AnyForm { schema } = serde_json::from_slice(bytes).map_err(BuiltCatalogError::Form)?;
        if schema > CATALOG_SCHEMA {
            return Err(BuiltCatalogError::Newer { found: schema });
        }
        let document: Document = serde_json::from_slice(bytes).map_err(BuiltCatalogError::Form)?;
        let Document { built, hash, default_plan, plans, datasets, upstreams, .. } = document;
        let catalog = Catalog { hash, datasets, upstreams, plans, default_plan };
        catalog.check()?;
        Ok(Self { catalog, built })
    }
}

impl Catalog {
    /// Whether everything that is named is there, and every name is one.
    fn check(&self) -> Result<(), BuiltCatalogError> {
        let wrong = |place: String, detail: &str| {
            Err(BuiltCatalogError::Inconsistent { place, detail: detail.to_owned() })
        };
        let is_digest = self.hash.len() == 64 && self.hash.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_digest {
            return wrong("hash".into(), "is not a SHA-256");
        }
        if !self.plans.contains_key(&self.default_plan) {
            return wrong("default_plan".into(), "is not among the plans");
        }
        for (name, plan) in &self.plans {
            let place = format!("plans.{name}");
            if !is_name(name) || plan.name != *name {
                return wrong(place, "is not the plan's name");
            }
            let limits = [
                Some(plan.max_records),
                Some(plan.max_open_jobs.into()),
                Some(plan.retention_days.into()),
                plan.submits_per_minute.map(u64::from),
                plan.max_records_per_day,
                plan.max_bytes_per_day,
            ];
            if limits.contains(&Some(0)) {
                return wrong(place, "allows nothing");
            }
            if plan.datasets.iter().flatten().any(|dataset| !self.datasets.contains_key(dataset)) {
                return wrong(place + ".datasets", "names a data set that is not there");
            }
            if plan.upstreams.iter().flatten().any(|upstream| !self.upstreams.contains_key(upstream)) {
                return wrong(place + ".upstreams", "names an upstream that is not there");
            }
        }
        for (name, dataset) in &self.datasets {
            let place = format!("datasets.{name}");
            if !is_name(name) || dataset.name != *name {
                return wrong(place, "is not the data set's name");
            }
            dataset.check().map_err(|(below, detail)| BuiltCatalogError::Inconsistent {
                place: place + below,
                detail,
            })?;
        }
        for (name, upstream) in &self.upstreams {
            let place = format!("upstreams.{name}");
            if !is_name(name) || upstream.name != *name {
                return wrong(place, "is not the upstream's name");
            }
            let counts = [upstream.concurrency, upstream.workers, upstream.retries.attempts];
            if counts.contains(&0) || upstream.timeout.is_zero() || upstream.max_response_bytes == 0 {
                return wrong(place, "allows nothing");
            }
            if upstream.rate.is_some_and(|rate| rate.calls == 0 || rate.per.is_zero()) {
                return wrong(place + ".rate", "allows nothing");
            }
        }
        Ok(())
    }
}

impl Dataset {
    /// What does not fit, and the place of it below the data set's.
    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.source.location.is_empty() {
            return Err((".source", "is nowhere".into()));
        }
        if self.facts.version.is_empty() {
            return Err((".facts", "have no version".into()));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = self.facts.columns.iter().find(|column| !seen.insert(&column.name)) {
            return Err((".facts.columns", format!("name {:?} twice", twice.name)));
        }
        for (name, view) in &self.views {
            if !is_name(name) || view.fields.is_empty() {
                return Err((".views", format!("{name:?} is not a view")));
            }
            view.fits(&self.facts.columns).map_err(|detail| (".views", format!("{name:?}: {detail}")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::{Column, ColumnType, DatasetFacts, DatasetSource, TimeUnit, UpstreamEntry, View};

    fn built() -> BuiltCatalog {
        let zone = Some("UTC".to_owned());
        let nested = ColumnType::List(Box::new(ColumnType::Struct(vec![Column {
            name: "price".into(),
            data_type: ColumnType::Decimal { precision: 12, scale: 2 },
            nullable: true,
        }])));
        let types = [
            ("carrier", ColumnType::Text),
            ("flight", ColumnType::Int { bits: 32, signed: true }),
            ("at", ColumnType::Timestamp { unit: TimeUnit::Microsecond, zone }),
            ("fares", nested),
            ("odd", ColumnType::Other("Interval(DayTime)".into())),
        ];
        let columns = types.map(|(name, data_type)| Column { name: name.into(), data_type, nullable: false });
        let view = View { description: "what flies".into(), fields: vec!["flight".into(), "carrier".into()] };
        let flights = Dataset {
            name: "flights".into(),
            description: "departures".into(),
            source: DatasetSource::at("s3://bucket/datasets/flights/1/"),
            views: BTreeMap::from([("short".to_owned(), view)]),
            facts: DatasetFacts {
                columns: columns.into(),
                records: Some(u64::MAX),
                bytes: 1 << 40,
                files: 2,
                version: "v".into(),
                updated: Some(Timestamp::from_millis(1_780_000_000_123)),
                statistics: None,
            },
        };
        let pro = Plan {
            datasets: Some(["flights".to_owned()].into()),
            upstreams: Some(["enrich".to_owned()].into()),
            ..Plan::default_named("pro")
        };
        let enrich = r#"
            method = "POST"
            url = "https://api.test/{id}"
            rate = "5/1s"
            headers = { authorization = { env = "TOKEN", prefix = "Bearer " }, accept = "text/plain" }
            input = { type = "object" }
            allow = ["10.0.0.0/8"]
        "#;
        let enrich = toml::from_str::<UpstreamEntry>(enrich).unwrap().check("enrich").unwrap();
        let catalog = Catalog {
            hash: "a".repeat(64),
            datasets: BTreeMap::from([("flights".to_owned(), Arc::new(flights))]),
            upstreams: BTreeMap::from([("enrich".to_owned(), Arc::new(enrich))]),
            plans: [Plan::default_named("free"), pro].map(|plan| (plan.name.clone(), plan)).into(),
            default_plan: "free".into(),
        };
        BuiltCatalog { catalog, built: Timestamp::from_millis(1_780_000_000_456) }
    }

    fn document() -> Value {
        serde_json::from_slice(&built().to_json().unwrap()).unwrap()
    }

    fn refused(document: &Value) -> String {
        let error = BuiltCatalog::from_json(document.to_string().as_bytes()).unwrap_err();
        match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn a_catalog_is_read_as_it_was_written() {
        let bytes = built().to_json().unwrap();
        assert_eq!(BuiltCatalog::from_json(&bytes).unwrap(), built());
        assert_eq!(document()["schema"], json!(CATALOG_SCHEMA));
        assert_eq!(document()["built"], json!("2026-05-28T20:26:40.456Z"));
    }

    #[test]
    fn a_newer_form_is_refused_whatever_it_looks_like() {
        assert_eq!(refused(&json!({ "schema": 2 })), "the catalog has form 2; this version reads up to 1");
        let mut newer = document();
        newer["schema"] = json!(7);
        newer["plans"] = json!([]);
        assert_eq!(refused(&newer), "the catalog has form 7; this version reads up to 1");
    }

    #[test]
    fn what_is_no_catalog_is_refused() {
        for (text, said) in [
            ("", "EOF"),
            ("null", "not a built catalog"),
            ("{}", "missing field `schema`"),
            (r#"{"schema":1}"#, "missing field"),
            (r#"{"schema":"1"}"#, "invalid type"),
        ] {
            let error = BuiltCatalog::from_json(text.as_bytes()).unwrap_err();
            let words = format!("{error}: {:?}", std::error::Error::source(&error).unwrap());
            assert!(words.contains(said), "{text}: {words}");
        }
        let bytes = built().to_json().unwrap();
        assert!(BuiltCatalog::from_json(&bytes[..bytes.len() - 1]).is_err(), "cut short");
    }

    #[test]
    fn parts_that_do_not_fit_together_are_named() {
        type Damage = fn(&mut Value);
        let cases: [(Damage, &str); 22] = [
            (|d| d["hash"] = json!("x"), "hash: is not a SHA-256"),
            (|d| d["default_plan"] = json!("gold"), "default_plan: is not among the plans"),
            (|d| d["plans"]["free"]["name"] = json!("pro"), "plans.free: is not the plan's name"),
            (|d| d["plans"]["free"]["max_records"] = json!(0), "plans.free: allows nothing"),
            (|d| d["plans"]["free"]["retention_days"] = json!(0), "plans.free: allows nothing"),
            (|d| d["plans"]["free"]["submits_per_minute"] = json!(0), "plans.free: allows nothing"),
            (|d| d["plans"]["free"]["max_bytes_per_day"] = json!(0), "plans.free: allows nothing"),
            (|d| d["plans"]["pro"]["datasets"] = json!(["gone"]), "plans.pro.datasets: names a data set"),
            (|d| d["plans"]["pro"]["formats"] = json!(["docx"]), "not a built catalog"),
            (|d| d["plans"]["pro"]["upstreams"] = json!(["gone"]), "plans.pro.upstreams: names an upstream"),
            (|d| d["upstreams"]["enrich"]["name"] = json!("x"), "upstreams.enrich: is not the upstream's"),
            (|d| d["upstreams"]["enrich"]["workers"] = json!(0), "upstreams.enrich: allows nothing"),
            (
                |d| d["upstreams"]["enrich"]["rate"]["calls"] = json!(0),
                "upstreams.enrich.rate: allows nothing",
            ),
            (|d| d["upstreams"]["enrich"]["url"] = json!("https://{x}/"), "has a member in its host"),
            (|d| d["upstreams"]["enrich"]["input"] = json!({ "$ref": "#" }), "is not a member of schemas"),
            (|d| d["datasets"]["flights"]["name"] = json!("x"), "datasets.flights: is not the data set's"),
            (|d| d["datasets"]["flights"]["source"]["location"] = json!(""), "datasets.flights.source"),
            (|d| d["datasets"]["flights"]["facts"]["version"] = json!(""), "datasets.flights.facts"),
            (
                |d| d["datasets"]["flights"]["facts"]["columns"][0]["name"] = json!("flight"),
                "datasets.flights.facts.columns: name \"flight\" twice",
            ),
            (
                |d| d["datasets"]["flights"]["views"]["short"]["fields"] = json!(["nope"]),
                "datasets.flights.views: \"short\": there is no column \"nope\"",
            ),
            (
                |d| d["datasets"]["flights"]["views"]["short"]["fields"] = json!([]),
                "datasets.flights.views: \"short\" is not a view",
            ),
            (|d| d["built"] = json!("yesterday"), "not a built catalog"),
        ];
        for (damage, said) in cases {
            let mut document = document();
            damage(&mut document);
            let words = refused(&document);
            assert!(words.contains(said), "{said}\n{words}");
        }
    }
}
