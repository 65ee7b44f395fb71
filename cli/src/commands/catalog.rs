//! `catalog check`: whether everything that a catalog promises is there.

use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;
use willcall_core::ports::{CatalogSource, SystemClock};
use willcall_embedded::FileCatalog;
use willcall_engine::{LocalDataFiles, ParquetInspector};

use crate::{
    args::Global,
    failure::{Exit, Failure, chain},
    host::catalog_path,
    output::{print, print_json},
};

/// Check a catalog.
#[derive(Subcommand)]
pub(crate) enum CatalogCommand {
    /// Read the catalog and every file of its data sets, and name each problem
    Check,
}

pub(crate) async fn run(global: &Global, command: CatalogCommand) -> Result<(), Failure> {
    let CatalogCommand::Check = command;
    let path = catalog_path(global)?;
    let clock = Arc::new(SystemClock);
    let inspector = Arc::new(ParquetInspector::new(Arc::new(LocalDataFiles)));
    let opened = FileCatalog::open(&path, inspector, clock).await;
    let source = opened.map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
    let catalog = source.catalog().await.map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
    let problems = source.problems();
    if !problems.is_empty() {
        let count = problems.len();
        let words = format!("{}: {count} problem{}", path.display(), if count == 1 { "" } else { "s" });
        let failure = Failure::new(Exit::Usage, words);
        return Err(problems.into_iter().fold(failure, |failure, problem| {
            failure.detail(format!("{}: {}", problem.place, problem.detail))
        }));
    }
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
