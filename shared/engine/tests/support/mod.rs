//! What the tests share: a blob store in memory that can fail, data sets in temporary directories, and one call
//! that runs a job.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test program uses its part")]

use std::{
    collections::HashMap,
    fs::File,
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use parquet::{
    arrow::ArrowWriter,
    file::properties::{EnabledStatistics, WriterProperties},
};
use tempfile::TempDir;
use willcall_core::{
    JobId, JobRef, Timestamp,
    catalog::{Dataset, DatasetSource},
    format::{Format, OutputFormat},
    job::{
        Inquiry, Survey,
        kinds::{QueryWork, Work},
        pages::{index_range, page_document, page_range},
    },
    ports::*,
};
use willcall_engine::{Engine, EngineConfig, LocalDataFiles, ParquetInspector};

/// How a store in memory fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Full,
    Unavailable,
    /// Never answers.
    Hang,
}

/// Blobs in memory.
#[derive(Default)]
pub struct MemoryBlobs {
    blobs: Mutex<HashMap<String, Bytes>>,
    /// The fault, and after how many bytes of results.
    fault: Option<(Fault, u64)>,
    taken: AtomicU64,
    pub aborted: AtomicU64,
}

impl MemoryBlobs {
    /// A store that fails once it has taken that many bytes.
    pub fn failing(fault: Fault, after: u64) -> Self {
        Self { fault: Some((fault, after)), ..Self::default() }
    }

    pub fn get(&self, key: &BlobKey) -> Option<Bytes> {
        self.blobs.lock().unwrap().get(&key.to_string()).cloned()
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.blobs.lock().unwrap().keys().cloned().collect();
        names.sort();
        names
    }

    pub fn remove(&self, key: &BlobKey) -> Option<Bytes> {
        self.blobs.lock().unwrap().remove(&key.to_string())
    }

    pub fn set(&self, key: &str, bytes: Bytes) {
        self.blobs.lock().unwrap().insert(key.to_owned(), bytes);
    }
}

fn head(bytes: &Bytes) -> BlobHead {
    let etag = format!("{:08x}", crc32fast::hash(bytes));
    BlobHead { size: bytes.len() as u64, etag, modified: Timestamp::from_millis(0) }
}

#[derive(Clone)]
pub struct Shared(pub Arc<MemoryBlobs>);

#[async_trait]
impl BlobStore for Shared {
    async fn writer(&self, key: &BlobKey, _: &str) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(Writer { store: Arc::clone(&self.0), key: key.to_string(), bytes: Vec::new() }))
    }

    async fn put(&self, key: &BlobKey, _: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.0.set(&key.to_string(), bytes);
        Ok(())
    }

    async fn put_new(&self, key: &BlobKey, _: &str, bytes: Bytes) -> Result<PutNew, BlobError> {
        if self.0.get(key).is_some() {
            return Ok(PutNew::Exists);
        }
        self.0.set(&key.to_string(), bytes);
        Ok(PutNew::Created)
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobHead>, BlobError> {
        Ok(self.0.get(key).as_ref().map(head))
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, BlobError> {
        let bytes = self.0.get(key).ok_or_else(|| BlobError::Missing(key.to_string()))?;
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    async fn stream(&self, key: &BlobKey, _: Option<Range<u64>>) -> Result<BlobStream, BlobError> {
        let bytes = self.0.get(key).ok_or_else(|| BlobError::Missing(key.to_string()))?;
        let pieces: Vec<_> = bytes.chunks(10_000).map(Bytes::copy_from_slice).map(Ok).collect();
        // As strict as the streams of some stores: whoever asks it again behind its end panics.
        Ok(Box::pin(futures::stream::unfold(pieces.into_iter(), |mut pieces| async move {
            pieces.next().map(|piece| (piece, pieces))
        })))
    }

    async fn delete_prefix(&self, prefix: &BlobPrefix) -> Result<u64, BlobError> {
        let prefix = prefix.to_string();
        let mut blobs = self.0.blobs.lock().unwrap();
        let before = blobs.len();
        blobs.retain(|key, _| !key.starts_with(&prefix));
        Ok((before - blobs.len()) as u64)
    }

    async fn sign_get(&self, key: &BlobKey, sign: &SignGet) -> Result<SignedLink, BlobError> {
        Ok(SignedLink { url: format!("{}/{key}", sign.base_url), expires: sign.now.plus(sign.lifetime) })
    }

    async fn sign_put(&self, key: &BlobKey, _: &SignPut) -> Result<SignedUpload, BlobError> {
        Err(BlobError::Missing(key.to_string()))
    }
}

struct Writer {
    store: Arc<MemoryBlobs>,
    key: String,
    bytes: Vec<u8>,
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        let taken = self.store.taken.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        match self.store.fault {
            Some((fault, after)) if taken + bytes.len() as u64 > after => match fault {
                Fault::Full => return Err(BlobError::Full("no space left on device".into())),
                Fault::Unavailable => return Err(BlobError::Unavailable("connection reset".into())),
                Fault::Hang => std::future::pending().await,
            },
            _ => {}
        }
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<BlobHead, BlobError> {
        let bytes = Bytes::from(self.bytes);
        self.store.set(&self.key, bytes.clone());
        Ok(head(&bytes))
    }

    async fn abort(self: Box<Self>) -> Result<(), BlobError> {
        self.store.aborted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A data set in a directory that goes with it.
pub struct Data {
    pub dir: TempDir,
}

impl Data {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    /// Adds a file with row groups of that many records.
    pub fn file(self, name: &str, batches: &[RecordBatch], row_group: usize) -> Self {
        write_parquet(&self.dir.path().join(name), batches, row_group);
        self
    }

    pub fn of(batch: RecordBatch) -> Self {
        Self::new().file("data.parquet", &[batch], 1_000)
    }

    pub fn source(&self) -> DatasetSource {
        DatasetSource::at(self.dir.path().to_string_lossy().into_owned())
    }

    pub async fn dataset(&self) -> Dataset {
        Dataset {
            name: "data".into(),
            description: String::new(),
            source: self.source(),
            views: Default::default(),
            facts: ParquetInspector::new(local()).inspect(&self.source()).await.unwrap(),
        }
    }

    /// A query for all records and columns.
    pub async fn query(&self, format: Format) -> QueryWork {
        let facts = self.dataset().await.facts;
        QueryWork {
            dataset: "data".into(),
            filter: None,
            fields: facts.columns.into_iter().map(|column| column.name).collect(),
            sort: Vec::new(),
            limit: None,
            offset: 0,
            max_records: u64::MAX,
            output: OutputFormat::plain(format),
            page_size: 1000,
        }
    }
}

pub fn write_parquet(path: &Path, batches: &[RecordBatch], row_group: usize) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(row_group)).build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
}

/// The same without statistics.
pub fn write_silent(path: &Path, batches: &[RecordBatch], row_group: usize) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(row_group))
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
}

