//! Where S3 is and who asks: from the environment, as tools of AWS have it, and from the catalog.

use std::fmt;

use willcall_core::catalog::S3Entry;

/// The variables that say who asks, passed on as they are.
const CREDENTIALS: [&str; 9] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// Nobody asks; words for the operator.
pub(crate) const NO_CREDENTIALS: &str = "there are no credentials for S3: set AWS_ACCESS_KEY_ID and \
    AWS_SECRET_ACCESS_KEY, or say `anonymous = true` under [s3]";

/// Where S3 is and who asks.
#[derive(Clone)]
pub struct S3Settings {
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) path_style: Option<bool>,
    pub(crate) anonymous: bool,
    /// Variables with their values.
    pub(crate) credentials: Vec<(&'static str, String)>,
    /// Where an EC2 instance is told its role, if not where it usually is.
    pub(crate) instance: Option<String>,
    /// Why nothing can be read.
    pub(crate) problem: Option<String>,
}

impl S3Settings {
    /// The settings of the environment, whose variables `var` reads; what the catalog says goes before it.
    pub fn new(entry: &S3Entry, var: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let credentials: Vec<_> =
            CREDENTIALS.into_iter().filter_map(|name| Some((name, var(name)?))).collect();
        let has = |name| credentials.iter().any(|(known, _)| *known == name);
        let problem = if entry.anonymous {
            None
        } else if has("AWS_ACCESS_KEY_ID") != has("AWS_SECRET_ACCESS_KEY") {
            Some("set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither".to_owned())
        } else if credentials.is_empty() && var("AWS_PROFILE").is_some() {
            Some(
                "AWS_PROFILE is set, and profiles are not read here: set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, as `aws configure export-credentials --format env` writes them"
                    .to_owned(),
            )
        } else if credentials.is_empty()
            && var("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            Some(NO_CREDENTIALS.to_owned())
        } else {
            None
        };
        Self {
            endpoint: entry
                .endpoint
                .clone()
                .or_else(|| var("AWS_ENDPOINT_URL_S3"))
                .or_else(|| var("AWS_ENDPOINT_URL")),
            region: entry.region.clone().or_else(|| var("AWS_REGION")).or_else(|| var("AWS_DEFAULT_REGION")),
            path_style: entry.path_style,
            anonymous: entry.anonymous,
            credentials,
            instance: var("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
            problem,
        }
    }
}

impl fmt::Debug for S3Settings {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("anonymous", &self.anonymous)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn settings(entry: &S3Entry, variables: &[(&str, &str)]) -> S3Settings {
        S3Settings::new(entry, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_catalog_goes_before_the_environment_and_s3s_own_endpoint_before_that_of_all() {
        let variables = [
            ("AWS_ENDPOINT_URL", "http://all"),
            ("AWS_ENDPOINT_URL_S3", "http://s3"),
            ("AWS_REGION", "eu-west-1"),
        ];
        let found = settings(&S3Entry::default(), &variables);
        assert_eq!(found.endpoint.as_deref(), Some("http://s3"));
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
        let entry = S3Entry { endpoint: Some("http://own".into()), ..S3Entry::default() };
        assert_eq!(settings(&entry, &variables).endpoint.as_deref(), Some("http://own"));
        assert_eq!(settings(&S3Entry::default(), &variables[..1]).endpoint.as_deref(), Some("http://all"));
    }

    #[test]
    fn profiles_and_half_a_key_are_said_to_be_no_use() {
        let none = S3Entry::default();
        let profile = settings(&none, &[("AWS_PROFILE", "me")]).problem.unwrap();
        assert!(profile.contains("profiles are not read"), "{profile}");
        let half = settings(&none, &[("AWS_ACCESS_KEY_ID", "AKID")]).problem.unwrap();
        assert!(half.contains("both"), "{half}");
        let whole = [("AWS_PROFILE", "me"), ("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "very")];
        let found = settings(&none, &whole);
        assert_eq!(found.problem, None);
        assert!(!format!("{found:?}").contains("very"));
        let nowhere = [("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_REGION", "eu-west-1")];
        assert_eq!(settings(&none, &nowhere).problem.unwrap(), NO_CREDENTIALS);
        let anonymous = S3Entry { anonymous: true, ..none };
        assert_eq!(settings(&anonymous, &[("AWS_PROFILE", "me")]).problem, None);
    }
}
