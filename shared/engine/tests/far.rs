//! Data that lies far away: the same results as from disk, with few requests, in bounded memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    fmt,
    fs::File,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, StringArray,
    builder::{Int64Builder, ListBuilder},
};
use async_trait::async_trait;
use bytes::Bytes;
use parquet::{
    arrow::ArrowWriter,
    file::properties::{EnabledStatistics, WriterProperties},
};
use support::*;
use tempfile::TempDir;
use willcall_core::{
    catalog::DatasetSource,
    format::{Format, OutputFormat},
    job::{ProblemType, kinds::SortKey},
    ports::*,
    query::{CompareOp, Filter, Literal, Operand},
};
use willcall_engine::{Engine, EngineConfig, LocalDataFiles, ParquetInspector};

/// The disk as if it were far away.
#[derive(Clone, Default)]
struct Far {
    requests: Arc<AtomicUsize>,
    ranges: Arc<Mutex<Vec<Range<u64>>>>,
    /// Bytes that are on their way, and the most that ever were.
    coming: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
    /// After how many requests what happens.
    fault: Option<(usize, fn() -> DataFilesError)>,
}

struct FarFile {
    file: Arc<dyn DataFile>,
    far: Far,
}

impl fmt::Debug for FarFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl Far {
    fn fetched(&self) -> u64 {
        self.ranges.lock().unwrap().iter().map(|range| range.end - range.start).sum()
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl DataFiles for Far {
    async fn list(&self, source: &DatasetSource) -> Result<Vec<DataFileEntry>, DataFilesError> {
        LocalDataFiles.list(source).await
    }

    fn open(&self, entry: &DataFileEntry) -> Result<Arc<dyn DataFile>, DataFilesError> {
        Ok(Arc::new(FarFile { file: LocalDataFiles.open(entry)?, far: self.clone() }))
    }
}

impl DataFile for FarFile {
    fn read_at(&self, _: &mut [u8], _: u64) -> Result<usize, DataFilesError> {
        panic!("a far file is not read by the page");
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, DataFilesError> {
        let far = &self.far;
        let before = far.requests.fetch_add(ranges.len(), Ordering::SeqCst);
        if let Some((after, fault)) = far.fault
            && before >= after
        {
            return Err(fault());
        }
        far.ranges.lock().unwrap().extend_from_slice(ranges);
        let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let coming = far.coming.fetch_add(bytes, Ordering::SeqCst) + bytes;
        far.most.fetch_max(coming, Ordering::SeqCst);
        let read = self.file.read_ranges(ranges);
        far.coming.fetch_sub(bytes, Ordering::SeqCst);
        read
    }

    fn is_far(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), DataFilesError> {
        self.file.check()
    }
}

fn config(read_memory: usize) -> EngineConfig {
    EngineConfig { threads: 2, read_memory, ..EngineConfig::new(std::env::temp_dir()) }
}

/// Records of a number, a scattered number, text that does not get small, and a list.
fn records(from: i64, rows: i64) -> RecordBatch {
    let scattered = |n: i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
    let s: ArrayRef = Arc::new(Int64Array::from_iter_values((from..from + rows).map(scattered)));
    let text = |n: i64| format!("{:x}{:x}{:x}", scattered(n), scattered(!n), scattered(n ^ 0x5555));
    let t: ArrayRef = Arc::new(StringArray::from_iter_values((from..from + rows).map(text)));
    let mut lists = ListBuilder::new(Int64Builder::new());
    (from..from + rows).for_each(|n| lists.append_value((0..n % 4).map(Some)));
    RecordBatch::try_from_iter([("n", n), ("s", s), ("t", t), ("l", Arc::new(lists.finish()) as _)]).unwrap()
}

/// How a file is written.
#[derive(Debug, Clone, Copy)]
struct Layout {
    row_group: usize,
    page_rows: usize,
    index: bool,
}

fn write(data: &Data, name: &str, batch: &RecordBatch, layout: Layout) -> u64 {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(layout.row_group))
        .set_data_page_row_count_limit(layout.page_rows)
        .set_write_batch_size(512)
        .set_offset_index_disabled(!layout.index)
        .set_statistics_enabled(if layout.index { EnabledStatistics::Page } else { EnabledStatistics::Chunk })
        .build();
    let path = data.dir.path().join(name);
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    std::fs::metadata(path).unwrap().len()
}

const LAYOUTS: [Layout; 4] = [
    Layout { row_group: 1 << 20, page_rows: 4_000, index: false },
    Layout { row_group: 1 << 20, page_rows: 4_000, index: true },
    Layout { row_group: 20_000, page_rows: 1_000, index: false },
    Layout { row_group: 7_000, page_rows: 100_000, index: true },
];

fn above(n: i64) -> Filter {
    Filter::Compare { left: Operand::Column("n".into()), op: CompareOp::Ge, right: Literal::Int(n) }
}

#[tokio::test]
async fn far_files_give_the_same_bytes_as_near_ones_in_any_memory() {
    for layout in LAYOUTS {
        let data = Data::new();
        write(&data, "a.parquet", &records(0, 24_000), layout);
        write(&data, "b.parquet", &records(24_000, 8_000), layout);
        for variant in 0..5 {
            let mut work = data.query(Format::Csv).await;
            work.fields.retain(|field| field != "l");
            match variant {
                0 => work.output = OutputFormat::plain(Format::Parquet),
                1 => work.sort = vec![SortKey { column: "s".into(), descending: true }],
                2 => work.filter = Some(above(26_123)),
                3 => (work.offset, work.limit) = (20_001, Some(8_000)),
                _ => {
                    (work.output, work.fields) =
                        (OutputFormat::plain(Format::Jsonl), vec!["l".into(), "t".into()])
                }
            }
            let near = run(&data, work.clone()).await;
            for memory in [0, 64 << 20] {
                let far = Engine::new(config(memory), Arc::new(Far::default()));
                let far = run_with(&far, &data, work.clone()).await.unwrap();
                assert!(far.bytes() == near.bytes(), "{layout:?} {variant} {memory}");
                assert_eq!(far.delivered.records_found, near.delivered.records_found);
                assert_eq!(far.delivered.dataset, near.delivered.dataset);
            }
        }
    }
}

#[tokio::test]
async fn a_far_file_is_fetched_once_by_few_requests() {
    for layout in LAYOUTS {
        let data = Data::new();
        let size = write(&data, "a.parquet", &records(0, 300_000), layout);
        let work = data.query(Format::Csv).await;
        let work =
            willcall_core::job::kinds::QueryWork { fields: vec!["n".into(), "s".into(), "t".into()], ..work };
        // In little memory a part is fetched again, as it is not known where its pages begin.
        for (memory, times, requests) in [(64 << 20, 11, 12), (8 << 20, 25, 200)] {
            let far = Far::default();
            run_with(&Engine::new(config(memory), Arc::new(far.clone())), &data, work.clone()).await.unwrap();
            let (fetched, made) = (far.fetched(), far.requests());
            // Each row group takes one, however small it is.
            let requests = requests + 300_000 / layout.row_group as u64;
            assert!(fetched <= size * times / 10, "{layout:?} {memory}: {fetched} bytes of {size}");
            assert!(
                made as u64 <= requests + size / (1 << 20),
                "{layout:?} {memory}: {made} requests for {size}"
            );
        }
    }
}

#[tokio::test]
async fn what_a_filter_rules_out_is_not_fetched() {
    let data = Data::new();
    let layout = Layout { row_group: 20_000, page_rows: 10_000, index: false };
    let size = write(&data, "a.parquet", &records(0, 300_000), layout);
    let far = Far::default();
    let engine = Engine::new(config(64 << 20), Arc::new(far.clone()));
    let mut work = data.query(Format::Csv).await;
    work.filter = Some(above(299_990));
    let ran = run_with(&engine, &data, work).await.unwrap();
    assert_eq!(ran.delivered.records, 10);
    // One row group of fifteen, and the footer.
    assert!(far.fetched() < size / 8, "{} of {size}", far.fetched());
}

#[tokio::test]
async fn the_first_few_records_take_the_first_few_pages() {
    for index in [false, true] {
        let data = Data::new();
        let layout = Layout { row_group: 1 << 20, page_rows: 2_000, index };
        let size = write(&data, "a.parquet", &records(0, 300_000), layout);
        let far = Far::default();
        let engine = Engine::new(config(64 << 20), Arc::new(far.clone()));
        let mut work = data.query(Format::Jsonl).await;
        (work.fields, work.limit) = (vec!["n".into(), "t".into()], Some(100));
        let ran = run_with(&engine, &data, work).await.unwrap();
        assert_eq!(ran.delivered.records, 100);
        // Of the columns, their dictionaries of a megabyte and their first pages.
        assert!(far.fetched() < size / 6, "{} of {size}", far.fetched());
        assert!(far.requests() <= 6, "{}", far.requests());
    }
}

#[tokio::test]
async fn footers_alone_are_fetched_to_inspect() {
    let data = Data::new();
    for n in 0..20 {
        write(&data, &format!("{n:02}.parquet"), &records(n * 5_000, 5_000), LAYOUTS[2]);
    }
    let far = Far::default();
    let inspector = ParquetInspector::new(Arc::new(far.clone()));
    let facts = inspector.inspect(&data.source()).await.unwrap();
    assert_eq!((facts.records, facts.files), (Some(100_000), 20));
    assert_eq!(facts, ParquetInspector::new(local()).inspect(&data.source()).await.unwrap());
    assert_eq!(far.requests(), 20);
    let before = far.requests();
    assert_eq!(inspector.version(&data.source()).await.unwrap(), facts.version);
    assert_eq!(far.requests(), before, "a version takes no read");
}

#[tokio::test]
async fn what_is_on_its_way_is_bounded() {
    let data = Data::new();
    let layout = Layout { row_group: 1 << 20, page_rows: 4_000, index: false };
    let size = write(&data, "a.parquet", &records(0, 400_000), layout);
    assert!(size > 16 << 20, "{size}");
    let far = Far::default();
    let engine = Engine::new(config(2 << 20), Arc::new(far.clone()));
    run_with(&engine, &data, data.query(Format::Csv).await).await.unwrap();
    let most = far.most.load(Ordering::SeqCst);
    // A share for each of four threads, with what lies between.
    assert!(most <= 4 << 20, "{most}");
}

#[tokio::test]
async fn a_far_file_that_cannot_be_had_ends_the_job_as_its_kind_asks() {
    type Case = (fn() -> DataFilesError, Option<ProblemType>, &'static str);
    let cases: [Case; 4] = [
        (|| DataFilesError::Changed, Some(ProblemType::Conflict), "is not the file that it was"),
        (|| DataFilesError::Missing, Some(ProblemType::Conflict), "is gone"),
        (
            || DataFilesError::Unreadable("403 for s3://secret".into()),
            Some(ProblemType::EngineFailed),
            "cannot be read",
        ),
        (|| DataFilesError::Unavailable("503 for s3://secret".into()), None, "cannot be read now"),
    ];
    let data = Data::new();
    write(&data, "a.parquet", &records(0, 100_000), LAYOUTS[2]);
    for (fault, kind, words) in cases {
        // At the footer, at the first records, later.
        for after in [0, 1, 4] {
            let far = Far { fault: Some((after, fault)), ..Far::default() };
            let engine = Engine::new(config(1 << 20), Arc::new(far));
            let error = run_with(&engine, &data, data.query(Format::Csv).await).await.err().unwrap();
            let (problem, source) = match error {
                ExecuteError::Fatal { problem, source } => {
                    assert_eq!(kind, Some(problem.kind), "{after}");
                    (problem, source)
                }
                ExecuteError::Transient { problem, source } => {
                    assert_eq!(kind, None, "{after}: {}", problem.detail);
                    (problem, Some(source))
                }
                other => panic!("{other:?}"),
            };
            assert!(problem.detail.contains(words), "{after}: {}", problem.detail);
            assert!(problem.detail.contains("a.parquet"), "{}", problem.detail);
            let dir = data.dir.path().to_str().unwrap();
            assert!(
                !problem.detail.contains("secret") && !problem.detail.contains(dir),
                "{}",
                problem.detail
            );
            if kind != Some(ProblemType::Conflict) {
                let mut cause: Option<&dyn std::error::Error> = source.as_deref().map(|source| source as _);
                let mut chain = String::new();
                while let Some(error) = cause {
                    chain += &error.to_string();
                    cause = error.source();
                }
                assert!(chain.contains("s3://secret"), "the log knows more: {chain}");
            }
        }
    }
}

#[tokio::test]
async fn damaged_far_files_are_damaged_files() {
    let data = Data::new();
    write(&data, "a.parquet", &records(0, 20_000), LAYOUTS[0]);
    let work = data.query(Format::Csv).await;
    let dataset = data.dataset().await;
    let path = data.dir.path().join("a.parquet");
    let good = std::fs::read(&path).unwrap();
    let engine = Engine::new(config(1 << 20), Arc::new(Far::default()));
    let mut head = good.clone();
    head[4..60].fill(0xFF);
    for bad in [good[..good.len() / 2].to_vec(), Vec::new(), b"PAR1".to_vec(), head] {
        std::fs::write(&path, bad).unwrap();
        let blobs = Arc::new(MemoryBlobs::default());
        let error = engine.execute(task(dataset.clone(), work.clone(), &blobs)).await.unwrap_err();
        let ExecuteError::Fatal { problem, .. } = error else { panic!("{error:?}") };
        assert_eq!(problem.kind, ProblemType::EngineFailed);
        assert!(problem.detail.contains("a.parquet is damaged or not Parquet"), "{}", problem.detail);
    }
}

#[tokio::test]
async fn a_sort_of_far_data_spills_as_one_of_near_data() {
    let data = Data::new();
    write(&data, "a.parquet", &records(0, 60_000), LAYOUTS[1]);
    let mut work = data.query(Format::Csv).await;
    work.fields = vec!["n".into(), "t".into()];
    work.sort = vec![SortKey { column: "t".into(), descending: false }];
    let near = run(&data, work.clone()).await;
    let spill = TempDir::new().unwrap();
    let tight = EngineConfig { sort_memory: 0, spill_dir: spill.path().into(), ..config(1 << 20) };
    let far = run_with(&Engine::new(tight, Arc::new(Far::default())), &data, work).await.unwrap();
    assert!(far.bytes() == near.bytes());
}
