//! What the pages of a Parquet file of anybody come to, told by their headers before any of them is decoded: a small file may
//! decode to more than there is memory for. Footers are not asked, as they may say what they like.

use std::sync::Arc;

use parquet::{
    basic::Type,
    column::page::{Page, PageReader},
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, RowGroupMetaData},
        reader::{ChunkReader, SerializedPageReader},
    },
};

use super::{
    file::OpenFile,
    header::{DATA_PAGE, DATA_PAGE_V2, DICTIONARY_PAGE, Header},
};
use crate::failure::{Outcome, invalid};

/// The most bytes of one page, decompressed.
const PAGE_BYTES: u64 = 64 << 20;
/// The most bytes of the pages that are held at once: of each column a dictionary and another one.
const HELD_BYTES: u64 = 512 << 20;
/// What records that are decoded together may have; where the pages held have more, twice as many: they lie in two of each column.
const BATCH_BYTES: u64 = 128 << 20;
/// The most records that are decoded together.
const BATCH_ROWS: u64 = 8192;
/// The most pages of a row group.
const PAGES: usize = 1 << 20;
/// The bytes of a header that are read first, and at most.
const HEADER: (u64, u64) = (512, 1 << 20);
/// What a value has beside its bytes: where it ends, and whether it is null.
const BESIDE: u64 = 8;

/// A page of a column, as it is decoded.
#[derive(Debug, Clone, Copy)]
struct Decoded {
    /// The fewest records that it has.
    rows: u64,
    /// The most bytes of one of its values.
    value: u64,
    /// The most bytes of all of them.
    bytes: u64,
}

/// How many records of each row group may be decoded together; fails where even one may have too much.
pub(super) fn most_rows(file: &OpenFile) -> Outcome<Vec<u64>> {
    let groups = file.parquet().row_groups().iter().enumerate();
    groups.map(|(number, group)| of_group(file, number, group)).collect()
}

fn of_group(file: &OpenFile, number: usize, group: &RowGroupMetaData) -> Outcome<u64> {
    let (mut columns, mut held, mut count) = (Vec::new(), 0_u64, 0);
    for (place, chunk) in group.columns().iter().enumerate() {
        let column = Column { file, number, place, chunk, rows: group.num_rows() };
        let (pages, largest) = column.pages()?;
        held = held.saturating_add(largest);
        count += pages.len();
        if held > HELD_BYTES || count > PAGES {
            let (what, most) = if count > PAGES {
                (format!("{count} pages"), PAGES as u64)
            } else {
                (format!("{held} bytes in a page of each of its columns"), HELD_BYTES)
            };
            let name = &file.entry.name;
            return Err(invalid(format!("{name}: row group {number} has {what}: {most} are the limit")));
        }
        columns.push(pages);
    }
    let most = BATCH_BYTES.max(2 * held);
    let mut rows = BATCH_ROWS;
    loop {
        let bytes = columns.iter().fold(0_u64, |sum, pages| sum.saturating_add(largest_window(pages, rows)));
        if bytes <= most {
            return Ok(rows);
        }
        if rows == 1 {
            let name = &file.entry.name;
            return Err(invalid(format!(
                "{name}: one row of row group {number} may have {bytes} bytes, decoded: {most} are the limit"
            )));
        }
        rows /= 2;
    }
}

/// The most bytes that any `rows` records in a row can have, in a column with these pages.
fn largest_window(pages: &[Decoded], rows: u64) -> u64 {
    let bytes = |page: &Decoded| page.bytes.min(page.value.saturating_mul(rows));
    let (mut end, mut covered, mut sum, mut largest) = (0, 0_u64, 0_u64, 0);
    for (start, page) in pages.iter().enumerate() {
        // The first page gives one record at least, and those that follow all that they have.
        while end < pages.len() && (end == start || covered.saturating_add(1) < rows) {
            sum = sum.saturating_add(bytes(&pages[end]));
            if end > start {
                covered = covered.saturating_add(pages[end].rows);
            }
            end += 1;
        }
        largest = largest.max(sum);
        sum = sum.saturating_sub(bytes(page));
        // The next page is the first from then on.
        if end > start + 1 {
            covered = covered.saturating_sub(pages[start + 1].rows);
        }
    }
    largest
}

