//! The formats that files of data sets have, told by their names.

use std::fmt;

/// What the files of a data set are. All files of one data set are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// `.parquet`.
    Parquet,
    /// `.csv`, and `.csv.gz` and `.csv.zst` compressed.
    Csv,
    /// `.tsv`, in the same ways.
    Tsv,
    /// `.jsonl` or `.ndjson`, in the same ways.
    Jsonl,
    /// `.json`, in the same ways: one array of objects.
    Json,
}

impl FileFormat {
    /// By the end of a file's name; `None` where it is none that a directory is looked through for.
    pub fn of_name(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
        let is_plain = stem.is_none();
        match stem.unwrap_or(name).rsplit_once('.')?.1 {
            "parquet" if is_plain => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Of the files of a directory, by their names, those that are the data set's: the Parquet files where there are
    /// any, as others beside them are notes about them; else all of the other formats, of which JSON beside others is such
    /// a note as well. Whether these are of one format is for whoever reads them to tell.
    pub fn of_directory<T>(files: &mut Vec<T>, name: impl Fn(&T) -> &str) {
        let format = |file: &T| Self::of_name(name(file));
        if files.iter().any(|file| format(file) == Some(Self::Parquet)) {
            files.retain(|file| format(file) == Some(Self::Parquet));
            return;
        }
        files.retain(|file| format(file).is_some());
        if files.iter().any(|file| format(file) != Some(Self::Json)) {
            files.retain(|file| format(file) != Some(Self::Json));
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Jsonl => "JSON Lines",
            Self::Json => "JSON",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats() {
        for (name, format) in [
            ("a.parquet", Some(FileFormat::Parquet)),
            ("x/a.csv", Some(FileFormat::Csv)),
            ("a.csv.gz", Some(FileFormat::Csv)),
            ("a.tsv.zst", Some(FileFormat::Tsv)),
            ("a.jsonl", Some(FileFormat::Jsonl)),
            ("a.ndjson.gz", Some(FileFormat::Jsonl)),
            ("a.parquet.gz", None),
            ("a.json", Some(FileFormat::Json)),
            ("a.json.zst", Some(FileFormat::Json)),
            ("a.json.bz2", None),
            ("a.CSV", None),
            ("csv", None),
            ("a.gz", None),
        ] {
            assert_eq!(FileFormat::of_name(name), format, "{name}");
        }
    }

    #[test]
    fn parquet_goes_before_what_lies_beside_it() {
        let kept = |names: &[&'static str]| {
            let mut names = names.to_vec();
            FileFormat::of_directory(&mut names, |name| name);
            names
        };
        assert_eq!(kept(&["a.csv", "b.parquet", "c.txt"]), ["b.parquet"]);
        assert_eq!(kept(&["a.csv", "b.jsonl", "c.txt"]), ["a.csv", "b.jsonl"]);
        assert_eq!(kept(&["schema.json", "a.csv", "b.parquet"]), ["b.parquet"]);
        assert_eq!(kept(&["schema.json", "a.csv", "c.txt"]), ["a.csv"]);
        assert_eq!(kept(&["a.json", "b.json.gz", "c.txt"]), ["a.json", "b.json.gz"]);
        assert!(kept(&["c.txt"]).is_empty());
    }
}
