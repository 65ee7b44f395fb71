//! An Excel workbook: rows that are written and compressed side by side, and appended in order to an archive that is
//! never gone back in. Text stands in its cell and in no table of the workbook, so memory does not grow with it.

mod cell;
mod parts;
mod zip;

use std::{sync::Arc, thread::Scope};

use arrow_array::Array;
use arrow_schema::FieldRef;
use willcall_core::{format::Format, job::ProblemType, ports::ExecuteError};

use self::{
    cell::{Cells, MAX_TEXT, TooLong},
    parts::style,
    zip::{Part, Zip},
};
use super::{
    check,
    json::needs_escape,
    number,
    parquet::Columns,
    pieces::{Bounds, Piece, Pieces},
    value::Bound,
};
use crate::{
    attempt::Attempt,
    failure::{Outcome, defect, fatal},
    ordered::{Emit, ordered},
    sink::Sink,
};

/// The most rows of a sheet, its header among them.
pub(crate) const SHEET_ROWS: u64 = 1_048_576;

/// What makes a workbook beside its records.
pub(crate) struct Book<'a> {
    /// What its sheets are called.
    pub(crate) title: &'a str,
    /// The most rows of a sheet: [`SHEET_ROWS`], but in tests.
    pub(crate) sheet_rows: u64,
    pub(crate) fields: &'a [FieldRef],
}

/// Rows of one sheet.
struct Rows {
    sheet: u64,
    part: Part,
    rows: u64,
    odd: u64,
}

/// Writes the records as a workbook; answers how many there were, and how many numbers in lists and the like were not
/// finite and became null.
pub(crate) fn write<'scope, I>(
    scope: &'scope Scope<'scope, '_>,
    attempt: &Arc<Attempt>,
    threads: usize,
    book: &Book<'_>,
    batches: I,
    sink: &mut Sink,
) -> Outcome<(u64, u64)>
where
    I: Iterator<Item = Outcome<Columns>> + Send + 'scope,
{
    check(Format::Xlsx, book.fields)?;
    let header = header(book.fields)?;
    // The header takes one row of each sheet.
    let a_sheet = book.sheet_rows.saturating_sub(1).max(1);
    let bounds = Bounds { rows: 8_192, bytes: 1 << 20, value: 24, stride: a_sheet };
    let watched = Arc::clone(attempt);
    let names: Vec<(String, String)> = (book.fields.iter().enumerate())
        .map(|(index, field)| (parts::letters(index), field.name().clone()))
        .collect();
    let encode = move |piece: Piece, emit: &Emit<Rows>| {
        watched.check()?;
        emit.send(rows(&names, &piece, a_sheet)?)
    };
    let pieces = ordered(scope, threads, 1, Pieces::new(batches, bounds), encode)?;

    let mut zip = Zip::new(sink);
    whole(&mut zip, "_rels/.rels", &parts::package())?;
    whole(&mut zip, "xl/styles.xml", &parts::styles())?;
    let begin = |zip: &mut Zip<'_>, number: usize| {
        zip.begin(&format!("xl/worksheets/sheet{number}.xml"))?;
        let head = [parts::before_rows(number).as_bytes(), &header].concat();
        zip.append(Part::new(&head).map_err(defect)?)
    };
    let end = |zip: &mut Zip<'_>| {
        zip.append(Part::new(parts::AFTER_ROWS.as_bytes()).map_err(defect)?)?;
        zip.end()
    };
    let (mut sheets, mut records, mut odd) = (1, 0, 0);
    begin(&mut zip, sheets)?;
    for rows in pieces {
        attempt.check()?;
        let rows = rows?;
        if rows.sheet >= sheets as u64 {
            end(&mut zip)?;
            sheets += 1;
            begin(&mut zip, sheets)?;
        }
        zip.append(rows.part)?;
        records += rows.rows;
        odd += rows.odd;
        attempt.control.add_written(rows.rows, 0);
    }
    end(&mut zip)?;
    whole(&mut zip, "xl/workbook.xml", &parts::workbook(book.title, sheets))?;
    whole(&mut zip, "xl/_rels/workbook.xml.rels", &parts::relations(sheets))?;
    whole(&mut zip, "[Content_Types].xml", &parts::content_types(sheets))?;
    zip.finish()?;
    Ok((records, odd))
}

