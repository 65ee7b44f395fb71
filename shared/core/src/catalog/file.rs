//! `willcall.toml`: what the operator writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    CatalogFileError, DatasetSource, PricesEntry, S3Entry, Upstream, UpstreamEntry, View,
    column_entry::{ColumnEntry, declared},
    location::absolute,
    unread,
};
use crate::{account::Plan, format::Format, id::is_name, webhook::AllowList};

/// The catalog as it is written, checked for everything that can be seen without the data.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogFile {
    /// SHA-256 of the text, in lower-case hexadecimal.
    pub hash: String,
    /// The data sets by name, their locations made absolute.
    pub datasets: BTreeMap<String, DatasetEntry>,
    /// The upstreams by name.
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// The plans by name.
    pub plans: BTreeMap<String, Plan>,
    /// The plan of new accounts: the one marked `default = true`, or the only one.
    pub default_plan: String,
    /// What webhooks may reach beside the public internet. A host reads it once, when it starts.
    pub webhooks: AllowList,
    /// Where data sets in S3 lie. A host reads it once, when it starts.
    pub s3: S3Entry,
}

/// A data set as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetEntry {
    /// What it holds.
    pub description: String,
    /// Where its files are.
    pub source: DatasetSource,
    /// Its views.
    pub views: BTreeMap<String, View>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    datasets: BTreeMap<String, RawDataset>,
    #[serde(default)]
    upstreams: BTreeMap<String, UpstreamEntry>,
    #[serde(default)]
    plans: BTreeMap<String, PlanEntry>,
    #[serde(default)]
    webhooks: RawWebhooks,
    #[serde(default)]
    s3: S3Entry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhooks {
    #[serde(default)]
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDataset {
    #[serde(default)]
    description: String,
    path: String,
    columns: Option<Vec<ColumnEntry>>,
    #[serde(default)]
    views: BTreeMap<String, ViewEntry>,
}

/// A view as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewEntry {
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Its fields, in order.
    pub fields: Vec<String>,
}

/// A plan as it is written: what is left out is as [`Plan::default_named`] says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanEntry {
    /// Whether new accounts have it.
    #[serde(default)]
    pub default: bool,
    /// The most records of one job.
    pub max_records: Option<u64>,
    /// The most jobs at once.
    pub max_open_jobs: Option<u32>,
    /// The most submits a minute.
    pub submits_per_minute: Option<u32>,
    /// The most records delivered a day.
    pub max_records_per_day: Option<u64>,
    /// The most bytes of results a day.
    pub max_bytes_per_day: Option<u64>,
    /// Days that results are kept.
    pub retention_days: Option<u32>,
    /// The data sets that it may read.
    pub datasets: Option<BTreeSet<String>>,
    /// The upstreams that it may call.
    pub upstreams: Option<BTreeSet<String>>,
    /// Whether `sql` is allowed.
    pub sql: Option<bool>,
    /// The formats that it may ask for.
    pub formats: Option<BTreeSet<String>>,
    /// What its jobs cost.
    pub prices: Option<PricesEntry>,
}

