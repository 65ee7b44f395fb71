//! The manifest: written last, so that what it names is whole.

use serde::{Deserialize, Serialize};

use super::{BatchPhase, Counts, Truncation};
use crate::{AccountId, JobId, Timestamp, catalog::Column, format::OutputFormat};

/// What a completed job delivered, and from what. Its presence commits the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this form.
    pub schema_version: u32,
    /// The job.
    pub job_id: JobId,
    /// Its account.
    pub account: AccountId,
    /// The attempt that wrote the files.
    pub attempt: u32,
    /// When it was written.
    pub created: Timestamp,
    /// Records of all files.
    pub records: u64,
    /// Bytes of all files, as stored.
    pub bytes: u64,
    /// The files of the result.
    pub files: Vec<ManifestFile>,
    /// Pages; `None` where the format has none.
    pub pages: Option<u64>,
    /// The most records in a page.
    pub page_size: u32,
    /// The columns, in order.
    pub schema: Vec<Column>,
    /// The format with every option.
    pub output: OutputFormat,
    /// What cut the result short, if anything did.
    pub truncated: Option<Truncation>,
    /// NaN and infinite numbers that were written as null, because JSON has no words for them.
    pub non_finite_as_null: u64,
    /// The data set that was read; `None` where none was.
    pub source: Option<ManifestSource>,
    /// The data sets that a statement read, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<ManifestSource>,
    /// The upstream that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// What became of the rows, where the job takes rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// The batches, where the job has batches: the files are theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches: Option<Vec<ManifestBatch>>,
    /// The version of the code that decides the bytes.
    pub writer: String,
}

/// The version of [`Manifest`] that this code writes.
pub const MANIFEST_SCHEMA: u32 = 1;

/// One file of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name, the last segment of its key.
    pub name: String,
    /// The batch whose result it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<JobId>,
    /// The media type.
    pub media_type: String,
    /// Records in it.
    pub records: u64,
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// SHA-256 of the stored bytes in lower-case hexadecimal.
    pub sha256: String,
    /// CRC-32 of the stored bytes in lower-case hexadecimal, as zip files use it.
    pub crc32: String,
}

/// What became of one batch of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestBatch {
    /// The batch.
    pub batch_id: JobId,
    /// What the client calls it.
    pub name: Option<String>,
    /// How it ended.
    pub state: BatchPhase,
    /// What became of its rows.
    pub counts: Option<Counts>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Where the records came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestSource {
    /// The data set.
    pub dataset: String,
    /// The version of the data set: a hash over its files' names, sizes and marks.
    pub version: String,
    /// Files of the data set.
    pub files: u64,
    /// Those of them that the filter did not rule out by the directories that they lie in. `None` where the manifest is
    /// older than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_read: Option<u64>,
}
