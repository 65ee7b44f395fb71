//! A host that somebody has deployed: all that is known of it is an address and a token.

use std::env;

use anyhow::{Context, Result, ensure};

use super::Host;
use crate::Client;

const URL: &str = "WILLCALL_URL";
const TOKEN: &str = "WILLCALL_TOKEN";

/// A host at `WILLCALL_URL`, spoken to with `WILLCALL_TOKEN`.
#[derive(Debug, Clone, Copy)]
pub struct Deployed;

impl Deployed {
    /// Whether the environment names one.
    pub fn is_named() -> bool {
        env::var_os(URL).is_some_and(|url| !url.is_empty())
    }

    /// The host, whose data set `numbers` must have at least that many records.
    pub async fn numbers(records: i64) -> Result<Host> {
        let url = env::var(URL).context(URL)?;
        let token = env::var(TOKEN).context("WILLCALL_URL is set and WILLCALL_TOKEN is not")?;
        let client = Client::new(url.trim_end_matches('/'), Some(&token))?;
        let answer = client.get("/v1/datasets/numbers").await?;
        ensure!(
            answer.status == 200,
            "{url} answers {} when asked for the data set `numbers` with the token of WILLCALL_TOKEN; \
             `cargo run -p willcall-tests --example numbers` writes it: {}",
            answer.status,
            answer.text()
        );
        let found = answer.json()?["records"].as_i64().unwrap_or_default();
        ensure!(found >= records, "{url} has {found} records in `numbers`; this scenario needs {records}");
        Ok(Host::new(client, None))
    }
}
