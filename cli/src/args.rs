//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

use crate::{
    commands::{
        account, cancel, catalog, dataset, delete, download, get, list, serve, status, submit, token, webhook,
    },
    failure::EXIT_CODES,
};

/// Turns data sets into an asynchronous data API: ask now, collect later.
#[derive(Parser)]
#[command(name = "willcall", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args)]
pub(crate) struct Global {
    /// Ask this server, instead of doing the work in this process: http://127.0.0.1:8787
    #[arg(long, global = true, value_name = "URL", env = "WILLCALL_SERVER", help_heading = "Where")]
    pub(crate) server: Option<String>,
    /// The token for the server; better given as WILLCALL_TOKEN, which other users of the machine cannot see
    #[arg(long, global = true, env = "WILLCALL_TOKEN", hide_env_values = true, help_heading = "Where")]
    pub(crate) token: Option<SecretString>,
    /// The catalog [default: willcall.toml, else examples/willcall.toml]
    #[arg(long, global = true, value_name = "FILE", env = "WILLCALL_CATALOG", help_heading = "Where")]
    pub(crate) catalog: Option<PathBuf>,
    /// Where jobs, results and accounts are kept
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "WILLCALL_DATA_DIR",
        default_value = ".willcall",
        help_heading = "Where"
    )]
    pub(crate) data_dir: PathBuf,
    /// Answer with JSON on stdout, and errors with JSON on stderr
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// How the log on stderr is written; RUST_LOG says how much of it
    #[arg(long, global = true, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) log_format: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for a person.
    Text,
    /// A JSON object a line.
    Json,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP API, and do the jobs' work
    Serve(serve::ServeArgs),
    /// Ask for records and collect them: submit, follow, download, verify
    Get(get::GetArgs),
    /// Submit a job and go on
    Submit(submit::SubmitArgs),
    /// Show a job
    Status(status::StatusArgs),
    /// List jobs, newest first
    List(list::ListArgs),
    /// Give a job up
    Cancel(cancel::CancelArgs),
    /// Remove a job with its result
    Delete(delete::DeleteArgs),
    /// Fetch and verify a job's result
    Download(download::DownloadArgs),
    /// Show data sets with their columns and views
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// Make, list and revoke tokens, also beside a running server
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Make, test and rotate webhooks, and see what was told of a job
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Show accounts, and give them plans
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Check a catalog and its data sets
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_every_command_may_follow_it() {
        let line = ["willcall", "list", "--json", "--server", "http://x", "--data-dir", "d"];
        let cli = Cli::try_parse_from(line).ok().unwrap();
        assert!(cli.global.json && cli.global.server.as_deref() == Some("http://x"));
    }
}
