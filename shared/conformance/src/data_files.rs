//! What every [`DataFiles`] does.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use willcall_core::{
    catalog::DatasetSource,
    ports::{DataFile, DataFileEntry, DataFiles, DataFilesError},
};

/// Makes the adapter that is put to the test, over a place where files can be put.
#[async_trait]
pub trait DataFilesHarness: Send + Sync + Sized {
    /// A harness with nothing in its place.
    async fn fresh() -> Self;

    /// The files.
    fn files(&self) -> Arc<dyn DataFiles>;

    /// The location of a path in the place, such as `flights/a.parquet`.
    fn location(&self, path: &str) -> String;

    /// Writes a file, in place of one of that path.
    async fn put(&self, path: &str, bytes: Bytes);

    /// Removes a file.
    async fn remove(&self, path: &str);
}

crate::suite! {
    $ data_files_suite in data_files for DataFilesHarness {
        a_directory_gives_its_own_parquet_files_by_name,
        a_directory_without_parquet_gives_its_files_of_text,
        directories_that_tell_values_are_looked_into,
        a_directory_may_be_named_with_a_slash_at_its_end,
        a_file_is_found_by_its_name_whatever_that_is,
        a_file_is_not_found_by_a_part_of_its_name,
        nothing_there_is_missing,
        many_files_are_all_found,
        a_list_tells_size_time_and_mark,
        the_mark_changes_with_the_file_alone,
        reads_are_exact,
        reads_past_the_end_are_empty_and_ranges_errors,
        many_threads_read_one_file,
        an_empty_file_is_a_file,
        a_file_replaced_since_it_was_listed_is_changed,
        a_file_replaced_while_it_is_open_is_changed,
        a_file_removed_since_it_was_listed_is_missing,
        files_are_read_from_threads_of_a_runtime_of_one_thread,
        names_of_all_kinds_are_found,
    }
}

fn bytes(length: usize, seed: u8) -> Bytes {
    (0..length).map(|n| (n % 251) as u8 ^ seed).collect::<Vec<u8>>().into()
}

fn source(harness: &impl DataFilesHarness, path: &str) -> DatasetSource {
    DatasetSource::at(harness.location(path))
}

async fn list(harness: &impl DataFilesHarness, path: &str) -> Result<Vec<DataFileEntry>, DataFilesError> {
    harness.files().list(&source(harness, path)).await
}

async fn names(harness: &impl DataFilesHarness, path: &str) -> Vec<String> {
    list(harness, path).await.unwrap().into_iter().map(|entry| entry.name).collect()
}

/// Does what blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Everything of an open file, and that it still was the file that was listed.
fn whole(file: &dyn DataFile, size: u64) -> Result<Bytes, DataFilesError> {
    let all = 0..size;
    let bytes = file.read_ranges(&[all])?.remove(0);
    file.check()?;
    Ok(bytes)
}

async fn read(harness: &impl DataFilesHarness, entry: &DataFileEntry) -> Result<Bytes, DataFilesError> {
    let (files, entry) = (harness.files(), entry.clone());
    blocking(move || whole(&*files.open(&entry)?, entry.size)).await
}

async fn a_directory_gives_its_own_parquet_files_by_name(harness: &impl DataFilesHarness) {
    for path in [
        "d/b.parquet",
        "d/a.parquet",
        "d/B.parquet",
        "d/.hidden.parquet",
        "d/_temporary.parquet",
        "d/_SUCCESS",
        "d/notes.txt",
        "d/notes.csv",
        "d/c.parquet.crc",
        "d/below/x.parquet",
        "d/e.parquet/y.parquet",
        "da/z.parquet",
        "other/w.parquet",
    ] {
        harness.put(path, bytes(10, 1)).await;
    }
    assert_eq!(names(harness, "d").await, ["B.parquet", "a.parquet", "b.parquet"]);
}

