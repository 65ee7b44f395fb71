//! What SQL has and filters have not, each refused by its name.

use sqlparser::tokenizer::Token;

use super::words::Spot;
use crate::query::{SyntaxError, error::quoted};

/// The error for a word where a column, a value, NOT or a bracket was expected.
pub(super) fn instead_of_value(spot: &Spot) -> SyntaxError {
    match &spot.token {
        Token::EOF => SyntaxError::sentence(spot.at, "the filter ends where a column or a value is expected"),
        Token::Word(word) if word.quote_style.is_none() => match construct(&word.value) {
            Some(name) => unsupported(name, spot.at),
            None => SyntaxError::sentence(
                spot.at,
                format_args!("expected a column or a value, found {}", quoted(&word.value)),
            ),
        },
        other => match symbol(other) {
            Some(name) => unsupported(name, spot.at),
            None => SyntaxError::sentence(
                spot.at,
                format_args!("expected a column or a value, found {}", quoted(&other.to_string())),
            ),
        },
    }
}

/// The error for a word where AND, OR, a comparison or the end was expected.
pub(super) fn instead_of_end(spot: &Spot) -> SyntaxError {
    match &spot.token {
        Token::SemiColon => SyntaxError::sentence(spot.at, "a filter is one expression: unexpected \";\""),
        Token::RParen => SyntaxError::sentence(spot.at, "a bracket closes that was never opened"),
        Token::Comma => SyntaxError::sentence(
            spot.at,
            "a comma belongs into the brackets after IN only: unexpected \",\"",
        ),
        Token::Period => {
            SyntaxError::sentence(spot.at, "qualified names are not supported: write the column alone")
        }
        other => match symbol(other) {
            Some(name) => unsupported(name, spot.at),
            None => match other {
                Token::Word(word) if word.quote_style.is_none() => match construct(&word.value) {
                    Some(name) => unsupported(name, spot.at),
                    None => unexpected(spot),
                },
                _ => unexpected(spot),
            },
        },
    }
}

/// The error for a word that fits nothing.
pub(super) fn unexpected(spot: &Spot) -> SyntaxError {
    match &spot.token {
        Token::EOF => SyntaxError::sentence(spot.at, "the filter ends too early"),
        other => SyntaxError::at(spot.at, format_args!("unexpected {}", quoted(&other.to_string()))),
    }
}

/// The error for a part of SQL that filters do without; after ` | ` comes advice.
pub(super) fn unsupported(name: &str, at: usize) -> SyntaxError {
    let (name, advice) = name.split_once(" | ").unwrap_or((name, ""));
    let error = SyntaxError::sentence(at, format_args!("{name} not supported in a filter"));
    if advice.is_empty() { error } else { error.advise(advice) }
}

/// What a word begins that is no filter. Names of columns are looked up before.
pub(super) fn construct(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_uppercase().as_str() {
        "SELECT" | "WITH" | "VALUES" | "TABLE" => "sub-queries are",
        "EXISTS" => "EXISTS is",
        "CASE" | "WHEN" | "THEN" | "ELSE" | "END" => "CASE is",
        "CAST" | "TRY_CAST" | "SAFE_CAST" | "CONVERT" => "casts are",
        "INTERVAL" => "INTERVAL is",
        "EXTRACT" => "EXTRACT is | write year(column), month(column) or day(column)",
        "ARRAY" | "STRUCT" | "MAP" | "ROW" => "lists and other nested values are",
        "ANY" | "ALL" | "SOME" => "ANY, ALL and SOME are",
        "COLLATE" => "COLLATE is",
        "SIMILAR" | "RLIKE" | "REGEXP" | "GLOB" | "MATCH" => "patterns other than LIKE and ILIKE are",
        "OVER" => "window functions are",
        "ORDER" | "GROUP" | "HAVING" | "LIMIT" | "OFFSET" | "UNION" | "INTERSECT" | "EXCEPT" | "FROM"
        | "WHERE" | "JOIN" => "clauses of a SELECT are",
        "INSERT" | "UPDATE" | "DELETE" | "DROP" | "CREATE" | "ALTER" | "COPY" | "EXPLAIN" | "SET"
        | "TRUNCATE" => "statements are",
        "XOR" | "DIV" | "MOD" => "operators other than comparisons, AND, OR and NOT are",
        "AT" => "AT TIME ZONE is",
        _ => return None,
    })
}

fn symbol(token: &Token) -> Option<&'static str> {
    Some(match token {
        Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod
        | Token::DuckIntDiv
        | Token::Caret => "arithmetic is | dates need quotes",
        Token::StringConcat => "joining text with || is",
        Token::DoubleColon => "casts are",
        Token::Placeholder(_) | Token::Colon | Token::AtSign | Token::Question => "placeholders are",
        Token::LBracket | Token::LBrace => "lists and other nested values are",
        Token::Arrow | Token::LongArrow | Token::HashArrow | Token::HashLongArrow => "paths into JSON are",
        Token::Tilde | Token::TildeAsterisk | Token::ExclamationMarkTilde | Token::DoubleTilde => {
            "patterns other than LIKE and ILIKE are"
        }
        Token::Ampersand | Token::Pipe | Token::ShiftLeft | Token::ShiftRight | Token::Sharp => {
            "operators on bits are"
        }
        Token::Overlap | Token::ExclamationMark => "operators other than comparisons, AND, OR and NOT are",
        Token::DoubleEq => "== is | write =",
        Token::Spaceship => "<=> is | write IS NOT DISTINCT FROM",
        Token::HexStringLiteral(_)
        | Token::SingleQuotedByteStringLiteral(_)
        | Token::DoubleQuotedByteStringLiteral(_) => "bytes as a value are",
        Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::DollarQuotedString(_)
        | Token::SingleQuotedRawStringLiteral(_)
        | Token::DoubleQuotedRawStringLiteral(_)
        | Token::TripleSingleQuotedString(_)
        | Token::TripleDoubleQuotedString(_)
        | Token::DoubleQuotedString(_) => "text in other than single quotes is",
        _ => return None,
    })
}
