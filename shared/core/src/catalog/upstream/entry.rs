//! An upstream as the operator writes it.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::{HeaderSource, JsonSchema, Rate, Retries, SecretRef, Upstream, UpstreamMethod, UrlTemplate};
use crate::webhook::AllowList;

/// The most bytes of an answer that may be asked for.
const MOST_RESPONSE_BYTES: u64 = 16 << 20;
/// The most calls at once.
const MOST_CONCURRENT: u32 = 1000;
/// The longest that one call may take.
const LONGEST_CALL: Duration = Duration::from_secs(600);

/// Headers that belong to the connection or are set by every call.
const OWN_HEADERS: [&str; 8] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
    "accept-encoding",
];

/// `[upstreams.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamEntry {
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// The method; GET where it is left out.
    pub method: Option<String>,
    /// The address, with `{member}` where a member of the item goes.
    pub url: String,
    /// Headers by name.
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderEntry>,
    /// How long one call may take: `30s`.
    pub timeout: Option<String>,
    /// The most calls at once.
    pub concurrency: Option<u32>,
    /// How often it may be called: `100/1s`.
    pub rate: Option<String>,
    /// How many workers share the rate.
    pub workers: Option<u32>,
    /// Which calls are made again.
    #[serde(default)]
    pub retries: RetriesEntry,
    /// Whether calls may be repeated.
    pub idempotent: Option<bool>,
    /// The header for the key of an item.
    pub idempotency_header: Option<String>,
    /// What an item must be: a JSON Schema as a table, or as JSON text.
    pub input: Option<Value>,
    /// What an answer must be.
    pub output: Option<Value>,
    /// The most bytes of an answer.
    pub max_response_bytes: Option<u64>,
    /// What may be reached beside the public internet.
    #[serde(default)]
    pub allow: Vec<String>,
}

/// `retries = { … }`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetriesEntry {
    /// The most attempts, the first one counted.
    pub attempts: Option<u32>,
    /// How long the second one waits: `500ms`.
    pub backoff: Option<String>,
    /// The longest wait between two.
    pub max_wait: Option<String>,
    /// After which statuses.
    pub statuses: Option<Vec<u16>>,
}

/// The value of a header: a text, or where a secret is.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum HeaderEntry {
    /// A text that is no secret.
    Value(String),
    /// Where a secret is.
    Secret(SecretEntry),
}

/// `{ env = "NAME" }` or `{ secret = "name-or-arn" }`, with what stands before it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretEntry {
    env: Option<String>,
    secret: Option<String>,
    #[serde(default)]
    prefix: String,
}

impl UpstreamEntry {
    /// The upstream of that name; else the member that is wrong, and what is wrong with it.
    pub fn check(self, name: &str) -> Result<Upstream, (String, String)> {
        let at = |member: &'static str| move |detail: String| (member.to_owned(), detail);
        let method = match self.method.as_deref() {
            None => UpstreamMethod::Get,
            Some(text) => method(text).map_err(at("method"))?,
        };
        let url = UrlTemplate::parse(&self.url).map_err(at("url"))?;
        let allow = AllowList::parse(&self.allow).map_err(|error| at("allow")(error.to_string()))?;
        let plain = url.as_str().starts_with("http://");
        if plain && self.allow.is_empty() {
            let detail = "must be https, or `allow` must say that the private network is meant";
            return Err(at("url")(detail.into()));
        }
        let idempotent = self.idempotent.unwrap_or(method.is_idempotent());
        let header = self.idempotency_header.unwrap_or_else(|| "idempotency-key".into());
        let idempotency_header = header_name(&header).map_err(at("idempotency_header"))?;
        let mut headers = BTreeMap::new();
        for (name, entry) in self.headers {
            let place = format!("headers.{name}");
            let wrong = |detail: String| (place.clone(), detail);
            let name = header_name(&name).map_err(wrong)?;
            let source = entry.source().map_err(wrong)?;
            if name == idempotency_header {
                return Err(wrong("is the header of the items' keys: see idempotency_header".into()));
            }
            if headers.insert(name, source).is_some() {
                return Err(wrong("stands there twice".into()));
            }
        }
        let timeout = within("30s", self.timeout.as_deref(), LONGEST_CALL).map_err(at("timeout"))?;
        let concurrency = count(self.concurrency, 4, MOST_CONCURRENT).map_err(at("concurrency"))?;
        let workers = count(self.workers, 1, 10_000).map_err(at("workers"))?;
        let rate = self.rate.as_deref().map(rate).transpose().map_err(at("rate"))?;
        let max_response_bytes = self.max_response_bytes.unwrap_or(1 << 20);
        if !(1..=MOST_RESPONSE_BYTES).contains(&max_response_bytes) {
            let detail = format!("must be 1 to {MOST_RESPONSE_BYTES}, not {max_response_bytes}");
            return Err(at("max_response_bytes")(detail));
        }
        Ok(Upstream {
            name: name.to_owned(),
            description: self.description,
            retries: self.retries.check(idempotent)?,
            input: self.input.map(schema).transpose().map_err(at("input"))?,
            output: self.output.map(schema).transpose().map_err(at("output"))?,
            method,
            url,
            headers,
            timeout,
            concurrency,
            rate,
            workers,
            idempotent,
            idempotency_header,
            max_response_bytes,
            allow,
        })
    }
}

