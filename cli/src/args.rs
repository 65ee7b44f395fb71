//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;
use willcall_core::AccountId;

use crate::{
    commands::{
        account, cancel, catalog, dataset, delete, download, get, list, serve, status, submit, token, webhook,
    },
    failure::EXIT_CODES,
};

/// Where functions look for the catalog unless told otherwise.
pub(crate) const CATALOG_KEY: &str = "catalog/catalog.json";

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

/// Where the AWS host keeps accounts, instead of a data directory.
#[derive(Args)]
pub(crate) struct AwsHost {
    /// The DynamoDB table of a host on AWS [default: none, but the data directory of one box]
    #[arg(long, global = true, value_name = "NAME", env = "WILLCALL_TABLE", help_heading = "AWS")]
    table: Option<String>,
    /// The bucket whose catalog has the plans [default: none, but the file that --catalog names]
    #[arg(long, global = true, value_name = "NAME", env = "WILLCALL_BUCKET", help_heading = "AWS")]
    bucket: Option<String>,
    /// Where in the bucket the catalog is
    #[arg(long, global = true, value_name = "KEY", default_value = CATALOG_KEY, help_heading = "AWS")]
    pub(crate) key: String,
}

impl AwsHost {
    /// The table, where the accounts are in one. An empty variable counts as none.
    pub(crate) fn table(&self) -> Option<&str> {
        self.table.as_deref().filter(|name| !name.is_empty())
    }

    /// The bucket, likewise.
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "who has no table asks for no bucket"))]
    pub(crate) fn bucket(&self) -> Option<&str> {
        self.bucket.as_deref().filter(|name| !name.is_empty())
    }
}

/// Where the AWS host keeps webhooks, for commands that ask no server.
#[derive(Args)]
pub(crate) struct AwsWebhooks {
    /// The DynamoDB table of a host on AWS [default: none, but the server or the data directory]
    #[arg(long, global = true, value_name = "NAME", env = "WILLCALL_TABLE", help_heading = "AWS")]
    table: Option<String>,
    /// Whose webhooks, of those in the table
    #[arg(long, global = true, value_name = "ID", help_heading = "AWS")]
    pub(crate) account: Option<AccountId>,
    /// The bucket that has the key of secrets: for create, test and rotate
    #[arg(long, global = true, value_name = "NAME", env = "WILLCALL_BUCKET", help_heading = "AWS")]
    bucket: Option<String>,
    /// The address of the queue that wakes senders: for resend [default: none, but the sweeper wakes one in a minute or two]
    #[arg(long, global = true, value_name = "URL", env = "WILLCALL_NOTIFY_QUEUE_URL", help_heading = "AWS")]
    notify_queue: Option<String>,
    /// What webhooks may reach beside the public internet, as the deployment has it
    #[arg(
        long,
        global = true,
        value_name = "LIST",
        env = "WILLCALL_WEBHOOKS_ALLOW",
        value_delimiter = ',',
        help_heading = "AWS"
    )]
    pub(crate) allow: Vec<String>,
}

impl AwsWebhooks {
    /// The table. An empty variable counts as none.
    pub(crate) fn table(&self) -> Option<&str> {
        self.table.as_deref().filter(|name| !name.is_empty())
    }

    /// The bucket, likewise.
    pub(crate) fn bucket(&self) -> Option<&str> {
        self.bucket.as_deref().filter(|name| !name.is_empty())
    }

    /// The queue, likewise.
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "who has no table wakes nobody"))]
    pub(crate) fn notify_queue(&self) -> Option<&str> {
        self.notify_queue.as_deref().filter(|url| !url.is_empty())
    }
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
    Token(token::TokenArgs),
    /// Make, test and rotate webhooks, and see what was told of a job
    Webhook(webhook::WebhookArgs),
    /// Show accounts, and give them plans
    Account(account::AccountArgs),
    /// Check a catalog and its data sets, or bring them to AWS
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
