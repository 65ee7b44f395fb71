//! The clients of AWS: made once, with time-outs, tries and connections chosen for what they do.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, SdkConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_s3::config::ProvideCredentials;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use willcall_core::chain;

use crate::{AwsConfig, ConfigError, config};

/// A server nearby answers a connection at once or not at all.
const CONNECT: Duration = Duration::from_secs(2);
/// API Gateway gives up after 30 s: a call must have failed, tries included, well before that.
const TABLE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(12));
const QUEUE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));
/// An attempt of a job waits for its secrets, and others are to be tried soon.
const SECRETS: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(10));
/// Until the head of the answer; the body has the protection against stalls.
const BUCKET: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(25));
/// A body that brings nothing for this long is given up.
const STALL: Duration = Duration::from_secs(10);
/// Shorter than the 20 s for which AWS keeps an idle connection open, so that none is used that is closing.
const IDLE: Duration = Duration::from_secs(15);

/// One client of each service. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Clients {
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
}

impl Clients {
    /// Finds region, credentials and endpoints as every AWS tool does, and makes the clients. Credentials are
    /// fetched by the first call, not here.
    pub async fn from_env(config: &AwsConfig) -> Result<Self, ConfigError> {
        Self::connect(config.path_style).await
    }

    /// The same for a command that a person runs: credentials are fetched at once, so that it says what is missing
    /// before it begins.
    pub async fn for_command() -> Result<Self, ConfigError> {
        let path_style = config::path_style(config::process_var)?;
        let sdk = load().await?;
        let none = || ConfigError::NoCredentials("no source of them is known".into());
        let provider = sdk.credentials_provider().ok_or_else(none)?;
        match provider.provide_credentials().await {
            Ok(_) => Ok(Self::new(&sdk, path_style)),
            Err(error) => Err(ConfigError::NoCredentials(chain(&error))),
        }
    }

    /// The same for a host that is told of no table, bucket or queue.
    pub async fn connect(path_style: bool) -> Result<Self, ConfigError> {
        Ok(Self::new(&load().await?, path_style))
    }

    /// Makes the clients of a configuration that was found elsewhere; time-outs and tries are set here all the same.
    pub fn new(sdk: &SdkConfig, path_style: bool) -> Self {
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(sdk)
            .timeout_config(timeouts(TABLE))
            // As many and as short as DynamoDB's partitions need to split under load.
            .retry_config(tries(6, Duration::from_millis(50), Duration::from_secs(2)));
        let sqs = aws_sdk_sqs::config::Builder::from(sdk)
            .timeout_config(timeouts(QUEUE))
            .retry_config(tries(4, Duration::from_millis(100), Duration::from_secs(2)));
        let s3 = aws_sdk_s3::config::Builder::from(sdk)
            .timeout_config(timeouts(BUCKET))
            .retry_config(tries(4, Duration::from_millis(100), Duration::from_secs(5)))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL).build())
            .force_path_style(path_style);
        let secrets = aws_sdk_secretsmanager::config::Builder::from(sdk)
            .timeout_config(timeouts(SECRETS))
            .retry_config(tries(4, Duration::from_millis(100), Duration::from_secs(2)));
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            secrets: aws_sdk_secretsmanager::Client::from_conf(secrets.build()),
        }
    }
}

/// Region, credentials and endpoints, found as every AWS tool finds them.
async fn load() -> Result<SdkConfig, ConfigError> {
    let https =
        Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).pool_idle_timeout(IDLE).build_https();
    let sdk = aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await;
    if sdk.region().is_none() {
        return Err(ConfigError::NotSet("AWS_REGION"));
    }
    Ok(sdk)
}

fn timeouts((attempt, operation): (Duration, Duration)) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

/// For making one object of many parts: S3 takes minutes for the largest, and may send nothing meanwhile.
pub(crate) fn assembly() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::new()
        .timeout_config(timeouts((Duration::from_secs(120), Duration::from_secs(300))))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

/// For the upload of that many bytes: a slow line brings 1 MiB a second.
pub(crate) fn upload(bytes: usize) -> aws_sdk_s3::config::Builder {
    let attempt = BUCKET.0 + Duration::from_secs((bytes >> 20) as u64);
    aws_sdk_s3::config::Builder::new().timeout_config(timeouts((attempt, attempt * 3)))
}

fn tries(most: u32, first: Duration, longest: Duration) -> RetryConfig {
    RetryConfig::standard().with_max_attempts(most).with_initial_backoff(first).with_max_backoff(longest)
}
