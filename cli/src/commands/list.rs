//! `list`: jobs, newest first.

use clap::Args;
use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Value, json};

use super::{Session, Work};
use crate::{
    args::Global,
    client::Client,
    failure::Failure,
    output::{clean, print, print_json, table},
};

/// The most jobs that one call answers.
const PAGE: usize = 500;

/// List jobs, newest first.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only those in this state
    #[arg(long)]
    state: Option<String>,
    /// Only those of this data set
    #[arg(long)]
    dataset: Option<String>,
    /// Only those of this name
    #[arg(long)]
    name: Option<String>,
    /// Only those with this label (repeatable)
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Only those created after this moment: 2026-01-05T10:00:00Z
    #[arg(long, value_name = "MOMENT")]
    created_after: Option<String>,
    /// Only those created before this moment
    #[arg(long, value_name = "MOMENT")]
    created_before: Option<String>,
    /// The most jobs
    #[arg(long, value_name = "N", default_value = "50")]
    limit: usize,
}

impl ListArgs {
    fn pairs(&self) -> Vec<(String, String)> {
        let own = [
            ("state", &self.state),
            ("dataset", &self.dataset),
            ("name", &self.name),
            ("created_after", &self.created_after),
            ("created_before", &self.created_before),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        let labels = self.labels.iter().map(|label| {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            (format!("label.{key}"), value.to_owned())
        });
        own.chain(labels).collect()
    }
}

pub(crate) async fn run(global: &Global, args: ListArgs) -> Result<(), Failure> {
    let session = Session::open(global, Work::No).await?;
    let found = collect(&session.client, &args).await;
    session.close().await;
    let (json, rows) = found?;
    if global.json {
        return print_json(&json!({ "jobs": json }));
    }
    print(&table(&rows))
}

/// Page by page, until there are enough.
async fn collect(client: &Client, args: &ListArgs) -> Result<(Vec<Value>, Vec<Vec<String>>), Failure> {
    let heading = ["JOB", "STATE", "DATA SET", "FORMAT", "RECORDS", "SIZE", "CREATED", "NAME"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let mut json = Vec::new();
    let mut cursor = None;
    while json.len() < args.limit {
        let mut pairs = args.pairs();
        pairs.push(("limit".into(), (args.limit - json.len()).min(PAGE).to_string()));
        pairs.extend(cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
        let page = client.jobs(&pairs).await?;
        if let Some(Value::Array(jobs)) = page.json.get("jobs") {
            json.extend(jobs.iter().cloned());
        }
        for job in page.read.jobs {
            let result = job.result.as_ref();
            rows.push(vec![
                job.job_id,
                job.state,
                job.dataset.unwrap_or_default(),
                job.format,
                result.map(|result| HumanCount(result.records).to_string()).unwrap_or_default(),
                result.map(|result| DecimalBytes(result.bytes).to_string()).unwrap_or_default(),
                job.created,
                job.name.as_deref().map(clean).unwrap_or_default(),
            ]);
        }
        match page.read.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    Ok((json, rows))
}
