//! Signed links of a host that serves its own files.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use willcall_conformance::samples::START;
use willcall_core::{
    Timestamp,
    ports::{
        BlobHead, BlobKey, BlobStream, Received, SignedFile, SignedFileBody, SignedFileError, SignedFiles,
    },
};

use crate::world::{Log, World};

const BYTES: &[u8] = b"0123456789";
const PATH: &str = "/v1/files/results/a%20b/result.csv?sig=good";

/// Leads to one file, or fails as its query says.
struct OneFile;

struct Body(Bytes);

impl SignedFileBody for Body {
    fn stream(self: Box<Self>, range: Range<u64>) -> BlobStream {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        stream::iter([Ok(self.0.slice(range))]).boxed()
    }
}

#[async_trait]
impl SignedFiles for OneFile {
    async fn open(&self, key: &str, query: &str, now: Timestamp) -> Result<SignedFile, SignedFileError> {
        assert_eq!(now, START);
        match (key, query) {
            ("results/a%20b/result.csv", "sig=good") => {}
            (_, "sig=old") => return Err(SignedFileError::Expired),
            (_, "sig=gone") => return Err(SignedFileError::Missing),
            (_, "sig=down") => return Err(SignedFileError::Unavailable("secret disk".into())),
            _ => return Err(SignedFileError::Invalid),
        }
        Ok(SignedFile {
            head: BlobHead { size: BYTES.len() as u64, etag: "tag".into(), modified: START },
            file_name: "late.csv".into(),
            media_type: "text/csv; charset=utf-8".into(),
            body: Box::new(Body(Bytes::from_static(BYTES))),
        })
    }

    fn admit(&self, upload: Received<'_>) -> Result<(), SignedFileError> {
        match upload.query {
            "sig=forged" => Err(SignedFileError::Invalid),
            _ => Ok(()),
        }
    }

    async fn receive(
        &self,
        upload: Received<'_>,
        body: BlobStream,
    ) -> Result<(BlobKey, BlobHead), SignedFileError> {
        match upload.query {
            "sig=put" => {}
            "sig=small" => return Err(SignedFileError::Unfit("the link is for 5 bytes".into())),
            "sig=disk" => {
                let _ = body.collect::<Vec<_>>().await;
                return Err(SignedFileError::Unavailable("no space is left".into()));
            }
            "sig=cut" => {
                let pieces: Vec<_> = body.collect().await;
                let broken = pieces.into_iter().find_map(Result::err).unwrap();
                return Err(SignedFileError::Unavailable(broken.into()));
            }
            "sig=full" => {
                let _ = body.take(1).collect::<Vec<_>>().await;
                return Err(SignedFileError::Unavailable("no space is left".into()));
            }
            _ => return Err(SignedFileError::Invalid),
        }
        assert_eq!((upload.media_type, upload.length), (Some("text/csv"), Some(10)));
        let pieces: Vec<_> = body.collect().await;
        let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect();
        assert_eq!(bytes, BYTES);
        let (job, file) = BlobKey::upload(upload.key).unwrap();
        let head = BlobHead { size: 10, etag: "tag".into(), modified: START };
        Ok((BlobKey::Upload { job, file }, head))
    }
}

/// A job, its only batch, and where that batch's only file of ten bytes is to be put.
async fn upload(world: &World) -> (String, String, String) {
    let job = r#"{"kind": "append", "dataset": "flights", "on": {"code": "carrier"}}"#;
    let job = world.post("/v1/jobs", job).await.expect(202).json();
    let job = format!("/v1/jobs/{}", job["job_id"].as_str().unwrap());
    let file = r#"{"files": [{"name": "a.csv", "bytes": 10}]}"#;
    let batch = world.post(&format!("{job}/batches"), file).await.expect(201).json();
    let id = batch["batch_id"].as_str().unwrap();
    let (batch, path) = (format!("{job}/batches/{id}"), format!("/v1/files/uploads/acme/{id}/0"));
    (job, batch, path)
}

