//! A result and its manifest in one zip, packed by the command itself, and read by means that were not written here.

#![allow(clippy::unwrap_used, reason = "a test stops where anything goes wrong")]

mod common;

use std::{fs, io::Read};

use common::{Place, code, text};
use rawzip::ZipArchive;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The files of a zip, each compared with its CRC-32 and its size.
fn unzip(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let archive = ZipArchive::from_slice(zip).unwrap();
    let (mut files, mut entries) = (Vec::new(), archive.entries());
    while let Some(entry) = entries.next_entry().unwrap() {
        let name = entry.file_path().try_normalize().unwrap().as_ref().to_owned();
        let local = archive.get_entry(entry.wayfinder()).unwrap();
        let mut bytes = Vec::new();
        local.verifying_reader(local.data()).read_to_end(&mut bytes).unwrap();
        files.push((name, bytes));
    }
    files
}

#[test]
fn an_output_that_ends_in_zip_holds_the_result_and_its_manifest() {
    let place = Place::new();
    for (output, plain, ending) in [
        ("x.zip", "x.json", ".json"),
        ("x.csv.zip", "x.csv", ".csv"),
        ("x.CSV.GZ.Zip", "x.csv.gz", ".csv.gz"),
        ("x.parquet.zip", "x.parquet", ".parquet"),
    ] {
        let get = |output| place.ok_json(&["get", "airports", "--limit", "50", "-q", "-o", output]);
        let (said, _) = (get(output), get(plain));
        let zip = fs::read(place.path(output)).unwrap();
        assert_eq!((&said["verified"], &said["bytes"]), (&true.into(), &zip.len().into()), "{said}");
        assert_eq!(said["sha256"], hex::encode(Sha256::digest(&zip)));
        let files = unzip(&zip);
        let [(name, bytes), (second, manifest)] = files.as_slice() else { panic!("{} files", files.len()) };
        assert!(name.starts_with("airports-") && name.ends_with(ending), "{name}");
        assert_eq!(second, "manifest.json");
        assert!(*bytes == fs::read(place.path(plain)).unwrap(), "{output}");
        let manifest: Value = serde_json::from_slice(manifest).unwrap();
        assert_eq!((&manifest["job_id"], &manifest["records"]), (&said["job"]["job_id"], &50.into()));
        fs::remove_file(place.path(output)).unwrap();
        fs::remove_file(place.path(plain)).unwrap();
    }
    assert!(place.names().is_empty(), "nothing is left beside: {:?}", place.names());
}

#[test]
fn a_zip_can_be_asked_for_by_an_option() {
    let place = Place::new();
    let sql = "SELECT count(*) AS k FROM airports";
    let arguments = ["get", "--sql", sql, "--format", "csv", "--name", "how many", "--zip", "-o", "-"];
    let output = place.run(&arguments);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let files = unzip(&output.stdout);
    assert_eq!(files[0].0, "how-many.csv");
    assert!(files[0].1.starts_with(b"k\n"));

    let unnamed = ["get", "airports", "--limit", "3", "--format", "csv", "--zip", "-q"];
    place.ok(&unnamed);
    let first = fs::read(place.path("airports.zip")).unwrap();
    assert_eq!(unzip(&first)[0].1.split(|byte| *byte == b'\n').count(), 5);
    let again = place.run(&unnamed);
    assert_eq!(code(&again), 1);
    assert!(text(&again.stderr).contains("airports.zip is there already"), "{}", text(&again.stderr));
    assert!(fs::read(place.path("airports.zip")).unwrap() == first);

    // A job that there is.
    let job = place.ok(&["submit", "airports", "--format", "csv", "--limit", "3"]).trim().to_owned();
    place.ok(&["download", &job, "--wait", "-q", "-o", "named.zip"]);
    place.ok(&["download", &job, "--zip", "-q", "-o", "other"]);
    let named = fs::read(place.path("named.zip")).unwrap();
    assert_eq!(unzip(&named).len(), 2);
    assert!(fs::read(place.path("other")).unwrap() == named, "it is packed once, and kept");
}

#[test]
fn a_result_that_was_tampered_with_is_not_delivered_in_a_zip_either() {
    let place = Place::new();
    let said = place.ok_json(&["get", "airports", "--limit", "50", "-q", "-o", "whole.csv"]);
    let job = said["job"]["job_id"].as_str().unwrap();
    let result = place.path("data").join("blobs/results/local").join(job).join("1/result.csv");
    let mut changed = fs::read(&result).unwrap();
    changed[100] ^= 1;
    fs::write(&result, changed).unwrap();
    for output in ["again.zip", "-"] {
        let output = place.run(&["download", job, "--zip", "-o", output]);
        assert_eq!((code(&output), output.stdout.len()), (6, 0), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(
            said.contains(".csv in it has the SHA-256") && said.contains("nothing was written"),
            "{said}"
        );
    }
    assert_eq!(place.names(), ["whole.csv"]);
}

#[test]
fn what_has_no_result_has_no_zip() {
    let place = Place::new();
    let job = place.ok(&["submit", "airports"]).trim().to_owned();
    place.ok(&["cancel", &job]);
    let output = place.run(&["download", &job, "-o", "x.zip"]);
    assert_eq!(code(&output), 1, "{}", text(&output.stderr));
    let output = place.run(&["download", "0192f6a0-7c1e-7b3a-9f00-3d1c5a8e2b41", "-o", "x.zip"]);
    assert_eq!(code(&output), 3, "{}", text(&output.stderr));
    let output = place.run(&["get", "airports", "--format", "zip", "-o", "x.zip"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("format"), "{}", text(&output.stderr));
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn rows_are_not_put_together_in_a_zip() {
    let place = Place::new();
    fs::write(place.path("rows.csv"), "iata\nJFK\n").unwrap();
    let append = ["append", "rows.csv", "--dataset", "airports", "--on", "iata", "-o"];
    for output in ["x.zip", "x.csv.ZIP"] {
        let output = place.run(&[&append[..], &[output]].concat());
        assert_eq!(code(&output), 2);
        let said = text(&output.stderr);
        assert!(said.contains("would be a zip") && said.contains("willcall download JOB --zip"), "{said}");
    }
    let output = place.run(&[&append[..], &["x.csv", "--failed", "failed.csv.zip"]].concat());
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("without .gz, .zst or .zip"), "{}", text(&output.stderr));
    assert_eq!(place.names(), ["rows.csv"]);
    assert_eq!(place.ok_json(&["list"])["jobs"], Value::Array(Vec::new()), "no job is made");

    // What is advised works.
    place.ok(&[&append[..], &["x.csv", "-q"]].concat());
    let jobs = place.ok_json(&["list"]);
    let job = jobs["jobs"][0]["job_id"].as_str().unwrap();
    place.ok(&["download", job, "--zip", "-q", "-o", "x.zip"]);
    let files = unzip(&fs::read(place.path("x.zip")).unwrap());
    assert!(files.len() == 2 && files[0].1 == fs::read(place.path("x.csv")).unwrap());
}
