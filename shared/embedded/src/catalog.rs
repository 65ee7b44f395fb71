//! The catalog of one box: `willcall.toml` and what the data sets' files say, looked at anew when either changed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use willcall_core::{
    Timestamp,
    catalog::{Catalog, CatalogFile, CatalogFileError, Dataset, DatasetEntry, DatasetFacts, View},
    ports::{CatalogError, CatalogSource, Clock, DatasetInspector},
};

/// For how long the catalog is not looked at again.
const FRESH: Duration = Duration::from_secs(1);
/// After how long a data set that could not be read is tried again though its version is the same.
const RETRY: Duration = Duration::from_secs(10);
/// Data sets that are looked at at the same time.
const AT_ONCE: usize = 8;

/// The catalog from a file.
pub struct FileCatalog {
    path: PathBuf,
    inspector: Arc<dyn DatasetInspector>,
    clock: Arc<dyn Clock>,
    /// Held while the catalog is looked at anew, so that all who ask meanwhile share the outcome.
    refresh: tokio::sync::Mutex<Known>,
    current: Mutex<Current>,
}

/// Something in the catalog that does not work. The rest does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogProblem {
    /// Where: `datasets.flights`, `datasets.flights.views.delays`, or the file.
    pub place: String,
    /// What is wrong, for the operator.
    pub detail: String,
}

struct Current {
    looked: Timestamp,
    catalog: Arc<Catalog>,
    problems: Vec<CatalogProblem>,
}

/// What is remembered between two looks.
struct Known {
    file: CatalogFile,
    inspected: BTreeMap<String, Inspected>,
}

/// What the files of one location said, and when.
struct Inspected {
    location: String,
    version: String,
    looked: Timestamp,
    outcome: Result<DatasetFacts, String>,
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
        let now = clock.now();
        let (catalog, problems) = known.look(&*inspector, now).await;
        let current = Current { looked: now, catalog: Arc::new(catalog), problems: Vec::new() };
        let source = Self {
            path: path.to_owned(),
            inspector,
            clock,
            refresh: tokio::sync::Mutex::new(known),
            current: Mutex::new(current),
        };
        source.tell(&problems);
        source.current().problems = problems;
        Ok(source)
    }

    /// What did not work when the catalog was last looked at.
    pub fn problems(&self) -> Vec<CatalogProblem> {
        self.current().problems.clone()
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The catalog, where it was looked at a moment ago. A clock that went back makes it old.
    fn fresh(&self, now: Timestamp) -> Option<Arc<Catalog>> {
        let current = self.current();
        let fresh = current.looked <= now && now.since(current.looked) < FRESH;
        fresh.then(|| Arc::clone(&current.catalog))
    }

    /// Logs what was not logged at the last look.
    fn tell(&self, problems: &[CatalogProblem]) {
        let before = self.problems();
        for problem in problems.iter().filter(|problem| !before.contains(problem)) {
            tracing::warn!(place = %problem.place, error = %problem.detail, "part of the catalog does not work");
        }
        for mended in before.iter().filter(|problem| !problems.contains(problem)) {
            tracing::info!(place = %mended.place, "part of the catalog works again or has changed");
        }
    }
}

#[async_trait]
impl CatalogSource for FileCatalog {
    async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError> {
        if let Some(catalog) = self.fresh(self.clock.now()) {
            return Ok(catalog);
        }
        let mut known = self.refresh.lock().await;
        let now = self.clock.now();
        if let Some(catalog) = self.fresh(now) {
            return Ok(catalog);
        }
        let mut problems = Vec::new();
        match read(&self.path).await {
            Ok(file) => known.file = file,
            // The last good one serves on: a slip of the editor must not stop the service.
            Err(error) => problems.push(CatalogProblem {
                place: self.path.display().to_string(),
                detail: format!("the last good catalog is used, as {}", chain(&error)),
            }),
        }
        let (catalog, more) = known.look(&*self.inspector, now).await;
        problems.extend(more);
        self.tell(&problems);
        let mut current = self.current();
        // Readers compare catalogs by address: one that did not change stays the same one.
        if *current.catalog != catalog {
            current.catalog = Arc::new(catalog);
        }
        current.looked = now;
        current.problems = problems;
        Ok(Arc::clone(&current.catalog))
    }
}

impl Known {
    /// Looks at every data set, reading only those whose files changed.
    async fn look(
        &mut self,
        inspector: &dyn DatasetInspector,
        now: Timestamp,
    ) -> (Catalog, Vec<CatalogProblem>) {
        let entries: Vec<(String, DatasetEntry)> =
            self.file.datasets.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect();
        let mut before = std::mem::take(&mut self.inspected);
        let looks = entries.into_iter().map(move |(name, entry)| {
            let before = before.remove(&name);
            async move {
                let inspected = inspect(inspector, &entry, before, now).await;
                (name, inspected)
            }
        });
        let inspected: BTreeMap<String, Inspected> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        self.inspected = inspected;

        let mut problems = Vec::new();
        let mut datasets = BTreeMap::new();
        for (name, entry) in &self.file.datasets {
            match self.inspected.get(name).map(|inspected| &inspected.outcome) {
                Some(Ok(facts)) => {
                    let dataset = Dataset {
                        name: name.clone(),
                        description: entry.description.clone(),
                        source: entry.source.clone(),
                        views: working_views(name, entry, facts, &mut problems),
                        facts: facts.clone(),
                    };
                    datasets.insert(name.clone(), Arc::new(dataset));
                }
                Some(Err(detail)) => problems
                    .push(CatalogProblem { place: format!("datasets.{name}"), detail: detail.clone() }),
                None => {}
            }
        }
        let catalog = Catalog {
            hash: self.file.hash.clone(),
            datasets,
            plans: self.file.plans.clone(),
            default_plan: self.file.default_plan.clone(),
        };
        (catalog, problems)
    }
}

async fn inspect(
    inspector: &dyn DatasetInspector,
    entry: &DatasetEntry,
    before: Option<Inspected>,
    now: Timestamp,
) -> Inspected {
    let location = entry.source.location.clone();
    let version = match inspector.version(&entry.source).await {
        Ok(version) => version,
        Err(error) => {
            let outcome = Err(chain(&error));
            return Inspected { location, version: String::new(), looked: now, outcome };
        }
    };
    if let Some(before) = before.filter(|before| before.location == location && before.version == version) {
        let tried_just_now = before.looked <= now && now.since(before.looked) < RETRY;
        if before.outcome.is_ok() || tried_just_now {
            return before;
        }
    }
    let outcome = inspector.inspect(&entry.source).await.map_err(|error| chain(&error));
    Inspected { location, version, looked: now, outcome }
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
        let unknown =
            view.fields.iter().find(|field| !facts.columns.iter().any(|column| column.name == **field));
        let twice =
            view.fields.iter().enumerate().find(|(place, field)| view.fields[..*place].contains(field));
        let detail = match (unknown, twice) {
            (Some(field), _) => format!("there is no column {field:?} in the data set; the view is left out"),
            (None, Some((_, field))) => format!("names the column {field:?} twice; the view is left out"),
            (None, None) => {
                views.insert(name.clone(), view.clone());
                continue;
            }
        };
        problems.push(CatalogProblem { place: format!("datasets.{dataset}.views.{name}"), detail });
    }
    views
}

async fn read(path: &Path) -> Result<CatalogFile, CatalogFileError> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || CatalogFile::read(&owned)).await;
    read.unwrap_or_else(|stopped| {
        Err(CatalogFileError::Read { path: path.to_owned(), source: std::io::Error::other(stopped) })
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
