//! `willcall get` and the other commands in one process.

#![allow(clippy::unwrap_used, reason = "a test stops where anything goes wrong")]

mod common;

use std::fs;

use common::{Place, code, examples, text};
use serde_json::Value;
use sha2::{Digest, Sha256};

const LATE: &str = "origin = 'JFK' AND dep_delay > 60";
/// Counted with pandas on the same file.
const LATE_RECORDS: usize = 8401;

#[test]
fn get_writes_a_verified_file_and_says_so_on_stderr() {
    let place = Place::new();
    let output = place.run(&["get", "flights", "--filter", LATE, "-o", "late.csv"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
    let bytes = fs::read(place.path("late.csv")).unwrap();
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), LATE_RECORDS + 1);
    assert!(lines[0].starts_with(b"year,month,day,"));
    let said = text(&output.stderr);
    assert!(said.contains("8,401 records"), "{said}");
    assert!(said.contains(&hex::encode(Sha256::digest(&bytes))), "{said}");
    assert_eq!(place.names(), ["late.csv"]);
}

#[test]
fn stdout_gets_the_records_and_nothing_else() {
    let place = Place::new();
    let arguments =
        ["get", "airports", "--param", "iata=JFK", "--fields", "iata,city", "--format", "jsonl", "-o", "-"];
    assert_eq!(place.ok(&arguments), "{\"iata\":\"JFK\",\"city\":\"New York\"}\n");
    let output = place.run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(text(&output.stdout).lines().count(), 1);
    let said: Value = serde_json::from_str(text(&output.stderr).lines().last().unwrap()).unwrap();
    assert_eq!(
        (said["bytes"].as_u64(), said["verified"].as_bool()),
        (Some(output.stdout.len() as u64), Some(true))
    );
}

#[test]
fn the_three_syntaxes_and_the_formats_agree() {
    let place = Place::new();
    let lucene = ["--query", "origin:JFK AND dep_delay:{60 TO *]"];
    let params = ["--param", "origin=JFK", "--param", "dep_delay.gt=60"];
    for (name, which) in
        [("sql.json", &["--filter", LATE][..]), ("lucene.json", &lucene), ("params.json", &params)]
    {
        let said = place.ok_json(&[&["get", "flights", "-o", name, "-q"], which].concat());
        assert_eq!(said["job"]["result"]["records"], LATE_RECORDS, "{name}");
    }
    let json = fs::read(place.path("sql.json")).unwrap();
    assert_eq!(fs::read(place.path("lucene.json")).unwrap(), json);
    assert_eq!(fs::read(place.path("params.json")).unwrap(), json);
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&json).unwrap().len(), LATE_RECORDS);

    let said = place.ok_json(&["get", "flights", "--filter", LATE, "-o", "late.parquet", "-q"]);
    assert_eq!(
        (&said["job"]["format"], &said["job"]["result"]["records"]),
        (&"parquet".into(), &LATE_RECORDS.into())
    );
    assert!(fs::read(place.path("late.parquet")).unwrap().starts_with(b"PAR1"));
    place.ok(&["get", "flights", "--filter", LATE, "-o", "late.csv.gz", "-q"]);
    assert!(fs::read(place.path("late.csv.gz")).unwrap().starts_with(&[0x1f, 0x8b]));
}

#[test]
fn the_operator_is_not_limited_by_the_catalogs_plans() {
    let place = Place::new();
    let said = place.ok_json(&["get", "flights", "--fields", "carrier", "-o", "all.csv", "-q"]);
    assert_eq!(said["job"]["result"]["records"], 336_776);
    assert_eq!(said["job"]["result"]["truncated"], Value::Null);
}

#[test]
fn options_reach_the_result() {
    let place = Place::new();
    let csv = place.ok(&[
        "get",
        "flights",
        "--view",
        "routes",
        "--sort",
        "-distance,flight",
        "--limit",
        "2",
        "--offset",
        "1",
        "--csv-delimiter",
        ";",
        "--csv-header",
        "false",
        "--format",
        "csv",
        "-o",
        "-",
        "--name",
        "far",
        "--label",
        "a=b",
    ]);
    assert_eq!(csv.lines().count(), 2);
    assert_eq!(csv.lines().next().unwrap().split(';').nth(4), Some("4983"));
    let listed = place.ok_json(&["list", "--label", "a=b"]);
    assert_eq!(listed["jobs"][0]["name"], "far");
    assert_eq!(place.ok_json(&["list", "--label", "a=c"])["jobs"], Value::Array(Vec::new()));
}

#[test]
fn a_whole_select_is_carried_out_over_the_catalogs_data_sets() {
    let place = Place::new();
    let sql = "SELECT a.city, count(*) AS n FROM flights f JOIN airports a ON f.origin = a.iata WHERE f.dep_delay > $late \
               GROUP BY a.city ORDER BY n DESC, a.city LIMIT 1";
    fs::write(place.path("q.sql"), sql).unwrap();
    let arguments = ["get", "--sql-file", "q.sql", "--param", "late=60", "--format", "csv", "-o", "-"];
    let by_file = place.ok(&arguments);
    assert!(by_file.starts_with("city,n\n") && by_file.lines().count() == 2, "{by_file}");
    assert_eq!(place.ok(&["get", "--sql", sql, "--param", "late=60", "--format", "csv", "-o", "-"]), by_file);
}

