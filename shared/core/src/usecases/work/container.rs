//! Ending a job that was fed by batches: one manifest over what each of them delivered.

use std::sync::Arc;

use super::{Finished, transient, write_manifest};
use crate::{
    job::{
        BatchPhase, Counts, Job, JobRequest, MANIFEST_SCHEMA, Manifest, ManifestBatch, Problem, ProblemType,
        ResultSummary, Stage, Truncation, TruncationReason, kinds::Work,
    },
    ports::{Control, ExecuteError},
    usecases::{App, batches, results::read_manifest, view::request_of},
};

/// What is gathered of the batches.
#[derive(Default)]
struct Gathered {
    batches: Vec<ManifestBatch>,
    manifests: Vec<Manifest>,
    counts: Option<Counts>,
}

/// Writes the manifest over all batches of the container, all of which have ended. A container of which every batch
/// failed has failed; one without a batch has an empty result.
pub(super) async fn finish(app: &App, job: &Job, control: &Arc<Control>) -> Result<Finished, ExecuteError> {
    control.enter(Stage::Committing);
    // What the batches have done stays told while the manifest is written.
    let done = &job.progress;
    control.add_written(done.records_written, done.bytes_written);
    done.counts.into_iter().for_each(|counts| control.set_counts(counts));
    control.set_work(1, 1);
    let JobRequest { work, .. } = request_of(app, job).await.map_err(transient)?;
    let Gathered { batches, manifests, counts } = gather(app, job, control).await?;
    if manifests.is_empty() && !batches.is_empty() {
        let detail = format!("none of the job's {} batches has completed: each says why", batches.len());
        let problem = Problem::new(ProblemType::EngineFailed, detail);
        return Err(ExecuteError::Fatal { problem, source: None });
    }
    let manifest = whole(app, job, &work, batches, &manifests, counts);
    write_manifest(app, job, &manifest).await?;
    let result = ResultSummary {
        attempt: job.attempt,
        records: manifest.records,
        bytes: manifest.bytes,
        files: u32::try_from(manifest.files.len()).unwrap_or(u32::MAX),
        pages: None,
        // Each file has its own.
        sha256: String::new(),
        truncated: manifest.truncated.clone(),
    };
    let rows = counts.map(rows_of);
    Ok(Finished { result, records_found: rows, records_requested: rows, counts, survey: None, day: None })
}

async fn gather(app: &App, job: &Job, control: &Control) -> Result<Gathered, ExecuteError> {
    let mut gathered = Gathered::default();
    for batch in batches::all(app, &job.reference()).await.map_err(transient)? {
        if control.is_cancelled() {
            return Err(ExecuteError::Cancelled);
        }
        let state = batch.phase();
        if let (BatchPhase::Completed, Some(result)) = (state, &batch.result) {
            gathered.manifests.push(read_manifest(app, &batch, result).await.map_err(transient)?);
            let own = batch.progress.counts;
            gathered.counts = match (gathered.counts, own) {
                (Some(before), Some(own)) => Some(before.plus(own)),
                (before, own) => before.or(own),
            };
        }
        gathered.batches.push(ManifestBatch {
            batch_id: batch.id,
            name: batch.name,
            state,
            counts: batch.progress.counts,
            error: batch.error.map(|problem| problem.detail),
        });
    }
    Ok(gathered)
}

fn whole(
    app: &App,
    job: &Job,
    work: &Work,
    batches: Vec<ManifestBatch>,
    manifests: &[Manifest],
    counts: Option<Counts>,
) -> Manifest {
    let files = manifests.iter().flat_map(|manifest| {
        manifest.files.iter().cloned().map(|mut file| {
            file.batch = Some(manifest.job_id);
            file
        })
    });
    let first = manifests.first();
    Manifest {
        schema_version: MANIFEST_SCHEMA,
        job_id: job.id,
        account: job.account.clone(),
        attempt: job.attempt,
        created: app.clock.now(),
        records: manifests.iter().map(|manifest| manifest.records).sum(),
        bytes: manifests.iter().map(|manifest| manifest.bytes).sum(),
        files: files.collect(),
        pages: None,
        page_size: work.page_size(),
        // Each batch keeps the columns of its own files.
        schema: first.map(|manifest| manifest.schema.clone()).unwrap_or_default(),
        output: work.output().clone(),
        truncated: truncated(job, manifests),
        non_finite_as_null: manifests.iter().map(|manifest| manifest.non_finite_as_null).sum(),
        source: first.and_then(|manifest| manifest.source.clone()),
        sources: Vec::new(),
        upstream: first.and_then(|manifest| manifest.upstream.clone()),
        counts,
        batches: Some(batches),
        writer: first.map(|manifest| manifest.writer.clone()).unwrap_or_default(),
    }
}

/// Why the whole has fewer records than were asked for, where one of its batches has. What cut the batches together cut it at
/// what they had together.
fn truncated(job: &Job, manifests: &[Manifest]) -> Option<Truncation> {
    let first = manifests.iter().find_map(|manifest| manifest.truncated.clone())?;
    match job.max_records {
        Some(limit) if first.reason == TruncationReason::PlanLimit => Some(Truncation { limit, ..first }),
        _ => Some(first),
    }
}

fn rows_of(counts: Counts) -> u64 {
    match counts {
        Counts::Append { rows, .. } => rows,
        Counts::Call { pending, succeeded, failed, unknown, malformed, .. } => {
            pending + succeeded + failed + unknown + malformed
        }
    }
}
