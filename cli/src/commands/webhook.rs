//! `webhook`: who is told of jobs, and what became of it.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Session, Work};
use crate::{
    args::{AwsWebhooks, Global},
    client::Client,
    failure::{Exit, Failure},
    output::{clean, note, print, print_json, table},
};

/// Make, test and rotate webhooks, and see what was told of a job. Needs a token of the scope admin, or the table of a host
/// on AWS.
#[derive(Args)]
pub(crate) struct WebhookArgs {
    #[command(flatten)]
    aws: AwsWebhooks,
    #[command(subcommand)]
    command: WebhookCommand,
}

/// What to do with webhooks.
#[derive(Subcommand)]
pub(crate) enum WebhookCommand {
    /// Make a webhook that is told of all jobs of the account; its secret is shown this once
    Create(CreateArgs),
    /// List the account's webhooks
    List,
    /// Remove a webhook
    Delete {
        /// The webhook's id
        webhook: String,
    },
    /// Send to a webhook again, also to one that said that it is gone
    Enable {
        /// The webhook's id
        webhook: String,
    },
    /// Send nothing more to a webhook
    Disable {
        /// The webhook's id
        webhook: String,
    },
    /// Send a test to a webhook, and say what it answered
    Test {
        /// The webhook's id
        webhook: String,
    },
    /// Make a new secret, shown this once; the one before works for 24 hours more
    Rotate {
        /// The webhook's id [default: the account's default secret, for the addresses of single jobs]
        webhook: Option<String>,
    },
    /// Show what was told of a job, and every attempt
    Deliveries {
        /// The job's id
        job: String,
    },
    /// Tell once more what was told of a job
    Resend {
        /// The job's id
        job: String,
        /// The notification's id, as `webhook deliveries` shows it
        notification: String,
    },
}

/// Make a webhook.
#[derive(Args)]
pub(crate) struct CreateArgs {
    /// Where messages are sent: an https address
    url: String,
    /// Of what it is told: results.ready, job.failed, job.cancelled, job.expired, batch.completed, batch.failed, with
    /// commas between [default: everything]
    #[arg(long, value_name = "EVENTS", value_delimiter = ',')]
    events: Vec<String>,
    /// What you call it
    #[arg(long)]
    description: Option<String>,
}

impl WebhookCommand {
    /// Whether it makes secrets or signs by them.
    fn needs_secrets(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Test { .. } | Self::Rotate { .. })
    }
}

pub(crate) async fn run(global: &Global, args: WebhookArgs) -> Result<(), Failure> {
    let WebhookArgs { aws, command } = args;
    // A server that is named is asked, whatever else the environment has.
    if let (None, Some(table)) = (&global.server, aws.table()) {
        if command.needs_secrets() && aws.bucket().is_none() {
            let words = "nothing says where the key of the webhooks' secrets is";
            return Err(Failure::new(Exit::Usage, words).advice("name the host's bucket with --bucket"));
        }
        let client = crate::aws::webhook_client(&aws, table).await?;
        return answer(global, &client, command).await;
    }
    if aws.account.is_some() {
        return Err(Failure::new(Exit::Usage, "--account is for the table of a host on AWS")
            .advice("name it with --table; of a server it is the account that the token is for"));
    }
    let session = Session::open(global, Work::No).await?;
    let done = answer(global, &session.client, command).await;
    session.close().await;
    done
}

