//! A query as command-line options, made into a request. What it means is checked by the server, in one place.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Map, Value, json};
use willcall_core::{
    file_name,
    format::{Compression, Format},
};

use crate::failure::{Exit, Failure};

/// Which records, and how they are written.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct QueryArgs {
    /// The data set
    #[arg(required_unless_present_any = ["request", "sql", "sql_file"])]
    dataset: Option<String>,
    /// A file with the request as the API takes it, JSON; - is stdin. What options say goes before what is in it
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Which records, as an SQL condition: "origin = 'JFK' AND dep_delay > 60"
    #[arg(long, value_name = "SQL")]
    filter: Option<String>,
    /// Which records, Lucene-like: "origin:JFK AND dep_delay:[61 TO *]"
    #[arg(long, value_name = "LUCENE")]
    query: Option<String>,
    /// A whole SELECT over data sets, instead of one of them: "SELECT carrier, count(*) FROM flights GROUP BY carrier"
    #[arg(long, value_name = "SELECT", conflicts_with_all = ["dataset", "filter", "query", "fields", "view", "sort"])]
    sql: Option<String>,
    /// A file with the SELECT; - is stdin
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["sql", "dataset", "filter", "query", "fields", "view", "sort"]
    )]
    sql_file: Option<PathBuf>,
    /// Which records, one condition: origin=JFK, dep_delay.gt=60, name.contains=steel; or of a SELECT what $NAME stands
    /// for: since=2024-01-01, n=5 (repeatable)
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
    #[command(flatten)]
    output: OutputArgs,
}

/// How a result is written, and what the job is called.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OutputArgs {
    /// json, jsonl, csv, parquet, arrow or xlsx [default: what the output's name ends in; json, if it has no ending]
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
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

impl QueryArgs {
    /// The request: what options say, then what the file says, then format and compression as the output's name
    /// tells them.
    pub(crate) fn submission(&self, output: Option<&Path>) -> Result<Submission, Failure> {
        let mut members = match &self.request {
            Some(path) => read_request(path)?,
            None => Map::new(),
        };
        merge(&mut members, self.members());
        if let Some(path) = &self.sql_file {
            members.insert("sql".into(), read_text(path)?.into());
        }
        if let Some(output) = output {
            name_format(&mut members, output)?;
        }
        let mut params = self.params.clone();
        if members.get("sql").is_some_and(|sql| !sql.is_null()) && !params.is_empty() {
            let values =
                params.drain(..).map(|(name, text)| parameter(&name, text).map(|value| (name, value)));
            let values = values.collect::<Result<_, Failure>>()?;
            merge(&mut members, given([("parameters", Some(Value::Object(values)))]));
        }
        Ok(Submission { members, params })
    }

    /// The files that it is read from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.request.iter().chain(&self.sql_file)
    }

    /// What the options say.
    fn members(&self) -> Map<String, Value> {
        let members = [
            ("dataset", text(&self.dataset)),
            ("sql", text(&self.sql)),
            ("filter", text(&self.filter)),
            ("query", text(&self.query)),
            ("fields", list(&self.fields)),
            ("view", text(&self.view)),
            ("sort", list(&self.sort)),
            ("limit", self.limit.map(Value::from)),
            ("offset", self.offset.map(Value::from)),
        ];
        let mut members = given(members);
        members.extend(self.output.members());
        members
    }
}

