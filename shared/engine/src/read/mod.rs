//! Rows of tabular text of any size: CSV, JSON Lines and JSON arrays, plain, gzip or zstd.
//!
//! Bytes are recognised, inflated, brought to UTF-8, cut into rows, and, where types are wanted, made record batches.
//! Everything blocks its thread. Memory is bounded by [`Limits`] whatever the bytes are: no row is larger than
//! `row_bytes`, and nothing but the row at hand is held.
//!
//! Two kinds of errors are kept apart. A [`RowError`] is about one row, and the next one can be read. After a
//! [`FileError`] there is no next one.

mod array;
mod batch;
mod csv;
mod error;
mod infer;
mod inflate;
mod json;
mod lines;
mod recognise;
mod row;
mod rows;
mod text;
pub(crate) mod value;

#[cfg(test)]
mod tests;

pub(crate) use self::batch::single;
pub use self::{
    batch::BatchBuilder,
    error::{FileError, RowError},
    infer::Inference,
    recognise::{Declared, Encoding, Recognised, TextFormat, Unrecognised, recognise},
    row::{Columns, Field, Row},
    rows::{ReadOptions, RowReader},
};

/// The bytes at the start of a file that are looked at to recognise it.
pub const HEAD: usize = 16 << 10;

/// What a file may ask of whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of one row as it is written.
    pub row_bytes: usize,
    /// The columns of a file.
    pub columns: usize,
    /// The bytes of a column's name.
    pub name_bytes: usize,
    /// How deep arrays and objects of JSON lie in each other, the row's own object counted.
    pub depth: usize,
    /// The bytes of the file's text, when it is inflated.
    pub text_bytes: u64,
    /// How many times larger the text may be than the compressed bytes that it comes from. Looked at from 16 MiB of
    /// text on.
    pub ratio: u64,
}

impl Limits {
    /// For files whose author is trusted, as those of the operator's data sets: rows are bounded, the whole is not.
    pub fn trusting() -> Self {
        Self { row_bytes: 16 << 20, text_bytes: u64::MAX, ratio: u64::MAX, ..Self::default() }
    }
}

impl Default for Limits {
    /// For files of anybody: rows of 1 MiB, 1,000 columns, 32 levels, 64 GiB of text, at most 500 times the
    /// compressed bytes.
    fn default() -> Self {
        Self {
            row_bytes: 1 << 20,
            columns: 1000,
            name_bytes: 1000,
            depth: 32,
            text_bytes: 64 << 30,
            ratio: 500,
        }
    }
}
