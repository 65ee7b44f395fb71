//! Writes the data set `numbers`, which scenarios against a deployed address ask for.
//!
//! `cargo run -p willcall-tests --example numbers -- numbers.parquet`

use std::path::Path;

use anyhow::{Context, Result};

/// As many as the largest scenario needs.
const RECORDS: i64 = 1_000_000;

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("name the file to write")?;
    willcall_tests::write_numbers(Path::new(&path), RECORDS)
}
