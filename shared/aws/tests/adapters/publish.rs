//! Catalogs and the files of their data sets are brought into the bucket, and nobody reads half of them.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tempfile::TempDir;
use willcall_aws::{Action, CATALOG_KEY, LocalFile, PublishError, S3Publisher, Upload};
use willcall_core::{
    catalog::{BuiltCatalog, DatasetSource},
    chain,
};

use crate::{
    catalog::built,
    faulty::{Fault, Faulty},
    place::Place,
};

const MIB: usize = 1024 * 1024;

struct Set {
    network: Faulty,
    place: Place,
    publisher: S3Publisher,
    dir: TempDir,
}

async fn set() -> Set {
    let network = Faulty::new();
    let place = Place::through(SharedHttpClient::new(network.clone())).await;
    let publisher = S3Publisher::new(&place.clients, &place.name);
    Set { network, place, publisher, dir: tempfile::tempdir().unwrap() }
}

impl Set {
    /// Writes the files of the local data set, and no others.
    fn write(&self, files: &[(&str, &[u8])]) {
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, bytes) in files {
            fs::write(self.path(name), bytes).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn files(&self) -> Vec<LocalFile> {
        let entries = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<LocalFile> = entries
            .map(|entry| LocalFile {
                path: entry.path(),
                name: entry.file_name().to_str().unwrap().to_owned(),
            })
            .collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files
    }

    async fn plan(&self) -> Upload {
        self.publisher.plan("flights", self.files(), true).await.unwrap()
    }

    async fn carry_out(&self, upload: &Upload) -> Result<(), PublishError> {
        for step in &upload.steps {
            self.publisher.carry_out(step).await?;
        }
        Ok(())
    }

    /// What `willcall catalog build` does, less the inspection. Answers how many files were removed.
    async fn build(&self) -> (Upload, u64) {
        let before = self.publisher.published(CATALOG_KEY).await.unwrap();
        let upload = self.plan().await;
        self.carry_out(&upload).await.unwrap();
        let built = naming(&upload.location);
        self.publisher.publish(&before, built.to_json().unwrap()).await.unwrap();
        let removed = self.publisher.sweep(&before, &built).await.unwrap();
        (upload, removed)
    }

    async fn keys(&self) -> Vec<String> {
        let list = self.place.raw_s3.list_objects_v2().bucket(&self.place.name).prefix("datasets/");
        let list = list.send().await.unwrap();
        list.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    async fn read(&self, key: &str) -> Vec<u8> {
        let got = self.place.raw_s3.get_object().bucket(&self.place.name).key(key).send().await.unwrap();
        got.body.collect().await.unwrap().to_vec()
    }

    fn key(&self, upload: &Upload, name: &str) -> String {
        let prefix = upload.location.strip_prefix(&format!("s3://{}/", self.place.name)).unwrap();
        format!("{prefix}{name}")
    }
}

/// A catalog whose one data set is there.
fn naming(location: &str) -> BuiltCatalog {
    let mut built = built("x");
    let mut datasets = BTreeMap::new();
    for (name, dataset) in &built.catalog.datasets {
        let mut dataset = (**dataset).clone();
        dataset.source = DatasetSource::at(location);
        datasets.insert(name.clone(), Arc::new(dataset));
    }
    built.catalog.datasets = datasets;
    built
}

fn actions(upload: &Upload) -> Vec<(&str, &str)> {
    let action = |action: &Action| match action {
        Action::Keep => "keep",
        Action::Copy(_) => "copy",
        Action::Upload => "upload",
    };
    upload.steps.iter().map(|step| (step.file.name.as_str(), action(&step.action))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_uploaded_once_and_what_is_there_is_kept() {
    let set = set().await;
    let large: Vec<u8> = (0..9 * MIB).map(|n| (n % 251) as u8).collect();
    set.write(&[("a b+ü.parquet", b"small"), ("large.parquet", &large)]);
    let (first, _) = set.build().await;
    assert_eq!(actions(&first), [("a b+ü.parquet", "upload"), ("large.parquet", "upload")]);
    assert!(first.location.contains("/datasets/flights/") && first.location.ends_with('/'));
    assert_eq!(set.read(&set.key(&first, "a b+ü.parquet")).await, b"small");
    assert!(set.read(&set.key(&first, "large.parquet")).await == large, "in parts, and whole");
    let puts = set.network.count("PUT");
    let (second, removed) = set.build().await;
    assert_eq!(actions(&second), [("a b+ü.parquet", "keep"), ("large.parquet", "keep")]);
    assert_eq!((second.location, removed), (first.location, 0));
    assert_eq!(set.network.count("PUT"), puts + 1, "the catalog alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_edition_stands_beside_the_old_one_until_nobody_reads_that() {
    let set = set().await;
    set.write(&[("a b+ü.parquet", b"same"), ("gone.parquet", b"gone"), ("new.parquet", b"1")]);
    let (first, _) = set.build().await;
    set.write(&[("a b+ü.parquet", b"same"), ("new.parquet", b"2")]);
    let (second, removed) = set.build().await;
    assert_eq!(actions(&second), [("a b+ü.parquet", "copy"), ("new.parquet", "upload")]);
    assert!(first.location != second.location);
    assert_eq!(set.read(&set.key(&second, "a b+ü.parquet")).await, b"same", "copied with its odd name");
    assert_eq!(removed, 0, "functions go on with the catalog before this one for a while");
    assert_eq!(set.read(&set.key(&first, "gone.parquet")).await, b"gone");
    let (third, removed) = set.build().await;
    assert_eq!(actions(&third), [("a b+ü.parquet", "keep"), ("new.parquet", "keep")], "copies too are known");
    assert_eq!(removed, 3, "the first edition, whole");
    let mut kept = [set.key(&third, "a b+ü.parquet"), set.key(&third, "new.parquet")];
    kept.sort();
    assert_eq!(set.keys().await, kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_set_of_one_file_is_that_file() {
    let set = set().await;
    set.write(&[("one.data", b"x")]);
    let upload = set.publisher.plan("flights", set.files(), false).await.unwrap();
    set.carry_out(&upload).await.unwrap();
    assert!(upload.location.ends_with("/one.data"), "{}", upload.location);
    let built = naming(&upload.location);
    let before = set.publisher.published(CATALOG_KEY).await.unwrap();
    assert_eq!(set.publisher.sweep(&before, &built).await.unwrap(), 0, "it is what the catalog names");
    assert_eq!(set.keys().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_no_build_made_are_left_alone() {
    let set = set().await;
    for key in ["datasets/flights/mine.parquet", "datasets/flights/2026/mine.parquet", "results/x"] {
        set.place.raw_s3.put_object().bucket(&set.place.name).key(key).send().await.unwrap();
    }
    set.write(&[("a.parquet", b"1")]);
    set.build().await;
    set.write(&[("a.parquet", b"2")]);
    set.build().await;
    let (_, removed) = set.build().await;
    assert_eq!(removed, 1);
    assert_eq!(set.keys().await.len(), 3, "two of the operator's own, and one of the catalog's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_catalog_beside_it_names_stays() {
    let set = set().await;
    set.write(&[("a.parquet", b"1")]);
    let (first, _) = set.build().await;
    let beside = "catalog/beside.json";
    let put = |bytes: Vec<u8>| {
        let put = set.place.raw_s3.put_object().bucket(&set.place.name).key(beside);
        put.body(bytes.into()).send()
    };
    put(naming(&first.location).to_json().unwrap()).await.unwrap();
    set.write(&[("a.parquet", b"2")]);
    set.build().await;
    assert_eq!(set.build().await.1, 0, "the other catalog names it");
    put(b"{\"schema\":99}".to_vec()).await.unwrap();
    assert_eq!(set.build().await.1, 0, "nobody knows what a newer one names");
    set.place.raw_s3.delete_object().bucket(&set.place.name).key(beside).send().await.unwrap();
    assert_eq!(set.build().await.1, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_builds_at_once_the_second_is_refused() {
    let set = set().await;
    let (one, two) = (naming("s3://b/1/").to_json().unwrap(), naming("s3://b/2/").to_json().unwrap());
    let before = set.publisher.published(CATALOG_KEY).await.unwrap();
    set.publisher.publish(&before, one.clone()).await.unwrap();
    let late = set.publisher.publish(&before, two.clone()).await;
    assert!(matches!(late, Err(PublishError::Overtaken)), "{late:?}");
    assert_eq!(set.read(CATALOG_KEY).await, one);
    let before = set.publisher.published(CATALOG_KEY).await.unwrap();
    set.publisher.publish(&before, two.clone()).await.unwrap();
    assert!(matches!(set.publisher.publish(&before, one).await, Err(PublishError::Overtaken)));
    assert_eq!(set.read(CATALOG_KEY).await, two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_or_goes_meanwhile_does_not_become_part_of_an_edition() {
    let set = set().await;
    for (before, after) in [(&b"before"[..], &b"after!"[..]), (&[7; 9 * MIB], &[8; 9 * MIB])] {
        set.write(&[("a.parquet", before)]);
        let upload = set.plan().await;
        set.write(&[("a.parquet", after)]);
        let outcome = set.carry_out(&upload).await;
        assert!(matches!(outcome, Err(PublishError::Changed(_))), "{outcome:?}");
        set.write(&[]);
        let outcome = set.carry_out(&upload).await;
        assert!(matches!(outcome, Err(PublishError::Read { .. })), "{outcome:?}");
    }
    assert!(set.keys().await.is_empty());
    assert_eq!(set.place.uploads_left().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_fails_is_told_and_leaves_nothing() {
    let set = set().await;
    set.write(&[("a.parquet", &vec![1; 17 * MIB])]);
    let upload = set.plan().await;
    set.network.address(
        "PUT",
        "partNumber=2&",
        100,
        Fault::Answer(503, "<Error><Code>SlowDown</Code></Error>"),
    );
    let error = set.carry_out(&upload).await.unwrap_err();
    assert!(chain(&error).contains("UploadPart failed with SlowDown"), "{}", chain(&error));
    assert_eq!(set.place.uploads_left().await, 0);
    assert!(set.keys().await.is_empty());
    set.network.clear();
    set.network.address(
        "GET",
        "list-type",
        1,
        Fault::Answer(403, "<Error><Code>AccessDenied</Code></Error>"),
    );
    let error = set.publisher.plan("flights", set.files(), true).await.unwrap_err();
    assert!(chain(&error).contains("ListObjectsV2 failed with AccessDenied"), "{}", chain(&error));
    let nowhere = S3Publisher::new(&set.place.clients, "nowhere-at-all");
    let error = nowhere.published(CATALOG_KEY).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no bucket nowhere-at-all");
}
