//! The catalog of one box: `willcall.toml` and what the data sets' files say, looked at anew when either changed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use tokio::{sync::watch, time::Instant};
use willcall_core::{
    Timestamp,
    catalog::{
        Catalog, CatalogFile, CatalogFileError, Dataset, DatasetEntry, DatasetFacts, DatasetSource,
        HeaderSource, SecretRef, View,
    },
    ports::{CatalogError, CatalogSource, Clock, DatasetInspector, InspectError},
};

/// For how long the catalog is not looked at again.
const FRESH: Duration = Duration::from_secs(1);
/// How long those who ask wait for a look that is under way before they get what was known before it.
const PATIENCE: Duration = Duration::from_millis(500);
/// After how long files that could not be read are tried again though their version is the same.
const RETRY: Duration = Duration::from_secs(2);
/// The same for files that could be read and do not fit together: that seldom passes without a new version.
const RETRY_MISMATCH: Duration = Duration::from_secs(10);
/// Data sets that are looked at at the same time.
const AT_ONCE: usize = 8;

/// The catalog from a file.
pub struct FileCatalog {
    shared: Arc<Shared>,
}

/// What those who ask share with the task that looks.
struct Shared {
    path: PathBuf,
    inspector: Arc<dyn DatasetInspector>,
    clock: Arc<dyn Clock>,
    /// Held by the one task that looks.
    known: tokio::sync::Mutex<Known>,
    state: Mutex<State>,
}

/// Something in the catalog that does not work. The rest does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogProblem {
    /// Where: `datasets.flights`, `datasets.flights.views.delays`, or the file.
    pub place: String,
    /// What is wrong, for the operator.
    pub detail: String,
}

struct State {
    looked: Timestamp,
    catalog: Arc<Catalog>,
    problems: Vec<CatalogProblem>,
    look: Option<Look>,
}

/// A look that was begun. It is over once the sender is gone, however the task ended.
#[derive(Clone)]
struct Look {
    over: watch::Receiver<()>,
    /// Until when those who ask wait for it.
    until: Instant,
}

/// What is remembered between two looks.
struct Known {
    file: CatalogFile,
    inspected: BTreeMap<String, Arc<Inspected>>,
}

/// What the files of one source said.
struct Inspected {
    source: DatasetSource,
    /// What they said when they could last be read.
    facts: Option<DatasetFacts>,
    /// The version that they were last known to have, whether they could be read or not.
    newest: Option<String>,
    failure: Option<Failure>,
}

impl Inspected {
    /// What was known, without what it says of values where the files are known to be others now.
    fn told(&self, facts: &DatasetFacts) -> DatasetFacts {
        let mut told = facts.clone();
        if self.newest.as_ref().is_some_and(|newest| *newest != facts.version) {
            told.statistics = None;
        }
        told
    }
}

/// Why they could not be read the last time.
struct Failure {
    /// Of the files that could not be read, where at least that was known.
    version: Option<String>,
    looked: Timestamp,
    retry: Duration,
    detail: String,
}

