//! Footers of any form: what they say wrongly is left out, and takes nothing else along.

use std::{fs, sync::Arc};

use parquet::{
    data_type::{ByteArray, FixedLenByteArray, FixedLenByteArrayType, Int64Type},
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};
use serde_json::json;
use willcall_core::{
    catalog::ColumnStatistics,
    format::Format,
    ports::{DatasetInspector, Executor},
};
use willcall_engine::ParquetInspector;

use super::{below, ends, known, numbers, support::*};

/// 0.01, as a decimal is stored.
const CENT: [u8; 4] = [0, 0, 0, 1];

/// A file as its writer may make it, of one row group for each number: that of its records, all alike. They have a number
/// `n`, said to have `distinct` values, and a decimal `d` of bytes that is said to be `least` or more.
fn write_by_hand(data: &Data, name: &str, groups: &[usize], distinct: u64, least: &[u8]) {
    let schema = "message m { optional int64 n; optional fixed_len_byte_array(4) d (DECIMAL(9, 2)); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = fs::File::create(data.dir.path().join(name)).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    for &rows in groups {
        let mut group = writer.next_row_group().unwrap();
        let there = vec![1; rows];
        let mut column = group.next_column().unwrap().unwrap();
        let n = column.typed::<Int64Type>();
        let distinct = Some(distinct).filter(|_| rows > 0);
        n.write_batch_with_statistics(&vec![7; rows], Some(&there), None, Some(&7), Some(&7), distinct)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let fixed = |bytes: &[u8]| FixedLenByteArray::from(ByteArray::from(bytes.to_vec()));
        let (value, least) = (fixed(&CENT), fixed(least));
        column
            .typed::<FixedLenByteArrayType>()
            .write_batch_with_statistics(
                &vec![value.clone(); rows],
                Some(&there),
                None,
                Some(&least),
                Some(&value),
                None,
            )
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

#[tokio::test]
async fn a_statistic_of_no_form_takes_nothing_else_along() {
    let data = Data::new();
    write_by_hand(&data, "a.parquet", &[2], 1, &[]);
    // The least decimal has no bytes.
    let facts = data.dataset().await.facts;
    assert_eq!(facts.records, Some(2));
    assert_eq!(known(&data, "d").await, ColumnStatistics::default());
    assert_eq!(ends(&data, "n").await, (json!(7), json!(7), Some(0)));
    write_by_hand(&data, "a.parquet", &[2], 1, &CENT);
    assert_eq!(ends(&data, "d").await, (json!("0.01"), json!("0.01"), Some(0)));
}

#[tokio::test]
async fn more_values_than_records_are_nobodys_count() {
    let data = Data::new();
    for (distinct, told) in [(1, Some(1)), (2, Some(2)), (3, None), (u64::MAX >> 1, None)] {
        write_by_hand(&data, "a.parquet", &[2], distinct, &CENT);
        assert_eq!(known(&data, "n").await.distinct, told, "{distinct}");
    }
}

#[tokio::test]
async fn row_groups_without_a_record_are_row_groups_too() {
    let data = Data::new();
    write_by_hand(&data, "a.parquet", &[0, 2, 0, 3], 1, &CENT);
    let facts = data.dataset().await.facts;
    assert_eq!((facts.records, facts.statistics.unwrap().row_groups), (Some(5), Some(4)));
    assert_eq!(ends(&data, "n").await, (json!(7), json!(7), Some(0)), "and hide nothing");
}

#[tokio::test]
async fn a_file_without_a_sound_footer_is_named_and_nothing_is_told() {
    let data = Data::new().file("a.parquet", &[numbers(0..10)], 10).file("b.parquet", &[numbers(0..10)], 10);
    let path = data.dir.path().join("b.parquet");
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[length - 60..length - 8].fill(0xFF);
    fs::write(&path, &bytes).unwrap();
    let error = ParquetInspector::new(local()).inspect(&data.source()).await.unwrap_err();
    assert!(error.to_string().contains("b.parquet"), "{error}");
}

#[tokio::test]
async fn statistics_of_any_damage_are_an_error_or_numbers_and_never_a_panic() {
    let data = Data::new().file("a.parquet", &[numbers(0..300)], 100);
    let mut work = data.query(Format::Csv).await;
    work.filter = Some(below("n", 150));
    let dataset = data.dataset().await;
    let path = data.dir.path().join("a.parquet");
    let good = fs::read(&path).unwrap();
    let footer = good.len()
        - 8
        - usize::try_from(u32::from_le_bytes(good[good.len() - 8..good.len() - 4].try_into().unwrap()))
            .unwrap();
    for at in (footer..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 0xA5;
        fs::write(&path, &bad).unwrap();
        if let Err(error) = ParquetInspector::new(local()).inspect(&data.source()).await {
            let words = format!("{error:?}");
            assert!(!words.contains("panicked") && !words.contains("engine made an error"), "{at}: {words}");
        }
        let job = task(dataset.clone(), work.clone(), &Arc::default());
        if let Err(error) = engine(2).execute(job).await {
            assert!(!format!("{error:?}").contains("Internal"), "{at}: {error:?}");
        }
    }
}
