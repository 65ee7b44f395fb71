//! The calls of jobs that take rows.

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    ANSWER_TIMEOUT, Answer, Client, Repeat, job_path, query, segment,
    transport::TransportError,
    wire::{self, Batch, BatchList},
};
use crate::failure::Failure;

impl Client {
    /// Submits a job that takes rows. The key makes it one job, however often it is submitted.
    pub(crate) async fn submit_rows(&self, body: &Value, key: &str) -> Result<Answer<wire::Job>, Failure> {
        self.json_with(Method::POST, "/v1/jobs", Some(body), Repeat::OnceConnected, Some(key)).await
    }

    /// Adds a batch, likewise.
    pub(crate) async fn add_batch(&self, job: &str, draft: &Value, key: &str) -> Result<Batch, Failure> {
        let path = job_path(job, "/batches");
        let added = self.json_with(Method::POST, &path, Some(draft), Repeat::WhenLost, Some(key)).await?;
        Ok(added.read)
    }

    /// One batch, with links that are signed just now.
    pub(crate) async fn batch(&self, job: &str, batch: &str) -> Result<Answer<Batch>, Failure> {
        let path = job_path(job, &format!("/batches/{}", segment(batch)));
        self.json(Method::GET, &path, None, Repeat::WhenLost).await
    }

    /// All batches of a job, oldest first.
    pub(crate) async fn batches(&self, job: &str) -> Result<Vec<Batch>, Failure> {
        let mut batches = Vec::new();
        let mut pairs = vec![("limit".to_owned(), "100".to_owned())];
        loop {
            let path = job_path(job, &format!("/batches{}", query(&pairs)));
            let page: Answer<BatchList> = self.json(Method::GET, &path, None, Repeat::WhenLost).await?;
            batches.extend(page.read.batches);
            let Some(cursor) = page.read.next_cursor else { return Ok(batches) };
            pairs.truncate(1);
            pairs.push(("cursor".to_owned(), cursor));
        }
    }

    /// Says that no more batches come.
    pub(crate) async fn close_job(&self, job: &str) -> Result<Answer<wire::Job>, Failure> {
        self.json(Method::POST, &job_path(job, "/close"), None, Repeat::WhenLost).await
    }

    /// Uploads a file of that many bytes, without the token, as links of results are opened. Answers the status, and what
    /// was said where it is no success.
    pub(crate) async fn upload(
        &self,
        upload: &wire::Upload,
        bytes: u64,
        body: impl Fn() -> Body,
    ) -> Result<(StatusCode, String), TransportError> {
        match self.put(&upload.url, upload, bytes, body()).await {
            Err(TransportError::Connect(error)) => {
                let path = upload.url.find("/v1/files/").map(|at| &upload.url[at..]);
                match path.map(|path| format!("{}{path}", self.base)).filter(|here| *here != upload.url) {
                    Some(here) => self.put(&here, upload, bytes, body()).await,
                    None => Err(TransportError::Connect(error)),
                }
            }
            answered => answered,
        }
    }

    async fn put(
        &self,
        url: &str,
        upload: &wire::Upload,
        bytes: u64,
        body: Body,
    ) -> Result<(StatusCode, String), TransportError> {
        let mut request = Request::put(url).header(header::CONTENT_LENGTH, bytes);
        for (name, value) in &upload.headers {
            if !name.eq_ignore_ascii_case("content-length") {
                request = request.header(name, value);
            }
        }
        let request = request.body(body).map_err(|error| TransportError::Broken(Box::new(error)))?;
        // However long the file takes: whoever sends it sees whether anything moves.
        let answer = self.transport.send(request).await?;
        let status = answer.status();
        let said = timeout(ANSWER_TIMEOUT, axum::body::to_bytes(answer.into_body(), 64 * 1024)).await;
        let said = said.ok().and_then(Result::ok).unwrap_or_default();
        let said = match serde_json::from_slice::<wire::Problem>(&said) {
            Ok(problem) if !problem.detail.is_empty() => problem.detail,
            _ => format!("the server answered {status}"),
        };
        Ok((status, crate::output::clean(&said)))
    }
}
