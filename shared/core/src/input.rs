//! What clients may upload.

use std::{fmt, str::FromStr};

/// The media type of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// Comma-separated values with a header.
    Csv,
    /// JSON objects, one a line.
    JsonLines,
    /// An array of JSON objects.
    Json,
    /// Parquet.
    Parquet,
    /// Any of the first three, compressed.
    Gzip,
    /// Any of the first three, compressed.
    Zstd,
    /// Whatever the file shows itself to be.
    Binary,
}

impl MediaType {
    /// Every type.
    pub const ALL: [Self; 7] =
        [Self::Csv, Self::JsonLines, Self::Json, Self::Parquet, Self::Gzip, Self::Zstd, Self::Binary];

    /// The type as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::JsonLines => "application/x-ndjson",
            Self::Json => "application/json",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Gzip => "application/gzip",
            Self::Zstd => "application/zstd",
            Self::Binary => "application/octet-stream",
        }
    }

    /// The type that is declared, or else the one that the file's name tells.
    pub fn of(declared: Option<&str>, name: &str) -> Result<Self, String> {
        match declared {
            Some(text) => text.parse(),
            None => Ok(Self::of_name(name)),
        }
    }

    fn of_name(name: &str) -> Self {
        let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        match ending.as_str() {
            "csv" | "tsv" => Self::Csv,
            "jsonl" | "ndjson" | "jsons" => Self::JsonLines,
            "json" => Self::Json,
            "parquet" => Self::Parquet,
            "gz" => Self::Gzip,
            "zst" => Self::Zstd,
            _ => Self::Binary,
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MediaType {
    type Err = String;

    /// Parameters, such as a charset, are passed over: the file itself shows how it is written.
    fn from_str(text: &str) -> Result<Self, String> {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let found = match essence.as_str() {
            "application/csv" | "text/tab-separated-values" => Some(Self::Csv),
            "application/jsonl"
            | "application/jsonlines"
            | "application/ndjson"
            | "application/x-jsonlines" => Some(Self::JsonLines),
            "application/parquet" | "application/x-parquet" => Some(Self::Parquet),
            "application/x-gzip" => Some(Self::Gzip),
            "application/x-zstd" => Some(Self::Zstd),
            essence => Self::ALL.into_iter().find(|known| known.as_str() == essence),
        };
        found.ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|known| known.as_str()).collect();
            format!("{text:?} is not a media type that can be read: use {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_declared_or_told_by_the_name() {
        for known in MediaType::ALL {
            assert_eq!(known.as_str().parse(), Ok(known));
        }
        assert_eq!(MediaType::of(Some("Text/CSV; charset=utf-8"), "a.json"), Ok(MediaType::Csv));
        for (name, found) in [
            ("leads.CSV", MediaType::Csv),
            ("leads.csv.gz", MediaType::Gzip),
            ("a.jsonl", MediaType::JsonLines),
            ("a.parquet", MediaType::Parquet),
            ("a", MediaType::Binary),
            ("", MediaType::Binary),
        ] {
            assert_eq!(MediaType::of(None, name), Ok(found), "{name:?}");
        }
        for bad in ["", "text/html", "csv", "image/png"] {
            assert!(MediaType::of(Some(bad), "a.csv").unwrap_err().contains("text/csv"), "{bad:?}");
        }
    }
}