#[tokio::test]
async fn an_upload_is_taken_by_its_link_alone() {
    let world = world().await;
    let (job, batch, path) = upload(&world).await;
    let put = async |query: &str| {
        let request = Request::builder()
            .method("PUT")
            .uri(format!("{path}?{query}"))
            .header("content-type", "text/csv")
            .header("content-length", "10")
            .body(axum::body::Body::from(BYTES))
            .unwrap();
        world.send(request).await
    };
    assert_eq!(put("sig=put").await.expect(200).header("etag"), "\"tag\"");
    let told = put("sig=bad").await.problem(403, "forbidden");
    assert!(!told.contains("oken"), "a link needs no token: {told}");
    let detail = put("sig=small").await.problem(400, "invalid-request");
    assert!(detail.contains("the link is for 5 bytes"), "{detail}");
    // Once the batch has ended, and for one that never was, the same link takes nothing.
    world.ask("DELETE", &batch, &[], "").await.expect(200);
    put("sig=forged").await.problem(403, "forbidden");
    let detail = put("sig=put").await.problem(409, "conflict");
    assert!(detail.contains("cancelled"), "{detail}");
    world.ask("DELETE", &job, &[], "").await.expect(204);
    put("sig=forged").await.problem(403, "forbidden");
    put("sig=put").await.problem(404, "not-found");
}

#[tokio::test]
async fn what_is_sent_of_a_refused_file_is_read_so_that_the_answer_is_seen() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 40;
    let world = world().await;
    let (_, _, path) = upload(&world).await;
    // The whole file of whoever has a link, but of one who asks first only what was asked for already.
    for (query, expect, status, expected) in [
        ("sig=small", None, 400, PIECES),
        ("sig=full", None, 503, PIECES),
        ("sig=full", Some("100-continue"), 503, PIECES),
        ("sig=small", Some("100-continue"), 400, 0),
        ("sig=forged", None, 403, 1),
    ] {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let pieces = stream::iter(0..PIECES).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(vec![b'\n'; PIECE]))
        });
        let mut request = Request::builder().method("PUT").uri(format!("{path}?{query}"));
        if let Some(expect) = expect {
            request = request.header("expect", expect);
        }
        let request = request.body(axum::body::Body::from_stream(pieces)).unwrap();
        assert_eq!(world.send(request).await.status, status, "{query}");
        assert_eq!(read.load(Ordering::Relaxed), expected, "{query}, {expect:?}");
    }
}

/// The operator would look for what is wrong with the disk.
#[tokio::test]
async fn a_client_that_breaks_off_is_no_failure_of_the_service() {
    let world = world().await;
    let (_, _, path) = upload(&world).await;
    let (log, _guard) = Log::begin();
    let send = async |query: &str, end: Result<Bytes, std::io::Error>| {
        let pieces = stream::iter([Ok(Bytes::from_static(b"01234")), end]);
        let request = Request::builder().method("PUT").uri(format!("{path}?{query}"));
        world.send(request.body(axum::body::Body::from_stream(pieces)).unwrap()).await
    };
    let broken = || Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    let detail = send("sig=cut", broken()).await.problem(400, "invalid-request");
    assert!(detail.contains("send it again"), "{detail}");
    assert!(!log.text().contains("ERROR"), "{}", log.text());
    // What fails while all comes is the service's own, and so is what it refuses before.
    send("sig=disk", Ok(Bytes::from_static(b"56789"))).await.problem(503, "unavailable");
    assert!(log.text().contains("ERROR"), "{}", log.text());
    send("sig=small", broken()).await.problem(400, "invalid-request");
}

#[tokio::test]
async fn a_page_of_any_site_may_upload_by_a_link() {
    let world = world().await;
    let request = Request::options("/v1/files/uploads/acme/b/0?sig=put")
        .header("origin", "https://site.example")
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "content-type");
    let answer = world.send(request.body(axum::body::Body::empty()).unwrap()).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.header("access-control-allow-methods").contains("PUT"));
    assert!(answer.header("access-control-allow-headers").contains("content-type"));
}

