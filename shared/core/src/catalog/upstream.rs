//! Upstreams: somebody's slow API, that jobs call.

use serde::{Deserialize, Serialize};

/// An upstream as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// What it does, in the operator's words.
    pub description: String,
}
