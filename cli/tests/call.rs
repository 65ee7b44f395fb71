//! `willcall call`: an upstream called for each item, through batches, to one file.

#![allow(clippy::unwrap_used, reason = "a test stops where anything goes wrong")]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Output,
};

use common::{Place, code, text};
use serde_json::Value;

/// An upstream that takes every item but those that are called `bad`, in a catalog that names it.
fn upstream(place: &Place) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut asked = String::new();
            stream.read_line(&mut asked).unwrap();
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let (status, body) =
                if asked.contains("bad") { ("422 No", "{}") } else { ("200 OK", "{\"ok\":true}") };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.get_mut().write_all((head + body).as_bytes());
        }
    });
    let catalog = format!(
        "[upstreams.people]\nurl = \"http://{address}/people/{{id}}\"\nallow = [\"127.0.0.1\"]\nretries = {{ attempts = 1 }}\n"
    );
    fs::write(place.path("c.toml"), catalog).unwrap();
}

fn call(place: &Place, more: &[&str]) -> Output {
    let arguments =
        [&["call"][..], more, &["--upstream", "people", "--catalog", "c.toml", "--json", "-q"]].concat();
    place.bare(&arguments).output().unwrap()
}

fn said(output: &Output) -> Value {
    assert_eq!(code(output), 0, "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn each_item_comes_back_in_its_place_and_those_that_failed_can_be_sent_again() {
    let place = Place::new();
    upstream(&place);
    let items: String =
        ["a", "bad-1", "b", "c", "bad-2", "d"].iter().map(|id| format!("{{\"id\":\"{id}\"}}\n")).collect();
    fs::write(place.path("items.jsonl"), &items).unwrap();
    for bytes in ["20", "1000"] {
        let more = ["items.jsonl", "-o", "x.jsonl", "--failed", "bad.jsonl", "--batch-bytes", bytes];
        let said = said(&call(&place, &more));
        let counts = &said["job"]["progress"]["counts"];
        assert_eq!((&counts["succeeded"], &counts["failed"]), (&4.into(), &2.into()), "{said}");
        let lines = fs::read_to_string(place.path("x.jsonl")).unwrap();
        let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["a", "bad-1", "b", "c", "bad-2", "d"]);
        assert_eq!((&rows[0]["body"]["ok"], &rows[1]["status"]), (&true.into(), &422.into()));
        let failed = fs::read_to_string(place.path("bad.jsonl")).unwrap();
        assert_eq!(failed, "{\"id\":\"bad-1\"}\n{\"id\":\"bad-2\"}\n");
    }
    // What failed goes in again as it is, as CSV too, and results may be CSV.
    let again = said(&call(&place, &["bad.jsonl", "-o", "y.csv", "--failed", "worse.jsonl"]));
    assert_eq!(again["failed_rows"], 2);
    fs::write(place.path("items.csv"), "id,note\na,\"x\ny\"\nbad,z\n").unwrap();
    let csv =
        said(&call(&place, &["items.csv", "-o", "y.csv.gz", "--failed", "bad.csv", "--batch-bytes", "1"]));
    assert_eq!(csv["failed_rows"], 1);
    assert_eq!(fs::read_to_string(place.path("bad.csv")).unwrap(), "id,note\nbad,z\n");
}

#[test]
fn after_enough_errors_the_rest_is_left_to_be_sent_again() {
    let place = Place::new();
    upstream(&place);
    fs::write(place.path("items.csv"), "id\nbad\nbad\n".to_owned() + &"a\n".repeat(200)).unwrap();
    let more = ["items.csv", "-o", "x.jsonl", "--failed", "bad.csv", "--max-errors", "1"];
    let said = said(&call(&place, &more));
    let failed = said["failed_rows"].as_u64().unwrap();
    assert!(failed > 100, "{said}");
    assert_eq!(fs::read_to_string(place.path("bad.csv")).unwrap().lines().count() as u64, failed + 1);
    let nobody = call(&place, &["items.csv", "-o", "x.jsonl", "--max-errors", "0"]);
    assert_eq!(code(&nobody), 2, "{}", text(&nobody.stderr));
}
