//! One execution environment: a process of a function's binary, with its Runtime API and its own `/tmp`.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
};

use super::{
    Event,
    runtime_api::{self, Work},
};
use crate::{Error, logs::Logs, serve::Server};

/// An environment whose process was started. Dropped, its Runtime API and its files go; the process is killed by whom
/// it belongs to.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) number: u64,
    pub(super) pid: Pid,
    pub(super) work: mpsc::UnboundedSender<Work>,
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    _server: Server,
    _tmp: TempDir,
}

/// What an environment needs.
pub(super) struct Start<'a> {
    pub(super) number: u64,
    pub(super) function: &'a str,
    pub(super) program: &'a Path,
    pub(super) variables: &'a BTreeMap<String, String>,
    /// Where directories that stand for `/tmp` are made.
    pub(super) directory: &'a Path,
    pub(super) logs: &'a Logs,
}

impl Environment {
    /// Starts the process. It ends with an event of its own; `ended` is called before.
    pub(super) async fn start(
        start: Start<'_>,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Error> {
        let failed = |what: &str| {
            let what = format!("{what} {}", start.program.display());
            move |error| Error::Io(what, error)
        };
        let tmp = TempDir::with_prefix_in("tmp-", start.directory).map_err(failed("make a directory for"))?;
        let (work, of_api) = mpsc::unbounded_channel();
        let (to_us, events) = mpsc::unbounded_channel();
        let server = runtime_api::start(of_api, to_us.clone()).await?;
        let root = start.program.parent().unwrap_or(Path::new("/"));
        let mut child = Command::new(start.program)
            .env_clear()
            .envs(start.variables)
            .env("AWS_LAMBDA_RUNTIME_API", server.address.to_string())
            .env("AWS_LAMBDA_LOG_STREAM_NAME", format!("[$LATEST]{:032x}", start.number))
            .env("LAMBDA_TASK_ROOT", root)
            .env("TMPDIR", tmp.path())
            .current_dir(tmp.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the runner, and a frozen group whose parent dies is ended by the system.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed("start"))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| failed("start")(std::io::ErrorKind::NotFound.into()))?;
        follow(child.stdout.take(), &start);
        follow(child.stderr.take(), &start);
        tokio::spawn(wait(child, to_us, ended));
        Ok(Self { number: start.number, pid, work, events, _server: server, _tmp: tmp })
    }

    pub(super) fn freeze(&self) {
        signal(self.pid, Signal::STOP);
    }

    pub(super) fn thaw(&self) {
        signal(self.pid, Signal::CONT);
    }

    /// What the process has of memory that is its own, in bytes; none where the system does not tell.
    pub(super) fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).ok()?;
        let kib = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
        };
        Some((kib("RssAnon") + kib("RssShmem")) << 10)
    }
}

/// Sends a signal to a process and all that it started. One that has ended already is left alone.
pub(super) fn signal(pid: Pid, signal: Signal) {
    let _ = kill_process_group(pid, signal);
}

async fn wait(mut child: Child, events: mpsc::UnboundedSender<Event>, ended: impl FnOnce()) {
    let how = match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    ended();
    // Nobody listens any more where the environment was given up.
    let _ = events.send(Event::Exited(how));
}

/// Passes the lines of a stream on to the logs.
fn follow(stream: Option<impl AsyncRead + Unpin + Send + 'static>, start: &Start<'_>) {
    let Some(stream) = stream else { return };
    let (logs, function, number) = (start.logs.clone(), start.function.to_owned(), start.number);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = lines.read_until(b'\n', &mut line).await {
            logs.write(&function, number, String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    });
}
