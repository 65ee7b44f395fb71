//! The operator's commands for a host on AWS, against an emulator of it.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, reason = "a test stops where anything goes wrong")]

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output},
    sync::Arc,
};

use common::{Place, code, examples, succeeded, text};
use serde_json::Value;
use willcall_aws::{CATALOG_KEY, DynamoAccounts, DynamoWebhookStore, S3Catalog, VAULT_KEY_OBJECT};
use willcall_aws_test::Place as Aws;
use willcall_core::{
    AccountId,
    account::Scope,
    catalog::{BuiltCatalog, Catalog},
    ports::{Accounts, CatalogSource, SystemClock, WebhookStore},
    token::Token,
};

const FLIGHTS: u64 = 336_776;
const TWO: &str = "[datasets.flights]\npath = 'flights.parquet'\n\
                   [datasets.airports]\ndescription = 'landing strips'\npath = 'strips'\n\
                   [datasets.airports.views.codes]\nfields = ['icao', 'iata']\n\
                   [plans.free]\ndefault = true\n[plans.pro]\nmax_records = 5\n";

/// A directory of the operator's, and a host on AWS.
struct Set {
    place: Place,
    aws: Aws,
}

impl Set {
    async fn new() -> Self {
        let (place, aws) = (Place::new(), Aws::new().await);
        fs::copy(examples().join("flights.parquet"), place.path("flights.parquet")).unwrap();
        fs::create_dir(place.path("strips")).unwrap();
        fs::copy(examples().join("airports.parquet"), place.path("strips/a.parquet")).unwrap();
        let set = Self { place, aws };
        set.write(TWO);
        set
    }

    fn write(&self, catalog: &str) {
        fs::write(self.place.path("willcall.toml"), catalog).unwrap();
    }

    /// The command with what AWS tools take from the environment, and nothing of Willcall's.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.bare(arguments);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        // The developer's own configuration is not asked.
        command.env("HOME", self.place.dir.path());
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs(self.aws.environment().into_iter().filter(|(name, _)| name.starts_with("AWS_")));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn build(&self, arguments: &[&str]) -> Output {
        self.run(&[&["catalog", "build", "--bucket", &self.aws.name], arguments].concat())
    }

