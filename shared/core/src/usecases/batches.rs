//! Jobs that are fed by batches: adding them, following them, and ending what they belong to.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    App, JobView,
    idempotency::{self, KeyedBatch},
    limits::{MAX_LIST, MAX_UPLOAD},
    submit::check_name,
    view::{LINK_LIFETIME, file_name, find, view},
};
use crate::{
    Error, FieldError, JobId, JobRef, Timestamp,
    account::{Caller, Scope},
    chain,
    format::OutputFormat,
    input::MediaType,
    job::{
        BatchPhase, Job, JobKind, JobState, MAX_FILES, Progress, Refused, Transition, UPLOAD_DUE, Upload,
        UploadFile, UploadedFile,
    },
    ports::{
        AddBatchError, BatchAdded, BlobKey, BlobPrefix, NewBatch, SignGet, SignPut, SignedLink, SignedUpload,
        TransitionError,
    },
};

/// How long a link for an upload works. Another can be had by reading the batch.
pub const UPLOAD_LIFETIME: Duration = Duration::from_secs(3600);

/// How seldom a container is told that files arrive for it.
const FED_EVERY: Duration = Duration::from_secs(600);

/// The largest number that the first item of a batch may have: what follows it is still told apart by every reader of JSON.
const MAX_FIRST_ITEM: u64 = 1 << 52;

/// A batch as a client describes it.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct BatchDraft {
    /// What the client calls it.
    pub name: Option<String>,
    /// Its files.
    pub files: Vec<FileDraft>,
    /// The number of the first of its items, which those are named by that have no id.
    pub first_item: Option<u64>,
}

/// A file that a client means to upload.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct FileDraft {
    /// What the client calls it.
    pub name: String,
    /// Its media type; `None` to go by its name.
    pub media_type: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A batch as its owner sees it: with links for the files that have not arrived, and one to its result.
#[derive(Debug, Clone)]
pub struct BatchView {
    /// The batch.
    pub batch: Job,
    /// A link for each of its files that may still be uploaded.
    pub uploads: Vec<Option<SignedUpload>>,
    /// A link to its result, once completed and until its job expires.
    pub download: Option<SignedLink>,
    /// The moment of the view.
    pub now: Timestamp,
}

/// What adding a batch led to.
#[derive(Debug, Clone)]
pub struct BatchReceipt {
    /// The batch.
    pub view: BatchView,
    /// Whether an earlier request with the same key led to it.
    pub replayed: bool,
}

/// A part of the list of a job's batches.
#[derive(Debug, Clone)]
pub struct BatchList {
    /// The batches, oldest first.
    pub batches: Vec<BatchView>,
    /// Where to go on; `None` at the end.
    pub next: Option<JobId>,
}

/// Adds a batch to an open job: its files are to be uploaded by the links that are answered.
pub async fn add(
    app: &App,
    caller: &Caller,
    id: JobId,
    draft: &BatchDraft,
    key: Option<KeyedBatch>,
) -> Result<BatchReceipt, Error> {
    caller.require(Scope::Submit)?;
    let key = key.map(|key| key.of(draft)).transpose()?;
    if let Some(key) = &key
        && let Some(known) = idempotency::known(app, caller, key).await?
    {
        let batch = idempotency::replayed_batch(app, caller, key, &known).await?;
        let container = container_of(app, caller, id).await?;
        return Ok(BatchReceipt { view: batch_view(app, caller, &container, batch).await?, replayed: true });
    }
    let container = container_of(app, caller, id).await?;
    let now = app.clock.now();
    let files = check(container.kind, draft)?;
    let upload = Upload { files, first_item: draft.first_item };
    let new = NewBatch { batch: new_batch(&container, upload, draft.name.clone(), now), key };
    match app.jobs.add_batch(&new).await {
        Ok(BatchAdded::Added(container)) => {
            tracing::info!(job.id = %id, batch.id = %new.batch.id, "added batch");
            let view = batch_view(app, caller, &container, new.batch).await?;
            Ok(BatchReceipt { view, replayed: false })
        }
        Ok(BatchAdded::Known(known)) => {
            let key = new.key.ok_or_else(|| Error::Internal("a key without a request".into()))?;
            let batch = idempotency::replayed_batch(app, caller, &key, &known).await?;
            Ok(BatchReceipt { view: batch_view(app, caller, &container, batch).await?, replayed: true })
        }
        Err(error) => Err(refused(&new, error)),
    }
}

