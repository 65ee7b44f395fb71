//! The value of a field: a word, a phrase, a prefix, a range, a set, or a star for any.

use std::borrow::Cow;

use tantivy_query_grammar::{
    Delimiter, UserInputAst, UserInputBound, UserInputLeaf, UserInputLiteral, parse_query,
    parse_query_lenient,
};

use crate::{
    catalog::{Column, ColumnType},
    query::{
        CompareOp, Filter, Operand, TextMatch,
        error::quoted,
        limits::check_members,
        typing::{Raw, Subject},
    },
};

/// A column that a query asks about.
#[derive(Debug, Clone)]
pub(super) struct Field<'c> {
    column: &'c Column,
    subject: Subject<'c>,
}

/// A sentence and where in the value it applies, in bytes.
type Misfit = (String, usize);

impl<'c> Field<'c> {
    pub(super) fn new(column: &'c Column) -> Self {
        let (operand, data_type, of) = match &column.data_type {
            ColumnType::List(element) => (Operand::Element, &**element, "an element of "),
            other => (Operand::Column(column.name.clone()), other, ""),
        };
        let label = format!("{of}column {}", quoted(&column.name));
        Self { column, subject: Subject { operand, data_type: Cow::Borrowed(data_type), label } }
    }

    /// The condition on the column; on a list, on any of its elements.
    fn any(&self, condition: Filter) -> Filter {
        match self.subject.operand {
            Operand::Element => {
                Filter::AnyElement { column: self.column.name.clone(), condition: Box::new(condition) }
            }
            _ => condition,
        }
    }

    fn exists(&self) -> Filter {
        Filter::Not(Box::new(Filter::IsNull(Operand::Column(self.column.name.clone()))))
    }
}

/// The condition that the field has the value, given as it is written.
pub(super) fn parse_value(field: &Field<'_>, text: &str) -> Result<Filter, Misfit> {
    if matches!(text, "AND" | "OR" | "NOT" | "IN") {
        return Err((format!("{text} is an operator: put it in quotes as a value"), 0));
    }
    let at_start = |detail| (detail, 0);
    // With a field before it, or the sign of a number would negate a clause.
    let clause = format!("f:{text}");
    let leaf = match parse_query(&clause) {
        Ok(UserInputAst::Leaf(leaf)) => *leaf,
        Ok(_) => return Err((format!("{} is no single value", quoted(text)), 0)),
        Err(_) => return Err(what_is_wrong(text, &clause)),
    };
    match leaf {
        UserInputLeaf::Literal(UserInputLiteral { phrase, delimiter, slop, prefix, .. }) => {
            if slop != 0 {
                return Err(("slop is not supported".into(), 0));
            }
            let (phrase, prefix) = match delimiter {
                Delimiter::None => word(text)?,
                _ => (phrase, prefix),
            };
            if prefix {
                return field
                    .subject
                    .text(TextMatch::Prefix, phrase, false)
                    .map(|f| field.any(f))
                    .map_err(at_start);
            }
            let raw = Raw::Untyped(phrase.into());
            field.subject.compare(CompareOp::Eq, &raw).map(|f| field.any(f)).map_err(at_start)
        }
        UserInputLeaf::Range { lower, upper, .. } => {
            if let Some(place) = text.find(['\\', '"', '\'']) {
                return Err(("bounds are taken as they are, without quotes and backslashes".into(), place));
            }
            let bounds = [(lower, CompareOp::Ge, CompareOp::Gt), (upper, CompareOp::Le, CompareOp::Lt)];
            let mut conditions = Vec::new();
            for (bound, inclusive, exclusive) in bounds {
                let (op, value) = match bound {
                    UserInputBound::Inclusive(value) => (inclusive, value),
                    UserInputBound::Exclusive(value) => (exclusive, value),
                    UserInputBound::Unbounded => continue,
                };
                if value == "*" {
                    return Err(("a star is no bound after a comparison".into(), 0));
                }
                conditions.push(field.subject.compare(op, &Raw::Untyped(value.into())).map_err(at_start)?);
            }
            if conditions.is_empty() {
                return Ok(field.exists());
            }
            Ok(field.any(Filter::And(conditions)))
        }
        UserInputLeaf::Set { elements, .. } => {
            check_members(elements.len()).map_err(|error| at_start(error.detail))?;
            if elements.is_empty() {
                return Err(("a set needs at least one value".into(), 0));
            }
            if let Some(place) =
                unquoted(text).find(|(_, c)| matches!(c, '\\' | '*' | '?')).map(|(place, _)| place)
            {
                return Err((
                    "values of a set are taken as they are: quote one that holds a backslash, a star or a question mark".into(),
                    place,
                ));
            }
            let raws: Vec<Raw<'_>> = elements.into_iter().map(|value| Raw::Untyped(value.into())).collect();
            field.subject.one_of(&raws).map(|f| field.any(f)).map_err(at_start)
        }
        UserInputLeaf::All | UserInputLeaf::Exists { .. } => Ok(field.exists()),
        UserInputLeaf::Regex { .. } => Err(("regular expressions are not supported".into(), 0)),
    }
}

/// What a word means, a backslash taking the next character as it is, and whether it is a prefix.
///
/// The library's own reading keeps backslashes before characters that it sees no need to escape, `*` among them.
fn word(text: &str) -> Result<(String, bool), Misfit> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.char_indices();
    while let Some((place, c)) = characters.next() {
        match c {
            '\\' => plain.extend(characters.next().map(|(_, escaped)| escaped)),
            '*' if characters.clone().next().is_none() && place > 0 => return Ok((plain, true)),
            '*' | '?' => {
                let detail = "wildcards other than one star at the end are not supported, but with a backslash before it a wildcard is itself";
                return Err((detail.into(), place));
            }
            '~' if characters.as_str().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
                return Err(("fuzzy terms are not supported".into(), place));
            }
            other => plain.push(other),
        }
    }
    Ok((plain, false))
}

/// The characters outside quotes.
fn unquoted(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut open = None;
    let mut escaped = false;
    text.char_indices().filter(move |(_, c)| match open {
        Some(quote) => {
            if escaped {
                escaped = false;
            } else if *c == '\\' {
                escaped = true;
            } else if *c == quote {
                open = None;
            }
            false
        }
        None => {
            if matches!(c, '"' | '\'') {
                open = Some(*c);
            }
            true
        }
    })
}

/// Why the grammar refuses a value. Only the lenient parser knows the place.
fn what_is_wrong(text: &str, clause: &str) -> Misfit {
    if text.starts_with('-') {
        return ("a value that begins with - and is no plain number must be quoted".into(), 0);
    }
    let (_, errors) = parse_query_lenient(clause);
    let first = errors.into_iter().next();
    let (place, message) = first.map_or((0, "this is no value".into()), |error| {
        (error.pos.saturating_sub(2).min(text.len()), error.message)
    });
    let kind = match text.chars().next() {
        Some('[' | '{' | '<' | '>') => "a range is written [a TO b], {a TO b}, >a or <=b, without quotes",
        Some('I') => "a set is written IN [a b \"c d\"]",
        _ => "a value is a word, a phrase in quotes, a range or a set",
    };
    (format!("{kind}, but {} cannot be read: {message}", quoted(text)), place)
}
