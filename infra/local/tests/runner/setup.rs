//! A running deployment of the probe, and what a test asks of it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use willcall_aws_local::{Endpoints, Local, Options};
use willcall_aws_test::{Emulator, QueueClock};

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Setup {
    pub(crate) local: Local,
    pub(crate) http: reqwest::Client,
    directory: TempDir,
    _emulator: Emulator,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }
}

pub(crate) fn emulator() -> Emulator {
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("aws-{run}"));
    Emulator::start(&directory, QueueClock::Live)
}

pub(crate) fn template() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runner/template.yaml")
}

pub(crate) fn binaries() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_willcall-probe")).parent().unwrap().to_owned()
}

impl Setup {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// A deployment with options of the test's own. No schedule fires by itself unless the test says so.
    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let emulator = tokio::task::spawn_blocking(emulator).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::new(template(), binaries(), Endpoints::at(emulator.endpoint()));
        let notes = directory.path().join("notes").to_str().unwrap().to_owned();
        options.overrides.variables.insert("PROBE_NOTES".to_owned(), notes);
        options.overrides.schedules.insert("TickFunction".to_owned(), Duration::MAX);
        change(&mut options);
        let local = Local::start(options).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { local, http, directory, _emulator: emulator }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.http.get(format!("{}{path}", self.local.url()))).await
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    /// What the functions noted, a line each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join("notes")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until the notes are as they should be.
    pub(crate) async fn until_notes(&self, fit: impl Fn(&[String]) -> bool) -> Vec<String> {
        let began = Instant::now();
        loop {
            let notes = self.notes();
            if fit(&notes) {
                return notes;
            }
            assert!(began.elapsed() < PATIENCE, "{notes:#?}\n{:#?}", self.local.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn logged(&self, text: &str) -> bool {
        self.local.logs().iter().any(|line| line.text.contains(text))
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
