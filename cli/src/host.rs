//! One box: the adapters over a data directory, wired to use cases, routes, engine and workers.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio_util::sync::CancellationToken;
use willcall_core::{
    JobRef,
    catalog::CatalogFile,
    ports::{
        Accounts, CatalogSource, Clock, DataFiles, DatasetInspector, EnvironmentSecrets, ExecutorByKind,
        Notice, SignedFiles, SystemClock,
    },
    usecases::{
        App, Notifier, Settings,
        accounts::Registry,
        sweep::sweep,
        webhooks::{notify, sweep_notices, take_up},
        work::{Disposition, LeaseSettings, Worker, work},
    },
    webhook::AllowList,
};
use willcall_embedded::{
    Database, Embedded, EmbeddedConfig, FileCatalog, Handled, InProcessNotices, OpenError, SqliteAccounts,
    SqliteJobQueue, run_notifier, run_sweeper, run_workers,
};
use willcall_engine::{Engine, EngineConfig, ParquetInspector};
use willcall_sql::{SqlConfig, SqlExecutor};
use willcall_upstream::UpstreamExecutor;
use willcall_webhook::{HttpSender, SealingVault};

use crate::{
    args::Global,
    data_files::data_files,
    failure::{Exit, Failure, chain},
};

/// Where the server listens unless told otherwise; also the base of links that no server has made.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8787";
/// The file in the data directory that says where its server is.
const ADDRESS_FILE: &str = "address";
/// Where sorts put aside what does not fit into memory, in the data directory.
const SPILL_DIR: &str = "spill";
/// How many lost workers a job survives. On one box they are lost when the process is killed, which is not the job's
/// fault.
const MAX_LOST: u32 = 30;
/// After how long calls make way for jobs that wait.
const SLICE: Duration = Duration::from_secs(60);
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long workers may take to hand their jobs back. The engine stops within a second or so.
const HAND_BACK: Duration = Duration::from_secs(15);
/// Webhooks that are sent at once.
const SENT_AT_ONCE: usize = 32;
/// How long those under way may take once the server stops: they are sent again at the next start, with the same id.
const LAST_DELIVERIES: Duration = Duration::from_secs(3);

/// The wired parts of one box.
pub(crate) struct Host {
    pub(crate) app: App,
    files: Arc<dyn SignedFiles>,
    data: Arc<dyn DataFiles>,
    queue: SqliteJobQueue,
    notices: InProcessNotices,
    data_dir: PathBuf,
}

impl Host {
    /// Opens the data directory, which is this process's alone from now on, and the catalog.
    pub(crate) async fn open(global: &Global, public_url: &str) -> Result<Self, Failure> {
        let data = data_files(&catalog_path(global)?)?;
        let catalog = open_catalog(global, Arc::clone(&data)).await?;
        let allow = webhooks_allowed(global)?;
        let data_dir = std::path::absolute(&global.data_dir).unwrap_or_else(|_| global.data_dir.clone());
        let embedded = Embedded::open(&data_dir, EmbeddedConfig::default())
            .await
            .map_err(|error| not_opened(&data_dir, &error))?;
        // What the sorts of a dead process put aside; where it cannot be removed, new ones do not mind it.
        let _ = std::fs::remove_dir_all(data_dir.join(SPILL_DIR));
        let parts = embedded.app_parts();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let notifier = Notifier {
            store: parts.webhooks,
            queue: parts.notices,
            sender: Arc::new(HttpSender::new(allow)),
            vault: Arc::new(SealingVault::new(embedded.webhook_key())),
            clock: Arc::clone(&clock),
        };
        let app = App {
            jobs: parts.jobs,
            queue: parts.queue,
            blobs: parts.blobs,
            accounts: parts.accounts,
            catalog,
            signals: parts.signals,
            notifier,
            clock,
            settings: Settings {
                public_url: public_url.to_owned(),
                max_wait: Duration::from_secs(60),
                default_sync_wait: Duration::from_secs(50),
                max_sync_wait: Duration::from_secs(50),
                inline_limit: None,
            },
        };
        Ok(Self {
            app,
            files: parts.files,
            data,
            queue: embedded.queue(),
            notices: embedded.notices(),
            data_dir,
        })
    }

    /// The whole API.
    pub(crate) fn routes(&self) -> Router {
        willcall_http::all_routes(self.app.clone(), Some(Arc::clone(&self.files)))
    }

    /// Does the jobs' work until `shutdown`, with `workers` jobs at a time. Returns once all are handed back.
    pub(crate) async fn work(&self, workers: usize, shutdown: CancellationToken) {
        let worker = Worker {
            app: self.app.clone(),
            executor: Arc::new(self.executor()),
            lease: LeaseSettings { max_lost: MAX_LOST, slice: Some(SLICE), ..LeaseSettings::default() },
        };
        let handler = move |job: JobRef, shutdown: CancellationToken| {
            let worker = worker.clone();
            async move { handled(work(&worker, &job, &shutdown).await) }
        };
        run_workers(self.queue.clone(), workers, handler, shutdown, HAND_BACK).await;
    }

    /// What carries work out: the engine over this disk and S3, and calls of upstreams with secrets from the environment.
    fn executor(&self) -> ExecutorByKind {
        let config = EngineConfig::new(self.data_dir.join(SPILL_DIR));
        let caller = UpstreamExecutor::new(Arc::new(EnvironmentSecrets), Arc::clone(&self.app.clock));
        let sql = SqlExecutor::new(config.clone(), SqlConfig::new(), Arc::clone(&self.data));
        ExecutorByKind {
            engine: Arc::new(Engine::new(config, Arc::clone(&self.data))),
            caller: Arc::new(caller),
            sql: Arc::new(sql),
        }
    }

