//! Compression of text: each piece becomes a gzip member or zstd frame of its own.

use std::io::{self, Write};

use flate2::{Compression as Level, GzBuilder};
use willcall_core::format::Compression;

/// Level of both: the default of their own tools for gzip, zstd's for zstd.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// The piece as one member or frame.
pub(crate) fn compress(compression: Compression, piece: &[u8]) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(piece.to_vec()),
        Compression::Gzip => {
            // No time and no system in the header: the same text gives the same bytes.
            let buffer = Vec::with_capacity(piece.len() / 3 + 64);
            let mut writer =
                GzBuilder::new().mtime(0).operating_system(255).write(buffer, Level::new(GZIP_LEVEL));
            writer.write_all(piece)?;
            writer.finish()
        }
        Compression::Zstd => zstd::bulk::compress(piece, ZSTD_LEVEL),
    }
}
