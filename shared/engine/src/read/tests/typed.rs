use arrow_array::{RecordBatch, cast::AsArray, types::*};
use arrow_schema::{DataType, Field as ArrowField, Schema, TimeUnit};

use super::*;

fn schema(fields: &[(&str, DataType, bool)]) -> Schema {
    let field = |(name, data_type, nullable): &(&str, DataType, bool)| {
        ArrowField::new(*name, data_type.clone(), *nullable)
    };
    Schema::new(fields.iter().map(field).collect::<Vec<_>>())
}

fn batch(text: &str, schema: &Schema) -> (RecordBatch, Vec<String>) {
    let mut reader = RowReader::open(Cursor::new(text.to_owned()), None, ReadOptions::default()).unwrap();
    let mut builder = BatchBuilder::new(schema).unwrap();
    let (mut row, mut errors) = (Row::default(), Vec::new());
    while let Some(read) = reader.next_row(&mut row).unwrap() {
        read.unwrap();
        if let Err(error) = builder.append(&row, reader.columns()) {
            errors.push(error.to_string());
        }
    }
    assert_eq!(builder.rows() as u64, reader.rows());
    (builder.finish().unwrap(), errors)
}

fn inferred(text: &str) -> Vec<(String, DataType)> {
    let mut reader = RowReader::open(Cursor::new(text.to_owned()), None, ReadOptions::default()).unwrap();
    let mut inference = Inference::new(reader.recognised().format.is_json());
    let mut row = Row::default();
    while let Some(read) = reader.next_row(&mut row).unwrap() {
        read.unwrap();
        inference.observe(&row);
    }
    let schema = inference.schema(reader.columns());
    schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
}

const MICROS: TimeUnit = TimeUnit::Microsecond;

#[test]
fn text_becomes_values_of_the_schema() {
    let schema = schema(&[
        ("i", DataType::Int32, true),
        ("f", DataType::Float64, true),
        ("d", DataType::Decimal128(9, 2), true),
        ("b", DataType::Boolean, true),
        ("day", DataType::Date32, true),
        ("at", DataType::Timestamp(MICROS, Some("UTC".into())), true),
        ("local", DataType::Timestamp(TimeUnit::Second, None), true),
        ("clock", DataType::Time64(MICROS), true),
        ("raw", DataType::Binary, true),
        ("t", DataType::Utf8, true),
    ]);
    let csv = "t,i,f,d,b,day,at,local,clock,raw,extra\n\
               x,-7,1e300,12.30,true,2024-02-29,2024-02-29T23:59:59.123456Z,2024-02-29 10:00,10:00:00.5,aGk=,!\n\
               \"\",,,,,,,,,,\n\
               ,\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\"\n";
    let json = concat!(
        r#"{"t":"x","i":-7,"f":1e300,"d":12.30,"b":true,"day":"2024-02-29","at":"2024-03-01T00:59:59.123456+01:00","#,
        r#""local":"2024-02-29T10:00:00","clock":"10:00:00.500","raw":"aGk=","extra":[1]}"#,
        "\n{\"t\":\"\"}\n{\"t\":null,\"i\":null}\n"
    );
    for text in [csv, json] {
        let (batch, errors) = batch(text, &schema);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(batch.num_rows(), 3);
        let column = |name| batch.column_by_name(name).unwrap();
        assert_eq!(column("i").as_primitive::<Int32Type>().value(0), -7);
        assert_eq!(column("f").as_primitive::<Float64Type>().value(0), 1e300);
        assert_eq!(column("d").as_primitive::<Decimal128Type>().value(0), 1230);
        assert!(column("b").as_boolean().value(0));
        assert_eq!(column("day").as_primitive::<Date32Type>().value(0), 19_782);
        assert_eq!(
            column("at").as_primitive::<TimestampMicrosecondType>().value(0),
            19_783 * 86_400_000_000 - 1_000_000 + 123_456
        );
        assert_eq!(column("local").as_primitive::<TimestampSecondType>().value(0), 19_782 * 86_400 + 36_000);
        assert_eq!(column("clock").as_primitive::<Time64MicrosecondType>().value(0), 36_000_500_000);
        assert_eq!(column("raw").as_binary::<i32>().value(0), b"hi");
        let texts: Vec<_> = column("t").as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("x"), Some(""), None]);
        for name in ["i", "f", "d", "b", "day", "at", "local", "clock", "raw"] {
            assert_eq!(column(name).null_count(), 2, "{name}");
        }
    }
}

