//! The reference for users says what the parsers do.

use super::fixture::columns;
use crate::{
    catalog::{Column, ColumnType},
    query::{Filter, SyntaxError, parse_lucene, parse_param, parse_sql},
};

const REFERENCE: &str = include_str!("../../../../../docs/filters.md");

#[test]
fn errors_in_the_reference_are_word_for_word() {
    let (_, errors) = REFERENCE.split_once("## Errors").unwrap();
    let mut checked = 0;
    for line in errors.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches([' ', '|'])).collect();
        let [kind, example, detail] = cells[..] else { panic!("{line}") };
        let (Some(example), Some(detail)) = (code(example), code(detail)) else { continue };
        let mut columns = columns();
        if kind == "ambiguous column" {
            columns[0].name = "NAME".into();
        }
        let results: Vec<Result<_, SyntaxError>> = vec![
            parse_sql(example, &columns),
            parse_lucene(example, &columns),
            example
                .split_once('=')
                .map_or(Err(SyntaxError::whole("")), |(name, value)| parse_param(name, value, &columns)),
        ];
        let found = results.iter().any(|result| result.as_ref().is_err_and(|error| error.detail == detail));
        assert!(found, "{example}: {results:?}");
        checked += 1;
    }
    assert!(checked > 15, "{checked}");
}

#[test]
fn questions_in_the_reference_can_be_asked() {
    let int = ColumnType::Int { bits: 64, signed: true };
    let columns: Vec<Column> = [
        ("origin", ColumnType::Text),
        ("dep_delay", int.clone()),
        ("arr_delay", ColumnType::Float { bits: 64 }),
        ("carrier", ColumnType::Text),
        ("tailnum", ColumnType::Text),
        ("name", ColumnType::Text),
        ("dep_time", int.clone()),
        ("active", ColumnType::Boolean),
        ("a", int.clone()),
        ("b", int),
        ("tags", ColumnType::List(Box::new(ColumnType::Text))),
    ]
    .into_iter()
    .map(|(name, data_type)| Column { name: name.into(), data_type, nullable: true })
    .collect();
    let (_, table) = REFERENCE.split_once("## Side by side").unwrap();
    let (table, _) = table.split_once("## Null").unwrap();
    let mut checked = 0;
    for line in table.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = line.split('|').collect();
        for (syntax, cell) in cells[2..5].iter().enumerate() {
            for text in cell.split('`').skip(1).step_by(2) {
                let result = match syntax {
                    0 => parse_sql(text, &columns),
                    1 => parse_lucene(text, &columns),
                    _ => text
                        .split('&')
                        .map(|pair| pair.split_once('=').unwrap())
                        .map(|(name, value)| parse_param(name, value, &columns))
                        .collect::<Result<Vec<_>, _>>()
                        .map(Filter::all),
                };
                assert!(result.is_ok(), "{text}: {result:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

/// The first text in backticks of a cell that begins with one.
fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.split_once('`').map(|(code, _)| code)
}
