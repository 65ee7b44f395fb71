//! Fetching a result by signed links, resumed where it broke off, and checked against the manifest.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use super::{Answer, Client, Repeat, job_path, packed, refused, retry_after, wire};
use crate::{
    failure::{Exit, Failure},
    progress::Reporter,
    target::Target,
};

/// How often a download may break off without any new bytes in between.
const MAX_BREAKS: u32 = 5;
/// How long the next bytes may take.
const STALL: Duration = Duration::from_secs(60);
/// What to do with a result that is not the one that was made.
const DAMAGED: &str =
    "it was changed or damaged after it was made; nothing was written: submit the query again";

/// A result that is whole, compared with its manifest.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Whose result it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// A job's.
    Job(&'a str),
    /// That of a batch of a job.
    Batch { job: &'a str, batch: &'a str },
    /// A job's with its manifest, in a zip.
    Zip(&'a str),
}

impl Source<'_> {
    fn id(&self) -> &str {
        match self {
            Self::Job(id) | Self::Batch { batch: id, .. } | Self::Zip(id) => id,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Job(job) | Self::Zip(job) => format!("job {job}"),
            Self::Batch { job, batch } => format!("batch {batch} of job {job}"),
        }
    }

    /// What to do where its download broke off.
    fn again(&self, target: &Target) -> String {
        match self {
            Self::Job(job) => format!("go on with it: willcall download {job}{}", target.option()),
            Self::Zip(job) => format!("go on with it: willcall download {job} --zip{}", target.option()),
            Self::Batch { .. } => "run the same command again: it goes on with the same job".into(),
        }
    }
}

/// What has been written so far.
struct Partial<'a> {
    target: &'a mut Target,
    source: Source<'a>,
    written: u64,
    hash: Sha256,
    etag: Option<HeaderValue>,
}

/// How one try ended.
enum Try {
    /// The answer was read to its end.
    Ended,
    /// It broke off; another may go on from there.
    Broke(String),
}

impl Client {
    /// Writes the result of a completed job to `target`, which is empty, and checks it against the manifest. It goes on
    /// with the part that an earlier command left there.
    pub(crate) async fn fetch(
        &self,
        job: &str,
        target: &mut Target,
        reporter: &mut Reporter,
    ) -> Result<Fetched, Failure> {
        let manifest = self.manifest(job).await?;
        let [expected] = manifest.read.files.as_slice() else {
            let count = manifest.read.files.len();
            return Err(Failure::new(
                Exit::Failed,
                format!("the result of job {job} has {count} files, not one"),
            )
            .advice("a job with batches has one for each: `willcall append` or `call` with --resume puts them together"));
        };
        let source = match &expected.batch_id {
            Some(batch) => Source::Batch { job, batch },
            None => Source::Job(job),
        };
        self.fetch_file(source, expected, target, reporter).await
    }

    /// Writes one file of a result to `target`, which is empty, and checks it. It goes on with the part that an earlier
    /// command left there.
    pub(crate) async fn fetch_file(
        &self,
        source: Source<'_>,
        expected: &wire::File,
        target: &mut Target,
        reporter: &mut Reporter,
    ) -> Result<Fetched, Failure> {
        let mut partial = Partial { target, source, written: 0, hash: Sha256::new(), etag: None };
        if partial.take_up()? && partial.written >= expected.bytes {
            // All of it was there already; or it is not what it was taken for.
            let sha256 = hex::encode(partial.hash.clone().finalize());
            if check(source, expected, partial.written, &sha256).is_ok() {
                return Ok(Fetched { bytes: partial.written, sha256 });
            }
            partial.rewind()?;
        }
        self.transfer(&mut partial, expected.bytes, reporter).await?;
        let sha256 = hex::encode(partial.hash.finalize());
        check(source, expected, partial.written, &sha256)?;
        Ok(Fetched { bytes: partial.written, sha256 })
    }

