//! Brings the results of the parts together, in the order of the input, and finds the rows that failed.

use std::{
    fs::File,
    io::{self, BufRead, Seek, SeekFrom, Write},
};

use flate2::{Compression as Level, write::GzEncoder};
use serde::Deserialize;
use serde_json::Value;
use willcall_core::format::{Compression, Format};

use super::{
    Input, Part,
    input::inflated,
    records::{Records, Rows},
};
use crate::{
    client::{
        Client, Source,
        wire::{self, Batch},
    },
    failure::{Exit, Failure},
    progress::Reporter,
    target::Target,
};

/// How results say what became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// By `_match`. A row with several records may come once for each of them, or count as failed.
    Append { comes_for_each: bool, ambiguous_fails: bool },
    /// By `state`.
    Call,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    /// Of CSV.
    pub(crate) delimiter: u8,
    /// Whether CSV begins with a header.
    pub(crate) header: bool,
}

impl Shape {
    /// Whether results of parts can be one after the other in one file.
    pub(crate) fn joins(self, rows: Option<Rows>) -> bool {
        match self.format {
            Format::Jsonl => true,
            // Lines of JSON may have other members in each part, and other members are other columns.
            Format::Csv => rows == Some(Rows::Csv),
            _ => false,
        }
    }

    /// Whether what became of each row can be read from a result.
    pub(crate) fn tells_rows(self) -> bool {
        matches!(self.format, Format::Csv | Format::Jsonl)
    }
}

/// Gathers results into one file, and failed rows into another.
pub(crate) struct Collector<'a> {
    pub(crate) client: &'a Client,
    pub(crate) job: &'a str,
    pub(crate) input: &'a Input,
    pub(crate) shape: Shape,
    pub(crate) told: Told,
    pub(crate) target: &'a mut Target,
    pub(crate) failed: Option<&'a mut Target>,
    /// The rows in it.
    pub(crate) failed_rows: u64,
    /// The header of the first result.
    header: Option<Vec<u8>>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(
        client: &'a Client,
        job: &'a str,
        input: &'a Input,
        (shape, told): (Shape, Told),
        target: &'a mut Target,
        failed: Option<&'a mut Target>,
    ) -> Self {
        Self { client, job, input, shape, told, target, failed, failed_rows: 0, header: None }
    }

    /// Fetches the result of a part and adds it. The parts come in the order of the input.
    pub(crate) async fn add(
        &mut self,
        part: &Part,
        batch: &Batch,
        expected: &wire::File,
        reporter: &mut Reporter,
    ) -> Result<(), Failure> {
        let source = Source::Batch { job: self.job, batch: &batch.batch_id };
        let result = if self.input.parts.len() == 1 {
            self.client.fetch_file(source, expected, self.target, reporter).await?;
            self.target.file().and_then(|file| file.try_clone()).map_err(|error| unwritable(&error))?
        } else {
            let mut spool = Target::spool()?;
            self.client.fetch_file(source, expected, &mut spool, reporter).await?;
            let result =
                spool.file().and_then(|file| file.try_clone()).map_err(|error| unwritable(&error))?;
            self.join(&result)?;
            result
        };
        if self.failed.is_some() {
            self.find_failed(part, batch, &result)?;
        }
        Ok(())
    }

    /// Adds the result of a part to the file.
    fn join(&mut self, mut result: &File) -> Result<(), Failure> {
        let wrong = |error: io::Error| unwritable(&error);
        result.rewind().map_err(wrong)?;
        let headed = self.shape.format == Format::Csv && self.shape.header;
        let mut rest: Box<dyn BufRead> = Box::new(io::empty());
        if headed {
            let text = inflated(result.try_clone().map_err(wrong)?, self.shape.compression).map_err(wrong)?;
            let mut records = Records::delimited(text, self.shape.delimiter);
            let mut header = Vec::new();
            records.read(&mut header).map_err(wrong)?;
            match &self.header {
                None => self.header = Some(header),
                Some(first) if *first == header => rest = records.into_rest(),
                Some(_) => {
                    return Err(Failure::new(
                        Exit::Failed,
                        "the results of the parts have different columns",
                    )
                    .advice("ask for jsonl, which can have them in one file"));
                }
            }
            let target = self.target.file().map_err(wrong)?;
            if target.stream_position().map_err(wrong)? > 0 {
                return pack(&mut rest, target, self.shape.compression).map_err(wrong);
            }
            result.rewind().map_err(wrong)?;
        }
        let target = self.target.file().map_err(wrong)?;
        io::copy(&mut result, target).map(|_| ()).map_err(wrong)
    }

    /// Leaves all rows of a part whose batch failed.
    pub(crate) fn add_failed(&mut self, part: &Part) -> Result<(), Failure> {
        let (Some(rows), true) = (self.input.rows, self.failed.is_some()) else { return Ok(()) };
        self.each_row(part, rows, |_| Ok(true)).map(|_| ())
    }

    /// Leaves the rows of a part that failed, and those that the result does not speak of, because it was cut.
    fn find_failed(&mut self, part: &Part, batch: &Batch, mut result: &File) -> Result<(), Failure> {
        let Some(rows) = self.input.rows else { return Ok(()) };
        let wrong = |error: io::Error| Failure::caused(Exit::Failed, "cannot read the result", &error);
        result.rewind().map_err(wrong)?;
        let text = inflated(result.try_clone().map_err(wrong)?, self.shape.compression).map_err(wrong)?;
        let mut outcomes = Outcomes::new(text, self.shape, self.told);
        let mut cut = false;
        let found = self.each_row(part, rows, |_| {
            let outcome = outcomes.next()?;
            cut |= outcome.is_none();
            Ok(outcome.unwrap_or(true))
        })?;
        let counted = batch.counts.and_then(|counts| counts.rows).filter(|_| !cut);
        if outcomes.next().map_err(wrong)?.is_some() || counted.is_some_and(|counted| counted != found) {
            let words = format!("batch {} does not tell which of its rows failed", batch.batch_id);
            return Err(
                Failure::new(Exit::Failed, words).advice("the result itself says what became of each row")
            );
        }
        Ok(())
    }

    /// Goes through the rows of a part, leaves those that `fails` names, and answers how many there are.
    fn each_row(
        &mut self,
        part: &Part,
        rows: Rows,
        mut fails: impl FnMut(&[u8]) -> io::Result<bool>,
    ) -> Result<u64, Failure> {
        let wrong = |error: io::Error| {
            Failure::caused(
                Exit::Failed,
                format!("cannot tell the failed rows of {}", self.input.called),
                &error,
            )
        };
        let Some(failed) = &mut self.failed else { return Ok(0) };
        let mut records = Records::new(self.input.read(part).map_err(wrong)?, rows);
        let (mut header, mut row, mut count) = (Vec::new(), Vec::new(), 0);
        if rows == Rows::Csv {
            records.read(&mut header).map_err(wrong)?;
        }
        while records.read(&mut row).map_err(wrong)? {
            count += 1;
            if fails(&row).map_err(wrong)? {
                let file = failed.file().map_err(wrong)?;
                if self.failed_rows == 0 {
                    line(file, &header).map_err(wrong)?;
                }
                self.failed_rows += 1;
                line(file, &row).map_err(wrong)?;
            }
            row.clear();
        }
        Ok(count)
    }
}

