//! What the command reads and writes: names that tell formats, files that are not to be overwritten, streams, and what is left behind.

#![allow(clippy::unwrap_used, reason = "a test stops where anything goes wrong")]

mod common;

use std::{
    fs::{self, File},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use common::{PATIENCE, Place, code, text};
use serde_json::Value;
use willcall_core::webhook::EventKind;

const LEADS: &str = "n,code\n1,ZRH\n2,XXX\n3,JFK\n";

fn append<'a>(input: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["append", input, "--dataset", "airports", "--on", "code=iata", "--fields", "city"], more].concat()
}

fn refused(output: &Output, words: &str) {
    let said = text(&output.stderr);
    assert_eq!(code(output), 2, "{said}");
    assert!(said.contains(words), "{said}");
}

#[test]
fn an_output_is_never_one_of_the_files_that_are_read_for_it() {
    let place = Place::new();
    fs::write(place.path("leads.csv"), LEADS).unwrap();
    std::os::unix::fs::symlink(place.path("leads.csv"), place.path("soft.csv")).unwrap();
    fs::hard_link(place.path("leads.csv"), place.path("hard.csv")).unwrap();
    for (input, output) in [
        ("leads.csv", "leads.csv"),
        ("leads.csv", "./soft.csv"),
        ("soft.csv", "leads.csv"),
        ("leads.csv", "hard.csv"),
    ] {
        refused(&place.run(&append(input, &["-o", output])), "would be overwritten");
        refused(&place.run(&append(input, &["-o", "x.csv", "--failed", output])), "--failed names the file");
    }
    let call = ["call", "leads.csv", "--upstream", "nope", "--format", "csv", "-o", "leads.csv"];
    refused(&place.run(&call), "would be overwritten");
    let mut command = place.command(&append("-", &["-o", "leads.csv"]));
    let output = command.stdin(File::open(place.path("leads.csv")).unwrap()).output().unwrap();
    refused(&output, "would be overwritten");
    fs::write(place.path("q.json"), r#"{"dataset": "airports", "limit": 1}"#).unwrap();
    refused(&place.run(&["get", "--request", "q.json", "-o", "q.json"]), "would be overwritten");
    fs::write(place.path("q.sql"), "SELECT 1 AS one").unwrap();
    refused(
        &place.run(&["get", "--sql-file", "q.sql", "--format", "csv", "-o", "q.sql"]),
        "would be overwritten",
    );
    refused(
        &place.run(&append("leads.csv", &["-o", "x.csv", "--failed", "./x.csv"])),
        "--failed names the file",
    );
    assert_eq!(fs::read_to_string(place.path("leads.csv")).unwrap(), LEADS);
    assert_eq!(place.names(), ["hard.csv", "leads.csv", "q.json", "q.sql", "soft.csv"]);
    assert_eq!(place.ok_json(&["list"])["jobs"], Value::Array(Vec::new()));
}

#[test]
fn a_name_that_tells_no_format_asks_for_one() {
    let place = Place::new();
    fs::write(place.path("leads.csv"), LEADS).unwrap();
    let get = |more: &[&'static str]| {
        place.run(&[&["get", "airports", "--fields", "iata", "--limit", "1", "-q"][..], more].concat())
    };
    for name in ["x.foo", "x.txt", "x.csv.bz2", "x.foo.zip", "x.foo.gz"] {
        refused(&get(&["-o", name]), "--format");
        refused(&place.run(&["submit", "airports", "--format", "docx"]), "docx");
    }
    refused(&place.run(&append("leads.csv", &["-o", "x.txt"])), "--format");
    assert_eq!(place.names(), ["leads.csv"]);
    for (arguments, name, begins) in [
        (&["-o", "x.txt", "--format", "csv"][..], "x.txt", "iata\n"),
        (&["-o", "x"], "x", "["),
        (&["-o", "x.csv.zip"], "x.csv.zip", "PK"),
    ] {
        assert_eq!(code(&get(arguments)), 0, "{arguments:?}");
        assert!(text(&fs::read(place.path(name)).unwrap()).starts_with(begins), "{name}");
    }
    assert!(text(&fs::read(place.path("x.csv.zip")).unwrap()).contains(".csv"));
    // A result that is there stays what it is, and the name does not hide it.
    let listed = place.ok_json(&["list"]);
    let job = listed["jobs"][0]["job_id"].as_str().unwrap();
    let output = place.run(&["download", job, "-o", "y.parquet"]);
    assert_eq!(code(&output), 0);
    assert!(text(&output.stderr).contains("it is not made parquet"), "{}", text(&output.stderr));
}

#[test]
fn files_are_called_after_their_jobs_in_whatever_letters() {
    let place = Place::new();
    let arguments =
        ["submit", "airports", "--limit", "1", "--format", "csv", "--name", "../日本 \u{202e}été"];
    let job = place.ok(&arguments).trim().to_owned();
    place.ok(&["download", &job, "--wait", "-q"]);
    place.ok(&["download", &job, "--zip", "-q"]);
    assert_eq!(place.names(), ["日本-été.csv", "日本-été.zip"]);
    let zip = fs::read(place.path("日本-été.zip")).unwrap();
    assert!(text(&zip).contains("日本-été.csv"));
}

#[test]
fn rows_may_come_by_stdin_and_by_pipes() {
    let place = Place::new();
    let with_stdin = |input: &'static str, bytes: &str, more: &[&'static str]| {
        fs::write(place.path("in"), bytes).unwrap();
        // A pipe, as of `cat in | willcall`.
        let mut cat =
            std::process::Command::new("cat").arg(place.path("in")).stdout(Stdio::piped()).spawn().unwrap();
        let output = place.command(&append(input, more)).stdin(cat.stdout.take().unwrap()).output().unwrap();
        cat.wait().unwrap();
        fs::remove_file(place.path("in")).unwrap();
        output
    };
    let expected = "n,code,city,_match,_error\n1,ZRH,Zurich,matched,\n2,XXX,,unmatched,no record matches\n3,JFK,New York,matched,\n";
    let whole = |output: Output| {
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        text(&output.stdout)
    };
    fs::write(place.path("leads.csv"), LEADS).unwrap();
    let by_file = whole(place.run(&append("leads.csv", &["-q", "-o", "-"])));
    assert_eq!(by_file.lines().count(), expected.lines().count(), "{by_file}");
    assert_eq!(whole(with_stdin("-", LEADS, &["-q", "-o", "-"])), by_file);
    assert_eq!(whole(with_stdin("/dev/stdin", LEADS, &["-q", "-o", "-"])), by_file);
    // It is cut into batches, and its rows are told apart, as those of a file.
    let lines = "{\"code\":\"ZRH\"}\n{\"code\":5}\n{\"code\":\n";
    let more = ["-q", "-o", "x.jsonl", "--batch-bytes", "10", "--failed", "bad.jsonl", "--json"];
    let said: Value = serde_json::from_str(&whole(with_stdin("-", lines, &more))).unwrap();
    assert_eq!(said["job"]["batches"]["completed"], 3, "{said}");
    assert_eq!(fs::read_to_string(place.path("bad.jsonl")).unwrap(), "{\"code\":\n");
    refused(&with_stdin("-", "", &["-o", "y.csv"]), "stdin is empty");
    refused(&with_stdin("-", "n\n1\n", &["-o", "y.csv"]), "stdin has no column \"code\"");
    assert_eq!(place.names(), ["bad.jsonl", "leads.csv", "x.jsonl"]);
}

