//! What the operator of a host on AWS does. A command that was built without it says how to get it.

#[cfg(feature = "aws")]
mod build;
#[cfg(feature = "aws")]
mod clients;
#[cfg(feature = "aws")]
mod registry;
#[cfg(feature = "aws")]
mod webhooks;
#[cfg(not(feature = "aws"))]
mod without;

#[cfg(not(feature = "aws"))]
pub(crate) use self::without::{build, open_registry, webhook_client};
#[cfg(feature = "aws")]
pub(crate) use self::{build::build, registry::open_registry, webhooks::webhook_client};
