//! What the caller may ask for.

use std::sync::Arc;

use super::App;
use crate::{
    Error,
    account::{Caller, Scope},
    catalog::Dataset,
};

/// The data sets that the caller's plan allows, by name.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<Arc<Dataset>>, Error> {
    caller.require(Scope::Read)?;
    let catalog = app.catalog.catalog().await?;
    Ok(catalog.datasets.values().filter(|d| caller.plan.allows_dataset(&d.name)).cloned().collect())
}

/// One data set; one that the plan does not allow is not there.
pub async fn get(app: &App, caller: &Caller, name: &str) -> Result<Arc<Dataset>, Error> {
    caller.require(Scope::Read)?;
    let catalog = app.catalog.catalog().await?;
    catalog.dataset(name, &caller.plan).ok_or(Error::NotFound("data set"))
}
