//! As many columns as a sheet has, and one more, where only the upload tells how many there are.

use std::{io::Read, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use flate2::read::DeflateDecoder;
use rawzip::ZipArchive;
use willcall_core::{
    format::{Format, OutputFormat},
    job::{ProblemType, kinds::AppendWork},
    usecases::limits::MAX_SHEET_COLUMNS,
};

use super::{append, csv, exact, problem, support::Data};

/// A record of the key `a` and that many other columns.
fn wide(columns: usize) -> (Data, Vec<String>) {
    let names: Vec<String> = (0..columns).map(|n| format!("v{n}")).collect();
    let key: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let value: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let others = names.iter().map(|name| (name.as_str(), Arc::clone(&value)));
    let batch = RecordBatch::try_from_iter([("k", key)].into_iter().chain(others)).unwrap();
    (Data::of(batch), names)
}

#[tokio::test]
async fn rows_with_more_columns_than_a_sheet_has_room_for_are_refused() {
    // Beside the rows' own, `_match` and `_error`.
    let (data, fields) = wide(MAX_SHEET_COLUMNS - 4);
    let work = AppendWork { fields, output: OutputFormat::plain(Format::Xlsx), ..exact("k") };
    let ran = append(&data, work.clone(), &csv("k,x\na,1\n")).await;
    assert_eq!(ran.delivered.schema.len(), MAX_SHEET_COLUMNS);
    let bytes = ran.bytes();
    let archive = ZipArchive::from_slice(&bytes).unwrap();
    let mut entries = archive.entries();
    let mut sheet = String::new();
    while let Some(entry) = entries.next_entry().unwrap() {
        if entry.file_path().as_bytes().ends_with(b"worksheets/sheet1.xml") {
            let local = archive.get_entry(entry.wayfinder()).unwrap();
            DeflateDecoder::new(local.data()).read_to_string(&mut sheet).unwrap();
        }
    }
    // The last column that Excel has.
    assert!(sheet.contains("\"XFD1\"") && !sheet.contains("\"XFE1\""), "{}", &sheet[..500.min(sheet.len())]);

    let more = csv("k,x,y\na,1,2\n");
    let told = problem(&data, work, &more).await;
    assert_eq!(told.kind, ProblemType::InvalidRequest);
    assert!(told.detail.contains("16385") && told.detail.contains("16384"), "{}", told.detail);
}