impl RetriesEntry {
    fn check(self, idempotent: bool) -> Result<Retries, (String, String)> {
        let at = |member: &'static str| move |detail: String| (format!("retries.{member}"), detail);
        let default = Retries::default_for(idempotent);
        let longest = Duration::from_secs(600);
        if let Some(status) = self.statuses.iter().flatten().find(|status| !(300..=599).contains(*status)) {
            return Err(at("statuses")(format!("{status} is not the status of a failure")));
        }
        Ok(Retries {
            attempts: count(self.attempts, default.attempts, 20).map_err(at("attempts"))?,
            backoff: within("500ms", self.backoff.as_deref(), longest).map_err(at("backoff"))?,
            max_wait: within("60s", self.max_wait.as_deref(), longest).map_err(at("max_wait"))?,
            statuses: self.statuses.unwrap_or(default.statuses),
        })
    }
}

impl HeaderEntry {
    fn source(self) -> Result<HeaderSource, String> {
        let visible = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        match self {
            Self::Value(text) if visible(&text) => Ok(HeaderSource::Value(text)),
            Self::Value(_) => Err("must have visible ASCII alone".into()),
            Self::Secret(SecretEntry { prefix, .. }) if !visible(&prefix) => {
                Err("prefix must have visible ASCII alone".into())
            }
            Self::Secret(SecretEntry { env, secret, prefix }) => {
                let filled = |name: String| if name.is_empty() { None } else { Some(name) };
                let secret = match (env.and_then(filled), secret.and_then(filled)) {
                    (Some(name), None) => SecretRef::Env(name),
                    (None, Some(name)) => SecretRef::Stored(stored(name)?),
                    _ => return Err("must say either env or secret".into()),
                };
                Ok(HeaderSource::Secret { prefix, secret })
            }
        }
    }
}

/// What can be the name or the ARN of a stored secret, and `#` with a key behind it.
fn stored(name: String) -> Result<String, String> {
    let (id, key) = name.split_once('#').unwrap_or((&name, "_"));
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-:".contains(&byte);
    if id.is_empty() || !id.bytes().all(known) {
        return Err(format!("{name:?} is neither the name of a stored secret nor its ARN"));
    }
    if key.is_empty() {
        return Err(format!("{name:?} has no key behind its #"));
    }
    Ok(name)
}

fn method(text: &str) -> Result<UpstreamMethod, String> {
    let known = UpstreamMethod::ALL.into_iter().find(|method| method.as_str() == text);
    known.ok_or_else(|| {
        let all = UpstreamMethod::ALL.map(UpstreamMethod::as_str).join(", ");
        format!("{text:?} is not one of {all}")
    })
}

/// The name in lower case, as it is a token of RFC 9110 and not one of those that calls set themselves.
fn header_name(name: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("{name:?} is not the name of a header"));
    }
    let name = name.to_ascii_lowercase();
    if OWN_HEADERS.contains(&name.as_str()) {
        return Err(format!("{name} is set by every call itself"));
    }
    Ok(name)
}

fn count(given: Option<u32>, default: u32, most: u32) -> Result<u32, String> {
    let count = given.unwrap_or(default);
    if (1..=most).contains(&count) { Ok(count) } else { Err(format!("must be 1 to {most}, not {count}")) }
}

fn within(default: &str, given: Option<&str>, most: Duration) -> Result<Duration, String> {
    let text = given.unwrap_or(default);
    let found = duration(text)?;
    if found.is_zero() || found > most {
        return Err(format!("must be more than nothing and at most {} s, not {text}", most.as_secs()));
    }
    Ok(found)
}

/// A whole number and its unit: `500ms`, `30s`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let millis: Option<u64> = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let found = millis.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| unit.checked_mul(number));
    found.map(Duration::from_millis).ok_or_else(|| format!("{text:?} is no time: write 500ms, 30s, 2m or 1h"))
}

/// Calls in a time: `100/1s`, `5000/1h`, `10/s`.
fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("{text:?} is no rate: write 100/1s or 5000/1h");
    let (calls, per) = text.split_once('/').ok_or_else(wrong)?;
    let calls = calls.trim().parse::<u32>().ok().filter(|calls| *calls > 0).ok_or_else(wrong)?;
    let per = per.trim();
    let per = if per.starts_with(|c: char| c.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
    let per = duration(&per).ok().filter(|per| !per.is_zero()).ok_or_else(wrong)?;
    if per > Duration::from_secs(86_400) {
        return Err(format!("{text:?} is counted over more than a day"));
    }
    Ok(Rate { calls, per })
}

/// A schema as a table, or as JSON text.
fn schema(written: Value) -> Result<JsonSchema, String> {
    let schema = match written {
        Value::String(text) => serde_json::from_str(&text).map_err(|error| format!("is no JSON: {error}"))?,
        table => table,
    };
    JsonSchema::new(schema).map_err(|misfit| misfit.to_string())
}
