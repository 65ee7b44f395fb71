//! What every [`BlobStore`] does.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{TryStreamExt, future::join_all};
use willcall_core::{
    JobRef, Timestamp,
    ports::{BlobError, BlobKey, BlobPrefix, BlobStore, Piece, PutNew, SignGet, SignPut, WholeBlob},
};

use crate::samples::{START, account, reference};

/// Makes the adapter that is put to the test.
#[async_trait]
pub trait BlobStoreHarness: Send + Sync + Sized {
    /// A harness with an empty store.
    async fn fresh() -> Self;

    /// The store.
    fn store(&self) -> Arc<dyn BlobStore>;

    /// Follows a signed link at `now`, as a stranger does; `None` where it does not work.
    async fn follow(&self, url: &str, now: Timestamp) -> Option<Bytes>;

    /// Sends a PUT to a signed link, as a stranger does: whether it was taken.
    async fn upload(&self, put: Put<'_>) -> bool;

    /// How many bytes the store holds beside its finished blobs; what was given up must not stay.
    async fn leftovers(&self) -> u64;
}

/// A PUT as a stranger sends it. Its `Content-Length` is the length of the body.
#[derive(Debug, Clone)]
pub struct Put<'a> {
    /// Where to.
    pub url: &'a str,
    /// Its other headers.
    pub headers: &'a [(String, String)],
    /// The file.
    pub body: Bytes,
    /// When.
    pub now: Timestamp,
}

crate::suite! {
    $ blob_store_suite in blob_store for BlobStoreHarness {
        a_written_blob_is_read_back,
        an_empty_blob_is_a_blob,
        an_unfinished_blob_is_not_seen,
        a_dropped_or_aborted_writer_leaves_nothing,
        a_blob_is_overwritten_whole,
        a_reader_keeps_the_blob_it_opened,
        of_many_new_blobs_of_one_name_one_is_kept,
        ranges_are_exact,
        ranges_past_the_end_are_errors,
        a_large_blob_streams_in_pieces,
        a_blob_is_assembled_of_others,
        of_what_is_gone_or_changed_nothing_is_assembled,
        missing_blobs_are_missing,
        a_prefix_takes_its_own_and_no_more,
        the_tag_changes_with_the_bytes,
        a_signed_link_works_until_it_expires,
        a_changed_link_does_not_work,
        a_signed_upload_is_taken_as_it_was_signed,
        an_upload_that_is_not_as_signed_is_refused,
        a_link_is_for_one_method_and_one_blob,
    }
}

const TEXT: &str = "text/plain";

fn file(job: &JobRef, attempt: u32, file: &str) -> BlobKey {
    BlobKey::Result { job: job.clone(), attempt, file: file.into() }
}

fn sample() -> BlobKey {
    file(&reference("acme"), 1, "result.csv")
}

