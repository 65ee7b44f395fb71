//! The back end: where it is, how to call it, and what the template wants to have there.

use std::{env, fmt};

use crate::Service;

/// Where the back end answers, and what opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The address of every service that has none of its own. None is AWS itself.
    pub all: Option<String>,
    /// The address of S3.
    pub s3: Option<String>,
    /// The address of SQS.
    pub sqs: Option<String>,
    /// The address of DynamoDB.
    pub dynamodb: Option<String>,
    /// The region.
    pub region: String,
    /// The key's id.
    pub access_key: String,
    /// The key.
    pub secret_key: String,
    /// The session, where credentials are temporary.
    pub session_token: Option<String>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, s3, sqs, dynamodb, region, .. } = self;
        write!(
            f,
            "Endpoints {{ all: {all:?}, s3: {s3:?}, sqs: {sqs:?}, dynamodb: {dynamodb:?}, region: {region} }}"
        )
    }
}

impl Endpoints {
    /// All services at one address, with credentials that emulators take.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            all: Some(url.into()),
            s3: None,
            sqs: None,
            dynamodb: None,
            region: "eu-central-1".to_owned(),
            access_key: "test".to_owned(),
            secret_key: "test".to_owned(),
            session_token: None,
        }
    }

    /// What the environment names: `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`, `_SQS` and `_DYNAMODB`, `AWS_REGION`,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`. None if it names no endpoint.
    pub fn from_env() -> Option<Self> {
        let var = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let mut found = Self::at("");
        found.all = var("AWS_ENDPOINT_URL");
        found.s3 = var("AWS_ENDPOINT_URL_S3");
        found.sqs = var("AWS_ENDPOINT_URL_SQS");
        found.dynamodb = var("AWS_ENDPOINT_URL_DYNAMODB");
        if let Some(region) = var("AWS_REGION").or_else(|| var("AWS_DEFAULT_REGION")) {
            found.region = region;
        }
        if let (Some(key), Some(secret)) = (var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY")) {
            (found.access_key, found.secret_key) = (key, secret);
            found.session_token = var("AWS_SESSION_TOKEN");
        }
        let any = [&found.all, &found.s3, &found.sqs, &found.dynamodb].into_iter().any(Option::is_some);
        any.then_some(found)
    }

    /// The address of a service.
    pub fn of(&self, service: Service) -> Option<&str> {
        let own = match service {
            Service::S3 => &self.s3,
            Service::Sqs => &self.sqs,
            Service::DynamoDb => &self.dynamodb,
            Service::Other => &None,
        };
        own.as_deref().or(self.all.as_deref())
    }
}
