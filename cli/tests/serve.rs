//! `willcall serve`, and the command as its client.

#![allow(clippy::unwrap_used, reason = "a test stops where anything goes wrong")]

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use common::{Place, Server, code, text, wait};
use serde_json::Value;

/// What curl would get.
fn get(server: &Server<'_>, path: &str, token: &str) -> (u16, String) {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn a_client_gets_from_a_server_what_it_gets_by_itself() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let server = Server::start(&place);
    let query = ["get", "flights", "--filter", "dest = 'SEA'", "-q", "-o"];
    server.ok(&[&query[..], &["remote.csv"]].concat());
    elsewhere.ok(&[&query[..], &["local.csv"]].concat());
    let remote = fs::read(place.path("remote.csv")).unwrap();
    assert!(remote.len() > 10_000);
    assert_eq!(remote, fs::read(elsewhere.path("local.csv")).unwrap());
    let submitted = server.ok(&["submit", "airports", "--param", "country=NA", "--label", "team=ops"]);
    let job = submitted.trim();
    let ended: Value = serde_json::from_str(&server.ok(&["status", job, "--wait", "--json"])).unwrap();
    assert_eq!((&ended["state"], &ended["labels"]["team"]), (&"completed".into(), &"ops".into()));
    assert!(ended["link"].as_str().unwrap().starts_with(&server.url));
    assert!(server.ok(&["list", "--label", "team=ops"]).contains(job));
    assert!(server.ok(&["account", "show"]).contains("standard"));
}

#[test]
fn the_first_start_shows_a_token_once_and_never_in_the_log() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let said = fs::read_to_string(place.path("out")).unwrap();
    let token = said.lines().map(str::trim).find(|line| line.starts_with("wc_")).unwrap().to_owned();
    assert_eq!(said.matches("curl ").count(), 3, "{said}");
    assert_eq!(get(&server, "/v1/account", &token).0, 200);
    assert_eq!(server.terminate(), 0);
    fs::remove_file(place.path("out")).unwrap();
    server.restart();
    assert!(!fs::read_to_string(place.path("out")).unwrap().contains("wc_"));
    let log = fs::read_to_string(place.path("log")).unwrap();
    assert!(log.contains("serving") && !log.contains("wc_"), "{log}");
    assert_eq!(get(&server, "/v1/account", &token).0, 200);
}

#[test]
fn a_token_stops_working_when_it_is_revoked() {
    let place = Place::new();
    let server = Server::start(&place);
    let made = place.ok_json(&["token", "create", "--account", "acme", "--plan", "trial", "--scope", "read"]);
    let token = made["token"].as_str().unwrap();
    assert_eq!(get(&server, "/v1/datasets/flights", token).0, 200);
    assert_eq!(get(&server, "/v1/datasets/airports", token).0, 404);
    let listed = place.ok(&["token", "list"]);
    assert!(listed.contains(made["id"].as_str().unwrap()) && !listed.contains(token), "{listed}");
    place.ok(&["token", "revoke", made["id"].as_str().unwrap()]);
    assert_eq!(get(&server, "/v1/datasets/flights", token).0, 401);
    assert_eq!(code(&place.run(&["token", "revoke", "0123456789ab"])), 3);
    assert_eq!(code(&place.run(&["token", "create", "--account", "acme", "--plan", "standard"])), 2);
    assert_eq!(code(&place.run(&["token", "create", "--account", "new", "--plan", "gold"])), 2);
    assert_eq!(code(&place.run(&["token", "create", "--account", "A/.."])), 2);
    assert_eq!(code(&server.run(&["token", "list"])), 2);
}

#[test]
fn failures_have_codes_of_their_own_and_never_show_the_token() {
    let place = Place::new();
    let server = Server::start(&place);
    let no_token = server.client(&["list"]).env_remove("WILLCALL_TOKEN").output().unwrap();
    assert_eq!(code(&no_token), 4);
    assert!(text(&no_token.stderr).contains("WILLCALL_TOKEN"));
    let secret = "wc_0123456789012345678901234567890123456789012AAAAAA";
    let wrong = server.client(&["list"]).env("WILLCALL_TOKEN", secret).output().unwrap();
    assert_eq!(code(&wrong), 4);
    assert!(!text(&wrong.stderr).contains(secret));
    let weak = place.ok(&["token", "create", "--account", "tests", "--scope", "read"]);
    let refused = server.client(&["submit", "flights"]).env("WILLCALL_TOKEN", weak.trim()).output().unwrap();
    assert_eq!(code(&refused), 4);
    let nobody = server.client(&["list"]).env("WILLCALL_SERVER", "http://127.0.0.1:1").output().unwrap();
    assert_eq!(code(&nobody), 5);
    assert!(text(&nobody.stderr).contains("willcall serve"));
    for address in ["127.0.0.1:8787", "ftp://x", "http://", "http://u:p@h"] {
        let output = server.client(&["list"]).env("WILLCALL_SERVER", address).output().unwrap();
        assert_eq!(code(&output), 2, "{address}");
    }
    assert_eq!(code(&server.run(&["get", "flights", "--filter", "a ~ b", "-o", "x.csv"])), 2);
    assert!(place.names().is_empty());
}

