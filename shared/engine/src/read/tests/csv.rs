use super::*;

#[test]
fn a_file_is_read_to_its_end_with_or_without_a_last_line_break() {
    for text in ["a,b\n1,x\n2,y\n", "a,b\n1,x\n2,y", "a,b\r\n1,x\r\n2,y\r\n", "\n\na,b\n\n1,x\n\n\r\n2,y\n\n"]
    {
        let seen = read(text, "x.csv");
        assert_eq!(seen.columns, ["a", "b"], "{text:?}");
        assert_eq!(lines(&seen), ["1|x", "2|y"], "{text:?}");
    }
}

#[test]
fn nothing_is_null_and_two_quotes_are_empty_text() {
    let seen = read("a,b,c\n,\"\",x\n\"\",,\n", "x.csv");
    assert_eq!(seen.rows[0], Ok(vec!["-".into(), String::new(), "x".into()]));
    assert_eq!(seen.rows[1], Ok(vec![String::new(), "-".into(), "-".into()]));
    assert_eq!(lines(&read("a\n\"\"\nx\n", "x.csv")), ["", "x"], "a blank line would be no row");
}

#[test]
fn quoted_fields_hold_delimiters_quotes_and_line_breaks() {
    let text = "a,b\n\"1,2\",\"say \"\"hi\"\"\"\n\"two\r\nlines\",\"\"\"\"\nplain \"q\" in,5\" pipe\n";
    let seen = read(text, "x.csv");
    assert_eq!(lines(&seen), ["1,2|say \"hi\"", "two\r\nlines|\"", "plain \"q\" in|5\" pipe"]);
    let mut reader = RowReader::open(Cursor::new(text), None, ReadOptions::default())
        .unwrap()
        .map(|row| row.unwrap().unwrap());
    let places: Vec<_> = reader.by_ref().map(|row| (row.number(), row.line())).collect();
    assert_eq!(places, [(1, 2), (2, 3), (3, 5)]);
}

#[test]
fn a_row_with_too_few_or_too_many_fields_is_in_error_and_the_next_is_read() {
    let seen = read("a,b,c\n1,2\n1,2,3\n\"x\ny\",2,3,4\n4,5,6\n", "x.csv");
    assert_eq!(seen.ended, None);
    assert_eq!(seen.rows[0], Err("row 1, line 2: the row has 2 fields, the header 3".into()));
    assert_eq!(seen.rows[2], Err("row 3, line 4: the row has 4 fields, the header 3".into()));
    assert_eq!(seen.rows[3], Ok(vec!["4".into(), "5".into(), "6".into()]));
    assert_eq!(
        read("a,b\nx\n", "x.csv").rows[0],
        Err("row 1, line 2: the row has 1 field, the header 2".into())
    );
}

#[test]
fn what_can_be_read_of_a_row_in_error_is_there() {
    let input = Cursor::new("id,b,c\n7,x\n");
    let mut reader = RowReader::open(input, None, ReadOptions::default()).unwrap();
    let mut row = Row::default();
    let error = reader.next_row(&mut row).unwrap().unwrap().unwrap_err();
    assert_eq!((error.row, error.line), (1, 2));
    assert_eq!(
        (row.field(0), row.field(1), row.field(2)),
        (Field::Text("7"), Field::Text("x"), Field::Missing)
    );
    assert_eq!((row.number(), row.len(), row.is_empty()), (1, 2, false));
}

#[test]
fn quotes_that_have_text_behind_them_harm_their_row_and_those_that_are_not_closed_the_file() {
    let seen = read("a,b\n1,\"x\" y\n2,z\n\"3\n\",\"open\n4,w\n", "x.csv");
    assert_eq!(
        seen.rows[0],
        Err("row 1, line 2, column \"b\": there is text behind its closing quote".into())
    );
    assert_eq!(seen.rows[1], Ok(vec!["2".into(), "z".into()]));
    assert_eq!(seen.rows.len(), 2);
    let words = "line 5: the quote that opens here is not closed to the end of the file";
    assert_eq!(seen.ended.as_deref(), Some(words));
    assert!(refused("a,\"b\n1,2\n", "x.csv").starts_with("line 1: the quote that opens here is not closed"));
}

#[test]
fn headers_name_each_column_once() {
    for (text, said) in [
        ("", "line 1: the file is empty: CSV begins with a header"),
        ("\n \r\n", "line 2: the header: column 1 has no name"),
        ("\n\n", "line 1: the file is empty"),
        ("\u{FEFF}", "line 1: the file is empty"),
        ("a,b,a\n", "line 1: the header: names the column \"a\" twice"),
        ("a,,c\n", "line 1: the header: column 2 has no name"),
        ("a, ,c\n", "line 1: the header: column 2 has no name"),
        ("a,b,\n", "line 1: the header: column 3 has no name"),
        ("a,\"\"\n", "line 1: the header: column 2 has no name"),
        ("a,b\r1,2\r3,4\r", "line 1: the header: lines must end in LF or CRLF"),
        ("a,b\"x\",\"c\"d\n", "line 1: the header: in column 3: there is text behind its closing quote"),
    ] {
        let words = refused(text, "x.csv");
        assert!(words.starts_with(said), "{text:?}: {words}");
    }
    let seen = read("a,\"b \nc\"", "x.csv");
    assert_eq!((seen.columns, seen.rows.len(), seen.ended), (vec!["a".into(), "b \nc".into()], 0, None));
}

