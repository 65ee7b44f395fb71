//! What a file is: told by its first bytes, and checked against what it was said to be.

use std::{fmt, io::Read};

use super::inflate::inflated_head;

/// How the bytes of a file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Not at all.
    None,
    /// gzip (RFC 1952), in any number of members.
    Gzip,
    /// Zstandard (RFC 8878), in any number of frames.
    Zstd,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextFormat {
    /// RFC 4180 with a header. The delimiter is a comma, or what the header shows without doubt.
    Csv,
    /// The same with tabs.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// One JSON array of objects.
    Json,
}

impl TextFormat {
    /// Whether rows are JSON objects, which have types of their own.
    pub fn is_json(self) -> bool {
        matches!(self, Self::Jsonl | Self::Json)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "not compressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl fmt::Display for TextFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Jsonl => "JSON Lines",
            Self::Json => "a JSON array",
        })
    }
}

/// What a file was said to be. What is not said is `None`, and found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Declared {
    /// Its format.
    pub format: Option<TextFormat>,
    /// Its compression.
    pub encoding: Option<Encoding>,
}

impl Declared {
    /// By the endings of a file's name: `x.csv.gz` is CSV in gzip, `x.csv` CSV that is not compressed. `None` where the
    /// endings say no format.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (stem, encoding) = if let Some(stem) = name.strip_suffix(".gz") {
            (stem, Encoding::Gzip)
        } else if let Some(stem) = name.strip_suffix(".zst") {
            (stem, Encoding::Zstd)
        } else {
            (name.as_str(), Encoding::None)
        };
        let format = match stem.rsplit_once('.')?.1 {
            "csv" => TextFormat::Csv,
            "tsv" => TextFormat::Tsv,
            "jsonl" | "ndjson" => TextFormat::Jsonl,
            "json" => TextFormat::Json,
            _ => return None,
        };
        Some(Self { format: Some(format), encoding: Some(encoding) })
    }

    /// By a media type, its parameters left aside. One of a compression says no format, and one of a format no
    /// compression: uploads are sent with either. `None` where it says neither.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let format = |format| Some(Self { format: Some(format), encoding: None });
        let encoding = |encoding| Some(Self { format: None, encoding: Some(encoding) });
        match essence.as_str() {
            "text/csv" | "application/csv" => format(TextFormat::Csv),
            "text/tab-separated-values" => format(TextFormat::Tsv),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines" => format(TextFormat::Jsonl),
            "application/json" => format(TextFormat::Json),
            "application/gzip" | "application/x-gzip" => encoding(Encoding::Gzip),
            "application/zstd" => encoding(Encoding::Zstd),
            _ => None,
        }
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recognised {
    /// Its compression.
    pub encoding: Encoding,
    /// Its format.
    pub format: TextFormat,
}

/// A file is not what it was said to be, or nothing that is read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unrecognised {
    /// It is Parquet, which is read by position and not by this module.
    #[error("the file is Parquet{}", said(*.declared))]
    Parquet {
        /// The format that it was said to have.
        declared: Option<TextFormat>,
    },
    /// It is not compressed as was said.
    #[error("the file was declared to be {declared}, and is {found}")]
    Encoding {
        /// As was said.
        declared: Encoding,
        /// As it is.
        found: Encoding,
    },
    /// It has not the format that was said.
    #[error("the file was declared to be {declared}, and {found}")]
    Format {
        /// As was said.
        declared: TextFormat,
        /// How its content looks.
        found: String,
    },
    /// It is no tabular text.
    #[error("the file is neither CSV nor JSON: it {found}")]
    Unknown {
        /// How its content looks.
        found: String,
    },
    /// What is compressed in it cannot be read at all.
    #[error("{0}")]
    Damaged(String),
}

fn said(declared: Option<TextFormat>) -> String {
    declared.map_or_else(String::new, |format| format!(", and was declared to be {format}"))
}

