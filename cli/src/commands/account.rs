//! `account`: who may ask, and by which plan.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use willcall_core::{AccountId, Error, usecases::accounts::put_account};

use super::{Session, Work, token::registry_of};
use crate::{
    args::{AwsHost, Global},
    failure::Failure,
    output::{note, print, print_json, table},
};

/// Show accounts, and give them plans.
#[derive(Args)]
pub(crate) struct AccountArgs {
    #[command(flatten)]
    aws: AwsHost,
    #[command(subcommand)]
    command: AccountCommand,
}

/// What to do with accounts.
#[derive(Subcommand)]
pub(crate) enum AccountCommand {
    /// Show the account behind the token: its plan, the plan's limits, what is used of them
    Show,
    /// List the accounts of the data directory, or of the table
    List,
    /// Make an account, or give one another plan
    Put {
        /// Its id
        id: AccountId,
        /// The plan, as the catalog names it
        #[arg(long)]
        plan: String,
    },
}

pub(crate) async fn run(global: &Global, args: AccountArgs) -> Result<(), Failure> {
    match args.command {
        AccountCommand::Show => show(global).await,
        AccountCommand::List => list(global, &args.aws).await,
        AccountCommand::Put { id, plan } => {
            let account = put_account(&registry_of(global, &args.aws).await?, id, &plan).await?;
            if global.json {
                return print_json(&json!(account));
            }
            note(format!("account {} has the plan {}", account.id, account.plan));
            Ok(())
        }
    }
}

async fn show(global: &Global) -> Result<(), Failure> {
    let session = Session::open(global, Work::No).await?;
    let account = session.client.account().await;
    session.close().await;
    let account = account?;
    if global.json {
        return print_json(&account);
    }
    let mut rows = Vec::new();
    flatten("", &account, &mut rows);
    print(&table(&rows))
}

/// Members in lines of name and value, those of objects with dots.
fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{name}"), value, rows);
            }
        }
        // What is not limited is not counted either.
        Value::Null if prefix.starts_with("usage.") => {
            rows.push(vec![prefix.to_owned(), "not counted".to_owned()]);
        }
        Value::Null => rows.push(vec![prefix.to_owned(), "no limit".to_owned()]),
        Value::String(text) => rows.push(vec![prefix.to_owned(), crate::output::clean(text)]),
        other => rows.push(vec![prefix.to_owned(), other.to_string()]),
    }
}

async fn list(global: &Global, aws: &AwsHost) -> Result<(), Failure> {
    let registry = registry_of(global, aws).await?;
    let accounts = registry.accounts.accounts().await.map_err(|error| Failure::from(Error::from(error)))?;
    if global.json {
        return print_json(&json!({ "accounts": accounts }));
    }
    let mut rows = vec![["ACCOUNT", "PLAN", "CREATED"].map(str::to_owned).to_vec()];
    rows.extend(
        accounts
            .into_iter()
            .map(|account| vec![account.id.to_string(), account.plan, account.created.to_string()]),
    );
    print(&table(&rows))
}