async fn write(store: &Arc<dyn BlobStore>, key: &BlobKey, pieces: &[&'static str]) {
    let mut writer = store.writer(key, TEXT).await.unwrap();
    for piece in pieces {
        writer.write(Bytes::from_static(piece.as_bytes())).await.unwrap();
    }
    writer.finish().await.unwrap();
}

async fn whole(store: &Arc<dyn BlobStore>, key: &BlobKey, range: Option<Range<u64>>) -> Vec<u8> {
    let pieces: Vec<Bytes> = store.stream(key, range).await.unwrap().try_collect().await.unwrap();
    pieces.concat()
}

async fn a_written_blob_is_read_back(harness: &impl BlobStoreHarness) {
    let (store, job) = (harness.store(), reference("acme"));
    for key in [
        BlobKey::Request(job.clone()),
        BlobKey::Snapshot(job.clone()),
        file(&job, 1, "result.csv.gz"),
        BlobKey::PageIndex { job: job.clone(), attempt: 1 },
        BlobKey::Upload { job: job.clone(), file: 0 },
        BlobKey::Journal { job: job.clone(), attempt: 1, part: 0 },
        BlobKey::Manifest { job: job.clone(), attempt: 1 },
        BlobKey::Zip { job, attempt: 1 },
    ] {
        let mut writer = store.writer(&key, TEXT).await.unwrap();
        writer.write(Bytes::from_static(b"one ")).await.unwrap();
        writer.write(Bytes::new()).await.unwrap();
        writer.write(Bytes::from_static(b"two")).await.unwrap();
        let finished = writer.finish().await.unwrap();
        assert_eq!(finished.size, 7);
        let head = store.head(&key).await.unwrap().unwrap();
        assert_eq!((head.size, &head.etag), (7, &finished.etag), "{key}");
        assert_eq!(store.read(&key, 0..7).await.unwrap(), "one two");
        assert_eq!(whole(&store, &key, None).await, b"one two");
    }
}

async fn an_empty_blob_is_a_blob(harness: &impl BlobStoreHarness) {
    let store = harness.store();
    let (streamed, put) = (sample(), sample());
    write(&store, &streamed, &[]).await;
    store.put(&put, TEXT, Bytes::new()).await.unwrap();
    for key in [streamed, put] {
        assert_eq!(store.head(&key).await.unwrap().unwrap().size, 0);
        assert_eq!(whole(&store, &key, None).await, b"");
        assert_eq!(store.read(&key, 0..0).await.unwrap(), "");
    }
}

async fn an_unfinished_blob_is_not_seen(harness: &impl BlobStoreHarness) {
    let (store, job) = (harness.store(), reference("acme"));
    let key = file(&job, 1, "result.csv");
    let mut writer = store.writer(&key, TEXT).await.unwrap();
    writer.write(Bytes::from(vec![b'x'; 3 << 20])).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap(), None);
    assert!(matches!(store.read(&key, 0..1).await, Err(BlobError::Missing(_))));
    assert_eq!(store.delete_prefix(&BlobPrefix::Results(job)).await.unwrap(), 0);
    let head = writer.finish().await.unwrap();
    assert_eq!(head.size, 3 << 20);
    assert_eq!(store.head(&key).await.unwrap(), Some(head));
}

async fn a_dropped_or_aborted_writer_leaves_nothing(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), sample());
    let mut writer = store.writer(&key, TEXT).await.unwrap();
    writer.write(Bytes::from(vec![b'x'; 2 << 20])).await.unwrap();
    writer.abort().await.unwrap();
    assert_eq!(store.head(&key).await.unwrap(), None);
    let mut writer = store.writer(&key, TEXT).await.unwrap();
    writer.write(Bytes::from(vec![b'x'; 2 << 20])).await.unwrap();
    drop(writer);
    assert_eq!(store.head(&key).await.unwrap(), None);
    // A drop cannot wait for a write that is under way: what it leaves goes as soon as that has ended.
    for _ in 0..500 {
        if harness.leftovers().await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(harness.leftovers().await, 0);
    write(&store, &key, &["kept"]).await;
    drop(store.writer(&key, TEXT).await.unwrap());
    assert_eq!(whole(&store, &key, None).await, b"kept", "a writer that was given up replaces nothing");
}

async fn a_blob_is_overwritten_whole(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), sample());
    write(&store, &key, &["a longer text"]).await;
    store.put(&key, TEXT, Bytes::from_static(b"short")).await.unwrap();
    assert_eq!(whole(&store, &key, None).await, b"short");
    write(&store, &key, &["now ", "long again"]).await;
    assert_eq!(whole(&store, &key, None).await, b"now long again");
}

async fn a_reader_keeps_the_blob_it_opened(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), sample());
    let old = Bytes::from(vec![b'a'; 3 << 20]);
    store.put(&key, TEXT, old.clone()).await.unwrap();
    let stream = store.stream(&key, None).await.unwrap();
    store.put(&key, TEXT, Bytes::from(vec![b'b'; 3 << 20])).await.unwrap();
    let read: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert!(read.concat() == old, "a stream never mixes two versions");
}