impl OutputArgs {
    /// What the options say.
    pub(crate) fn members(&self) -> Map<String, Value> {
        let group = |members: Map<String, Value>| (!members.is_empty()).then_some(Value::Object(members));
        let csv = given([
            ("delimiter", self.csv_delimiter.as_ref().map(|text| json!(unescape(text)))),
            ("null", text(&self.csv_null)),
            ("header", self.csv_header.map(Value::from)),
            ("spreadsheet_safe", self.csv_spreadsheet_safe.map(Value::from)),
        ]);
        let parquet = given([
            ("compression", text(&self.parquet_compression)),
            ("row_group_size", self.parquet_row_group_size.map(Value::from)),
        ]);
        let labels = self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        given([
            ("format", text(&self.format)),
            ("compression", text(&self.compression)),
            ("csv", group(csv)),
            ("parquet", group(parquet)),
            ("page_size", self.page_size.map(Value::from)),
            ("name", text(&self.name)),
            ("labels", group(labels)),
            ("notification_url", text(&self.notification_url)),
            ("notification_method", text(&self.notification_method)),
        ])
    }
}

/// The members that have a value.
pub(crate) fn given<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

pub(crate) fn text(text: &Option<String>) -> Option<Value> {
    text.as_ref().map(|text| json!(text))
}

pub(crate) fn list(items: &[String]) -> Option<Value> {
    (!items.is_empty()).then(|| json!(items))
}

impl Submission {
    /// The name of the file where none is given: the data set's, with the ending of format and compression, or of a zip.
    pub(crate) fn file_name(&self, zip: bool) -> String {
        let text = |name| self.members.get(name).and_then(Value::as_str);
        let format = text("format").and_then(|text| text.parse::<Format>().ok()).unwrap_or(Format::Json);
        let compression =
            text("compression").and_then(|text| text.parse::<Compression>().ok()).unwrap_or_default();
        let dataset = file_name::stem(text("dataset").unwrap_or("result"));
        if zip {
            return format!("{dataset}.zip");
        }
        format!("{dataset}.{}{}", format.extension(), compression.suffix())
    }
}

/// What a parameter of a SELECT stands for: JSON where it is some (a number, `true`, `{"type": "date", …}`), else text.
fn parameter(name: &str, text: String) -> Result<Value, Failure> {
    match serde_json::from_str::<Value>(&text) {
        // It would be sent rounded.
        Ok(value) if value.is_f64() && !text.contains(['.', 'e', 'E']) => {
            let typed = format!("{{\"type\": \"decimal\", \"value\": \"{}\"}}", text.trim());
            let detail =
                format!("--param {name}: {} does not fit 64 bits; write '{name}={typed}'", text.trim());
            Err(Failure::new(Exit::Usage, detail))
        }
        Ok(value) => Ok(value),
        Err(_) => Ok(Value::String(text)),
    }
}

fn place_of(path: &Path) -> String {
    if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() }
}

/// The text of a file; `-` is stdin.
fn read_text(path: &Path) -> Result<String, Failure> {
    let text =
        if path.as_os_str() == "-" { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
    text.map_err(|error| Failure::caused(Exit::Usage, format!("cannot read {}", place_of(path)), &error))
}

/// The members of a request of kind `query` in a file.
fn read_request(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = read_text(path)?;
    let place = place_of(path);
    let mut members: Map<String, Value> = serde_json::from_str(&text).map_err(|error| {
        Failure::caused(Exit::Usage, format!("{place} does not hold one JSON object"), &error)
    })?;
    match members.shift_remove("kind") {
        None => Ok(members),
        Some(Value::String(kind)) if kind == "query" => Ok(members),
        Some(kind) => {
            Err(Failure::new(Exit::Usage, format!("{place} holds a request of kind {kind}, not \"query\"")))
        }
    }
}

/// Lets members go before others of the same names; groups of options are joined member by member.
fn merge(members: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        match (members.get_mut(&name), value) {
            (Some(Value::Object(group)), Value::Object(more)) => group.extend(more),
            (_, value) => {
                members.insert(name, value);
            }
        }
    }
}

