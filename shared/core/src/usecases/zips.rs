//! Collecting a result with its manifest in one zip, which a worker packs when somebody first asks for it.

use std::time::Duration;

use super::{
    App,
    results::{completed, gone},
    view::{LINK_LIFETIME, stem_of, unless_gone},
};
use crate::{
    Error, JobId,
    account::Caller,
    chain,
    job::{Job, JobState, ProblemType, Refused, ResultSummary, Transition, Zip},
    ports::{BlobHead, BlobKey, SignGet, SignedLink, TransitionError},
};

/// The media type of a zip.
pub const ZIP_MEDIA_TYPE: &str = "application/zip";

/// What became of asking for a zip.
#[derive(Debug, Clone)]
pub enum ZipAnswer {
    /// It is there.
    Made(Box<ZipDownload>),
    /// A worker packs it, or will.
    Packing {
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
}

/// Where the zip is to be had, and what it is.
#[derive(Debug, Clone)]
pub struct ZipDownload {
    /// The job.
    pub job: JobId,
    /// A link that was signed just now.
    pub link: SignedLink,
    /// The file as the blob store has it.
    pub head: BlobHead,
    /// The name under which a client saves it, safe in every header.
    pub file_name: String,
}

/// The zip of the job's result and manifest. The first who asks has it packed; the first who asks after that has failed is
/// told so, and the next has it tried anew.
pub async fn zip(app: &App, caller: &Caller, id: JobId) -> Result<ZipAnswer, Error> {
    match zip_now(app, caller, id).await {
        Err(error) => Err(unless_gone(app, &caller.job(id), error).await),
        found => found,
    }
}

async fn zip_now(app: &App, caller: &Caller, id: JobId) -> Result<ZipAnswer, Error> {
    let (job, result) = completed(app, caller, id).await?;
    match &job.zip {
        Some(Zip::Made) => made(app, &job, &result).await.map(|zip| ZipAnswer::Made(Box::new(zip))),
        Some(Zip::Wanted { .. }) => Ok(packing(&result)),
        Some(Zip::Failed(problem)) => {
            let detail = problem.detail.clone().into();
            let error = match problem.kind {
                ProblemType::Unavailable => Error::Unavailable(detail),
                _ => Error::Internal(detail),
            };
            change(app, &job, &Transition::ZipTold).await?;
            Err(error)
        }
        None => {
            if change(app, &job, &Transition::WantZip).await?
                && let Err(error) = app.queue.send(&job.reference(), Duration::ZERO).await
            {
                // It is noted that it is wanted: the sweeper sends the message.
                tracing::warn!(job.id = %id, error = chain(&error), "failed to wake a worker for a zip");
            }
            Ok(packing(&result))
        }
    }
}

/// Makes the transition, and answers whether it was made; another may have made it just before.
async fn change(app: &App, job: &Job, transition: &Transition) -> Result<bool, Error> {
    match app.jobs.transition(&job.reference(), transition, app.clock.now()).await {
        Ok(_) => Ok(true),
        Err(TransitionError::Refused(Refused::State(JobState::Expired))) => Err(Error::Expired),
        Err(TransitionError::Refused(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn packing(result: &ResultSummary) -> ZipAnswer {
    ZipAnswer::Packing { retry_after: Duration::from_secs((1 + result.bytes / (256 << 20)).min(30)) }
}

async fn made(app: &App, job: &Job, result: &ResultSummary) -> Result<ZipDownload, Error> {
    let key = BlobKey::Zip { job: job.reference(), attempt: result.attempt };
    let head = app.blobs.head(&key).await?.ok_or_else(|| gone(job, "zip"))?;
    let (now, file_name) = (app.clock.now(), format!("{}.zip", stem_of(job)));
    let left = job.expires.map_or(LINK_LIFETIME, |expires| expires.since(now));
    let sign = SignGet {
        base_url: app.settings.public_url.clone(),
        file_name: file_name.clone(),
        media_type: ZIP_MEDIA_TYPE.to_owned(),
        now,
        lifetime: LINK_LIFETIME.min(left),
    };
    Ok(ZipDownload { job: job.id, link: app.blobs.sign_get(&key, &sign).await?, head, file_name })
}
