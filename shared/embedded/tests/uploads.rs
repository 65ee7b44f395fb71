//! Files that clients upload: whole and as they were signed, or not at all.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use willcall_conformance::samples::{START, reference};
use willcall_core::{
    Timestamp,
    ports::{
        BlobError, BlobKey, BlobStore, BlobStream, Received, SignPut, SignedFileError, SignedFiles,
        SignedUpload,
    },
};
use willcall_embedded::DirBlobStore;

const CSV: &str = "text/csv; charset=utf-8";

fn open(dir: &Path) -> DirBlobStore {
    DirBlobStore::open(&dir.join("blobs"), &dir.join("link.key")).unwrap()
}

fn upload_key() -> BlobKey {
    BlobKey::Upload { job: reference("acme"), file: 0 }
}

async fn sign(store: &DirBlobStore, key: &BlobKey, bytes: u64) -> SignedUpload {
    let sign = SignPut {
        base_url: "http://127.0.0.1:8787".into(),
        media_type: CSV.into(),
        bytes,
        now: START,
        lifetime: Duration::from_secs(900),
    };
    store.sign_put(key, &sign).await.unwrap()
}

/// A PUT as it comes that announces what the link is for.
fn put(link: &SignedUpload, length: u64) -> Received<'_> {
    let (key, query) = link.url.split_once("/v1/files/").unwrap().1.split_once('?').unwrap();
    Received { key, query, media_type: Some(CSV), length: Some(length), now: START }
}

fn body(pieces: impl IntoIterator<Item = Result<Bytes, BlobError>>) -> BlobStream {
    stream::iter(pieces.into_iter().collect::<Vec<_>>()).boxed()
}

fn piece(size: usize) -> Result<Bytes, BlobError> {
    Ok(Bytes::from(vec![b'x'; size]))
}

fn broken() -> Result<Bytes, BlobError> {
    let source = io::Error::from(io::ErrorKind::ConnectionReset);
    Err(BlobError::Unavailable(source.into()))
}

fn staged(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("blobs/tmp")).unwrap().count()
}

#[tokio::test]
async fn a_file_is_taken_in_pieces_and_placed_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (open(dir.path()), upload_key());
    let size = 5 << 20;
    let link = sign(&store, &key, size).await;
    let pieces = (0..80).map(|_| piece(64 << 10));
    let (named, head) = store.receive(put(&link, size), body(pieces)).await.unwrap();
    assert_eq!((&named, head.size), (&key, size));
    assert_eq!(store.head(&key).await.unwrap(), Some(head));
    assert_eq!(staged(dir.path()), 0);
}

