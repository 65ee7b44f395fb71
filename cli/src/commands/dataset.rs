//! `dataset`: what can be asked for.

use clap::Subcommand;
use indicatif::HumanCount;

use super::{Session, Work};
use crate::{
    args::Global,
    client::wire,
    failure::Failure,
    output::{clean, print, print_json, table},
};

/// Show data sets.
#[derive(Subcommand)]
pub(crate) enum DatasetCommand {
    /// List the data sets
    List,
    /// Show one with its columns and views
    Show {
        /// Its name
        name: String,
    },
}

pub(crate) async fn run(global: &Global, command: DatasetCommand) -> Result<(), Failure> {
    let session = Session::open(global, Work::No).await?;
    let text = match command {
        DatasetCommand::List => {
            session.client.datasets().await.map(|found| (summary(&found.read.datasets), found.json))
        }
        DatasetCommand::Show { name } => {
            session.client.dataset(&name).await.map(|found| (details(&found.read), found.json))
        }
    };
    session.close().await;
    let (text, json) = text?;
    if global.json { print_json(&json) } else { print(&text) }
}

fn records(dataset: &wire::Dataset) -> String {
    dataset.records.map_or("unknown".to_owned(), |records| HumanCount(records).to_string())
}

fn summary(datasets: &[wire::Dataset]) -> String {
    let mut rows = vec![["NAME", "RECORDS", "COLUMNS", "DESCRIPTION"].map(str::to_owned).to_vec()];
    rows.extend(datasets.iter().map(|dataset| {
        let columns = dataset.columns.len().to_string();
        vec![dataset.name.clone(), records(dataset), columns, clean(&dataset.description)]
    }));
    table(&rows)
}

fn details(dataset: &wire::Dataset) -> String {
    let mut text = format!("{}: {}\n", dataset.name, clean(&dataset.description));
    text += &format!("{} records", records(dataset));
    if let Some(updated) = &dataset.updated {
        text += &format!(", updated {updated}");
    }
    text += "\n\n";
    let mut rows = vec![["COLUMN", "TYPE", "NULLS"].map(str::to_owned).to_vec()];
    rows.extend(dataset.columns.iter().map(|column| {
        let nulls = if column.nullable { "yes" } else { "no" };
        vec![clean(&column.name), clean(&column.data_type), nulls.to_owned()]
    }));
    text += &table(&rows);
    if !dataset.views.is_empty() {
        let mut rows = vec![["VIEW", "COLUMNS", "DESCRIPTION"].map(str::to_owned).to_vec()];
        rows.extend(
            dataset
                .views
                .iter()
                .map(|view| vec![view.name.clone(), clean(&view.fields.join(",")), clean(&view.description)]),
        );
        text.push('\n');
        text += &table(&rows);
    }
    text
}