async fn of_many_new_blobs_of_one_name_one_is_kept(harness: &impl BlobStoreHarness) {
    let key = BlobKey::Snapshot(reference("acme"));
    let puts = (0..16).map(|n| {
        let (store, key, bytes) = (harness.store(), key.clone(), Bytes::from(format!("version {n}")));
        tokio::spawn(async move { (store.put_new(&key, TEXT, bytes.clone()).await.unwrap(), bytes) })
    });
    let outcomes: Vec<_> = join_all(puts).await.into_iter().map(|outcome| outcome.unwrap()).collect();
    let created: Vec<_> = outcomes.iter().filter(|(outcome, _)| *outcome == PutNew::Created).collect();
    assert_eq!(created.len(), 1);
    assert_eq!(whole(&harness.store(), &key, None).await, created[0].1);
    assert_eq!(harness.leftovers().await, 0);
}

async fn ranges_are_exact(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), sample());
    write(&store, &key, &["0123456789"]).await;
    for (range, expected) in
        [(0..0, ""), (10..10, ""), (0..1, "0"), (3..7, "3456"), (9..10, "9"), (0..10, "0123456789")]
    {
        assert_eq!(store.read(&key, range.clone()).await.unwrap(), expected, "{range:?}");
        assert_eq!(whole(&store, &key, Some(range)).await, expected.as_bytes());
    }
}

async fn ranges_past_the_end_are_errors(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), sample());
    write(&store, &key, &["0123456789"]).await;
    #[expect(clippy::reversed_empty_ranges, reason = "a caller may make such a range from bad input")]
    let reversed = 5..2;
    for range in [0..11, 10..11, 11..11, 50..60, 0..u64::MAX, u64::MAX - 1..u64::MAX, reversed] {
        assert!(store.read(&key, range.clone()).await.is_err(), "{range:?}");
        let streamed = match store.stream(&key, Some(range.clone())).await {
            Ok(stream) => stream.try_collect::<Vec<Bytes>>().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(streamed.is_err(), "{range:?}");
    }
}

async fn a_large_blob_streams_in_pieces(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), sample());
    let bytes: Vec<u8> = (0..5_000_011_u32).map(|n| (n % 251) as u8).collect();
    let mut writer = store.writer(&key, TEXT).await.unwrap();
    for piece in bytes.chunks(700_001) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    writer.finish().await.unwrap();
    let pieces: Vec<Bytes> = store.stream(&key, None).await.unwrap().try_collect().await.unwrap();
    assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() <= 8 << 20), "memory is bounded");
    assert!(pieces.concat() == bytes);
    let (start, end) = (1_234_567, 4_000_001);
    let part = whole(&store, &key, Some(start as u64..end as u64)).await;
    assert!(part == bytes[start..end]);
}

/// The blob as it is, to be copied.
async fn found(store: &Arc<dyn BlobStore>, key: &BlobKey) -> WholeBlob {
    let head = store.head(key).await.unwrap().unwrap();
    WholeBlob { key: key.clone(), size: head.size, etag: head.etag }
}

fn pattern(size: usize, step: usize) -> Bytes {
    (0..size).map(|n| (n / step % 251) as u8).collect::<Vec<u8>>().into()
}

async fn a_blob_is_assembled_of_others(harness: &impl BlobStoreHarness) {
    const MIB: usize = 1 << 20;
    let store = harness.store();
    let words = Piece::Bytes(Bytes::from_static(b"between"));
    // S3 copies parts of five megabytes and more by itself: on both sides of that, and several together.
    for sizes in [vec![], vec![0], vec![7], vec![5 * MIB - 7], vec![13 * MIB, 3, 6 * MIB], vec![2 * MIB; 5]] {
        let (mut pieces, mut expected) = (vec![words.clone()], b"between".to_vec());
        for (place, size) in sizes.iter().enumerate() {
            let (key, bytes) = (sample(), pattern(*size, place + 1));
            store.put(&key, TEXT, bytes.clone()).await.unwrap();
            pieces.extend([Piece::Whole(found(&store, &key).await), words.clone()]);
            expected.extend_from_slice(&bytes);
            expected.extend_from_slice(b"between");
        }
        let key = BlobKey::Zip { job: reference("acme"), attempt: 1 };
        let head = store.assemble(&key, TEXT, pieces).await.unwrap();
        assert_eq!(head.size, expected.len() as u64);
        assert_eq!(store.head(&key).await.unwrap(), Some(head));
        assert!(whole(&store, &key, None).await == expected, "{sizes:?}");
    }
    let key = BlobKey::Zip { job: reference("acme"), attempt: 1 };
    assert_eq!(
        store.assemble(&key, TEXT, Vec::new()).await.unwrap().size,
        0,
        "of nothing comes an empty blob"
    );
    assert_eq!(harness.leftovers().await, 0);
}