/// Takes format and compression from the output's name, where nothing else tells them. A name whose ending is none of a format is
/// refused then: whoever writes `x.txt` means something, and it need not be the default.
pub(crate) fn name_format(members: &mut Map<String, Value>, output: &Path) -> Result<(), Failure> {
    let (format, compression) = by_name(output);
    let told =
        ["format", "async_format"].iter().any(|name| members.get(*name).is_some_and(|told| !told.is_null()));
    if !told && let Some(ending) = unknown_ending(output) {
        let words = format!("no format is known by the ending .{ending} of {}", output.display());
        let endings = Format::ALL.map(|format| format!(".{}", format.extension())).join(", ");
        return Err(Failure::new(Exit::Usage, words).advice(format!(
            "say which with --format, or end the name in one of {endings}, with .gz or .zst behind it where it is compressed"
        )));
    }
    let format = format.filter(|_| !told);
    let named = [
        ("format", format.map(|found| found.as_str())),
        ("compression", compression.map(|found| found.as_str())),
    ];
    for (name, value) in named {
        if let Some(value) = value
            && members.get(name).is_none_or(Value::is_null)
        {
            members.insert(name.into(), value.into());
        }
    }
    Ok(())
}

/// The format that a file's name tells.
pub(crate) fn named_format(path: &Path) -> Option<Format> {
    by_name(path).0
}

/// `\t` as shells pass it on is meant to be a tab.
fn unescape(text: &str) -> &str {
    if matches!(text, r"\t" | "tab") { "\t" } else { text }
}

fn lower_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Whether a file's name is that of a zip, which holds a result and its manifest.
pub(crate) fn is_zip(path: &Path) -> bool {
    lower_name(path).ends_with(".zip")
}

/// Format and compression by the ending of a file's name.
fn by_name(path: &Path) -> (Option<Format>, Option<Compression>) {
    let name = lower_name(path);
    let (stem, compression) = without_compression(&name);
    (stem.rsplit_once('.').and_then(|(_, ending)| ending.parse().ok()), compression)
}

/// The ending that should tell the format and does not. What is no file, as a pipe, is called as it is.
fn unknown_ending(path: &Path) -> Option<String> {
    let name = lower_name(path);
    let (stem, _) = without_compression(&name);
    let (before, ending) = stem.rsplit_once('.')?;
    // `.x` is hidden, and has no ending.
    let known = before.is_empty() || ending.is_empty() || ending.parse::<Format>().is_ok();
    let is_stream = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    (!known && !is_stream).then(|| ending.to_owned())
}

