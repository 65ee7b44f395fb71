//! Secrets Manager, as it is and as it fails.

use std::error::Error;

use aws_sdk_secretsmanager::primitives::Blob;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use secrecy::ExposeSecret;
use willcall_aws::SecretsManager;
use willcall_core::{
    catalog::SecretRef,
    chain,
    ports::{SecretError, Secrets},
};

use crate::{
    faulty::{Fault, Faulty},
    place::Place,
};

const READ: &str = "GetSecretValue";
const DENIED: &str = r#"{"__type":"AccessDeniedException","Message":"not authorized"}"#;
const NO_KEY: &str = r#"{"__type":"DecryptionFailure","Message":"the key cannot be used"}"#;

struct Kept {
    network: Faulty,
    place: Place,
    secrets: SecretsManager,
}

impl Kept {
    async fn new() -> Self {
        let network = Faulty::new();
        let place = Place::through(SharedHttpClient::new(network.clone())).await;
        let secrets = SecretsManager::new(&place.clients);
        Self { network, place, secrets }
    }

    /// Makes a secret of this test's own, and answers its ARN.
    async fn make(&self, name: &str, text: &str) -> String {
        let name = format!("{}/{name}", self.place.name);
        let made = self.place.raw_secrets.create_secret().name(name).secret_string(text).send().await;
        made.unwrap().arn.unwrap()
    }

    async fn change(&self, arn: &str, text: &str) {
        self.place.raw_secrets.put_secret_value().secret_id(arn).secret_string(text).send().await.unwrap();
    }

    async fn read(&self, name: &str) -> Result<String, SecretError> {
        let found = self.secrets.secret(&SecretRef::Stored(name.to_owned())).await;
        found.map(|secret| secret.expose_secret().to_owned())
    }

    async fn renewed(&self, name: &str) -> String {
        let found = self.secrets.renewed(&SecretRef::Stored(name.to_owned())).await;
        found.unwrap().expose_secret().to_owned()
    }

    fn reads(&self) -> usize {
        self.network.count(READ)
    }
}

/// Lets time pass for what is held, and not for the network.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_secret_is_found_by_its_name_its_arn_and_its_key() {
    let kept = Kept::new().await;
    let plain = kept.make("plain", "s3cr3t").await;
    let json = kept.make("json", r#"{"token": "t0k3n", "port": 12345678901234567890}"#).await;
    assert_eq!(kept.read(&plain).await.unwrap(), "s3cr3t");
    assert_eq!(kept.read(&format!("{}/plain", kept.place.name)).await.unwrap(), "s3cr3t");
    assert_eq!(kept.reads(), 2);
    assert_eq!(kept.read(&format!("{json}#token")).await.unwrap(), "t0k3n");
    assert_eq!(kept.read(&format!("{json}#port")).await.unwrap(), "12345678901234567890");
    assert_eq!(kept.reads(), 3, "the keys of one secret come by one call");
    let there = kept.secrets.secret(&SecretRef::Env("CARGO_MANIFEST_DIR".into())).await.unwrap();
    assert_eq!(there.expose_secret(), env!("CARGO_MANIFEST_DIR"), "the environment is there too");
}

#[tokio::test]
async fn a_secret_is_held_for_minutes_and_read_again_after_it_was_refused() {
    let kept = Kept::new().await;
    let arn = kept.make("rotated", "old").await;
    let (first, second) = tokio::join!(kept.read(&arn), kept.read(&arn));
    assert_eq!((first.unwrap().as_str(), second.unwrap().as_str(), kept.reads()), ("old", "old", 1));
    kept.change(&arn, "new").await;
    assert_eq!(kept.renewed(&arn).await, "old", "it was read just now");
    pass(11).await;
    assert_eq!(kept.read(&arn).await.unwrap(), "old");
    assert_eq!((kept.renewed(&arn).await.as_str(), kept.reads()), ("new", 2));
    assert_eq!((kept.read(&arn).await.unwrap().as_str(), kept.reads()), ("new", 2));
    kept.change(&arn, "newer").await;
    pass(299).await;
    assert_eq!(kept.read(&arn).await.unwrap(), "new");
    pass(2).await;
    assert_eq!(kept.read(&arn).await.unwrap(), "newer");
}

#[tokio::test]
async fn what_is_no_secret_for_a_header_says_why_and_nothing_of_itself() {
    let kept = Kept::new().await;
    let text = kept.make("text", "hunter2").await;
    let json = kept.make("json", r#"{"a": {"b": "hunter2"}, "empty": "", "list": ["hunter2"]}"#).await;
    let quoted = kept.make("quoted", "\"hunter2\"").await;
    let binary = kept.place.raw_secrets.create_secret().name(format!("{}/binary", kept.place.name));
    let binary = binary.secret_binary(Blob::new(b"hunter2")).send().await.unwrap().arn.unwrap();
    for (name, words) in [
        (format!("{text}#a"), "is no JSON object"),
        (format!("{quoted}#a"), "is no JSON object"),
        (format!("{json}#c"), "has no member \"c\""),
        (format!("{json}#a"), "has no text as its member \"a\""),
        (format!("{json}#list"), "has no text as its member"),
        (format!("{json}#empty"), "is empty"),
        (binary, "is binary, and must be text"),
    ] {
        let error = kept.read(&name).await.unwrap_err();
        assert!(matches!(error, SecretError::Unfit(..)), "{error:?}");
        let said = format!("{} {error:?}", chain(&error));
        assert!(said.contains(words) && said.contains(&name) && !said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn a_secret_that_is_missing_is_told_from_one_that_may_not_be_read() {
    let kept = Kept::new().await;
    let gone = kept.read(&format!("{}/gone", kept.place.name)).await.unwrap_err();
    assert!(matches!(gone, SecretError::Missing(_)), "{gone:?}");
    let arn = kept.make("denied", "s3cr3t").await;
    for answer in [DENIED, NO_KEY] {
        kept.network.target(READ, 1, Fault::Answer(400, answer));
        let denied = kept.read(&arn).await.unwrap_err();
        assert!(matches!(denied, SecretError::Denied(..)) && denied.source().is_some(), "{denied:?}");
    }
    assert_eq!(kept.read(&arn).await.unwrap(), "s3cr3t", "a failure is not remembered");
    let ended = kept.place.raw_secrets.delete_secret().secret_id(&arn).send().await;
    ended.unwrap();
    pass(301).await;
    let ended = kept.read(&arn).await.unwrap_err();
    assert!(matches!(ended, SecretError::Missing(_)), "one that is to be deleted: {ended:?}");
}

#[tokio::test]
async fn failures_that_pass_are_not_seen_and_those_that_stay_may_pass_later() {
    let kept = Kept::new().await;
    let arn = kept.make("flaky", "s3cr3t").await;
    kept.network.target(READ, 2, Fault::Answer(500, ""));
    assert_eq!(kept.read(&arn).await.unwrap(), "s3cr3t");
    pass(301).await;
    kept.network.target(READ, 9, Fault::Answer(500, ""));
    let error = kept.read(&arn).await.unwrap_err();
    assert!(matches!(error, SecretError::Unavailable(..)), "{error:?}");
    assert!(chain(&error).contains("GetSecretValue failed"), "{}", chain(&error));
}
