//! `catalog`: whether everything that a catalog promises is there, and bringing it to the AWS host.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use serde_json::json;
use willcall_core::{
    catalog::Catalog,
    ports::{CatalogSource, DatasetInspector, SystemClock},
};
use willcall_embedded::FileCatalog;
use willcall_engine::ParquetInspector;

use crate::{
    args::{CATALOG_KEY, Global},
    data_files::data_files,
    failure::{Exit, Failure, chain},
    host::catalog_path,
    output::{print, print_json},
};

/// Check a catalog, or bring it to AWS.
#[derive(Subcommand)]
pub(crate) enum CatalogCommand {
    /// Read the catalog and every file of its data sets, and name each problem. For one box: `build --dry-run` checks for
    /// AWS
    Check,
    /// Bring the catalog to the bucket of a host on AWS, with the files of data sets that are on this machine
    Build(BuildArgs),
}

/// Bring the catalog to AWS.
#[derive(Args)]
pub(crate) struct BuildArgs {
    /// The bucket of the host
    #[arg(long, value_name = "NAME", env = "WILLCALL_BUCKET")]
    pub(crate) bucket: String,
    /// Where in the bucket the catalog is kept
    #[arg(long, value_name = "KEY", default_value = CATALOG_KEY)]
    pub(crate) key: String,
    /// Check everything and say what would be done; the bucket stays as it is
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also write the built catalog to this file; - is stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

pub(crate) async fn run(global: &Global, command: CatalogCommand) -> Result<(), Failure> {
    match command {
        CatalogCommand::Check => check(global).await,
        CatalogCommand::Build(args) => crate::aws::build(global, args).await,
    }
}

/// The catalog with what its data sets' files say; a failure that names each problem where there is any.
pub(crate) async fn inspected(
    path: &Path,
    inspector: Arc<dyn DatasetInspector>,
) -> Result<Arc<Catalog>, Failure> {
    let opened = FileCatalog::open(path, inspector, Arc::new(SystemClock)).await;
    let source = opened.map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
    let catalog = source.catalog().await.map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
    let problems = source.problems();
    if problems.is_empty() {
        return Ok(catalog);
    }
    let count = problems.len();
    let words = format!("{}: {count} problem{}", path.display(), if count == 1 { "" } else { "s" });
    let failure = Failure::new(Exit::Usage, words);
    Err(problems
        .into_iter()
        .fold(failure, |failure, problem| failure.detail(format!("{}: {}", problem.place, problem.detail))))
}

async fn check(global: &Global) -> Result<(), Failure> {
    let path = catalog_path(global)?;
    let inspector = ParquetInspector::new(data_files(&path)?);
    let catalog = inspected(&path, Arc::new(inspector)).await?;
    if global.json {
        let names = |keys: Vec<&String>| json!(keys);
        return print_json(&json!({
            "catalog": path,
            "datasets": names(catalog.datasets.keys().collect()),
            "plans": names(catalog.plans.keys().collect()),
            "default_plan": catalog.default_plan,
        }));
    }
    let mut text = format!("{} is right\n", path.display());
    for dataset in catalog.datasets.values() {
        let facts = &dataset.facts;
        let records = facts.records.map_or("unknown".to_owned(), |n| indicatif::HumanCount(n).to_string());
        text += &format!(
            "  data set {}: {records} records, {} columns, views: {}, {}\n",
            dataset.name,
            facts.columns.len(),
            if dataset.views.is_empty() {
                "none".to_owned()
            } else {
                dataset.views.keys().cloned().collect::<Vec<_>>().join(" ")
            },
            indicatif::DecimalBytes(facts.bytes),
        );
    }
    for name in catalog.plans.keys() {
        let mark = if *name == catalog.default_plan { ", the default" } else { "" };
        text += &format!("  plan {name}{mark}\n");
    }
    print(&text)
}
