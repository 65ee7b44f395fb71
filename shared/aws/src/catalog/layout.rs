//! Where files of data sets lie in the bucket: `datasets/{name}/{edition}/{file}`.
//!
//! An edition is named by what is in it and never changes once a catalog names it: who reads a data set while a new
//! edition of it is uploaded, or with a catalog of half a minute ago, reads the old one, whole.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use willcall_core::{catalog::Catalog, id::is_name};

const DATASETS: &str = "datasets/";
/// Digits of an edition's name.
const DIGITS: usize = 16;

/// Below this lie all editions of the data set.
pub(super) fn of_dataset(name: &str) -> String {
    format!("{DATASETS}{name}/")
}

/// Below this lie the files of the edition with these files: their names, sizes and SHA-256.
pub(super) fn of_edition<'a>(name: &str, files: impl IntoIterator<Item = (&'a str, u64, &'a str)>) -> String {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(format!("{file:?}\n"));
    }
    let digest = hex::encode(hash.finalize());
    format!("{}{}/", of_dataset(name), &digest[..DIGITS])
}

/// The prefix of the edition that the object belongs to; `None` where it is of nobody's making.
pub(super) fn edition(key: &str) -> Option<&str> {
    let (name, rest) = key.strip_prefix(DATASETS)?.split_once('/')?;
    let (digits, file) = rest.split_once('/')?;
    let made = is_name(name)
        && digits.len() == DIGITS
        && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && !file.is_empty();
    made.then(|| &key[..key.len() - file.len()])
}

/// The editions in this bucket that the catalog names.
pub(super) fn editions_of(catalog: &Catalog, bucket: &str) -> BTreeSet<String> {
    let bucket = format!("s3://{bucket}/");
    let keys = catalog.datasets.values().filter_map(|dataset| dataset.source.location.strip_prefix(&bucket));
    // A location is a file of the edition, or its prefix, which is no file's name yet.
    keys.filter_map(|key| edition(key).or_else(|| key.ends_with('/').then_some(key)))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edition_is_named_by_what_is_in_it() {
        let of = |size, sha| of_edition("flights", [("a.parquet", size, sha)]);
        let prefix = of(1, "aa");
        assert!(prefix.starts_with("datasets/flights/") && prefix.ends_with('/'));
        assert_eq!(prefix, of(1, "aa"));
        assert!(prefix != of(2, "aa") && prefix != of(1, "ab"));
        let key = format!("{prefix}a.parquet");
        assert_eq!(edition(&key), Some(prefix.as_str()));
    }

    #[test]
    fn what_nobody_made_here_is_nobodys_edition() {
        for key in [
            "datasets/flights/a.parquet",
            "datasets/flights/2026/a.parquet",
            "datasets/flights/0123456789abcdeg/a.parquet",
            "datasets/flights/0123456789abcdef",
            "datasets/flights/0123456789abcdef/",
            "datasets/../0123456789abcdef/a",
            "results/flights/0123456789abcdef/a.parquet",
        ] {
            assert_eq!(edition(key), None, "{key}");
        }
    }
}