fn refused(new: &NewBatch, error: AddBatchError) -> Error {
    match error {
        AddBatchError::NotFound => Error::NotFound("job"),
        AddBatchError::Refused(Refused::State(state)) => {
            Error::Conflict(format!("the job is {state}: it takes no more batches"))
        }
        AddBatchError::Refused(refused) => Error::Conflict(refused.to_string()),
        AddBatchError::NameTaken(other) => Error::Conflict(format!(
            "the job has a batch named {:?} already, {other}: cancel that one to replace it",
            new.batch.name.as_deref().unwrap_or_default()
        )),
        AddBatchError::KeyInUse => Error::KeyInUse { retry_after: Duration::from_secs(1) },
        AddBatchError::Exists => Error::Internal(Box::new(error)),
        AddBatchError::Store(error) => error.into(),
    }
}

/// The files as they are expected, or everything that is wrong with them.
fn check(kind: JobKind, draft: &BatchDraft) -> Result<Vec<UploadFile>, Error> {
    let mut errors = Vec::new();
    if let Some(name) = &draft.name {
        check_name(name, &mut errors);
    }
    match draft.first_item {
        Some(_) if kind != JobKind::Call => {
            errors.push(FieldError::at("first_item", "is for jobs of kind call: leave it out"));
        }
        Some(first) if !(1..=MAX_FIRST_ITEM).contains(&first) => {
            errors.push(FieldError::at("first_item", format!("must be 1 to {MAX_FIRST_ITEM}, not {first}")));
        }
        _ => {}
    }
    if draft.files.is_empty() || draft.files.len() > MAX_FILES {
        let detail = format!("must name 1 to {MAX_FILES} files, not {}", draft.files.len());
        errors.push(FieldError::at("files", detail));
        return Err(Error::Invalid(errors));
    }
    let mut files = Vec::with_capacity(draft.files.len());
    for (place, file) in draft.files.iter().enumerate() {
        let at = |member: &str| format!("files/{place}/{member}");
        if file.name.is_empty() || file.name.chars().count() > 200 || file.name.chars().any(char::is_control)
        {
            let detail = "must have 1 to 200 characters, and no control characters";
            errors.push(FieldError::at(&at("name"), detail));
        }
        if draft.files[..place].iter().any(|other| other.name == file.name) {
            errors.push(FieldError::at(&at("name"), format!("{:?} is named twice", file.name)));
        }
        if file.bytes == 0 || file.bytes > MAX_UPLOAD {
            let detail = format!("must be 1 to {MAX_UPLOAD}, not {}: split what is larger", file.bytes);
            errors.push(FieldError::at(&at("bytes"), detail));
        }
        match MediaType::of(file.media_type.as_deref(), &file.name) {
            Ok(MediaType::Parquet) if kind == JobKind::Call => {
                let detail = "Parquet is for jobs of kind append: upload items as CSV or JSON";
                errors.push(FieldError::at(&at("media_type"), detail));
            }
            Ok(media_type) => files.push(UploadFile {
                name: file.name.clone(),
                media_type: media_type.to_string(),
                bytes: file.bytes,
                arrived: None,
            }),
            Err(detail) => errors.push(FieldError::at(&at("media_type"), detail)),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(Error::Invalid(errors)) }
}

fn new_batch(container: &Job, upload: Upload, name: Option<String>, now: Timestamp) -> Job {
    Job {
        version: 1,
        id: JobId::generate(),
        name,
        labels: Default::default(),
        state: JobState::Open,
        created: now,
        started: None,
        progress: Progress::queued(),
        due_at: Some(now.plus(UPLOAD_DUE)),
        resends: 0,
        notify: Vec::new(),
        events: 0,
        container: Some(container.id),
        batches: None,
        followed: Vec::new(),
        upload: Some(upload),
        fed: None,
        ..container.clone()
    }
}

/// The batches of the caller's job, oldest first.
pub async fn list(
    app: &App,
    caller: &Caller,
    id: JobId,
    after: Option<JobId>,
    limit: u32,
) -> Result<BatchList, Error> {
    caller.require(Scope::Read)?;
    if limit == 0 || limit > MAX_LIST {
        return Err(Error::invalid("limit", format!("must be 1 to {MAX_LIST}")));
    }
    let container = container_of(app, caller, id).await?;
    let page = app.jobs.batches(&container.reference(), after, limit).await?;
    let mut batches = Vec::with_capacity(page.jobs.len());
    for batch in page.jobs {
        batches.push(batch_view(app, caller, &container, batch).await?);
    }
    Ok(BatchList { batches, next: page.next })
}

/// One batch.
pub async fn get(app: &App, caller: &Caller, id: JobId, batch: JobId) -> Result<BatchView, Error> {
    caller.require(Scope::Read)?;
    let container = container_of(app, caller, id).await?;
    let batch = find_batch(app, caller, id, batch).await?;
    batch_view(app, caller, &container, batch).await
}

/// Gives a batch up. Cancelling a cancelled batch changes nothing.
pub async fn cancel(app: &App, caller: &Caller, id: JobId, batch: JobId) -> Result<BatchView, Error> {
    caller.require(Scope::Submit)?;
    let container = container_of(app, caller, id).await?;
    let found = find_batch(app, caller, id, batch).await?;
    match app.jobs.transition(&found.reference(), &Transition::Cancel, app.clock.now()).await {
        Ok(cancelled) => {
            remove_files(app, &cancelled.reference()).await?;
            wake_container(app, &cancelled).await;
        }
        Err(TransitionError::Refused(Refused::Unchanged)) => {}
        Err(TransitionError::Refused(Refused::State(_))) => {
            let phase = find_batch(app, caller, id, batch).await?.phase().as_str();
            return Err(Error::Conflict(format!("the batch is {phase}: it cannot be cancelled any more")));
        }
        Err(error) => return Err(error.into()),
    }
    let batch = find_batch(app, caller, id, batch).await?;
    batch_view(app, caller, &container, batch).await
}

/// Ends the adding of batches: the job ends when those that were added have. Closing a closed job changes nothing.
pub async fn close(app: &App, caller: &Caller, id: JobId) -> Result<JobView, Error> {
    caller.require(Scope::Submit)?;
    let job = container_of(app, caller, id).await?.reference();
    match app.jobs.transition(&job, &Transition::Close, app.clock.now()).await {
        Ok(closed) => {
            tracing::info!(job.id = %id, batches = ?closed.batches, "closed job");
            wake_if_ready(app, &closed).await;
        }
        Err(TransitionError::Refused(Refused::Unchanged)) => {}
        Err(TransitionError::Refused(Refused::State(state))) => {
            return Err(Error::Conflict(format!("the job is {state}: it cannot be closed any more")));
        }
        Err(error) => return Err(error.into()),
    }
    view(app, find(app, &job).await?).await
}

/// Fails unless the batch waits for files: what is sent now would be nobody's, or take the place of what a worker reads.
pub async fn takes_upload(app: &App, batch: &JobRef) -> Result<(), Error> {
    match app.jobs.get(batch).await? {
        Some(found) if found.state == JobState::Open => Ok(()),
        Some(found) => {
            let phase = found.phase().as_str();
            Err(Error::Conflict(format!("the batch is {phase}: it takes no more files")))
        }
        None => Err(Error::NotFound("batch")),
    }
}

/// What became of a file that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The batch has noted it.
    Noted,
    /// It was the last one, and the batch is queued.
    Queued,
    /// Nothing waits for it: the batch has it, has ended, or is gone; or the file is not there.
    Ignored,
}

