//! Packing the zip that somebody asked for: what has been delivered is copied as it is, and framed.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{Disposition, STORE_RETRY, Worker, backoff, remove_files, transient};
use crate::{
    Error, JobId, JobRef, chain,
    format::OutputFormat,
    job::{
        Job, JobState, Manifest, Problem, ProblemType, Refused, ResultSummary, Transition, Zip,
        zip::packing_time,
    },
    ports::{BlobKey, BlobPrefix, ExecuteError, Piece, TransitionError, WholeBlob},
    usecases::{
        App, batches,
        results::{gone, manifest_bytes},
        view::{file_name, request_of},
    },
    zip::{ZipEntry, frame},
};

/// The name of the manifest in the zip.
const MANIFEST: &str = "manifest.json";
/// Files that are looked at together.
const AT_ONCE: usize = 16;

/// Packs the job's zip where one is wanted and nobody else packs it. Two who do it at once do no harm: either zip is whole.
pub(super) async fn pack(worker: &Worker, job: &JobRef, shutdown: &CancellationToken) -> Disposition {
    let app = &worker.app;
    let found = match app.jobs.get(job).await {
        Ok(Some(found)) if found.zip_waits(app.clock.now()) => found,
        Ok(_) => return Disposition::Done,
        Err(error) => {
            tracing::error!(job.id = %job.job, error = chain(&error), "failed to look for a wanted zip");
            return Disposition::RetryAfter(STORE_RETRY);
        }
    };
    let bytes = found.result.as_ref().map_or(0, |result| result.bytes);
    let begin = Transition::PackZip { lease: packing_time(bytes) };
    let job = match app.jobs.transition(job, &begin, app.clock.now()).await {
        Ok(job) => job,
        Err(TransitionError::Refused(Refused::Exhausted)) => {
            let problem = Problem::new(
                ProblemType::Internal,
                "the zip was given up: too many workers ended without an answer while they packed it",
            );
            return failed(app, &found, problem).await;
        }
        Err(TransitionError::NotFound | TransitionError::Refused(_)) => return Disposition::Done,
        Err(TransitionError::Store(_)) => return Disposition::RetryAfter(STORE_RETRY),
    };
    let packing = write(app, &job);
    let packed = tokio::select! {
        packed = packing => packed,
        () = shutdown.cancelled() => Err(Error::Unavailable("the worker shuts down".into())),
        () = out_of_time(worker) => Err(Error::Unavailable("the worker's time is over".into())),
    };
    match packed {
        Ok(()) => made(app, &job).await,
        Err(error) => {
            tracing::warn!(job.id = %job.id, error = chain(&error), "failed to pack a zip");
            failed(app, &job, problem_of(error)).await
        }
    }
}

fn problem_of(error: Error) -> Problem {
    match transient(error) {
        ExecuteError::Transient { problem, .. } | ExecuteError::Fatal { problem, .. } => problem,
        ExecuteError::Cancelled => Problem::new(ProblemType::Unavailable, "the zip was not packed"),
    }
}

async fn out_of_time(worker: &Worker) {
    match worker.lease.time_limit {
        Some(limit) => tokio::time::sleep_until(limit.until.into()).await,
        None => std::future::pending().await,
    }
}

async fn made(app: &App, job: &Job) -> Disposition {
    match app.jobs.transition(&job.reference(), &Transition::ZipMade, app.clock.now()).await {
        Ok(_) => {
            tracing::info!(job.id = %job.id, "packed zip");
            Disposition::Done
        }
        // Expired or deleted meanwhile: what was written just now would stay.
        Err(TransitionError::NotFound | TransitionError::Refused(Refused::State(_))) => {
            remove_files(app, job, BlobPrefix::Results(job.reference())).await;
            Disposition::Done
        }
        Err(TransitionError::Refused(_)) => Disposition::Done,
        Err(TransitionError::Store(error)) => {
            tracing::error!(job.id = %job.id, error = chain(&error), "failed to note a zip, it is packed again");
            Disposition::Leave
        }
    }
}

async fn failed(app: &App, job: &Job, problem: Problem) -> Disposition {
    match app.jobs.transition(&job.reference(), &Transition::ZipFailed { problem }, app.clock.now()).await {
        Ok(Job { zip: Some(Zip::Wanted { tries, .. }), .. }) => Disposition::RetryAfter(backoff(tries)),
        Ok(_) => {
            tracing::error!(job.id = %job.id, "gave a zip up");
            Disposition::Done
        }
        Err(TransitionError::NotFound | TransitionError::Refused(_)) => Disposition::Done,
        // The lease runs out, and the sweeper finds it.
        Err(TransitionError::Store(_)) => Disposition::Leave,
    }
}

