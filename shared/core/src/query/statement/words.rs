//! The words of a statement: counted and looked at before anything recurses into what they make.

use sqlparser::{
    dialect::GenericDialect,
    tokenizer::{Token, TokenWithSpan, Tokenizer, Word},
};

use super::{
    MAX_STATEMENT_CASES, MAX_STATEMENT_DEPTH, MAX_STATEMENT_OPERATORS, MAX_STATEMENT_SELECTS,
    place::{Lines, Place},
};
use crate::query::{SyntaxError, error::quoted};

/// Words that join what stands before them to what comes, and so make trees as deep as they are many.
const JOINING: [&str; 29] = [
    "AND",
    "OR",
    "XOR",
    "NOT",
    "IS",
    "ISNULL",
    "NOTNULL",
    "IN",
    "BETWEEN",
    "LIKE",
    "ILIKE",
    "SIMILAR",
    "RLIKE",
    "REGEXP",
    "MATCH",
    "DIV",
    "COLLATE",
    "AT",
    "MEMBER",
    "OVERLAPS",
    "OPERATOR",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "MINUS",
    "JOIN",
    "APPLY",
    "PIVOT",
    "UNPIVOT",
];

/// Words that the parser first takes for what they begin, and where that fails somewhere inside for a name: each one within
/// another of them doubles the work.
const TRIED_TWICE: [&str; 20] = [
    "CAST",
    "TRY_CAST",
    "SAFE_CAST",
    "CONVERT",
    "TRY_CONVERT",
    "EXISTS",
    "EXTRACT",
    "CEIL",
    "FLOOR",
    "POSITION",
    "SUBSTR",
    "SUBSTRING",
    "OVERLAY",
    "TRIM",
    "INTERVAL",
    "ARRAY",
    "NOT",
    "MATCH",
    "STRUCT",
    "MAP",
];

/// A statement's words as the parser takes them, and what was wrong with any of them.
pub(super) struct Words {
    pub(super) tokens: Vec<TokenWithSpan>,
    pub(super) lines: Lines,
}

impl Words {
    /// The words of a text that is worth parsing.
    pub(super) fn of(text: &str) -> Result<Self, SyntaxError> {
        let lines = Lines::of(text);
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().map_err(|error| {
            let mut detail = error.message;
            // The library begins its sentences with a capital.
            if let Some(first) = detail.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            lines.place(error.location).at(detail)
        })?;
        let words = Self { tokens, lines };
        words.check()?;
        Ok(words)
    }

    /// Where the first of these words stands.
    pub(super) fn place_of(&self, any: &[&str]) -> Option<Place> {
        self.place_where(|token| any.iter().any(|wanted| is_word(token, wanted)))
    }

    /// Where the first text in single quotes stands that is this.
    pub(super) fn place_of_text(&self, text: &str) -> Option<Place> {
        self.place_where(|token| matches!(token, Token::SingleQuotedString(found) if found == text))
    }

    fn place_where(&self, wanted: impl Fn(&Token) -> bool) -> Option<Place> {
        let found = self.meaningful().find(|spot| wanted(&spot.token))?;
        Some(self.lines.place(found.span.start))
    }

    fn meaningful(&self) -> impl Iterator<Item = &TokenWithSpan> {
        self.tokens.iter().filter(|spot| !matches!(spot.token, Token::Whitespace(_) | Token::EOF))
    }

