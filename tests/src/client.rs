//! A client that knows nothing of Willcall but its HTTP contract.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The longest that a scenario waits for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Speaks to one host with one token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Where the host is.
    pub url: String,
    token: Option<String>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{} is not JSON", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The last segment of the problem's type; an error unless the answer is a whole problem document.
    pub fn problem(&self) -> Result<String> {
        ensure!(
            self.header("content-type") == Some("application/problem+json"),
            "{}: {}",
            self.status,
            self.text()
        );
        let body = self.json()?;
        for member in ["type", "title", "status", "detail", "instance", "request_id"] {
            ensure!(!body[member].is_null(), "no {member} in {body}");
        }
        ensure!(body["status"] == self.status, "{body}");
        let kind = body["type"].as_str().unwrap_or_default();
        Ok(kind.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// Everything that the problem says of single members, as `pointer: detail` lines.
    pub fn complaints(&self) -> String {
        let body = self.json().unwrap_or_default();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let line = |e: &Value| format!("{}: {}", e["pointer"], e["detail"]);
        errors.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Client {
    /// A client of the host at `url`.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .no_proxy()
            .build()?;
        Ok(Self { http, url: url.to_owned(), token: token.map(str::to_owned) })
    }

    /// The same client with another token, or none.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// A request to be completed with headers and body; `path` may be a whole URL.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and reads the answer whole.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Submits a query and answers its job.
    pub async fn submit(&self, query: Value) -> Result<Value> {
        let mut body = json!({"kind": "query"});
        for (key, value) in query.as_object().context("a query is an object")? {
            body[key] = value.clone();
        }
        let answer = self.post("/v1/jobs", &body).await?;
        ensure!(answer.status == StatusCode::ACCEPTED, "{}: {}", answer.status, answer.text());
        answer.json()
    }

    /// The job as soon as it has ended. Outlasts restarts of the host.
    pub async fn ended(&self, job: &Value) -> Result<Value> {
        let id = id(job);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.get(&format!("/v1/jobs/{id}?wait=5")).await {
                Ok(answer) => {
                    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
                    let job = answer.json()?;
                    if !["open", "accepted", "processing"]
                        .contains(&job["state"].as_str().unwrap_or_default())
                    {
                        return Ok(job);
                    }
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            ensure!(Instant::now() < deadline, "job {id} did not end in time");
        }
    }

    /// Submits a query and answers its completed job.
    pub async fn run(&self, query: Value) -> Result<Value> {
        let job = self.submit(query).await?;
        let job = self.ended(&job).await?;
        ensure!(job["state"] == "completed", "{job}");
        Ok(job)
    }

    /// What the job's link leads to, asked for without a token.
    pub async fn fetch(&self, job: &Value) -> Result<Vec<u8>> {
        let link = job["download_link"].as_str().context("no link")?;
        let answer = self.with_token(None).get(link).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(answer.body)
    }

    /// Fails unless the job has completed and the bytes of its file are those that it names.
    pub async fn assert_whole(&self, job: &Value) -> Result<()> {
        ensure!(job["state"] == "completed", "{job}");
        let found = hex::encode(Sha256::digest(self.fetch(job).await?));
        ensure!(job["result"]["sha256"] == found, "the file has the SHA-256 {found}: {job}");
        Ok(())
    }

    /// Waits until the job is in the state, at most as long as a scenario waits for anything.
    pub async fn until(&self, job: &Value, state: &str) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.get(&format!("/v1/jobs/{}", id(job))).await?.json()?;
            if found["state"] == state {
                return Ok(found);
            }
            ensure!(Instant::now() < deadline, "job did not become {state}: {found}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The job's id.
pub fn id(job: &Value) -> &str {
    job["job_id"].as_str().unwrap_or_default()
}

/// A text that no other scenario uses, to tell jobs of one account apart.
pub fn unique() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), now.as_nanos())
}
