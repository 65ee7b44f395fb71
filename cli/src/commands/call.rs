//! `call`: an upstream, called for each of the user's own items.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::rows::{RowsArgs, Work, run_rows};
use crate::{
    args::Global,
    failure::Failure,
    request::{given, text},
};

/// What `--format` says here: what upstreams answer fits no columns.
const FORMATS: &str =
    "jsonl, json or csv [default: what the output's name ends in; jsonl, if it has no ending]";

/// Call an upstream for each item of your own.
#[derive(Args)]
#[command(
    mut_arg("format", |format| format.help(FORMATS)),
    mut_arg("parquet_compression", |option| option.hide(true)),
    mut_arg("parquet_row_group_size", |option| option.hide(true))
)]
pub(crate) struct CallArgs {
    /// The items: JSON Lines, CSV or JSON, also compressed (.gz, .zst); - is stdin
    input: PathBuf,
    /// The upstream, as the operator calls it
    #[arg(long)]
    upstream: String,
    /// The member of an item that names it in the result [default: id]
    #[arg(long, value_name = "MEMBER")]
    id: Option<String>,
    /// After how many failed items of a batch no more of it are sent [default: however many fail]
    #[arg(long, value_name = "N")]
    max_errors: Option<u64>,
    #[command(flatten)]
    rows: RowsArgs,
}

pub(crate) async fn run(global: &Global, args: CallArgs) -> Result<(), Failure> {
    let mut members = given([
        ("kind", Some(json!("call"))),
        ("upstream", Some(json!(args.upstream))),
        ("id", text(&args.id)),
        ("max_errors", args.max_errors.map(Into::into)),
    ]);
    members.extend(args.rows.output_members());
    run_rows(global, Work { input: args.input, members, default: "jsonl" }, args.rows, |_| Ok(())).await
}
