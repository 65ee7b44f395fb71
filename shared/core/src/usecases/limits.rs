//! The limits of requests, in one place: docs and errors name these.

/// The most bytes of a request's body.
pub const MAX_BODY: u64 = 1024 * 1024;
/// The most characters of a job's name.
pub const MAX_NAME: usize = 200;
/// The most labels of a job.
pub const MAX_LABELS: usize = 20;
/// The most characters of a label's key.
pub const MAX_LABEL_KEY: usize = 64;
/// The most characters of a label's value.
pub const MAX_LABEL_VALUE: usize = 256;
/// The most entries of `fields`.
pub const MAX_FIELDS: usize = 1000;
/// The most columns of a result in `xlsx`: Excel has no more.
pub const MAX_SHEET_COLUMNS: usize = 16_384;
/// The most entries of `sort`.
pub const MAX_SORT: usize = 64;
/// The most jobs in one page of the list.
pub const MAX_LIST: u32 = 500;
/// A page of the list ends early once the large requests in it have this many bytes.
pub const MAX_LIST_BYTES: usize = 2 * 1024 * 1024;
/// The jobs in one page of the list where the request does not say.
pub const DEFAULT_LIST: u32 = 50;
/// The most of offset + limit in a synchronous request.
pub const MAX_SYNC_DEPTH: u64 = 10_000;
/// The records of a synchronous request that names no limit.
pub const DEFAULT_SYNC_LIMIT: u64 = 1000;
/// The most bytes of a request that are kept in the job's record; larger ones go to the blob store.
pub const MAX_INLINE_REQUEST: usize = 8 * 1024;
/// The records of a page where the request does not say.
pub const DEFAULT_PAGE_SIZE: u32 = 1000;
/// The most webhook endpoints of an account.
pub const MAX_ENDPOINTS: usize = 10;
/// The most characters of an endpoint's description.
pub const MAX_DESCRIPTION: usize = 200;
/// The most bytes of one file that is uploaded: what S3 takes in one PUT.
pub const MAX_UPLOAD: u64 = 5 << 30;
/// The most items that come with a request.
pub const MAX_ITEMS: usize = 10_000;
/// The most parameters of a statement.
pub const MAX_PARAMETERS: usize = 100;
/// The most keys of a match.
pub const MAX_MATCH_KEYS: usize = 8;
