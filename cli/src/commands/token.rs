//! `token`: makes, lists and revokes tokens, also beside a running server.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use willcall_core::{
    AccountId, Error,
    account::{Scope, TokenRecord},
    usecases::accounts::{Registry, create_token, put_account, revoke_token},
};

use crate::{
    args::{AwsHost, Global},
    failure::{Exit, Failure},
    host::open_registry,
    output::{clean, note, print, print_json, table},
};

/// The account that a server makes for itself, and that tokens are for unless they name another.
pub(crate) const DEFAULT_ACCOUNT: &str = "default";

/// Make, list and revoke tokens.
#[derive(Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    aws: AwsHost,
    #[command(subcommand)]
    command: TokenCommand,
}

/// What to do with tokens.
#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and its account where there is none; it is shown this once
    Create(CreateArgs),
    /// List tokens; never the tokens themselves
    List {
        /// Only those of this account
        #[arg(long)]
        account: Option<AccountId>,
    },
    /// Revoke a token; it stops working at once
    Revoke {
        /// Its id, as `token list` shows it: at least 8 digits of it
        id: String,
    },
}

/// Make a token.
#[derive(Args)]
pub(crate) struct CreateArgs {
    /// The account that it acts for
    #[arg(long, default_value = DEFAULT_ACCOUNT)]
    account: AccountId,
    /// The plan of an account that is made with it [default: the catalog's default plan]
    #[arg(long)]
    plan: Option<String>,
    /// What it may do: read, submit or admin, each with those before it
    #[arg(long, default_value = "submit")]
    scope: Scope,
    /// What you call it
    #[arg(long, default_value = "")]
    name: String,
    /// After how long it stops working: 90d, 12h, 30m [default: never]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<Duration>,
}

/// A length of time as it is written: a number and a unit.
fn lifetime(text: &str) -> Result<Duration, String> {
    let units = [('d', 86_400), ('h', 3600), ('m', 60)];
    let found = units.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let read = found.and_then(|(number, seconds)| number.parse::<u32>().ok().map(|n| (n, seconds)));
    match read {
        Some((number, seconds)) if number > 0 => Ok(Duration::from_secs(u64::from(number) * seconds)),
        _ => Err("write it as days, hours or minutes: 90d, 12h, 30m".into()),
    }
}

/// Tokens and accounts have no HTTP API: whoever has the data directory, or the table, keeps them.
pub(super) async fn registry_of(global: &Global, aws: &AwsHost) -> Result<Registry, Failure> {
    if let Some(table) = aws.table() {
        return crate::aws::open_registry(global, aws, table).await;
    }
    if global.server.is_some() {
        return Err(Failure::new(
            Exit::Usage,
            "accounts and tokens are kept in the server's data directory, not over HTTP",
        )
        .advice(
            "run this where the server runs, with its --data-dir and without --server and WILLCALL_SERVER; \
             for a host on AWS, with --table",
        ));
    }
    open_registry(global).await
}

pub(crate) async fn run(global: &Global, args: TokenArgs) -> Result<(), Failure> {
    let registry = registry_of(global, &args.aws).await?;
    match args.command {
        TokenCommand::Create(args) => create(global, &registry, args).await,
        TokenCommand::List { account } => list(global, &registry, account.as_ref()).await,
        TokenCommand::Revoke { id } => {
            let record = revoke_token(&registry, &id)
                .await
                .map_err(|error| Failure::from(error).advice("`willcall token list` shows the ids"))?;
            if global.json {
                return print_json(
                    &json!({ "id": record.hash.short(), "account": record.account, "revoked": true }),
                );
            }
            note(format!("token {} of account {} is revoked", record.hash.short(), record.account));
            Ok(())
        }
    }
}

async fn create(global: &Global, registry: &Registry, args: CreateArgs) -> Result<(), Failure> {
    let found =
        registry.accounts.account(&args.account).await.map_err(|error| Failure::from(Error::from(error)))?;
    let plan = match (found, args.plan) {
        (Some(account), Some(plan)) if plan != account.plan => {
            let words = format!("account {} has the plan {}, not {}", account.id, account.plan, clean(&plan));
            return Err(Failure::new(Exit::Usage, words).advice(format!(
                "leave --plan out, or change it: willcall account put {} --plan {plan}",
                account.id
            )));
        }
        (Some(account), _) => account.plan,
        (None, plan) => {
            let catalog =
                registry.catalog.catalog().await.map_err(|error| Failure::from(Error::from(error)))?;
            let plan = plan.unwrap_or_else(|| catalog.default_plan.clone());
            put_account(registry, args.account.clone(), &plan).await?.plan
        }
    };
    let (token, record) = create_token(registry, &args.account, args.scope, &args.name, args.expires).await?;
    if global.json {
        let mut said = describe(&record, registry);
        if let Value::Object(members) = &mut said {
            members.insert("token".into(), json!(token.expose()));
            members.insert("plan".into(), json!(plan));
        }
        return print_json(&said);
    }
    note(format!(
        "token {} of account {} (plan {plan}, scope {}):",
        record.hash.short(),
        record.account,
        record.scope
    ));
    print(&format!("{}\n", token.expose()))?;
    note("it is shown this once: keep it as WILLCALL_TOKEN");
    Ok(())
}

async fn list(global: &Global, registry: &Registry, account: Option<&AccountId>) -> Result<(), Failure> {
    let tokens =
        registry.accounts.tokens(account).await.map_err(|error| Failure::from(Error::from(error)))?;
    if global.json {
        let tokens: Vec<Value> = tokens.iter().map(|token| describe(token, registry)).collect();
        return print_json(&json!({ "tokens": tokens }));
    }
    let mut rows =
        vec![["ID", "ACCOUNT", "SCOPE", "STATE", "CREATED", "EXPIRES", "NAME"].map(str::to_owned).to_vec()];
    rows.extend(tokens.iter().map(|token| {
        vec![
            token.hash.short().to_owned(),
            token.account.to_string(),
            token.scope.to_string(),
            state(token, registry).to_owned(),
            token.created.to_string(),
            token.expires.map(|expires| expires.to_string()).unwrap_or_default(),
            clean(&token.name),
        ]
    }));
    print(&table(&rows))
}

fn state(token: &TokenRecord, registry: &Registry) -> &'static str {
    match token.revoked {
        Some(_) => "revoked",
        None if token.is_live(registry.clock.now()) => "live",
        None => "expired",
    }
}

fn describe(token: &TokenRecord, registry: &Registry) -> Value {
    json!({
        "id": token.hash.short(),
        "account": token.account,
        "scope": token.scope,
        "name": token.name,
        "state": state(token, registry),
        "created": token.created,
        "expires": token.expires,
        "revoked": token.revoked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_number_and_a_unit() {
        assert_eq!(lifetime("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(lifetime("30m"), Ok(Duration::from_secs(1800)));
        for wrong in ["", "d", "0d", "-1d", "1.5h", "90", "1w", "99999999999d", "1dd"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
