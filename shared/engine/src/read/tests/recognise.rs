use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::*;

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

#[test]
fn what_is_not_declared_is_found_out() {
    for (text, format) in [
        ("a,b\n", TextFormat::Csv),
        ("", TextFormat::Csv),
        ("{\"a\":1}\n", TextFormat::Jsonl),
        (" \n{}\n", TextFormat::Jsonl),
        ("\u{FEFF}{\"a\":1}", TextFormat::Jsonl),
        ("[{\"a\":1}]", TextFormat::Json),
        ("\r\n [ \n{\"a\":1}]", TextFormat::Json),
        ("[]", TextFormat::Json),
        ("[id],name\n", TextFormat::Csv),
        ("{id},name\n", TextFormat::Csv),
    ] {
        for (bytes, encoding) in [
            (text.as_bytes().to_vec(), Encoding::None),
            (gzip(text.as_bytes()), Encoding::Gzip),
            (zstd(text.as_bytes()), Encoding::Zstd),
        ] {
            let found = Recognised { encoding, format };
            assert_eq!(recognise(&bytes, None), Ok(found), "{text:?}");
            assert_eq!(recognise(&bytes, Some(found.into())), Ok(found), "{text:?}");
        }
    }
    let skipped = [&[0x52, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, b'x'], zstd(b"{}").as_slice()].concat();
    assert_eq!(recognise(&skipped, None).unwrap().encoding, Encoding::Zstd);
    assert!(read(skipped, "x.jsonl.zst").rows[0].is_ok());
}

#[test]
fn names_and_media_types_declare() {
    let both = |format, encoding| Some(Declared { format: Some(format), encoding: Some(encoding) });
    assert_eq!(Declared::of_name("a.b/X.CSV"), both(TextFormat::Csv, Encoding::None));
    assert_eq!(Declared::of_name("x.csv.gz"), both(TextFormat::Csv, Encoding::Gzip));
    assert_eq!(Declared::of_name("x.ndjson.zst"), both(TextFormat::Jsonl, Encoding::Zstd));
    assert_eq!(Declared::of_name("x.tsv"), both(TextFormat::Tsv, Encoding::None));
    assert_eq!(Declared::of_name("x.json"), both(TextFormat::Json, Encoding::None));
    for name in ["x", "x.gz", "x.parquet", "csv", "x.csv.bz2", ""] {
        assert_eq!(Declared::of_name(name), None, "{name}");
    }
    let declared = |text| Declared::of_media_type(text).map(|declared| (declared.format, declared.encoding));
    assert_eq!(declared("text/csv; charset=utf-8"), Some((Some(TextFormat::Csv), None)));
    assert_eq!(declared("Application/X-NDJSON"), Some((Some(TextFormat::Jsonl), None)));
    assert_eq!(declared("application/json"), Some((Some(TextFormat::Json), None)));
    assert_eq!(declared("application/gzip"), Some((None, Some(Encoding::Gzip))));
    assert_eq!((declared("application/octet-stream"), declared("")), (None, None));
}

#[test]
fn what_does_not_fit_says_both() {
    for (bytes, name, said) in [
        (b"{\"a\":1}".to_vec(), "x.csv", "declared to be CSV, and begins with a JSON object"),
        (b"[{\"a\":1}]".to_vec(), "x.jsonl", "declared to be JSON Lines, and begins with a JSON array"),
        (b"{\"a\":1}\n".to_vec(), "x.json", "declared to be a JSON array, and begins with a JSON object"),
        (b"a,b\n".to_vec(), "x.jsonl", "declared to be JSON Lines, and begins with 'a'"),
        (b"a,b\n".to_vec(), "x.csv.gz", "declared to be gzip, and is not compressed"),
        (gzip(b"a,b\n"), "x.csv", "declared to be not compressed, and is gzip"),
        (zstd(b"a,b\n"), "x.csv.gz", "declared to be gzip, and is zstd"),
        (gzip(b"[{}]"), "x.csv.gz", "declared to be CSV, and begins with a JSON array"),
        (b"PAR1rest".to_vec(), "x.csv", "the file is Parquet, and was declared to be CSV"),
        (b"PK\x03\x04rest".to_vec(), "x.csv", "declared to be CSV, and is a zip or an Excel workbook"),
        (b"a\0,\0b\0\n\0".to_vec(), "x.csv", "declared to be CSV, and has bytes that are zero"),
        (gzip(b"PAR1rest"), "x.csv.gz", "declared to be CSV, and is Parquet inside"),
        (gzip(&gzip(b"a,b\n")), "x.csv.gz", "declared to be CSV, and"),
    ] {
        let error = recognise(&bytes, Declared::of_name(name)).unwrap_err().to_string();
        assert!(error.contains(said), "{name}: {error}");
    }
    for (bytes, said) in [
        (b"PAR1".to_vec(), "the file is Parquet"),
        (b"%PDF-1.7".to_vec(), "neither CSV nor JSON: it is a PDF document"),
        (b"\x1F\x8B\x07\0\0\0\0\0\0\0".to_vec(), "the gzip data is damaged at byte"),
        (b"\x28\xB5\x2F\xFD\x08\0\0\0\0\0\0\0\0\0".to_vec(), "the zstd data is damaged at byte"),
    ] {
        let error = recognise(&bytes, None).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let media = Declared::of_media_type("text/csv");
    assert_eq!(
        recognise(&gzip(b"a,b\n"), media).unwrap().encoding,
        Encoding::Gzip,
        "left open by the media type"
    );
}
