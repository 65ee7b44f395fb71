//! What the pages of a Parquet file of anybody come to, told before any of them is decoded: a small file may decode to more than there
//! is memory for. Nothing is asked that the decoder does not go by itself: not the footer's sizes, nor what a page says of its records.
//! Headers tell most of it, in the form that no two readers take for two things; what they do not tell is looked up in the pages.

use std::sync::Arc;

use parquet::{
    basic::Type,
    column::page::{Page, PageReader},
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, RowGroupMetaData},
        page_index::offset_index::PageLocation,
        reader::{ChunkReader, SerializedPageReader},
    },
};
use willcall_core::ports::ExecuteError;

use super::{
    file::OpenFile,
    header::{Header, Kind},
    inflate,
    levels::{Parts, Records},
    unit::guard,
};
use crate::failure::{Outcome, invalid};

/// The most bytes of one page, as it lies there and decompressed.
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
/// What a value has beside its bytes, and once more for each list that it is in: where it ends, and whether it is null.
const BESIDE: u64 = 8;
/// What a page's lengths of one text take, all of which are read with its first.
const LENGTHS: u64 = 8;

/// The pages of a column, as they are decoded.
struct Pages {
    pages: Vec<Decoded>,
    /// Whether a record may go on in the next page.
    lists: bool,
    /// The bytes of its dictionary and its largest page.
    held: u64,
}

/// A page of a column, as it is decoded.
#[derive(Debug, Clone, Copy)]
struct Decoded {
    /// The fewest records that begin in it.
    rows: u64,
    /// The most bytes that one record has in it.
    value: u64,
    /// The most bytes of all of them.
    bytes: u64,
}

/// How many records of each row group may be decoded together; fails where even one may have too much. `check` is asked at each page
/// whether to go on.
pub(super) fn most_rows(file: &OpenFile, check: &dyn Fn() -> Outcome<()>) -> Outcome<Vec<u64>> {
    let groups = file.parquet().row_groups().iter().enumerate();
    groups.map(|(number, group)| of_group(file, number, group, check)).collect()
}

