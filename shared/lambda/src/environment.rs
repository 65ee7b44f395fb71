//! The environment: read once, when a function starts, and only what the function needs.

use std::{collections::HashMap, env};

use willcall_aws::{CATALOG_KEY, ConfigError};
use willcall_core::webhook::AllowList;

/// A part of the world that only some functions are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Sending to the jobs queue: `WILLCALL_QUEUE_URL`.
    Queue,
    /// Reading the catalog: `WILLCALL_CATALOG`.
    Catalog,
    /// Sending to the queue of notices: `WILLCALL_NOTIFY_QUEUE_URL`.
    Notices,
    /// Making webhooks and sending to them: the key of their secrets, in the bucket, and `WILLCALL_WEBHOOKS_ALLOW`.
    Secrets,
}

/// The variables that a function starts with.
#[derive(Debug, Clone, Default)]
pub struct Variables(HashMap<String, String>);

impl Variables {
    /// Those of this process; ones that are not UTF-8 are none of ours.
    pub fn of_process() -> Self {
        Self(
            env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// The variable's value; one that is empty counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn require(&self, name: &'static str) -> Result<String, ConfigError> {
        self.get(name).map(str::to_owned).ok_or(ConfigError::NotSet(name))
    }

    pub(crate) fn table(&self) -> Result<String, ConfigError> {
        self.require("WILLCALL_TABLE")
    }

    pub(crate) fn bucket(&self) -> Result<String, ConfigError> {
        self.require("WILLCALL_BUCKET")
    }

    pub(crate) fn queue_url(&self) -> Result<String, ConfigError> {
        self.require("WILLCALL_QUEUE_URL")
    }

    pub(crate) fn notify_queue_url(&self) -> Result<String, ConfigError> {
        self.require("WILLCALL_NOTIFY_QUEUE_URL")
    }

    /// What webhooks may reach beside the public internet: `WILLCALL_WEBHOOKS_ALLOW`, with commas between.
    pub(crate) fn webhooks_allow(&self) -> Result<AllowList, ConfigError> {
        const NAME: &str = "WILLCALL_WEBHOOKS_ALLOW";
        let entries = self.get(NAME).unwrap_or_default().split(',').map(str::trim);
        AllowList::parse(entries.filter(|entry| !entry.is_empty()))
            .map_err(|error| ConfigError::Invalid(NAME, error.to_string()))
    }

    pub(crate) fn catalog(&self) -> String {
        self.get("WILLCALL_CATALOG").unwrap_or(CATALOG_KEY).to_owned()
    }

    /// The address that clients use, without a slash at its end; `None` leaves it to API Gateway to name one.
    pub(crate) fn public_url(&self) -> Option<String> {
        self.get("WILLCALL_PUBLIC_URL").map(|url| url.trim_end_matches('/').to_owned())
    }

    /// What metrics are told apart by; `None` where none are wanted.
    pub(crate) fn stack(&self) -> Option<String> {
        self.get("WILLCALL_STACK").map(str::to_owned)
    }

    /// An emulator behind an endpoint of its own understands a bucket's name in the path alone.
    pub(crate) fn path_style(&self) -> bool {
        self.get("AWS_ENDPOINT_URL_S3").or(self.get("AWS_ENDPOINT_URL")).is_some()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Variables {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_empty_is_named() {
        let empty: Variables = [("WILLCALL_TABLE", ""), ("WILLCALL_BUCKET", "b")].into_iter().collect();
        assert_eq!(empty.table().unwrap_err().to_string(), "WILLCALL_TABLE is not set");
        assert_eq!(empty.queue_url().unwrap_err().to_string(), "WILLCALL_QUEUE_URL is not set");
        assert_eq!(empty.bucket().unwrap(), "b");
    }

    #[test]
    fn what_webhooks_may_reach_is_a_list_with_commas() {
        let allow = |value| Variables::from_iter([("WILLCALL_WEBHOOKS_ALLOW", value)]).webhooks_allow();
        assert_eq!(allow("").unwrap(), AllowList::default());
        assert!(allow("127.0.0.1, hooks.internal").unwrap().has_host("hooks.internal"));
        let error = allow("10.0.0.0/99").unwrap_err().to_string();
        assert!(error.starts_with("WILLCALL_WEBHOOKS_ALLOW: \"10.0.0.0/99\""), "{error}");
    }

    #[test]
    fn what_may_be_left_out_has_a_usual_value() {
        let none = Variables::default();
        assert_eq!((none.catalog().as_str(), none.public_url(), none.stack()), (CATALOG_KEY, None, None));
        let some: Variables =
            [("WILLCALL_PUBLIC_URL", "https://data.example.com/"), ("WILLCALL_STACK", "prod")]
                .into_iter()
                .collect();
        assert_eq!(some.public_url().unwrap(), "https://data.example.com");
        assert_eq!(some.stack().unwrap(), "prod");
    }

    #[test]
    fn an_endpoint_makes_the_bucket_part_of_the_path() {
        let with = |name, value| Variables::from_iter([(name, value)]).path_style();
        assert!(with("AWS_ENDPOINT_URL", "http://127.0.0.1:5000"));
        assert!(with("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:5000"));
        assert!(!with("AWS_ENDPOINT_URL", ""));
    }
}
