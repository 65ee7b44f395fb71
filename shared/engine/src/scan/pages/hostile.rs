//! Files that say one thing and are another: pages written by hand, and honest ones beside them.

use std::{io::Write, sync::Arc};

use arrow_array::{
    ArrayRef, Int32Array, RecordBatch, StringArray,
    builder::{ListBuilder, StringBuilder},
};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    file::{
        metadata::{
            ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
        },
        properties::{WriterProperties, WriterVersion},
    },
    schema::{parser::parse_message_type, types::SchemaDescriptor},
};

use super::{
    BATCH_ROWS, Outcome,
    tests::{of_file, refusal},
};

const NUMBERS: &str = "message m { required int64 a; }";
const TEXTS: &str = "message m { required binary a (STRING); }";
const LISTS: &str =
    "message m { required group a (LIST) { repeated group list { required int64 element; } } }";

/// How values and levels are written, as Parquet numbers it.
const PLAIN: u64 = 0;
const RLE: u64 = 3;
const BY_LENGTHS: u64 = 6;
const BY_PREFIXES: u64 = 7;
const BY_DICTIONARY: u64 = 8;

fn varint(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// A struct's fields from the first on, all of them numbers of 32 bits.
fn numbers(fields: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.push(0x15);
        varint(2 * field, &mut bytes);
    }
    bytes
}

/// A page with what its kind says of it, in the field of that kind.
fn page(kind: u64, (field, own): (u8, &[u64]), uncompressed: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = numbers(&[kind, uncompressed as u64, body.len() as u64]);
    bytes.push((field - 3) << 4 | 0x0c);
    bytes.extend(numbers(own));
    bytes.extend([0, 0]);
    bytes.extend(body);
    bytes
}

fn dictionary(values: u64, body: &[u8]) -> Vec<u8> {
    page(2, (7, &[values, PLAIN]), body.len(), body)
}

fn data(values: u64, encoding: u64, body: &[u8]) -> Vec<u8> {
    page(0, (5, &[values, encoding, RLE, RLE]), body.len(), body)
}

/// A page of the second version that says it has that many records.
fn data_v2(values: u64, rows: u64, encoding: u64, repetition: &[u8], rest: &[u8]) -> Vec<u8> {
    let body = [repetition, rest].concat();
    page(3, (8, &[values, 0, rows, encoding, 0, repetition.len() as u64]), body.len(), &body)
}

/// That many times the same level or place in a dictionary, of at most 8 bits.
fn run(value: u8, times: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(times << 1, &mut bytes);
    bytes.push(value);
    bytes
}

/// As many values, all of them the first of a dictionary.
fn firsts(values: u64) -> Vec<u8> {
    [vec![1], run(0, values)].concat()
}

fn text(bytes: usize) -> Vec<u8> {
    [&(bytes as u32).to_le_bytes()[..], &vec![b'a'; bytes]].concat()
}

/// What is found of a file of one column with these pages.
fn reckoned(schema: &str, compression: Compression, rows: i64, pages: &[Vec<u8>]) -> Outcome<Vec<u64>> {
    let schema = Arc::new(SchemaDescriptor::new(Arc::new(parse_message_type(schema).unwrap())));
    let mut bytes = [&b"PAR1"[..], &pages.concat()].concat();
    let size = bytes.len() as i64 - 4;
    let column = ColumnChunkMetaData::builder(schema.column(0))
        .set_compression(compression)
        .set_data_page_offset(4)
        .set_num_values(rows)
        .set_total_compressed_size(size)
        .set_total_uncompressed_size(size)
        .build()
        .unwrap();
    let group = RowGroupMetaData::builder(Arc::clone(&schema))
        .set_num_rows(rows)
        .set_total_byte_size(size)
        .set_column_metadata(vec![column])
        .build()
        .unwrap();
    let file = FileMetaData::new(1, rows, None, None, schema, None);
    let metadata = ParquetMetaData::new(file, vec![group]);
    ParquetMetaDataWriter::new(&mut bytes, &metadata).finish().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    std::fs::write(&path, bytes).unwrap();
    of_file(&path)
}

fn plain(schema: &str, rows: i64, pages: &[Vec<u8>]) -> Outcome<Vec<u64>> {
    reckoned(schema, Compression::UNCOMPRESSED, rows, pages)
}

