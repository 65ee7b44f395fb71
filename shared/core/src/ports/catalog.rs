//! What can be asked for.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    catalog::{Catalog, DatasetFacts, DatasetSource},
    error::Source,
};

/// The catalog, as fresh as the host promises.
#[async_trait]
pub trait CatalogSource: Send + Sync {
    /// The catalog now.
    async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError>;
}

/// The catalog cannot be read now.
#[derive(Debug, thiserror::Error)]
#[error("the catalog cannot be read")]
pub struct CatalogError(#[source] pub Source);

/// Reads what a data set's files say of themselves.
#[async_trait]
pub trait DatasetInspector: Send + Sync {
    /// The version of the data set: changes when a file is added, removed, or written. Reads no file.
    async fn version(&self, source: &DatasetSource) -> Result<String, InspectError>;

    /// Columns, counts, statistics and version, from the files' own metadata where they have any, else by reading them.
    async fn inspect(&self, source: &DatasetSource) -> Result<DatasetFacts, InspectError>;
}

/// A data set cannot be inspected. The words name the file and are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// There is nothing at the location.
    #[error("{location}: there is no file of a data set here")]
    Missing {
        /// Where.
        location: String,
    },
    /// A file cannot be read.
    #[error("{location}: cannot be read")]
    Unreadable {
        /// Which.
        location: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// Files of one data set have columns that do not fit together.
    #[error("{location}: {detail}")]
    Mismatch {
        /// Which.
        location: String,
        /// What does not fit.
        detail: String,
    },
}
