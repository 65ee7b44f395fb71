//! The secrets of upstreams, in Secrets Manager and in the environment of the function.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::time::Instant;
use willcall_core::{
    catalog::SecretRef,
    ports::{EnvironmentSecrets, SecretError, Secrets},
};

use crate::{Clients, failure::CallFailed};

/// For how long a secret is not read again.
const FRESH: Duration = Duration::from_secs(300);
/// For how long not even after it was refused: an upstream may refuse each of a thousand items for their own sake.
const JUST_READ: Duration = Duration::from_secs(10);

/// Reads secrets and holds them for five minutes.
///
/// A name is that of a secret or its ARN; with `#key` behind it, the secret is a JSON object, and the member of that name is
/// meant. What stands for nothing is never remembered.
pub struct SecretsManager {
    client: aws_sdk_secretsmanager::Client,
    /// By name or ARN, without a key: each secret is read by one at a time, and by one call for all its keys.
    held: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Held>>>>>,
}

/// A secret as it was read.
struct Held {
    whole: SecretString,
    read: Instant,
}

impl SecretsManager {
    /// Secrets that `clients` may read.
    pub fn new(clients: &Clients) -> Self {
        Self { client: clients.secrets.clone(), held: Mutex::default() }
    }

    async fn find(&self, secret: &SecretRef, fresh: Duration) -> Result<SecretString, SecretError> {
        let SecretRef::Stored(name) = secret else { return EnvironmentSecrets.secret(secret).await };
        let (id, key) = name.split_once('#').map_or((name.as_str(), None), |(id, key)| (id, Some(key)));
        let place = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(held.entry(id.to_owned()).or_default())
        };
        let mut held = place.lock().await;
        let fit = held.take().filter(|held| held.read.elapsed() < fresh);
        let fit = match fit {
            Some(fit) => fit,
            None => Held { whole: self.read(secret, id).await?, read: Instant::now() },
        };
        let found = part(secret, key, fit.whole.expose_secret());
        *held = Some(fit);
        found
    }

    async fn read(&self, secret: &SecretRef, id: &str) -> Result<SecretString, SecretError> {
        match self.client.get_secret_value().secret_id(id).send().await {
            Ok(GetSecretValueOutput { secret_string: Some(text), .. }) => Ok(text.into()),
            Ok(_) => Err(SecretError::Unfit(secret.clone(), "is binary, and must be text".into())),
            Err(error) => {
                let failed = CallFailed::new("GetSecretValue", error);
                // A secret that is to be deleted cannot be read any more.
                let gone = ["ResourceNotFoundException", "InvalidRequestException"];
                let denied = ["AccessDeniedException", "DecryptionFailure", "ValidationException"];
                if gone.iter().any(|code| failed.is(code)) {
                    tracing::debug!(error = %failed, "a secret is not there");
                    return Err(SecretError::Missing(secret.clone()));
                }
                Err(if denied.iter().any(|code| failed.is(code)) {
                    SecretError::Denied(secret.clone(), failed.into())
                } else {
                    SecretError::Unavailable(secret.clone(), failed.into())
                })
            }
        }
    }
}

#[async_trait]
impl Secrets for SecretsManager {
    async fn secret(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        self.find(secret, FRESH).await
    }

    async fn renewed(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        self.find(secret, JUST_READ).await
    }
}

/// All of a secret, or the member of that name. Errors of the parser are not kept: they may quote what they stumbled upon.
fn part(secret: &SecretRef, key: Option<&str>, whole: &str) -> Result<SecretString, SecretError> {
    let unfit = |words: String| SecretError::Unfit(secret.clone(), words);
    let found = match key {
        None => whole.to_owned(),
        Some(key) => {
            let object: Map<String, Value> =
                serde_json::from_str(whole).map_err(|_| unfit("is no JSON object".into()))?;
            match object.get(key) {
                Some(Value::String(text)) => text.clone(),
                Some(number @ Value::Number(_)) => number.to_string(),
                Some(_) => return Err(unfit(format!("has no text as its member {key:?}"))),
                None => return Err(unfit(format!("has no member {key:?}"))),
            }
        }
    };
    if found.is_empty() { Err(unfit("is empty".into())) } else { Ok(found.into()) }
}