    /// Writes the zip of a completed job's result and manifest to `target`, once a worker has packed it, and checks each result in
    /// it against the manifest.
    pub(crate) async fn fetch_zip(
        &self,
        job: &str,
        target: &mut Target,
        reporter: &mut Reporter,
    ) -> Result<Fetched, Failure> {
        let source = Source::Zip(job);
        self.link(source).await?;
        let bytes = self.zip_size(job).await?;
        let manifest = self.manifest(job).await?;
        let mut partial = Partial { target, source, written: 0, hash: Sha256::new(), etag: None };
        if partial.take_up()? && partial.written >= bytes {
            // What is here may be of another zip, as long as this: only the server can tell, of less than all.
            partial.rewind()?;
        }
        self.transfer(&mut partial, bytes, reporter).await?;
        if partial.written != bytes {
            let words = format!("the zip of job {job} has {} bytes, not {bytes}", partial.written);
            return Err(Failure::new(Exit::Corrupt, words).advice("nothing was written: try again"));
        }
        let sha256 = hex::encode(partial.hash.clone().finalize());
        let file = partial.target.file().map_err(|error| unwritable(&error))?;
        match packed::wrong(file, &manifest.read.files) {
            Ok(None) => Ok(Fetched { bytes, sha256 }),
            Ok(Some(wrong)) => {
                let words = format!("the results in the zip of job {job} are not what its manifest says");
                Err(Failure::new(Exit::Corrupt, words).detail(wrong).advice(DAMAGED))
            }
            Err(error) => Err(Failure::caused(Exit::Failed, "cannot read the zip that is here", &error)),
        }
    }

    /// Reads links until all of it is here.
    async fn transfer(
        &self,
        partial: &mut Partial<'_>,
        bytes: u64,
        reporter: &mut Reporter,
    ) -> Result<(), Failure> {
        let mut breaks = 0;
        loop {
            let before = partial.written;
            match self.try_fetch(partial, bytes, reporter).await? {
                Try::Ended => return Ok(()),
                Try::Broke(why) => {
                    breaks = if partial.written > before { 1 } else { breaks + 1 };
                    if breaks >= MAX_BREAKS {
                        return Err(Failure::new(
                            Exit::Unavailable,
                            format!("the download broke off: {why}"),
                        )
                        .advice(partial.source.again(partial.target)));
                    }
                    sleep(Duration::from_millis(200) * 2_u32.pow(breaks)).await;
                }
            }
        }
    }

    /// One link, from where the last one ended. The link is signed anew each time.
    async fn try_fetch(
        &self,
        partial: &mut Partial<'_>,
        bytes: u64,
        reporter: &mut Reporter,
    ) -> Result<Try, Failure> {
        let link = self.link(partial.source).await?;
        let answer = match self.open_link(&link, partial.conditions()).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Try::Broke(error.to_string())),
        };
        match answer.status() {
            StatusCode::OK => partial.begin(&answer)?,
            StatusCode::PARTIAL_CONTENT if partial.goes_on(&answer) => {}
            // Another range than the one that was asked for, or none: from the start, then.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                partial.rewind()?;
                return Ok(Try::Broke(format!("the server answered {}", answer.status())));
            }
            status => return Ok(Try::Broke(format!("the server answered {status}"))),
        }
        let mut stream = answer.into_body().into_data_stream();
        loop {
            let chunk = match timeout(STALL, stream.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(None) => return Ok(Try::Ended),
                Ok(Some(Err(error))) => return Ok(Try::Broke(error.to_string())),
                Err(_) => return Ok(Try::Broke(format!("no bytes for {} s", STALL.as_secs()))),
            };
            partial.append(&chunk)?;
            reporter.received(partial.written, bytes);
            // More than there can be: the check that follows says so.
            if partial.written > bytes {
                return Ok(Try::Ended);
            }
        }
    }
}

impl Client {
    /// A link to a result, signed just now.
    async fn link(&self, source: Source<'_>) -> Result<String, Failure> {
        match source {
            Source::Job(job) => {
                let path = job_path(job, "/download?redirect=false");
                let link: Answer<wire::Link> = self.json(Method::GET, &path, None, Repeat::WhenLost).await?;
                Ok(link.read.url)
            }
            Source::Zip(job) => self.zip_link(job).await,
            Source::Batch { job, batch } => {
                let found = self.batch(job, batch).await?;
                found.read.download_link.ok_or_else(|| {
                    Failure::new(Exit::NotFound, format!("{} has no result any more", source.describe()))
                })
            }
        }
    }
}

/// How long to wait for a zip where the server does not say.
const PACKING: Duration = Duration::from_secs(1);

