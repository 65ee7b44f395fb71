//! The engine behind the executor's port: starts an attempt's threads, writes what they make, and watches them.

use std::{
    path::PathBuf,
    sync::Arc,
    thread::{self, Builder},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::debug;
use willcall_core::{
    catalog::Dataset,
    job::{ManifestFile, kinds::Work},
    ports::{
        BlobKey, BlobStore, BlobWriter, DataFiles, DatasetRead, Delivered, ExecuteError, Executor, Task,
    },
};

use crate::{
    WRITER_VERSION,
    attempt::{Attempt, StopOnDrop},
    failure::{Outcome, blob, defect, transient},
    kinds::{Made, append::Append, query::Query},
    sink::{Piece, Sink},
    snapshot::Snapshot,
};

/// Pieces of about a megabyte that may wait for the blob store.
const WAITING: usize = 4;

/// What the engine may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Threads that decode and encode, for each job.
    pub threads: usize,
    /// Bytes of records that a sort holds before it spills them, for each job.
    pub sort_memory: usize,
    /// Where sorts spill to; made when needed.
    pub spill_dir: PathBuf,
    /// The most bytes that a job's sort may have there at a time; a job that needs more fails.
    pub spill_limit: Option<u64>,
    /// Bytes of far files that are held for each job.
    pub read_memory: usize,
}

/// The memory that comes with each processor of a function on AWS.
const MEMORY_OF_PROCESSOR: u64 = 1769 << 20;

/// The most processors that a function on AWS has.
const MOST_PROCESSORS: u64 = 6;

impl EngineConfig {
    /// A thread for each core, 256 MiB for sorts, spilling to `spill_dir` without a limit, 64 MiB for far files.
    pub fn new(spill_dir: impl Into<PathBuf>) -> Self {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        Self {
            threads,
            sort_memory: 256 << 20,
            spill_dir: spill_dir.into(),
            spill_limit: None,
            read_memory: 64 << 20,
        }
    }

    /// For a worker that has so many bytes of memory and of disk for one job at a time, as a function on AWS has: its
    /// processors come with its memory. A quarter of the memory is for sorts and an eighth for far files; more than
    /// half is left for decoding, encoding, and the program. Sorts may fill nine tenths of the disk.
    pub fn for_size(spill_dir: impl Into<PathBuf>, memory: u64, disk: u64) -> Self {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            threads: bytes(memory.div_ceil(MEMORY_OF_PROCESSOR).clamp(1, MOST_PROCESSORS)),
            sort_memory: bytes(memory / 4),
            spill_dir: spill_dir.into(),
            spill_limit: Some(disk / 10 * 9),
            read_memory: bytes((memory / 8).min(256 << 20)),
        }
    }
}

impl Default for EngineConfig {
    /// Spills to the system's directory of temporary files.
    fn default() -> Self {
        Self::new(std::env::temp_dir())
    }
}

/// Runs jobs over Parquet files. Dropping the future of an attempt stops its threads.
pub struct Engine {
    config: Arc<EngineConfig>,
    files: Arc<dyn DataFiles>,
    /// How long an attempt may stand still.
    patience: Duration,
}

impl Engine {
    /// An engine that keeps to `config` and reads what `files` finds and opens.
    pub fn new(config: EngineConfig, files: Arc<dyn DataFiles>) -> Self {
        Self { config: Arc::new(config), files, patience: Duration::from_secs(60) }
    }

