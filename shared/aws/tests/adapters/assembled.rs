//! What S3 adds to the contract of blobs that are made of others: what it copies by itself, and what can go wrong meanwhile.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use willcall_conformance::samples::reference;
use willcall_core::ports::{BlobError, BlobHead, BlobKey, BlobStore, Piece, WholeBlob};

use crate::{
    blobs::{bytes, faulty},
    faulty::{Fault, Faulty},
    place::Place,
};

const MIB: usize = 1024 * 1024;
const MEDIA: &str = "application/zip";

struct World {
    network: Faulty,
    place: Place,
    store: Arc<dyn BlobStore>,
    source: BlobKey,
    key: BlobKey,
    bytes: Bytes,
}

/// A blob of 23 MiB that is to be copied between two short texts: 5 MiB with the first text, 18 MiB by S3, the second text.
async fn world() -> World {
    let (network, place) = faulty().await;
    let (store, job) = (place.blobs(), reference("acme"));
    let source = BlobKey::Result { job: job.clone(), attempt: 1, file: "result.csv".into() };
    let bytes = bytes(23 * MIB);
    store.put(&source, MEDIA, bytes.clone()).await.unwrap();
    World { network, place, store, source, key: BlobKey::Zip { job, attempt: 1 }, bytes }
}

impl World {
    async fn assemble(&self) -> Result<BlobHead, BlobError> {
        let head = self.store.head(&self.source).await.unwrap().unwrap();
        let whole = WholeBlob { key: self.source.clone(), size: head.size, etag: head.etag };
        let text = |text: &'static str| Piece::Bytes(Bytes::from_static(text.as_bytes()));
        self.store.assemble(&self.key, MEDIA, vec![text("head"), Piece::Whole(whole), text("tail")]).await
    }

    async fn is_whole(&self) {
        let expected = [b"head", &self.bytes[..], b"tail"].concat();
        assert!(self.store.read(&self.key, 0..expected.len() as u64).await.unwrap() == expected);
        assert_eq!(self.place.uploads_left().await, 0);
    }

    async fn leaves_nothing(&self) {
        assert_eq!(self.store.head(&self.key).await.unwrap(), None);
        assert_eq!(self.place.uploads_left().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_copies_what_is_large_by_itself() {
    let world = world().await;
    let before = world.network.count("GET");
    let head = world.assemble().await.unwrap();
    assert_eq!(head.size, (23 * MIB + 8) as u64);
    assert_eq!(
        world.network.count("GET") - before,
        2,
        "only what a part lacked was read, and uploads looked for"
    );
    world.is_whole().await;
    let object = world.place.raw_s3.head_object().bucket(&world.place.name).key(world.key.to_string());
    assert_eq!(object.send().await.unwrap().content_type(), Some(MEDIA));
}

/// Whoever dies in the middle cannot give its upload up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_dead_began_of_a_blob_goes_once_it_is_there() {
    let world = world().await;
    let begin = async |key: String| {
        let begun = world.place.raw_s3.create_multipart_upload().bucket(&world.place.name).key(key);
        begun.send().await.unwrap();
    };
    let left = async || {
        let listed = world.place.raw_s3.list_multipart_uploads().bucket(&world.place.name).send();
        listed.await.unwrap().uploads().len()
    };
    begin(world.key.to_string()).await;
    begin(world.key.to_string()).await;
    world.assemble().await.unwrap();
    world.is_whole().await;

    // Of no other blob, though its name begins with the same.
    begin(format!("{}.x", world.key)).await;
    world.assemble().await.unwrap();
    assert_eq!(left().await, 1);

    // The blob is made where nobody may look for them: the bucket's rule finds them, though later.
    begin(world.key.to_string()).await;
    let denied = Fault::Answer(403, "<Error><Code>AccessDenied</Code></Error>");
    world.network.address("GET", "?uploads", 1, denied);
    assert_eq!(world.assemble().await.unwrap().size, (23 * MIB + 8) as u64);
    assert_eq!(left().await, 2);
    world.assemble().await.unwrap();
    assert_eq!(left().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_fails_once_is_made_again() {
    for fault in [Fault::Answer(500, ""), Fault::AnswerLost, Fault::Slow(Duration::from_millis(200))] {
        let world = world().await;
        world.network.address("PUT", "partNumber=2&", 1, fault);
        world.assemble().await.unwrap();
        world.is_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_keeps_failing_leaves_nothing() {
    let world = world().await;
    world.network.address(
        "PUT",
        "partNumber=2&",
        100,
        Fault::Answer(503, "<Error><Code>SlowDown</Code></Error>"),
    );
    assert!(matches!(world.assemble().await, Err(BlobError::Unavailable(_))));
    world.leaves_nothing().await;
    // S3 answers so where the object is not the one that was found, or is gone.
    world.network.clear();
    world.network.address(
        "PUT",
        "partNumber=2&",
        1,
        Fault::Answer(412, "<Error><Code>PreconditionFailed</Code></Error>"),
    );
    let changed = world.assemble().await;
    assert!(
        matches!(&changed, Err(BlobError::Unavailable(why)) if why.to_string().contains("changed")),
        "{changed:?}"
    );
    world.leaves_nothing().await;
    world.network.address(
        "PUT",
        "partNumber=2&",
        1,
        Fault::Answer(404, "<Error><Code>NoSuchKey</Code></Error>"),
    );
    assert!(matches!(world.assemble().await, Err(BlobError::Missing(_))));
    world.leaves_nothing().await;
    world.assemble().await.unwrap();
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_half_way_leaves_nothing() {
    let world = world().await;
    world.network.address("PUT", "partNumber=2&", 1, Fault::Slow(Duration::from_secs(20)));
    let given_up = tokio::time::timeout(Duration::from_secs(2), world.assemble()).await;
    assert!(given_up.is_err(), "it still copied");
    world.leaves_nothing().await;
}
