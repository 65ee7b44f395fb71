//! Clauses: fields with values, groups in brackets, and what joins them.

use super::value::{Field, parse_value};
use crate::{
    catalog::Column,
    query::{
        Filter, SyntaxError,
        error::quoted,
        limits::{MAX_DEPTH, too_deep},
        lookup,
    },
};

/// What no name of a field holds without a backslash before it.
const SPECIAL: [char; 16] =
    ['+', '^', '`', ':', '{', '}', '"', '\'', '[', ']', '(', ')', '!', '\\', '*', ' '];

/// What ends a word that has no backslash before it.
const ENDS_WORD: [char; 11] = ['^', '`', ':', '{', '}', '"', '\'', '[', ']', '(', ')'];

/// Reads a query from left to right.
pub(super) struct Reader<'t, 'c> {
    text: &'t str,
    /// The next character, in bytes.
    next: usize,
    columns: &'c [Column],
}

/// What stands between a clause and the one before it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Join {
    And,
    Or,
    /// Nothing but the clause's own sign.
    Sign,
}

struct Clause {
    join: Join,
    sign: Option<char>,
    filter: Filter,
    at: usize,
}

impl<'t, 'c> Reader<'t, 'c> {
    pub(super) fn new(text: &'t str, columns: &'c [Column]) -> Self {
        Self { text, next: 0, columns }
    }

    /// Parses everything.
    pub(super) fn parse(mut self) -> Result<Filter, SyntaxError> {
        self.skip_blanks();
        if self.peek().is_none() {
            return Err(SyntaxError::whole("the query is empty"));
        }
        let filter = self.clauses(None, 0)?;
        match self.peek() {
            None => Ok(filter),
            Some(_) => Err(self.error(self.next, "a bracket closes that was never opened")),
        }
    }

    /// Clauses up to a closing bracket or the end; in a field's group, values need no field of their own.
    fn clauses(&mut self, group: Option<Field<'c>>, depth: usize) -> Result<Filter, SyntaxError> {
        let mut clauses = Vec::new();
        loop {
            self.skip_blanks();
            let start = self.next;
            if !clauses.is_empty() && matches!(self.peek(), None | Some(')')) {
                return combine(clauses, self.text);
            }
            let mut join = Join::Sign;
            for (word, named) in [("AND", Join::And), ("OR", Join::Or)] {
                if self.take_word(word) {
                    if clauses.is_empty() {
                        return Err(self.error(start, format!("{word} has no clause before it")));
                    }
                    join = named;
                    self.skip_blanks();
                    break;
                }
            }
            let at = self.next;
            let sign = self.peek().filter(|c| matches!(c, '+' | '-'));
            if sign.is_some() {
                self.next += 1;
            }
            if !clauses.is_empty() && join == Join::Sign && sign.is_none() {
                self.refuse_symbols()?;
                let error = self.error(start, "nothing joins the clause to the one before it");
                return Err(error.advise("write AND or OR between clauses, or + or - before each"));
            }
            if sign == Some('-') && group.is_some() && self.peek().is_some_and(|c| c.is_ascii_digit()) {
                let error =
                    self.error(at, "in a field's group this could be a negative number or a negation");
                return Err(error.advise("put the number in quotes, or write NOT"));
            }
            let filter = self.clause(group.clone(), depth)?;
            clauses.push(Clause { join, sign, filter, at });
        }
    }

    /// One clause after its sign.
    fn clause(&mut self, group: Option<Field<'c>>, depth: usize) -> Result<Filter, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let start = self.next;
        self.refuse_symbols()?;
        match self.peek() {
            None => return Err(self.error(start, "the query ends where a clause is expected")),
            Some(')') => return Err(self.error(start, "a clause is expected before \")\"")),
            Some(c) if c.is_whitespace() => {
                return Err(self.error(start, "a sign belongs directly before its clause, not a blank"));
            }
            Some('+' | '-') => return Err(self.error(start, "a clause has one sign or NOT, not several")),
            Some('(') => return self.brackets(group, depth),
            Some(_) => {}
        }
        if self.take_word("NOT") {
            self.skip_blanks();
            let inner = self.clause(group, depth + 1)?;
            return Ok(Filter::IsNotTrue(Box::new(inner)));
        }
        for word in ["AND", "OR"] {
            if self.take_word(word) {
                return Err(self.error(start, format!("{word} stands where a clause is expected")));
            }
        }
        // Every record: Lucene's two spellings.
        if group.is_none() && self.peek() == Some('*') {
            self.next += if self.rest().starts_with("*:*") { 3 } else { 1 };
            self.end_of_clause()?;
            return Ok(Filter::And(Vec::new()));
        }
        match (self.take_field()?, group) {
            (Some(field), _) => {
                self.skip_blanks();
                if self.peek() == Some('(') {
                    return self.brackets(Some(field), depth);
                }
                self.value(&field)
            }
            (None, Some(field)) => self.value(&field),
            (None, None) => {
                let word = self.rest().split(|c: char| c.is_whitespace() || c == ')').next().unwrap_or("");
                let error = self.error(start, format!("{} names no field", quoted(word)));
                Err(match word {
                    "and" | "or" | "not" => error.advise("operators are written in capitals"),
                    _ => error.advise("write field:value"),
                })
            }
        }
    }