/// Writes the zip: the files of the result, and the manifest as it was committed.
async fn write(app: &App, job: &Job) -> Result<(), Error> {
    let result = job.result.as_ref().filter(|_| job.state == JobState::Completed);
    let result = result.ok_or_else(|| gone(job, "result"))?;
    let manifest = manifest_bytes(app, job, result).await?;
    let parsed: Manifest =
        serde_json::from_slice(&manifest).map_err(|error| Error::Internal(Box::new(error)))?;
    let (mut entries, files) = files_of(app, job, result, &parsed).await?;
    entries.push(ZipEntry {
        name: MANIFEST.to_owned(),
        size: manifest.len() as u64,
        crc32: crc32fast::hash(&manifest),
    });
    let frame = frame(&entries, job.finished.unwrap_or(job.created));
    let bodies = files.into_iter().map(Piece::Whole).chain([Piece::Bytes(manifest)]);
    let mut pieces = Vec::with_capacity(2 * entries.len() + 1);
    for (head, body) in frame.heads.into_iter().zip(bodies) {
        pieces.push(Piece::Bytes(head.into()));
        pieces.push(body);
    }
    pieces.push(Piece::Bytes(frame.tail.into()));
    let key = BlobKey::Zip { job: job.reference(), attempt: result.attempt };
    let head = app.blobs.assemble(&key, crate::usecases::zips::ZIP_MEDIA_TYPE, pieces).await?;
    if head.size == frame.size {
        Ok(())
    } else {
        Err(Error::Internal(format!("a zip of {} bytes has {}", frame.size, head.size).into()))
    }
}

/// A file of the result: where it lies, and the name that a person saves it under.
struct Source {
    key: BlobKey,
    name: String,
    size: u64,
    crc32: u32,
}

/// The files that the manifest names, each as the blob store has it.
async fn files_of(
    app: &App,
    job: &Job,
    result: &ResultSummary,
    manifest: &Manifest,
) -> Result<(Vec<ZipEntry>, Vec<WholeBlob>), Error> {
    let sources = sources(app, job, result, manifest).await?;
    let heads = stream::iter(sources).map(|source| async move {
        let head = app.blobs.head(&source.key).await?.ok_or_else(|| gone(job, "result"))?;
        if head.size != source.size {
            let detail = format!("{} has {} bytes instead of {}", source.key, head.size, source.size);
            return Err(Error::Internal(detail.into()));
        }
        Ok((source, head.etag))
    });
    let found: Vec<(Source, String)> = heads.buffered(AT_ONCE).try_collect().await?;
    let split = found.into_iter().map(|(Source { key, name, size, crc32 }, etag)| {
        (ZipEntry { name, size, crc32 }, WholeBlob { key, size, etag })
    });
    Ok(split.unzip())
}

async fn sources(
    app: &App,
    job: &Job,
    result: &ResultSummary,
    manifest: &Manifest,
) -> Result<Vec<Source>, Error> {
    let output = request_of(app, job).await?.work.output().clone();
    let batches: HashMap<JobId, Job> = match job.batches {
        Some(_) => {
            let all = batches::all(app, &job.reference()).await?;
            all.into_iter().map(|batch| (batch.id, batch)).collect()
        }
        None => HashMap::new(),
    };
    let (mut taken, mut sources) = (HashSet::from([MANIFEST.to_owned()]), Vec::new());
    for file in &manifest.files {
        let (owner, attempt) = match file.batch {
            None => (job, result.attempt),
            Some(id) => {
                let batch = batches.get(&id).and_then(|batch| Some((batch, batch.result.as_ref()?.attempt)));
                batch.ok_or_else(|| gone(job, "batch"))?
            }
        };
        let crc32 = u32::from_str_radix(&file.crc32, 16).map_err(|error| Error::Internal(Box::new(error)))?;
        sources.push(Source {
            key: BlobKey::Result { job: owner.reference(), attempt, file: file.name.clone() },
            name: free_name(&mut taken, &file_name(owner, &output), &output),
            size: file.bytes,
            crc32,
        });
    }
    Ok(sources)
}

/// The name, with a number where another file has it, on systems too that take `A` for `a`.
fn free_name(taken: &mut HashSet<String>, wanted: &str, output: &OutputFormat) -> String {
    let suffix = output.file_suffix();
    let stem = wanted.strip_suffix(suffix.as_str()).unwrap_or(wanted);
    let mut name = wanted.to_owned();
    let mut number = 2;
    while !taken.insert(name.to_lowercase()) {
        name = format!("{stem}-{number}{suffix}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    #[test]
    fn no_two_files_have_one_name() {
        let (csv, json) = (OutputFormat::plain(Format::Csv), OutputFormat::plain(Format::Json));
        let mut taken = HashSet::from([MANIFEST.to_owned()]);
        let mut free = |wanted: &str, output: &OutputFormat| free_name(&mut taken, wanted, output);
        assert_eq!(free("a.csv", &csv), "a.csv");
        assert_eq!(free("A.csv", &csv), "A-2.csv", "some systems take the two for one");
        assert_eq!(free("a.csv", &csv), "a-3.csv");
        assert_eq!(free("a-2.csv", &csv), "a-2-2.csv");
        assert_eq!(free("manifest.json", &json), "manifest-2.json", "the manifest keeps its own");
    }
}
