//! Compressions whose decoders go on for as long as there is something to decompress, whatever room a page's header speaks of.

use std::io::{self, Read};

use parquet::basic::Compression;

/// Whether the decoder makes no end of its own of what is compressed so. All others it gives the room that the header tells, and no
/// more.
pub(super) fn has_no_bound(compression: Compression) -> bool {
    matches!(compression, Compression::GZIP(_) | Compression::BROTLI(_) | Compression::LZ4)
}

/// Whether what has no bound decompresses to more than `most` bytes.
pub(super) fn is_longer(compression: Compression, bytes: &[u8], most: u64) -> bool {
    match compression {
        Compression::GZIP(_) => reads_more(flate2::bufread::MultiGzDecoder::new(bytes), most),
        Compression::BROTLI(_) => reads_more(brotli::Decompressor::new(bytes, 4096), most),
        // The decoder tries three formats, of which this one has no bound.
        Compression::LZ4 => reads_more(lz4_flex::frame::FrameDecoder::new(bytes), most),
        _ => false,
    }
}

fn reads_more(reader: impl Read, most: u64) -> bool {
    // What breaks off before does so in the decoder too.
    io::copy(&mut reader.take(most.saturating_add(1)), &mut io::sink()).is_ok_and(|read| read > most)
}
