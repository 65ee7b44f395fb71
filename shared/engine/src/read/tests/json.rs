use super::*;

#[test]
fn lines_are_objects_whose_columns_are_found_as_they_come() {
    let text = concat!(
        "{\"b\":1.50,\"a\":\"x\"}\n\n",
        "{ \"a\" : null , \"c\":[1, {\"d\":2}] }\r\n",
        "{\"c\":true,\"a\":\"\\u00e9\\n\\\"\",\"b\":12345678901234567890123}\n{}",
    );
    let seen = read(text, "x.jsonl");
    assert_eq!(seen.columns, ["b", "a", "c"]);
    assert_eq!(
        lines(&seen),
        [
            "number 1.50|x",
            "?|-|json [1, {\"d\":2}]",
            "number 12345678901234567890123|é\n\"|bool true",
            "?|?|?",
        ]
    );
}

#[test]
fn an_array_gives_the_same_rows_as_lines() {
    for text in [
        "[{\"a\":1,\"b\":\"[x}],\"},{\"a\":2,\"b\":\"\\\"]\"}]",
        " [ {\"a\":1,\n\"b\":\"[x}],\"}\n,\n{\"a\":2,\"b\":\"\\\"]\"} ] \n",
    ] {
        let seen = read(text, "x.json");
        assert_eq!(lines(&seen), ["number 1|[x}],", "number 2|\"]"], "{text}");
    }
    for text in ["[]", " [ \n ] "] {
        let seen = read(text, "x.json");
        assert_eq!((seen.rows.len(), seen.ended), (0, None));
    }
    assert_eq!(read("", "x.jsonl"), Seen::default());
    assert_eq!(read(" \n\n", "x.jsonl"), Seen::default());
}

#[test]
fn a_row_that_is_no_object_is_in_error_and_the_next_is_read() {
    let text =
        "{\"a\":1}\n[1]\n7\n\"x\"\nnull\n{\"a\":}\n{\"a\":1} {\"a\":2}\n{\"a\":01}\n{'a':1}\n{\"a\":2}\n";
    let seen = read(text, "x.jsonl");
    assert_eq!((seen.rows.len(), &seen.ended), (10, &None));
    assert!(seen.rows[0].is_ok() && seen.rows[9].is_ok());
    let said = |row: usize| seen.rows[row].clone().unwrap_err();
    assert!(said(1).starts_with("row 2, line 2: invalid type: sequence, expected an object"), "{}", said(1));
    for row in 2..=4 {
        assert!(said(row).contains("expected an object"), "{}", said(row));
    }
    assert_eq!(said(5), "row 6, line 6: expected value at column 6");
    assert_eq!(said(6), "row 7, line 7: trailing characters at column 9");
    assert!(said(7).contains("column 7"), "{}", said(7));
    assert!(said(8).contains("key must be a string"), "{}", said(8));
    let seen = read("[{\"a\":1},\n{\"a\"\n:},5,\"a,b\", {\"a\":2]\n,{\"a\":3}]", "x.json");
    assert_eq!((seen.rows.len(), &seen.ended), (6, &None));
    assert_eq!(seen.rows[1], Err("row 2, line 3: expected value at column 2".into()));
    assert!(seen.rows[2..=4].iter().all(Result::is_err));
    assert_eq!(seen.rows[5], Ok(vec!["number 3".into()]));
}

#[test]
fn an_array_that_is_none_ends_the_file_where_it_is_broken() {
    for (text, said) in [
        ("", "line 1: the file is empty: an array begins with ["),
        ("[", "line 1: the file is cut short"),
        ("[{\"a\":1}\n", "line 2: the file is cut short"),
        ("[{\"a\":1},", "line 1: the file is cut short"),
        ("[{\"a\":\"x", "line 1: the file is cut short"),
        ("[{\"a\":1} {\"a\":2}]", "line 1: '{' is not expected here: between elements stands a comma"),
        ("[{\"a\":1},\n]", "line 2: ']' is not expected here: an element is missing"),
        ("[[1],,{}]", "line 1: ',' is not expected here: an element is missing"),
        ("[{}]\n\n[{}]", "line 3: '[' is not expected here: nothing may come behind"),
        ("[{}}]", "line 1: '}' is not expected here: between elements"),
    ] {
        let words = refused(text, "x.json");
        assert!(words.starts_with(said), "{text}: {words}");
    }
    let seen = read("[{\"a\":1},{\"a\":2}", "x.json");
    assert_eq!((seen.rows.len(), seen.ended.is_some()), (2, true), "what came before counts");
}

