//! The hosts that scenarios run on, and what their operators can do.

mod aws;
mod aws_state;
mod deployed;
mod directory;
mod one_box;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use serde_json::Value;

pub(crate) use self::aws::emulator;
pub use self::{aws::Aws, aws_state::chance, deployed::Deployed, directory::Directory, one_box::OneBox};
use crate::{Client, id};

/// How long a worker may take to hear that it works for nothing, and to take back what it did.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host that answers.
pub struct Host {
    client: Client,
    operator: Option<Box<dyn Operator>>,
}

/// What the operator of a host can do, and its clients cannot.
#[async_trait]
pub trait Operator: Send + Sync {
    /// The willcall command on this host's accounts and catalog.
    fn command(&self, arguments: &[&str]) -> Result<Command>;

    /// All that the host has logged.
    fn log(&self) -> String;

    /// Where the data sets' files come from. No client may learn of it.
    fn catalog_dir(&self) -> std::path::PathBuf;

    /// Gives a data set's file other bytes, as an operator should; by its path within the catalog's directory. Returns
    /// once new jobs see it.
    async fn update(&self, path: &str, bytes: Vec<u8>) -> Result<()>;

    /// Puts bytes in place of the file that jobs read, or takes it away, as should never happen.
    async fn damage(&self, path: &str, bytes: Option<Vec<u8>>) -> Result<()>;

    /// What the result store holds of the job's attempts: each blob's name in full.
    async fn stored(&self, job: &Value) -> Result<Vec<String>>;

    /// The bytes of such a blob.
    async fn read_stored(&self, name: &str) -> Result<Vec<u8>>;

    /// Puts bytes in place of such a blob.
    async fn tamper(&self, name: &str, bytes: Vec<u8>) -> Result<()>;
}

impl Host {
    pub(crate) fn new(client: Client, operator: Option<Box<dyn Operator>>) -> Self {
        Self { client, operator }
    }

    /// A client with an admin's token of the account `tests`, or the one that the environment names.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The operator.
    pub fn operator(&self) -> Result<&dyn Operator> {
        self.operator.as_deref().context("nobody operates this host here")
    }

    /// A client with a token of that account and scope; an account that is new gets the plan.
    pub fn client_of(&self, account: &str, plan: &str, scope: &str) -> Result<Client> {
        Ok(self.client.with_token(Some(&self.token(account, plan, scope)?)))
    }

    /// Makes a token while the host runs.
    pub fn token(&self, account: &str, plan: &str, scope: &str) -> Result<String> {
        create_token(self.operator()?.command(&["token", "create", "--json"])?, account, plan, scope)
    }

    /// Waits until the result store holds nothing of the job.
    pub async fn nothing_stored(&self, job: &Value) -> Result<()> {
        let operator = self.operator()?;
        let begun = Instant::now();
        loop {
            let stored = operator.stored(job).await?;
            if stored.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "job {} left {stored:?}", id(job));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) fn create_token(mut create: Command, account: &str, plan: &str, scope: &str) -> Result<String> {
    create.args(["--account", account, "--plan", plan, "--scope", scope]);
    let made = create.output().context("willcall token create")?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout)?;
    Ok(made["token"].as_str().context("no token")?.to_owned())
}