impl Client {
    /// A link to the zip, as soon as it is packed.
    async fn zip_link(&self, job: &str) -> Result<String, Failure> {
        let path = job_path(job, "/download?redirect=false");
        loop {
            match self.ask_zip(Method::GET, &path).await? {
                (StatusCode::OK, _, body) => {
                    return serde_json::from_slice(&body).map(|link: wire::Link| link.url).map_err(|error| {
                        Failure::caused(Exit::Failed, "the server told no link to the zip", &error)
                    });
                }
                (StatusCode::ACCEPTED, headers, _) => sleep(retry_after(&headers).unwrap_or(PACKING)).await,
                (status, _, body) => return Err(refused(status, &body)),
            }
        }
    }

    async fn zip_size(&self, job: &str) -> Result<u64, Failure> {
        let (status, headers, body) = self.ask_zip(Method::HEAD, &job_path(job, "/download")).await?;
        if status != StatusCode::OK {
            return Err(refused(status, &body));
        }
        let length =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        length.ok_or_else(|| Failure::new(Exit::Failed, "the server does not tell the size of the zip"))
    }

    async fn ask_zip(&self, method: Method, path: &str) -> Result<(StatusCode, HeaderMap, Bytes), Failure> {
        let mut request = self.request(&method, path, None)?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/zip"));
        self.exchange(request).await.map_err(|error| self.unreachable(&error))
    }
}

fn check(source: Source<'_>, expected: &wire::File, bytes: u64, sha256: &str) -> Result<(), Failure> {
    if bytes == expected.bytes && sha256 == expected.sha256 {
        return Ok(());
    }
    let failure = Failure::new(
        Exit::Corrupt,
        format!("the result of {} is not what its manifest says", source.describe()),
    );
    let failure = if bytes == expected.bytes {
        failure.detail(format!("SHA-256 {sha256}, not {}", expected.sha256))
    } else if bytes > expected.bytes {
        failure.detail(format!("more than the {} bytes that it must have", expected.bytes))
    } else {
        failure.detail(format!("{bytes} bytes, not {}", expected.bytes))
    };
    Err(failure.advice(DAMAGED))
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::caused(Exit::Failed, "cannot write the result", error).advice("is there room on the disk?")
}

impl Partial<'_> {
    /// Goes on with what an earlier command left, if it left anything.
    fn take_up(&mut self) -> Result<bool, Failure> {
        self.etag = self.target.resume(self.source.id());
        if self.etag.is_none() {
            return Ok(false);
        }
        let mut piece = vec![0; 64 * 1024];
        loop {
            match self.target.file().and_then(|file| file.read(&mut piece)) {
                Ok(0) => return Ok(true),
                Ok(read) => {
                    self.hash.update(&piece[..read]);
                    self.written += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Failure::caused(Exit::Failed, "cannot read the part that is here", &error));
                }
            }
        }
    }

    /// Asks for what is missing, of the very same file.
    fn conditions(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let (Some(etag), true) = (&self.etag, self.written > 0)
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", self.written))
        {
            headers.insert(header::RANGE, range);
            headers.insert(header::IF_RANGE, etag.clone());
        }
        headers
    }

    fn begin(&mut self, answer: &Response<Body>) -> Result<(), Failure> {
        self.rewind()?;
        // A weak tag does not stand for the bytes: `If-Range` must not carry it.
        let etag = answer.headers().get(header::ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/"));
        self.etag = etag.cloned();
        if let Some(etag) = &self.etag {
            self.target.begin_part(self.source.id(), etag);
        }
        Ok(())
    }

    fn goes_on(&self, answer: &Response<Body>) -> bool {
        let range = answer.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let start =
            range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
        start == Some(self.written)
    }

    fn rewind(&mut self) -> Result<(), Failure> {
        if self.written > 0 {
            let file = self.target.file().map_err(|error| unwritable(&error))?;
            file.set_len(0)
                .and_then(|()| file.seek(SeekFrom::Start(0)))
                .map_err(|error| unwritable(&error))?;
        }
        self.written = 0;
        self.hash = Sha256::new();
        self.etag = None;
        Ok(())
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        self.target.file().and_then(|file| file.write_all(chunk)).map_err(|error| unwritable(&error))?;
        self.hash.update(chunk);
        self.written += chunk.len() as u64;
        Ok(())
    }
}