async fn answer(global: &Global, client: &Client, command: WebhookCommand) -> Result<(), Failure> {
    match command {
        WebhookCommand::Create(args) => {
            let mut draft = Map::from_iter([("url".to_owned(), json!(args.url))]);
            if !args.events.is_empty() {
                draft.insert("events".into(), json!(args.events));
            }
            if let Some(description) = args.description {
                draft.insert("description".into(), json!(description));
            }
            let made = client.create_webhook(&Value::Object(draft)).await?;
            show_secret(global, &made, &format!("webhook {}:", text(&made, "webhook_id")))
        }
        WebhookCommand::List => list(global, &client.webhooks().await?),
        WebhookCommand::Delete { webhook } => {
            client.delete_webhook(&webhook).await?;
            if global.json {
                return print_json(&json!({ "webhook_id": webhook, "deleted": true }));
            }
            note(format!("webhook {} is gone", clean(&webhook)));
            Ok(())
        }
        WebhookCommand::Enable { webhook } => enable(global, client, &webhook, true).await,
        WebhookCommand::Disable { webhook } => enable(global, client, &webhook, false).await,
        WebhookCommand::Test { webhook } => test(global, &client.test_webhook(&webhook).await?),
        WebhookCommand::Rotate { webhook } => {
            let made = client.rotate_secret(webhook.as_deref()).await?;
            let of = webhook
                .map_or("the account's default secret:".into(), |id| format!("webhook {}:", clean(&id)));
            show_secret(global, &made, &of)
        }
        WebhookCommand::Deliveries { job } => deliveries(global, &client.notifications(&job).await?),
        WebhookCommand::Resend { job, notification } => {
            let resent = client.resend(&job, &notification).await?;
            if global.json {
                return print_json(&resent);
            }
            note(format!("notification {} will be sent again", text(&resent, "notification_id")));
            Ok(())
        }
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().map(clean).unwrap_or_default()
}

/// The secret alone on stdout, so that it can be piped to where it belongs.
fn show_secret(global: &Global, made: &Value, of: &str) -> Result<(), Failure> {
    if global.json {
        return print_json(made);
    }
    note(of);
    print(&format!("{}\n", text(made, "secret")))?;
    note("it is shown this once: give it to the receiver");
    Ok(())
}

async fn enable(global: &Global, client: &Client, webhook: &str, enabled: bool) -> Result<(), Failure> {
    let changed = client.enable_webhook(webhook, enabled).await?;
    if global.json {
        return print_json(&changed);
    }
    note(format!("webhook {} is {}", clean(webhook), if enabled { "enabled" } else { "disabled" }));
    Ok(())
}

fn list(global: &Global, list: &Value) -> Result<(), Failure> {
    if global.json {
        return print_json(list);
    }
    let mut rows = vec![["ID", "STATE", "EVENTS", "URL", "DESCRIPTION"].map(str::to_owned).to_vec()];
    for webhook in list["webhooks"].as_array().into_iter().flatten() {
        let events = webhook["events"].as_array().map_or("all".to_owned(), |events| {
            events.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        });
        let state = match webhook["disabled_reason"].as_str() {
            None => "enabled".to_owned(),
            Some(reason) => format!("disabled ({reason})"),
        };
        rows.push(vec![
            text(webhook, "webhook_id"),
            state,
            events,
            text(webhook, "url"),
            text(webhook, "description"),
        ]);
    }
    print(&table(&rows))
}

fn test(global: &Global, tested: &Value) -> Result<(), Failure> {
    if global.json {
        print_json(tested)?;
    }
    let outcome = outcome(tested);
    if tested["delivered"] == true {
        if !global.json {
            note(format!("delivered: {outcome} in {}", text(tested, "duration")));
        }
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("not delivered: {outcome}")))
}

/// What a receiver answered, or why it did not.
fn outcome(attempt: &Value) -> String {
    match (attempt["status"].as_u64(), attempt["error"].as_str()) {
        (Some(status), None) => format!("the receiver answered {status}"),
        (Some(status), Some(error)) => format!("the receiver answered {status}: {}", clean(error)),
        (None, error) => clean(error.unwrap_or("nothing was sent yet")),
    }
}

fn deliveries(global: &Global, list: &Value) -> Result<(), Failure> {
    if global.json {
        return print_json(list);
    }
    let mut rows =
        vec![["ID", "EVENT", "STATE", "ATTEMPTS", "LAST", "NEXT", "TO"].map(str::to_owned).to_vec()];
    for one in list["notifications"].as_array().into_iter().flatten() {
        let attempts = one["attempts"].as_array();
        let to = match one["url"].as_str() {
            Some(url) => clean(url),
            None => format!("webhook {}", text(one, "webhook_id")),
        };
        rows.push(vec![
            text(one, "notification_id"),
            text(one, "event"),
            text(one, "state"),
            attempts.map_or(0, Vec::len).to_string(),
            attempts.and_then(|attempts| attempts.last()).map(outcome).unwrap_or_default(),
            text(one, "next_attempt"),
            to,
        ]);
    }
    print(&table(&rows))
}
