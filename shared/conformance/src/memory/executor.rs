//! An executor that follows a script.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use willcall_core::{
    error::Source,
    job::{Counts, ManifestFile, Problem, ProblemType, Stage, Truncation, TruncationReason, kinds::Work},
    ports::{BlobError, BlobKey, DatasetRead, Delivered, ExecuteError, Executor, Task},
};

use super::lock;

/// What one attempt does.
#[derive(Debug, Clone)]
pub enum Script {
    /// Writes these lines, a record each and no more than the plan delivers, as one file with one page.
    Deliver(Vec<String>),
    /// Fails in a way that may pass.
    Transient(Problem),
    /// Fails for good.
    Fatal(Problem),
    /// Works until it is told to stop.
    UntilCancelled,
    /// Does something that the next attempt need not do again, and works until it is told to stop.
    GainUntilCancelled,
    /// Panics.
    Panic,
}

/// Follows its scripts in turn, an attempt each, and the last one for ever. Clones are one and the same.
#[derive(Clone)]
pub struct FakeExecutor {
    scripts: Arc<Mutex<VecDeque<Script>>>,
    tasks: Arc<Mutex<Vec<Task>>>,
}

/// The cause of a scripted failure.
#[derive(Debug, thiserror::Error)]
#[error("failed by the script")]
struct Scripted;

impl FakeExecutor {
    /// Follows these scripts.
    pub fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self { scripts: Arc::new(Mutex::new(scripts.into_iter().collect())), tasks: Arc::default() }
    }

    /// Every attempt so far.
    pub fn tasks(&self) -> Vec<Task> {
        lock(&self.tasks).clone()
    }

    fn next(&self) -> Script {
        let mut scripts = lock(&self.scripts);
        let last = if scripts.len() > 1 { scripts.pop_front() } else { scripts.front().cloned() };
        last.unwrap_or(Script::Deliver(Vec::new()))
    }
}

#[async_trait]
impl Executor for FakeExecutor {
    async fn execute(&self, task: Task) -> Result<Delivered, ExecuteError> {
        lock(&self.tasks).push(task.clone());
        match self.next() {
            Script::Deliver(lines) => deliver(&task, &lines).await,
            Script::Transient(problem) => {
                Err(ExecuteError::Transient { problem, source: Box::new(Scripted) })
            }
            Script::Fatal(problem) => Err(ExecuteError::Fatal { problem, source: Some(Box::new(Scripted)) }),
            script @ (Script::UntilCancelled | Script::GainUntilCancelled) => {
                if matches!(script, Script::GainUntilCancelled) {
                    task.control.gain();
                }
                task.control.enter(Stage::Writing);
                task.control.cancelled().await;
                Err(ExecuteError::Cancelled)
            }
            Script::Panic => panic!("by the script"),
        }
    }
}

async fn deliver(task: &Task, lines: &[String]) -> Result<Delivered, ExecuteError> {
    let (work, output) = (&*task.work, task.work.output());
    let may_cut = match work {
        Work::Query(work) => work.plan_may_cut(),
        Work::Append(_) | Work::Call(_) => true,
    };
    let found = lines.len() as u64;
    let most = work.max_records();
    let cut = may_cut && found > most;
    let kept = usize::try_from(most).unwrap_or(usize::MAX).min(lines.len());
    let lines = &lines[..kept];
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    let (records, size) = (lines.len() as u64, bytes.len() as u64);
    task.control.enter(Stage::Writing);
    task.control.set_found(found);
    task.control.add_written(records, size);
    let mut index = 0_u64.to_le_bytes().to_vec();
    index.extend_from_slice(&size.to_le_bytes());
    let file = ManifestFile {
        batch: None,
        name: format!("result.{}", output.format.extension()),
        media_type: output.format.media_type().into(),
        records,
        bytes: size,
        sha256: hex::encode(Sha256::digest(&bytes)),
        crc32: format!("{:08x}", crc32fast::hash(&bytes)),
    };
    let key = BlobKey::Result { job: task.job.clone(), attempt: task.attempt, file: file.name.clone() };
    let mut writer = task.blobs.writer(&key, &file.media_type).await.map_err(unwritten)?;
    writer.write(Bytes::from(bytes)).await.map_err(unwritten)?;
    writer.finish().await.map_err(unwritten)?;
    let key = BlobKey::PageIndex { job: task.job.clone(), attempt: task.attempt };
    task.blobs.put(&key, "application/octet-stream", Bytes::from(index)).await.map_err(unwritten)?;
    let dataset = task.subject.dataset();
    let (fields, counts) = match work {
        Work::Query(work) => (&work.fields[..], None),
        Work::Append(work) => (&work.fields[..], Some(matched(records))),
        Work::Call(_) => (&[][..], Some(succeeded(records))),
    };
    if let Some(counts) = counts {
        task.control.set_counts(counts);
    }
    let columns = fields.iter().filter_map(|field| dataset?.column(field)).cloned().collect();
    Ok(Delivered {
        records,
        files: vec![file],
        pages: output.format.is_text().then_some(1),
        schema: columns,
        records_found: Some(found),
        truncated: cut.then_some(Truncation { reason: TruncationReason::PlanLimit, limit: most }),
        non_finite_as_null: 0,
        dataset: dataset.map(|dataset| DatasetRead {
            version: dataset.facts.version.clone(),
            files: dataset.facts.files,
            files_read: dataset.facts.files,
        }),
        counts,
        writer: "fake/1".into(),
    })
}

fn matched(rows: u64) -> Counts {
    Counts::Append { rows, matched: rows, unmatched: 0, ambiguous: 0, malformed: 0 }
}

fn succeeded(items: u64) -> Counts {
    Counts::Call { total: Some(items), pending: 0, succeeded: items, failed: 0, unknown: 0, malformed: 0 }
}

fn unwritten(error: BlobError) -> ExecuteError {
    let problem = Problem::new(ProblemType::Unavailable, "the result cannot be written");
    let source: Source = Box::new(error);
    ExecuteError::Transient { problem, source }
}