async fn world() -> World {
    let mut world = World::new().await;
    world.files = Some(Arc::new(OneFile));
    world
}

#[tokio::test]
async fn a_link_leads_to_the_whole_file_without_a_token() {
    let world = world().await;
    let headers = [("authorization", "Bearer nobody")];
    let answer = world.ask("GET", PATH, &headers, "").await.expect(200);
    assert_eq!(answer.bytes, BYTES);
    for (name, value) in [
        ("content-length", "10"),
        ("content-type", "text/csv; charset=utf-8"),
        ("content-disposition", "attachment; filename=\"late.csv\""),
        ("etag", "\"tag\""),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let head = world.ask("HEAD", PATH, &[], "").await.expect(200);
    assert!(head.bytes.is_empty());
    for name in ["content-length", "content-type", "etag", "last-modified"] {
        assert_eq!(head.header(name), answer.header(name), "{name}");
    }
}

#[tokio::test]
async fn parts_are_served_while_the_file_is_the_same() {
    let world = world().await;
    let modified = world.get(PATH).await.header("last-modified").to_owned();
    for (headers, status, content_range, bytes) in [
        (vec![("range", "bytes=2-4")], 206, "bytes 2-4/10", &b"234"[..]),
        (vec![("range", "bytes=-3")], 206, "bytes 7-9/10", b"789"),
        (vec![("range", "bytes=8-"), ("if-range", "\"tag\"")], 206, "bytes 8-9/10", b"89"),
        (vec![("range", "bytes=8-"), ("if-range", &modified)], 206, "bytes 8-9/10", b"89"),
        (vec![("range", "bytes=8-"), ("if-range", "\"other\"")], 200, "", BYTES),
        (vec![("range", "bytes=1-2,4-5")], 200, "", BYTES),
        (vec![("range", "nonsense")], 200, "", BYTES),
    ] {
        let answer = world.ask("GET", PATH, &headers, "").await.expect(status);
        assert_eq!(answer.header("content-range"), content_range, "{headers:?}");
        assert_eq!(answer.bytes, bytes, "{headers:?}");
        assert_eq!(answer.header("content-length"), bytes.len().to_string());
    }
    let answer = world.ask("GET", PATH, &[("range", "bytes=10-")], "").await;
    answer.problem(416, "invalid-request");
    assert_eq!(answer.header("content-range"), "bytes */10");
    let head = world.ask("HEAD", PATH, &[("range", "bytes=2-4")], "").await.expect(200);
    assert_eq!(head.header("content-length"), "10");
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let world = world().await;
    let modified = world.get(PATH).await.header("last-modified").to_owned();
    for header in [("if-none-match", "\"tag\""), ("if-modified-since", modified.as_str())] {
        let answer = world.ask("GET", PATH, &[header], "").await.expect(304);
        assert!(answer.bytes.is_empty() && answer.header("etag") == "\"tag\"");
    }
    world.ask("GET", PATH, &[("if-match", "\"x\"")], "").await.problem(412, "conflict");
}

#[tokio::test]
async fn links_that_do_not_work_say_why() {
    let world = world().await;
    for (path, status, slug) in [
        ("/v1/files/results/a%20b/result.csv?sig=bad", 403, "forbidden"),
        ("/v1/files/results/a%20b/result.csv", 403, "forbidden"),
        ("/v1/files/results/../../etc/passwd?sig=good", 403, "forbidden"),
        ("/v1/files/results/%2e%2e%2fetc/passwd?sig=good", 403, "forbidden"),
        ("/v1/files/x?sig=old", 410, "expired"),
        ("/v1/files/x?sig=gone", 404, "not-found"),
        ("/v1/files/x?sig=down", 503, "unavailable"),
    ] {
        let text = world.get(path).await.problem(status, slug);
        assert!(!text.contains("sig=") && !text.contains("secret"), "{text}");
    }
}