#[test]
fn the_delimiter_is_told_by_the_header_where_it_leaves_no_doubt() {
    for (text, columns, row) in [
        ("a;b\n1,5;2\n", vec!["a", "b"], "1,5|2"),
        ("a\tb\n1;\t2\n", vec!["a", "b"], "1;|2"),
        ("a;b,c\n1,2\n", vec!["a;b", "c"], "1|2"),
        ("\"a,b\";\"c;d\";e\n1;2;3\n", vec!["a,b", "c;d", "e"], "1|2|3"),
        ("\"x\ny\";z\n1;2\n", vec!["x\ny", "z"], "1|2"),
        ("\"a;b\"\n1\n", vec!["a;b"], "1"),
        ("a\n1;2\n", vec!["a"], "1;2"),
    ] {
        let seen = read(text, "x.csv");
        assert_eq!(seen.columns, columns, "{text:?}");
        assert_eq!(lines(&seen), [row], "{text:?}");
    }
    assert!(refused("a;b\tc\n", "x.csv").contains("semicolons and tabs"));
    assert_eq!(lines(&read("a,b\tc\n1,\t2\n", "x.tsv")), ["1,|2"], "tabs alone, where tabs were declared");
    let options = ReadOptions { delimiter: Some(b'|'), ..ReadOptions::default() };
    assert_eq!(read_with("a,b|c\n1|2\n", "x.csv", options).columns, ["a,b", "c"]);
    let reader = RowReader::open(Cursor::new("a;b\n"), None, ReadOptions::default()).unwrap();
    assert_eq!(reader.delimiter(), Some(b';'));
    assert!(format!("{reader:?}").contains("columns: 2"));
}

#[test]
fn rows_and_headers_have_limits() {
    let limits = Limits { row_bytes: 32, columns: 3, name_bytes: 8, ..Limits::default() };
    let options = ReadOptions { limits, delimiter: None };
    let huge = "x".repeat(100_000);
    let seen = read_with(format!("a,b\n1,{huge}\n2,y\n3,\"{huge}\n{huge}\"\n4,z\n"), "x.csv", options);
    assert_eq!(seen.rows[0], Err("row 1, line 2: it has more than 32 bytes, which is the limit".into()));
    assert_eq!(seen.rows[1], Ok(vec!["2".into(), "y".into()]));
    let words = "line 4: the quote that opens here is not closed within 32 bytes, the limit of a row";
    assert_eq!((seen.rows.len(), seen.ended.as_deref()), (2, Some(words)));
    for (header, said) in [
        ("a,b,c,d", "the header names 4 columns: at most 3 are the limit"),
        ("a,123456789", "the name of column 2 is longer than 8 bytes"),
        (huge.as_str(), "the header: it has more than 32 bytes"),
    ] {
        let words = read_with(format!("{header}\n"), "x.csv", options).ended.unwrap();
        assert!(words.contains(said), "{words}");
    }
    let wide: Vec<_> = (0..1000).map(|n| format!("c{n}")).collect();
    assert_eq!(read(wide.join(","), "x.csv").columns.len(), 1000);
    assert!(refused(format!("{},more", wide.join(",")), "x.csv").contains("1001 columns"));
}

#[test]
fn bytes_that_are_no_text_are_told_with_line_and_byte() {
    let mut bytes = b"a,b\n1,x\n\"2\n\",caf\xE9\n3,y\n".to_vec();
    bytes.extend_from_slice(b"4,\xFF\n5,\xC3");
    let seen = read(bytes, "x.csv");
    assert_eq!(seen.rows[1], Err("row 2, line 4: byte 6 of the line, 0xE9, is not UTF-8".into()));
    assert_eq!(seen.rows[2], Ok(vec!["3".into(), "y".into()]));
    assert_eq!(seen.rows[3], Err("row 4, line 6: byte 3 of the line, 0xFF, is not UTF-8".into()));
    assert_eq!(seen.rows[4], Err("row 5, line 7: byte 3 of the line, 0xC3, is not UTF-8".into()));
    assert!(refused(b"a,\xE9\n1,2\n".to_vec(), "x.csv").contains("the header: byte 3 of the line"));
}

#[test]
fn what_this_engine_writes_is_read_back() {
    let text = "t,n\n\"a \"\"b\"\"\nc\",1\n\"\",\n\"x,y\",-5\n";
    assert_eq!(lines(&read(text, "x.csv")), ["a \"b\"\nc|1", "|-", "x,y|-5"]);
}
