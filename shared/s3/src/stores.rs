//! One client a bucket, all with the same credentials.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use object_store::{
    BackoffConfig, ClientOptions, CredentialProvider, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider},
};
use url::Url;
use willcall_core::{error::Source, ports::DataFilesError};

use crate::{
    S3Settings,
    refusal::{BEGINNING, Connector},
};

/// A connection that takes longer will not be.
const CONNECT: Duration = Duration::from_secs(3);
/// The longest that one answer may take, with its body of some megabytes.
const ANSWER: Duration = Duration::from_secs(60);
/// What does not pass in so many tries is for the job's own tries, which are further apart.
const RETRIES: usize = 4;
/// After which time nothing is tried again: a host that starts, and one who asks for the catalog, wait for it.
const TRYING: Duration = Duration::from_secs(20);

/// The credentials cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the credentials cannot be had")]
pub(crate) struct NoCredentials(#[source] object_store::Error);

/// The clients.
pub(crate) struct Stores {
    settings: S3Settings,
    credentials: OnceLock<AwsCredentialProvider>,
    buckets: Mutex<HashMap<String, Arc<AmazonS3>>>,
}

/// Tells a failure to get credentials from one of S3's.
#[derive(Debug)]
struct Credentials(AwsCredentialProvider);

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let got = self.0.get_credential().await;
        got.map_err(|error| object_store::Error::Generic {
            store: "S3",
            source: Box::new(NoCredentials(error)),
        })
    }
}

impl Stores {
    pub(crate) fn new(settings: S3Settings) -> Self {
        Self { settings, credentials: OnceLock::new(), buckets: Mutex::default() }
    }

    /// The client of that bucket.
    pub(crate) fn of(&self, bucket: &str) -> Result<Arc<AmazonS3>, DataFilesError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = buckets.get(bucket) {
            return Ok(Arc::clone(store));
        }
        let store = Arc::new(self.build(bucket).map_err(DataFilesError::Unreadable)?);
        buckets.insert(bucket.to_owned(), Arc::clone(&store));
        Ok(store)
    }

    fn build(&self, bucket: &str) -> Result<AmazonS3, Source> {
        if let Some(problem) = &self.settings.problem {
            return Err(problem.clone().into());
        }
        let mut builder =
            base(&self.settings, ANSWER).with_bucket_name(bucket).with_http_connector(Connector::default());
        // Certificates for names with dots in them are for no bucket.
        let by_path =
            self.settings.path_style.unwrap_or(self.settings.endpoint.is_some() || bucket.contains('.'));
        builder = builder.with_virtual_hosted_style_request(!by_path);
        if let Some(endpoint) = &self.settings.endpoint {
            let mut url = Url::parse(endpoint)?;
            if !by_path {
                let host = format!("{bucket}.{}", url.host_str().ok_or("the endpoint of S3 has no host")?);
                url.set_host(Some(&host))?;
            }
            builder = builder
                .with_allow_http(url.scheme() == "http")
                .with_endpoint(url.as_str().trim_end_matches('/'));
        }
        let builder = match self.settings.anonymous {
            true => builder.with_skip_signature(true),
            false => builder.with_credentials(self.credentials()?),
        };
        Ok(builder.build()?)
    }

    /// The one source of credentials, so that they are fetched once for all buckets.
    fn credentials(&self) -> Result<AwsCredentialProvider, Source> {
        if let Some(known) = self.credentials.get() {
            return Ok(Arc::clone(known));
        }
        let mut builder = base(&self.settings, BEGINNING).with_bucket_name("credentials");
        if let Some(endpoint) = &self.settings.instance {
            builder = builder.with_metadata_endpoint(endpoint);
        }
        for (name, value) in &self.settings.credentials {
            let key: AmazonS3ConfigKey = name.to_ascii_lowercase().parse()?;
            builder = builder.with_config(key, value);
        }
        let source: AwsCredentialProvider = Arc::new(Credentials(Arc::clone(builder.build()?.credentials())));
        Ok(Arc::clone(self.credentials.get_or_init(|| source)))
    }
}

fn base(settings: &S3Settings, answer: Duration) -> AmazonS3Builder {
    let options = ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(answer);
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: TRYING,
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
    };
    let builder = AmazonS3Builder::new().with_retry(retry).with_client_options(options);
    match &settings.region {
        Some(region) => builder.with_region(region),
        None => builder,
    }
}