/// Writes a record, with a line break where it lacks one: it was the last of its file.
fn line(file: &mut File, record: &[u8]) -> io::Result<()> {
    file.write_all(record)?;
    if record.is_empty() || record.ends_with(b"\n") { Ok(()) } else { file.write_all(b"\n") }
}

/// Writes text as a member of its own of a compressed file.
fn pack(text: &mut impl io::Read, file: &mut File, compression: Compression) -> io::Result<()> {
    file.seek(SeekFrom::End(0))?;
    match compression {
        Compression::None => io::copy(text, file).map(|_| ()),
        Compression::Gzip => {
            let mut packed = GzEncoder::new(file, Level::default());
            io::copy(text, &mut packed)?;
            packed.finish().map(|_| ())
        }
        Compression::Zstd => zstd::stream::copy_encode(text, file, 0),
    }
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::caused(Exit::Failed, "cannot write the result", error).advice("is there room on the disk?")
}

/// What became of each row of the input, read from a result.
struct Outcomes {
    records: Lines,
    told: Told,
}

enum Lines {
    Csv(Box<csv::Reader<Box<dyn BufRead>>>),
    Json(Box<dyn BufRead>),
}

/// The members of a line that say what became of a row.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_match")]
    matched: Option<Value>,
    #[serde(rename = "_error")]
    error: Option<Value>,
    state: Option<Value>,
}

impl Outcomes {
    fn new(text: Box<dyn BufRead>, shape: Shape, told: Told) -> Self {
        let records = match shape.format {
            Format::Csv => {
                let mut reader = csv::ReaderBuilder::new();
                reader.delimiter(shape.delimiter).has_headers(shape.header);
                Lines::Csv(Box::new(reader.from_reader(text)))
            }
            _ => Lines::Json(text),
        };
        Self { records, told }
    }

