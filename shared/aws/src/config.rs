//! What the host must be told: names of the table, the bucket and the queue.

use std::env;

/// The names of what the adapters work with. Region, credentials and endpoints are the SDK's own concern
/// (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3` and so on).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsConfig {
    /// `WILLCALL_TABLE`: the DynamoDB table of jobs and accounts.
    pub table: String,
    /// `WILLCALL_BUCKET`: the S3 bucket of requests and results.
    pub bucket: String,
    /// `WILLCALL_QUEUE_URL`: the SQS queue that wakes workers.
    pub queue_url: String,
    /// Whether the bucket's name goes into the path of its address: what emulators behind an endpoint of their own
    /// understand without a name server.
    pub path_style: bool,
}

/// The configuration is not complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable is missing, or empty.
    #[error("{0} is not set")]
    NotSet(&'static str),
    /// A variable holds what it cannot; the words say what.
    #[error("{0}: {1}")]
    Invalid(&'static str, String),
    /// A variable is not UTF-8.
    #[error("{0} is not valid UTF-8")]
    NotUnicode(&'static str),
    /// No source of credentials has any; the words say what each of them said.
    #[error("there are no AWS credentials: {0}")]
    NoCredentials(String),
}

impl AwsConfig {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(process_var)
    }

    /// Reads variables by name; an empty one counts as missing.
    pub fn from_vars(
        var: impl Fn(&'static str) -> Result<Option<String>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let required = |name| var(name)?.filter(|value| !value.is_empty()).ok_or(ConfigError::NotSet(name));
        Ok(Self {
            table: required("WILLCALL_TABLE")?,
            bucket: required("WILLCALL_BUCKET")?,
            queue_url: required("WILLCALL_QUEUE_URL")?,
            path_style: path_style(var)?,
        })
    }
}

/// A variable of the process's environment.
pub(crate) fn process_var(name: &'static str) -> Result<Option<String>, ConfigError> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(ConfigError::NotUnicode(name)),
    }
}

/// Whether S3 has an endpoint of its own.
pub(crate) fn path_style(
    var: impl Fn(&'static str) -> Result<Option<String>, ConfigError>,
) -> Result<bool, ConfigError> {
    let set = |name| Ok(var(name)?.is_some_and(|value| !value.is_empty()));
    Ok(set("AWS_ENDPOINT_URL_S3")? || set("AWS_ENDPOINT_URL")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(vars: &[(&str, &str)]) -> Result<AwsConfig, ConfigError> {
        AwsConfig::from_vars(|name| {
            Ok(vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    const ALL: [(&str, &str); 3] =
        [("WILLCALL_TABLE", "t"), ("WILLCALL_BUCKET", "b"), ("WILLCALL_QUEUE_URL", "http://q")];

    #[test]
    fn what_is_missing_or_empty_is_named() {
        for (index, (name, _)) in ALL.iter().enumerate() {
            let mut vars = ALL.to_vec();
            vars[index].1 = "";
            assert_eq!(parse(&vars).unwrap_err().to_string(), format!("{name} is not set"));
            vars.remove(index);
            assert_eq!(parse(&vars).unwrap_err().to_string(), format!("{name} is not set"));
        }
    }

    #[test]
    fn an_endpoint_makes_the_bucket_part_of_the_path() {
        let with = |name, value| parse(&[&ALL[..], &[(name, value)]].concat()).unwrap().path_style;
        assert!(!parse(&ALL).unwrap().path_style);
        assert!(with("AWS_ENDPOINT_URL", "http://127.0.0.1:5000"));
        assert!(with("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:5000"));
        assert!(!with("AWS_ENDPOINT_URL", ""));
    }
}
