//! `willcall append`: rows of the user's own, through batches, to one file.

#![allow(clippy::unwrap_used, reason = "a test stops where anything goes wrong")]

mod common;

use std::{fs, io::Read, path::Path};

use common::{Place, Server, code, text};
use serde_json::Value;

const ON: [&str; 6] = ["--dataset", "airports", "--on", "code=iata", "--fields", "iata,city"];

/// Rows of which all but every fifth match.
fn leads(rows: usize) -> String {
    let codes = ["JFK", "LAX", "nowhere", "SEA", "BOS"];
    let mut csv = String::from("n,code,note\n");
    for n in 0..rows {
        csv += &format!("{n},{},\"line\nbreak {n}\"\n", codes[n % 5]);
    }
    csv
}

fn append<'a>(input: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["append", input][..], &ON, more].concat()
}

fn inflated(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn rows_come_back_in_one_file_however_many_batches_they_were() {
    let place = Place::new();
    fs::write(place.path("leads.csv"), leads(200)).unwrap();
    let said = place.ok_json(&append("leads.csv", &["-o", "one.csv", "-q"]));
    assert_eq!(said["job"]["batches"]["completed"], 1, "{said}");
    let counts = &said["job"]["progress"]["counts"];
    assert_eq!((&counts["matched"], &counts["unmatched"]), (&160.into(), &40.into()), "{said}");
    let one = fs::read_to_string(place.path("one.csv")).unwrap();
    assert!(
        one.starts_with(
            "n,code,note,iata,city,_match,_error\n0,JFK,\"line\nbreak 0\",JFK,New York,matched,\n"
        ),
        "{one}"
    );
    let batched = ["--batch-bytes", "500", "-q"];
    let said = place.ok_json(&append("leads.csv", &[&["-o", "many.csv"][..], &batched].concat()));
    assert!(said["job"]["batches"]["completed"].as_u64().unwrap() > 5, "{said}");
    assert_eq!(fs::read_to_string(place.path("many.csv")).unwrap(), one);
    place.ok(&append("leads.csv", &[&["-o", "many.csv.gz"][..], &batched].concat()));
    assert_eq!(inflated(&place.path("many.csv.gz")), one);
    place.ok(&append("leads.csv", &[&["-o", "many.jsonl"][..], &batched].concat()));
    let lines = fs::read_to_string(place.path("many.jsonl")).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[199]["note"]), (200, &"line\nbreak 199".into()));
    // What cannot be put together is one batch.
    let said = place.ok_json(&append("leads.csv", &[&["-o", "x.parquet"][..], &batched].concat()));
    assert_eq!(said["job"]["batches"]["completed"], 1, "{said}");
    assert!(fs::read(place.path("x.parquet")).unwrap().starts_with(b"PAR1"));
    assert_eq!(place.names(), ["leads.csv", "many.csv", "many.csv.gz", "many.jsonl", "one.csv", "x.parquet"]);
}

#[test]
fn rows_that_failed_are_left_as_they_were_and_can_be_sent_again() {
    let place = Place::new();
    let csv = "code;note\nJFK;a\nLAX;b;too much\n\n\"SEA\";\"x\ny\"\nBOS\nnowhere;c\n";
    fs::write(place.path("leads.csv"), csv).unwrap();
    for bytes in ["1", "1000"] {
        let more = ["-o", "x.csv", "--failed", "bad.csv", "--batch-bytes", bytes, "-q"];
        let said = place.ok_json(&append("leads.csv", &more));
        assert_eq!(said["failed_rows"], 2, "{said}");
        assert_eq!(fs::read_to_string(place.path("bad.csv")).unwrap(), "code;note\nLAX;b;too much\nBOS\n");
    }
    fs::write(place.path("bad.csv"), "code;note\nLAX;b\nBOS;d\n").unwrap();
    place.ok(&append("bad.csv", &["-o", "y.csv", "--failed", "worse.csv", "-q"]));
    assert!(!place.path("worse.csv").exists());
    let lines = "{\"code\": \"JFK\"}\n[1]\n{\"code\": \"LAX\"}\nno json\n";
    fs::write(place.path("leads.jsonl"), lines).unwrap();
    place.ok(&append("leads.jsonl", &["-o", "x.csv", "--failed", "bad.jsonl", "-q"]));
    assert_eq!(fs::read_to_string(place.path("bad.jsonl")).unwrap(), "[1]\nno json\n");
}

#[test]
fn rows_with_several_records_fail_or_come_for_each_as_told() {
    let place = Place::new();
    fs::write(place.path("c.csv"), "n,country\n1,MT\n2,US\n3,US\n4,ZZ\n5\n").unwrap();
    let run = |how: &str| {
        place.ok_json(&[
            "append",
            "c.csv",
            "--dataset",
            "airports",
            "--on",
            "country=country",
            "--fields",
            "iata",
            "--on-multiple",
            how,
            "-o",
            "x.jsonl",
            "--failed",
            "bad.csv",
            "-q",
        ])
    };
    assert_eq!(run("error")["failed_rows"], 3);
    assert_eq!(fs::read_to_string(place.path("bad.csv")).unwrap(), "n,country\n2,US\n3,US\n5\n");
    assert_eq!(run("all")["failed_rows"], 1);
    assert_eq!(fs::read_to_string(place.path("bad.csv")).unwrap(), "n,country\n5\n");
    assert!(fs::read_to_string(place.path("x.jsonl")).unwrap().lines().count() > 100);
    assert_eq!(run("first")["failed_rows"], 1);
}