    /// The same engine with another idea of how long an attempt may stand still before it has failed.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

#[async_trait]
impl Executor for Engine {
    async fn execute(&self, task: Task) -> Result<Delivered, ExecuteError> {
        if task.control.is_cancelled() {
            return Err(ExecuteError::Cancelled);
        }
        let attempt = Attempt::new(Arc::clone(&task.control));
        let _stop = StopOnDrop(Arc::clone(&attempt));
        let mut output = Output::new(&task);
        // Not cut short by a cancel: a store that is left in the middle of a write may finish it after the job's files
        // were removed, and leave it there. So it is with the end of the output below.
        let dataset = Arc::clone(task.subject.dataset().ok_or_else(|| defect("work without a data set"))?);
        let snapshot = self.snapshot(&task, &dataset, &attempt).await?;
        let result = {
            let run = self.run(&task, dataset, &attempt, snapshot, &mut output);
            tokio::select! {
                biased;
                () = task.control.cancelled() => Err(ExecuteError::Cancelled),
                error = self.watch(&attempt) => Err(error),
                result = run => result,
            }
        };
        match result {
            Ok(made) => output.finish().await.map(|()| delivered(&task, made)),
            Err(error) => {
                attempt.stop();
                output.abort().await;
                Err(error)
            }
        }
    }
}

impl Engine {
    async fn snapshot(&self, task: &Task, dataset: &Dataset, attempt: &Attempt) -> Outcome<Snapshot> {
        tokio::select! {
            error = self.watch(attempt) => Err(error),
            snapshot = Snapshot::of_job(&task.snapshot, dataset, &self.files, &task.blobs) => snapshot,
        }
    }

    /// What it keeps to.
    pub(crate) fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// What it reads.
    pub(crate) fn files(&self) -> &Arc<dyn DataFiles> {
        &self.files
    }

    async fn run(
        &self,
        task: &Task,
        dataset: Arc<Dataset>,
        attempt: &Arc<Attempt>,
        snapshot: Snapshot,
        output: &mut Output,
    ) -> Outcome<Made> {
        let work = Arc::clone(&task.work);
        let (config, files) = (Arc::clone(&self.config), Arc::clone(&self.files));
        let (input, blobs, handle) = (task.input.clone(), Arc::clone(&task.blobs), Handle::current());
        let run = move |attempt: Arc<Attempt>, sink: Sink| match &*work {
            Work::Query(work) => {
                Query { attempt, work, dataset: &dataset, files, snapshot, config: &config }.run(sink)
            }
            Work::Append(work) => {
                let (dataset, input, config) = (&*dataset, &input, &*config);
                Append { attempt, work, dataset, input, files, blobs, handle, snapshot, config }.run(sink)
            }
            Work::Sql(_) | Work::Call(_) => Err(defect("work of another executor")),
        };
        drive(task, attempt, output, run).await
    }

    /// Ends when the attempt has stood still for too long.
    pub(crate) async fn watch(&self, attempt: &Attempt) -> ExecuteError {
        let mut ticks = interval((self.patience / 12).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut moved) = (attempt.beats(), Instant::now());
        loop {
            ticks.tick().await;
            let beats = attempt.beats();
            if beats != last {
                (last, moved) = (beats, Instant::now());
            } else if moved.elapsed() >= self.patience {
                let seconds = self.patience.as_secs();
                return transient("the job made no progress", format!("no progress for {seconds} s"));
            }
        }
    }
}

/// Has a thread of its own do the work, and writes the pieces that it makes.
pub(crate) async fn drive<T: Send + 'static>(
    task: &Task,
    attempt: &Arc<Attempt>,
    output: &mut Output,
    work: impl FnOnce(Arc<Attempt>, Sink) -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let (sender, mut pieces) = mpsc::channel(WAITING);
    let (done, made) = oneshot::channel();
    let sink = Sink::new(Arc::clone(attempt), sender, task.max_bytes);
    let working = Arc::clone(attempt);
    let thread = move || {
        // Nobody waits for it where the attempt was given up.
        let _ = done.send(work(working, sink));
    };
    Builder::new().name("willcall-job".into()).spawn(thread).map_err(defect)?;
    while let Some(piece) = pieces.recv().await {
        output.write(piece).await?;
        attempt.beat();
    }
    made.await.map_err(|_| defect("the job's thread panicked"))?
}

fn delivered(task: &Task, made: Made) -> Delivered {
    let file = ManifestFile {
        batch: None,
        name: file_name(task),
        media_type: task.work.output().media_type().to_owned(),
        records: made.records,
        bytes: made.written.bytes,
        sha256: made.written.sha256,
        crc32: made.written.crc32,
    };
    debug!(job.id = %task.job.job, records = made.records, bytes = made.written.bytes, "wrote the result");
    Delivered {
        records: made.records,
        files: vec![file],
        pages: made.pages,
        schema: made.schema,
        records_found: made.found,
        truncated: made.truncated,
        non_finite_as_null: made.non_finite,
        dataset: Some(DatasetRead { version: made.version, files: made.files, files_read: made.files_read }),
        datasets: Vec::new(),
        counts: made.counts,
        writer: WRITER_VERSION.to_owned(),
    }
}