    fn check(&self) -> Result<(), SyntaxError> {
        let mut spots = self.meaningful().peekable();
        let Some(first) = spots.peek() else {
            return Err(SyntaxError::whole("the statement is empty"));
        };
        let opens = ["SELECT", "WITH"].iter().any(|word| is_word(&first.token, word));
        if !opens && first.token != Token::LParen {
            let place = self.lines.place(first.span.start);
            let found = quoted(&first.token.to_string());
            return Err(
                place.sentence(format_args!("a statement begins with SELECT or WITH, not with {found}"))
            );
        }
        let (mut open, mut operators, mut selects) = (Vec::new(), 0, 0);
        let (mut tried_twice, mut cases, mut prefixes) = (0_usize, 0_usize, 0_usize);
        let mut before = &Token::EOF;
        while let Some(spot) = spots.next() {
            let place = self.lines.place(spot.span.start);
            let next = spots.peek().map_or(&Token::EOF, |next| &next.token);
            match &spot.token {
                Token::Word(Word { quote_style: Some('"'), .. })
                | Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::Comma
                | Token::Period => {}
                Token::Word(Word { value, quote_style: None, .. }) if is_plain(value) => {}
                Token::Placeholder(name) if is_placeholder(name) => {}
                Token::LParen => {
                    let twice = TRIED_TWICE.iter().any(|word| is_word(before, word));
                    tried_twice += usize::from(twice);
                    open.push((place, twice));
                }
                Token::RParen => match open.pop() {
                    Some((_, twice)) => tried_twice -= usize::from(twice),
                    None => return Err(place.sentence("a bracket closes that was never opened")),
                },
                // The parser reads the types in such brackets as deep as they go.
                Token::Lt if ["ARRAY", "STRUCT", "MAP"].iter().any(|word| is_word(before, word)) => {
                    return Err(place.sentence("lists and other nested types are not supported"));
                }
                Token::Eq
                | Token::Neq
                | Token::Lt
                | Token::Gt
                | Token::LtEq
                | Token::GtEq
                | Token::Plus
                | Token::Minus
                | Token::Mul
                | Token::Div
                | Token::Mod
                | Token::StringConcat
                | Token::DoubleColon => operators += 1,
                Token::SemiColon if *next == Token::EOF => {}
                Token::SemiColon => {
                    return Err(
                        place.sentence("there is one statement in a request: nothing may follow \";\"")
                    );
                }
                other => return Err(refused(other, place)),
            }
            if is_word(&spot.token, "INTERVAL") && !matches!(next, Token::SingleQuotedString(_)) {
                let error = place.sentence("INTERVAL is followed by a text");
                return Err(
                    error.advise("write INTERVAL '1 day', or \"interval\" in double quotes for a name")
                );
            }
            operators += usize::from(JOINING.iter().any(|word| is_word(&spot.token, word)));
            selects += usize::from(is_word(&spot.token, "SELECT"));
            let prefix = matches!(spot.token, Token::Plus | Token::Minus) || is_word(&spot.token, "NOT");
            prefixes = if prefix { prefixes + 1 } else { 0 };
            cases += usize::from(is_word(&spot.token, "CASE"));
            cases -= usize::from(cases > 0 && is_word(&spot.token, "END"));
            if open.len() + prefixes > MAX_STATEMENT_DEPTH || tried_twice + cases > MAX_STATEMENT_CASES {
                return Err(too_deep());
            }
            before = &spot.token;
        }
        if let Some((place, _)) = open.pop() {
            return Err(place.sentence("a bracket is never closed"));
        }
        for (count, most, what) in
            [(operators, MAX_STATEMENT_OPERATORS, "operators"), (selects, MAX_STATEMENT_SELECTS, "SELECTs")]
        {
            if count > most {
                let detail = format!("the statement has {count} {what}, more than the {most} allowed");
                return Err(SyntaxError::whole(detail));
            }
        }
        Ok(())
    }
}

/// The error of a statement nested too deeply.
pub(super) fn too_deep() -> SyntaxError {
    SyntaxError::whole(format!(
        "the statement is nested too deeply: more than {MAX_STATEMENT_DEPTH} levels of brackets, or {MAX_STATEMENT_CASES} of \
         CASE, CAST, EXISTS, TRIM and the like"
    ))
}

/// Whether a token is this word of the language; a name in double quotes never is.
pub(super) fn is_word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

/// Whether a name may stand without quotes.
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Whether it is a dollar and a name.
fn is_placeholder(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(is_parameter)
}

/// Whether a parameter may be called this: a letter or `_`, then letters, digits and `_`, all ASCII, at most 64.
pub(crate) fn is_parameter(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn refused(token: &Token, place: Place) -> SyntaxError {
    let what = match token {
        Token::Placeholder(_) | Token::Colon | Token::AtSign | Token::Question => {
            let error = place.sentence("a placeholder is a dollar and a name");
            return error.advise("write $since");
        }
        Token::Word(Word { quote_style: None, .. }) => {
            "names with other than letters, digits and _ outside of double quotes are"
        }
        Token::Word(_) => "names in other than double quotes are",
        Token::DollarQuotedString(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::DoubleQuotedString(_) => "text in other than single quotes is",
        Token::LBracket | Token::RBracket | Token::LBrace | Token::RBrace => {
            "lists and other nested values are"
        }
        other => {
            return place.at(format_args!("unexpected {}", quoted(&other.to_string())));
        }
    };
    place.sentence(format_args!("{what} not supported in a statement"))
}