/// A column of a row group.
struct Column<'a> {
    file: &'a OpenFile,
    number: usize,
    place: usize,
    chunk: &'a ColumnChunkMetaData,
    rows: i64,
}

impl Column<'_> {
    /// The pages, and the bytes of its dictionary and its largest one.
    fn pages(&self) -> Outcome<(Vec<Decoded>, u64)> {
        let (start, length) = self.chunk.byte_range();
        let end =
            start.checked_add(length).ok_or_else(|| self.damaged("it lies past the end of the file"))?;
        let index = self.file.parquet().offset_index().and_then(|all| all.get(self.number)?.get(self.place));
        let known = index.map(|index| index.page_locations().as_slice()).unwrap_or_default();
        let mut places = known.iter().map(|page| u64::try_from(page.offset).unwrap_or(u64::MAX)).peekable();
        // What the index does not name is the dictionary.
        let mut at = Some(start);
        if places.peek() == Some(&start) {
            at = places.next();
        }
        let (mut pages, mut dictionary, mut largest) = (Vec::new(), None, 0);
        while let Some(position) = at.filter(|at| *at < end || !known.is_empty()) {
            let header = self.header(position, end)?;
            let page = |number: i64| {
                u64::try_from(number).map_err(|_| self.damaged("a page is of less than nothing"))
            };
            let (uncompressed, compressed) = (page(header.uncompressed)?, page(header.compressed)?);
            if uncompressed > PAGE_BYTES {
                let (name, column) = (&self.file.entry.name, self.chunk.column_path());
                return Err(invalid(format!(
                    "{name}: a page of the column \"{column}\" has {uncompressed} bytes, decompressed: {PAGE_BYTES} are the limit"
                )));
            }
            match header.kind {
                DICTIONARY_PAGE if pages.is_empty() && dictionary.is_none() => {
                    dictionary = Some((uncompressed, self.largest_value()?));
                }
                DATA_PAGE | DATA_PAGE_V2 => {
                    largest = largest.max(uncompressed);
                    pages.push(self.decoded(&header, uncompressed, page(header.values)?, dictionary));
                    if pages.len() > PAGES {
                        return Err(self.damaged("it has too many pages"));
                    }
                }
                // The decoder passes over others, or refuses them.
                _ => largest = largest.max(uncompressed),
            }
            at = match known.is_empty() {
                true => Some(position.saturating_add(header.length as u64).saturating_add(compressed)),
                false => places.next(),
            };
        }
        Ok((pages, largest.saturating_add(dictionary.map_or(0, |(bytes, _)| bytes))))
    }

    fn decoded(
        &self,
        header: &Header,
        uncompressed: u64,
        values: u64,
        dictionary: Option<(u64, u64)>,
    ) -> Decoded {
        let fixed = self.fixed();
        let (value, text) = match (header.encoding, fixed) {
            (_, Some(width)) => (width, None),
            (PLAIN_DICTIONARY | RLE_DICTIONARY, None) => (dictionary.map_or(0, |(_, largest)| largest), None),
            // Whatever is not written by reference to what was before takes the room in the page that it takes decoded.
            (PLAIN | DELTA_LENGTH_BYTE_ARRAY, None) => (uncompressed, Some(uncompressed)),
            (_, None) => (uncompressed, None),
        };
        let value = value.saturating_add(BESIDE);
        let bytes = match text {
            Some(text) => text.saturating_add(values.saturating_mul(BESIDE)),
            None => value.saturating_mul(values),
        };
        // Pages of lists that do not count their records may have all of their values in one.
        let flat = self.chunk.column_descr().max_rep_level() == 0;
        let rows = match header.rows {
            _ if flat => values,
            Some(rows) => u64::try_from(rows).unwrap_or(0),
            None => 1,
        };
        let value = if flat { value } else { bytes };
        Decoded { rows: rows.max(1), value, bytes }
    }

    /// The bytes of each value, where all have the same.
    fn fixed(&self) -> Option<u64> {
        match self.chunk.column_type() {
            Type::BOOLEAN => Some(1),
            Type::INT32 | Type::FLOAT => Some(4),
            Type::INT64 | Type::DOUBLE => Some(8),
            // Timestamps and decimals as the decoder holds them.
            Type::INT96 => Some(16),
            Type::FIXED_LEN_BYTE_ARRAY => {
                Some(u64::try_from(self.chunk.column_descr().type_length()).unwrap_or(u64::MAX).max(32))
            }
            Type::BYTE_ARRAY => None,
        }
    }

    /// The bytes of the largest value of the dictionary, whose size is known to be bounded.
    fn largest_value(&self) -> Outcome<u64> {
        if self.fixed().is_some() {
            return Ok(0);
        }
        let reader = Arc::new(self.file.reader.clone());
        let rows = usize::try_from(self.rows).unwrap_or(usize::MAX);
        let page = super::unit::guard(self.file, || {
            SerializedPageReader::new(reader, self.chunk, rows, None)?.get_next_page()
        })?;
        let Some(Page::DictionaryPage { buf, .. }) = page else { return Ok(PAGE_BYTES) };
        let (mut rest, mut largest) = (&buf[..], 0);
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length);
            largest = largest.max(u64::from(length));
            // One that goes on past its end is refused by the decoder.
            rest = behind.get(length as usize..).unwrap_or_default();
        }
        Ok(largest.min(PAGE_BYTES))
    }

    fn header(&self, position: u64, end: u64) -> Outcome<Header> {
        let (mut length, most) = HEADER;
        loop {
            let left = end.saturating_sub(position);
            let bytes = self.file.reader.get_bytes(position, length.min(left) as usize);
            let bytes = bytes.map_err(|error| self.file.failure(error))?;
            if let Some(header) = Header::read(&bytes) {
                return Ok(header);
            }
            if length >= left.min(most) {
                return Err(self.damaged("a page has no header"));
            }
            length = (length * 8).min(most);
        }
    }

    fn damaged(&self, what: &str) -> willcall_core::ports::ExecuteError {
        let column = self.chunk.column_path();
        self.file.failure(ParquetError::General(format!("the column \"{column}\": {what}")))
    }
}