fn of_group(
    file: &OpenFile,
    number: usize,
    group: &RowGroupMetaData,
    check: &dyn Fn() -> Outcome<()>,
) -> Outcome<u64> {
    let (mut columns, mut held, mut count) = (Vec::new(), 0_u64, 0);
    for chunk in group.columns() {
        let pages = Column { file, chunk }.pages(check)?;
        held = held.saturating_add(pages.held);
        count += pages.pages.len();
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
        let bytes = columns.iter().fold(0_u64, |sum, pages| sum.saturating_add(pages.largest_window(rows)));
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

impl Pages {
    /// The most bytes that any `rows` records in a row can have.
    fn largest_window(&self, rows: u64) -> u64 {
        let pages = &self.pages;
        let bytes = |page: &Decoded| page.bytes.min(page.value.saturating_mul(rows));
        // Where a record may go on, the page behind its end has a part of it.
        let reached = rows.saturating_add(u64::from(self.lists));
        let (mut end, mut covered, mut sum, mut largest) = (0, 0_u64, 0_u64, 0);
        for (start, page) in pages.iter().enumerate() {
            // The first page gives one record at least, and those that follow all that they have.
            while end < pages.len() && (end == start || covered.saturating_add(1) < reached) {
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
}

/// A column of a row group.
struct Column<'a> {
    file: &'a OpenFile,
    chunk: &'a ColumnChunkMetaData,
}

impl Column<'_> {
    fn pages(&self, check: &dyn Fn() -> Outcome<()>) -> Outcome<Pages> {
        let (start, length) = guard(self.file, || Ok(self.chunk.byte_range()))?;
        let end =
            start.checked_add(length).ok_or_else(|| self.damaged("it lies past the end of the file"))?;
        let (mut at, mut pages, mut dictionary, mut largest) = (start, Vec::new(), None, 0);
        while at < end {
            check()?;
            let header = self.header(at, end)?;
            let next = at + header.length + header.compressed;
            if next > end {
                return Err(self.damaged("a page goes on past its end"));
            }
            // Pages that are not compressed are as long as they lie there, whatever else they say.
            let size = header.uncompressed.max(header.compressed);
            if size > PAGE_BYTES {
                let (name, column) = (&self.file.entry.name, self.chunk.column_path());
                return Err(invalid(format!(
                    "{name}: a page of the column \"{column}\" has {size} bytes, decompressed: {PAGE_BYTES} are the limit"
                )));
            }
            self.check_inflated(&header, at)?;
            match header.kind {
                Kind::Dictionary if pages.is_empty() && dictionary.is_none() => {
                    dictionary = Some((size, self.largest_value(&header, at)?));
                }
                // The decoder would take it in place of the first.
                Kind::Dictionary => {
                    return Err(self.damaged("it has a second dictionary, or one behind its pages"));
                }
                Kind::Data | Kind::DataV2 { .. } => {
                    let (page, held) = self.decoded(&header, at, size, dictionary)?;
                    largest = largest.max(held);
                    pages.push(page);
                    if pages.len() > PAGES {
                        return Err(self.damaged("it has too many pages"));
                    }
                }
            }
            at = next;
        }
        let held = largest.saturating_add(dictionary.map_or(0, |(bytes, _)| bytes));
        Ok(Pages { pages, lists: self.has_lists(), held })
    }

    fn has_lists(&self) -> bool {
        self.chunk.column_descr().max_rep_level() > 0
    }

    /// What the page at `at` comes to, and how many bytes it takes while it is decoded.
    fn decoded(
        &self,
        header: &Header,
        at: u64,
        size: u64,
        dictionary: Option<(u64, u64)>,
    ) -> Outcome<(Decoded, u64)> {
        let values = header.values;
        let has_lengths = matches!(header.encoding, DELTA_LENGTH_BYTE_ARRAY | DELTA_BYTE_ARRAY);
        let (mut records, mut held) = (Records { begun: values, longest: 1 }, size);
        if self.has_lists() || has_lengths {
            let damaged = || self.damaged("a page is not what it says");
            let page = self.page(header, at)?;
            let parts = Parts::of(&page, self.chunk.column_descr()).ok_or_else(damaged)?;
            if self.has_lists() {
                records = parts.records(values).ok_or_else(damaged)?;
            }
            if has_lengths {
                let prefixes = header.encoding == DELTA_BYTE_ARRAY;
                let lengths = parts.lengths(prefixes).filter(|lengths| *lengths <= values);
                held = held.saturating_add(lengths.ok_or_else(damaged)?.saturating_mul(LENGTHS));
            }
        }
        let fixed = self.fixed();
        let (value, text) = match (header.encoding, fixed) {
            (_, Some(width)) => (width, None),
            (PLAIN_DICTIONARY | RLE_DICTIONARY, None) => (dictionary.map_or(0, |(_, largest)| largest), None),
            // Whatever is not written by reference to what was before takes the room in the page that it takes decoded.
            (PLAIN | DELTA_LENGTH_BYTE_ARRAY, None) => (size, Some(size)),
            (_, None) => (size, None),
        };
        let depth = u64::try_from(self.chunk.column_descr().max_rep_level()).unwrap_or(0);
        let beside = BESIDE * (1 + depth);
        let value = value.saturating_add(beside);
        let bytes = match text {
            Some(text) => text.saturating_add(values.saturating_mul(beside)),
            None => value.saturating_mul(values),
        };
        let value = value.saturating_mul(records.longest);
        Ok((Decoded { rows: records.begun, value, bytes }, held))
    }

    /// The bytes of each value, where all have the same.
    fn fixed(&self) -> Option<u64> {
        match self.chunk.column_type() {
            Type::BOOLEAN => Some(1),
            Type::INT32 | Type::FLOAT => Some(4),
            Type::INT64 | Type::DOUBLE => Some(8),
            // Timestamps and decimals as the decoder holds them.
            Type::INT96 => Some(16),
            Type::FIXED_LEN_BYTE_ARRAY => Some(self.type_length().max(32)),
            Type::BYTE_ARRAY => None,
        }
    }

    fn type_length(&self) -> u64 {
        u64::try_from(self.chunk.column_descr().type_length()).unwrap_or(u64::MAX)
    }

    /// The bytes of the largest value of the dictionary at `at`, where not all have the same.
    fn largest_value(&self, header: &Header, at: u64) -> Outcome<u64> {
        // The decoder makes room for as many as it is told of.
        let least = match self.chunk.column_type() {
            Type::BOOLEAN => 1,
            Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
            Type::INT64 | Type::DOUBLE => 8,
            Type::INT96 => 12,
            Type::FIXED_LEN_BYTE_ARRAY => self.type_length().max(1),
        };
        if header.values.saturating_mul(least) > header.uncompressed {
            return Err(self.damaged("its dictionary is too short for its values"));
        }
        if self.fixed().is_some() {
            return Ok(0);
        }
        let Page::DictionaryPage { buf, .. } = self.page(header, at)? else { return Ok(PAGE_BYTES) };
        let (mut rest, mut largest) = (&buf[..], 0);
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length);
            largest = largest.max(u64::from(length));
            // One that goes on past its end is refused by the decoder.
            rest = behind.get(length as usize..).unwrap_or_default();
        }
        Ok(largest.min(PAGE_BYTES))
    }

    /// Fails where the page at `at` decompresses to more than it says, which the decoder notices behind the end.
    fn check_inflated(&self, header: &Header, at: u64) -> Outcome<()> {
        let levels = match header.kind {
            Kind::DataV2 { is_compressed: false, .. } => return Ok(()),
            Kind::DataV2 { levels, .. } => levels,
            Kind::Dictionary | Kind::Data => 0,
        };
        let compression = self.chunk.compression();
        if !inflate::has_no_bound(compression) {
            return Ok(());
        }
        let (Some(room), Some(length)) =
            (header.uncompressed.checked_sub(levels), header.compressed.checked_sub(levels))
        else {
            return Err(self.damaged("a page is not what it says"));
        };
        let bytes = self.file.reader.get_bytes(at + header.length + levels, length as usize);
        let bytes = bytes.map_err(|error| self.file.failure(error))?;
        if inflate::is_longer(compression, &bytes, room) {
            return Err(self.damaged("a page decompresses to more than it says"));
        }
        Ok(())
    }

    /// The page at `at`, decompressed, as the decoder has it.
    fn page(&self, header: &Header, at: u64) -> Outcome<Page> {
        let page = guard(self.file, || {
            let location = PageLocation {
                offset: i64::try_from(at)?,
                compressed_page_size: i32::try_from(header.length + header.compressed)?,
                first_row_index: 0,
            };
            let reader = Arc::new(self.file.reader.clone());
            let mut reader = SerializedPageReader::new(reader, self.chunk, 0, Some(vec![location]))?;
            // Whatever is before the first page that it is told of is a dictionary to it.
            if at > self.chunk.byte_range().0 {
                reader.skip_next_page()?;
            }
            reader.get_next_page()
        })?;
        page.ok_or_else(|| self.damaged("a page is none"))
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
                return Err(self.damaged("a page has no header that can be read"));
            }
            length = (length * 8).min(most);
        }
    }

    fn damaged(&self, what: &str) -> ExecuteError {
        let column = self.chunk.column_path();
        self.file.failure(ParquetError::General(format!("the column \"{column}\": {what}")))
    }
}