/// Notes that a file of a batch has arrived, as it lies in the blob store now. Told by the store's own events, by the host
/// that received it, and by the sweeper: twice, late or never does no harm.
pub async fn arrived(app: &App, batch: &JobRef, file: usize) -> Result<Arrival, Error> {
    let Some(found) = app.jobs.get(batch).await? else { return Ok(Arrival::Ignored) };
    let expected = found.upload.as_ref().and_then(|upload| upload.files.get(file));
    if found.state != JobState::Open || expected.is_none() {
        return Ok(Arrival::Ignored);
    }
    let Some(head) = app.blobs.head(&BlobKey::Upload { job: batch.clone(), file }).await? else {
        return Ok(Arrival::Ignored);
    };
    let now = app.clock.now();
    let arrived = UploadedFile { etag: head.etag, bytes: head.size, at: now };
    match app.jobs.transition(batch, &Transition::Uploaded { file, arrived }, now).await {
        Ok(after) if after.state == JobState::Accepted => {
            tracing::info!(job.id = %batch.job, "queued batch");
            wake(app, batch).await;
            Ok(Arrival::Queued)
        }
        Ok(_) => {
            feed_container(app, &found, now).await;
            Ok(Arrival::Noted)
        }
        Err(TransitionError::NotFound | TransitionError::Refused(_)) => Ok(Arrival::Ignored),
        Err(error) => Err(error.into()),
    }
}