#[test]
fn values_of_another_type_are_named_with_row_column_and_value() {
    let schema = schema(&[
        ("n", DataType::Int64, false),
        ("at", DataType::Timestamp(MICROS, None), true),
        ("zoned", DataType::Timestamp(MICROS, Some("UTC".into())), true),
    ]);
    let long = "9".repeat(100);
    let text = format!(
        "n,at,zoned\n1,2024-01-01,2024-01-01T00:00:00\n1.5,2024-01-01T00:00:00Z,x\n,,\n2,,2024-01-01T00:00:00.0000001Z\n\
         {long},,\n3,,\n"
    );
    let (batch, errors) = batch(&text, &schema);
    assert_eq!(
        errors,
        [
            "row 2, line 3, column \"n\": \"1.5\" is not int64".to_owned(),
            "row 3, line 4, column \"n\": has no value, and the column must have one".into(),
            "row 4, line 5, column \"zoned\": \"2024-01-01T00:00:00.0000001Z\" is not timestamp(microsecond, UTC)".into(),
            format!("row 5, line 6, column \"n\": {:?}… is not int64", "9".repeat(64)),
        ]
    );
    assert_eq!(batch.num_rows(), 6, "rows in error keep their place");
    let numbers: Vec<_> = batch.column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(numbers, [Some(1), None, None, Some(2), None, Some(3)]);
    assert_eq!(batch.column(1).null_count(), 5);
    assert_eq!(batch.column(2).null_count(), 5);
}

#[test]
fn columns_of_text_take_everything_and_json_takes_no_texts_place() {
    let schema = schema(&[("a", DataType::Utf8, true), ("b", DataType::Int64, true)]);
    let text = "{\"a\":1.10,\"b\":\"12\"}\n{\"a\":[1, 2],\"b\":{}}\n{\"b\":true}\n{\"a\":false}\n";
    let (batch, errors) = batch(text, &schema);
    let texts: Vec<_> = batch.column(0).as_string::<i32>().iter().collect();
    assert_eq!(texts, [Some("1.10"), Some("[1, 2]"), None, Some("false")]);
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(0), 12);
    assert_eq!(
        errors,
        [
            "row 2, line 2, column \"b\": \"{}\" is not int64",
            "row 3, line 3, column \"b\": \"true\" is not int64"
        ]
    );
}

#[test]
fn columns_found_late_and_under_other_names() {
    let schema = schema(&[("id", DataType::Int64, true), ("x", DataType::Int8, true)]);
    let mut builder = BatchBuilder::with_sources(&schema, ["their id".into(), "late".into()]).unwrap();
    let text = "{\"other\":1}\n{\"their id\":5}\n{\"late\":6,\"their id\":7}\n";
    let mut reader = RowReader::open(Cursor::new(text), None, ReadOptions::default()).unwrap();
    let mut row = Row::default();
    while let Some(read) = reader.next_row(&mut row).unwrap() {
        read.unwrap();
        builder.append(&row, reader.columns()).unwrap();
    }
    assert_eq!(builder.rows(), 3);
    let batch = builder.finish().unwrap();
    assert_eq!(batch.schema().field(0).name(), "id");
    let ids: Vec<_> = batch.column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(ids, [None, Some(5), Some(7)]);
    assert_eq!(batch.column(1).as_primitive::<Int8Type>().value(2), 6);
    assert_eq!((builder.rows(), builder.finish().unwrap().num_rows()), (0, 0));
    let nested = DataType::List(ArrowField::new("item", DataType::Int64, true).into());
    let error = BatchBuilder::new(&self::schema(&[("l", nested, true)])).err().unwrap();
    assert_eq!(error, "the column \"l\" is list<int64>, which text cannot be read as");
    let mut none = BatchBuilder::new(&Schema::empty()).unwrap();
    none.append(&row, reader.columns()).unwrap();
    assert_eq!(none.finish().unwrap().num_rows(), 1, "rows without columns are rows");
}

