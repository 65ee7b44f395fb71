//! The catalog in the bucket: followed, and kept through whatever happens to it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use futures::future::join_all;
use willcall_aws::{CATALOG_KEY, S3Catalog};
use willcall_conformance::samples::START;
use willcall_core::{
    account::Plan,
    catalog::{BuiltCatalog, Catalog, Column, ColumnType, Dataset, DatasetFacts, DatasetSource},
    chain,
    ports::{CatalogSource, ManualClock},
};

use crate::{
    faulty::{Fault, Faulty},
    place::Place,
};

const DENIED: Fault = Fault::Answer(403, "<Error><Code>AccessDenied</Code></Error>");
const FAILING: Fault = Fault::Answer(500, "<Error><Code>InternalError</Code></Error>");

struct Set {
    network: Faulty,
    place: Place,
    clock: Arc<ManualClock>,
    catalog: Arc<S3Catalog>,
}

/// A catalog with one data set of one column.
pub(crate) fn built(column: &str) -> BuiltCatalog {
    let column = Column { name: column.into(), data_type: ColumnType::Text, nullable: true };
    let flights = Dataset {
        name: "flights".into(),
        description: String::new(),
        source: DatasetSource::at("s3://data/flights/"),
        views: BTreeMap::new(),
        facts: DatasetFacts {
            columns: vec![column],
            records: Some(1),
            bytes: 1,
            files: 1,
            version: "1".into(),
            updated: None,
            statistics: None,
        },
    };
    let catalog = Catalog {
        hash: "0".repeat(64),
        datasets: BTreeMap::from([("flights".to_owned(), Arc::new(flights))]),
        plans: BTreeMap::from([("free".to_owned(), Plan::default_named("free"))]),
        upstreams: BTreeMap::new(),
        default_plan: "free".into(),
    };
    BuiltCatalog { catalog, built: START }
}

async fn set() -> Set {
    let network = Faulty::new();
    let place = Place::through(SharedHttpClient::new(network.clone())).await;
    let clock = Arc::new(ManualClock::new(START));
    let catalog = Arc::new(S3Catalog::new(&place.clients, &place.name, CATALOG_KEY, Arc::clone(&clock) as _));
    Set { network, place, clock, catalog }
}

impl Set {
    async fn with(column: &str) -> Self {
        let set = set().await;
        set.build(column).await;
        set
    }

    async fn write(&self, bytes: impl Into<Vec<u8>>) {
        let put = self.place.raw_s3.put_object().bucket(&self.place.name).key(CATALOG_KEY);
        put.body(ByteStream::from(bytes.into())).send().await.unwrap();
    }

    async fn build(&self, column: &str) {
        self.write(built(column).to_json().unwrap()).await;
    }

