//! Why a catalog file is no catalog.

use std::path::PathBuf;

/// What is wrong with a catalog file.
#[derive(Debug, thiserror::Error)]
pub enum CatalogFileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or has members that no catalog has; the message names line and column of each.
    #[error("{}: {}", path.display(), lines(errors))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why: one at least.
        errors: Vec<toml::de::Error>,
    },
    /// A value cannot be used.
    #[error("{}: {place}: {detail}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The member, as a path of keys.
        place: String,
        /// What is wrong with it.
        detail: String,
    },
}

fn lines(errors: &[toml::de::Error]) -> String {
    errors.iter().map(|error| error.to_string().trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
