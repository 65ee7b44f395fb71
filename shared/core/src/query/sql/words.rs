//! The words of an SQL expression, each with its place.

use sqlparser::{
    dialect::Dialect,
    tokenizer::{Token, Tokenizer},
};

use crate::query::SyntaxError;

/// Standard SQL: double quotes around names, single quotes around text, no backslashes.
#[derive(Debug)]
struct FilterDialect;

impl Dialect for FilterDialect {
    fn is_delimited_identifier_start(&self, c: char) -> bool {
        c == '"'
    }

    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_'
    }
}

/// A word and where it begins, in characters from 0.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spot {
    pub(super) token: Token,
    pub(super) at: usize,
}

/// The words without blanks and comments, ended by [`Token::EOF`].
pub(super) fn tokenize(text: &str) -> Result<Vec<Spot>, SyntaxError> {
    let mut starts = vec![0];
    let mut length = 0;
    for (index, c) in text.chars().enumerate() {
        length = index + 1;
        if c == '\n' {
            starts.push(index + 1);
        }
    }
    let offset = |line: u64, column: u64| {
        let line = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        let start = starts.get(line).copied().unwrap_or(length);
        (start + usize::try_from(column.saturating_sub(1)).unwrap_or(0)).min(length)
    };
    let tokens = Tokenizer::new(&FilterDialect, text).tokenize_with_location().map_err(|error| {
        let mut detail = error.message;
        // The library begins its sentences with a capital.
        if let Some(first) = detail.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        SyntaxError::at(offset(error.location.line, error.location.column), detail)
    })?;
    let mut spots: Vec<Spot> = tokens
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .map(|token| Spot { at: offset(token.span.start.line, token.span.start.column), token: token.token })
        .collect();
    spots.push(Spot { token: Token::EOF, at: length });
    Ok(spots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_over_lines() {
        let spots = tokenize("é = 'ß'\n -- note\r\n  AND /* x */ b").unwrap();
        let places: Vec<usize> = spots.iter().map(|spot| spot.at).collect();
        assert_eq!(places, [0, 2, 4, 20, 32, 33]);
    }

    #[test]
    fn open_quotes_are_told_with_their_place() {
        for (text, offset) in [("a = 'x", 4), ("a =\n\"b", 4), ("a /* b", 6)] {
            assert_eq!(tokenize(text).unwrap_err().offset, Some(offset), "{text}");
        }
    }
}
