//! What the operator of a host on AWS does. A command that was built without it says how to get it.

#[cfg(feature = "aws")]
mod build;
#[cfg(feature = "aws")]
mod registry;
#[cfg(not(feature = "aws"))]
mod without;

#[cfg(not(feature = "aws"))]
pub(crate) use self::without::{build, open_registry};
#[cfg(feature = "aws")]
pub(crate) use self::{build::build, registry::open_registry};

/// Clients by the environment's region and credentials, which must be there.
#[cfg(feature = "aws")]
async fn clients() -> Result<willcall_aws::Clients, crate::failure::Failure> {
    use crate::failure::{Exit, Failure};
    use willcall_aws::ConfigError;

    willcall_aws::Clients::for_command().await.map_err(|error| match error {
        ConfigError::NotSet("AWS_REGION") => Failure::new(Exit::Usage, "no AWS region is set")
            .advice("set AWS_REGION, or AWS_PROFILE to a profile that has one"),
        ConfigError::NoCredentials(reason) => Failure::new(Exit::Denied, "there are no AWS credentials")
            .detail(reason)
            .advice("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for single sign-on: eval \"$(aws configure export-credentials --format env)\""),
        other => Failure::new(Exit::Usage, other.to_string()),
    })
}