pub(crate) fn file_name(task: &Task) -> String {
    format!("result{}", task.work.output().file_suffix())
}

/// The blobs of an attempt, begun when their first bytes come.
pub(crate) struct Output {
    blobs: Arc<dyn BlobStore>,
    file: (BlobKey, &'static str),
    index: Option<BlobKey>,
    file_writer: Option<Box<dyn BlobWriter>>,
    index_writer: Option<Box<dyn BlobWriter>>,
}

impl Output {
    pub(crate) fn new(task: &Task) -> Self {
        let (job, attempt) = (task.job.clone(), task.attempt);
        let output = task.work.output();
        let paged = output.format.is_text();
        Self {
            blobs: Arc::clone(&task.blobs),
            index: paged.then(|| BlobKey::PageIndex { job: job.clone(), attempt }),
            file: (BlobKey::Result { job, attempt, file: file_name(task) }, output.media_type()),
            file_writer: None,
            index_writer: None,
        }
    }

    async fn write(&mut self, piece: Piece) -> Outcome<()> {
        let (writer, bytes) = match piece {
            Piece::Data(bytes) => (self.file_writer().await?, bytes),
            Piece::Index(bytes) => match self.index_writer().await? {
                Some(writer) => (writer, bytes),
                None => return Ok(()),
            },
        };
        writer.write(bytes).await.map_err(blob)
    }

    async fn file_writer(&mut self) -> Outcome<&mut Box<dyn BlobWriter>> {
        if self.file_writer.is_none() {
            let (key, media_type) = &self.file;
            self.file_writer = Some(self.blobs.writer(key, media_type).await.map_err(blob)?);
        }
        self.file_writer.as_mut().ok_or_else(|| defect("a writer that is gone"))
    }

    async fn index_writer(&mut self) -> Outcome<Option<&mut Box<dyn BlobWriter>>> {
        let Some(key) = &self.index else { return Ok(None) };
        if self.index_writer.is_none() {
            let writer = self.blobs.writer(key, "application/octet-stream").await.map_err(blob)?;
            self.index_writer = Some(writer);
        }
        Ok(self.index_writer.as_mut())
    }

    /// Makes the blobs visible; an empty file is one too.
    pub(crate) async fn finish(&mut self) -> Outcome<()> {
        self.file_writer().await?;
        self.index_writer().await?;
        for writer in [self.file_writer.take(), self.index_writer.take()].into_iter().flatten() {
            writer.finish().await.map_err(blob)?;
        }
        Ok(())
    }

    pub(crate) async fn abort(&mut self) {
        for writer in [self.file_writer.take(), self.index_writer.take()].into_iter().flatten() {
            if let Err(error) = writer.abort().await {
                debug!(error = %error, "failed to abort a blob");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_of_any_size_leaves_room_beside_sorts_and_far_files() {
        let of = |mib: u64| EngineConfig::for_size("/tmp", mib << 20, 512 << 20);
        for (mib, threads) in [(128, 1), (1024, 1), (1769, 1), (1770, 2), (3538, 2), (10_240, 6), (65_536, 6)]
        {
            let config = of(mib);
            assert_eq!(config.threads, threads, "{mib}");
            assert_eq!(config.sort_memory as u64, (mib << 20) / 4, "{mib}");
            assert!((config.sort_memory + config.read_memory) as u64 <= (mib << 20) / 2, "{mib}");
        }
        assert_eq!(of(65_536).read_memory, 256 << 20);
    }

    #[test]
    fn sorts_leave_a_tenth_of_the_disk() {
        let limit = |disk| EngineConfig::for_size("/tmp", 1 << 30, disk).spill_limit;
        assert_eq!(limit(512_000_000), Some(460_800_000));
        assert_eq!(limit(u64::MAX), Some(u64::MAX / 10 * 9));
        assert_eq!(limit(0), Some(0));
    }
}
