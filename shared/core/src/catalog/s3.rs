//! `[s3]` in `willcall.toml`: what the environment cannot say of where data sets in S3 lie.

use serde::Deserialize;

/// Where S3 is, as it is written. Keys and tokens have no place in a catalog: the environment has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Entry {
    /// The address of what speaks S3; AWS where nobody names one.
    pub endpoint: Option<String>,
    /// The region of the buckets.
    pub region: Option<String>,
    /// Whether the bucket stands in the path rather than in the name of the host.
    pub path_style: Option<bool>,
    /// Whether requests are not signed, as public buckets allow.
    #[serde(default)]
    pub anonymous: bool,
}

impl S3Entry {
    /// What is wrong, with the member in front.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        let fits = rest.is_some_and(|rest| {
            let odd = |c: char| c.is_whitespace() || matches!(c, '@' | '?' | '#');
            !rest.is_empty() && !rest.starts_with(['/', ':']) && !rest.contains(odd)
        });
        match fits {
            true => Ok(()),
            false => {
                Err(("endpoint", format!("{endpoint:?} is no address: write it like https://s3.example.com")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_endpoints() {
        let entry = |endpoint: &str| S3Entry { endpoint: Some(endpoint.into()), ..S3Entry::default() };
        for good in ["https://s3.example.com", "http://127.0.0.1:9000", "https://x.r2.example.com/"] {
            assert_eq!(entry(good).check(), Ok(()), "{good}");
        }
        for bad in ["", "s3.example.com", "ftp://x", "https://key:secret@x", "https://x/?a=b"] {
            assert!(entry(bad).check().is_err(), "{bad}");
        }
    }
}
