//! A catalog that a test sets.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use willcall_core::{
    catalog::Catalog,
    ports::{CatalogError, CatalogSource},
};

use super::lock;

/// Answers the catalog that it was given last. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct FixedCatalog(Arc<Mutex<Arc<Catalog>>>);

impl FixedCatalog {
    /// Answers this catalog.
    pub fn new(catalog: Catalog) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(catalog))))
    }

    /// Answers this catalog from now on.
    pub fn set(&self, catalog: Catalog) {
        *lock(&self.0) = Arc::new(catalog);
    }
}

#[async_trait]
impl CatalogSource for FixedCatalog {
    async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError> {
        Ok(Arc::clone(&lock(&self.0)))
    }
}