#[test]
fn a_statement_that_may_not_pass_is_a_usage_error_with_its_place() {
    let place = Place::new();
    for (sql, words) in [
        ("SELECT * FROM '/etc/passwd'", "a text is no data set"),
        ("SELECT * FROM flihgts", "line 1, column 15 (position 15); did you mean \"flights\"?"),
        ("DROP TABLE flights", "begins with SELECT or WITH"),
    ] {
        let output = place.run(&["get", "--sql", sql, "-o", "x.csv"]);
        assert_eq!(code(&output), 2, "{sql}");
        assert!(text(&output.stderr).contains(words), "{sql}: {}", text(&output.stderr));
    }
    assert!(place.names().is_empty());
}

#[test]
fn a_misspelt_column_is_a_usage_error_that_names_the_nearest() {
    let place = Place::new();
    let output = place.run(&["get", "flights", "--filter", "orgin = 'JFK'", "-o", "x.csv"]);
    assert_eq!(code(&output), 2);
    let said = text(&output.stderr);
    assert!(said.contains("filter:") && said.contains("orgin") && said.contains("\"origin\""), "{said}");
    assert!(place.names().is_empty());

    let output = place.run(&["get", "flights", "--filter", "orgin = 'JFK'", "-o", "x.csv", "--json"]);
    let problem: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((&problem["exit_code"], &problem["errors"][0]["pointer"]), (&2.into(), &"#/filter".into()));
    assert!(output.stdout.is_empty());
}

#[test]
fn an_unknown_data_set_and_an_unknown_job_are_told_apart_from_the_rest() {
    let place = Place::new();
    let output = place.run(&["get", "flight", "-o", "x.csv"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("\"flights\""), "{}", text(&output.stderr));
    for job in ["0192f6a0-7c1e-7b3a-9f00-3d1c5a8e2b41", "../../etc/passwd", "x"] {
        for command in ["status", "download", "cancel", "delete"] {
            assert_eq!(code(&place.run(&[command, job])), 3, "{command} {job}");
        }
    }
    assert_eq!(code(&place.run(&["dataset", "show", "nope"])), 3);
    assert!(place.names().is_empty());
}

#[test]
fn what_cannot_be_written_fails_before_a_job_is_made() {
    let place = Place::new();
    fs::write(place.path("flights.json"), "mine").unwrap();
    assert_eq!(code(&place.run(&["get", "flights", "-o", "missing/x.csv"])), 1);
    assert_eq!(code(&place.run(&["get", "flights", "-o", "."])), 2);
    assert_eq!(code(&place.run(&["get", "flights"])), 1);
    assert_eq!(fs::read(place.path("flights.json")).unwrap(), b"mine");
    assert_eq!(place.ok_json(&["list"])["jobs"], Value::Array(Vec::new()));
}

#[test]
fn a_submitted_job_waits_until_somebody_does_its_work() {
    let place = Place::new();
    let job = place.ok(&["submit", "airports", "--format", "csv", "--limit", "3"]).trim().to_owned();
    assert_eq!(place.ok_json(&["status", &job])["state"], "accepted");
    let output = place.run(&["download", &job]);
    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).contains("--wait"));
    place.ok(&["download", &job, "--wait", "-q"]);
    assert_eq!(fs::read_to_string(place.path("airports.csv")).unwrap().lines().count(), 4);
    place.ok(&["download", &job, "-o", "-"]);
    place.ok(&["delete", &job]);
    assert_eq!(code(&place.run(&["status", &job])), 3);
}

#[test]
fn a_cancelled_job_has_no_result() {
    let place = Place::new();
    let job = place.ok(&["submit", "airports"]).trim().to_owned();
    assert_eq!(place.ok_json(&["cancel", &job])["state"], "cancelled");
    place.ok(&["cancel", &job]);
    let output = place.run(&["download", &job, "--wait", "-o", "x.json"]);
    assert_eq!(code(&output), 1);
    assert_eq!(code(&place.run(&["status", &job, "--wait"])), 1);
    assert_eq!(code(&place.run(&["status", &job])), 0);
    assert!(place.names().is_empty());
}

