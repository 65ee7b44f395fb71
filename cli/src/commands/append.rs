//! `append`: the user's own rows, each with what a data set knows of it.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::rows::{RowsArgs, Work, run_rows};
use crate::{
    args::Global,
    failure::{Exit, Failure},
    request::{given, list, text},
    rows::Input,
};

/// The ways to compare, as they may stand behind a column.
const WAYS: [&str; 4] = ["exact", "text", "email", "phone"];

/// What `--format` says here.
const FORMATS: &str = "csv, json, jsonl, parquet, arrow or xlsx [default: what the output's name ends in; csv, if it has no ending]";

/// Add to rows of your own what a data set knows of them.
#[derive(Args)]
#[command(mut_arg("format", |format| format.help(FORMATS)))]
pub(crate) struct AppendArgs {
    /// The rows: CSV, JSON Lines, JSON or Parquet; the first three also compressed (.gz, .zst); - is stdin
    input: PathBuf,
    /// The data set
    #[arg(long)]
    dataset: String,
    /// Which column of the rows is which of the data set, and how they are compared: code=iata, mail=email:email
    /// (repeatable: all must match)
    #[arg(long, value_name = "COLUMN=COLUMN[:COMPARE]", value_parser = key, required = true)]
    on: Vec<(String, Value)>,
    /// How columns are compared where --on does not say: exact, text, email or phone [default: exact]
    #[arg(long, value_name = "HOW")]
    compare: Option<String>,
    /// What becomes of a row that several records match: first, all or error [default: first]
    #[arg(long, value_name = "WHAT")]
    on_multiple: Option<String>,
    /// The columns of the data set that are added, in order [default: all]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    fields: Vec<String>,
    /// A view of the data set, instead of --fields
    #[arg(long)]
    view: Option<String>,
    #[command(flatten)]
    rows: RowsArgs,
}

/// `INPUT=COLUMN`, `INPUT=COLUMN:COMPARE`, or one name for both.
fn key(key: &str) -> Result<(String, Value), String> {
    let (input, column) = key.split_once('=').unwrap_or((key, key));
    if input.is_empty() || column.is_empty() {
        return Err("write it as COLUMN=COLUMN, the column of the rows first".into());
    }
    // A name may have a colon of its own.
    Ok(match column.rsplit_once(':').filter(|(column, way)| !column.is_empty() && WAYS.contains(way)) {
        Some((column, way)) => (input.to_owned(), json!({ "column": column, "compare": way })),
        None => (input.to_owned(), json!(column)),
    })
}

pub(crate) async fn run(global: &Global, args: AppendArgs) -> Result<(), Failure> {
    let on: Map<String, Value> = args.on.iter().cloned().collect();
    if on.len() < args.on.len() {
        return Err(Failure::new(Exit::Usage, "--on names a column of the rows twice"));
    }
    let mut members = given([
        ("kind", Some(json!("append"))),
        ("dataset", Some(json!(args.dataset))),
        ("on", Some(Value::Object(on))),
        ("compare", text(&args.compare)),
        ("on_multiple", text(&args.on_multiple)),
        ("fields", list(&args.fields)),
        ("view", text(&args.view)),
    ]);
    members.extend(args.rows.output_members());
    let on: Vec<String> = args.on.into_iter().map(|(input, _)| input).collect();
    let check = |input: &Input| has_columns(input, &on);
    run_rows(global, Work { input: args.input, members, default: "csv" }, args.rows, check).await
}

/// Refuses rows that lack what is compared before anything is uploaded, where their columns can be seen.
fn has_columns(input: &Input, on: &[String]) -> Result<(), Failure> {
    let Some(columns) = &input.columns else { return Ok(()) };
    match on.iter().find(|name| !columns.contains(name)) {
        None => Ok(()),
        Some(missing) => {
            let there = columns.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            Err(Failure::new(
                Exit::Usage,
                crate::output::clean(&format!(
                    "{} has no column {missing:?}; its columns are {there}",
                    input.called
                )),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_meant() {
        for (text, input, column) in [
            ("code=iata", "code", json!("iata")),
            ("iata", "iata", json!("iata")),
            ("mail=email:email", "mail", json!({ "column": "email", "compare": "email" })),
            ("a=b:c", "a", json!("b:c")),
            ("a=:text", "a", json!(":text")),
            ("a=b=c", "a", json!("b=c")),
        ] {
            assert_eq!(key(text), Ok((input.to_owned(), column)), "{text}");
        }
        for text in ["", "=x", "x="] {
            assert!(key(text).is_err(), "{text:?}");
        }
    }
}