fn whole(zip: &mut Zip<'_>, name: &str, text: &str) -> Outcome<()> {
    zip.begin(name)?;
    zip.append(Part::new(text.as_bytes()).map_err(defect)?)?;
    zip.end()
}

/// The row with the columns' names.
fn header(fields: &[FieldRef]) -> Outcome<Vec<u8>> {
    let (mut out, mut scratch) = (b"<row r=\"1\">".to_vec(), Vec::new());
    let mut cells = Cells { out: &mut out, scratch: &mut scratch, odd: 0 };
    for (index, field) in fields.iter().enumerate() {
        let place = (parts::letters(index), b"1");
        let written = cells.text((&place.0, place.1), field.name().as_bytes(), style::HEADER);
        written.map_err(|TooLong(length)| {
            let detail = format!(
                "the name of column {} has {length} characters, and a cell holds {MAX_TEXT}",
                index + 1
            );
            fatal(ProblemType::UnsupportedFormat, detail)
        })?;
    }
    out.extend_from_slice(b"</row>");
    Ok(out)
}

/// The records of a piece as rows; each column has its letters and its name.
fn rows(columns: &[(String, String)], piece: &Piece, a_sheet: u64) -> Outcome<Rows> {
    let (mut out, mut scratch) = (Vec::with_capacity(1 << 20), Vec::new());
    let mut cells = Cells { out: &mut out, scratch: &mut scratch, odd: 0 };
    let (mut record, mut line) = (piece.first, Vec::new());
    for (arrays, length) in &piece.parts {
        let bind = |array| match Array::data_type(array).is_nested() {
            true => Bound::new(array, &needs_escape),
            false => Bound::new(array, &|_| false),
        };
        let bound: Vec<Bound<'_>> = arrays.iter().map(bind).collect::<Result<_, _>>().map_err(defect)?;
        for row in 0..*length {
            line.clear();
            number::write_uint(record % a_sheet + 2, &mut line);
            cells.out.extend_from_slice(b"<row r=\"");
            cells.out.extend_from_slice(&line);
            cells.out.extend_from_slice(b"\">");
            for ((letters, name), column) in columns.iter().zip(&bound) {
                let written = cells.write((letters, &line), column, row);
                written.map_err(|TooLong(length)| too_long(record, name, length))?;
            }
            cells.out.extend_from_slice(b"</row>");
            record += 1;
        }
    }
    let odd = cells.odd;
    let part = Part::new(&out).map_err(defect)?;
    Ok(Rows { sheet: piece.first / a_sheet, part, rows: piece.rows as u64, odd })
}

