//! Data sets in S3: the engine over them, and what goes wrong on the way.

use std::{sync::Arc, time::Duration};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use bytes::Bytes;
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use willcall_aws::S3DataFiles;
use willcall_conformance::{MemoryBlobStore, data_files::DataFilesHarness, samples::reference};
use willcall_core::{
    catalog::{Dataset, DatasetSource},
    chain,
    format::{Format, OutputFormat},
    job::{
        Problem, ProblemType,
        kinds::{QueryWork, SortKey, Work},
    },
    ports::{
        BlobKey, BlobStore, DataFiles, DataFilesByPlace, DataFilesError, DatasetInspector, Delivered,
        ExecuteError, Executor, Input, Subject, Task,
    },
    query::{CompareOp, Filter, Literal, Operand},
};
use willcall_engine::{Engine, EngineConfig, LocalDataFiles, ParquetInspector};

use crate::{
    faulty::{Fault, Faulty},
    place::Place,
};

const DENIED: &str = "<Error><Code>AccessDenied</Code></Error>";
const ARCHIVED: &str =
    "<Error><Code>InvalidObjectState</Code><StorageClass>DEEP_ARCHIVE</StorageClass></Error>";
const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code></Error>";

#[async_trait]
impl DataFilesHarness for Place {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn files(&self) -> Arc<dyn DataFiles> {
        Arc::new(S3DataFiles::new(&self.clients))
    }

    fn location(&self, path: &str) -> String {
        format!("s3://{}/data/{path}", self.name)
    }

    async fn put(&self, path: &str, bytes: Bytes) {
        let put = self.raw_s3.put_object().bucket(&self.name).key(format!("data/{path}"));
        put.body(bytes.into()).send().await.unwrap();
    }

    async fn remove(&self, path: &str) {
        let delete = self.raw_s3.delete_object().bucket(&self.name).key(format!("data/{path}"));
        delete.send().await.unwrap();
    }
}

mod data_files {
    willcall_conformance::data_files_suite!(super::Place);
}

async fn faulty() -> (Faulty, Place) {
    let network = Faulty::new();
    let http = aws_smithy_runtime_api::client::http::SharedHttpClient::new(network.clone());
    (network, Place::through(http).await)
}