#[tokio::test]
async fn nothing_is_seen_of_an_upload_that_breaks_off_or_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (open(dir.path()), upload_key());
    let link = sign(&store, &key, 1 << 20).await;
    let cut = store.receive(put(&link, 1 << 20), body([piece(800_000), broken()])).await;
    assert!(matches!(cut, Err(SignedFileError::Unavailable(_))), "{cut:?}");
    for (pieces, words) in [
        (vec![], "0 of 1048576 bytes came"),
        (vec![piece(800_000)], "800000 of 1048576 bytes came"),
        (vec![piece(1 << 20), piece(1)], "more than 1048576 bytes came"),
        (vec![piece((1 << 20) + 1), broken()], "more than 1048576 bytes came"),
    ] {
        match store.receive(put(&link, 1 << 20), body(pieces)).await {
            Err(SignedFileError::Unfit(said)) => assert_eq!(said, words),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((store.head(&key).await.unwrap(), staged(dir.path())), (None, 0));

    let whole = store.receive(put(&link, 1 << 20), body([piece(1 << 20)])).await.unwrap().1;
    store.receive(put(&link, 1 << 20), body([piece(1), broken()])).await.unwrap_err();
    assert_eq!(store.head(&key).await.unwrap(), Some(whole), "nor does it harm the one that was taken");
}

#[tokio::test]
async fn an_upload_whose_client_is_gone_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (open(dir.path()), upload_key());
    let link = sign(&store, &key, 4 << 20).await;
    let stalls = body([piece(1 << 20), piece(1 << 20)]).chain(stream::pending()).boxed();
    let receiving = store.receive(put(&link, 4 << 20), stalls);
    assert!(tokio::time::timeout(Duration::from_millis(200), receiving).await.is_err());
    // A write that was under way cannot be waited for: what it leaves goes as soon as that has ended.
    for _ in 0..500 {
        if staged(dir.path()) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((store.head(&key).await.unwrap(), staged(dir.path())), (None, 0));
}

#[tokio::test]
async fn what_does_not_announce_what_was_signed_is_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (open(dir.path()), upload_key());
    let link = sign(&store, &key, 5).await;
    let right = put(&link, 5);
    let unread = || stream::poll_fn(|_| panic!("it is read")).boxed();
    let unannounced = store.receive(Received { length: None, ..right }, unread()).await;
    assert!(matches!(unannounced, Err(SignedFileError::Unannounced(5))), "{unannounced:?}");
    for (wrong, words) in [
        (Received { length: Some(4), ..right }, "the link is for a file of 5 bytes, not 4"),
        (Received { length: Some(u64::MAX), ..right }, "the link is for a file of 5 bytes, not"),
        (Received { media_type: None, ..right }, "with the header Content-Type: text/csv; charset=utf-8"),
        (
            Received { media_type: Some("text/csv"), ..right },
            "with the header Content-Type: text/csv; charset",
        ),
    ] {
        match store.receive(wrong, unread()).await {
            Err(SignedFileError::Unfit(said)) => assert!(said.contains(words), "{said}"),
            other => panic!("{other:?}"),
        }
    }
    let expired = Received { now: link.expires, ..right };
    assert!(matches!(store.receive(expired, unread()).await, Err(SignedFileError::Expired)));
    let unsigned = Received { query: "", ..right };
    assert!(matches!(store.receive(unsigned, unread()).await, Err(SignedFileError::Invalid)));
    assert_eq!(std::fs::read_dir(dir.path().join("blobs")).unwrap().count(), 1, "nothing was made for it");
    assert!(store.receive(right, body([piece(5)])).await.is_ok());
}

#[tokio::test]
async fn only_uploads_are_uploaded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let manifest = BlobKey::Manifest { job: reference("acme"), attempt: 1 };
    let link = sign(&store, &manifest, 5).await;
    let refused = store.receive(put(&link, 5), body([piece(5)])).await;
    assert!(matches!(refused, Err(SignedFileError::Invalid)), "{refused:?}");
    assert_eq!(store.head(&manifest).await.unwrap(), None);
}

#[tokio::test]
async fn of_many_uploads_by_one_link_each_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, key) = (open(dir.path()), upload_key());
    let link = sign(&store, &key, 600_000).await;
    let receives = (0..8_u8).map(|n| {
        let pieces = (0..3).map(move |_| Ok(Bytes::from(vec![b'0' + n; 200_000])));
        store.receive(put(&link, 600_000), body(pieces))
    });
    let outcomes = futures::future::join_all(receives).await;
    let heads: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().1).collect();
    let kept = store.head(&key).await.unwrap().unwrap();
    assert!(heads.contains(&kept), "the one that is there is one of them");
    let bytes = store.read(&key, 0..600_000).await.unwrap();
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "and no mixture");
}

#[tokio::test]
async fn a_link_works_after_a_restart_which_removes_what_broke_off() {
    let dir = tempfile::tempdir().unwrap();
    let key = upload_key();
    let link = sign(&open(dir.path()), &key, 3).await;
    std::fs::write(dir.path().join("blobs/tmp/1-1"), "half").unwrap();
    let store = open(dir.path());
    assert_eq!(staged(dir.path()), 0);
    let just_before: Timestamp = link.expires.minus(Duration::from_millis(1));
    let upload = Received { now: just_before, ..put(&link, 3) };
    store.receive(upload, body([piece(3)])).await.unwrap();
    assert_eq!(store.read(&key, 0..3).await.unwrap(), "xxx");
}