#[test]
fn types_are_inferred_from_every_value() {
    let utc = DataType::Timestamp(MICROS, Some("UTC".into()));
    for (values, expected) in [
        (&["1", "-20", ""][..], DataType::Int64),
        (&["9223372036854775807", "0"], DataType::Int64),
        (&["9223372036854775808", "0"], DataType::Utf8),
        (&["007", "8"], DataType::Utf8),
        (&["+7"], DataType::Utf8),
        (&["0", "-0.5", "1e300"], DataType::Float64),
        (&["NaN", "1", "-Infinity"], DataType::Float64),
        (&["9007199254740993", "0.5"], DataType::Utf8),
        (&["0.12345678901234567890"], DataType::Utf8),
        (&["1e400"], DataType::Utf8),
        (&["00.5"], DataType::Utf8),
        (&["1.", "2"], DataType::Utf8),
        (&["true", "FALSE", ""], DataType::Boolean),
        (&["true", "1"], DataType::Utf8),
        (&["2024-02-29", ""], DataType::Date32),
        (&["2024-02-30"], DataType::Utf8),
        (&["2024-02-29T10:00:00", "2024-02-29 10:00:00.5"], DataType::Timestamp(MICROS, None)),
        (&["2024-02-29T10:00:00Z", "2024-02-29T10:00:00+01:00"], utc.clone()),
        (&["2024-02-29T10:00:00Z", "2024-02-29T10:00:00"], DataType::Utf8),
        (&["2024-02-29", "2024-02-29T10:00:00"], DataType::Utf8),
        (&["2024-02-29T10:00:00.123456789Z"], DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))),
        (&["2024-02-29T10:00:00.000000001Z", "1066-10-14T00:00:00Z"], DataType::Utf8),
        (&["1066-10-14T00:00:00Z"], utc),
        (&["", ""], DataType::Utf8),
        (&["\"\"", "5"], DataType::Int64),
        (&["\"5\""], DataType::Int64),
        (&["1,5"], DataType::Utf8),
        (&["x", "1"], DataType::Utf8),
    ] {
        let rows: Vec<_> = values.iter().map(|value| format!("k;{value}\n")).collect();
        let text = format!("k;v\n{}", rows.concat());
        assert_eq!(inferred(&text)[1], ("v".into(), expected.clone()), "{values:?}");
        let schema = schema(&[("v", expected, true)]);
        assert!(batch(&text, &schema).1.is_empty(), "every value is one of the type: {values:?}");
    }
}

#[test]
fn json_has_types_of_its_own() {
    let text = concat!(
        r#"{"n":1,"s":"1","b":true,"at":"2024-01-01T00:00:00Z","day":"2024-01-01","j":[1],"mixed":1}"#,
        "\n",
        r#"{"n":2.5,"s":"2","b":null,"mixed":"1","big":12345678901234567890,"empty":""}"#,
        "\n"
    );
    let types: Vec<_> = inferred(text).into_iter().map(|(_, data_type)| data_type).collect();
    assert_eq!(
        types,
        [
            DataType::Float64,
            DataType::Utf8,
            DataType::Boolean,
            DataType::Timestamp(MICROS, Some("UTC".into())),
            DataType::Date32,
            DataType::Utf8,
            DataType::Utf8,
            DataType::Utf8,
            DataType::Utf8,
        ]
    );
    assert!(inferred("a,b\n").iter().all(|(_, data_type)| *data_type == DataType::Utf8));
}
