//! `dataset`: what can be asked for.

use std::io::{self, Seek};

use clap::{Args, Subcommand};
use indicatif::HumanCount;
use serde_json::{Map, Value, json};

use super::{Session, Work};
use crate::{
    args::Global,
    client::{Client, job_failed, wire},
    failure::{Exit, Failure},
    output::{clean, print, print_json, table},
    progress::Reporter,
    request::Submission,
    target::Target,
};

/// The most characters of a cell in a table: what is longer is for a file.
const CELL: usize = 40;

/// Show data sets.
#[derive(Subcommand)]
pub(crate) enum DatasetCommand {
    /// List the data sets
    List,
    /// Show one with its columns, views, and what is known of its values
    Show {
        /// Its name
        name: String,
    },
    /// Show its first records as a table
    Preview(PreviewArgs),
}

/// Show the first records.
#[derive(Args)]
pub(crate) struct PreviewArgs {
    /// The data set's name
    name: String,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value = "10")]
    records: u64,
    /// The columns, in order: carrier,flight,dep_delay
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    fields: Vec<String>,
    /// A view of the data set, instead of --fields
    #[arg(long)]
    view: Option<String>,
}

pub(crate) async fn run(global: &Global, command: DatasetCommand) -> Result<(), Failure> {
    let work = if matches!(command, DatasetCommand::Preview(_)) { Work::Here } else { Work::No };
    let session = Session::open(global, work).await?;
    let text = match command {
        DatasetCommand::List => {
            session.client.datasets().await.map(|found| (summary(&found.read.datasets), found.json))
        }
        DatasetCommand::Show { name } => {
            session.client.dataset(&name).await.map(|found| (details(&found.read), found.json))
        }
        DatasetCommand::Preview(args) => preview(&session.client, &args, global.json).await,
    };
    session.close().await;
    let (text, json) = text?;
    if global.json { print_json(&json) } else { print(&text) }
}

/// The first records: as a table, or as the array that the API delivers. They come by a job like any other.
async fn preview(client: &Client, args: &PreviewArgs, as_json: bool) -> Result<(String, Value), Failure> {
    let format = if as_json { "json" } else { "csv" };
    let mut members = Map::new();
    members.insert("dataset".into(), json!(args.name));
    members.insert("limit".into(), json!(args.records));
    members.insert("format".into(), json!(format));
    if !args.fields.is_empty() {
        members.insert("fields".into(), json!(args.fields));
    }
    if let Some(view) = &args.view {
        members.insert("view".into(), json!(view));
    }
    let job = client.submit(&Submission { members, params: Vec::new() }).await?;
    let job = client.follow(&job.read.job_id, None, &mut Reporter::Silent).await?;
    if job.read.state != "completed" {
        return Err(job_failed(&job));
    }
    let mut spool = Target::spool()?;
    client.fetch(&job.read.job_id, &mut spool, &mut Reporter::Silent).await?;
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        Failure::caused(Exit::Failed, "cannot read the records", error)
    };
    let file = spool.file().map_err(|error| unreadable(&error))?;
    file.rewind().map_err(|error| unreadable(&error))?;
    if as_json {
        let json = serde_json::from_reader(io::BufReader::new(file)).map_err(|error| unreadable(&error))?;
        return Ok((String::new(), json));
    }
    let mut rows = Vec::new();
    for row in csv::ReaderBuilder::new().has_headers(false).from_reader(file).records() {
        let row = row.map_err(|error| unreadable(&error))?;
        rows.push(row.iter().map(cut).collect());
    }
    Ok((table(&rows), Value::Null))
}

/// A value, as far as it fits into a cell.
fn cut(value: &str) -> String {
    match value.char_indices().nth(CELL) {
        Some(_) => value.chars().take(CELL - 1).chain(['…']).collect(),
        None => value.to_owned(),
    }
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

/// The columns, with what is known of their values where anything is.
fn columns(dataset: &wire::Dataset) -> Vec<Vec<String>> {
    let known = dataset.statistics.as_ref().map(|known| &known.columns).filter(|known| !known.is_empty());
    let mut heading = vec!["COLUMN", "TYPE", "NULLS"];
    if known.is_some() {
        heading.extend(["MIN", "MAX", "DISTINCT"]);
    }
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(dataset.columns.iter().map(|column| {
        let of = known.and_then(|known| known.get(&column.name));
        let nulls = match of.and_then(|of| of.nulls) {
            Some(count) => HumanCount(count).to_string(),
            None => if column.nullable { "yes" } else { "no" }.to_owned(),
        };
        let mut row = vec![clean(&column.name), clean(&column.data_type), nulls];
        if known.is_some() {
            let end = |value: Option<&Value>| value.map_or(String::new(), |value| shown(value, of));
            row.push(end(of.and_then(|of| of.min.as_ref())));
            row.push(end(of.and_then(|of| of.max.as_ref())));
            row.push(of.and_then(|of| of.distinct).map_or(String::new(), |n| HumanCount(n).to_string()));
        }
        row
    }));
    rows
}

/// The least or the greatest value as it fits into a cell; `~` where it is only a bound of the values.
fn shown(value: &Value, of: Option<&wire::ColumnStatistics>) -> String {
    let text = match value {
        Value::String(text) => cut(&clean(text)),
        other => other.to_string(),
    };
    if of.is_some_and(|of| of.exact) { text } else { format!("~{text}") }
}

fn details(dataset: &wire::Dataset) -> String {
    let mut text = format!("{}: {}\n", dataset.name, clean(&dataset.description));
    text += &format!("{} records", records(dataset));
    if let Some(updated) = &dataset.updated {
        text += &format!(", updated {updated}");
    }
    text += "\n\n";
    text += &table(&columns(dataset));
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