    async fn remove(&self) {
        let delete = self.place.raw_s3.delete_object().bucket(&self.place.name).key(CATALOG_KEY);
        delete.send().await.unwrap();
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn get(&self) -> Arc<Catalog> {
        self.catalog.catalog().await.unwrap()
    }

    async fn refused(&self) -> String {
        chain(&self.catalog.catalog().await.unwrap_err())
    }

    /// Whether the catalog is the one with that column now.
    async fn has(&self, column: &str) -> bool {
        self.get().await.datasets["flights"].column(column).is_some()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_looked_at_every_thirty_seconds_and_stays_the_same_one_until_it_changes() {
    let set = Set::with("old").await;
    let first = set.get().await;
    assert_eq!(*first, built("old").catalog);
    set.build("new").await;
    set.pass(29);
    assert!(Arc::ptr_eq(&first, &set.get().await));
    assert_eq!(set.network.count("GET"), 1, "within the time nothing is asked");
    set.pass(1);
    let second = set.get().await;
    assert_eq!(*second, built("new").catalog);
    set.pass(30);
    assert!(Arc::ptr_eq(&second, &set.get().await));
    assert_eq!(set.network.count("GET"), 3);
    let again = BuiltCatalog { built: START.plus(Duration::from_secs(60)), ..built("new") };
    set.write(again.to_json().unwrap()).await;
    set.pass(30);
    assert!(Arc::ptr_eq(&second, &set.get().await), "built anew, but the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_change_is_not_sent_again() {
    let set = Set::with("old").await;
    set.get().await;
    set.pass(30);
    set.get().await;
    assert_eq!((set.network.count("GET"), set.network.count("304")), (2, 1));
    set.write("{}").await;
    for _ in 0..3 {
        set.pass(30);
        assert!(set.has("old").await);
    }
    assert_eq!((set.network.count("GET"), set.network.count("304")), (5, 3), "nor what cannot be served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_without_a_catalog_is_told_with_what_to_do() {
    let set = set().await;
    let said = set.refused().await;
    let location = format!("s3://{}/catalog/catalog.json", set.place.name);
    assert!(
        said.ends_with(&format!("the catalog {location} is not there: run willcall catalog build")),
        "{said}"
    );
    set.build("made").await;
    assert!(set.has("made").await, "the next who asks has it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_catalog_that_cannot_be_had_is_an_error_that_says_why() {
    let set = Set::with("a").await;
    set.network.address("GET", CATALOG_KEY, 1, DENIED);
    assert!(set.refused().await.contains("AccessDenied"));
    set.network.address("GET", CATALOG_KEY, 4, FAILING);
    assert!(set.refused().await.contains("GetObject failed with InternalError"));
    set.write("{\"schema\":1,").await;
    assert!(set.refused().await.contains("is not one that can be served: not a built catalog: EOF"));
    assert!(set.refused().await.contains("not a built catalog"), "asked again, it is still so");
    set.write("{\"schema\":2}").await;
    assert!(set.refused().await.contains("the catalog has form 2; this version reads up to 1"));
    set.build("a").await;
    assert!(set.has("a").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_good_one_serves_while_s3_fails() {
    let set = Set::with("old").await;
    let good = set.get().await;
    set.build("new").await;
    for (times, fault) in [(1, DENIED), (4, FAILING), (1, Fault::Silence)] {
        set.network.address("GET", CATALOG_KEY, times, fault);
        set.pass(30);
        let began = Instant::now();
        assert!(Arc::ptr_eq(&good, &set.get().await), "{fault:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{fault:?}");
        let asked = set.network.count("GET");
        set.pass(4);
        assert!(Arc::ptr_eq(&good, &set.get().await));
        assert_eq!(set.network.count("GET"), asked, "a failure is not tried again at once");
        // What the look left of its tries must not be met by the next one.
        set.network.clear();
    }
    set.pass(5);
    assert!(set.has("new").await, "and soon, not after thirty seconds, once it is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_good_one_serves_while_the_new_one_cannot_be_read() {
    let set = Set::with("old").await;
    let good = set.get().await;
    let whole = built("new").to_json().unwrap();
    let mut inconsistent: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    inconsistent["default_plan"] = "gold".into();
    let newer = br#"{"schema":99,"catalog":"of another form"}"#.to_vec();
    for bad in [whole[..whole.len() / 2].to_vec(), Vec::new(), newer, inconsistent.to_string().into_bytes()] {
        set.write(bad).await;
        set.pass(30);
        assert!(Arc::ptr_eq(&good, &set.get().await));
    }
    set.remove().await;
    set.pass(30);
    assert!(Arc::ptr_eq(&good, &set.get().await), "nor when it is gone");
    set.write(whole).await;
    set.pass(30);
    assert!(set.has("new").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_does_not_freeze_the_catalog() {
    let set = Set::with("old").await;
    set.get().await;
    set.build("new").await;
    set.clock.set(START.minus(Duration::from_secs(86_400)));
    assert!(set.has("new").await, "back by a day");
    set.build("newer").await;
    set.clock.set(START.plus(Duration::from_secs(86_400)));
    assert!(set.has("newer").await, "forward by two");
    set.build("newest").await;
    set.clock.set(START);
    assert!(set.has("newest").await, "and back again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_look_holds_nobody_up_for_long_and_comes_through_in_the_end() {
    let set = Set::with("old").await;
    let good = set.get().await;
    set.build("new").await;
    set.network.address("GET", CATALOG_KEY, 100, Fault::Slow(Duration::from_millis(1_300)));
    set.pass(30);
    let began = Instant::now();
    let asks = (0..32).map(|_| {
        let catalog = Arc::clone(&set.catalog);
        tokio::spawn(async move {
            let catalog = catalog.catalog().await.unwrap();
            (catalog, began.elapsed())
        })
    });
    let answers: Vec<_> = join_all(asks).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|(catalog, _)| Arc::ptr_eq(&good, catalog)));
    assert!(answers.iter().all(|(_, waited)| *waited < Duration::from_millis(1_300)), "{answers:?}");
    let waited = answers.iter().filter(|(_, waited)| *waited > Duration::from_millis(900)).count();
    assert_eq!(waited, 1, "one looks, the others do not wait for it");
    set.pass(5);
    assert!(set.has("new").await, "the next look has more patience");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_while_looking_leaves_the_look_to_the_next() {
    let set = Set::with("old").await;
    let good = set.get().await;
    set.build("new").await;
    set.network.address("GET", CATALOG_KEY, 1, Fault::Silence);
    set.pass(30);
    let ask = tokio::time::timeout(Duration::from_millis(100), set.catalog.catalog());
    assert!(ask.await.is_err(), "it hung up while it waited");
    let next = set.get().await;
    assert!(!Arc::ptr_eq(&good, &next) && next.datasets["flights"].column("new").is_some());
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test]
async fn what_does_not_work_is_logged_once_until_it_changes() {
    let set = Set::with("old").await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let lines = |log: &Log| log.take().lines().filter(|line| line.contains("catalog")).count();
    set.get().await;
    assert_eq!(lines(&log), 1, "read");
    set.network.address("GET", CATALOG_KEY, 3, DENIED);
    let mut said = String::new();
    for _ in 0..3 {
        set.pass(30);
        set.get().await;
        said += &log.take();
    }
    assert_eq!(said.matches("catalog does not work").count(), 1, "{said}");
    assert!(said.contains("AccessDenied") && said.contains("kept=true"), "{said}");
    set.write("{}").await;
    for _ in 0..3 {
        set.pass(30);
        set.get().await;
        said += &log.take();
    }
    assert_eq!(said.matches("catalog does not work").count(), 2, "another trouble: {said}");
    assert!(said.contains("missing field `schema`"), "{said}");
    set.build("old").await;
    for _ in 0..2 {
        set.pass(30);
        set.get().await;
    }
    let said = log.take();
    assert_eq!(said.matches("catalog works again").count(), 1, "{said}");
}
