//! The catalog of one box follows its file and its data sets, and does not fall with them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tempfile::TempDir;
use willcall_conformance::samples::START;
use willcall_core::{
    catalog::{Catalog, CatalogFileError, Column, ColumnType, DatasetFacts, DatasetSource, Statistics},
    ports::{CatalogSource, DatasetInspector, InspectError, ManualClock},
};
use willcall_embedded::FileCatalog;

/// A version, and the columns unless the files cannot be read.
type FakeSet = (u32, Result<Vec<&'static str>, Broken>);

/// What is wrong with a data set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// Its directory cannot be listed.
    Unlisted,
    /// A file of it cannot be read.
    Torn,
    /// Its files do not fit together.
    Mismatch,
}

/// Data sets by the last part of their location: the version and the columns, or that they cannot be read.
#[derive(Default)]
struct FakeInspector {
    sets: Mutex<BTreeMap<String, FakeSet>>,
    versions: AtomicUsize,
    inspections: AtomicUsize,
    /// How often `a` seems to be gone before it is found.
    vanishes: AtomicUsize,
    /// Taken for writing, it makes every look slow.
    gate: tokio::sync::RwLock<()>,
}

impl FakeInspector {
    fn set(&self, name: &str, version: u32, columns: Result<Vec<&'static str>, Broken>) {
        self.sets.lock().unwrap().insert(name.into(), (version, columns));
    }

    fn find(&self, source: &DatasetSource) -> Result<FakeSet, InspectError> {
        let name = source.location.rsplit('/').next().unwrap();
        let vanishes = |left: usize| if name == "a" { left.checked_sub(1) } else { None };
        let gone = self.vanishes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, vanishes).is_ok();
        let found = self.sets.lock().unwrap().get(name).filter(|_| !gone).cloned();
        found.ok_or_else(|| InspectError::Missing { location: source.location.clone() })
    }
}

#[async_trait]
impl DatasetInspector for FakeInspector {
    async fn version(&self, source: &DatasetSource) -> Result<String, InspectError> {
        self.versions.fetch_add(1, Ordering::SeqCst);
        let _open = self.gate.read().await;
        match self.find(source)? {
            (_, Err(Broken::Unlisted)) => Err(InspectError::Unreadable {
                location: source.location.clone(),
                source: "too many open files".into(),
            }),
            (version, _) => Ok(version.to_string()),
        }
    }

    async fn inspect(&self, source: &DatasetSource) -> Result<DatasetFacts, InspectError> {
        self.inspections.fetch_add(1, Ordering::SeqCst);
        let (version, columns) = self.find(source)?;
        let location = source.location.clone();
        let columns = columns.map_err(|broken| match broken {
            Broken::Unlisted | Broken::Torn => {
                InspectError::Unreadable { location, source: "the footer is torn".into() }
            }
            Broken::Mismatch => InspectError::Mismatch { location, detail: "x is text here".into() },
        })?;
        let column = |name: &str| Column { name: name.into(), data_type: ColumnType::Text, nullable: true };
        let statistics = columns.contains(&"told").then(Statistics::default);
        Ok(DatasetFacts {
            columns: columns.into_iter().map(column).collect(),
            records: Some(1),
            bytes: 1,
            files: 1,
            version: version.to_string(),
            updated: None,
            statistics,
        })
    }
}

struct Set {
    _dir: TempDir,
    path: PathBuf,
    inspector: Arc<FakeInspector>,
    clock: Arc<ManualClock>,
}

const TWO: &str =
    "[datasets.a]\npath = 'a'\n[datasets.a.views.v]\nfields = ['x']\n[datasets.b]\npath = 'b'\n";

fn set(text: &str) -> Set {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("willcall.toml");
    fs::write(&path, text).unwrap();
    let inspector = Arc::new(FakeInspector::default());
    inspector.set("a", 1, Ok(vec!["x", "y"]));
    inspector.set("b", 1, Ok(vec!["z"]));
    Set { _dir: dir, path, inspector, clock: Arc::new(ManualClock::new(START)) }
}