fn too_long(record: u64, column: &str, length: usize) -> ExecuteError {
    let detail = format!(
        "record {} of the result has {length} characters in the column {column:?}, and a cell of a workbook holds \
         {MAX_TEXT}: leave the column out, or choose another format",
        record + 1
    );
    fatal(ProblemType::UnsupportedFormat, detail)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read, thread};

    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use arrow_schema::Field;
    use tokio::sync::mpsc;
    use willcall_core::ports::Control;

    use super::*;
    use crate::sink::Piece as Bytes;

    /// A workbook of these numbers, read by the directory at its end.
    fn book(
        numbers: std::ops::Range<i64>,
        batch: usize,
        sheet_rows: u64,
    ) -> (Vec<u8>, BTreeMap<String, String>) {
        let all: Vec<i64> = numbers.collect();
        let column = |some: &[i64]| -> Columns {
            let texts: ArrayRef =
                Arc::new(StringArray::from_iter_values(some.iter().map(|n| format!("={n}"))));
            (vec![Arc::new(Int64Array::from(some.to_vec())), texts], some.len())
        };
        let batches: Vec<Outcome<Columns>> = all.chunks(batch).map(|some| Ok(column(some))).collect();
        let fields: Vec<FieldRef> = vec![
            Arc::new(Field::new("n", arrow_schema::DataType::Int64, true)),
            Arc::new(Field::new("<t>", arrow_schema::DataType::Utf8, true)),
        ];
        let attempt = Attempt::new(Arc::new(Control::default()));
        let (sender, mut pieces) = mpsc::channel(4);
        let writer = thread::spawn(move || {
            let mut sink = Sink::new(Arc::clone(&attempt), sender);
            let book = Book { title: "a/b", sheet_rows, fields: &fields };
            let written =
                thread::scope(|scope| write(scope, &attempt, 2, &book, batches.into_iter(), &mut sink));
            sink.finish().and(written)
        });
        let mut bytes = Vec::new();
        while let Some(Bytes::Data(piece)) = pieces.blocking_recv() {
            bytes.extend_from_slice(&piece);
        }
        let written = writer.join().expect("no panic").expect("a workbook");
        assert_eq!(written, (all.len() as u64, 0));
        let entries = entries(&bytes);
        (bytes, entries)
    }

    fn entries(zip: &[u8]) -> BTreeMap<String, String> {
        let number = |at: usize, length: usize| {
            zip[at..at + length].iter().rev().fold(0_usize, |all, byte| (all << 8) | usize::from(*byte))
        };
        let end = zip.len() - 22;
        let mut at = number(end + 16, 4);
        let mut entries = BTreeMap::new();
        for _ in 0..number(end + 10, 2) {
            let (packed, size, name) = (number(at + 20, 4), number(at + 24, 4), number(at + 28, 2));
            let local = number(at + 42, 4);
            let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
            let mut text = String::new();
            let stream = &zip[start..start + packed];
            flate2::read::DeflateDecoder::new(stream).read_to_string(&mut text).expect("deflate");
            assert_eq!((text.len(), crc32fast::hash(text.as_bytes()) as usize), (size, number(at + 16, 4)));
            assert_eq!(number(start + packed, 4), 0x0807_4b50, "what follows an entry");
            entries.insert(String::from_utf8_lossy(&zip[at + 46..at + 46 + name]).into_owned(), text);
            at += 46 + name + number(at + 30, 2);
        }
        assert_eq!(at, end);
        entries
    }

    #[test]
    fn records_go_on_in_another_sheet_where_one_is_full() {
        let (bytes, entries) = book(0..2_500, 700, 1_001);
        for (number, records) in [(1, 0..1_000_i64), (2, 1_000..2_000), (3, 2_000..2_500)] {
            let sheet = &entries[&format!("xl/worksheets/sheet{number}.xml")];
            let rows: String = records
                .enumerate()
                .map(|(row, n)| {
                    let line = row + 2;
                    let number = format!("<c r=\"A{line}\" s=\"2\"><v>{n}</v></c>");
                    let text = format!("<c r=\"B{line}\" s=\"10\" t=\"inlineStr\"><is><t>={n}</t></is></c>");
                    format!("<row r=\"{line}\">{number}{text}</row>")
                })
                .collect();
            let header = "<row r=\"1\"><c r=\"A1\" s=\"1\" t=\"inlineStr\"><is><t>n</t></is></c>\
                          <c r=\"B1\" s=\"1\" t=\"inlineStr\"><is><t>&lt;t&gt;</t></is></c></row>";
            assert_eq!(*sheet, format!("{}{header}{rows}{}", parts::before_rows(number), parts::AFTER_ROWS));
        }
        let workbook = &entries["xl/workbook.xml"];
        assert!(workbook.contains("name=\"a_b\"") && workbook.contains("name=\"a_b (3)\""), "{workbook}");
        assert_eq!(entries["[Content_Types].xml"].matches("worksheet+xml").count(), 3);
        assert_eq!(entries["xl/_rels/workbook.xml.rels"].matches("/worksheet\"").count(), 3);
        assert_eq!(entries.len(), 8);
        assert!(bytes == book(0..2_500, 3, 1_001).0, "batches leave no trace");
    }

    #[test]
    fn a_sheet_that_is_just_full_is_the_last_one_and_none_is_left_out() {
        let sheets = |(_, entries): (Vec<u8>, BTreeMap<String, String>)| {
            entries.keys().filter(|name| name.contains("worksheets")).count()
        };
        assert_eq!(sheets(book(0..1_000, 50, 1_001)), 1);
        assert_eq!(sheets(book(0..1_001, 50, 1_001)), 2);
        assert_eq!(sheets(book(0..0, 50, 1_001)), 1, "an empty result has its header");
    }
}
