//! Reads a zip by means that were not written here.

use std::io::Read;

use rawzip::{CompressionMethod, ZipArchive};

/// Files by name.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// The files of a zip, by name and bytes, each compared with its CRC-32 and its size.
pub(crate) fn unzip(zip: &[u8]) -> Result<Files, Box<dyn std::error::Error>> {
    let archive = ZipArchive::from_slice(zip)?;
    let (mut files, mut entries) = (Vec::new(), archive.entries());
    while let Some(entry) = entries.next_entry()? {
        let name = entry.file_path().try_normalize()?.as_ref().to_owned();
        assert_eq!(name.as_bytes(), entry.file_path().as_bytes(), "a name that leads nowhere");
        assert_eq!(entry.compression_method(), CompressionMethod::STORE);
        assert_eq!(entry.compressed_size_hint(), entry.uncompressed_size_hint(), "nothing grows");
        let local = archive.get_entry(entry.wayfinder())?;
        let mut bytes = Vec::new();
        local.verifying_reader(local.data()).read_to_end(&mut bytes)?;
        files.push((name, bytes));
    }
    assert_eq!(files.len() as u64, archive.entries_hint());
    Ok(files)
}