#[test]
fn what_is_wrong_is_known_before_anything_is_uploaded() {
    let place = Place::new();
    fs::write(place.path("leads.csv"), leads(3)).unwrap();
    fs::write(place.path("empty.csv"), "").unwrap();
    fs::write(place.path("x.parquet"), "PAR1").unwrap();
    let on =
        |on: &'static str| vec!["append", "leads.csv", "--dataset", "airports", "--on", on, "-o", "x.csv"];
    for (arguments, words) in [
        (on("cod=iata"), "no column \"cod\"; its columns are \"n\", \"code\", \"note\""),
        (on("code=itaa"), "\"iata\""),
        (on("code=iata:sound"), "iata:sound"),
        (on("=iata"), "COLUMN=COLUMN"),
        (append("missing.csv", &["-o", "x.csv"]), "missing.csv"),
        (append("empty.csv", &["-o", "x.csv"]), "empty"),
        (append(".", &["-o", "x.csv"]), "not a file"),
        (append("leads.csv", &["-o", "x.csv", "--format", "xml"]), "xml"),
        (append("leads.csv", &["-o", "x.csv", "--compare", "sound"]), "sound"),
        (append("leads.csv", &["-o", "x.csv", "--failed", "leads.csv"]), "--failed"),
        (append("leads.csv", &["-o", "x.csv", "--failed", "x.csv"]), "--failed"),
        (append("leads.csv", &["-o", "x.parquet", "--failed", "bad.csv"]), "csv or jsonl"),
        (append("x.parquet", &["-o", "x.csv", "--failed", "bad.csv"]), "cannot take rows out of"),
        (append("leads.csv", &["-o", "x.csv", "--batch-bytes", "0"]), "batch-bytes"),
        (append("leads.csv", &[]), "--output"),
        (vec!["append", "leads.csv", "--dataset", "nope", "--on", "code", "-o", "x.csv"], "nope"),
        (vec!["call", "leads.csv", "--upstream", "nope", "-o", "x.jsonl"], "nope"),
    ] {
        let output = place.run(&arguments);
        let said = text(&output.stderr);
        assert_eq!(code(&output), 2, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert_eq!(place.names(), ["empty.csv", "leads.csv", "x.parquet"]);
    assert_eq!(place.ok_json(&["list"])["jobs"], Value::Array(Vec::new()));
}

#[test]
fn a_file_that_is_not_what_it_is_called_fails_and_says_why() {
    let place = Place::new();
    fs::write(place.path("leads.csv.gz"), "n,code\n1,JFK\n").unwrap();
    let output = place.run(&append("leads.csv.gz", &["-o", "x.csv", "-q"]));
    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).contains("leads.csv.gz"), "{}", text(&output.stderr));
    assert_eq!(place.names(), ["leads.csv.gz"]);
}

#[test]
fn an_interrupted_command_goes_on_with_the_same_job() {
    let place = Place::new();
    let mut server = Server::start(&place);
    // Enough to be under way still when the time is over.
    fs::write(place.path("leads.csv"), leads(40_000)).unwrap();
    let run = |server: &Server<'_>, more: &[&str]| {
        let output = server.run(&append("leads.csv", &[&["--batch-bytes", "300000"], more].concat()));
        (code(&output), text(&output.stderr))
    };
    let jobs = |server: &Server<'_>| -> Vec<String> {
        let listed: Value = serde_json::from_str(&server.ok(&["list", "--json"])).unwrap();
        let jobs = listed["jobs"].as_array().unwrap();
        jobs.iter().map(|job| job["job_id"].as_str().unwrap().to_owned()).collect()
    };
    let (given_up, said) = run(&server, &["-o", "x.csv", "--timeout", "0"]);
    assert_eq!(given_up, 5, "{said}");
    assert_eq!(place.names(), [".x.csv.willcall", "leads.csv"]);
    let begun = jobs(&server);
    assert!(begun.len() == 1 && said.contains(&format!("willcall cancel {}", begun[0])), "{said}");
    let (done, said) = run(&server, &["-o", "x.csv"]);
    assert_eq!(done, 0, "{said}");
    assert!(said.contains(&format!("goes on with job {}", begun[0])), "{said}");
    assert_eq!(jobs(&server), begun);
    let rows = fs::read_to_string(place.path("x.csv")).unwrap();
    assert!(rows.contains("\n39999,BOS,") && rows.matches("_match").count() == 1);
    assert_eq!(place.names(), ["leads.csv", "x.csv"]);
    // A server that is gone leaves all as it is. At another port it is another place: the job is named then.
    assert_eq!(server.terminate(), 0);
    let (gone, said) = run(&server, &["-o", "y.csv", "--resume", &begun[0]]);
    assert_eq!(gone, 5, "{said}");
    server.restart();
    let (done, said) = run(&server, &["-o", "y.csv", "--resume", &begun[0]]);
    assert_eq!(done, 0, "{said}");
    assert_eq!(fs::read_to_string(place.path("y.csv")).unwrap(), rows);
    assert_eq!(jobs(&server), begun);
    // Other rows are no part of that job, and a query takes none.
    fs::write(place.path("leads.csv"), leads(39_999)).unwrap();
    let (other, said) = run(&server, &["-o", "y.csv", "--resume", &begun[0]]);
    assert!(other == 2 && said.contains("no part of leads.csv"), "{said}");
    let query = server.ok(&["submit", "airports"]).trim().to_owned();
    let (other, said) = run(&server, &["-o", "y.csv", "--resume", &query]);
    assert!(other == 2 && said.contains("of kind"), "{said}");
    assert_eq!(fs::read_to_string(place.path("y.csv")).unwrap(), rows);
}