/// How values are written, as Parquet numbers it.
const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
const DELTA_BYTE_ARRAY: i64 = 7;
const RLE_DICTIONARY: i64 = 8;

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        (path.metadata().unwrap().len(), of_file(&path))
    }

    /// How many rows of each row group of the file may be decoded at once.
    pub(super) fn of_file(path: &Path) -> Outcome<Vec<u64>> {
        let source = DatasetSource::at(path.to_str().unwrap().to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let entry = runtime.block_on(LocalDataFiles.list(&source)).unwrap().remove(0);
        let open = LocalDataFiles.open(&entry).unwrap();
        let file = OpenFile::of_anybody(&entry, open, &Arc::new(Blocks::new(0))).unwrap();
        most_rows(&file, &|| Ok(()))
    }

    /// What is said of a file that is refused, to the client and to the operator.
    pub(super) fn refusal(outcome: Outcome<Vec<u64>>) -> String {
        match outcome {
            Err(ExecuteError::Fatal { problem, source: Some(source) }) => {
                format!("{}: {source}", problem.detail)
            }
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
        let of = |pages: &[Decoded], lists| Pages { pages: pages.to_vec(), lists, held: 0 };
        let window = |pages: &[Decoded], rows| of(pages, false).largest_window(rows);
        let same = [page(10, 5, 50); 4];
        for (rows, expected) in [(1, 5), (2, 10 + 10), (10, 100), (11, 100), (12, 150), (100, 200)] {
            assert_eq!(window(&same, rows), expected, "{rows}");
        }
        let odd = [page(1, 1_000, 1_000), page(1, 1, 1), page(1, 1_000, 1_000), page(1_000, 1, 1_000)];
        assert_eq!(window(&odd, 1), 1_000);
        assert_eq!(window(&odd, 3), 1_000 + 1 + 1_000);
        assert_eq!(window(&odd, 4), 1_000 + 1 + 1_000 + 4);
        assert_eq!(window(&[], 8), 0);
        // Records of lists go on in pages in which none begins, and in the next one.
        let lists = of(&[page(1, 9, 9), page(0, 20, 20), page(0, 30, 30), page(2, 3, 5)], true);
        assert_eq!(lists.largest_window(1), 9 + 20 + 30 + 3);
        assert_eq!(lists.largest_window(2), 9 + 20 + 30 + 5);
        assert_eq!(window(&[page(1, u64::MAX, u64::MAX); 3], 3), u64::MAX);
    }
}
