//! A query as command-line options, made into a request. What it means is checked by the server, in one place.

use std::path::Path;

use clap::Args;
use serde_json::{Map, Value, json};
use willcall_core::format::{Compression, Format};

/// Which records, and how they are written.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct QueryArgs {
    /// The data set
    pub(crate) dataset: String,
    /// Which records, as an SQL condition: "origin = 'JFK' AND dep_delay > 60"
    #[arg(long, value_name = "SQL")]
    filter: Option<String>,
    /// Which records, Lucene-like: "origin:JFK AND dep_delay:[61 TO *]"
    #[arg(long, value_name = "LUCENE")]
    query: Option<String>,
    /// Which records, one condition: origin=JFK, dep_delay.gt=60, name.contains=steel (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// The columns, in order: carrier,flight,dep_delay
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    fields: Vec<String>,
    /// A view of the data set, instead of --fields
    #[arg(long)]
    view: Option<String>,
    /// The order: columns, with - before one that falls: carrier,-dep_delay
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', allow_hyphen_values = true)]
    sort: Vec<String>,
    /// The most records [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Records to leave out at the start
    #[arg(long, value_name = "N")]
    offset: Option<u64>,
    /// json, jsonl, csv, parquet, arrow or xlsx [default: what the output's name ends in, else json]
    #[arg(long)]
    format: Option<String>,
    /// none, gzip or zstd; text formats only [default: what the output's name ends in, else none]
    #[arg(long)]
    compression: Option<String>,
    /// What stands between fields of CSV
    #[arg(long, value_name = "CHARACTER")]
    csv_delimiter: Option<String>,
    /// What stands for null in CSV
    #[arg(long, value_name = "TEXT")]
    csv_null: Option<String>,
    /// Whether CSV begins with the columns' names
    #[arg(long, value_name = "BOOL")]
    csv_header: Option<bool>,
    /// Whether formulas in CSV are disarmed, for spreadsheets
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    csv_spreadsheet_safe: Option<bool>,
    /// The compression inside Parquet: none, snappy or zstd
    #[arg(long, value_name = "CODEC")]
    parquet_compression: Option<String>,
    /// The most rows in a row group of Parquet
    #[arg(long, value_name = "N")]
    parquet_row_group_size: Option<u64>,
    /// The most records in a page
    #[arg(long, value_name = "N")]
    page_size: Option<u64>,
    /// What you call the job
    #[arg(long)]
    name: Option<String>,
    /// A mark of your own on the job (repeatable)
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Where the end of the job is told: an https address
    #[arg(long, value_name = "URL")]
    notification_url: Option<String>,
    /// How it is told: POST or GET [default: POST]
    #[arg(long, value_name = "METHOD", requires = "notification_url")]
    notification_method: Option<String>,
}

/// A request to submit a query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Submission {
    /// The members of the request's body, all but `kind`.
    pub(crate) members: Map<String, Value>,
    /// Conditions as query parameters.
    pub(crate) params: Vec<(String, String)>,
}

/// `NAME=VALUE`, split.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

impl QueryArgs {
    /// The request, its format taken from the output's name where no option says otherwise.
    pub(crate) fn submission(&self, output: Option<&Path>) -> Submission {
        let (named_format, named_compression) = output.map_or((None, None), by_name);
        let format = self.format.clone().or_else(|| named_format.map(|format| format.as_str().to_owned()));
        let compression =
            self.compression.clone().or_else(|| named_compression.map(|found| found.as_str().to_owned()));
        let list = |items: &[String]| (!items.is_empty()).then(|| json!(items));
        let group = |pairs: [(&str, Option<Value>); 4]| {
            let members: Map<String, Value> =
                pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            (!members.is_empty()).then_some(Value::Object(members))
        };
        let csv = group([
            ("delimiter", self.csv_delimiter.as_ref().map(|text| json!(unescape(text)))),
            ("null", self.csv_null.as_ref().map(|text| json!(text))),
            ("header", self.csv_header.map(Value::from)),
            ("spreadsheet_safe", self.csv_spreadsheet_safe.map(Value::from)),
        ]);
        let parquet = group([
            ("compression", self.parquet_compression.as_ref().map(|text| json!(text))),
            ("row_group_size", self.parquet_row_group_size.map(Value::from)),
            ("", None),
            ("", None),
        ]);
        let labels: Map<String, Value> =
            self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        let members = [
            ("dataset", Some(json!(self.dataset))),
            ("filter", text(&self.filter)),
            ("query", text(&self.query)),
            ("fields", list(&self.fields)),
            ("view", text(&self.view)),
            ("sort", list(&self.sort)),
            ("limit", self.limit.map(Value::from)),
            ("offset", self.offset.map(Value::from)),
            ("format", format.map(Value::from)),
            ("compression", compression.map(Value::from)),
            ("csv", csv),
            ("parquet", parquet),
            ("page_size", self.page_size.map(Value::from)),
            ("name", text(&self.name)),
            ("labels", (!labels.is_empty()).then_some(Value::Object(labels))),
            ("notification_url", text(&self.notification_url)),
            ("notification_method", text(&self.notification_method)),
        ];
        let members =
            members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Submission { members, params: self.params.clone() }
    }