async fn of_what_is_gone_or_changed_nothing_is_assembled(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), BlobKey::Zip { job: reference("acme"), attempt: 1 });
    let (same, other) = (sample(), sample());
    for source in [&same, &other] {
        store.put(source, TEXT, pattern(11 << 20, 3)).await.unwrap();
    }
    let (first, second) = (found(&store, &same).await, found(&store, &other).await);
    // With a text before each, so that some of it is read: emulators of S3 compare no tags where they copy.
    let text = || Piece::Bytes(Bytes::from_static(b"text"));
    let pieces = || vec![text(), Piece::Whole(first.clone()), text(), Piece::Whole(second.clone())];
    // As long as before, and another.
    store.put(&other, TEXT, pattern(11 << 20, 5)).await.unwrap();
    let changed = store.assemble(&key, TEXT, pieces()).await;
    assert!(matches!(changed, Err(BlobError::Unavailable(_))), "{changed:?}");
    assert_eq!(store.head(&key).await.unwrap(), None);
    let BlobKey::Result { job, .. } = &other else { unreachable!() };
    store.delete_prefix(&BlobPrefix::Results(job.clone())).await.unwrap();
    let gone = store.assemble(&key, TEXT, pieces()).await;
    assert!(matches!(gone, Err(BlobError::Missing(_))), "{gone:?}");
    assert_eq!(store.head(&key).await.unwrap(), None);
    // What was there before stays.
    store.put(&key, TEXT, Bytes::from_static(b"before")).await.unwrap();
    store.assemble(&key, TEXT, pieces()).await.unwrap_err();
    assert_eq!(whole(&store, &key, None).await, b"before");
    assert_eq!(harness.leftovers().await, 0);
}

async fn missing_blobs_are_missing(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), sample());
    assert_eq!(store.head(&key).await.unwrap(), None);
    assert!(matches!(store.read(&key, 0..1).await, Err(BlobError::Missing(_))));
    assert!(matches!(store.read(&key, 0..0).await, Err(BlobError::Missing(_))));
    assert!(matches!(store.stream(&key, None).await.map(|_| ()), Err(BlobError::Missing(_))));
    assert_eq!(store.delete_prefix(&BlobPrefix::Results(reference("acme"))).await.unwrap(), 0);
}