#[test]
fn deep_json_is_a_row_in_error_and_no_recursion() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let bomb = "[".repeat(900_000);
    let text = format!("{}\n{}\n{{\"a\":{bomb}\n{bomb}\n{{\"a\":1}}\n", nested(31), nested(32));
    let seen = read(text, "x.jsonl");
    assert!(seen.rows[0].is_ok());
    for row in 1..4 {
        let said = seen.rows[row].clone().unwrap_err();
        assert!(said.contains("arrays and objects lie in each other more than 32 deep"), "{said:.200}");
    }
    assert_eq!(seen.rows[4], Ok(vec!["number 1".into()]));
    let text = format!("[{},{{\"a\":1}}]", nested(100_000));
    let seen = read(text, "x.json");
    assert!(seen.rows[0].is_err() && seen.rows[1].is_ok() && seen.ended.is_none());
    assert!(refused(format!("[{}", "{\"a\":".repeat(500_000)), "x.json").contains("cut short"));
    let brackets = format!("{{\"a\":\"{}\\\"[\"}}\n", "[".repeat(500));
    assert!(read(brackets, "x.jsonl").rows[0].is_ok(), "brackets in text are text");
}

#[test]
fn members_that_are_there_twice() {
    let text = concat!(
        "{\"a\":1,\"a\":1}\n{\"a\":null,\"a\":2}\n{\"a\":{\"b\":1,\"c\":[{\"d\":1,\"d\":2}]}}\n",
        "{\"a\":{\"b\":1,\"\\u0062\":2}}\n{\"a\":{\"b\":{\"b\":1}}}\n"
    );
    let seen = read(text, "x.jsonl");
    let said = |row: usize| seen.rows[row].clone().unwrap_err();
    assert!(said(0).starts_with("row 1, line 1: the member \"a\" is there twice"), "{}", said(0));
    assert!(said(1).contains("\"a\" is there twice") && said(2).contains("\"d\" is there twice"));
    assert!(said(3).contains("\"b\" is there twice"));
    assert!(seen.rows[4].is_ok());
}

#[test]
fn members_and_texts_that_cannot_be_columns_and_values() {
    let limits = Limits { columns: 2, name_bytes: 4, row_bytes: 64, ..Limits::default() };
    let options = ReadOptions { limits, delimiter: None };
    let long = "x".repeat(100);
    let text = format!(
        "{{\"\":1}}\n{{\"abcde\":1}}\n{{\"a\":\"\\ud800\"}}\n{{\"a\":[\"\\ud800\"]}}\n{{\"a\":\"{long}\"}}\n\
         {{\"a\":1,\"b\":2}}\n{{\"c\":1}}\n{{\"b\":1e999,\"a\":[1e999]}}\n"
    );
    let seen = read_with(text, "x.jsonl", options);
    let said = |row: usize| seen.rows[row].clone().unwrap_err();
    assert!(said(0).contains("a member has no name"));
    assert!(said(1).contains("longer than 4 bytes"));
    assert_eq!(said(2), "row 3, line 3: unexpected end of hex escape at column 14");
    assert_eq!(said(3), "row 4, line 4: unexpected end of hex escape at column 16");
    assert!(said(4).contains("more than 64 bytes"));
    assert!(seen.rows[5].is_ok());
    assert!(said(6).contains("with the member \"c\" there are more than 2 columns"));
    assert_eq!(seen.rows[7], Ok(vec!["json [1e999]".into(), "number 1e999".into()]));
    let seen = read_with(format!("[{{\"a\":\"{long}\"}},{{\"a\":1}}]"), "x.json", options);
    assert!(seen.rows[0].is_err());
    assert_eq!(seen.rows[1], Ok(vec!["number 1".into()]));
}

#[test]
fn text_that_is_no_utf_8() {
    let seen = read(b"{\"a\":\"\xE9\"}\n{\"a\":1}\n".to_vec(), "x.jsonl");
    assert_eq!(seen.rows[0], Err("row 1, line 1: byte 7 of the line, 0xE9, is not UTF-8".into()));
    assert!(seen.rows[1].is_ok());
    let seen = read(b"[{\"a\":1,\n\"b\":\"\xE9\"},{\"a\":1}]".to_vec(), "x.json");
    assert_eq!(seen.rows[0], Err("row 1, line 2: byte 6 of the line, 0xE9, is not UTF-8".into()));
    assert!(seen.rows[1].is_ok());
}
