//! A Willcall of one box: the real binary, on a port of its own, over a directory of its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Directory, Host, Operator, create_token, directory::willcall};
use crate::{Client, id};

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running host. Dropped, it is killed and its files go.
pub struct OneBox {
    directory: Directory,
    environment: Vec<(&'static str, String)>,
    arguments: Vec<&'static str>,
    child: Option<Child>,
    client: Client,
}

impl OneBox {
    /// Starts a host over the catalog of the directory.
    pub async fn start(directory: Directory) -> Result<Self> {
        Self::start_with(directory, Vec::new(), &[]).await
    }

    /// The same with these variables, and with these arguments of `serve`.
    pub async fn start_with(
        directory: Directory,
        environment: Vec<(&'static str, String)>,
        arguments: &[&'static str],
    ) -> Result<Self> {
        let (arguments, client) = (arguments.to_vec(), Client::new("", None)?);
        let mut host = Self { directory, environment, arguments, child: None, client };
        host.launch().await?;
        let token = host.token("tests", "everything", "admin")?;
        host.client = host.client.with_token(Some(&token));
        Ok(host)
    }

    /// A host over `numbers`, that many records.
    pub async fn numbers(records: i64) -> Result<Self> {
        Self::start(Directory::numbers(records)?).await
    }

    /// The same, which may also send webhooks to this machine.
    pub async fn with_receivers(records: i64) -> Result<Self> {
        Self::start(Directory::numbers(records)?.with_receivers()?).await
    }

    /// A client with an admin's token of the account `tests`.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Makes a token while the host runs.
    pub fn token(&self, account: &str, plan: &str, scope: &str) -> Result<String> {
        create_token(self.command(&["token", "create", "--json"])?, account, plan, scope)
    }

    /// Where the host keeps its state.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// How many processes for statements the host has that have not ended.
    pub fn statements(&self) -> Result<usize> {
        let host = self.child.as_ref().context("not running")?.id().to_string();
        // The names of the programs may have anything in them; what follows their state is the parent.
        let is_child = |stat: String| stat.rsplit(") ").next()?.split(' ').nth(1).map(|pid| pid == host);
        let processes = fs::read_dir("/proc")?.filter_map(|entry| {
            // What has ended meanwhile is no process.
            is_child(fs::read_to_string(entry.ok()?.path().join("stat")).ok()?)
        });
        Ok(processes.filter(|is_child| *is_child).count())
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
        let address = self.directory.join("address");
        let _ = fs::remove_file(&address);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.directory.join("log"))?;
        let mut command = self.command(&["serve", "--bind", "127.0.0.1:0"])?;
        command.arg("--address-file").arg(&address).args(&self.arguments);
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

    fn blobs(&self) -> PathBuf {
        self.data_dir().join("blobs")
    }
}

#[async_trait]
impl Operator for OneBox {
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(willcall()?);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--catalog")
            .arg(self.directory.catalog_file());
        for name in ["SERVER", "TOKEN", "TABLE", "BUCKET"] {
            command.env_remove(format!("WILLCALL_{name}"));
        }
        // Whoever runs the scenarios may have an account of AWS; this host has not.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn catalog_dir(&self) -> PathBuf {
        self.directory.catalog()
    }

    async fn update(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        self.damage(path, Some(bytes)).await
    }

    async fn damage(&self, path: &str, bytes: Option<Vec<u8>>) -> Result<()> {
        self.directory.replace(path, bytes.as_deref())?;
        // The catalog looks at its files once a second.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        Ok(())
    }

    async fn stored(&self, job: &Value) -> Result<Vec<String>> {
        let folder = self.blobs().join("results").join(job["account"].as_str().unwrap_or_default());
        let mut found = Vec::new();
        let mut folders = vec![folder.join(id(job))];
        while let Some(folder) = folders.pop() {
            // A folder that is not there, or goes meanwhile, holds nothing.
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(self.blobs())?.to_string_lossy().into_owned());
                }
            }
        }
        Ok(found)
    }

    async fn read_stored(&self, name: &str) -> Result<Vec<u8>> {
        Ok(fs::read(self.blobs().join(name))?)
    }

    async fn tamper(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        Ok(fs::write(self.blobs().join(Path::new(name)), bytes)?)
    }
}

impl From<OneBox> for Host {
    fn from(host: OneBox) -> Self {
        Self::new(host.client(), Some(Box::new(host)))
    }
}

impl Drop for OneBox {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
