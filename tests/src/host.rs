//! A Willcall of one box: the real binary, on a port of its own, over a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::Client;

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(60);

const PLANS: &str = r#"
[plans.everything]
default = true
max_records = 1_000_000_000
max_open_jobs = 1000

[plans.paced]
submits_per_minute = 5
max_open_jobs = 1000

[plans.daily]
max_records_per_day = 1000

[plans.small]
max_records = 10
max_open_jobs = 2
datasets = ["numbers"]
formats = ["csv", "json"]
"#;

/// A running host. Dropped, it is killed and its files go.
pub struct Host {
    directory: TempDir,
    child: Option<Child>,
    client: Client,
}

impl Host {
    /// Starts a host over the data sets, each a name and a path within the catalog's directory, which `fill` has filled.
    pub async fn start(datasets: &[(&str, &str)], fill: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let catalog = directory.path().join("catalog");
        fs::create_dir(&catalog)?;
        fill(&catalog)?;
        let mut text = PLANS.to_owned();
        for (name, path) in datasets {
            text += &format!("[datasets.{name}]\npath = {path:?}\n");
        }
        fs::write(catalog.join("willcall.toml"), text)?;
        let mut host = Self { directory, child: None, client: Client::new("", None)? };
        host.launch().await?;
        let token = host.token("tests", "everything", "admin")?;
        host.client = host.client.with_token(Some(&token));
        Ok(host)
    }

    /// A host over `numbers`, that many records.
    pub async fn with_numbers(rows: i64) -> Result<Self> {
        Self::start(&[("numbers", "numbers.parquet")], |folder| {
            crate::write_numbers(&folder.join("numbers.parquet"), rows)
        })
        .await
    }

    /// A client with an admin's token of the account `tests`.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where the catalog and its data are.
    pub fn catalog_dir(&self) -> PathBuf {
        self.directory.path().join("catalog")
    }

    /// Where the host keeps its state.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What the host has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Makes a token while the host runs.
    pub fn token(&self, account: &str, plan: &str, scope: &str) -> Result<String> {
        let made = self.command(&["token", "create", "--json"])?;
        let made = { made }
            .args(["--account", account, "--plan", plan, "--scope", scope])
            .output()
            .context("token create")?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout)?;
        Ok(made["token"].as_str().context("no token")?.to_owned())
    }

    /// The willcall command on this host's catalog and state.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--catalog")
            .arg(self.catalog_dir().join("willcall.toml"))
            .env_remove("WILLCALL_SERVER")
            .env_remove("WILLCALL_TOKEN");
        Ok(command)
    }

    /// SIGKILL: nothing is handed back, nothing is flushed.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(&mut self) -> Result<i32> {
        let mut child = self.child.take().context("not running")?;
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait()? {
                return status.code().context("killed by a signal");
            }
            ensure!(Instant::now() < deadline, "did not stop: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts the host, anew if need be. Its address may change.
    pub async fn launch(&mut self) -> Result<()> {
        self.kill()?;
        let address = self.directory.path().join("address");
        let _ = fs::remove_file(&address);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.directory.path().join("log"))?;
        let mut command = self.command(&["serve", "--bind", "127.0.0.1:0"])?;
        command.arg("--address-file").arg(&address);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn()?);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = fs::read_to_string(&address).unwrap_or_default();
            if let Some(url) = found.lines().next() {
                url.clone_into(&mut self.client.url);
                return Ok(());
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                bail!("ended with {status}: {}", self.log());
            }
            ensure!(Instant::now() < deadline, "did not start: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The willcall binary: the one named by `WILLCALL_BINARY`, else the one built beside this test.
fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WILLCALL_BINARY") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let beside = test.parent().and_then(Path::parent).context("no target directory")?.join("willcall");
    ensure!(beside.is_file(), "{} is not there: run `cargo build -p willcall` first", beside.display());
    Ok(beside)
}
