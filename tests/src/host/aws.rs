//! The AWS host on this machine: the real function binaries, run as the SAM template says, on an emulator that all
//! tests of a run share, or on the back end that `AWS_ENDPOINT_URL` names.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use serde_json::Value;
use willcall_aws_local::{Endpoints, Faults, Local, Options, Victim};
use willcall_aws_test::{Emulator, QueueClock};

use super::{
    Directory, Host, Operator, create_token,
    directory::{RECEIVERS, built, willcall},
};
use crate::{Client, id};

/// Every function that reads the catalog: a new process of one reads it anew.
const READERS: [&str; 5] =
    ["SubmitFunction", "RecordsFunction", "StatusFunction", "DownloadFunction", "WorkerFunction"];

/// A running host. Dropped, its processes are killed.
pub struct Aws {
    /// What runs it.
    pub local: Local,
    directory: Directory,
    client: Client,
    /// Keeps the emulator.
    _emulator: Option<Emulator>,
}

impl Aws {
    /// Starts a host as the template says, over the catalog of the directory.
    pub async fn start(directory: Directory) -> Result<Self> {
        Self::changed(directory, |_| {}).await
    }

    /// A host over `numbers`, that many records, with what `change` changes of what the template says.
    pub async fn numbers(records: i64, change: impl FnOnce(&mut Options)) -> Result<Self> {
        Self::changed(Directory::numbers(records)?, change).await
    }

    /// The same, which may also send webhooks to this machine.
    pub async fn with_receivers(records: i64, change: impl FnOnce(&mut Options)) -> Result<Self> {
        Self::numbers(records, |options| {
            options.parameters.insert("WebhooksAllow".into(), RECEIVERS.into());
            change(options);
        })
        .await
    }

    /// The same over another catalog.
    pub async fn changed(directory: Directory, change: impl FnOnce(&mut Options)) -> Result<Self> {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/sam/template.yaml");
        let binaries = built("willcall-worker")?.parent().context("no folder")?.to_owned();
        let (back_end, emulator) = match Endpoints::from_env() {
            Some(named) => (named, None),
            None => {
                let emulator = emulator()?;
                (Endpoints::at(emulator.endpoint()), Some(emulator))
            }
        };
        let mut options = Options::new(template, binaries, back_end);
        change(&mut options);
        let local = Local::start(options).await?;
        let client = Client::new(local.url(), None)?;
        let mut host = Self { local, directory, client, _emulator: emulator };
        host.build_catalog()?;
        let create = host.command(&["token", "create", "--json"])?;
        let token = create_token(create, "tests", "everything", "admin")?;
        host.client = host.client.with_token(Some(&token));
        Ok(host)
    }

    /// A client with an admin's token of the account `tests`.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// What goes wrong between functions and the back end.
    pub fn faults(&self) -> &Faults {
        self.local.faults()
    }

    fn build_catalog(&self) -> Result<()> {
        let built = self.command(&["catalog", "build"])?.output().context("willcall catalog build")?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Ok(())
    }

    pub(crate) fn bucket(&self) -> Result<&str> {
        Ok(self.local.bucket()?)
    }

    pub(crate) async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let mut pages =
            self.local.s3().list_objects_v2().bucket(self.bucket()?).prefix(prefix).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            keys.extend(page?.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        Ok(keys)
    }

    /// The keys of multipart uploads that nobody has finished or given up.
    pub async fn open_uploads(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = self.local.s3().list_multipart_uploads().bucket(self.bucket()?).prefix(prefix).send();
        let listed = listed.await?;
        let keys = listed.uploads().iter().filter_map(|upload| upload.key().map(str::to_owned));
        // Not every emulator minds the prefix.
        Ok(keys.filter(|key| key.starts_with(prefix)).collect())
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.local.s3().put_object().bucket(self.bucket()?).key(key).body(bytes.into()).send().await?;
        Ok(())
    }
}

/// The emulator of this run. Its queues' clock runs, as the functions' own does.
pub(crate) fn emulator() -> Result<Emulator> {
    let run = env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
    let program = env::current_exe()?;
    let folder = program.parent().context("no folder")?.join("aws-emulators").join(format!("{run}-live"));
    Ok(Emulator::start(&folder, QueueClock::Live))
}

#[async_trait]
impl Operator for Aws {
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(willcall()?);
        command.args(arguments).stdin(Stdio::null());
        for name in ["WILLCALL_SERVER", "WILLCALL_TOKEN", "WILLCALL_DATA_DIR"] {
            command.env_remove(name);
        }
        // What the functions are told, and so what an operator's shell would have.
        let variables = self.local.variables("SubmitFunction")?;
        let told =
            variables.iter().filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("WILLCALL_"));
        command.envs(told.map(|(name, value)| (name.clone(), value.clone())));
        command.env("WILLCALL_CATALOG", self.directory.catalog_file());
        Ok(command)
    }

    fn log(&self) -> String {
        self.local.logs().iter().map(|line| format!("{}: {}\n", line.function, line.text)).collect()
    }

    fn catalog_dir(&self) -> PathBuf {
        self.directory.catalog()
    }

    async fn update(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        self.directory.replace(path, Some(&bytes))?;
        self.build_catalog()?;
        // Those that run have looked at the catalog already, and would do so again in half a minute.
        for function in READERS {
            self.local.kill(function, Victim::All)?;
        }
        Ok(())
    }

    async fn damage(&self, path: &str, bytes: Option<Vec<u8>>) -> Result<()> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let keys = self.keys("datasets/").await?;
        let key = keys.iter().find(|key| key.ends_with(&format!("/{name}")));
        let key = key.with_context(|| format!("no {name} in {keys:?}"))?;
        match bytes {
            Some(bytes) => self.put(key, bytes).await,
            None => {
                self.local.s3().delete_object().bucket(self.bucket()?).key(key).send().await?;
                Ok(())
            }
        }
    }

    async fn stored(&self, job: &Value) -> Result<Vec<String>> {
        let account = job["account"].as_str().unwrap_or_default();
        let prefix = format!("results/{account}/{}/", id(job));
        let mut stored = self.keys(&prefix).await?;
        stored.extend(self.open_uploads(&prefix).await?.iter().map(|key| format!("a part of {key}")));
        Ok(stored)
    }

    async fn read_stored(&self, name: &str) -> Result<Vec<u8>> {
        let found = self.local.s3().get_object().bucket(self.bucket()?).key(name).send().await?;
        Ok(found.body.collect().await?.to_vec())
    }

    async fn tamper(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.put(name, bytes).await
    }
}

impl From<Aws> for Host {
    fn from(host: Aws) -> Self {
        Self::new(host.client(), Some(Box::new(host)))
    }
}