async fn a_prefix_takes_its_own_and_no_more(harness: &impl BlobStoreHarness) {
    let (store, job, neighbour) = (harness.store(), reference("acme"), reference("acme"));
    let other = reference("acme-2");
    let keys = [
        file(&job, 1, "result.csv"),
        BlobKey::Manifest { job: job.clone(), attempt: 1 },
        file(&job, 10, "result.csv"),
        BlobKey::Snapshot(job.clone()),
        BlobKey::Request(job.clone()),
        file(&neighbour, 1, "result.csv"),
        BlobKey::Request(neighbour.clone()),
        file(&other, 1, "result.csv"),
        BlobKey::Upload { job: job.clone(), file: 0 },
        BlobKey::Upload { job: job.clone(), file: 10 },
        BlobKey::Upload { job: neighbour.clone(), file: 0 },
        BlobKey::Journal { job: job.clone(), attempt: 1, part: 0 },
    ];
    for key in &keys {
        store.put(key, TEXT, Bytes::from_static(b"x")).await.unwrap();
    }
    let mut left: Vec<&BlobKey> = keys.iter().collect();
    for (prefix, gone) in [
        (BlobPrefix::Attempt { job: job.clone(), attempt: 1 }, vec![&keys[0], &keys[1]]),
        (BlobPrefix::Request(job.clone()), vec![&keys[4]]),
        (BlobPrefix::Uploads(job.clone()), vec![&keys[8], &keys[9]]),
        (BlobPrefix::Results(job.clone()), vec![&keys[2], &keys[3], &keys[11]]),
        (BlobPrefix::Account(account("acme")), vec![&keys[5]]),
    ] {
        assert_eq!(store.delete_prefix(&prefix).await.unwrap(), gone.len() as u64, "{prefix}");
        left.retain(|key| !gone.contains(key));
        for key in &keys {
            assert_eq!(store.head(key).await.unwrap().is_some(), left.contains(&key), "{key} after {prefix}");
        }
        assert_eq!(store.delete_prefix(&prefix).await.unwrap(), 0, "nothing there is no error");
    }
    store.put(&keys[0], TEXT, Bytes::from_static(b"anew")).await.unwrap();
    assert_eq!(whole(&store, &keys[0], None).await, b"anew", "a name can be used again");
}

async fn the_tag_changes_with_the_bytes(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), sample());
    let mut tags = Vec::new();
    // The same size each time, and as fast as can be: a tag of size and coarse time would not do.
    for n in 0..8 {
        store.put(&key, TEXT, Bytes::from(format!("version {n}"))).await.unwrap();
        let tag = store.head(&key).await.unwrap().unwrap().etag;
        assert!(!tag.is_empty() && !tag.contains('"') && tag.is_ascii(), "{tag:?}");
        assert_eq!(store.head(&key).await.unwrap().unwrap().etag, tag, "a tag stays while the bytes do");
        assert!(!tags.contains(&tag), "{tag} came twice");
        tags.push(tag);
    }
}

fn sign(name: &str) -> SignGet {
    SignGet {
        base_url: "http://127.0.0.1:8787".into(),
        file_name: name.into(),
        media_type: "text/csv; charset=utf-8".into(),
        now: START,
        lifetime: Duration::from_secs(900),
    }
}

async fn a_signed_link_works_until_it_expires(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), sample());
    write(&store, &key, &["bytes"]).await;
    for name in ["late departures.csv", "späte & 100% = \"gut\"?#/\\;.csv"] {
        let link = store.sign_get(&key, &sign(name)).await.unwrap();
        assert_eq!(link.expires, START.plus(Duration::from_secs(900)));
        assert!(!format!("{link:?}").contains("http"), "a link is a secret");
        let just_before = link.expires.minus(Duration::from_secs(1));
        assert_eq!(harness.follow(&link.url, START).await.as_deref(), Some(&b"bytes"[..]));
        assert_eq!(harness.follow(&link.url, just_before).await.as_deref(), Some(&b"bytes"[..]));
        assert_eq!(harness.follow(&link.url, link.expires).await, None);
    }
}

async fn a_changed_link_does_not_work(harness: &impl BlobStoreHarness) {
    let (store, mine, theirs) = (harness.store(), sample(), sample());
    write(&store, &mine, &["mine"]).await;
    write(&store, &theirs, &["theirs"]).await;
    let url = store.sign_get(&mine, &sign("a.csv")).await.unwrap().url;
    let moved = url.replace(&mine.to_string(), &theirs.to_string());
    assert_ne!(moved, url, "the link names the blob");
    assert_eq!(harness.follow(&moved, START).await, None);
    let longer = url.replacen("xpires=", "xpires=9", 1);
    assert_ne!(longer, url, "the link tells when it expires");
    assert_eq!(harness.follow(&longer, START).await, None);
    assert!(harness.follow(&url, START).await.is_some());
}

const UPLOADED: &str = "text/csv; charset=utf-8";

fn upload_key() -> BlobKey {
    BlobKey::Upload { job: reference("acme"), file: 0 }
}