    fn brackets(&mut self, group: Option<Field<'c>>, depth: usize) -> Result<Filter, SyntaxError> {
        let opened = self.next;
        self.next += 1;
        if depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        let filter = self.clauses(group, depth + 1)?;
        if self.peek() != Some(')') {
            return Err(self.error(opened, "a bracket is never closed"));
        }
        self.next += 1;
        self.end_of_clause()?;
        Ok(filter)
    }

    /// The name of a field, its colon, and the column that it means, where there is a colon.
    fn take_field(&mut self) -> Result<Option<Field<'c>>, SyntaxError> {
        let start = self.next;
        let mut name = String::new();
        let mut characters = self.rest().char_indices();
        let mut end = self.rest().len();
        while let Some((index, c)) = characters.next() {
            match c {
                '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
                c if SPECIAL.contains(&c) || c.is_whitespace() => {
                    end = index;
                    break;
                }
                other => name.push(other),
            }
        }
        let after = self.rest().get(end..).unwrap_or("").trim_start();
        if name.is_empty() || !after.starts_with(':') {
            return Ok(None);
        }
        self.next = self.text.len() - after.len() + 1;
        let column = lookup::exact(&name, self.columns)
            .ok_or_else(|| lookup::unknown(&name, self.offset(start), self.columns))?;
        Ok(Some(Field::new(column)))
    }

    fn value(&mut self, field: &Field<'c>) -> Result<Filter, SyntaxError> {
        let start = self.next;
        let length = self.value_length()?;
        let value = self.rest().get(..length).unwrap_or("");
        self.next += length;
        self.end_of_clause()?;
        parse_value(field, value).map_err(|(detail, inside)| self.error(start + inside, detail))
    }

    /// How far the value reaches that comes next, in bytes.
    fn value_length(&self) -> Result<usize, SyntaxError> {
        let rest = self.rest();
        let first = rest.chars().next();
        match first {
            None => Err(self.error(self.next, "the query ends where a value is expected")),
            Some(quote @ ('"' | '\'')) => {
                let end =
                    closing(rest, quote).ok_or_else(|| self.error(self.next, "a quote is never closed"))?;
                // The star of a prefix.
                Ok(end + usize::from(rest[end..].starts_with('*')))
            }
            Some('[' | '{') => rest
                .find([']', '}'])
                .map(|end| end + 1)
                .ok_or_else(|| self.error(self.next, "a range is never closed")),
            Some('>' | '<') => {
                let operator = if rest[1..].starts_with('=') { 2 } else { 1 };
                let bound = rest[operator..].trim_start();
                let blanks = rest.len() - operator - bound.len();
                let end = bound.find(|c: char| c.is_whitespace() || c == ')').unwrap_or(bound.len());
                Ok(operator + blanks + end)
            }
            Some('/') => Err(self
                .error(self.next, "regular expressions are not supported")
                .advise("quote a value that begins with a slash")),
            _ => {
                if let Some(set) =
                    rest.strip_prefix("IN").map(str::trim_start).filter(|set| set.starts_with('['))
                {
                    let open = rest.len() - set.len();
                    return set_length(set)
                        .map(|length| open + length)
                        .ok_or_else(|| self.error(self.next + open, "a set is never closed"));
                }
                let mut characters = rest.char_indices();
                while let Some((index, c)) = characters.next() {
                    if c == '\\' {
                        characters.next();
                    } else if c.is_whitespace() || ENDS_WORD.contains(&c) {
                        if index == 0 {
                            return Err(self.error(self.next, format!("a value is expected, found {c:?}")));
                        }
                        return Ok(index);
                    }
                }
                Ok(rest.len())
            }
        }
    }

    /// Checks that a clause is over.
    fn end_of_clause(&self) -> Result<(), SyntaxError> {
        let (detail, advice) = match self.peek() {
            None | Some(')') => return Ok(()),
            Some(c) if c.is_whitespace() => return Ok(()),
            Some('^') => ("boosts are not supported".into(), "quote a value that holds it"),
            Some('~') => ("slop and fuzzy terms are not supported".into(), "quote a value that holds it"),
            Some(':') => ("a colon inside a value is unescaped".into(), "quote the value"),
            Some(c) => {
                (format!("unexpected {c:?}"), "quote a value that holds it, and put blanks between clauses")
            }
        };
        Err(self.error(self.next, detail).advise(advice))
    }

    fn refuse_symbols(&self) -> Result<(), SyntaxError> {
        for (symbol, word) in [("&&", "AND"), ("||", "OR"), ("!", "NOT")] {
            if self.rest().starts_with(symbol) {
                let error = self.error(self.next, format!("{symbol} is not supported"));
                return Err(error.advise(format_args!("write {word}")));
            }
        }
        Ok(())
    }

    /// Takes an operator in capitals, but no field of that name.
    fn take_word(&mut self, word: &str) -> bool {
        let Some(after) = self.rest().strip_prefix(word) else { return false };
        let ends = after.chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')'));
        let found = ends && !after.trim_start().starts_with(':');
        if found {
            self.next += word.len();
        }
        found
    }

    fn skip_blanks(&mut self) {
        self.next = self.text.len() - self.rest().trim_start().len();
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.next..).unwrap_or("")
    }

    fn offset(&self, byte: usize) -> usize {
        self.text.get(..byte).unwrap_or(self.text).chars().count()
    }

    fn error(&self, byte: usize, detail: impl std::fmt::Display) -> SyntaxError {
        SyntaxError::sentence(self.offset(byte), detail)
    }
}