#[test]
fn a_data_directory_that_is_served_is_refused_and_the_server_named() {
    let place = Place::new();
    let server = Server::start(&place);
    let mode = fs::metadata(place.path("data/address")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "what is in the data directory is its owner's alone");
    let output = place.run(&["get", "flights", "-o", "x.csv"]);
    assert_eq!(code(&output), 5);
    let said = text(&output.stderr);
    assert!(said.contains(&format!("--server {}", server.url)), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let (place, other) = (Place::new(), Place::new());
    let server = Server::start(&place);
    let address = server.url.strip_prefix("http://").unwrap();
    let output = other.run(&["serve", "--bind", address]);
    assert_eq!(code(&output), 5);
    assert!(text(&output.stderr).contains(address) && text(&output.stderr).contains("--bind"));
}

#[test]
fn a_result_that_was_tampered_with_fails_loudly() {
    let place = Place::new();
    let server = Server::start(&place);
    let job =
        server.ok(&["submit", "flights", "--filter", "dest = 'SEA'", "--format", "csv"]).trim().to_owned();
    server.ok(&["status", &job, "--wait"]);
    let file = place.path("data").join("blobs/results/tests").join(&job).join("1/result.csv");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let output = server.run(&["download", &job, "-o", "x.csv"]);
    assert_eq!(code(&output), 6, "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("SHA-256"));
    assert!(place.names().is_empty());
}

#[test]
fn sigterm_ends_with_success_and_a_restart_takes_jobs_up() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let job = server.ok(&["submit", "flights", "--sort", "-dep_delay", "--format", "json"]).trim().to_owned();
    assert_eq!(server.terminate(), 0, "{}", fs::read_to_string(place.path("log")).unwrap());
    server.restart();
    let ended: Value = serde_json::from_str(&server.ok(&["status", &job, "--wait", "--json"])).unwrap();
    assert_eq!((&ended["state"], &ended["result"]["records"]), (&"completed".into(), &336_776.into()));
}

#[test]
fn a_killed_server_finishes_its_jobs_after_a_restart() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let submit = |server: &Server<'_>| server.ok(&["submit", "flights", "--format", "csv"]).trim().to_owned();
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(submit(&server));
        jobs.push(submit(&server));
        server.kill_and_restart();
    }
    let mut digests = Vec::new();
    for job in &jobs {
        let ended: Value = serde_json::from_str(&server.ok(&["status", job, "--wait", "--json"])).unwrap();
        assert_eq!(ended["result"]["records"], 336_776, "{ended}");
        digests.push(ended["result"]["sha256"].clone());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
    server.ok(&["download", &jobs[0], "-o", "x.csv", "-q"]);
}

#[test]
fn an_interrupt_cancels_the_job() {
    let place = Place::new();
    let server = Server::start(&place);
    // Sorted and large, so that it is still under way when the signal comes.
    let mut child = server
        .client(&["get", "flights", "--sort", "tailnum,-dep_time,dest", "--format", "json", "-o", "x.json"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first line says that the job is accepted, so the signals are listened for.
    let mut stderr = child.stderr.take().unwrap();
    let mut first = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stderr.read_exact(&mut byte).unwrap();
        first.push(byte[0]);
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    assert_eq!(wait(&mut child), 130);
    let line = text(&first);
    let job = line.split(' ').nth(1).unwrap();
    let state: Value = serde_json::from_str(&server.ok(&["status", job, "--json"])).unwrap();
    assert_eq!(state["state"], "cancelled");
    assert!(place.names().is_empty());
}

#[test]
fn a_zip_of_result_and_manifest_is_packed_by_the_server() {
    let place = Place::new();
    let server = Server::start(&place);
    let job = server.ok(&["submit", "airports", "--format", "csv"]).trim().to_owned();
    server.ok(&["download", &job, "--zip", "--wait", "-q", "-o", "x.zip"]);
    server.ok(&["download", &job, "-q", "-o", "x.csv"]);
    let csv = fs::read(place.path("x.csv")).unwrap();
    let zip = fs::read(place.path("x.zip")).unwrap();
    assert!(zip.starts_with(b"PK\x03\x04") && zip.windows(csv.len()).any(|part| part == csv));
    assert!(zip.windows(13).any(|part| part == b"manifest.json"));
}
