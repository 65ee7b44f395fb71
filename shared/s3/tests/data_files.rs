//! Objects in S3 keep the contract of data files, against an emulator; and what goes wrong is told apart.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use willcall_aws_test::{Emulator, Place};
use willcall_conformance::data_files::DataFilesHarness;
use willcall_core::{
    catalog::{DatasetSource, S3Entry},
    ports::{DataFiles, DataFilesError},
};
use willcall_s3::{S3DataFiles, S3Settings};

struct Bucket(Place);

/// The files at that endpoint, for whom the emulator's keys are.
fn files_at(endpoint: Option<&str>, anonymous: bool) -> S3DataFiles {
    let environment = Emulator::of_this_run().environment();
    let entry = S3Entry { endpoint: endpoint.map(str::to_owned), anonymous, ..S3Entry::default() };
    S3DataFiles::new(S3Settings::new(&entry, |name| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }))
}

#[async_trait]
impl DataFilesHarness for Bucket {
    async fn fresh() -> Self {
        Self(Place::new().await)
    }

    fn files(&self) -> Arc<dyn DataFiles> {
        Arc::new(files_at(None, false))
    }

    fn location(&self, path: &str) -> String {
        format!("s3://{}/data/{path}", self.0.name)
    }

    async fn put(&self, path: &str, bytes: Bytes) {
        let put = self.0.raw_s3.put_object().bucket(&self.0.name).key(format!("data/{path}"));
        put.body(bytes.into()).send().await.unwrap();
    }

    async fn remove(&self, path: &str) {
        let delete = self.0.raw_s3.delete_object().bucket(&self.0.name).key(format!("data/{path}"));
        delete.send().await.unwrap();
    }
}

willcall_conformance::data_files_suite!(Bucket);

/// Answers the first requests with these words, one each, and those after them with the last.
fn scripted(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut piece = [0; 4096];
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => head.extend_from_slice(&piece[..read]),
                }
            }
            let _ = stream.write_all(answers[number.min(answers.len() - 1)].as_bytes());
        }
    });
    format!("http://{address}")
}

async fn listed(endpoint: &str) -> Result<usize, DataFilesError> {
    let files = files_at(Some(endpoint), true);
    Ok(files.list(&DatasetSource::at("s3://bucket/d/")).await?.len())
}

fn cause(error: &DataFilesError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

const DENIED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 40\r\nConnection: close\r\n\r\n<Error><Code>AccessDenied</Code></Error>";
const UNKNOWN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 46\r\nConnection: close\r\n\r\n<Error><Code>InvalidAccessKeyId</Code></Error>";
const ARCHIVED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 88\r\nConnection: close\r\n\r\n<Error><Code>InvalidObjectState</Code><StorageClass>DEEP_ARCHIVE</StorageClass></Error>\n";
const EXPIRED: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 40\r\nConnection: close\r\n\r\n<Error><Code>ExpiredToken</Code></Error>";
const ELSEWHERE: &str = "HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: eu-north-1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const LISTED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 201\r\nConnection: close\r\n\r\n<ListBucketResult><Contents><Key>d/a.csv</Key><Size>3</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag></Contents><IsTruncated>false</IsTruncated></ListBucketResult>";

#[tokio::test]
async fn a_bucket_that_is_closed_is_unreadable_and_said_to_be() {
    let error = listed(&scripted(&[DENIED])).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unreadable(_)), "{error:?}");
    assert!(cause(&error).contains("access to the bucket bucket is denied"), "{error:?}");
}

/// It is listed as any other; who reads it is refused.
#[tokio::test]
async fn an_object_that_is_archived_is_unreadable_and_said_to_be() {
    let files = files_at(Some(&scripted(&[LISTED, ARCHIVED])), true);
    let entries = files.list(&DatasetSource::at("s3://bucket/d/")).await.unwrap();
    let file = files.open(&entries[0]).unwrap();
    let read = tokio::task::spawn_blocking(move || file.read_at(&mut [0; 3], 0)).await.unwrap();
    let error = read.unwrap_err();
    assert!(matches!(error, DataFilesError::Unreadable(_)), "{error:?}");
    assert_eq!(cause(&error), "an object of the bucket bucket is archived: restore it, or put it elsewhere");
}

#[tokio::test]
async fn a_bucket_of_another_region_names_it() {
    let error = listed(&scripted(&[ELSEWHERE])).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unreadable(_)), "{error:?}");
    assert!(cause(&error).contains("eu-north-1"), "{error:?}");
}

#[tokio::test]
async fn credentials_that_ran_out_pass() {
    let error = listed(&scripted(&[EXPIRED])).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn what_is_busy_is_asked_again() {
    assert_eq!(listed(&scripted(&[BUSY, BUSY, LISTED])).await.unwrap(), 1);
    let error = listed(&scripted(&[BUSY])).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = listed(&format!("http://{free}")).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unavailable(_)), "{error:?}");
    assert!(cause(&error).contains("does not answer"), "{error:?}");
}

#[tokio::test]
async fn whoever_does_not_answer_is_not_waited_for_long() {
    // The system takes the connections; nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let error = listed(&format!("http://{}", silent.local_addr().unwrap())).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unavailable(_)), "{error:?}");
    assert!(cause(&error).contains("does not answer"), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

#[tokio::test]
async fn keys_that_nobody_knows_are_told_from_rights_that_they_lack() {
    let error = listed(&scripted(&[UNKNOWN])).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unreadable(_)), "{error:?}");
    assert!(cause(&error).contains("AWS_ACCESS_KEY_ID"), "{error:?}");
}

#[tokio::test]
async fn an_instance_without_a_role_has_no_credentials() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = S3Settings::new(&S3Entry::default(), |name| {
        (name == "AWS_EC2_METADATA_SERVICE_ENDPOINT").then(|| format!("http://{free}"))
    });
    let error = S3DataFiles::new(settings).list(&DatasetSource::at("s3://bucket/d/")).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unavailable(_)), "{error:?}");
    assert!(cause(&error).contains("there are no credentials for S3"), "{error:?}");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_said_to_be_missing() {
    let source = DatasetSource::at("s3://no-such-bucket-anywhere/d/");
    let error = files_at(None, false).list(&source).await.unwrap_err();
    assert!(cause(&error).contains("there is no bucket no-such-bucket-anywhere"), "{error:?}");
}

#[tokio::test]
async fn settings_that_cannot_work_say_why_when_a_file_is_asked_for() {
    let settings =
        S3Settings::new(&S3Entry::default(), |name| (name == "AWS_PROFILE").then(|| "me".to_owned()));
    let error = S3DataFiles::new(settings).list(&DatasetSource::at("s3://bucket/d/")).await.unwrap_err();
    assert!(cause(&error).contains("AWS_PROFILE"), "{error:?}");
    let disk = files_at(None, true).list(&DatasetSource::at("/tmp/x")).await;
    assert!(matches!(disk, Err(DataFilesError::Unreadable(_))), "{disk:?}");
}
