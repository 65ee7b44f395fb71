//! What a zip holds, compared with the manifest: results stand in it as they are, in the manifest's order, before the manifest itself.

use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use super::wire::File;
use crate::output::clean;

/// What stands before the name of a file in a zip.
const HEAD: usize = 30;
const SIGNATURE: &[u8] = b"PK\x03\x04";
const PIECE: usize = 64 * 1024;

/// What is wrong with the zip, in words; nothing where each result in it is the one that the manifest names.
pub(super) fn wrong(zip: &mut (impl Read + Seek), files: &[File]) -> io::Result<Option<String>> {
    zip.seek(SeekFrom::Start(0))?;
    let mut zip = BufReader::with_capacity(PIECE, zip);
    for file in files {
        match next(&mut zip, file.bytes) {
            Ok(Some((_, sha256))) if sha256 == file.sha256 => {}
            Ok(Some((name, sha256))) => {
                let name = clean(&name);
                return Ok(Some(format!("{name} in it has the SHA-256 {sha256}, not {}", file.sha256)));
            }
            Ok(None) => return Ok(Some("it is no zip as the server packs them".to_owned())),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Ok(Some("it ends before all results do".to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Name and SHA-256 of the next file, which has so many bytes; nothing where none begins here that is stored as it is.
fn next(zip: &mut impl Read, bytes: u64) -> io::Result<Option<(String, String)>> {
    let mut head = [0; HEAD];
    zip.read_exact(&mut head)?;
    let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    if !head.starts_with(SIGNATURE) || short(8) != 0 {
        return Ok(None);
    }
    let mut name = vec![0; usize::from(short(26))];
    zip.read_exact(&mut name)?;
    let mut extra = vec![0; usize::from(short(28))];
    zip.read_exact(&mut extra)?;
    let (mut hash, mut left, mut piece) = (Sha256::new(), bytes, vec![0; PIECE]);
    while left > 0 {
        let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        zip.read_exact(&mut piece[..most])?;
        hash.update(&piece[..most]);
        left -= most as u64;
    }
    Ok(Some((String::from_utf8_lossy(&name).into_owned(), hex::encode(hash.finalize()))))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use willcall_core::{
        Timestamp,
        zip::{ZipEntry, frame},
    };

    use super::*;

    const FILES: [(&str, &[u8]); 3] = [("a.csv", b"n\n1\n"), ("empty.csv", b""), ("b.csv", b"n\n2\n3\n")];

    fn packed() -> Vec<u8> {
        let entry =
            |(name, bytes): (&str, &[u8])| ZipEntry { name: name.into(), size: bytes.len() as u64, crc32: 7 };
        let frame = frame(&FILES.map(entry), Timestamp::from_millis(0));
        let files = frame.heads.iter().zip(FILES).flat_map(|(head, (_, bytes))| [head, bytes].concat());
        files.chain(frame.tail).collect()
    }

    fn named() -> Vec<File> {
        let file = |(_, bytes): (&str, &[u8])| File {
            bytes: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(bytes)),
            batch_id: None,
        };
        FILES.map(file).into()
    }

    fn said(zip: &[u8], files: &[File]) -> Option<String> {
        wrong(&mut Cursor::new(zip), files).unwrap()
    }

    #[test]
    fn a_zip_of_the_very_results_is_right() {
        assert_eq!(said(&packed(), &named()), None);
        assert_eq!(said(b"", &[]), None);
    }

    #[test]
    fn a_changed_byte_a_cut_and_another_size_are_found() {
        let whole = packed();
        let at = whole.windows(6).position(|six| six == b"n\n2\n3\n").unwrap();
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(said(&changed, &named()).unwrap().starts_with("b.csv in it has the SHA-256"));
        assert_eq!(said(&whole[..at + 3], &named()).unwrap(), "it ends before all results do");
        let mut others = named();
        others[0].bytes -= 1;
        assert!(said(&whole, &others).unwrap().starts_with("a.csv"));
        others[0] = File { sha256: hex::encode(Sha256::digest(b"n\n1")), ..others[0].clone() };
        assert_eq!(said(&whole, &others).unwrap(), "it is no zip as the server packs them");
        assert!(said(b"<html>not a zip, but long enough to be one</html>", &named()).is_some());
    }
}
