//! The frame of a zip, read back by a reader that was not written here.

#[path = "support/unzip.rs"]
mod unzip;

use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use rawzip::{RECOMMENDED_BUFFER_SIZE, ZipArchive};
use willcall_core::{
    Timestamp,
    zip::{ZipEntry, ZipFrame, frame},
};

use unzip::unzip;

const AT: Timestamp = Timestamp::from_millis(1_780_000_000_000);

fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let entry = |(name, bytes): &(String, Vec<u8>)| ZipEntry {
        name: name.clone(),
        size: bytes.len() as u64,
        crc32: crc32fast::hash(bytes),
    };
    let frame = frame(&files.iter().map(entry).collect::<Vec<_>>(), AT);
    let mut zip = Vec::new();
    for (head, (_, bytes)) in frame.heads.iter().zip(files) {
        zip.extend_from_slice(head);
        zip.extend_from_slice(bytes);
    }
    zip.extend_from_slice(&frame.tail);
    assert_eq!(zip.len() as u64, frame.size);
    zip
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_packed_is_read_back(files in prop::collection::btree_map("[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,60}", prop::collection::vec(any::<u8>(), 0..2_000), 0..20)) {
        let files: Vec<_> = files.into_iter().collect();
        let zip = pack(&files);
        prop_assert_eq!(unzip(&zip).unwrap(), files.clone());
        prop_assert_eq!(pack(&files), zip, "the same files give the same bytes");
    }
}

#[test]
fn more_files_than_a_short_number_counts_are_all_there() {
    for count in [65_534, 65_535, 65_536] {
        let files: Vec<_> = (0..count).map(|n| (format!("{n}.csv"), Vec::new())).collect();
        assert_eq!(unzip(&pack(&files)).unwrap().len(), count);
    }
}

#[test]
fn a_wrong_crc_is_found_by_whoever_unpacks() {
    let mut zip = pack(&[("a.csv".into(), b"some text".to_vec())]);
    let at = zip.windows(9).position(|bytes| bytes == b"some text").unwrap();
    zip[at] = b'x';
    assert!(unzip(&zip).is_err());
}

#[test]
fn files_of_more_than_four_gigabytes_and_what_lies_behind_them_are_found() {
    let four = u64::from(u32::MAX);
    for sizes in [
        vec![four - 1, 3],
        vec![four, 3],
        vec![four + 1, 3],
        vec![3, 40 << 30, 7],
        vec![four / 2, four / 2, four / 2, 1],
    ] {
        let entries: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(place, size)| {
                let zeros = vec![0; usize::try_from(*size).unwrap_or(0).min(16)];
                ZipEntry { name: format!("{place}.bin"), size: *size, crc32: crc32fast::hash(&zeros) }
            })
            .collect();
        // The files' bytes are holes: only the frame takes room.
        let (file, mut at) = (tempfile::tempfile().unwrap(), 0);
        let ZipFrame { heads, tail, size } = frame(&entries, AT);
        file.set_len(size).unwrap();
        let mut begin = Vec::new();
        for (head, entry) in heads.iter().zip(&entries) {
            file.write_all_at(head, at).unwrap();
            begin.push(at + head.len() as u64);
            at += head.len() as u64 + entry.size;
        }
        file.write_all_at(&tail, at).unwrap();
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let archive = ZipArchive::from_file(file, &mut buffer).unwrap();
        assert_eq!(archive.entries_hint(), sizes.len() as u64);
        let mut listed = archive.entries(&mut buffer);
        let mut found = Vec::new();
        while let Some(entry) = listed.next_entry().unwrap() {
            assert_eq!(entry.compressed_size_hint(), entry.uncompressed_size_hint());
            let local = archive.get_entry(entry.wayfinder()).unwrap();
            let (from, to) = local.compressed_data_range();
            found.push((from, to - from));
        }
        let expected: Vec<_> = begin.into_iter().zip(sizes).collect();
        assert_eq!(found, expected);
    }
}
