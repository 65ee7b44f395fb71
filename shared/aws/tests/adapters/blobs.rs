//! What S3 adds to the contract of blobs: parts, checksums, and many keys.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use willcall_aws::S3BlobStore;
use willcall_conformance::samples::{START, reference};
use willcall_core::ports::{BlobError, BlobKey, BlobPrefix, BlobStore, SignGet, SignPut};

use crate::{
    faulty::{Fault, Faulty},
    place::Place,
    signature,
};

const MIB: usize = 1024 * 1024;
const MEDIA: &str = "application/octet-stream";

impl Place {
    /// Uploads that are neither finished nor given up; waits a while for those that are being given up.
    pub(crate) async fn uploads_left(&self) -> u64 {
        let mut left = 0;
        for _ in 0..100 {
            let uploads = self.raw_s3.list_multipart_uploads().bucket(&self.name).send().await.unwrap();
            left = uploads.uploads().len() as u64;
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        left
    }

    pub(crate) fn blobs(&self) -> Arc<dyn BlobStore> {
        Arc::new(S3BlobStore::new(&self.clients, &self.name))
    }
}

pub(crate) async fn faulty() -> (Faulty, Place) {
    let network = Faulty::new();
    let http = aws_smithy_runtime_api::client::http::SharedHttpClient::new(network.clone());
    (network, Place::through(http).await)
}

fn key() -> BlobKey {
    BlobKey::Result { job: reference("acme"), attempt: 1, file: "result.csv".into() }
}

pub(crate) fn bytes(len: usize) -> Bytes {
    (0..len).map(|n| (n % 251) as u8).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_of_many_parts_is_whole_and_every_part_has_its_checksum() {
    let (network, place) = faulty().await;
    let (store, key, bytes) = (place.blobs(), key(), bytes(21 * MIB + 7));
    // The first part comes last.
    network.address("PUT", "partNumber=1&", 1, Fault::Slow(Duration::from_millis(300)));
    let mut writer = store.writer(&key, MEDIA).await.unwrap();
    for piece in bytes.chunks(3 * MIB + 1) {
        writer.write(bytes.slice_ref(piece)).await.unwrap();
    }
    let head = writer.finish().await.unwrap();
    assert_eq!(head.size, bytes.len() as u64);
    assert_eq!(
        (network.count("PUT"), network.count("crc32 PUT")),
        (3, 3),
        "three parts, each with its checksum"
    );
    let pieces: Vec<Bytes> = store.stream(&key, None).await.unwrap().try_collect().await.unwrap();
    assert_eq!(Sha256::digest(pieces.concat()), Sha256::digest(&bytes));
    let end = bytes.len();
    let read = store.read(&key, (8 * MIB - 3) as u64..end as u64).await.unwrap();
    assert!(read == bytes.slice(8 * MIB - 3..end));
    let object = place.raw_s3.head_object().bucket(&place.name).key(key.to_string()).send().await.unwrap();
    assert_eq!(object.content_type(), Some(MEDIA));
    assert_eq!(place.uploads_left().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_dropped_or_aborted_is_given_up() {
    let place = Place::new().await;
    let (store, key) = (place.blobs(), key());
    for abort in [true, false] {
        let mut writer = store.writer(&key, MEDIA).await.unwrap();
        writer.write(bytes(9 * MIB)).await.unwrap();
        let uploads = place.raw_s3.list_multipart_uploads().bucket(&place.name).send().await.unwrap();
        assert_eq!(uploads.uploads().len(), 1, "it was begun");
        if abort {
            writer.abort().await.unwrap();
        } else {
            drop(writer);
        }
        assert_eq!(place.uploads_left().await, 0);
        assert_eq!(store.head(&key).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_fails_once_is_sent_again() {
    let (network, place) = faulty().await;
    let (store, key, bytes) = (place.blobs(), key(), bytes(17 * MIB));
    network.address("PUT", "partNumber=1&", 1, Fault::Answer(500, ""));
    network.address("PUT", "partNumber=2&", 1, Fault::AnswerLost);
    let mut writer = store.writer(&key, MEDIA).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(network.count("PUT"), 5, "three parts and two tries again");
    assert!(store.read(&key, 0..bytes.len() as u64).await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_keeps_failing_leaves_no_blob() {
    let (network, place) = faulty().await;
    let (store, key) = (place.blobs(), key());
    network.address("PUT", "partNumber=2&", 100, Fault::Answer(503, "<Error><Code>SlowDown</Code></Error>"));
    let mut writer = store.writer(&key, MEDIA).await.unwrap();
    let mut outcome = Ok(());
    for _ in 0..12 {
        outcome = writer.write(bytes(8 * MIB)).await;
        if outcome.is_err() {
            break;
        }
    }
    assert!(matches!(outcome, Err(BlobError::Unavailable(_))), "{outcome:?}");
    assert!(writer.write(bytes(1)).await.is_err(), "it stays failed");
    assert!(writer.finish().await.is_err(), "what is left must not become a blob");
    assert_eq!(place.uploads_left().await, 0);
    assert_eq!(store.head(&key).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lost_answer_of_the_last_step_does_not_lose_the_blob() {
    let (network, place) = faulty().await;
    let (store, key) = (place.blobs(), key());
    network.address("POST", "uploadId=", 1, Fault::AnswerLost);
    // The emulator forgives; S3 forgets an upload that it has finished.
    const GONE: &str = "<Error><Code>NoSuchUpload</Code></Error>";
    network.address("POST", "uploadId=", 1, Fault::Answer(404, GONE));
    let mut writer = store.writer(&key, MEDIA).await.unwrap();
    writer.write(bytes(9 * MIB)).await.unwrap();
    let head = writer.finish().await.unwrap();
    assert_eq!(head.size, 9 * MIB as u64);
    assert_eq!(network.count("POST"), 3, "begun, and finished twice");
    assert_eq!(store.head(&key).await.unwrap(), Some(head));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_vanished_is_an_error() {
    let place = Place::new().await;
    let (store, key) = (place.blobs(), key());
    let mut writer = store.writer(&key, MEDIA).await.unwrap();
    writer.write(bytes(9 * MIB)).await.unwrap();
    let uploads = place.raw_s3.list_multipart_uploads().bucket(&place.name).send().await.unwrap();
    let abort = place.raw_s3.abort_multipart_upload().bucket(&place.name).key(key.to_string());
    abort.upload_id(uploads.uploads()[0].upload_id().unwrap()).send().await.unwrap();
    // An older blob of that name is not taken for this one.
    store.put(&key, MEDIA, Bytes::from_static(b"older")).await.unwrap();
    assert!(writer.finish().await.is_err());
    assert_eq!(store.head(&key).await.unwrap().unwrap().size, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_of_more_than_a_page_of_keys_goes_whole() {
    let place = Place::new().await;
    let (store, job) = (place.blobs(), reference("acme"));
    for n in 0..1_003 {
        let key = BlobKey::Result { job: job.clone(), attempt: 1, file: format!("{n}.csv") };
        store.put(&key, MEDIA, Bytes::from_static(b"x")).await.unwrap();
    }
    assert_eq!(store.delete_prefix(&BlobPrefix::Results(job.clone())).await.unwrap(), 1_003);
    assert_eq!(store.delete_prefix(&BlobPrefix::Results(job)).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_fails_is_unavailable_and_a_blob_that_is_missing_is_not() {
    let (network, place) = faulty().await;
    let (store, key) = (place.blobs(), key());
    network.address("GET", "result.csv", 100, Fault::Answer(500, ""));
    network.address("HEAD", "result.csv", 100, Fault::Answer(403, ""));
    assert!(matches!(store.read(&key, 0..1).await, Err(BlobError::Unavailable(_))));
    assert!(network.count("GET") > 1, "it was tried again");
    assert!(matches!(store.head(&key).await, Err(BlobError::Unavailable(_))), "a refusal is no absence");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_says_what_the_client_is_to_make_of_it() {
    let place = Place::new().await;
    let sign = SignGet {
        base_url: "unused".into(),
        file_name: "späte.csv".into(),
        media_type: "text/csv".into(),
        now: START,
        lifetime: Duration::from_secs(900),
    };
    let url = place.blobs().sign_get(&key(), &sign).await.unwrap().url;
    assert!(url.contains("X-Amz-Expires=900"), "{url}");
    assert!(url.contains("response-content-type=text%2Fcsv"), "{url}");
    assert!(
        url.contains("filename%3D%22sp_te.csv%22%3B%20filename%2A%3DUTF-8%27%27sp%25C3%25A4te.csv"),
        "{url}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_for_an_upload_holds_for_one_length_and_one_media_type() {
    let place = Place::new().await;
    let key = BlobKey::Upload { job: reference("acme"), file: 0 };
    let sign = SignPut {
        base_url: "unused".into(),
        media_type: "text/csv".into(),
        bytes: 12,
        now: START,
        lifetime: Duration::from_secs(3600),
    };
    let signed = place.blobs().sign_put(&key, &sign).await.unwrap();
    assert_eq!(signed.headers, [("Content-Type".to_owned(), "text/csv".to_owned())]);
    assert_eq!(signed.expires, START.plus(sign.lifetime));
    assert!(!signed.url.contains("checksum"), "{}", signed.url);
    let (host, rest) = signed.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let (path, query) = rest.split_once('?').unwrap();
    let path = format!("/{path}");
    let works = |method, length, kind, now| {
        let headers = [("host", host), ("content-length", length), ("content-type", kind)];
        signature::is_signed(method, &headers, &path, query, now)
    };
    assert!(works("PUT", "12", "text/csv", START));
    assert!(!works("PUT", "13", "text/csv", START), "another length");
    assert!(!works("PUT", "12", "text/html", START), "another media type");
    assert!(!works("GET", "12", "text/csv", START), "another method");
    assert!(!works("PUT", "12", "text/csv", signed.expires), "too late");
    let owned = [
        ("host", host),
        ("content-length", "12"),
        ("content-type", "text/csv"),
        ("x-amz-acl", "public-read"),
    ];
    assert!(!signature::is_signed("PUT", &owned, &path, query, START), "a header that was not signed");
}
