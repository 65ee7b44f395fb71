//! Files on disk keep the contract of data files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::TempDir;
use willcall_conformance::data_files::DataFilesHarness;
use willcall_core::{
    catalog::DatasetSource,
    ports::{DataFiles, DataFilesByPlace, DataFilesError},
};
use willcall_engine::LocalDataFiles;

struct Disk(TempDir);

#[async_trait]
impl DataFilesHarness for Disk {
    async fn fresh() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn files(&self) -> Arc<dyn DataFiles> {
        Arc::new(LocalDataFiles)
    }

    fn location(&self, path: &str) -> String {
        self.0.path().join(path).to_string_lossy().into_owned()
    }

    async fn put(&self, path: &str, bytes: Bytes) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As writers of data sets do it: whole and in one step.
        let new = tempfile::NamedTempFile::new_in(self.0.path()).unwrap();
        fs::write(new.path(), bytes).unwrap();
        new.persist(path).unwrap();
    }

    async fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).unwrap();
    }
}

willcall_conformance::data_files_suite!(Disk);

#[tokio::test]
async fn a_file_written_to_in_place_is_changed() {
    let disk = Disk::fresh().await;
    disk.put("a.parquet", Bytes::from_static(b"before")).await;
    let source = DatasetSource::at(disk.location(""));
    let entry = LocalDataFiles.list(&source).await.unwrap().remove(0);
    let file = LocalDataFiles.open(&entry).unwrap();
    let path = disk.location("a.parquet");
    fs::write(&path, b"behind").unwrap();
    fs::File::open(&path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(matches!(file.check(), Err(DataFilesError::Changed)));
    fs::write(&path, b"").unwrap();
    let all = 0..6;
    assert!(matches!(file.read_ranges(&[all]), Err(DataFilesError::Changed)));
}

#[tokio::test]
async fn what_may_not_be_read_or_is_elsewhere_is_unreadable() {
    let disk = Disk::fresh().await;
    let far = DatasetSource::at("s3://bucket/a.parquet");
    let error = LocalDataFiles.list(&far).await.unwrap_err();
    let DataFilesError::Unreadable(source) = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("not from S3"), "{source}");

    disk.put("d/a.parquet", Bytes::from_static(b"x")).await;
    let source = DatasetSource::at(disk.location("d"));
    let path = disk.location("d");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let outcome = LocalDataFiles.list(&source).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    // Nothing is closed to root.
    assert!(matches!(outcome, Err(DataFilesError::Unreadable(_)) | Ok(_)), "{outcome:?}");
    let entry = LocalDataFiles.list(&source).await.unwrap().remove(0);
    fs::remove_file(disk.location("d/a.parquet")).unwrap();
    fs::create_dir(disk.location("d/a.parquet")).unwrap();
    assert!(LocalDataFiles.open(&entry).is_err());
}

#[tokio::test]
async fn a_location_leads_to_the_disk_or_to_s3() {
    let disk = Disk::fresh().await;
    disk.put("a.parquet", Bytes::from_static(b"x")).await;
    let empty = Disk::fresh().await;
    // The disk takes S3's place: it says that it does not serve it.
    let files = DataFilesByPlace { disk: disk.files(), s3: empty.files() };
    let near = DatasetSource::at(disk.location("a.parquet"));
    let entry = files.list(&near).await.unwrap().remove(0);
    assert!(files.open(&entry).is_ok());
    let far = DatasetSource::at("s3://bucket/a.parquet");
    assert!(matches!(files.list(&far).await, Err(DataFilesError::Unreadable(_))));
}