/// Tells the container that a file which is not the last of its batch has arrived: the last one tells it by itself. Told
/// seldom, as it is given up after a day; where that fails, the next file tells it.
async fn feed_container(app: &App, batch: &Job, now: Timestamp) {
    let Some(container) = batch.container() else { return };
    let stale = |found: &Job| found.state == JobState::Open && now >= found.fed_at().plus(FED_EVERY);
    match app.jobs.get(&container).await {
        Ok(Some(found)) if stale(&found) => {
            if let Err(error @ TransitionError::Store(_)) =
                app.jobs.transition(&container, &Transition::Fed, now).await
            {
                tracing::warn!(job.id = %container.job, error = chain(&error), "failed to note that a container was fed");
            }
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(job.id = %container.job, error = chain(&error), "failed to look at container");
        }
    }
}

/// Looks for files of a batch whose arrival nobody told. Answers whether any was found.
pub(super) async fn look_for_files(app: &App, batch: &Job) -> Result<bool, Error> {
    let files = batch.upload.iter().flat_map(|upload| upload.files.iter().enumerate());
    let mut found = false;
    // Those that have arrived too: one may have been sent again.
    for (place, _) in files {
        found |= arrived(app, &batch.reference(), place).await? != Arrival::Ignored;
    }
    Ok(found)
}

/// Sends the message of a container whose last batch this is, if that has ended. One that cannot be sent is no error: the
/// container is due, and the sweeper finds it.
pub(super) async fn wake_container(app: &App, batch: &Job) {
    let Some(container) = batch.container().filter(|_| batch.state.is_terminal()) else { return };
    match app.jobs.get(&container).await {
        Ok(Some(found)) => wake_if_ready(app, &found).await,
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(job.id = %container.job, error = chain(&error), "failed to look at container, the sweeper will");
        }
    }
}

async fn wake_if_ready(app: &App, container: &Job) {
    let ready = container.batches.is_some_and(|batches| batches.is_ready());
    if ready && !container.state.is_terminal() {
        wake(app, &container.reference()).await;
    }
}

async fn wake(app: &App, job: &JobRef) {
    if let Err(error) = app.queue.send(job, Duration::ZERO).await {
        tracing::warn!(job.id = %job.job, error = %error, "failed to send job message, the sweeper will");
        return;
    }
    // Refused of a container that is processing by its state alone; it stays due.
    let _ = app.jobs.transition(job, &Transition::Sent, app.clock.now()).await;
}

/// Every batch of a container, oldest first: a thousand records at most.
pub(super) async fn all(app: &App, container: &JobRef) -> Result<Vec<Job>, Error> {
    let (mut batches, mut after) = (Vec::new(), None);
    loop {
        let page = app.jobs.batches(container, after, 100).await?;
        batches.extend(page.jobs);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(batches),
        }
    }
}

/// Batches that are ended or removed at once: a job may have a thousand, and whoever cancels it waits.
const AT_ONCE: usize = 16;