/// What is found out about the query by a sample of that many records, with so long to count.
pub async fn survey(data: &Data, work: QueryWork, sample: u64, count_for: Duration) -> Survey {
    let blobs = Arc::new(MemoryBlobs::default());
    let sort = work.sort.iter().map(|key| key.column.clone()).collect();
    let inquiry = Inquiry { sort, offset: work.offset, cap: work.cap(), count_for };
    let work = QueryWork { limit: Some(sample), sort: Vec::new(), ..work };
    let task = task(data.dataset().await, work, &blobs);
    task.control.inquire(inquiry);
    let delivered = engine(3).execute(task.clone()).await.unwrap();
    let survey = task.control.survey().unwrap();
    assert_eq!(delivered.records_found, survey.is_exact().then_some(survey.likely));
    survey
}

/// What a job left behind.
pub struct Ran {
    pub delivered: Delivered,
    pub task: Task,
    pub blobs: Arc<MemoryBlobs>,
}

impl Ran {
    pub fn bytes(&self) -> Bytes {
        let file = self.delivered.files[0].name.clone();
        let key = BlobKey::Result { job: self.task.job.clone(), attempt: self.task.attempt, file };
        self.blobs.get(&key).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    /// All pages as documents of their own, read as a server reads them.
    pub fn pages(&self) -> Vec<String> {
        let (index, file) = (self.index(), self.bytes());
        let columns: Vec<String> = self.delivered.schema.iter().map(|column| column.name.clone()).collect();
        let mut pages = Vec::new();
        for page in 0..self.delivered.pages.unwrap() {
            let entry = index_range(page);
            let range = page_range(&index[entry.start as usize..entry.end as usize]).unwrap();
            let stored = &file[range.start as usize..range.end as usize];
            let document = page_document(self.task.work.output(), &columns, stored).unwrap();
            pages.push(String::from_utf8(document).unwrap());
        }
        assert_eq!(index.len() as u64, 16 * self.delivered.pages.unwrap());
        pages
    }

    pub fn index(&self) -> Bytes {
        let key = BlobKey::PageIndex { job: self.task.job.clone(), attempt: self.task.attempt };
        self.blobs.get(&key).unwrap()
    }
}

pub fn local() -> Arc<dyn DataFiles> {
    Arc::new(LocalDataFiles)
}

pub fn engine(threads: usize) -> Engine {
    let mut config = EngineConfig::new(std::env::temp_dir());
    config.threads = threads;
    Engine::new(config, local())
}

pub fn task(dataset: Dataset, work: QueryWork, blobs: &Arc<MemoryBlobs>) -> Task {
    let job = JobRef { account: "acme".parse().unwrap(), job: JobId::generate() };
    Task {
        job: job.clone(),
        attempt: 1,
        work: Arc::new(Work::Query(Box::new(work))),
        subject: Subject::Dataset(Arc::new(dataset)),
        snapshot: job,
        input: Input::Work,
        max_bytes: None,
        blobs: Arc::new(Shared(Arc::clone(blobs))),
        control: Arc::new(Control::default()),
    }
}

pub async fn try_run(data: &Data, work: QueryWork) -> Result<Ran, ExecuteError> {
    run_with(&engine(3), data, work).await
}

pub async fn run_with(engine: &Engine, data: &Data, work: QueryWork) -> Result<Ran, ExecuteError> {
    let blobs = Arc::new(MemoryBlobs::default());
    let task = task(data.dataset().await, work, &blobs);
    let delivered = engine.execute(task.clone()).await?;
    Ok(Ran { delivered, task, blobs })
}

pub async fn run(data: &Data, work: QueryWork) -> Ran {
    try_run(data, work).await.unwrap()
}