#[test]
fn a_command_that_is_killed_while_it_waits_leaves_no_file() {
    let place = Place::new();
    let directory = place.path("out-here");
    fs::create_dir(&directory).unwrap();
    let mut command = place.command(&["get", "flights", "-o", "out-here/a.csv"]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let journal = place.path("data");
    let deadline = Instant::now() + PATIENCE;
    // The output's place is looked at before the data directory is opened.
    while !journal.exists() {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    // What an earlier release left goes with the next result.
    let stale = directory.join(".willcall-aB3dE6.part");
    File::create(&stale)
        .unwrap()
        .set_modified(std::time::SystemTime::now() - Duration::from_secs(86_400))
        .unwrap();
    fs::write(directory.join(".willcall-fresh1.part"), "another command writes it").unwrap();
    place.ok(&["get", "airports", "--limit", "1", "-q", "-o", "out-here/a.csv"]);
    let mut names: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".willcall-fresh1.part", "a.csv"]);
}

#[test]
fn the_help_of_each_command_is_its_own() {
    let place = Place::new();
    let help = |arguments: &[&str]| {
        let told = common::succeeded(place.bare(&[arguments, &["--help"]].concat()).output().unwrap());
        told.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let append = help(&["append"]);
    assert!(
        append.contains(
            "csv, json, jsonl, parquet, arrow or xlsx [default: what the output's name ends in; csv"
        ),
        "{append}"
    );
    let call = help(&["call"]);
    assert!(call.contains("jsonl, json or csv [default: what the output's name ends in; jsonl"), "{call}");
    for refused in ["xlsx", "arrow", "parquet"] {
        assert!(!call.to_ascii_lowercase().contains(refused), "{refused}: {call}");
    }
    let get = help(&["get"]);
    assert!(get.contains("json, if it has no ending") && get.contains("--parquet-compression"), "{get}");
    let webhook = help(&["webhook", "create"]);
    for event in EventKind::ALL {
        assert!(webhook.contains(event.as_str()), "{event}: {webhook}");
    }
}

#[test]
fn what_is_not_counted_is_not_called_unlimited() {
    let place = Place::new();
    let shown = place.ok(&["account", "show"]);
    let of = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(of("usage.submits_this_minute").ends_with("not counted"), "{shown}");
    assert!(of("limits.submits_per_minute").ends_with("no limit"), "{shown}");
}

#[test]
fn the_check_of_a_catalog_does_not_send_to_itself() {
    let place = Place::new();
    fs::write(place.path("c.toml"), "[datasets.x]\npth = \"y\"\n").unwrap();
    let output = place.bare(&["catalog", "check", "--catalog", "c.toml"]).output().unwrap();
    refused(&output, "pth");
    assert!(!text(&output.stderr).contains("catalog check"), "{}", text(&output.stderr));
}