impl FileCatalog {
    /// Reads the catalog. A file that is wrong is an error here; data sets that cannot be read are left out, and told
    /// by [`Self::problems`].
    pub async fn open(
        path: &Path,
        inspector: Arc<dyn DatasetInspector>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CatalogFileError> {
        let file = read(path).await?;
        let mut known = Known { file, inspected: BTreeMap::new() };
        let (catalog, problems) = known.look(&*inspector, clock.now()).await;
        tell(&[], &problems);
        let state = State { looked: clock.now(), catalog: Arc::new(catalog), problems, look: None };
        let shared = Shared {
            path: path.to_owned(),
            inspector,
            clock,
            known: tokio::sync::Mutex::new(known),
            state: Mutex::new(state),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What did not work when the catalog was last looked at.
    pub fn problems(&self) -> Vec<CatalogProblem> {
        self.shared.state().problems.clone()
    }
}

#[async_trait]
impl CatalogSource for FileCatalog {
    async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError> {
        if let Some(mut look) = self.shared.look_unless_fresh() {
            // Nothing is ever sent: this ends with the look, or when it takes too long.
            let _ = tokio::time::timeout_at(look.until, look.over.changed()).await;
        }
        Ok(Arc::clone(&self.shared.state().catalog))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The look to wait for: the one under way, or a new one, in a task of its own as whoever asked may go away before
    /// it is over.
    fn look_unless_fresh(self: &Arc<Self>) -> Option<Look> {
        let now = self.clock.now();
        let mut state = self.state();
        // A clock that went back makes the catalog old.
        if state.looked <= now && now.since(state.looked) < FRESH {
            return None;
        }
        if let Some(look) = state.look.as_ref().filter(|look| look.over.has_changed().is_ok()) {
            return Some(look.clone());
        }
        let (running, over) = watch::channel(());
        let look = Look { over, until: Instant::now() + PATIENCE };
        state.look = Some(look.clone());
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            shared.look().await;
            drop(running);
        });
        Some(look)
    }

    async fn look(&self) {
        let mut known = self.known.lock().await;
        let mut problems = Vec::new();
        match read(&self.path).await {
            Ok(file) => known.file = file,
            // The last good one serves on: a slip of the editor must not stop the service.
            Err(error) => problems.push(CatalogProblem {
                place: self.path.display().to_string(),
                detail: format!("the last good catalog is used, as {}", chain(&error)),
            }),
        }
        let (catalog, more) = known.look(&*self.inspector, self.clock.now()).await;
        problems.extend(more);
        let mut state = self.state();
        tell(&state.problems, &problems);
        // Readers compare catalogs by address: one that did not change stays the same one.
        if *state.catalog != catalog {
            state.catalog = Arc::new(catalog);
        }
        // From the end on, so that slow looks do not follow each other without a pause.
        state.looked = self.clock.now();
        state.problems = problems;
    }
}

/// Logs what was not logged at the last look.
fn tell(before: &[CatalogProblem], problems: &[CatalogProblem]) {
    for problem in problems.iter().filter(|problem| !before.contains(problem)) {
        tracing::warn!(place = %problem.place, error = %problem.detail, "part of the catalog does not work");
    }
    for mended in before.iter().filter(|problem| !problems.contains(problem)) {
        tracing::info!(place = %mended.place, "part of the catalog works again or has changed");
    }
}

impl Known {
    /// Looks at every data set, reading only those whose files changed. What was known stays until the look is over.
    async fn look(
        &mut self,
        inspector: &dyn DatasetInspector,
        now: Timestamp,
    ) -> (Catalog, Vec<CatalogProblem>) {
        let entries: Vec<(String, DatasetEntry, Option<Arc<Inspected>>)> = self
            .file
            .datasets
            .iter()
            .map(|(name, entry)| (name.clone(), entry.clone(), self.inspected.get(name).cloned()))
            .collect();
        let looks = entries.into_iter().map(move |(name, entry, before)| async move {
            let inspected = inspect(inspector, &entry, before, now).await;
            (name, inspected)
        });
        self.inspected = stream::iter(looks).buffered(AT_ONCE).collect().await;

        let mut problems = Vec::new();
        let mut datasets = BTreeMap::new();
        for (name, entry) in &self.file.datasets {
            let Some(inspected) = self.inspected.get(name) else { continue };
            if let Some(failure) = &inspected.failure {
                let detail = match inspected.facts {
                    Some(_) => format!("what was known before is used, as {}", failure.detail),
                    None => failure.detail.clone(),
                };
                problems.push(CatalogProblem { place: format!("datasets.{name}"), detail });
            }
            if let Some(facts) = &inspected.facts {
                let dataset = Dataset {
                    name: name.clone(),
                    description: entry.description.clone(),
                    source: entry.source.clone(),
                    views: working_views(name, entry, facts, &mut problems),
                    facts: inspected.told(facts),
                };
                datasets.insert(name.clone(), Arc::new(dataset));
            }
        }
        let catalog = Catalog {
            hash: self.file.hash.clone(),
            datasets,
            upstreams: self.file.upstreams.clone(),
            plans: self.file.plans.clone(),
            default_plan: self.file.default_plan.clone(),
        };
        (catalog, problems)
    }
}

/// Looks once more where a data set that was known seems to be gone: a file that goes while its directory is listed looks
/// the same.
async fn inspect(
    inspector: &dyn DatasetInspector,
    entry: &DatasetEntry,
    before: Option<Arc<Inspected>>,
    now: Timestamp,
) -> Arc<Inspected> {
    let before = before.filter(|before| before.source == entry.source);
    let inspected = inspect_once(inspector, entry, before.clone(), now).await;
    let was_known = before.as_ref().is_some_and(|before| before.facts.is_some());
    match was_known && inspected.facts.is_none() {
        true => inspect_once(inspector, entry, before, now).await,
        false => inspected,
    }
}

/// A failure may pass, and jobs meet the truth when they read the files: what was known stays, unless there is nothing
/// at the location any more.
async fn inspect_once(
    inspector: &dyn DatasetInspector,
    entry: &DatasetEntry,
    before: Option<Arc<Inspected>>,
    now: Timestamp,
) -> Arc<Inspected> {
    let source = entry.source.clone();
    let known = || before.as_ref().and_then(|before| before.facts.clone());
    let was_newest = || before.as_ref().and_then(|before| before.newest.clone());
    let failed = |error: InspectError, version: Option<String>, source| {
        let newest = version.clone().or_else(was_newest);
        let (facts, retry) = match &error {
            InspectError::Missing { .. } => (None, RETRY),
            InspectError::Unreadable { .. } => (known(), RETRY),
            InspectError::Mismatch { .. } => (known(), RETRY_MISMATCH),
        };
        let failure = Failure { version, looked: now, retry, detail: chain(&error) };
        Arc::new(Inspected { source, facts, newest, failure: Some(failure) })
    };
    let found = |facts: DatasetFacts, source| {
        let newest = Some(facts.version.clone());
        Arc::new(Inspected { source, facts: Some(facts), newest, failure: None })
    };
    let version = match inspector.version(&entry.source).await {
        Ok(version) => version,
        Err(error) => return failed(error, None, source),
    };
    if let Some(facts) = known().filter(|facts| facts.version == version) {
        return found(facts, source);
    }
    if let Some(before) = &before
        && let Some(failure) = &before.failure
        && failure.version.as_ref() == Some(&version)
        && failure.looked <= now
        && now.since(failure.looked) < failure.retry
    {
        return Arc::clone(before);
    }
    match inspector.inspect(&entry.source).await {
        Ok(facts) => found(facts, source),
        Err(error) => failed(error, Some(version), source),
    }
}

/// The views whose fields are there. One that is wrong takes neither the others nor its data set down.
fn working_views(
    dataset: &str,
    entry: &DatasetEntry,
    facts: &DatasetFacts,
    problems: &mut Vec<CatalogProblem>,
) -> BTreeMap<String, View> {
    let mut views = BTreeMap::new();
    for (name, view) in &entry.views {
        let Err(detail) = view.fits(&facts.columns) else {
            views.insert(name.clone(), view.clone());
            continue;
        };
        let detail = format!("{detail}; the view is left out");
        problems.push(CatalogProblem { place: format!("datasets.{dataset}.views.{name}"), detail });
    }
    views
}

async fn read(path: &Path) -> Result<CatalogFile, CatalogFileError> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || CatalogFile::read(&owned)).await;
    let file = read.unwrap_or_else(|stopped| {
        Err(CatalogFileError::Read { path: path.to_owned(), source: std::io::Error::other(stopped) })
    })?;
    match stored_secret(&file) {
        Some((place, detail)) => {
            Err(CatalogFileError::Value { path: path.to_owned(), place, detail: detail.into() })
        }
        None => Ok(file),
    }
}

/// A header whose secret this host has no place for: better told now than by each job that would need it.
fn stored_secret(file: &CatalogFile) -> Option<(String, &'static str)> {
    let detail = "one box has no store of secrets: say { env = \"NAME\" }, and start it with that variable";
    file.upstreams.iter().find_map(|(upstream, entry)| {
        let stored = entry
            .headers
            .iter()
            .find(|(_, source)| matches!(source, HeaderSource::Secret { secret: SecretRef::Stored(_), .. }));
        stored.map(|(header, _)| (format!("upstreams.{upstream}.headers.{header}"), detail))
    })
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
