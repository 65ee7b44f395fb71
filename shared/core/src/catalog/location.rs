//! Locations of data sets: paths of a disk, and prefixes and keys of S3.

use std::path::Path;

const S3: &str = "s3://";

/// Where a location leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// An absolute path.
    Disk(&'a Path),
    /// `s3://bucket/key`: one object, or all directly below a prefix.
    S3 {
        /// The bucket.
        bucket: &'a str,
        /// The object's key, or the prefix; one that ends in `/` is always a prefix.
        key: &'a str,
    },
}

impl<'a> Place<'a> {
    /// Where a location of the catalog leads.
    pub fn of(location: &'a str) -> Self {
        match location.strip_prefix(S3) {
            Some(place) => {
                let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
                Self::S3 { bucket, key }
            }
            None => Self::Disk(Path::new(location)),
        }
    }
}

/// Makes an absolute location of what an operator wrote. Relative paths are taken from `base`.
pub(super) fn absolute(written: &str, base: &Path) -> Result<String, String> {
    if written.is_empty() {
        return Err("is empty: name a file, a directory, or s3://bucket/key".into());
    }
    match written.split_once("://") {
        None => Ok(base.join(written).to_string_lossy().into_owned()),
        Some(("s3", _)) => {
            let Place::S3 { bucket, key } = Place::of(written) else {
                return Err(format!("{written:?} is no location"));
            };
            if !is_bucket(bucket) {
                return Err(format!(
                    "{bucket:?} is not the name of a bucket: 3 to 63 of a-z, 0-9, - and ., a letter or digit first and last"
                ));
            }
            if key.is_empty() {
                return Err(format!("{written:?} names a whole bucket: name a key or a prefix in it"));
            }
            if key.starts_with('/') || key.contains("//") || key.len() > 1024 {
                return Err(format!(
                    "{key:?} is not a key that is served: at most 1024 bytes, no / at its start, no // in it"
                ));
            }
            Ok(written.to_owned())
        }
        Some((scheme, _)) => {
            Err(format!("{scheme}:// is not served: name a file, a directory, or s3://bucket/key"))
        }
    }
}

fn is_bucket(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|c| plain(*c) || matches!(c, b'-' | b'.'))
        && bytes.first().copied().is_some_and(plain)
        && bytes.last().copied().is_some_and(plain)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(written: &str) -> Result<String, String> {
        absolute(written, Path::new("/data"))
    }

    #[test]
    fn paths_are_made_absolute_and_s3_stays_as_it_is() {
        assert_eq!(at("a/b.parquet").unwrap(), "/data/a/b.parquet");
        assert_eq!(at("/x").unwrap(), "/x");
        let s3 = at("s3://my-bucket.v2/flights/2026/").unwrap();
        assert_eq!(Place::of(&s3), Place::S3 { bucket: "my-bucket.v2", key: "flights/2026/" });
        assert_eq!(Place::of("/x"), Place::Disk(Path::new("/x")));
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for (written, expected) in [
            ("", "is empty"),
            ("s3://", "not the name of a bucket"),
            ("s3://My-Bucket/a", "not the name of a bucket"),
            ("s3://ab/a", "not the name of a bucket"),
            ("s3://-ab/a", "not the name of a bucket"),
            ("s3://a..b/a", "not the name of a bucket"),
            ("s3://192.168.5.4/a", "not the name of a bucket"),
            ("s3://bucket", "names a whole bucket"),
            ("s3://bucket/", "names a whole bucket"),
            ("s3://bucket//a", "not a key that is served"),
            ("s3://bucket/a//b", "not a key that is served"),
            ("gs://bucket/a", "gs:// is not served"),
            ("S3://bucket/a", "S3:// is not served"),
        ] {
            let error = at(written).unwrap_err();
            assert!(error.contains(expected), "{written}: {error}");
        }
        assert!(at(&format!("s3://bucket/{}", "k".repeat(1025))).is_err());
    }
}