async fn a_directory_without_parquet_gives_its_files_of_text(harness: &impl DataFilesHarness) {
    for path in [
        "d/b.csv",
        "d/a.csv.gz",
        "d/c.tsv.zst",
        "d/d.jsonl",
        "d/e.ndjson.gz",
        "d/_f.csv",
        "d/.g.csv",
        "d/h.json",
        "d/i.csv.bz2",
        "d/notes.txt",
        "d/below/x.csv",
    ] {
        harness.put(path, bytes(10, 1)).await;
    }
    assert_eq!(names(harness, "d").await, ["a.csv.gz", "b.csv", "c.tsv.zst", "d.jsonl", "e.ndjson.gz"]);
    assert_eq!(names(harness, "d/b.csv").await, ["b.csv"]);
}

async fn directories_that_tell_values_are_looked_into(harness: &impl DataFilesHarness) {
    for path in [
        "d/year=2026/month=02/b.parquet",
        "d/year=2026/month=01/a.parquet",
        "d/year=2026/month=01/b.parquet",
        "d/year=2025/month=__HIVE_DEFAULT_PARTITION__/a b%2Fc.parquet",
        "d/year=2026/month=01/notes.csv",
        "d/year=2026/month=01/_x.parquet",
        "d/year=2026/below/x.parquet",
        "d/below/year=2026/x.parquet",
        "d/_year=2026/x.parquet",
        "d/=2026/x.parquet",
    ] {
        harness.put(path, bytes(10, 1)).await;
    }
    let found = [
        "year=2025/month=__HIVE_DEFAULT_PARTITION__/a b%2Fc.parquet",
        "year=2026/month=01/a.parquet",
        "year=2026/month=01/b.parquet",
        "year=2026/month=02/b.parquet",
    ];
    assert_eq!(names(harness, "d").await, found);
    assert_eq!(
        names(harness, "d/year=2026/").await,
        ["month=01/a.parquet", "month=01/b.parquet", "month=02/b.parquet"]
    );
    for entry in list(harness, "d").await.unwrap() {
        assert_eq!(read(harness, &entry).await.unwrap(), bytes(10, 1), "{}", entry.name);
    }
}

async fn a_directory_may_be_named_with_a_slash_at_its_end(harness: &impl DataFilesHarness) {
    harness.put("d/a.parquet", bytes(10, 1)).await;
    let (with, without) = (list(harness, "d/").await.unwrap(), list(harness, "d").await.unwrap());
    assert_eq!(with.len(), 1);
    assert_eq!((&with[0].name, &with[0].mark), (&without[0].name, &without[0].mark));
    assert_eq!(read(harness, &with[0]).await.unwrap(), bytes(10, 1));
}

async fn a_file_is_found_by_its_name_whatever_that_is(harness: &impl DataFilesHarness) {
    for path in ["d/a.parquet", "d/_b.data", "d/.c"] {
        harness.put(path, bytes(7, 1)).await;
        assert_eq!(names(harness, path).await, [path.strip_prefix("d/").unwrap()]);
    }
}

async fn a_file_is_not_found_by_a_part_of_its_name(harness: &impl DataFilesHarness) {
    harness.put("d/ab.parquet", bytes(7, 1)).await;
    for path in ["d/a", "d/ab", "d/ab.parque", "d/ab.parquet.x"] {
        assert!(matches!(list(harness, path).await, Err(DataFilesError::Missing)), "{path}");
    }
}

async fn nothing_there_is_missing(harness: &impl DataFilesHarness) {
    harness.put("empty/notes.txt", bytes(7, 1)).await;
    harness.put("empty/below/a.parquet", bytes(7, 1)).await;
    for path in ["nowhere", "nowhere/", "nowhere/a.parquet", "empty", "empty/"] {
        assert!(matches!(list(harness, path).await, Err(DataFilesError::Missing)), "{path}");
    }
}

async fn many_files_are_all_found(harness: &impl DataFilesHarness) {
    let all: Vec<String> = (0..1_005).map(|n| format!("{n:04}.parquet")).collect();
    for name in &all {
        harness.put(&format!("d/{name}"), Bytes::from_static(b"x")).await;
    }
    assert_eq!(names(harness, "d").await, all);
}