/// One filter of clauses and what joins them: AND before OR; a sign joins like AND.
fn combine(clauses: Vec<Clause>, text: &str) -> Result<Filter, SyntaxError> {
    let error = |clause: &Clause, detail: &str, advice: &str| {
        let at = text.get(..clause.at).unwrap_or(text).chars().count();
        Err(SyntaxError::sentence(at, detail).advise(advice))
    };
    let joined = clauses.get(1..).unwrap_or(&[]);
    let by_sign = joined.iter().find(|clause| clause.join == Join::Sign);
    if joined.iter().any(|clause| clause.join == Join::Or) {
        if let Some(clause) = by_sign {
            return error(clause, "OR stands beside a clause joined by its sign alone", "use brackets");
        }
        if let Some(clause) = clauses.iter().find(|clause| clause.sign == Some('+')) {
            return error(clause, "+ has no meaning beside OR", "use AND or brackets");
        }
    }
    let first_is_optional = clauses.first().is_some_and(|clause| clause.sign.is_none())
        && joined.first().is_some_and(|clause| clause.join == Join::Sign);
    if let Some(clause) = joined.iter().find(|clause| clause.sign == Some('+') && clause.join == Join::Sign)
        && first_is_optional
    {
        return error(
            clause,
            "a clause without a sign decides nothing beside +",
            "write + before each or AND between",
        );
    }
    let mut groups = vec![Vec::new()];
    for clause in clauses {
        let filter = match clause.sign {
            Some('-') => Filter::IsNotTrue(Box::new(clause.filter)),
            _ => clause.filter,
        };
        match groups.last_mut() {
            Some(group) if clause.join != Join::Or => group.push(filter),
            _ => groups.push(vec![filter]),
        }
    }
    Ok(Filter::Or(groups.into_iter().map(Filter::And).collect()))
}

/// Where text in quotes ends, after the closing quote.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    while let Some((index, c)) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            c if c == quote => return Some(index + 1),
            _ => {}
        }
    }
    None
}

/// Where a set ends, after the closing bracket.
fn set_length(set: &str) -> Option<usize> {
    let mut index = 1;
    while let Some(c) = set.get(index..)?.chars().next() {
        index += match c {
            ']' => return Some(index + 1),
            '"' | '\'' => closing(&set[index..], c)?,
            '\\' => 1 + set[index + 1..].chars().next().map_or(0, char::len_utf8),
            other => other.len_utf8(),
        };
    }
    None
}
