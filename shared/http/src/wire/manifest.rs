//! The manifest as it is answered: the stored one with its columns' types in words.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use willcall_core::job::{Manifest, ManifestSource};

use super::{
    batch::CountsResource,
    dataset::{ColumnResource, columns},
    job::TruncationResource,
};

/// What a completed job delivered, and from what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Manifest)]
pub struct ManifestResource {
    /// The version of this form.
    pub schema_version: u32,
    /// The job.
    #[schema(format = "uuid")]
    pub job_id: String,
    /// Its account.
    pub account: String,
    /// The attempt that wrote the files.
    pub attempt: u32,
    /// When it was written.
    #[schema(format = "date-time")]
    pub created: String,
    /// Records of all files.
    pub records: u64,
    /// Bytes of all files, as stored.
    pub bytes: u64,
    /// The files.
    pub files: Vec<ManifestFileResource>,
    /// Pages; null where the format has none.
    #[schema(required)]
    pub pages: Option<u64>,
    /// The most records in a page.
    pub page_size: u32,
    /// The columns, in order.
    pub schema: Vec<ColumnResource>,
    /// The format with every option.
    #[schema(value_type = Object)]
    pub output: Value,
    /// What cut the result short, if anything did.
    #[schema(required)]
    pub truncated: Option<TruncationResource>,
    /// NaN and infinite numbers that were written as null.
    pub non_finite_as_null: u64,
    /// The data set that was read; null where none was.
    #[schema(required)]
    pub source: Option<ManifestSourceResource>,
    /// The data sets that a statement read; left out where the job is no statement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<ManifestSourceResource>,
    /// The upstream that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub upstream: Option<String>,
    /// What became of the rows, where the job takes rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub counts: Option<CountsResource>,
    /// The batches, where the job has batches: the files are theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub batches: Option<Vec<ManifestBatchResource>>,
    /// The version of the code that decides the bytes.
    pub writer: String,
}

/// A file of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ManifestFile)]
pub struct ManifestFileResource {
    /// Its name.
    pub name: String,
    /// The batch whose result it is, where the job has batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uuid")]
    pub batch_id: Option<String>,
    /// Its media type.
    pub media_type: String,
    /// Records in it.
    pub records: u64,
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// SHA-256 of the stored bytes in lower-case hexadecimal.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub sha256: String,
    /// CRC-32 of the stored bytes in lower-case hexadecimal.
    pub crc32: String,
}

/// What became of one batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ManifestBatch)]
pub struct ManifestBatchResource {
    /// The batch.
    #[schema(format = "uuid")]
    pub batch_id: String,
    /// What the client calls it.
    #[schema(required)]
    pub name: Option<String>,
    /// How it ended.
    pub state: String,
    /// What became of its rows.
    #[schema(required)]
    pub counts: Option<CountsResource>,
    /// Why it failed.
    #[schema(required)]
    pub error: Option<String>,
}

/// Where the records came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ManifestSource)]
pub struct ManifestSourceResource {
    /// The data set.
    pub dataset: String,
    /// The version of the data set that was read.
    pub version: String,
    /// Files of the data set.
    pub files: u64,
    /// Those of them that the filter did not rule out by the directories that they lie in. Not there in older manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_read: Option<u64>,
}

impl ManifestSourceResource {
    fn of(source: &ManifestSource) -> Self {
        Self {
            dataset: source.dataset.clone(),
            version: source.version.clone(),
            files: source.files,
            files_read: source.files_read,
        }
    }
}

impl ManifestResource {
    pub(crate) fn of(manifest: &Manifest) -> Result<Self, serde_json::Error> {
        let files = manifest.files.iter().map(|file| ManifestFileResource {
            name: file.name.clone(),
            batch_id: file.batch.map(|batch| batch.to_string()),
            media_type: file.media_type.clone(),
            records: file.records,
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            crc32: file.crc32.clone(),
        });
        Ok(Self {
            schema_version: manifest.schema_version,
            job_id: manifest.job_id.to_string(),
            account: manifest.account.to_string(),
            attempt: manifest.attempt,
            created: manifest.created.to_string(),
            records: manifest.records,
            bytes: manifest.bytes,
            files: files.collect(),
            pages: manifest.pages,
            page_size: manifest.page_size,
            schema: columns(&manifest.schema),
            output: serde_json::to_value(&manifest.output)?,
            truncated: manifest.truncated.as_ref().map(|truncated| TruncationResource {
                reason: truncated.reason.as_str().to_owned(),
                limit: truncated.limit,
            }),
            non_finite_as_null: manifest.non_finite_as_null,
            source: manifest.source.as_ref().map(ManifestSourceResource::of),
            sources: manifest.sources.iter().map(ManifestSourceResource::of).collect(),
            upstream: manifest.upstream.clone(),
            counts: manifest.counts.map(CountsResource::from),
            batches: manifest.batches.as_ref().map(|batches| {
                let batches = batches.iter().map(|batch| ManifestBatchResource {
                    batch_id: batch.batch_id.to_string(),
                    name: batch.name.clone(),
                    state: batch.state.as_str().to_owned(),
                    counts: batch.counts.map(CountsResource::from),
                    error: batch.error.clone(),
                });
                batches.collect()
            }),
            writer: manifest.writer.clone(),
        })
    }
}
