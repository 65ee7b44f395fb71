//! Signed links of a host that serves its own files: no token, but a signature that was made for one file.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, BodyDataStream},
    extract::{RawQuery, Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use willcall_core::{
    Error,
    file_name::disposition,
    job::ProblemType,
    ports::{BlobError, BlobHead, BlobKey, Received, SignedFile, SignedFileError, SignedFiles},
    usecases::{
        App,
        batches::{arrived, takes_upload},
        limits::MAX_BODY,
    },
};

use super::{not_modified, results::precondition_failed, set};
use crate::{
    conditional::{Verdict, http_date, judge, range_applies},
    problem::Failure,
    range::{self, Asked},
    wire::body::drain_within,
};

const PREFIX: &str = "/v1/files/";
/// How much is read on, and for how long, of a file that is refused: of whoever has a link, whatever comes in a minute.
const DRAINED: (u64, Duration) = (u64::MAX, Duration::from_secs(60));
/// The same of whoever has none.
const DRAINED_OF_OTHERS: (u64, Duration) = (MAX_BODY, Duration::from_secs(5));

#[derive(Clone)]
struct Files {
    files: Arc<dyn SignedFiles>,
    app: Arc<App>,
}

pub(super) fn routes(files: Arc<dyn SignedFiles>, app: Arc<App>) -> Router {
    Router::new().route("/v1/files/{*key}", get(file).put(receive)).with_state(Files { files, app })
}

/// Takes an upload, and tells the batch that it has arrived.
async fn receive(
    State(api): State<Files>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let key = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let header = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let upload = Received {
        key,
        query: query.as_deref().unwrap_or_default(),
        media_type: header(header::CONTENT_TYPE),
        length: header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        now: api.app.clock.now(),
    };
    let mut bytes = Shared::of(body);
    // Whoever has no link learns nothing of batches.
    let admitted = api.files.admit(upload).map_err(refused);
    let (most, longest) = if admitted.is_ok() { DRAINED } else { DRAINED_OF_OTHERS };
    let taken = match admitted {
        Ok(()) => take(&api, upload, bytes.clone()).await,
        Err(failure) => Err(failure),
    };
    if taken.is_err() && (header(header::EXPECT).is_none() || bytes.was_asked_for()) {
        // Whoever sends reads no answer before all is sent. Whoever asks first has sent nothing until it is told to.
        drain_within(&mut bytes, most, longest).await;
    }
    let (key, head) = taken?;
    if let BlobKey::Upload { job, file } = key {
        // The file is there: should the store fail just now, the sweeper finds it.
        if let Err(error) = arrived(&api.app, &job, file).await {
            tracing::warn!(job.id = %job.job, error = %error, "failed to note an upload, the sweeper will");
        }
    }
    let mut response = StatusCode::OK.into_response();
    set(&mut response, header::ETAG, format!("\"{}\"", head.etag));
    Ok(response)
}

async fn take(api: &Files, upload: Received<'_>, bytes: Shared) -> Result<(BlobKey, BlobHead), Failure> {
    if let Some((batch, _)) = BlobKey::upload(upload.key) {
        takes_upload(&api.app, &batch).await?;
    }
    let body = bytes.clone().map(|piece| piece.map_err(|error| BlobError::Unavailable(Box::new(error))));
    api.files.receive(upload, body.boxed()).await.map_err(|error| match error {
        // What takes the file cannot tell its own failure from one of the client, which hardly sees this answer.
        SignedFileError::Unavailable(_) if bytes.broke_off() => broken_off(),
        error => refused(error),
    })
}

fn broken_off() -> Failure {
    Failure::at("#", "the connection ended before all of the file had come: send it again, whole")
}

/// A body that whoever refuses it leaves to be read on.
#[derive(Clone)]
struct Shared(Arc<Sending>);

struct Sending {
    body: Mutex<BodyDataStream>,
    /// Whether any of it was asked for.
    asked_for: AtomicBool,
    /// Whether the client broke it off.
    broke_off: AtomicBool,
}

impl Shared {
    fn of(body: Body) -> Self {
        Self(Arc::new(Sending {
            body: Mutex::new(body.into_data_stream()),
            asked_for: AtomicBool::new(false),
            broke_off: AtomicBool::new(false),
        }))
    }

    fn was_asked_for(&self) -> bool {
        self.0.asked_for.load(Ordering::Relaxed)
    }

    fn broke_off(&self) -> bool {
        self.0.broke_off.load(Ordering::Relaxed)
    }
}

impl Stream for Shared {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Sending { body, asked_for, broke_off } = &*self.0;
        asked_for.store(true, Ordering::Relaxed);
        let polled = body.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(cx);
        if matches!(polled, Poll::Ready(Some(Err(_)))) {
            broke_off.store(true, Ordering::Relaxed);
        }
        polled
    }
}

async fn file(
    State(api): State<Files>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Failure> {
    let key = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let opened = api.files.open(key, query.as_deref().unwrap_or_default(), api.app.clock.now()).await;
    let file = opened.map_err(refused)?;
    Ok(serve(file, request.method(), request.headers()))
}

fn refused(error: SignedFileError) -> Failure {
    match error {
        SignedFileError::Invalid => {
            let detail = "the link is not valid: it was changed, or is not of this service";
            Failure::new(ProblemType::Forbidden, detail)
        }
        SignedFileError::Expired => {
            let detail = "the link has expired: get another from the job, its /download, or the batch";
            Failure::new(ProblemType::Expired, detail)
        }
        SignedFileError::Missing => {
            let detail = "the file is gone: its job was deleted, or its result has expired";
            Failure::new(ProblemType::NotFound, detail)
        }
        SignedFileError::Unfit(detail) => Failure::at("#", detail),
        SignedFileError::Unannounced(_) => {
            Failure::at("header Content-Length", error.to_string()).status(StatusCode::LENGTH_REQUIRED)
        }
        SignedFileError::Unavailable(source) => Error::Unavailable(source).into(),
    }
}

fn serve(file: SignedFile, method: &Method, headers: &HeaderMap) -> Response {
    let (size, modified) = (file.head.size, file.head.modified);
    let etag = format!("\"{}\"", file.head.etag);
    match judge(headers, &etag, Some(modified)) {
        Verdict::NotModified => return not_modified(&etag),
        Verdict::Failed => return precondition_failed().into_response(),
        Verdict::Proceed => {}
    }
    // Only GET has ranges (RFC 9110 §14.2).
    let partial = method == Method::GET && range_applies(headers, &etag, modified);
    let asked = if partial { range::asked(headers, size) } else { Asked::Whole };
    let part = match &asked {
        Asked::Whole => 0..size,
        Asked::Part(part) => part.clone(),
        Asked::Unsatisfiable => {
            let detail = format!("the file has {size} bytes: the range begins past its end");
            return Failure::new(ProblemType::InvalidRequest, detail)
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{size}"))
                .into_response();
        }
    };
    let length = part.end - part.start;
    let content_range = format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1));
    let body = match method {
        &Method::HEAD => Body::empty(),
        _ => Body::from_stream(file.body.stream(part)),
    };
    let mut response = body.into_response();
    if matches!(asked, Asked::Part(_)) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(&mut response, header::CONTENT_RANGE, content_range);
    }
    set(&mut response, header::CONTENT_TYPE, &file.media_type);
    set(&mut response, header::CONTENT_LENGTH, length.to_string());
    set(&mut response, header::CONTENT_DISPOSITION, disposition(&file.file_name));
    set(&mut response, header::ETAG, etag);
    set(&mut response, header::LAST_MODIFIED, http_date(modified));
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    response
}