fn sign_upload(bytes: u64) -> SignPut {
    SignPut {
        base_url: "http://127.0.0.1:8787".into(),
        media_type: UPLOADED.into(),
        bytes,
        now: START,
        lifetime: Duration::from_secs(900),
    }
}

async fn a_signed_upload_is_taken_as_it_was_signed(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), upload_key());
    let link = store.sign_put(&key, &sign_upload(5)).await.unwrap();
    assert_eq!(link.expires, START.plus(Duration::from_secs(900)));
    assert!(!format!("{link:?}").contains("http"), "a link is a secret");
    let media_type = link.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    assert_eq!(media_type.map(|(_, value)| value.as_str()), Some(UPLOADED));
    assert_eq!(store.head(&key).await.unwrap(), None, "a link is no file");
    let put = |body, now| Put { url: &link.url, headers: &link.headers, body, now };
    let just_before = link.expires.minus(Duration::from_secs(1));
    let mut tags = Vec::new();
    for (body, now) in [("first", START), ("again", just_before)] {
        assert!(harness.upload(put(Bytes::from_static(body.as_bytes()), now)).await, "{body}");
        assert_eq!(whole(&store, &key, None).await, body.as_bytes());
        let head = store.head(&key).await.unwrap().unwrap();
        assert_eq!(head.size, 5);
        assert!(!tags.contains(&head.etag), "the tag tells the two apart");
        tags.push(head.etag);
    }
    assert_eq!(harness.leftovers().await, 0);
}

async fn an_upload_that_is_not_as_signed_is_refused(harness: &impl BlobStoreHarness) {
    let (store, key) = (harness.store(), upload_key());
    let link = store.sign_put(&key, &sign_upload(5)).await.unwrap();
    let put = Put { url: &link.url, headers: &link.headers, body: Bytes::from_static(b"right"), now: START };
    for body in ["", "shor", "longer"] {
        assert!(!harness.upload(Put { body: body.into(), ..put.clone() }).await, "{body:?}");
    }
    let other: Vec<_> = link.headers.iter().map(|(name, _)| (name.clone(), "text/plain".into())).collect();
    for headers in [&other[..], &[]] {
        assert!(!harness.upload(Put { headers, ..put.clone() }).await, "{headers:?}");
    }
    assert!(!harness.upload(Put { now: link.expires, ..put.clone() }).await, "it has expired");
    let longer = link.url.replacen("xpires=", "xpires=9", 1);
    assert_ne!(longer, link.url, "the link tells when it expires");
    assert!(!harness.upload(Put { url: &longer, ..put.clone() }).await);
    assert_eq!(store.head(&key).await.unwrap(), None, "nothing is seen of what was refused");
    assert_eq!(harness.leftovers().await, 0);
    assert!(harness.upload(put).await);
}

async fn a_link_is_for_one_method_and_one_blob(harness: &impl BlobStoreHarness) {
    let (store, mine, theirs) = (harness.store(), upload_key(), upload_key());
    let link = store.sign_put(&mine, &sign_upload(5)).await.unwrap();
    let put = Put { url: &link.url, headers: &link.headers, body: Bytes::from_static(b"bytes"), now: START };
    let moved = link.url.replace(&mine.to_string(), &theirs.to_string());
    assert_ne!(moved, link.url, "the link names the blob");
    assert!(!harness.upload(Put { url: &moved, ..put.clone() }).await);
    assert_eq!(store.head(&theirs).await.unwrap(), None);
    assert!(harness.upload(put.clone()).await);
    assert_eq!(harness.follow(&link.url, START).await, None, "who may write may not read");

    let read = SignGet { media_type: UPLOADED.into(), ..sign("a.csv") };
    let url = store.sign_get(&mine, &read).await.unwrap().url;
    let body = Bytes::from_static(b"other");
    assert!(!harness.upload(Put { url: &url, body, ..put }).await, "who may read may not write");
    assert_eq!(whole(&store, &mine, None).await, b"bytes");
}