/// How values are written, as Parquet numbers it.
const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
const RLE_DICTIONARY: i64 = 8;

#[cfg(test)]
mod tests {
    use arrow_array::{
        ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray,
        builder::{Int64Builder, ListBuilder},
        types::Int32Type,
    };
    use parquet::{
        arrow::ArrowWriter,
        basic::{Compression, Encoding},
        file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
    };
    use willcall_core::{
        catalog::DatasetSource,
        ports::{DataFiles, ExecuteError},
    };

    use super::*;
    use crate::{LocalDataFiles, scan::Blocks};

    /// How many rows of each row group may be decoded at once, of a file with that column.
    fn most(
        column: ArrayRef,
        change: impl FnOnce(WriterPropertiesBuilder) -> WriterPropertiesBuilder,
    ) -> (u64, Outcome<Vec<u64>>) {
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let properties = WriterProperties::builder()
            .set_statistics_enabled(EnabledStatistics::None)
            .set_dictionary_page_size_limit(256 << 20)
            .set_data_page_size_limit(256 << 20)
            .set_compression(Compression::ZSTD(Default::default()));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        let file = std::fs::File::create(&path).unwrap();
        let mut writer =
            ArrowWriter::try_new(file, batch.schema(), Some(change(properties).build())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let source = DatasetSource::at(path.to_str().unwrap().to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let entry = runtime.block_on(LocalDataFiles.list(&source)).unwrap().remove(0);
        let open = LocalDataFiles.open(&entry).unwrap();
        let file = OpenFile::new(&entry, open, &Arc::new(Blocks::new(0)), Arc::default()).unwrap();
        (entry.size, most_rows(&file))
    }

    fn refusal(outcome: Outcome<Vec<u64>>) -> String {
        match outcome {
            Err(ExecuteError::Fatal { problem, .. }) => problem.detail,
            other => panic!("{other:?}"),
        }
    }

    /// Many rows of one text of that many bytes, as a dictionary has them.
    fn repeated(bytes: usize, rows: usize) -> ArrayRef {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(bytes)]));
        Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; rows]), texts))
    }

    #[test]
    fn a_dictionary_of_long_texts_is_decoded_a_few_rows_at_a_time() {
        let (size, few) = most(repeated(1 << 20, 200), |p| p);
        assert!(size < 64 << 10, "200 MiB lie in {size} bytes");
        assert_eq!(few.unwrap(), [64]);
        let (_, many) = most(repeated(100, 100_000), |p| p);
        assert_eq!(many.unwrap(), [BATCH_ROWS]);
    }

    #[test]
    fn a_page_that_inflates_past_the_limit_is_refused_before_it_is() {
        let (size, outcome) = most(repeated(65 << 20, 2), |p| p);
        assert!(size < 64 << 10, "{size}");
        let said = refusal(outcome);
        assert!(said.contains("a.parquet: a page of the column") && said.contains("decompressed"), "{said}");
        let plain: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(65 << 20)]));
        let said = refusal(most(plain, |p| p.set_dictionary_enabled(false)).1);
        assert!(said.contains("67108864 are the limit"), "{said}");
    }

    #[test]
    fn texts_written_by_what_they_share_are_reckoned_as_long_as_their_page() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(300_000); 500]));
        let delta = |p: WriterPropertiesBuilder| {
            p.set_dictionary_enabled(false).set_encoding(Encoding::DELTA_BYTE_ARRAY)
        };
        assert_eq!(most(texts, delta).1.unwrap(), [256]);
    }

    #[test]
    fn lists_of_too_many_elements_are_refused_where_one_row_may_have_them_all() {
        let lists = |elements: usize| {
            let mut lists = ListBuilder::new(Int64Builder::new());
            lists.append_value(std::iter::repeat_n(Some(7), elements));
            lists.append_value([Some(1)]);
            Arc::new(lists.finish())
        };
        assert_eq!(most(lists(100_000), |p| p).1.unwrap(), [BATCH_ROWS]);
        let said = refusal(most(lists(9_000_000), |p| p).1);
        assert!(said.contains("one row of row group 0"), "{said}");
    }

    #[test]
    fn records_that_are_decoded_together_have_what_their_pages_have_at_most() {
        let page = |rows, value, bytes| Decoded { rows, value, bytes };
        let same = [page(10, 5, 50); 4];
        for (rows, expected) in [(1, 5), (2, 10 + 10), (10, 100), (11, 100), (12, 150), (100, 200)] {
            assert_eq!(largest_window(&same, rows), expected, "{rows}");
        }
        let odd = [page(1, 1_000, 1_000), page(1, 1, 1), page(1, 1_000, 1_000), page(1_000, 1, 1_000)];
        assert_eq!(largest_window(&odd, 1), 1_000);
        assert_eq!(largest_window(&odd, 3), 1_000 + 1 + 1_000);
        assert_eq!(largest_window(&odd, 4), 1_000 + 1 + 1_000 + 4);
        assert_eq!(largest_window(&[], 8), 0);
        assert_eq!(largest_window(&[page(1, u64::MAX, u64::MAX); 3], 3), u64::MAX);
    }
}