#[test]
fn a_result_that_was_tampered_with_is_not_delivered() {
    let place = Place::new();
    let said = place.ok_json(&["get", "airports", "--limit", "50", "-o", "whole.csv"]);
    let job = said["job"]["job_id"].as_str().unwrap();
    let results = place.path("data").join("blobs/results/local").join(job).join("1/result.csv");
    let whole = fs::read(&results).unwrap();
    let mut changed = whole.clone();
    changed[100] ^= 1;
    for tampered in [changed, whole[..whole.len() - 1].to_vec(), [&whole[..], b"x"].concat()] {
        fs::write(&results, tampered).unwrap();
        let output = place.run(&["download", job, "-o", "again.csv"]);
        assert_eq!(code(&output), 6, "{}", text(&output.stderr));
        let output = place.run(&["download", job, "-o", "-"]);
        assert_eq!((code(&output), output.stdout.len()), (6, 0));
    }
    assert_eq!(place.names(), ["whole.csv"]);
    fs::write(&results, whole).unwrap();
    place.ok(&["download", job, "-o", "again.csv"]);
}

#[test]
fn data_sets_are_shown_with_columns_and_views() {
    let place = Place::new();
    let text = place.ok(&["dataset", "list"]);
    assert!(text.contains("flights") && text.contains("336,776") && text.contains("airports"), "{text}");
    let shown = place.ok(&["dataset", "show", "flights"]);
    assert!(shown.contains("dep_delay") && shown.contains("int16") && shown.contains("delays"), "{shown}");
    assert!(shown.contains("MIN") && shown.contains("-43") && shown.contains("1301"), "{shown}");
    assert!(shown.contains("8,255"), "how many have no value: {shown}");
    let json = place.ok_json(&["dataset", "show", "flights"]);
    assert_eq!(json["records"], 336_776);
    let known = &json["statistics"]["columns"]["dep_delay"];
    assert_eq!((&known["min"], &known["max"], &known["nulls"]), (&(-43).into(), &1301.into(), &8255.into()));
}

#[test]
fn the_example_catalog_is_right() {
    let place = Place::new();
    let text = place.ok(&["catalog", "check"]);
    assert!(text.contains("336,776") && text.contains("plan standard, the default"), "{text}");
}

#[test]
fn the_check_of_a_catalog_names_every_problem() {
    let place = Place::new();
    let check = || place.bare(&["catalog", "check", "--catalog", "c.toml"]).output().unwrap();
    assert_eq!(code(&check()), 2);
    let flights = examples().join("flights.parquet");
    fs::write(place.path("broken.parquet"), "PAR1 this is not").unwrap();
    fs::write(
        place.path("c.toml"),
        format!(
            "[datasets.gone]\npath = \"gone.parquet\"\n[datasets.broken]\npath = \"broken.parquet\"\n\
             [s3]\nendpoint = \"http://127.0.0.1:1\"\nanonymous = true\n[datasets.far]\npath = \"s3://bucket/far/\"\n[datasets.flights]\npath = {flights:?}\n[datasets.flights.views.v]\nfields = [\"orgin\"]\n"
        ),
    )
    .unwrap();
    let output = check();
    assert_eq!(code(&output), 2);
    let said = text(&output.stderr);
    for place in [
        "datasets.gone:",
        "datasets.broken:",
        "datasets.far:",
        "S3 does not answer for the bucket bucket",
        "datasets.flights.views.v:",
        "orgin",
    ] {
        assert!(said.contains(place), "{place}: {said}");
    }
    for (wrong, named) in [
        ("[datasets.x]\npth = \"y\"", "pth"),
        ("[datasets.x]\npath = \"y\"\nviwes = 1\n[plans.x]\nsqll = true", "`viwes`"),
        ("[datasets.x]\npath = \"y\"\nviwes = 1\n[plans.x]\nsqll = true", "`sqll`"),
        ("[datasets.x", "line 1"),
        ("[datasets.x]\npath = \"s3://Bucket/y\"", "not the name of a bucket"),
        ("[plans.x]\nmax_records = 0", "plans.x"),
        ("[plans.x]\ndatasets = [\"nope\"]", "nope"),
    ] {
        fs::write(place.path("c.toml"), wrong).unwrap();
        let output = check();
        assert_eq!(code(&output), 2, "{wrong}");
        assert!(text(&output.stderr).contains(named), "{wrong}: {}", text(&output.stderr));
    }
}

#[test]
fn without_a_catalog_the_command_says_where_it_looked() {
    let place = Place::new();
    let output = place.bare(&["get", "flights", "-o", "x.csv"]).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("--catalog"));
}

#[test]
fn help_tells_the_exit_codes() {
    let place = Place::new();
    let help = succeeded_help(&place);
    assert!(help.contains("Exit codes:") && help.contains("130"), "{help}");
}

fn succeeded_help(place: &Place) -> String {
    common::succeeded(place.bare(&["--help"]).output().unwrap())
}

#[cfg(not(feature = "aws"))]
#[test]
fn commands_for_aws_that_were_not_built_say_how_to_get_them() {
    let place = Place::new();
    let table = ["token", "list", "--table", "t"];
    for arguments in
        [&["catalog", "build", "--bucket", "b"][..], &table, &["account", "list", "--table", "t"]]
    {
        let output = place.run(arguments);
        assert_eq!(code(&output), 2);
        let said = text(&output.stderr);
        assert!(said.contains("cargo install --path cli --features aws"), "{said}");
    }
}
