//! Where one box reads data sets: from its own disk, and from S3.

use std::{env, path::Path, sync::Arc};

use willcall_core::{
    catalog::CatalogFile,
    ports::{DataFiles, DataFilesByPlace},
};
use willcall_engine::LocalDataFiles;
use willcall_s3::{S3DataFiles, S3Settings};

use crate::failure::{Exit, Failure, chain};

/// The data files that the catalog at `path` may name. Where S3 is, the catalog and the environment tell; nothing is
/// asked of it before a data set lies there.
pub(crate) fn data_files(path: &Path) -> Result<Arc<dyn DataFiles>, Failure> {
    let file = CatalogFile::read(path).map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
    let settings = S3Settings::new(&file.s3, |name| env::var(name).ok());
    Ok(Arc::new(DataFilesByPlace {
        disk: Arc::new(LocalDataFiles),
        s3: Arc::new(S3DataFiles::new(settings)),
    }))
}
