//! What a query's files tell about it, found out by whoever carries out its dry run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::format::{Compression, Format};

/// What a dry run asks beside its sample: about the query that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// The columns by which the query would sort; the sample does not.
    pub sort: Vec<String>,
    /// Records that it would leave out at the start.
    pub offset: u64,
    /// The most records that it would deliver.
    pub cap: u64,
    /// For how long the work may read, once it knows what there is to read; what is not counted by then is estimated.
    pub count_for: Duration,
}

/// How it is known how many records match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The files' own statistics decide: exact, and no record was looked at.
    Statistics,
    /// Those that statistics do not decide were counted: exact.
    Counting,
    /// The time for counting was over before: an estimate between bounds.
    Part,
}

/// What was found out. All of it is of the very files that the sample was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// How the records were found.
    pub found_by: FoundBy,
    /// Records that match for certain; all of them where they are exact.
    pub at_least: u64,
    /// The most records that may match; `None` where nobody knows how many there are.
    pub at_most: Option<u64>,
    /// Records that are likely to match: what was counted stands for the rest.
    pub likely: u64,
    /// The most bytes that the query would read.
    pub bytes_read: u64,
    /// Whether those are of whole files, which text is read as, or of the columns that are needed.
    pub whole_files: bool,
    /// What the values asked for have in bytes, neither compressed nor written as text, with the number of their records;
    /// `None` where the files do not say.
    pub values: Option<Values>,
    /// How much of what had to be read was read, where the time was over before all of it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PartCounted>,
}

/// The part that was read in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartCounted {
    /// What was read: records, or bytes of text.
    pub weight: u64,
    /// All that has to be read, in the same measure.
    pub of: u64,
    /// How long the reading took, in milliseconds.
    pub millis: u64,
}

/// The size of values in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// Bytes.
    pub bytes: u64,
    /// Records that have them.
    pub records: u64,
}

impl Survey {
    /// Whether the number of records is exact.
    pub fn is_exact(&self) -> bool {
        self.found_by != FoundBy::Part
    }

    /// How long it is likely to take to read what was not read in time: as long, in proportion, as what was. `None` where
    /// there is nothing to tell by.
    pub fn rest(&self) -> Option<Duration> {
        if self.is_exact() {
            return Some(Duration::ZERO);
        }
        let part = self.part?;
        let more = u128::from(part.millis) * u128::from(part.of.saturating_sub(part.weight));
        let millis = more.checked_div(u128::from(part.weight))?;
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
    }

    /// The bytes that so many records are likely to have as a result, by the size of their values; `None` where that is
    /// not known.
    pub fn written(&self, records: u64, format: Format, compression: Compression) -> Option<u64> {
        let values = self.values.filter(|values| values.records > 0)?;
        let percent = u128::from(percent(format, compression));
        let bytes = (u128::from(values.bytes) * u128::from(records)).saturating_mul(percent);
        Some(u64::try_from(bytes / (100 * u128::from(values.records))).unwrap_or(u64::MAX))
    }
}

/// What a result has of the bytes of its values, in hundredths: about what tables of numbers, dates and short texts come to.
pub(crate) fn percent(format: Format, compression: Compression) -> u64 {
    let plain = match format {
        Format::Csv => 100,
        // Each value with the name of its column.
        Format::Json | Format::Jsonl => 260,
        Format::Arrow => 105,
        Format::Parquet => 45,
        Format::Xlsx => 60,
    };
    match compression {
        Compression::None => plain,
        // Names that come again and again are nearly free.
        Compression::Gzip | Compression::Zstd => match format {
            Format::Csv => 35,
            _ => 40,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(values: Option<Values>) -> Survey {
        Survey {
            found_by: FoundBy::Part,
            at_least: 0,
            at_most: None,
            likely: 10,
            bytes_read: 1,
            whole_files: false,
            values,
            part: None,
        }
    }

    #[test]
    fn what_was_not_read_takes_as_long_in_proportion() {
        let part = |weight, of, millis| {
            Survey { part: Some(PartCounted { weight, of, millis }), ..survey(None) }.rest()
        };
        assert_eq!(part(1, 100, 25_000), Some(Duration::from_secs(99 * 25)));
        assert_eq!(part(100, 100, 25_000), Some(Duration::ZERO));
        assert_eq!(part(1, u64::MAX, u64::MAX), Some(Duration::from_millis(u64::MAX)));
        assert_eq!(part(0, 100, 25_000), None, "nothing was read that could tell");
        assert_eq!(survey(None).rest(), None);
        let exact = Survey { found_by: FoundBy::Counting, ..survey(None) };
        assert_eq!(exact.rest(), Some(Duration::ZERO));
    }

    #[test]
    fn sizes_stand_for_the_result_by_its_format() {
        let of = survey(Some(Values { bytes: 4_000, records: 100 }));
        assert_eq!(of.written(50, Format::Csv, Compression::None), Some(2_000));
        assert_eq!(of.written(50, Format::Jsonl, Compression::None), Some(5_200));
        assert_eq!(of.written(50, Format::Jsonl, Compression::Zstd), Some(800));
        assert_eq!(of.written(0, Format::Csv, Compression::None), Some(0));
        let vast = survey(Some(Values { bytes: u64::MAX, records: 1 }));
        assert_eq!(vast.written(u64::MAX, Format::Json, Compression::None), Some(u64::MAX));
    }

    #[test]
    fn nothing_is_reckoned_from_nothing() {
        assert_eq!(survey(None).written(5, Format::Csv, Compression::None), None);
        let empty = survey(Some(Values { bytes: 0, records: 0 }));
        assert_eq!(empty.written(5, Format::Csv, Compression::None), None);
        assert!(!empty.is_exact());
    }
}