/// A Parquet file of numbers and text that does not get small.
fn parquet(from: i64, rows: i64) -> Bytes {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
    let text = |n: i64| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64));
    let t: ArrayRef = Arc::new(StringArray::from_iter_values((from..from + rows).map(text)));
    let batch = RecordBatch::try_from_iter([("n", n), ("t", t)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(20_000)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

/// A data set, and jobs over it.
struct Jobs {
    files: Arc<dyn DataFiles>,
    dataset: Dataset,
    blobs: Arc<MemoryBlobStore>,
}

impl Jobs {
    async fn over(files: Arc<dyn DataFiles>, location: String) -> Self {
        let source = DatasetSource::at(location);
        let facts = ParquetInspector::new(Arc::clone(&files)).inspect(&source).await.unwrap();
        let (name, description, views) = ("data".into(), String::new(), Default::default());
        let dataset = Dataset { name, description, source, views, facts };
        Self { files, dataset, blobs: Arc::default() }
    }

    fn work(&self, format: Format) -> QueryWork {
        QueryWork {
            dataset: "data".into(),
            filter: None,
            fields: vec!["n".into(), "t".into()],
            sort: Vec::new(),
            limit: None,
            offset: 0,
            max_records: u64::MAX,
            output: OutputFormat::plain(format),
            page_size: 1000,
        }
    }

    fn task(&self, work: QueryWork) -> Task {
        let job = reference("acme");
        Task {
            job: job.clone(),
            attempt: 1,
            work: Arc::new(Work::Query(Box::new(work))),
            subject: Subject::Dataset(Arc::new(self.dataset.clone())),
            snapshot: job,
            input: Input::Work,
            max_bytes: None,
            blobs: Arc::clone(&self.blobs) as _,
            control: Arc::default(),
        }
    }

    async fn execute(&self, task: &Task) -> Result<Delivered, ExecuteError> {
        let config = EngineConfig { threads: 2, ..EngineConfig::new(std::env::temp_dir()) };
        Engine::new(config, Arc::clone(&self.files)).execute(task.clone()).await
    }

    async fn result(&self, work: QueryWork) -> Bytes {
        let task = self.task(work);
        let delivered = self.execute(&task).await.unwrap();
        let file = delivered.files[0].name.clone();
        let key = BlobKey::Result { job: task.job, attempt: 1, file };
        self.blobs.read(&key, 0..delivered.files[0].bytes).await.unwrap()
    }

    /// The problem of a job that fails for good, or for now.
    async fn fails(&self, task: &Task, for_good: bool) -> Problem {
        match self.execute(task).await.unwrap_err() {
            ExecuteError::Fatal { problem, .. } if for_good => problem,
            ExecuteError::Transient { problem, .. } if !for_good => problem,
            other => panic!("{other:?}"),
        }
    }
}

/// Two files in S3.
async fn two_files(place: &Place) -> Jobs {
    place.put("d/a.parquet", parquet(0, 50_000)).await;
    place.put("d/b.parquet", parquet(50_000, 50_000)).await;
    Jobs::over(place.files(), place.location("d/")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_reads_the_same_from_s3_as_from_disk() {
    let place = Place::new().await;
    let far = two_files(&place).await;
    let disk = tempfile::tempdir().unwrap();
    std::fs::write(disk.path().join("a.parquet"), parquet(0, 50_000)).unwrap();
    std::fs::write(disk.path().join("b.parquet"), parquet(50_000, 50_000)).unwrap();
    let near = Jobs::over(Arc::new(LocalDataFiles), disk.path().to_str().unwrap().to_owned()).await;
    assert_eq!(far.dataset.facts.columns, near.dataset.facts.columns);
    assert_eq!(far.dataset.facts.records, Some(100_000));
    assert_eq!(far.dataset.facts.bytes, near.dataset.facts.bytes);
    let n = || Operand::Column("n".into());
    let filter = Filter::Compare { left: n(), op: CompareOp::Ge, right: Literal::Int(77_777) };
    for format in [Format::Csv, Format::Jsonl, Format::Parquet] {
        let all = far.work(format);
        let sorted =
            QueryWork { sort: vec![SortKey { column: "t".into(), descending: true }], ..far.work(format) };
        let filtered = QueryWork { filter: Some(filter.clone()), ..far.work(format) };
        let cut = QueryWork { offset: 45_000, limit: Some(10_000), ..far.work(format) };
        for work in [all, sorted, filtered, cut] {
            assert!(far.result(work.clone()).await == near.result(work).await, "{format}");
        }
    }
}

/// The runtime of a function has one thread, on which everything but the engine's own work is done.
#[tokio::test]
async fn a_job_runs_on_a_runtime_of_one_thread() {
    let place = Place::new().await;
    let jobs = two_files(&place).await;
    let result = jobs.result(jobs.work(Format::Csv)).await;
    assert_eq!(result.iter().filter(|byte| **byte == b'\n').count(), 100_001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_both_places_reads_each_where_it_lies() {
    let place = Place::new().await;
    place.put("a.parquet", parquet(0, 10)).await;
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path().join("b.parquet");
    std::fs::write(&path, parquet(0, 20)).unwrap();
    let both: Arc<dyn DataFiles> =
        Arc::new(DataFilesByPlace { disk: Arc::new(LocalDataFiles), s3: place.files() });
    let inspector = ParquetInspector::new(both);
    for (location, records) in [(place.location("a.parquet"), 10), (path.to_str().unwrap().into(), 20)] {
        let facts = inspector.inspect(&DatasetSource::at(location)).await.unwrap();
        assert_eq!(facts.records, Some(records));
    }
    let error = place.files().list(&DatasetSource::at("/data/a.parquet")).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unreadable(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_asks_for_the_object_that_was_listed() {
    let (network, place) = faulty().await;
    let jobs = two_files(&place).await;
    let task = jobs.task(jobs.work(Format::Csv));
    let delivered = jobs.execute(&task).await.unwrap();
    assert_eq!(delivered.records, 100_000);
    let before = network.count("GET");
    place.put("d/b.parquet", parquet(50_000, 49_999)).await;
    let again = Task { attempt: 2, control: Arc::default(), ..task };
    let problem = jobs.fails(&again, true).await;
    assert_eq!(problem.kind, ProblemType::Conflict);
    assert!(problem.detail.contains("b.parquet is not the file that it was"), "{}", problem.detail);
    assert!(!problem.detail.contains(&place.name), "{}", problem.detail);
    assert!(network.count("GET") > before);
    place.remove("d/b.parquet").await;
    let third = Task { attempt: 3, control: Arc::default(), ..again };
    let problem = jobs.fails(&third, true).await;
    assert_eq!(problem.kind, ProblemType::Conflict);
    assert!(problem.detail.contains("b.parquet is gone"), "{}", problem.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_replaced_in_the_middle_of_a_job_is_a_conflict() {
    let (network, place) = faulty().await;
    place.put("d/a.parquet", parquet(0, 200_000)).await;
    let jobs = Jobs::over(place.files(), place.location("d")).await;
    // List and footer come; what is read after them is of another object.
    network.address("GET", "a.parquet", 1, Fault::Slow(Duration::from_millis(1)));
    network.address("GET", "a.parquet", 1_000, Fault::Slow(Duration::from_millis(700)));
    let task = jobs.task(jobs.work(Format::Csv));
    let before = network.count("GET");
    let replace = async {
        while network.count("GET") < before + 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        place.put("d/a.parquet", parquet(1, 200_000)).await;
    };
    let (problem, ()) = tokio::join!(jobs.fails(&task, true), replace);
    assert_eq!(problem.kind, ProblemType::Conflict);
    assert!(problem.detail.contains("a.parquet"), "{}", problem.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_fails_for_good_and_names_the_file_alone() {
    let (network, place) = faulty().await;
    let jobs = two_files(&place).await;
    let task = jobs.task(jobs.work(Format::Csv));
    network.address("GET", "b.parquet", 1_000, Fault::Answer(403, DENIED));
    let problem = jobs.fails(&task, true).await;
    assert_eq!(problem.kind, ProblemType::EngineFailed);
    assert_eq!(problem.detail, "b.parquet cannot be read");
    network.address("GET", "list-type=2", 1_000, Fault::Answer(403, DENIED));
    let error = jobs.files.list(&jobs.dataset.source).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unreadable(_)), "{error:?}");
    let words = format!("access to the bucket {} is denied: it takes s3:ListBucket", place.name);
    for words in [words.as_str(), "ListObjectsV2 failed with AccessDenied"] {
        assert!(chain(&error).contains(words), "{}", chain(&error));
    }
}

/// S3 lists it as any other, and refuses whoever reads it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_archived_fails_for_good_and_says_what_to_do() {
    let (network, place) = faulty().await;
    let jobs = two_files(&place).await;
    let task = jobs.task(jobs.work(Format::Csv));
    network.address("GET", "b.parquet", 1_000, Fault::Answer(403, ARCHIVED));
    let before = network.count("GET");
    let ExecuteError::Fatal { problem, source: Some(source) } = jobs.execute(&task).await.unwrap_err() else {
        panic!("it is not for another attempt, and has a cause");
    };
    assert_eq!((problem.kind, &*problem.detail), (ProblemType::EngineFailed, "b.parquet cannot be read"));
    let said = chain(&*source);
    let words =
        format!("an object of the bucket {} is archived: restore it, or put it elsewhere", place.name);
    assert!(said.contains(&words) && said.contains("GetObject failed with InvalidObjectState"), "{said}");
    assert!(network.count("GET") - before <= 10, "what will not pass is not tried again");

    // A catalog over it says so before any job does.
    let inspected = ParquetInspector::new(place.files()).inspect(&jobs.dataset.source).await.unwrap_err();
    assert!(chain(&inspected).contains(&words), "{}", chain(&inspected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_that_pass_are_not_seen() {
    let (network, place) = faulty().await;
    let jobs = two_files(&place).await;
    let expected = jobs.result(jobs.work(Format::Csv)).await;
    network.address("GET", "list-type=2", 2, Fault::Answer(500, ""));
    network.address("GET", "a.parquet", 2, Fault::Answer(503, SLOW_DOWN));
    network.address("GET", "a.parquet", 1, Fault::CutShort);
    network.address("GET", "b.parquet", 1, Fault::AnswerLost);
    network.address("GET", "b.parquet", 2, Fault::CutShort);
    network.address("GET", "b.parquet", 1, Fault::Slow(Duration::from_millis(300)));
    assert!(jobs.result(jobs.work(Format::Csv)).await == expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_that_stay_are_for_another_attempt() {
    let (network, place) = faulty().await;
    let jobs = two_files(&place).await;
    let task = jobs.task(jobs.work(Format::Csv));
    network.address("GET", "b.parquet", 1_000, Fault::Answer(503, SLOW_DOWN));
    let problem = jobs.fails(&task, false).await;
    assert_eq!(problem.kind, ProblemType::Unavailable);
    assert_eq!(problem.detail, "b.parquet cannot be read now");

    let (network, place) = faulty().await;
    let jobs = two_files(&place).await;
    network.address("GET", "a.parquet", 1_000, Fault::CutShort);
    let problem = jobs.fails(&jobs.task(jobs.work(Format::Csv)), false).await;
    assert_eq!(problem.detail, "a.parquet cannot be read now");

    network.address("GET", "list-type=2", 1_000, Fault::Answer(500, ""));
    let error = jobs.files.list(&jobs.dataset.source).await.unwrap_err();
    assert!(matches!(error, DataFilesError::Unavailable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_was_uploaded_in_part_is_damaged() {
    let place = Place::new().await;
    let jobs = two_files(&place).await;
    let whole = parquet(50_000, 50_000);
    place.put("d/b.parquet", whole.slice(..whole.len() / 2)).await;
    let problem = jobs.fails(&jobs.task(jobs.work(Format::Csv)), true).await;
    assert_eq!(problem.kind, ProblemType::EngineFailed);
    assert_eq!(problem.detail, "b.parquet is damaged or not Parquet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_or_prefix_that_is_not_there_is_missing() {
    let place = Place::new().await;
    let nowhere = DatasetSource::at(format!("s3://{}-not/data/", place.name));
    assert!(matches!(place.files().list(&nowhere).await, Err(DataFilesError::Missing)));
    // What consoles make of a folder.
    place.put("folder/", Bytes::new()).await;
    let folder = DatasetSource::at(place.location("folder/"));
    assert!(matches!(place.files().list(&folder).await, Err(DataFilesError::Missing)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_requests_read_a_file() {
    let (network, place) = faulty().await;
    let jobs = two_files(&place).await;
    let before = network.count("GET");
    jobs.result(jobs.work(Format::Csv)).await;
    let made = network.count("GET") - before;
    // For each file its footer and its three row groups, for both the list.
    assert!(made <= 10, "{made}");
}