/// Tells what a file is by its first bytes, of which [`HEAD`](super::HEAD) are enough, and whether it is what was
/// declared. An empty file is what it was declared to be, or CSV.
pub fn recognise(head: &[u8], declared: Option<Declared>) -> Result<Recognised, Unrecognised> {
    let declared = declared.unwrap_or_default();
    if head.starts_with(b"PAR1") {
        return Err(Unrecognised::Parquet { declared: declared.format });
    }
    let encoding = encoding_of(head);
    if let Some(said) = declared.encoding
        && said != encoding
        && !head.is_empty()
    {
        return Err(Unrecognised::Encoding { declared: said, found: encoding });
    }
    let inflated = inflated_head(encoding, head).map_err(|error| Unrecognised::Damaged(error.to_string()))?;
    let text = start_of_text(&inflated);
    let format = match (look(&text), declared.format) {
        (Look::Binary(found), Some(declared)) => return Err(Unrecognised::Format { declared, found }),
        (Look::Binary(found), None) => return Err(Unrecognised::Unknown { found }),
        (Look::Empty, declared) => declared.unwrap_or(TextFormat::Csv),
        (Look::Objects, None) => TextFormat::Jsonl,
        (Look::Array, None) => TextFormat::Json,
        (Look::Other, None) => TextFormat::Csv,
        (Look::Objects, Some(declared @ (TextFormat::Json | TextFormat::Csv | TextFormat::Tsv))) => {
            return Err(Unrecognised::Format { declared, found: "begins with a JSON object".into() });
        }
        (Look::Array, Some(declared @ (TextFormat::Jsonl | TextFormat::Csv | TextFormat::Tsv))) => {
            return Err(Unrecognised::Format { declared, found: "begins with a JSON array".into() });
        }
        (Look::Other, Some(declared @ (TextFormat::Jsonl | TextFormat::Json))) => {
            let first = text.trim_start().chars().next().unwrap_or_default();
            return Err(Unrecognised::Format { declared, found: format!("begins with {first:?}") });
        }
        (_, Some(declared)) => declared,
    };
    Ok(Recognised { encoding, format })
}

fn encoding_of(head: &[u8]) -> Encoding {
    match head {
        [0x1F, 0x8B, ..] => Encoding::Gzip,
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Encoding::Zstd,
        // A frame to be skipped, with which files of some tools begin.
        [low, 0x2A, 0x4D, 0x18, ..] if low & 0xF0 == 0x50 => Encoding::Zstd,
        _ => Encoding::None,
    }
}

/// The text as far as it goes, or what is binary as it is.
fn start_of_text(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    // A cut character, and bytes that are no text, are the rows' to tell.
    let _ = super::text::Utf8::new(bytes).read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// What content looks like.
enum Look {
    Empty,
    /// `{` and a member.
    Objects,
    /// `[` and what a JSON array of rows begins with.
    Array,
    Other,
    Binary(String),
}

fn look(text: &str) -> Look {
    const KNOWN: [(&str, &str); 8] = [
        ("PK\u{3}\u{4}", "is a zip or an Excel workbook"),
        ("%PDF-", "is a PDF document"),
        ("ARROW1", "is an Arrow file"),
        ("PAR1", "is Parquet inside"),
        ("BZh", "is bzip2"),
        ("Obj\u{1}", "is Avro"),
        ("<?xml", "is XML"),
        ("<!DOCTYPE", "is HTML"),
    ];
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| text.starts_with(magic)) {
        return Look::Binary((*what).to_owned());
    }
    if text.contains('\0') {
        return Look::Binary(
            "has bytes that are zero, as binary files have, and UTF-16 without its mark".into(),
        );
    }
    let mut rest = text.trim_start().chars();
    let first = rest.next();
    match (first, rest.as_str().trim_start().chars().next()) {
        (None, _) => Look::Empty,
        (Some('{'), Some('"' | '}') | None) => Look::Objects,
        (Some('['), Some('{' | '[' | ']') | None) => Look::Array,
        _ => Look::Other,
    }
}