impl CatalogFile {
    /// Reads and checks a catalog file. Relative paths are taken from the file's own directory.
    pub fn read(path: &Path) -> Result<Self, CatalogFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CatalogFileError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a catalog file that stands at `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, CatalogFileError> {
        let raw: Raw = unread::read(text)
            .map_err(|errors| CatalogFileError::Syntax { path: path.to_owned(), errors })?;
        let wrong =
            |place: String, detail: String| CatalogFileError::Value { path: path.to_owned(), place, detail };

        let base = path.parent().unwrap_or(Path::new(""));
        let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
        let mut datasets = BTreeMap::new();
        for (name, entry) in raw.datasets {
            let place = format!("datasets.{name}");
            check_name(&name).map_err(|detail| wrong(place.clone(), detail))?;
            let location =
                absolute(&entry.path, &base).map_err(|detail| wrong(format!("{place}.path"), detail))?;
            let mut views = BTreeMap::new();
            for (view, entry) in entry.views {
                let place = format!("{place}.views.{view}");
                check_name(&view).map_err(|detail| wrong(place.clone(), detail))?;
                if entry.fields.is_empty() {
                    return Err(wrong(place + ".fields", "is empty: name at least one column".into()));
                }
                views.insert(view, View { description: entry.description, fields: entry.fields });
            }
            let columns = entry.columns.map(|columns| declared(columns, &location)).transpose();
            let columns = columns.map_err(|(at, detail)| wrong(format!("{place}.columns{at}"), detail))?;
            let source = DatasetSource { location, columns };
            datasets.insert(name, DatasetEntry { description: entry.description, source, views });
        }

        let mut upstreams = BTreeMap::new();
        for (name, entry) in raw.upstreams {
            let place = format!("upstreams.{name}");
            check_name(&name).map_err(|detail| wrong(place.clone(), detail))?;
            let upstream =
                entry.check(&name).map_err(|(below, detail)| wrong(format!("{place}.{below}"), detail))?;
            upstreams.insert(name, Arc::new(upstream));
        }

        let mut plans = BTreeMap::new();
        let mut default_plan = None;
        for (name, entry) in raw.plans {
            let place = format!("plans.{name}");
            check_name(&name).map_err(|detail| wrong(place.clone(), detail))?;
            for dataset in entry.datasets.iter().flatten() {
                if !datasets.contains_key(dataset) {
                    return Err(wrong(place + ".datasets", format!("there is no data set {dataset:?}")));
                }
            }
            for upstream in entry.upstreams.iter().flatten() {
                if !upstreams.contains_key(upstream) {
                    return Err(wrong(place + ".upstreams", format!("there is no upstream {upstream:?}")));
                }
            }
            if entry.default
                && let Some(other) = default_plan.replace(name.clone())
            {
                return Err(wrong(place + ".default", format!("plan {other:?} is the default already")));
            }
            let plan = entry.into_plan(&name).map_err(|detail| wrong(place, detail))?;
            plans.insert(name, plan);
        }
        if default_plan.is_none() && plans.len() > 1 {
            let detail = "there are several: say `default = true` in the one that new accounts get";
            return Err(wrong("plans".into(), detail.into()));
        }
        let default_plan =
            default_plan.or_else(|| plans.keys().next().cloned()).unwrap_or_else(|| "default".into());
        plans.entry(default_plan.clone()).or_insert_with(|| Plan::default_named(&default_plan));

        let webhooks = AllowList::parse(&raw.webhooks.allow)
            .map_err(|error| wrong("webhooks.allow".into(), error.to_string()))?;
        raw.s3.check().map_err(|(member, detail)| wrong(format!("s3.{member}"), detail))?;
        let hash = hex::encode(Sha256::digest(text.as_bytes()));
        Ok(Self { hash, datasets, upstreams, plans, default_plan, webhooks, s3: raw.s3 })
    }
}

impl PlanEntry {
    fn into_plan(self, name: &str) -> Result<Plan, String> {
        let default = Plan::default_named(name);
        let positive = |member: &str, value: Option<u32>| match value {
            Some(0) => Err(format!("{member} must be at least 1")),
            other => Ok(other),
        };
        for (member, value) in [
            ("max_records", self.max_records),
            ("max_records_per_day", self.max_records_per_day),
            ("max_bytes_per_day", self.max_bytes_per_day),
        ] {
            if value == Some(0) {
                return Err(format!("{member} must be at least 1"));
            }
        }
        let formats = self
            .formats
            .map(|names| names.iter().map(|name| name.parse::<Format>()).collect::<Result<_, _>>())
            .transpose()?;
        Ok(Plan {
            max_records: self.max_records.unwrap_or(default.max_records),
            max_open_jobs: positive("max_open_jobs", self.max_open_jobs)?.unwrap_or(default.max_open_jobs),
            submits_per_minute: positive("submits_per_minute", self.submits_per_minute)?,
            max_records_per_day: self.max_records_per_day,
            max_bytes_per_day: self.max_bytes_per_day,
            retention_days: positive("retention_days", self.retention_days)?
                .unwrap_or(default.retention_days),
            datasets: self.datasets,
            upstreams: self.upstreams,
            sql: self.sql.unwrap_or(default.sql),
            formats,
            prices: self.prices.map(PricesEntry::into_prices).transpose()?,
            name: default.name,
        })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if is_name(name) {
        Ok(())
    } else {
        Err("is not a name: use a-z, 0-9, - and _, at most 64 characters, a letter or digit first".into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::catalog::{HeaderSource, Rate, Retries, SecretRef, UpstreamMethod};

    fn parse(text: &str) -> Result<CatalogFile, String> {
        CatalogFile::parse(text, Path::new("/data/willcall.toml")).map_err(|e| e.to_string())
    }

    #[test]
    fn a_whole_catalog_is_read() {
        let file = parse(
            r#"
            [datasets.flights]
            description = "departures"
            path = "flights.parquet"
            [datasets.flights.views.delays]
            fields = ["carrier", "dep_delay"]
            [datasets.far]
            path = "s3://bucket/far/"
            [datasets.leads]
            path = "leads.csv.gz"
            columns = [{ name = "id", type = "int64", nullable = false }, { name = "at", type = "timestamp" }]
            [plans.free]
            default = true
            [plans.pro]
            max_records = 5
            submits_per_minute = 60
            max_records_per_day = 1_000_000
            max_bytes_per_day = 1_000_000_000
            datasets = ["flights"]
            formats = ["csv", "jsons"]
            prices = { currency = "EUR", per_million_records = 2, per_gib_read = 0.005 }
            "#,
        )
        .unwrap();
        assert_eq!(file.datasets["flights"].source.location, "/data/flights.parquet");
        assert_eq!(file.datasets["far"].source.location, "s3://bucket/far/");
        let columns = file.datasets["leads"].source.columns.as_ref().unwrap();
        let told: Vec<_> =
            columns.iter().map(|c| (c.name.as_str(), c.data_type.to_string(), c.nullable)).collect();
        assert_eq!(told, [("id", "int64".into(), false), ("at", "timestamp(microsecond)".into(), true)]);
        assert_eq!(file.datasets["far"].source.columns, None);
        assert_eq!(file.default_plan, "free");
        assert_eq!(file.plans["free"].max_records, 1000);
        let pro = &file.plans["pro"];
        assert_eq!(pro.submits_per_minute, Some(60));
        assert_eq!((pro.daily().records, pro.daily().bytes), (Some(1_000_000), Some(1_000_000_000)));
        assert!(file.plans["free"].daily().is_none() && file.plans["free"].submits_per_minute.is_none());
        let prices = pro.prices.as_ref().unwrap();
        assert_eq!(prices.to_string(), "2 EUR for a million records, 0.005 EUR for a GiB read");
        assert_eq!(file.plans["free"].prices, None);
        assert!(pro.allows_dataset("flights") && !pro.allows_dataset("other"));
        assert!(pro.allows_format(Format::Json) && !pro.allows_format(Format::Parquet));
    }

    #[test]
    fn an_upstream_is_read_with_what_is_left_out() {
        let file = parse(
            r#"
            [upstreams.enrich]
            url = "https://api.test/v1/people/{email}"
            [upstreams.create]
            description = "makes people"
            method = "POST"
            url = "http://10.1.2.3:8080/v1/people"
            timeout = "2m"
            concurrency = 16
            rate = "100/1s"
            workers = 4
            retries = { attempts = 2, backoff = "1s", max_wait = "5m", statuses = [429] }
            idempotency_header = "X-Request-Key"
            max_response_bytes = 5000
            allow = ["10.0.0.0/8"]
            input = '{"type": "object", "required": ["email"]}'
            [upstreams.create.headers]
            X-Client = "willcall"
            Authorization = { env = "CREATE_TOKEN", prefix = "Bearer " }
            x-key = { secret = "arn:aws:secretsmanager:eu-north-1:1:secret:key" }
            [upstreams.create.output]
            type = "object"
            properties = { id = { type = "integer" } }
            [plans.pro]
            upstreams = ["create"]
            "#,
        )
        .unwrap();
        let enrich = &file.upstreams["enrich"];
        assert_eq!((enrich.method, enrich.idempotent), (UpstreamMethod::Get, true));
        assert_eq!((enrich.timeout.as_secs(), enrich.concurrency, enrich.workers), (30, 4, 1));
        assert_eq!(enrich.retries, Retries::default_for(true));
        assert_eq!(enrich.idempotency_header, "idempotency-key");
        let create = &file.upstreams["create"];
        assert!(!create.idempotent, "a POST is not, unless it is said to be");
        assert_eq!(create.rate, Some(Rate { calls: 100, per: Duration::from_secs(1) }));
        assert_eq!(create.retries.statuses, [429]);
        assert_eq!(create.retries.max_wait.as_secs(), 300);
        assert_eq!(create.headers["x-client"], HeaderSource::Value("willcall".into()));
        let token = SecretRef::Env("CREATE_TOKEN".into());
        assert_eq!(
            create.headers["authorization"],
            HeaderSource::Secret { prefix: "Bearer ".into(), secret: token }
        );
        assert!(create.input.is_some() && create.output.is_some());
        let pro = &file.plans["pro"];
        assert!(pro.allows_upstream("create") && !pro.allows_upstream("enrich"));
    }

    #[test]
    fn mistakes_in_upstreams_are_named_with_their_place() {
        let of = |more: &str| parse(&format!("[upstreams.u]\nurl = 'https://api.test/'\n{more}"));
        for (more, expected) in [
            ("method = 'get'", "upstreams.u.method: \"get\" is not one of GET"),
            ("timeout = '0s'", "upstreams.u.timeout: must be more than nothing"),
            ("timeout = '30'", "upstreams.u.timeout: \"30\" is no time"),
            ("concurrency = 0", "upstreams.u.concurrency: must be 1 to 1000"),
            ("rate = '100'", "upstreams.u.rate: \"100\" is no rate"),
            ("rate = '0/1s'", "upstreams.u.rate"),
            ("rate = '1/2d'", "upstreams.u.rate"),
            ("workers = 0", "upstreams.u.workers: must be 1 to"),
            ("retries = { attempts = 0 }", "upstreams.u.retries.attempts: must be 1 to 20"),
            (
                "retries = { statuses = [200] }",
                "upstreams.u.retries.statuses: 200 is not the status of a failure",
            ),
            ("retries = { bakoff = '1s' }", "unknown field `bakoff`"),
            ("max_response_bytes = 0", "upstreams.u.max_response_bytes: must be 1 to"),
            ("allow = ['10.0.0.0/99']", "upstreams.u.allow"),
            ("headers = { 'a b' = 'x' }", "upstreams.u.headers.a b: \"a b\" is not the name of a header"),
            ("headers = { Host = 'x' }", "upstreams.u.headers.Host: host is set by every call"),
            ("headers = { a = { env = 'A', secret = 'b' } }", "upstreams.u.headers.a: must say either env"),
            ("headers = { a = { secret = 'k#' } }", "upstreams.u.headers.a: \"k#\" has no key behind its #"),
            ("headers = { a = { secret = 'a b' } }", "upstreams.u.headers.a: \"a b\" is neither the name"),
            ("headers = { a = { env = '' } }", "upstreams.u.headers.a: must say either env or secret"),
            ("headers = { idempotency-key = 'x' }", "upstreams.u.headers.idempotency-key: is the header"),
            ("headers = { a = \"x\\r\\ny: z\" }", "upstreams.u.headers.a: must have visible ASCII"),
            ("idempotency_header = 'a:b'", "upstreams.u.idempotency_header"),
            ("input = { type = 'text' }", "upstreams.u.input: /type: must be of"),
            ("output = '{'", "upstreams.u.output: is no JSON"),
            ("secret = 'x'", "unknown field `secret`"),
        ] {
            let error = of(more).unwrap_err();
            assert!(error.contains(expected), "{more}\n{error}");
        }
        for (text, expected) in [
            ("[upstreams.u]", "missing field `url`"),
            ("[upstreams.'U']\nurl = 'https://a.test'", "upstreams.U: is not a name"),
            ("[upstreams.u]\nurl = 'http://10.0.0.1/'", "upstreams.u.url: must be https"),
            ("[upstreams.u]\nurl = 'https://{x}/'", "upstreams.u.url: has a member in its host"),
            ("[plans.p]\nupstreams = ['gone']", "plans.p.upstreams: there is no upstream \"gone\""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }

    #[test]
    fn an_empty_catalog_has_a_default_plan() {
        let file = parse("").unwrap();
        assert_eq!(file.plans[&file.default_plan].max_records, 1000);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, expected) in [
            ("[datasets.flights]\npth = 'x'", "unknown field `pth`"),
            ("[datasets.flights]", "missing field `path`"),
            ("[datasets.'a/b']\npath = 'x'", "datasets.a/b: is not a name"),
            ("[datasets.a]\npath = ''", "datasets.a.path: is empty"),
            (
                "[datasets.a]\npath = 's3://Bucket/a'",
                "datasets.a.path: \"Bucket\" is not the name of a bucket",
            ),
            ("[datasets.a]\npath = 'x'\ncolumns = []", "datasets.a.columns: is empty"),
            (
                "[datasets.a]\npath = 'x.parquet'\ncolumns = [{ name = 'a', type = 'text' }]",
                "datasets.a.columns: are for files of text",
            ),
            (
                "[datasets.a]\npath = 'x'\ncolumns = [{ name = 'a', type = 'text' }, { name = 'b', type = 'string' }]",
                "datasets.a.columns[1]: of \"b\": \"string\" is not a type of text files",
            ),
            (
                "[datasets.a]\npath = 'x'\ncolumns = [{ name = 'a', type = 'text' }, { name = 'a', type = 'date' }]",
                "datasets.a.columns[1]: names the column \"a\" twice",
            ),
            (
                "[datasets.a]\npath = 'x'\ncolumns = [{ name = ' ', type = 'text' }]",
                "datasets.a.columns[0]: has no name",
            ),
            ("[datasets.a]\npath = 'x'\ncolumns = [{ name = 'a' }]", "missing field `type`"),
            ("[datasets.a]\npath = 'x'\n[datasets.a.views.v]\nfields = []", "datasets.a.views.v.fields"),
            ("[plans.p]\nmax_records = 0", "plans.p: max_records must be at least 1"),
            ("[plans.p]\nsubmits_per_minute = 0", "plans.p: submits_per_minute must be at least 1"),
            ("[plans.p]\nmax_bytes_per_day = 0", "plans.p: max_bytes_per_day must be at least 1"),
            ("[plans.p]\nmax_records_per_day = -1", "invalid value"),
            ("[plans.p]\nprices = { per_job = 1 }", "missing field `currency`"),
            ("[plans.p]\nprices = { currency = 'euro' }", "prices.currency: \"euro\" is no currency"),
            ("[plans.p]\nprices = { currency = 'EUR', per_job = -1 }", "prices.per_job must be 0 to"),
            ("[plans.p]\nprices = { currency = 'EUR', per_row = 1 }", "unknown field `per_row`"),
            ("[plans.p]\nsql = 'yes'", "invalid type: string"),
            ("[plans.p]\ndatasets = ['nope']", "there is no data set \"nope\""),
            ("[plans.p]\nformats = ['docx']", "\"docx\" is not a format"),
            ("[plans.p]\ndefault = true\n[plans.q]\ndefault = true", "plan \"p\" is the default already"),
            ("[plans.p]\n[plans.q]", "plans: there are several"),
            ("[webhooks]\nallow = ['10.0.0.0/99']", "webhooks.allow: \"10.0.0.0/99\" is no address"),
            ("[webhooks]\nalow = []", "unknown field `alow`"),
            ("[[", "line 1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }
}