    fn built(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&succeeded(self.build(&[arguments, &["--json"]].concat()))).unwrap()
    }

    /// A command on the accounts, with the plans of the catalog in the bucket.
    fn on_table(&self, arguments: &[&str]) -> Output {
        self.run(&[arguments, &["--table", &self.aws.name, "--bucket", &self.aws.name]].concat())
    }

    /// The catalog as a function has it.
    async fn served(&self) -> Arc<Catalog> {
        let clock = Arc::new(SystemClock);
        S3Catalog::new(&self.aws.clients, &self.aws.name, CATALOG_KEY, clock).catalog().await.unwrap()
    }

    async fn keys(&self) -> Vec<String> {
        let list = self.aws.raw_s3.list_objects_v2().bucket(&self.aws.name).send().await.unwrap();
        list.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    fn accounts(&self) -> DynamoAccounts {
        DynamoAccounts::new(&self.aws.clients, &self.aws.name)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_brings_data_sets_and_catalog_to_where_functions_read_them() {
    let set = Set::new().await;
    let said = succeeded(set.build(&[]));
    assert!(said.contains("336,776") && said.contains("1 uploaded"), "{said}");
    assert!(said.contains(&format!("wrote s3://{}/catalog/catalog.json", set.aws.name)), "{said}");
    let catalog = set.served().await;
    let (flights, airports) = (&catalog.datasets["flights"], &catalog.datasets["airports"]);
    assert_eq!((flights.facts.records, flights.facts.files), (Some(FLIGHTS), 1));
    assert!(flights.source.location.starts_with(&format!("s3://{}/datasets/flights/", set.aws.name)));
    assert!(flights.source.location.ends_with("/flights.parquet"), "a data set of one file");
    assert!(airports.source.location.ends_with('/'), "a directory");
    assert_eq!((airports.description.as_str(), airports.views["codes"].fields.len()), ("landing strips", 2));
    assert_eq!((catalog.default_plan.as_str(), catalog.plans["pro"].max_records), ("free", 5));
    let key = flights.source.location.split_once("/datasets/").unwrap().1;
    let got = set.aws.raw_s3.get_object().bucket(&set.aws.name).key(format!("datasets/{key}"));
    let body = got.send().await.unwrap().body.collect().await.unwrap().to_vec();
    assert!(body == fs::read(set.place.path("flights.parquet")).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_build_uploads_only_what_changed() {
    let set = Set::new().await;
    let first = set.built(&[]);
    let counts = |said: &Value, place: usize| {
        let dataset = &said["datasets"][place];
        ["uploaded", "copied", "kept"].map(|name| dataset[name].as_u64().unwrap())
    };
    assert_eq!((counts(&first, 0), counts(&first, 1)), ([1, 0, 0], [1, 0, 0]));
    let second = set.built(&[]);
    assert_eq!((counts(&second, 0), counts(&second, 1)), ([0, 0, 1], [0, 0, 1]));
    fs::copy(set.place.path("strips/a.parquet"), set.place.path("strips/b.parquet")).unwrap();
    let third = set.built(&[]);
    assert_eq!((counts(&third, 0), counts(&third, 1)), ([1, 1, 0], [0, 0, 1]));
    assert_eq!(third["datasets"][0]["files"], 2);
    let fourth = set.built(&[]);
    assert_eq!(fourth["removed"], 1, "the edition that no catalog names any more");
    assert_eq!(set.keys().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_where_anything_is_wrong() {
    let set = Set::new().await;
    for (catalog, said) in [
        (TWO.to_owned() + "[datasets.gone]\npath = 'gone'\n", "datasets.gone: "),
        (TWO.replace("'iata'", "'nope'"), "datasets.airports.views.codes: there is no column \"nope\""),
        (TWO.replace("max_records = 5", "max_records = 0"), "plans.pro: max_records must be at least 1"),
        (TWO.replace("'strips'", &format!("'s3://{}/nothing/'", set.aws.name)), "datasets.airports: "),
    ] {
        set.write(&catalog);
        let output = set.build(&[]);
        assert_eq!(code(&output), 2, "{said}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{said}: {}", text(&output.stderr));
    }
    assert!(set.keys().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_what_would_be_done_and_leaves_the_bucket_as_it_is() {
    let set = Set::new().await;
    let said = succeeded(set.build(&["--dry-run", "-o", "built.json"]));
    assert!(said.contains("1 to upload") && said.contains("nothing was written"), "{said}");
    assert!(set.keys().await.is_empty());
    let built = BuiltCatalog::from_json(&fs::read(set.place.path("built.json")).unwrap()).unwrap();
    assert_eq!(built.catalog.datasets["flights"].facts.records, Some(FLIGHTS));
    let output = set.build(&["-o", "-"]);
    let stdout = succeeded(output);
    let written = BuiltCatalog::from_json(stdout.trim().as_bytes()).unwrap();
    assert_eq!(*set.served().await, written.catalog, "stdout has the document and nothing else");
    let places = |catalog: &Catalog| catalog.datasets["flights"].source.clone();
    assert_eq!(places(&written.catalog), places(&built.catalog), "where it was said to go");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_set_in_s3_is_read_where_it_is() {
    let set = Set::new().await;
    let bytes = fs::read(examples().join("airports.parquet")).unwrap();
    let put = set.aws.raw_s3.put_object().bucket(&set.aws.name).key("lake/airports/part-0.parquet");
    put.body(bytes.into()).send().await.unwrap();
    let location = format!("s3://{}/lake/airports/", set.aws.name);
    set.write(&TWO.replace("'strips'", &format!("'{location}'")));
    let said = set.built(&[]);
    assert_eq!(said["datasets"][0]["location"], location);
    assert_eq!(said["datasets"][0]["uploaded"], Value::Null);
    let catalog = set.served().await;
    assert_eq!(catalog.datasets["airports"].source.location, location);
    assert!(catalog.datasets["airports"].facts.records.unwrap() > 10_000);
    assert!(!set.keys().await.iter().any(|key| key.starts_with("datasets/airports/")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_the_table_are_made_listed_and_revoked() {
    let set = Set::new().await;
    succeeded(set.build(&[]));
    let made = succeeded(set.on_table(&["token", "create", "--account", "acme", "--plan", "pro"]));
    let token = Token::parse(made.trim()).unwrap();
    let (record, account) = set.accounts().find_token(&token.hash()).await.unwrap().unwrap();
    assert_eq!((account.plan.as_str(), record.scope), ("pro", Scope::Submit));
    let listed = succeeded(set.on_table(&["token", "list"]));
    assert!(listed.contains(record.hash.short()) && listed.contains("live"), "{listed}");
    assert!(!listed.contains(made.trim()));
    succeeded(set.on_table(&["token", "revoke", record.hash.short()]));
    let (record, _) = set.accounts().find_token(&token.hash()).await.unwrap().unwrap();
    assert!(record.revoked.is_some());
    assert_eq!(code(&set.on_table(&["token", "revoke", "0123456789ab"])), 3);
    assert!(!set.place.path("data").exists(), "the data directory of one box is left alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_are_those_of_the_bucket_or_of_the_file() {
    let set = Set::new().await;
    succeeded(set.build(&[]));
    // What is in the bucket counts, not what the operator is writing.
    set.write(&TWO.replace("plans.pro", "plans.gold"));
    let refused = set.on_table(&["account", "put", "acme", "--plan", "gold"]);
    assert_eq!(code(&refused), 2);
    assert!(text(&refused.stderr).contains("the catalog has free, pro"), "{}", text(&refused.stderr));
    succeeded(set.on_table(&["account", "put", "acme", "--plan", "pro"]));
    let by_environment = |name: &str, plan: &str| {
        let mut command = set.command(&["account", "put", name, "--plan", plan]);
        command.env("WILLCALL_TABLE", &set.aws.name).output().unwrap()
    };
    assert_eq!(code(&by_environment("other", "pro")), 2, "without a bucket, the file's");
    succeeded(by_environment("other", "gold"));
    let listed = succeeded(set.on_table(&["account", "list"]));
    assert!(listed.contains("acme") && listed.contains("gold"), "{listed}");

    fs::remove_file(set.place.path("willcall.toml")).unwrap();
    let output = by_environment("third", "gold");
    assert!(text(&output.stderr).contains("neither --bucket nor --catalog says"), "{}", text(&output.stderr));
    let list = set.command(&["token", "list"]).env("WILLCALL_TABLE", &set.aws.name).output().unwrap();
    succeeded(list);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_of_a_table_are_made_tested_rotated_and_removed() {
    let set = Set::new().await;
    succeeded(set.build(&[]));
    succeeded(set.on_table(&["account", "put", "acme", "--plan", "pro"]));
    let webhook = |arguments: &[&str]| {
        let aws = ["--account", "acme", "--allow", "127.0.0.1"];
        set.on_table(&[&["webhook"], arguments, &aws].concat())
    };
    let address = answers_once();
    let first = succeeded(webhook(&["create", &address, "--events", "job.failed"]));
    assert!(first.starts_with("whsec_"), "{first}");
    let id: AccountId = "acme".parse().unwrap();
    let store = DynamoWebhookStore::new(&set.aws.clients, &set.aws.name);
    let kept = store.subscriptions(&id).await.unwrap().unwrap();
    let made = &kept.endpoints[0];
    assert_eq!((made.url.as_str(), made.secrets.len()), (address.as_str(), 1));
    assert!(!made.secrets[0].sealed.contains(first.trim()), "it is sealed");
    assert!(set.keys().await.contains(&VAULT_KEY_OBJECT.to_owned()));
    let name = made.id.to_string();
    let listed = succeeded(webhook(&["list"]));
    assert!(listed.contains(&name) && listed.contains("job.failed"), "{listed}");
    let tested = webhook(&["test", &name]);
    assert_eq!(code(&tested), 0, "{}", text(&tested.stderr));
    let second = succeeded(webhook(&["rotate", &name]));
    assert!(second.starts_with("whsec_") && second != first);
    succeeded(webhook(&["disable", &name]));
    let kept = store.subscriptions(&id).await.unwrap().unwrap();
    assert!(kept.endpoints[0].disabled.is_some() && kept.endpoints[0].secrets.len() == 2);
    succeeded(webhook(&["delete", &name]));
    assert_eq!(code(&webhook(&["delete", &name])), 3);
    assert_eq!(code(&webhook(&["deliveries", "01920000-0000-7000-8000-000000000000"])), 3);
    let refused = webhook(&["create", "http://127.0.0.2/"]);
    assert!(code(&refused) == 2 && text(&refused.stderr).contains("must be https"));
    assert!(!set.place.path("data").exists(), "the data directory of one box is left alone");
    let account = set.accounts().account(&id).await.unwrap().unwrap();
    assert_eq!(account.plan, "pro", "the account keeps its plan");
}

/// The address of a receiver that takes one message.
fn answers_once() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 8192];
        let _ = stream.read(&mut buffer).unwrap();
        stream.write_all(b"HTTP/1.1 204 X\r\n\r\n").unwrap();
    });
    format!("http://{address}/")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_webhooks_of_a_table_need_and_do_not_have_is_told() {
    let set = Set::new().await;
    let table = ["--table", &set.aws.name];
    for (arguments, exit, said) in [
        (&["list"][..], 2, "--table needs --account"),
        (&["list", "--account", "nobody"], 3, "there is no account nobody"),
        (&["create", "https://example.com/", "--account", "acme"], 2, "with --bucket"),
        (&["list", "--account", "acme", "--server", "http://127.0.0.1:1"], 2, "--account is for the table"),
        (&["list", "--account", "nobody", "--allow", "10.0.0.0/99"], 2, "10.0.0.0/99"),
    ] {
        let output = set.run(&[&["webhook"], arguments, &table].concat());
        assert_eq!(code(&output), exit, "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {}", text(&output.stderr));
    }
    assert!(set.accounts().accounts().await.unwrap().is_empty(), "asking makes no account");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_without_a_catalog_says_what_to_do() {
    let set = Set::new().await;
    let output = set.on_table(&["token", "create", "--account", "acme"]);
    assert_eq!(code(&output), 5);
    let said = text(&output.stderr);
    assert!(said.contains("catalog.json is not there: run willcall catalog build"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_aws_needs_and_does_not_have_is_told_in_a_sentence() {
    let set = Set::new().await;
    for (missing, exit, said) in [
        ("AWS_REGION", 2, "error: no AWS region is set\n"),
        ("AWS_SECRET_ACCESS_KEY", 4, "error: there are no AWS credentials\n"),
    ] {
        for arguments in [&["catalog", "build", "--bucket", "b"][..], &["token", "list", "--table", "t"]] {
            let output = set.command(arguments).env_remove(missing).output().unwrap();
            assert_eq!(code(&output), exit, "{}", text(&output.stderr));
            assert!(text(&output.stderr).starts_with(said), "{}", text(&output.stderr));
        }
    }
    let output = set.run(&["catalog", "build", "--bucket", "no-such-bucket"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).starts_with("error: there is no bucket no-such-bucket\n"));
    let output = set.run(&["token", "list", "--table", "no-such-table"]);
    assert_eq!(code(&output), 5);
    assert!(text(&output.stderr).contains("ResourceNotFoundException"), "{}", text(&output.stderr));
}
