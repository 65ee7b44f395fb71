//! A directory of a host's own, with a catalog and its data in it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// Where the scenarios' receivers of webhooks are.
pub(super) const RECEIVERS: &str = "127.0.0.1";

const PLANS: &str = r#"
[plans.everything]
default = true
max_records = 1_000_000_000
max_open_jobs = 1000

[plans.paced]
submits_per_minute = 5
max_open_jobs = 1000

[plans.daily]
max_records_per_day = 1000

[plans.small]
max_records = 10
max_open_jobs = 2
datasets = ["numbers"]
formats = ["csv", "json"]

[plans.nothing]
datasets = []
"#;

/// The directory; it goes when this is dropped.
pub struct Directory(TempDir);

impl Directory {
    /// A catalog over the data sets, each a name and a path within the catalog's directory, which `fill` has filled.
    pub fn new(datasets: &[(&str, &str)], fill: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let directory = Self(tempfile::tempdir()?);
        fs::create_dir(directory.catalog())?;
        fill(&directory.catalog())?;
        let mut text = PLANS.to_owned();
        for (name, path) in datasets {
            text += &format!("[datasets.{name}]\npath = {path:?}\n");
        }
        fs::write(directory.catalog_file(), text)?;
        Ok(directory)
    }

    /// A catalog over `numbers`, that many records.
    pub fn numbers(records: i64) -> Result<Self> {
        Self::new(&[("numbers", "numbers.parquet")], |folder| {
            crate::write_numbers(&folder.join("numbers.parquet"), records)
        })
    }

    /// The same with leave for webhooks to reach this machine, on a host that takes it from the catalog.
    pub fn with_receivers(self) -> Result<Self> {
        let mut catalog = fs::OpenOptions::new().append(true).open(self.catalog_file())?;
        catalog.write_all(format!("[webhooks]\nallow = [{RECEIVERS:?}]\n").as_bytes())?;
        Ok(self)
    }

    /// Adds text to the catalog.
    pub fn with(self, text: &str) -> Result<Self> {
        let catalog = fs::read_to_string(self.catalog_file())? + text;
        fs::write(self.catalog_file(), catalog)?;
        Ok(self)
    }

    /// Where the catalog and its data are.
    pub fn catalog(&self) -> PathBuf {
        self.join("catalog")
    }

    /// The catalog.
    pub fn catalog_file(&self) -> PathBuf {
        self.catalog().join("willcall.toml")
    }

    /// A path within the directory.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts bytes in place of a file of the catalog's directory in one step, or takes the file away.
    pub fn replace(&self, path: &str, bytes: Option<&[u8]>) -> Result<()> {
        let path = self.catalog().join(path);
        let Some(bytes) = bytes else { return Ok(fs::remove_file(path)?) };
        let fresh = self.join("fresh");
        fs::write(&fresh, bytes)?;
        Ok(fs::rename(fresh, path)?)
    }
}

/// The willcall binary: the one named by `WILLCALL_BINARY`, else the one built beside this test.
pub(super) fn willcall() -> Result<PathBuf> {
    match std::env::var_os("WILLCALL_BINARY") {
        Some(path) => Ok(path.into()),
        None => built("willcall"),
    }
}

/// The binary of that package, built beside this test.
pub(super) fn built(package: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let binary = test.parent().and_then(Path::parent).context("no target directory")?.join(package);
    ensure!(binary.is_file(), "{} is not there: run `cargo build -p {package}` first", binary.display());
    Ok(binary)
}