    /// Whether the next row failed; `None` behind the last one.
    fn next(&mut self) -> io::Result<Option<bool>> {
        let Some((state, error)) = self.record()? else { return Ok(None) };
        let Told::Append { comes_for_each, ambiguous_fails } = self.told else {
            return Ok(Some(state != "succeeded"));
        };
        if state == "ambiguous" && comes_for_each {
            // The same row comes again for each of its other records, and each time says how many there are.
            let digits =
                error.find(|c: char| !c.is_ascii_digit()).map_or(error.as_str(), |end| &error[..end]);
            let records: u64 = digits.parse().map_err(|_| unclear(&error))?;
            for _ in 1..records {
                // A result that was cut may end in between.
                if self.record()?.is_none() {
                    break;
                }
            }
        }
        Ok(Some(state == "malformed" || (state == "ambiguous" && ambiguous_fails)))
    }

    /// What the next record says: state and error.
    fn record(&mut self) -> io::Result<Option<(String, String)>> {
        match &mut self.records {
            Lines::Csv(reader) => {
                let mut record = csv::StringRecord::new();
                if !reader.read_record(&mut record)? {
                    return Ok(None);
                }
                let (state, error) = match self.told {
                    Told::Call => (Some(1), Some(record.len().saturating_sub(1))),
                    Told::Append { .. } => (record.len().checked_sub(2), record.len().checked_sub(1)),
                };
                let at = |place: Option<usize>| place.and_then(|place| record.get(place)).map(str::to_owned);
                Ok(Some((
                    at(state).ok_or_else(|| unclear("a record without a state"))?,
                    at(error).unwrap_or_default(),
                )))
            }
            Lines::Json(text) => {
                let mut bytes = Vec::new();
                if text.read_until(b'\n', &mut bytes)? == 0 {
                    return Ok(None);
                }
                let line: Line = serde_json::from_slice(&bytes)?;
                let state = if self.told == Told::Call { line.state } else { line.matched };
                let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
                let state = text(state).ok_or_else(|| unclear("a record without a state"))?;
                Ok(Some((state, text(line.error).unwrap_or_default())))
            }
        }
    }
}

fn unclear(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it does not say what became of a row: {words}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn outcomes(text: &str, format: Format, told: Told) -> Vec<bool> {
        let shape = Shape { format, compression: Compression::None, delimiter: b',', header: true };
        let mut outcomes = Outcomes::new(Box::new(io::Cursor::new(text.to_owned())), shape, told);
        let mut all = Vec::new();
        while let Some(failed) = outcomes.next().unwrap() {
            all.push(failed);
        }
        all
    }

    #[test]
    fn results_tell_which_rows_failed() {
        let csv = "state,x,_match,_error\na,1,matched,\n\"b\nb\",,malformed,\"row 2, line 3\"\nc,2,ambiguous,2 records match\nd,3,ambiguous,2 records match\ne,,unmatched,no record\n";
        let append = |comes_for_each, ambiguous_fails| Told::Append { comes_for_each, ambiguous_fails };
        assert_eq!(outcomes(csv, Format::Csv, append(false, false)), [false, true, false, false, false]);
        assert_eq!(outcomes(csv, Format::Csv, append(false, true)), [false, true, true, true, false]);
        assert_eq!(outcomes(csv, Format::Csv, append(true, false)), [false, true, false, false]);
        let lines = "{\"id\":1,\"state\":\"succeeded\"}\n{\"id\":2,\"state\":\"unknown\",\"error\":\"x\"}\n";
        assert_eq!(outcomes(lines, Format::Jsonl, Told::Call), [false, true]);
        let lines = "{\"state\":5,\"_match\":\"malformed\",\"_error\":\"x\"}\n";
        assert_eq!(outcomes(lines, Format::Jsonl, append(false, false)), [true]);
    }

    #[test]
    fn a_result_that_tells_nothing_is_no_success() {
        let shape =
            Shape { format: Format::Jsonl, compression: Compression::None, delimiter: b',', header: true };
        for text in ["{}\n", "[]\n", "{\"state\":1}\n"] {
            let mut outcomes = Outcomes::new(Box::new(io::Cursor::new(text)), shape, Told::Call);
            assert!(outcomes.next().is_err(), "{text}");
        }
    }

    #[test]
    fn compressed_text_is_added_as_a_member_that_readers_go_on_with() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let mut file = tempfile::tempfile().unwrap();
            pack(&mut &b"one\n"[..], &mut file, compression).unwrap();
            pack(&mut &b"two\n"[..], &mut file, compression).unwrap();
            file.rewind().unwrap();
            let mut text = String::new();
            inflated(file, compression).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "one\ntwo\n", "{compression:?}");
        }
    }
}
