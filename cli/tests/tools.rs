//! What makes the command pleasant to use: completions, the manual, previews, requests in files, downloads that go on.

#![allow(clippy::unwrap_used, reason = "a test stops where anything goes wrong")]

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use common::{Place, Server, code, text};
use serde_json::{Value, json};

#[test]
fn completions_know_every_command_in_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = common::succeeded(place.bare(&["completions", shell]).output().unwrap());
        for word in ["get", "dataset", "preview", "completions", "csv-delimiter"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(code(&place.bare(&["completions", "tcsh"]).output().unwrap()), 2);
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let place = Place::new();
    let page = common::succeeded(place.bare(&["man"]).output().unwrap());
    assert!(page.contains(".TH willcall 1") && page.contains("Exit codes"), "{page}");
    let page = common::succeeded(place.bare(&["man", "dataset", "show"]).output().unwrap());
    assert!(page.contains("Show one with its columns"), "{page}");
    assert_eq!(code(&place.bare(&["man", "gte"]).output().unwrap()), 2);
    // A secret in the environment has no place in a page.
    common::succeeded(
        place.bare(&["man", "--dir", "a/man"]).env("WILLCALL_TOKEN", "wc_secret").output().unwrap(),
    );
    let mut pages = Vec::new();
    for entry in fs::read_dir(place.path("a/man")).unwrap() {
        let path = entry.unwrap().path();
        assert!(!fs::read_to_string(&path).unwrap().contains("wc_secret"));
        pages.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    for page in ["willcall.1", "willcall-get.1", "willcall-dataset-preview.1", "willcall-webhook-rotate.1"] {
        assert!(pages.iter().any(|found| found == page), "{page}: {pages:?}");
    }
    assert!(!pages.iter().any(|page| page.contains("help")), "{pages:?}");
    fs::write(place.path("file"), "").unwrap();
    assert_eq!(code(&place.bare(&["man", "--dir", "file"]).output().unwrap()), 1);
}

#[test]
fn a_preview_is_a_table_of_the_first_records() {
    let place = Place::new();
    let table = place.ok(&["dataset", "preview", "airports", "-n", "3", "--fields", "iata,name,lat"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    let column = lines[0].find("name").unwrap();
    assert!(lines[0].starts_with("iata  "), "{table}");
    assert!(lines[1..].iter().all(|line| line.as_bytes()[column - 1] == b' '), "{table}");
    let records = place.ok_json(&["dataset", "preview", "flights"]);
    assert_eq!(records.as_array().unwrap().len(), 10);
    assert!(records[0]["origin"].is_string());
    assert_eq!(code(&place.run(&["dataset", "preview", "nope"])), 2);
    let output = place.run(&["dataset", "preview", "airports", "--fields", "nme"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("\"name\""), "{}", text(&output.stderr));
}

#[test]
fn a_request_may_come_from_a_file() {
    let place = Place::new();
    let request = json!({ "kind": "query", "dataset": "airports", "fields": ["iata"], "limit": 3 });
    fs::write(place.path("q.json"), request.to_string()).unwrap();
    place.ok(&["get", "--request", "q.json", "-o", "x.csv", "-q"]);
    assert_eq!(fs::read_to_string(place.path("x.csv")).unwrap().lines().count(), 4);
    place.ok(&["get", "--request", "q.json", "-q", "--limit", "1", "--format", "jsonl"]);
    assert_eq!(fs::read_to_string(place.path("airports.jsonl")).unwrap().lines().count(), 1);
    // What is wrong in it is named like what is wrong in options.
    fs::write(place.path("q.json"), r#"{"dataset": "airports", "feilds": ["iata"]}"#).unwrap();
    let output = place.run(&["get", "--request", "q.json", "-o", "y.csv"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("feilds"), "{}", text(&output.stderr));
    for wrong in ["not json", "[1]", r#"{"kind": "call"}"#] {
        fs::write(place.path("q.json"), wrong).unwrap();
        assert_eq!(code(&place.run(&["get", "--request", "q.json", "-o", "y.csv"])), 2, "{wrong}");
    }
    assert_eq!(code(&place.run(&["get", "--request", "missing.json", "-o", "y.csv"])), 2);
    assert_eq!(code(&place.run(&["get", "-o", "y.csv"])), 2);
    assert_eq!(place.names(), ["airports.jsonl", "q.json", "x.csv"]);
}

/// The tag of the file that a link leads to.
fn tag(link: &str) -> String {
    let (address, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "HEAD /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut head = String::new();
    stream.read_to_string(&mut head).unwrap();
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("etag:")).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

#[test]
fn a_download_that_was_cut_off_by_a_crash_goes_on() {
    let place = Place::new();
    let server = Server::start(&place);
    let job = server.ok(&["submit", "flights", "--limit", "20000", "--format", "csv"]).trim().to_owned();
    let status: Value = serde_json::from_str(&server.ok(&["status", &job, "--wait", "--json"])).unwrap();
    server.ok(&["download", &job, "-o", "whole.csv"]);
    let whole = fs::read(place.path("whole.csv")).unwrap();
    let (part, note) =
        (place.path(&format!(".willcall-{job}.part")), place.path(&format!(".willcall-{job}.tag")));
    let leave = |bytes: &[u8], tag: &str| {
        fs::write(&part, bytes).unwrap();
        fs::write(&note, tag).unwrap();
    };
    let tag = tag(status["download_link"].as_str().unwrap());
    leave(&whole[..100_000], &tag);
    server.ok(&["download", &job, "-o", "x.csv"]);
    assert_eq!(fs::read(place.path("x.csv")).unwrap(), whole);
    // That it went on and did not begin anew shows where the part is damaged.
    let mut damaged = whole[..100_000].to_vec();
    damaged[77] ^= 1;
    leave(&damaged, &tag);
    let output = server.run(&["download", &job, "-o", "x.csv"]);
    assert_eq!(code(&output), 6, "{}", text(&output.stderr));
    assert!(!part.exists() && !note.exists());
    // The tag of another file, all of it, and more than all of it.
    for (bytes, tag) in [(&damaged[..], "\"other\""), (&whole, &tag), (&[&whole[..], b"x"].concat(), &tag)] {
        leave(bytes, tag);
        server.ok(&["download", &job, "-o", "x.csv"]);
        assert_eq!(fs::read(place.path("x.csv")).unwrap(), whole);
    }
    assert_eq!(place.names(), ["whole.csv", "x.csv"]);
}