async fn a_list_tells_size_time_and_mark(harness: &impl DataFilesHarness) {
    harness.put("d/a.parquet", bytes(12_345, 1)).await;
    for path in ["d", "d/a.parquet"] {
        let entry = list(harness, path).await.unwrap().remove(0);
        assert_eq!((entry.name.as_str(), entry.size), ("a.parquet", 12_345));
        assert!(entry.modified.as_seconds() > 1_700_000_000, "{}", entry.modified);
        assert!(!entry.mark.is_empty());
    }
}

async fn the_mark_changes_with_the_file_alone(harness: &impl DataFilesHarness) {
    harness.put("d/a.parquet", bytes(10, 1)).await;
    let first = list(harness, "d").await.unwrap();
    harness.put("d/b.parquet", bytes(10, 1)).await;
    let second = list(harness, "d").await.unwrap();
    assert_eq!(second[0], first[0]);
    harness.put("d/a.parquet", bytes(10, 2)).await;
    let third = list(harness, "d").await.unwrap();
    assert_ne!(third[0].mark, first[0].mark);
    assert_eq!(third[1], second[1]);
    assert_eq!(list(harness, "d/a.parquet").await.unwrap()[0].mark, third[0].mark, "found in either way");
}

async fn reads_are_exact(harness: &impl DataFilesHarness) {
    let all = bytes(300_000, 3);
    harness.put("d/a.parquet", all.clone()).await;
    let entry = list(harness, "d").await.unwrap().remove(0);
    let files = harness.files();
    blocking(move || {
        let file = files.open(&entry).unwrap();
        let ranges: [Range<u64>; 6] =
            [0..1, 0..300_000, 299_999..300_000, 70_000..70_000, 12_345..200_001, 5..90];
        let read = file.read_ranges(&ranges).unwrap();
        assert_eq!(read.len(), ranges.len());
        for (range, read) in ranges.iter().zip(read) {
            assert_eq!(read, all.slice(range.start as usize..range.end as usize), "{range:?}");
        }
        assert!(file.read_ranges(&[]).unwrap().is_empty());
        for (position, length) in [(0, 8), (299_990, 10), (1_000, 65_536)] {
            let mut buffer = vec![0; length];
            let mut filled = 0;
            while filled < length {
                let more = file.read_at(&mut buffer[filled..], (position + filled) as u64).unwrap();
                assert!(more > 0);
                filled += more;
            }
            assert_eq!(buffer, all[position..position + length]);
        }
        assert_eq!(file.read_at(&mut [], 7).unwrap(), 0);
        file.check().unwrap();
    })
    .await;
}

async fn reads_past_the_end_are_empty_and_ranges_errors(harness: &impl DataFilesHarness) {
    harness.put("d/a.parquet", bytes(100, 1)).await;
    let entry = list(harness, "d").await.unwrap().remove(0);
    let files = harness.files();
    blocking(move || {
        let file = files.open(&entry).unwrap();
        let mut buffer = [0; 50];
        assert_eq!(file.read_at(&mut buffer, 100).unwrap(), 0);
        assert_eq!(file.read_at(&mut buffer, 10_000).unwrap(), 0);
        assert_eq!(file.read_at(&mut buffer, 90).unwrap(), 10);
        for range in [90..101, 100..110, 1_000..1_001] {
            assert!(file.read_ranges(&[0..10, range.clone()]).is_err(), "{range:?}");
        }
        #[expect(clippy::reversed_empty_ranges, reason = "what a damaged footer asks for")]
        let reversed = 20..10;
        assert!(file.read_ranges(&[reversed]).is_err());
        let empty = 100..100;
        assert_eq!(file.read_ranges(&[empty]).unwrap()[0].len(), 0);
    })
    .await;
}