impl Set {
    async fn open(&self) -> Result<FileCatalog, CatalogFileError> {
        FileCatalog::open(&self.path, Arc::clone(&self.inspector) as _, Arc::clone(&self.clock) as _).await
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn inspections(&self) -> usize {
        self.inspector.inspections.load(Ordering::SeqCst)
    }

    fn versions(&self) -> usize {
        self.inspector.versions.load(Ordering::SeqCst)
    }
}

fn names(catalog: &Catalog) -> Vec<&str> {
    catalog.datasets.keys().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn what_did_not_change_is_not_read_again() {
    let set = set(TWO);
    let catalog = set.open().await.unwrap();
    let first = catalog.catalog().await.unwrap();
    assert_eq!(first.datasets["a"].views["v"].fields, ["x"]);
    set.pass(5);
    assert!(Arc::ptr_eq(&first, &catalog.catalog().await.unwrap()));
    assert_eq!(set.inspections(), 2);
    set.inspector.set("a", 2, Ok(vec!["x", "new"]));
    assert!(Arc::ptr_eq(&first, &catalog.catalog().await.unwrap()), "within the second nothing is looked at");
    set.pass(1);
    let second = catalog.catalog().await.unwrap();
    assert!(second.datasets["a"].column("new").is_some());
    assert_eq!(set.inspections(), 3, "only what changed is read");
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_share_one_look() {
    let set = set(TWO);
    let catalog = Arc::new(set.open().await.unwrap());
    set.pass(2);
    let before = set.versions();
    let asks = (0..32).map(|_| {
        let catalog = Arc::clone(&catalog);
        tokio::spawn(async move { catalog.catalog().await.is_ok() })
    });
    assert!(futures::future::join_all(asks).await.into_iter().all(|ok| ok.unwrap()));
    assert_eq!(set.versions() - before, 2, "one look at two data sets");
}

#[tokio::test(start_paused = true)]
async fn a_data_set_that_cannot_be_read_leaves_the_others() {
    let set = set(TWO);
    set.inspector.set("a", 1, Err(Broken::Torn));
    let catalog = set.open().await.unwrap();
    assert_eq!(names(&catalog.catalog().await.unwrap()), ["b"]);
    let problems = catalog.problems();
    assert_eq!((problems.len(), problems[0].place.as_str()), (1, "datasets.a"));
    assert!(problems[0].detail.contains("the footer is torn"), "{problems:?}");
    set.inspector.set("a", 1, Ok(vec!["x"]));
    set.pass(11);
    assert_eq!(names(&catalog.catalog().await.unwrap()), ["a", "b"], "mended without a new version");
    assert!(catalog.problems().is_empty());
    set.inspector.sets.lock().unwrap().remove("b");
    set.pass(2);
    assert_eq!(names(&catalog.catalog().await.unwrap()), ["a"]);
    assert!(catalog.problems()[0].detail.contains("no file of a data set here"));
}

#[tokio::test(start_paused = true)]
async fn a_view_of_a_missing_column_is_left_out_and_told() {
    let text = TWO.replace("['x']", "['x', 'nope']") + "[datasets.b.views.w]\nfields = ['z']\n";
    let set = set(&text);
    let catalog = set.open().await.unwrap();
    let found = catalog.catalog().await.unwrap();
    assert!(found.datasets["a"].views.is_empty() && found.datasets["b"].views.contains_key("w"));
    let problem = &catalog.problems()[0];
    assert_eq!(problem.place, "datasets.a.views.v");
    assert!(problem.detail.contains("no column \"nope\""), "{problem:?}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_this_host_has_no_place_for_is_refused_at_once() {
    let upstream = |header: &str| {
        format!("[upstreams.enrich]\nurl = 'https://api.test/'\nheaders = {{ x-key = {header} }}\n")
    };
    let error = set(&upstream("{ secret = 'enrich#key' }")).open().await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("upstreams.enrich.headers.x-key: one box has no store of secrets"), "{error}");
    assert!(set(&upstream("{ env = 'KEY' }")).open().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_broken_file_keeps_the_last_good_catalog_but_stops_a_start() {
    let set = set(TWO);
    let catalog = set.open().await.unwrap();
    let good = catalog.catalog().await.unwrap();
    for broken in ["[[", "[datasets.c]\npth = 'x'"] {
        fs::write(&set.path, broken).unwrap();
        set.pass(2);
        assert_eq!(catalog.catalog().await.unwrap(), good);
        assert!(catalog.problems()[0].detail.contains("the last good catalog is used"));
        assert!(set.open().await.is_err());
    }
    fs::remove_file(&set.path).unwrap();
    set.pass(2);
    assert_eq!(catalog.catalog().await.unwrap(), good);
    fs::write(&set.path, "[datasets.b]\npath = 'b'\n").unwrap();
    set.pass(2);
    assert_eq!(catalog.catalog().await.unwrap().datasets.len(), 1);
    assert!(catalog.problems().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_back_does_not_freeze_the_catalog() {
    let set = set(TWO);
    let catalog = set.open().await.unwrap();
    set.clock.set(START.minus(Duration::from_secs(86_400)));
    set.inspector.set("b", 2, Ok(vec!["after"]));
    assert!(catalog.catalog().await.unwrap().datasets["b"].column("after").is_some());
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_takes_nothing_that_was_known_along() {
    let set = set(TWO);
    let catalog = set.open().await.unwrap();
    let first = catalog.catalog().await.unwrap();
    set.pass(2);
    {
        let _slow = set.inspector.gate.write().await;
        let ask = tokio::time::timeout(Duration::from_millis(100), catalog.catalog());
        assert!(ask.await.is_err(), "it hung up while it waited");
    }
    assert!(Arc::ptr_eq(&first, &catalog.catalog().await.unwrap()));
    set.pass(2);
    assert!(Arc::ptr_eq(&first, &catalog.catalog().await.unwrap()));
    assert_eq!(set.inspections(), 2, "nothing had to be read again");
}

#[tokio::test(start_paused = true)]
async fn while_a_look_is_slow_the_last_catalog_is_served() {
    let set = set(TWO);
    let catalog = set.open().await.unwrap();
    let first = catalog.catalog().await.unwrap();
    set.inspector.set("b", 2, Ok(vec!["new"]));
    set.pass(2);
    let slow = set.inspector.gate.write().await;
    let (versions, begun) = (set.versions(), tokio::time::Instant::now());
    assert!(Arc::ptr_eq(&first, &catalog.catalog().await.unwrap()));
    let waited = begun.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(1)).contains(&waited), "{waited:?}");
    set.pass(60);
    for _ in 0..10 {
        assert!(Arc::ptr_eq(&first, &catalog.catalog().await.unwrap()));
    }
    assert_eq!(begun.elapsed(), waited, "the others do not wait for it once more");
    assert_eq!(set.versions() - versions, 2, "no second look is begun");
    drop(slow);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(catalog.catalog().await.unwrap().datasets["b"].column("new").is_some());
    assert_eq!(set.versions() - versions, 2, "the slow look was finished, not begun anew");
}

#[tokio::test(start_paused = true)]
async fn a_known_data_set_outlives_failures_that_may_pass() {
    for (version, broken, words) in [
        (1, Broken::Unlisted, "too many open files"),
        (2, Broken::Torn, "the footer is torn"),
        (2, Broken::Mismatch, "x is text here"),
    ] {
        let set = set(TWO);
        let catalog = set.open().await.unwrap();
        let first = catalog.catalog().await.unwrap();
        set.inspector.set("a", version, Err(broken));
        for _ in 0..3 {
            set.pass(60);
            assert!(Arc::ptr_eq(&first, &catalog.catalog().await.unwrap()));
            let problems = catalog.problems();
            assert_eq!((problems.len(), problems[0].place.as_str()), (1, "datasets.a"));
            let detail = &problems[0].detail;
            assert!(detail.contains("what was known before is used") && detail.contains(words), "{detail}");
        }
        set.inspector.set("a", 3, Ok(vec!["x", "new"]));
        set.pass(2);
        assert!(catalog.catalog().await.unwrap().datasets["a"].column("new").is_some());
        assert!(catalog.problems().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn of_files_that_were_replaced_no_values_are_told() {
    let set = set(TWO);
    set.inspector.set("a", 1, Ok(vec!["told"]));
    let catalog = set.open().await.unwrap();
    let mut steps = Vec::new();
    for (version, now) in [
        (1, Err(Broken::Unlisted)),
        (2, Err(Broken::Torn)),
        // A listing that fails says nothing of the files: those of the old version are gone as before.
        (2, Err(Broken::Unlisted)),
        (2, Err(Broken::Unlisted)),
        (1, Ok(vec!["told"])),
        (3, Ok(vec!["silent"])),
    ] {
        set.inspector.set("a", version, now);
        set.pass(60);
        let facts = catalog.catalog().await.unwrap().datasets["a"].facts.clone();
        steps.push((facts.version, facts.statistics.is_some()));
    }
    let step = |version: &str, told| (version.to_owned(), told);
    let replaced = || step("1", false);
    let told = || step("1", true);
    assert_eq!(steps, [told(), replaced(), replaced(), replaced(), told(), step("3", false)]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_could_not_be_read_is_tried_again_soon_but_not_at_every_look() {
    let set = set(TWO);
    let catalog = set.open().await.unwrap();
    set.inspector.set("a", 2, Err(Broken::Torn));
    set.pass(2);
    catalog.catalog().await.unwrap();
    assert_eq!(set.inspections(), 3);
    set.pass(1);
    catalog.catalog().await.unwrap();
    assert_eq!(set.inspections(), 3);
    set.inspector.set("a", 2, Ok(vec!["x", "new"]));
    set.pass(1);
    assert!(catalog.catalog().await.unwrap().datasets["a"].column("new").is_some());
    assert_eq!(set.inspections(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_or_not_listed_any_more_is_forgotten() {
    let set = set(TWO);
    let catalog = set.open().await.unwrap();
    set.inspector.sets.lock().unwrap().remove("b");
    set.pass(2);
    assert_eq!(names(&catalog.catalog().await.unwrap()), ["a"], "there is nothing at its path");
    set.inspector.set("b", 2, Err(Broken::Torn));
    set.pass(2);
    assert_eq!(names(&catalog.catalog().await.unwrap()), ["a"]);

    set.inspector.set("elsewhere", 1, Err(Broken::Torn));
    fs::write(&set.path, "[datasets.a]\npath = 'elsewhere'\n").unwrap();
    set.pass(2);
    assert!(names(&catalog.catalog().await.unwrap()).is_empty(), "what another path held says nothing");
    fs::write(&set.path, "").unwrap();
    set.pass(2);
    assert!(names(&catalog.catalog().await.unwrap()).is_empty());
    assert!(catalog.problems().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_goes_during_a_listing_does_not_take_its_data_set_along() {
    let set = set(TWO);
    let catalog = set.open().await.unwrap();
    let first = catalog.catalog().await.unwrap();
    set.inspector.vanishes.store(1, Ordering::SeqCst);
    set.pass(2);
    assert!(Arc::ptr_eq(&first, &catalog.catalog().await.unwrap()));
    assert_eq!(set.inspector.vanishes.load(Ordering::SeqCst), 0, "it did seem to be gone");
    set.inspector.set("a", 2, Ok(vec!["x", "new"]));
    set.inspector.vanishes.store(2, Ordering::SeqCst);
    set.pass(2);
    assert_eq!(names(&catalog.catalog().await.unwrap()), ["b"]);
    set.pass(2);
    assert!(catalog.catalog().await.unwrap().datasets["a"].column("new").is_some());
}