/// The name without what tells of compression. What is in a zip is told by what stands before that ending.
fn without_compression(name: &str) -> (&str, Option<Compression>) {
    let name = name.strip_suffix(".zip").unwrap_or(name);
    match name.rsplit_once('.') {
        Some((stem, "gz")) => (stem, Some(Compression::Gzip)),
        Some((stem, "zst")) => (stem, Some(Compression::Zstd)),
        _ => (name, None),
    }
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
        line.query.submission(output.map(Path::new)).unwrap()
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
            ("x.csv.zip", Some("csv"), None),
            ("X.JSONL.GZ.ZIP", Some("jsonl"), Some("gzip")),
            ("x.zip", None, None),
            ("x.zip.csv", Some("csv"), None),
            ("csv", None, None),
            ("x.gz", None, Some("gzip")),
            (".hidden", None, None),
            ("..", None, None),
        ] {
            let members = submission(&["d"], Some(name)).members;
            assert_eq!(members.get("format").and_then(Value::as_str), format, "{name}");
            assert_eq!(members.get("compression").and_then(Value::as_str), compression, "{name}");
        }
        assert_eq!(submission(&["d", "--format", "json"], Some("x.csv")).members["format"], "json");
        for name in ["x.txt", "x.foo.gz", "x.foo.zip", "x.csv.bz2", "x.json.bak", "v1.2", "x.zip.zip"] {
            let line = |more: &[&str]| Line::try_parse_from([&["x", "d"], more].concat()).unwrap().query;
            let failure = line(&[]).submission(Some(Path::new(name))).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{name}");
            let told = line(&["--format", "csv"]).submission(Some(Path::new(name))).unwrap().members;
            assert_eq!(told["format"], "csv", "{name}");
        }
        for (name, zip) in
            [("x.zip", true), ("x.csv.ZIP", true), ("x.zip.csv", false), ("zip", false), ("-", false)]
        {
            assert_eq!(is_zip(Path::new(name)), zip, "{name}");
        }
    }

    #[test]
    fn a_request_in_a_file_is_taken_as_it_is_unless_options_say_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("q.json");
        let line = |more: &[&str]| {
            let line = ["x", "--request", path.to_str().unwrap()];
            Line::try_parse_from([&line, more].concat()).unwrap().query
        };
        let text = r#"{"kind": "query", "dataset": "flights", "limit": 3, "csv": {"delimiter": ";", "header": false},
                      "format": null, "max_age": 5}"#;
        fs::write(&path, text).unwrap();
        let made = line(&[]).submission(None).unwrap();
        assert_eq!(
            Value::Object(made.members),
            json!({ "dataset": "flights", "limit": 3, "csv": { "delimiter": ";", "header": false },
                    "format": null, "max_age": 5 })
        );
        let made =
            line(&["airports", "--csv-header", "true"]).submission(Some(Path::new("x.csv.gz"))).unwrap();
        assert_eq!(
            (made.file_name(false), made.file_name(true)),
            ("airports.csv.gz".into(), "airports.zip".into())
        );
        assert_eq!(made.members["csv"], json!({ "delimiter": ";", "header": true }));
        for wrong in ["", "[]", "{\"dataset\": }", r#"{"kind": "append"}"#, r#"{"kind": 1}"#] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(line(&[]).submission(None).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(line(&[]).submission(None).unwrap_err().exit, Exit::Usage);
        assert!(Line::try_parse_from(["x"]).is_err());
    }

    #[test]
    fn a_select_takes_the_place_of_a_data_set_and_its_parameters_that_of_conditions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("q.sql");
        fs::write(&path, "SELECT 1\n").unwrap();
        let line = [
            "--sql",
            "SELECT $a",
            "--param",
            "a=2024-01-01",
            "--param",
            "b=5",
            "--param",
            "c=\"5\"",
            "--limit",
            "3",
        ];
        let made = submission(&line, Some("x.csv"));
        assert_eq!(
            Value::Object(made.members.clone()),
            json!({ "sql": "SELECT $a", "limit": 3, "format": "csv", "parameters": { "a": "2024-01-01", "b": 5, "c": "5" } })
        );
        assert_eq!((made.params.len(), made.file_name(false).as_str()), (0, "result.csv"));
        let date = r#"d={"type": "date", "value": "2024-01-01"}"#;
        let made = submission(&["--sql-file", path.to_str().unwrap(), "--param", date], None).members;
        assert_eq!(
            Value::Object(made),
            json!({ "sql": "SELECT 1\n", "parameters": { "d": { "type": "date", "value": "2024-01-01" } } })
        );
        for wrong in [&["flights", "--sql", "SELECT 1"][..], &["--sql", "SELECT 1", "--filter", "a = 1"]] {
            assert!(Line::try_parse_from([&["x"], wrong].concat()).is_err(), "{wrong:?}");
        }
        for (text, fits) in
            [("x=18446744073709551616", false), ("x=-99999999999999999999", false), ("x=1e20", true)]
        {
            let line = Line::try_parse_from(["x", "--sql", "SELECT $x", "--param", text]).unwrap();
            match line.query.submission(None) {
                Ok(_) => assert!(fits, "{text}"),
                Err(failure) => assert_eq!((failure.exit, fits), (Exit::Usage, false), "{text}"),
            }
        }
        let gone = Line::try_parse_from(["x", "--sql-file", "/nowhere"]).unwrap();
        assert_eq!(gone.query.submission(None).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn conditions_and_labels_need_a_name() {
        for text in ["JFK", "=JFK", ""] {
            assert!(pair(text).is_err(), "{text:?}");
        }
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
    }
}