    /// Tells those who are to be told until `shutdown`, beginning with what the last process left.
    pub(crate) async fn notify(&self, shutdown: CancellationToken) {
        let notifier = self.app.notifier.clone();
        match take_up(&notifier).await {
            Ok(0) => {}
            Ok(notices) => tracing::info!(notices, "took up notices that the last run left"),
            Err(error) => {
                tracing::error!(error = chain(&error), "failed to take up notices, the sweeper will")
            }
        }
        let handler = move |notice: Notice| {
            let notifier = notifier.clone();
            async move { handled(notify(&notifier, &notice).await) }
        };
        run_notifier(self.notices.clone(), SENT_AT_ONCE, handler, shutdown, LAST_DELIVERIES).await;
    }

    /// Sweeps until `shutdown`.
    pub(crate) async fn sweep(&self, shutdown: CancellationToken) {
        let app = self.app.clone();
        let once = move || {
            let app = app.clone();
            async move {
                match sweep(&app).await {
                    Ok(swept) if swept == Default::default() => {}
                    Ok(swept) => tracing::info!(?swept, "swept"),
                    Err(error) => tracing::error!(error = chain(&error), "failed to sweep"),
                }
                match sweep_notices(&app.notifier).await {
                    Ok(swept) if swept == Default::default() => {}
                    Ok(swept) => tracing::info!(?swept, "swept notices"),
                    Err(error) => tracing::error!(error = chain(&error), "failed to sweep notices"),
                }
            }
        };
        run_sweeper(SWEEP_EVERY, once, shutdown).await;
    }

    /// Leaves word in the data directory of where its server is.
    pub(crate) fn leave_address(&self, url: &str) {
        // Only hints depend on it.
        let _ = write_whole(&self.data_dir.join(ADDRESS_FILE), &format!("{url}\n"));
    }

    /// Takes that word back.
    pub(crate) fn remove_address(&self) {
        let _ = std::fs::remove_file(self.data_dir.join(ADDRESS_FILE));
    }
}

fn handled(disposition: Disposition) -> Handled {
    match disposition {
        Disposition::Done => Handled::Done,
        Disposition::RetryAfter(after) => Handled::RetryAfter(after),
        Disposition::Leave => Handled::Leave,
    }
}

/// What the operator lets webhooks reach beside the public internet.
fn webhooks_allowed(global: &Global) -> Result<AllowList, Failure> {
    CatalogFile::read(&catalog_path(global)?)
        .map(|file| file.webhooks)
        .map_err(|error| Failure::new(Exit::Usage, chain(&error)))
}

/// What accounts and tokens are kept with. It works beside a running server: the database takes a second process,
/// and jobs and results are left alone.
pub(crate) async fn open_registry(global: &Global) -> Result<Registry, Failure> {
    let data = data_files(&catalog_path(global)?)?;
    let catalog = open_catalog(global, data).await?;
    let data_dir = &global.data_dir;
    make_private(data_dir).map_err(|error| {
        Failure::caused(Exit::Failed, format!("cannot use {}", data_dir.display()), &error)
    })?;
    let path = data_dir.join("willcall.db");
    let opened = tokio::task::spawn_blocking(move || Database::open(&path)).await;
    let database = opened
        .map_err(|error| Failure::caused(Exit::Failed, "cannot open the database", &error))?
        .map_err(|error| Failure::new(Exit::Failed, chain(&error)))?;
    let accounts: Arc<dyn Accounts> = Arc::new(SqliteAccounts::new(Arc::new(database)));
    Ok(Registry { accounts, catalog, clock: Arc::new(SystemClock) })
}

/// Writes a file in one step, so that whoever waits for it never reads half. It is this user's alone.
pub(crate) fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Where the catalog is: as told, else here, else the example.
pub(crate) fn catalog_path(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(path) = &global.catalog {
        return Ok(path.clone());
    }
    let usual = ["willcall.toml", "examples/willcall.toml"];
    usual.into_iter().map(PathBuf::from).find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(Exit::Usage, "there is no catalog: neither willcall.toml nor examples/willcall.toml is here")
            .advice("name one with --catalog, or a server with --server; examples/willcall.toml shows how one is written")
    })
}

async fn open_catalog(global: &Global, data: Arc<dyn DataFiles>) -> Result<Arc<dyn CatalogSource>, Failure> {
    let path = catalog_path(global)?;
    let inspector: Arc<dyn DatasetInspector> = Arc::new(ParquetInspector::new(data));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    match FileCatalog::open(&path, inspector, clock).await {
        Ok(catalog) => Ok(Arc::new(catalog)),
        Err(error) => Err(Failure::new(Exit::Usage, chain(&error))),
    }
}

fn not_opened(data_dir: &Path, error: &OpenError) -> Failure {
    let OpenError::InUse { .. } = error else { return Failure::new(Exit::Failed, chain(error)) };
    let failure =
        Failure::new(Exit::Unavailable, format!("{} is in use by another willcall", data_dir.display()));
    match std::fs::read_to_string(data_dir.join(ADDRESS_FILE)) {
        Ok(url) => failure.advice(format!("ask its server, with a token of it: --server {}", url.trim())),
        Err(_) => {
            failure.advice("wait until it has ended, ask its server with --server, or use another --data-dir")
        }
    }
}
