//! What a result can be written as: formats, compressions and the options of each.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The version of everything that decides a result's bytes. Another one means that a result of this code may
/// differ from a result of older code for the same request and data.
pub const WRITER_VERSION: &str = "willcall-2";

/// A format of results. To add one, add a variant: the compiler names every place to complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON array of objects, streamed.
    Json,
    /// JSON Lines: one object a line.
    Jsonl,
    /// Comma-separated values, RFC 4180.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// An Arrow IPC stream.
    Arrow,
    /// An Excel workbook.
    Xlsx,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [Self::Json, Self::Jsonl, Self::Csv, Self::Parquet, Self::Arrow, Self::Xlsx];

    /// The format as it is written in requests and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Xlsx => "xlsx",
        }
    }

    /// Other names that requests may use.
    pub fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["jsons"],
            Self::Jsonl => &["ndjson"],
            Self::Arrow => &["arrows"],
            Self::Csv | Self::Parquet | Self::Xlsx => &[],
        }
    }

    /// The media type of an uncompressed result or page.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Jsonl => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// The file name's ending, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            // `.arrow` is the other form, the one with a footer.
            Self::Arrow => "arrows",
            _ => self.as_str(),
        }
    }

    /// Whether the format is text: text can be paged and compressed as a whole, the others cannot.
    pub fn is_text(self) -> bool {
        match self {
            Self::Json | Self::Jsonl | Self::Csv => true,
            Self::Parquet | Self::Arrow | Self::Xlsx => false,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text || format.aliases().contains(&text))
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::as_str);
                let [first @ .., last] = &names;
                format!("{text:?} is not a format: use {} or {last}", first.join(", "))
            })
    }
}

/// How the file itself is compressed; never a `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// gzip (RFC 1952), one member a page.
    Gzip,
    /// Zstandard (RFC 8878), one frame a page.
    Zstd,
}

impl Compression {
    /// Every compression.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];

    /// The compression as it is written in requests and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What it adds to a file name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// The media type of a file so compressed; `None` where the format's own holds.
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("application/gzip"),
            Self::Zstd => Some("application/zstd"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|compression| compression.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a compression: use none, gzip or zstd"))
    }
}

/// How CSV is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CsvOptions {
    /// What stands between fields: one ASCII character, neither a quote nor a line break.
    pub delimiter: char,
    /// What stands for null; empty text is then written as `""`.
    pub null: String,
    /// Whether the first line names the columns.
    pub header: bool,
    /// Whether text that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, a tab or a
    /// carriage return) is written with a `'` before it.
    pub spreadsheet_safe: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: ',', null: String::new(), header: true, spreadsheet_safe: false }
    }
}

/// How Parquet is compressed inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParquetCodec {
    /// Not at all.
    None,
    /// Snappy: what every reader understands.
    #[default]
    Snappy,
    /// Zstandard, level 3.
    Zstd,
}

/// How Parquet is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ParquetOptions {
    /// The compression of its pages.
    pub codec: ParquetCodec,
    /// The most rows in a row group, 1,000 to 1,048,576.
    pub row_group_size: u32,
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self { codec: ParquetCodec::Snappy, row_group_size: 122_880 }
    }
}

/// A format with its options and compression: everything that decides how a record becomes bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OutputFormat {
    /// The format.
    pub format: Format,
    /// The compression of the file; always [`Compression::None`] where the format is not text.
    pub compression: Compression,
    /// Options of CSV, used where the format is CSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvOptions>,
    /// Options of Parquet, used where the format is Parquet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parquet: Option<ParquetOptions>,
}

impl OutputFormat {
    /// The format with its default options, not compressed.
    pub fn plain(format: Format) -> Self {
        Self { format, compression: Compression::None, csv: None, parquet: None }
    }

    /// The media type of the whole file.
    pub fn media_type(&self) -> &'static str {
        self.compression.media_type().unwrap_or(self.format.media_type())
    }

    /// The ending of the file's name, with the dot: `.csv.gz`.
    pub fn file_suffix(&self) -> String {
        format!(".{}{}", self.format.extension(), self.compression.suffix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_alias_reads_back() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
            for alias in format.aliases() {
                assert_eq!(alias.parse(), Ok(format));
            }
        }
        for compression in Compression::ALL {
            assert_eq!(compression.as_str().parse(), Ok(compression));
        }
        assert!("CSV".parse::<Format>().is_err() && "".parse::<Format>().is_err());
    }

    #[test]
    fn compression_is_the_files_own() {
        let gz = OutputFormat { compression: Compression::Gzip, ..OutputFormat::plain(Format::Csv) };
        assert_eq!((gz.media_type(), gz.file_suffix().as_str()), ("application/gzip", ".csv.gz"));
        assert_eq!(OutputFormat::plain(Format::Csv).media_type(), "text/csv; charset=utf-8");
    }
}