/// Ends the batches of a container that has ended, and removes what they left.
pub(super) async fn end_all(app: &App, container: &JobRef) -> Result<(), Error> {
    let ending = all(app, container).await?.into_iter().map(|batch| end(app.clone(), batch));
    stream::iter(ending).buffer_unordered(AT_ONCE).try_collect().await
}

async fn end(app: App, batch: Job) -> Result<(), Error> {
    let reference = batch.reference();
    if !batch.state.is_terminal() {
        match app.jobs.transition(&reference, &Transition::Cancel, app.clock.now()).await {
            Ok(_) | Err(TransitionError::Refused(_) | TransitionError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    remove_files(&app, &reference).await
}

/// Removes the records of a container's batches, and what they left.
pub(super) async fn remove_all(app: &App, container: &JobRef) -> Result<(), Error> {
    let removing = all(app, container).await?.into_iter().map(|batch| remove(app.clone(), batch.reference()));
    stream::iter(removing).buffer_unordered(AT_ONCE).try_collect().await
}

async fn remove(app: App, batch: JobRef) -> Result<(), Error> {
    remove_files(&app, &batch).await?;
    app.jobs.delete(&batch).await?;
    Ok(())
}

/// Removes what was uploaded for a batch and what it delivered.
pub(super) async fn remove_files(app: &App, batch: &JobRef) -> Result<(), Error> {
    app.blobs.delete_prefix(&BlobPrefix::Uploads(batch.clone())).await?;
    app.blobs.delete_prefix(&BlobPrefix::Results(batch.clone())).await?;
    Ok(())
}

async fn container_of(app: &App, caller: &Caller, id: JobId) -> Result<Job, Error> {
    let found = find(app, &caller.job(id)).await?;
    if found.batches.is_none() {
        let detail = "the job takes no batches: submit one of kind append or call without items";
        return Err(Error::Conflict(detail.into()));
    }
    Ok(found)
}

async fn find_batch(app: &App, caller: &Caller, id: JobId, batch: JobId) -> Result<Job, Error> {
    let found = app.jobs.get(&caller.job(batch)).await?;
    found.filter(|found| found.container == Some(id)).ok_or(Error::NotFound("batch"))
}

async fn batch_view(app: &App, caller: &Caller, container: &Job, mut batch: Job) -> Result<BatchView, Error> {
    let now = app.clock.now();
    batch.public_url.clone_from(&app.settings.public_url);
    let mut uploads = Vec::new();
    // Whoever has a link may write.
    let may = caller.scope.allows(Scope::Submit);
    let takes = may && batch.state == JobState::Open && !container.state.is_terminal();
    for (place, file) in batch.upload.iter().flat_map(|upload| upload.files.iter().enumerate()) {
        let sign = SignPut {
            base_url: batch.public_url.clone(),
            media_type: file.media_type.clone(),
            bytes: file.bytes,
            now,
            lifetime: UPLOAD_LIFETIME,
        };
        let key = BlobKey::Upload { job: batch.reference(), file: place };
        let wanted = takes && file.arrived.is_none();
        uploads.push(if wanted { Some(app.blobs.sign_put(&key, &sign).await?) } else { None });
    }
    let there = !matches!(container.state, JobState::Expired | JobState::Cancelled | JobState::Failed);
    let download = match &batch.result {
        Some(result) if there && batch.phase() == BatchPhase::Completed => {
            // Its options decide bytes, and neither name nor media type.
            let output = OutputFormat { compression: batch.compression, ..OutputFormat::plain(batch.format) };
            let file = Job::result_file(&output);
            let key = BlobKey::Result { job: batch.reference(), attempt: result.attempt, file };
            let sign = SignGet {
                base_url: batch.public_url.clone(),
                file_name: file_name(&batch, &output),
                media_type: output.media_type().to_owned(),
                now,
                lifetime: LINK_LIFETIME,
            };
            Some(app.blobs.sign_get(&key, &sign).await?)
        }
        _ => None,
    };
    Ok(BatchView { batch, uploads, download, now })
}