#[test]
fn pages_written_by_hand_are_reckoned_as_those_of_others() {
    let pages = [dictionary(1, &text(1 << 20)), data(100_000, BY_DICTIONARY, &firsts(100_000))];
    assert_eq!(plain(TEXTS, 100_000, &pages).unwrap(), [64]);
    let pages = [data(3, PLAIN, &[0; 24]), data_v2(2, 2, PLAIN, &[], &[0; 16])];
    assert_eq!(plain(NUMBERS, 5, &pages).unwrap(), [BATCH_ROWS]);
}

#[test]
fn a_second_dictionary_is_refused() {
    let (short, long) = (dictionary(1, &text(1)), dictionary(1, &text(1 << 20)));
    let page = data(100_000, BY_DICTIONARY, &firsts(100_000));
    for pages in [[short.clone(), long.clone(), page.clone()], [short, page, long]] {
        let said = refusal(plain(TEXTS, 100_000, &pages));
        assert!(said.contains("a second dictionary"), "{said}");
    }
}

#[test]
fn a_dictionary_that_is_too_short_for_its_values_is_refused() {
    for (schema, body) in [(NUMBERS, vec![0; 16]), (TEXTS, text(4))] {
        let page = data(5, BY_DICTIONARY, &firsts(5));
        assert_eq!(plain(schema, 5, &[dictionary(2, &body), page.clone()]).unwrap(), [BATCH_ROWS]);
        let said = refusal(plain(schema, 5, &[dictionary(1 << 30, &body), page]));
        assert!(said.contains("too short for its values"), "{said}");
    }
}

#[test]
fn a_page_that_decompresses_to_more_than_it_says_is_refused_before_it_is_decoded() {
    let compressed = |compression, bytes: &[u8]| match compression {
        Compression::GZIP(_) => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        Compression::BROTLI(_) => {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 22);
            writer.write_all(bytes).unwrap();
            writer.into_inner()
        }
        _ => {
            let mut writer = lz4_flex::frame::FrameEncoder::new(Vec::new());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
    };
    let body = vec![0; 8 << 20];
    for compression in
        [Compression::GZIP(Default::default()), Compression::BROTLI(Default::default()), Compression::LZ4]
    {
        let small = compressed(compression, &body);
        assert!(small.len() < body.len() / 100, "{compression:?}: {}", small.len());
        let before = |says| vec![page(0, (5, &[1000, PLAIN, RLE, RLE]), says, &small)];
        assert_eq!(reckoned(NUMBERS, compression, 1000, &before(body.len())).unwrap(), [BATCH_ROWS]);
        let after = |says| vec![page(3, (8, &[1000, 0, 1000, PLAIN, 0, 0]), says, &small)];
        let first = |says| vec![page(2, (7, &[2, PLAIN]), says, &small), data(5, BY_DICTIONARY, &firsts(5))];
        for pages in [before(8000), after(8000), first(8000)] {
            let said = refusal(reckoned(NUMBERS, compression, 1000, &pages));
            assert!(said.contains("decompresses to more than it says"), "{compression:?}: {said}");
        }
    }
}

#[test]
fn a_page_is_as_long_as_it_lies_there() {
    let long = |bytes| vec![page(0, (5, &[1, PLAIN, RLE, RLE]), 8, &text(bytes))];
    assert_eq!(plain(TEXTS, 1, &long(60 << 20)).unwrap(), [BATCH_ROWS]);
    let said = refusal(plain(TEXTS, 1, &long(64 << 20)));
    assert!(said.contains("67108864 are the limit"), "{said}");
    // One that is cut short by the end of its column has no end.
    let mut cut = data(3, PLAIN, &[0; 24]);
    cut.truncate(cut.len() - 1);
    let said = refusal(plain(NUMBERS, 3, &[cut]));
    assert!(said.contains("goes on past its end"), "{said}");
}

#[test]
fn pages_of_no_kind_that_has_values_are_refused() {
    let index = [&numbers(&[1, 0, 0])[..], &[0x3c, 0, 0]].concat();
    let said = refusal(plain(NUMBERS, 3, &[index, data(3, PLAIN, &[0; 24])]));
    assert!(said.contains("no header that can be read"), "{said}");
}

