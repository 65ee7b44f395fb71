//! `serve`: the HTTP API, workers, notifier and sweeper in one process.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use serde_json::json;
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::sync::CancellationToken;
use willcall_core::{
    Error,
    account::Scope,
    token::Token,
    usecases::accounts::{create_token, put_account},
};

use super::token::DEFAULT_ACCOUNT;
use crate::{
    args::Global,
    failure::{Exit, Failure},
    host::{DEFAULT_ADDRESS, Host, write_whole},
    output::{note, print},
    server::{QUIET, answer},
    signals::Signals,
};

/// How long answers that are under way may take once the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// How much less urgent the jobs' threads are than those that answer requests.
const NICENESS: i32 = 5;

/// Serve the HTTP API, and do the jobs' work.
#[derive(Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ADDRESS)]
    bind: SocketAddr,
    /// The base of every link, as clients reach the server [default: http:// and the address bound to]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Jobs that are worked on at the same time
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Write the server's URL to this file once it answers
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
}

pub(crate) async fn run(global: &Global, args: ServeArgs) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let listener = bind(args.bind).await?;
    let address =
        listener.local_addr().map_err(|error| Failure::caused(Exit::Failed, "no address", &error))?;
    let url = public_url(&args, address)?;
    let host = Arc::new(Host::open(global, &url).await?);
    let token = first_token(&host).await?;
    let routes = host.routes();
    let shutdown = CancellationToken::new();
    let work = Work::start(&host, usize::from(args.workers), &shutdown)?;
    let mut serving = tokio::spawn(answer(listener, routes, QUIET, shutdown.clone()));

    host.leave_address(&format!("http://{address}"));
    announce(global, &host, &url, token.as_ref()).await?;
    if let Some(file) = &args.address_file {
        write_whole(file, &format!("http://{address}\n")).map_err(|error| {
            Failure::caused(Exit::Failed, format!("cannot write {}", file.display()), &error)
        })?;
    }
    tracing::info!(%address, workers = args.workers, data_dir = %global.data_dir.display(), "serving");

    signals.next().await;
    tracing::info!("stopping: jobs are handed back, a second signal ends at once");
    shutdown.cancel();
    host.remove_address();
    let stop = async {
        work.stopped().await;
        let _ = tokio::time::timeout(LAST_ANSWERS, &mut serving).await;
    };
    tokio::select! {
        () = stop => tracing::info!("stopped"),
        () = signals.next() => tracing::warn!("ended at once: jobs under way are taken up at the next start"),
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let failure = Failure::caused(Exit::Unavailable, format!("cannot listen on {address}"), &error);
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure.advice(
                "another program listens there, perhaps another willcall: stop it, or choose with --bind",
            ),
            std::io::ErrorKind::PermissionDenied => {
                failure.advice("ports below 1024 are the system's: choose with --bind")
            }
            _ => failure.advice("choose another address with --bind"),
        }
    })
}

fn public_url(args: &ServeArgs, address: SocketAddr) -> Result<String, Failure> {
    if let Some(url) = &args.public_url {
        let url = url.trim_end_matches('/');
        let known = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let fits = |rest: &str| {
            !rest.is_empty() && !rest.contains(['?', '#', '@', '"', '<', '>']) && rest.is_ascii()
        };
        if !known.is_some_and(fits) || url.contains(char::is_whitespace) {
            return Err(Failure::new(Exit::Usage, "--public-url is not a base of links")
                .advice("write it like https://data.example.com"));
        }
        return Ok(url.to_owned());
    }
    if !address.ip().is_loopback() {
        note(format!(
            "warning: links begin with http://{address}; say with --public-url how clients reach this server"
        ));
    }
    Ok(format!("http://{address}"))
}

/// A token for an account of its own, where nobody has any.
async fn first_token(host: &Host) -> Result<Option<Token>, Failure> {
    let app = &host.app;
    let tokens = app.accounts.tokens(None).await.map_err(|error| Failure::from(Error::from(error)))?;
    if !tokens.is_empty() {
        return Ok(None);
    }
    let id: willcall_core::AccountId =
        DEFAULT_ACCOUNT.parse().map_err(|error| Failure::caused(Exit::Failed, "no account", &error))?;
    if app.accounts.account(&id).await.map_err(|error| Failure::from(Error::from(error)))?.is_none() {
        let catalog = app.catalog.catalog().await.map_err(|error| Failure::from(Error::from(error)))?;
        put_account(app, id.clone(), &catalog.default_plan).await?;
    }
    let (token, _) = create_token(app, &id, Scope::Admin, "first start", None).await?;
    Ok(Some(token))
}

/// Says where the server is and, at the first start, how to use it. On stdout: the log is stderr, is kept, and must
/// hold no token.
async fn announce(global: &Global, host: &Host, url: &str, token: Option<&Token>) -> Result<(), Failure> {
    if global.json {
        let said = json!({ "url": url, "token": token.map(Token::expose), "account": token.map(|_| DEFAULT_ACCOUNT) });
        return print(&format!("{said}\n"));
    }
    print(&format!("willcall serves {url} (its pages: {url}/docs)\n"))?;
    let Some(token) = token else { return Ok(()) };
    let catalog = host.app.catalog.catalog().await.map_err(|error| Failure::from(Error::from(error)))?;
    let token = token.expose();
    print(&format!("\nThe token of the account {DEFAULT_ACCOUNT}, shown this once:\n\n    {token}\n\n"))?;
    let named = ["flights"].into_iter().find(|name| catalog.datasets.contains_key(*name));
    let Some(dataset) = named.or_else(|| catalog.datasets.keys().next().map(String::as_str)) else {
        return print("The catalog has no data sets yet.\n");
    };
    print(&format!(
        "Ask, look, collect:\n\n\
         JOB=$(curl -s -u {token}: -H 'Content-Type: application/json' -d '{{\"kind\": \"query\", \"dataset\": \"{dataset}\", \
         \"format\": \"csv\", \"limit\": 1000}}' {url}/v1/jobs | sed 's/.*\"job_id\":\"\\([^\"]*\\)\".*/\\1/')\n\
         curl -s -u {token}: \"{url}/v1/jobs/$JOB?wait=30\"\n\
         curl -sL -u {token}: -o {dataset}.csv \"{url}/v1/jobs/$JOB/download\"\n\n"
    ))
}

/// Workers, notifier and sweeper, on threads of their own that give way to those that answer requests. The engine's threads are
/// theirs, so they give way too.
struct Work {
    runtime: Option<Runtime>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Work {
    fn start(host: &Arc<Host>, workers: usize, shutdown: &CancellationToken) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("willcall-work")
            .on_thread_start(give_way)
            .enable_all()
            .build()
            .map_err(|error| Failure::caused(Exit::Failed, "cannot start workers", &error))?;
        let (worker, notifier, sweeper) = (Arc::clone(host), Arc::clone(host), Arc::clone(host));
        let [stop_work, stop_notify, stop_sweep] = [(); 3].map(|()| shutdown.clone());
        let tasks = vec![
            runtime.spawn(async move { worker.work(workers, stop_work).await }),
            runtime.spawn(async move { notifier.notify(stop_notify).await }),
            runtime.spawn(async move { sweeper.sweep(stop_sweep).await }),
        ];
        Ok(Self { runtime: Some(runtime), tasks })
    }

    /// Resolves once all jobs are handed back.
    async fn stopped(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            // A task that panicked has said so in the log.
            let _ = task.await;
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Waiting is not allowed here, and there is nothing to wait for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of the calling thread and of those that it starts. Where the system refuses, all are equal.
fn give_way() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);
}
