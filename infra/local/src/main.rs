//! `make aws-local`: the AWS host on this machine, with a catalog, an account and a token, until Ctrl-C.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use willcall_aws_local::{Endpoints, Local, OnLog, Options};
use willcall_aws_test::{Emulator, QueueClock};

/// The account of the token that is shown.
const ACCOUNT: &str = "local";
/// The function whose environment tells where things are.
const FUNCTION: &str = "StatusFunction";
/// Names an interpreter that has `tests/requirements.txt` installed.
const PYTHON: &str = "WILLCALL_TEST_PYTHON";

/// Runs the deployment of the SAM template on this machine: the real function binaries behind an HTTP API.
///
/// On the emulator moto, or on the back end that --endpoint-url or AWS_ENDPOINT_URL (also _S3, _SQS, _DYNAMODB) names.
#[derive(Parser)]
#[command(name = "willcall-aws-local", version)]
struct Args {
    /// The template
    #[arg(long, value_name = "FILE", default_value = "infra/sam/template.yaml")]
    template: PathBuf,
    /// A value of one of the template's parameters; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// Where the binaries are [default: beside this one]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// The catalog that is built into the bucket
    #[arg(long, value_name = "FILE", default_value = "examples/willcall.toml")]
    catalog: PathBuf,
    /// The loopback port to serve on; 0 takes a free one
    #[arg(long, default_value = "8788")]
    port: u16,
    /// The back end of all services, instead of an emulator started here
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Leave table, queues and bucket on the back end when it stops
    #[arg(long)]
    keep: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let binaries = match args.binaries {
        Some(binaries) => binaries,
        None => env::current_exe()?.parent().context("this program is in no directory")?.to_owned(),
    };
    let command = binaries.join("willcall");
    ensure!(
        command.is_file(),
        "{} is missing: `make aws-local` builds it, with its feature aws",
        command.display()
    );
    // Held until the end: the emulator ends some seconds after.
    let (endpoints, _emulator) = back_end(args.endpoint_url).await?;
    let mut options = Options::new(args.template, &binaries, endpoints);
    options.parameters = args.parameters.into_iter().collect();
    options.port = args.port;
    options.keep = args.keep;
    // Links must work after whoever signed them: they lead to the back end itself.
    options.faults = false;
    options.on_log = Some(OnLog(Arc::new(|line| {
        // Nobody to tell where stderr is closed.
        let _ = writeln!(io::stderr(), "{}/{} {}", line.function, line.environment, line.text);
    })));
    let local = Local::start(options).await?;
    let served = tokio::select! {
        served = serve(&local, &command, &args.catalog) => served,
        stopped = tokio::signal::ctrl_c() => stopped.context("cannot wait for Ctrl-C"),
    };
    local.stop().await?;
    served
}

/// The back end that is named, or an emulator.
async fn back_end(named: Option<String>) -> Result<(Endpoints, Option<(Emulator, TempDir)>)> {
    if let Some(url) = named {
        let known = Endpoints::from_env().unwrap_or_else(|| Endpoints::at(""));
        return Ok((Endpoints { all: Some(url), s3: None, sqs: None, dynamodb: None, ..known }, None));
    }
    if let Some(endpoints) = Endpoints::from_env() {
        return Ok((endpoints, None));
    }
    if env::var_os(PYTHON).is_none() {
        bail!(
            "no back end: set AWS_ENDPOINT_URL, or {PYTHON} to a Python that has tests/requirements.txt installed"
        );
    }
    let directory = TempDir::with_prefix("willcall-emulator-")?;
    let path = directory.path().to_owned();
    let emulator = tokio::task::spawn_blocking(move || Emulator::start(&path, QueueClock::Live)).await?;
    Ok((Endpoints::at(emulator.endpoint()), Some((emulator, directory))))
}

/// Brings the catalog and a token, says how to use them, and waits for Ctrl-C.
async fn serve(local: &Local, command: &Path, catalog: &Path) -> Result<()> {
    let bucket = local.bucket()?;
    let catalog = catalog.to_str().context("the catalog's path is not UTF-8")?;
    willcall(local, command, &["catalog", "build", "--bucket", bucket, "--catalog", catalog]).await?;
    let made = willcall(
        local,
        command,
        &["token", "create", "--account", ACCOUNT, "--scope", "admin", "--name", "aws-local"],
    );
    let made: Value = serde_json::from_slice(&made.await?).context("`willcall token create` gave no JSON")?;
    let token = made["token"].as_str().context("`willcall token create` gave no token")?;
    let url = local.url();
    // On stdout: the functions' lines are on stderr, and may be kept.
    let mut out = io::stdout().lock();
    write!(
        out,
        "the AWS host serves {url} (its pages: {url}/docs)\n\n\
         The token of the account {ACCOUNT}, good until this ends:\n\n    {token}\n\n\
         Ask, look, collect:\n\n\
         JOB=$(curl -s -u {token}: -H 'Content-Type: application/json' -d '{{\"kind\": \"query\", \"dataset\": \"flights\", \
         \"format\": \"csv\", \"limit\": 1000}}' {url}/v1/jobs | sed 's/.*\"job_id\":\"\\([^\"]*\\)\".*/\\1/')\n\
         curl -s -u {token}: \"{url}/v1/jobs/$JOB?wait=25\"\n\
         curl -sL -u {token}: -o flights.csv \"{url}/v1/jobs/$JOB/download\"\n\n"
    )?;
    out.flush()?;
    drop(out);
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}

/// Runs the willcall command on what the deployment has, and answers its stdout.
async fn willcall(local: &Local, command: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let variables: BTreeMap<&str, &str> = local
        .variables(FUNCTION)?
        .iter()
        .filter(|(name, _)| name.starts_with("AWS_") && !name.starts_with("AWS_LAMBDA_"))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let done = Command::new(command)
        .args(arguments)
        .arg("--json")
        .envs(variables)
        .env("WILLCALL_TABLE", local.table()?)
        .env("WILLCALL_BUCKET", local.bucket()?)
        .env_remove("WILLCALL_SERVER")
        .env_remove("WILLCALL_TOKEN")
        .env_remove("WILLCALL_CATALOG")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("{} does not start", command.display()))?;
    ensure!(done.status.success(), "`willcall {}` failed", arguments[..2].join(" "));
    Ok(done.stdout)
}