async fn many_threads_read_one_file(harness: &impl DataFilesHarness) {
    let all = bytes(1 << 20, 5);
    harness.put("d/a.parquet", all.clone()).await;
    let entry = list(harness, "d").await.unwrap().remove(0);
    let files = harness.files();
    blocking(move || {
        let file = files.open(&entry).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (file, all) = (&file, &all);
                scope.spawn(move || {
                    for n in 0..8 {
                        let start = (thread * 8 + n) * 16_384;
                        let read = file.read_ranges(&[start..start + 16_384, n..n + 1]).unwrap();
                        assert_eq!(read[0], all.slice(start as usize..start as usize + 16_384));
                    }
                });
            }
        });
    })
    .await;
}

async fn an_empty_file_is_a_file(harness: &impl DataFilesHarness) {
    harness.put("d/a.parquet", Bytes::new()).await;
    let entry = list(harness, "d").await.unwrap().remove(0);
    assert_eq!(entry.size, 0);
    assert_eq!(read(harness, &entry).await.unwrap().len(), 0);
}

async fn a_file_replaced_since_it_was_listed_is_changed(harness: &impl DataFilesHarness) {
    harness.put("d/a.parquet", bytes(1_000, 1)).await;
    let entry = list(harness, "d").await.unwrap().remove(0);
    // Of the same size, shorter, longer.
    for length in [1_000, 10, 5_000] {
        harness.put("d/a.parquet", bytes(length, 2)).await;
        let outcome = read(harness, &entry).await;
        assert!(matches!(outcome, Err(DataFilesError::Changed)), "{length}: {outcome:?}");
    }
}

async fn a_file_replaced_while_it_is_open_is_changed(harness: &impl DataFilesHarness) {
    harness.put("d/a.parquet", bytes(1_000, 1)).await;
    let entry = list(harness, "d").await.unwrap().remove(0);
    let (files, opened) = (harness.files(), entry.clone());
    let file = blocking(move || files.open(&opened).unwrap()).await;
    let (again, size) = (Arc::clone(&file), entry.size);
    assert_eq!(blocking(move || whole(&*again, size)).await.unwrap(), bytes(1_000, 1));
    harness.put("d/a.parquet", bytes(1_000, 2)).await;
    // Whoever still has the old file may read on in it; nobody reads one part of each.
    match blocking(move || whole(&*file, size)).await {
        Ok(read) => assert_eq!(read, bytes(1_000, 1)),
        Err(error) => assert!(matches!(error, DataFilesError::Changed), "{error:?}"),
    }
}

async fn a_file_removed_since_it_was_listed_is_missing(harness: &impl DataFilesHarness) {
    harness.put("d/a.parquet", bytes(1_000, 1)).await;
    let entry = list(harness, "d").await.unwrap().remove(0);
    harness.remove("d/a.parquet").await;
    let outcome = read(harness, &entry).await;
    assert!(matches!(outcome, Err(DataFilesError::Missing)), "{outcome:?}");
}

async fn files_are_read_from_threads_of_a_runtime_of_one_thread(harness: &impl DataFilesHarness) {
    harness.put("d/a.parquet", bytes(200_000, 1)).await;
    let (files, source) = (harness.files(), source(harness, "d"));
    let read = blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let entry = runtime.block_on(files.list(&source)).unwrap().remove(0);
        runtime.block_on(async {
            // Its only thread does nothing but wait for the one that reads.
            let reading = std::thread::spawn(move || whole(&*files.open(&entry)?, entry.size));
            reading.join().unwrap()
        })
    });
    assert_eq!(read.await.unwrap(), bytes(200_000, 1));
}

async fn names_of_all_kinds_are_found(harness: &impl DataFilesHarness) {
    let all = ["a b+c%41&d=e.parquet", "größe 😀.parquet", "year=2026.parquet"];
    for name in all {
        harness.put(&format!("d/{name}"), bytes(10, 1)).await;
        assert_eq!(names(harness, &format!("d/{name}")).await, [name]);
    }
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    assert_eq!(names(harness, "d").await, sorted);
    for entry in list(harness, "d").await.unwrap() {
        assert_eq!(read(harness, &entry).await.unwrap(), bytes(10, 1), "{}", entry.name);
    }
}