    /// The name of the file where none is given: the data set's, with the ending of format and compression.
    pub(crate) fn file_name(&self) -> String {
        let format =
            self.format.as_deref().and_then(|text| text.parse::<Format>().ok()).unwrap_or(Format::Json);
        let compression =
            self.compression.as_deref().and_then(|text| text.parse::<Compression>().ok()).unwrap_or_default();
        format!("{}.{}{}", self.dataset.replace(['/', '\\'], "-"), format.extension(), compression.suffix())
    }
}

/// `\t` as shells pass it on is meant to be a tab.
fn unescape(text: &str) -> &str {
    if matches!(text, r"\t" | "tab") { "\t" } else { text }
}

/// Format and compression by the ending of a file's name.
fn by_name(path: &Path) -> (Option<Format>, Option<Compression>) {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let (stem, compression) = match name.rsplit_once('.') {
        Some((stem, "gz")) => (stem, Some(Compression::Gzip)),
        Some((stem, "zst")) => (stem, Some(Compression::Zstd)),
        _ => (name.as_str(), None),
    };
    (stem.rsplit_once('.').and_then(|(_, ending)| ending.parse().ok()), compression)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        query: QueryArgs,
    }

    fn submission(line: &[&str], output: Option<&str>) -> Submission {
        let line = Line::try_parse_from([&["x"], line].concat()).unwrap();
        line.query.submission(output.map(Path::new))
    }

    #[test]
    fn options_become_members_and_nothing_else_is_sent() {
        let made = submission(
            &[
                "flights",
                "--fields",
                "a,b",
                "--sort",
                "-a,b",
                "--limit",
                "3",
                "--csv-delimiter",
                r"\t",
                "--label",
                "k=v=w",
            ],
            None,
        );
        assert_eq!(
            Value::Object(made.members),
            json!({ "dataset": "flights", "fields": ["a", "b"], "sort": ["-a", "b"], "limit": 3,
                    "csv": { "delimiter": "\t" }, "labels": { "k": "v=w" } })
        );
    }

    #[test]
    fn the_outputs_name_tells_the_format_unless_an_option_does() {
        for (name, format, compression) in [
            ("x.csv", Some("csv"), None),
            ("dir.csv/x.PARQUET", Some("parquet"), None),
            ("x.ndjson.gz", Some("jsonl"), Some("gzip")),
            ("x.json.zst", Some("json"), Some("zstd")),
            ("x.arrows", Some("arrow"), None),
            ("x.xlsx", Some("xlsx"), None),
            ("x.txt", None, None),
            ("csv", None, None),
        ] {
            let members = submission(&["d"], Some(name)).members;
            assert_eq!(members.get("format").and_then(Value::as_str), format, "{name}");
            assert_eq!(members.get("compression").and_then(Value::as_str), compression, "{name}");
        }
        assert_eq!(submission(&["d", "--format", "json"], Some("x.csv")).members["format"], "json");
    }

    #[test]
    fn conditions_and_labels_need_a_name() {
        for text in ["JFK", "=JFK", ""] {
            assert!(pair(text).is_err(), "{text:?}");
        }
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
    }
}