#[test]
fn a_header_that_the_decoder_reads_otherwise_is_refused() {
    let mut wide = data(100_000, BY_DICTIONARY, &firsts(100_000));
    // The number of values, as one of 64 bits.
    let at = wide.windows(2).position(|bytes| bytes == [0x2c, 0x15]).unwrap() + 1;
    wide[at] = 0x16;
    let said = refusal(plain(TEXTS, 100_000, &[dictionary(1, &text(1 << 20)), wide]));
    assert!(said.contains("no header that can be read"), "{said}");
}

#[test]
fn records_of_lists_are_counted_whatever_their_pages_say() {
    let values = 100_000;
    let list = [run(0, 1), run(1, values - 1)].concat();
    let pages = |says| {
        let page = data_v2(values, says, BY_DICTIONARY, &list, &firsts(values));
        [vec![dictionary(1, &[0; 8])], vec![page; 100]].concat()
    };
    for says in [1, 10_000] {
        assert_eq!(plain(LISTS, 100, &pages(says)).unwrap(), [32], "{says}");
    }
}

#[test]
fn a_record_that_goes_on_for_pages_has_them_all() {
    let values = 100_000;
    let page = |levels: Vec<u8>| {
        let length = (levels.len() as u32).to_le_bytes();
        data(values, BY_DICTIONARY, &[&length[..], &levels, &[0; 4], &firsts(values)].concat())
    };
    let first = page([run(0, 1), run(1, values - 1)].concat());
    let pages =
        |more| [vec![dictionary(1, &[0; 8]), first.clone()], vec![page(run(1, values)); more]].concat();
    assert_eq!(plain(LISTS, 1, &pages(20)).unwrap(), [BATCH_ROWS]);
    let said = refusal(plain(LISTS, 1, &pages(120)));
    assert!(said.contains("one row of row group 0"), "{said}");
}

#[test]
fn lengths_of_more_texts_than_a_page_has_are_refused() {
    // So many times 0, in blocks of 128 in 4 pieces; prefixes are followed by suffixes.
    let lengths = |count| {
        let mut bytes = vec![0x80, 0x01, 4];
        varint(count, &mut bytes);
        bytes.push(0);
        for _ in 0..(count - 1).div_ceil(128).min(4) {
            bytes.extend([0; 5]);
        }
        bytes
    };
    let cases = [
        (BY_LENGTHS, lengths(100), lengths(1 << 31)),
        (BY_PREFIXES, [lengths(100), lengths(100)].concat(), [lengths(100), lengths(1 << 31)].concat()),
    ];
    for (encoding, honest, more) in cases {
        assert_eq!(plain(TEXTS, 100, &[data(100, encoding, &honest)]).unwrap(), [BATCH_ROWS]);
        let said = refusal(plain(TEXTS, 100, &[data(100, encoding, &more)]));
        assert!(said.contains("not what it says"), "{said}");
    }
    // As many as the page says, which are more than are held at once.
    let said = refusal(plain(TEXTS, 100, &[data(1 << 30, BY_LENGTHS, &lengths(1 << 30))]));
    assert!(said.contains("in a page of each of its columns"), "{said}");
}

#[test]
fn many_short_lists_in_one_page_are_no_long_one() {
    let mut lists = ListBuilder::new(StringBuilder::new());
    let long = "a".repeat(200);
    for _ in 0..150_000 {
        for tag in ["a", "b", "c", "d", &long] {
            lists.values().append_value(tag);
        }
        lists.append(true);
    }
    let column: ArrayRef = Arc::new(lists.finish());
    let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
    let one_page = WriterProperties::builder().set_data_page_row_count_limit(1 << 20);
    assert_eq!(written(&batch, one_page.build()).unwrap(), [BATCH_ROWS]);
}

#[test]
fn every_compression_of_honest_files_is_taken() {
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..50_000));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..50_000).map(|n| format!("text {n}"))));
    let batch = RecordBatch::try_from_iter([("a", numbers), ("b", texts)]).unwrap();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::BROTLI(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(Default::default()),
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let properties =
                WriterProperties::builder().set_compression(compression).set_writer_version(version);
            assert_eq!(
                written(&batch, properties.build()).unwrap(),
                [BATCH_ROWS],
                "{compression:?}, {version:?}"
            );
        }
    }
}

/// What is found of a file that is written by the book.
fn written(batch: &RecordBatch, properties: WriterProperties) -> Outcome<Vec<u64>> {
    let file = tempfile::NamedTempFile::with_suffix(".parquet").unwrap();
    let mut writer = ArrowWriter::try_new(file.reopen().unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    of_file(file.path())
}
