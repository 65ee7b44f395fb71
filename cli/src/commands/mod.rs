//! The commands, one file each.

pub(crate) mod account;
pub(crate) mod append;
pub(crate) mod call;
pub(crate) mod cancel;
pub(crate) mod catalog;
pub(crate) mod completions;
pub(crate) mod dataset;
pub(crate) mod delete;
pub(crate) mod download;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod man;
mod rows;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod token;
pub(crate) mod webhook;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use willcall_core::token::Token;

use crate::{
    args::{Command, Global},
    client::{Client, InProcess},
    failure::{Exit, Failure},
    host::{DEFAULT_ADDRESS, Host},
    operator::{LOCAL, OperatorAccounts, OperatorCatalog},
};

/// Runs a command.
pub(crate) async fn run(global: &Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(global, args).await,
        Command::Get(args) => get::run(global, args).await,
        Command::Append(args) => append::run(global, args).await,
        Command::Call(args) => call::run(global, args).await,
        Command::Submit(args) => submit::run(global, args).await,
        Command::Status(args) => status::run(global, args).await,
        Command::List(args) => list::run(global, args).await,
        Command::Cancel(args) => cancel::run(global, args).await,
        Command::Delete(args) => delete::run(global, args).await,
        Command::Download(args) => download::run(global, args).await,
        Command::Dataset(command) => dataset::run(global, command).await,
        Command::Token(args) => token::run(global, args).await,
        Command::Webhook(args) => webhook::run(global, args).await,
        Command::Account(args) => account::run(global, args).await,
        Command::Catalog(command) => catalog::run(global, command).await,
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

/// Whether jobs are worked on in this process while the command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// They are: the command waits for one.
    Here,
    /// They are not.
    No,
}

/// A client, and what runs in this process behind it.
struct Session {
    client: Client,
    local: Option<Local>,
}

struct Local {
    shutdown: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Session {
    /// A client of the server that was named, else of one box in this very process.
    async fn open(global: &Global, work: Work) -> Result<Self, Failure> {
        if let Some(server) = &global.server {
            return Ok(Self { client: Client::remote(server, global.token.clone())?, local: None });
        }
        let base = format!("http://{DEFAULT_ADDRESS}");
        let mut host = Host::open(global, &base).await?;
        let token = Token::generate()
            .map_err(|error| Failure::caused(Exit::Failed, "the system gives no random numbers", &error))?;
        let id = LOCAL.parse().map_err(|error| Failure::caused(Exit::Failed, "no account", &error))?;
        let accounts =
            OperatorAccounts::new(Arc::clone(&host.app.accounts), id, &token, host.app.clock.now());
        host.app.accounts =
            Arc::new(accounts.await.map_err(|error| Failure::from(willcall_core::Error::from(error)))?);
        host.app.catalog = Arc::new(OperatorCatalog(Arc::clone(&host.app.catalog)));
        let client = Client::in_process(InProcess(host.routes()), &base, token.expose().into());
        let (shutdown, host) = (CancellationToken::new(), Arc::new(host));
        let mut tasks = Vec::new();
        if work == Work::Here {
            let (worker, notifier, sweeper) = (Arc::clone(&host), Arc::clone(&host), Arc::clone(&host));
            let [stop_work, stop_notify, stop_sweep] = [(); 3].map(|()| shutdown.clone());
            // Two, so that what an earlier command left does not keep this one's job waiting; and one that is kept for other
            // accounts, of which there are none here.
            tasks.push(tokio::spawn(async move { worker.work(3, stop_work).await }));
            tasks.push(tokio::spawn(async move { notifier.notify(stop_notify).await }));
            tasks.push(tokio::spawn(async move { sweeper.sweep(stop_sweep).await }));
        }
        Ok(Self { client, local: Some(Local { shutdown, tasks }) })
    }

    /// Whether the work is done in this process.
    fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Stops what runs here; jobs that are not done are handed back for another time.
    async fn close(self) {
        let Some(local) = self.local else { return };
        local.shutdown.cancel();
        for task in local.tasks {
            // A task that panicked has said so in the log.
            let _ = task.await;
        }
    }
}
