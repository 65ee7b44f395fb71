//! Predicates: a column or function against values, lists, patterns, null, or another column.

use std::borrow::Cow;

use sqlparser::tokenizer::{Token, Word};

use super::{
    grammar::{Grammar, Node, into_filter},
    refused::{construct, instead_of_value, unexpected, unsupported},
};
use crate::query::{
    CompareOp, Filter, Operand, SyntaxError, TextMatch,
    error::quoted,
    limits::check_members,
    lookup,
    typing::{Raw, Subject},
};

/// Words that never are a column without double quotes.
const RESERVED: [&str; 13] = [
    "AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "ILIKE", "IS", "NULL", "TRUE", "FALSE", "ESCAPE", "DISTINCT",
];

impl<'c> Grammar<'c> {
    /// A value and at most one test of it, and after that at most one `IS [NOT] TRUE`.
    pub(super) fn predicate(&mut self, depth: usize) -> Result<Node<'c>, SyntaxError> {
        let at = self.peek().at;
        let left = self.value(depth)?;
        let mut node = self.test(left, at, depth)?;
        if matches!(node, Node::Condition(_)) && self.is_word("IS") {
            node = Node::Condition(self.is(node, at, depth)?);
        }
        if compare_op(&self.peek().token).is_some() {
            let error = SyntaxError::sentence(self.peek().at, "a condition cannot be compared further");
            return Err(error.advise("join comparisons with AND"));
        }
        Ok(node)
    }

    fn test(&mut self, left: Node<'c>, at: usize, depth: usize) -> Result<Node<'c>, SyntaxError> {
        let op_at = self.peek().at;
        if let Some(op) = compare_op(&self.peek().token) {
            self.take();
            let right_at = self.peek().at;
            if ["ANY", "ALL", "SOME"].iter().any(|word| self.is_word(word))
                && *self.peek_second() == Token::LParen
            {
                return Err(unsupported("ANY, ALL and SOME are", right_at));
            }
            let right = self.value(depth)?;
            return compare(left, at, op, right, right_at, op_at).map(Node::Condition);
        }
        if self.is_word("IS") {
            return self.is(left, at, depth).map(Node::Condition);
        }
        let negated = self.is_word("NOT");
        let word = if negated { self.peek_second() } else { &self.peek().token };
        let Token::Word(Word { value, quote_style: None, .. }) = word else { return Ok(left) };
        let word = value.to_ascii_uppercase();
        if !matches!(word.as_str(), "IN" | "BETWEEN" | "LIKE" | "ILIKE") {
            return Ok(left);
        }
        self.take();
        if negated {
            self.take();
        }
        let subject = subject(left, at, &word)?;
        let filter = match word.as_str() {
            "IN" => self.members(&subject)?,
            "BETWEEN" => {
                let (low, low_at) = self.literal(depth)?;
                self.expect_word("AND")?;
                let (high, high_at) = self.literal(depth)?;
                Filter::And(vec![
                    subject.compare(CompareOp::Ge, &low).map_err(misfit(low_at))?,
                    subject.compare(CompareOp::Le, &high).map_err(misfit(high_at))?,
                ])
            }
            _ => self.pattern(&subject, at, word == "ILIKE")?,
        };
        Ok(Node::Condition(if negated { Filter::Not(Box::new(filter)) } else { filter }))
    }

    /// `IS [NOT] NULL | TRUE | FALSE | DISTINCT FROM value`.
    fn is(&mut self, left: Node<'c>, at: usize, depth: usize) -> Result<Filter, SyntaxError> {
        self.take();
        let negated = self.take_word("NOT");
        let negate = |filter| if negated { Filter::Not(Box::new(filter)) } else { filter };
        let what = self.peek().clone();
        if self.take_word("NULL") {
            return match left {
                Node::Value(subject) => Ok(negate(Filter::IsNull(subject.operand))),
                _ => Err(SyntaxError::sentence(at, "only a column or function can be tested for null")),
            };
        }
        for (word, wanted) in [("TRUE", true), ("FALSE", false)] {
            if self.take_word(word) {
                let filter = into_filter(left, at)?;
                let filter = if wanted { filter } else { Filter::Not(Box::new(filter)) };
                let not_so = Filter::IsNotTrue(Box::new(filter));
                return Ok(if negated { not_so } else { Filter::Not(Box::new(not_so)) });
            }
        }
        if self.take_word("DISTINCT") {
            self.expect_word("FROM")?;
            let right_at = self.peek().at;
            let right = self.value(depth)?;
            return Ok(if negated {
                same(left, at, right, right_at)?
            } else {
                Filter::Not(Box::new(same(left, at, right, right_at)?))
            });
        }
        Err(unexpected(&what).advise("after IS comes [NOT] NULL, TRUE, FALSE or DISTINCT FROM"))
    }

    fn members(&mut self, subject: &Subject<'c>) -> Result<Filter, SyntaxError> {
        self.expect(&Token::LParen)?;
        if let Token::Word(word) = &self.peek().token
            && word.quote_style.is_none()
            && matches!(word.value.to_ascii_uppercase().as_str(), "SELECT" | "WITH" | "VALUES")
        {
            return Err(unsupported("sub-queries are", self.peek().at));
        }
        let mut values = Vec::new();
        loop {
            let (raw, at) = self.constant()?;
            if values.is_empty() {
                subject.one_of([&raw]).map_err(misfit(at))?;
            }
            values.push((raw, at));
            if self.peek().token != Token::Comma {
                break;
            }
            self.take();
        }
        self.expect(&Token::RParen)?;
        check_members(values.len())?;
        subject.one_of(values.iter().map(|(raw, _)| raw)).map_err(|detail| {
            // The whole list failed: find whose fault it was.
            let culprit = values.iter().find(|(raw, _)| subject.one_of([raw]).is_err());
            misfit(culprit.map_or(0, |(_, at)| *at))(detail)
        })
    }

    fn pattern(
        &mut self,
        subject: &Subject<'c>,
        at: usize,
        ignore_case: bool,
    ) -> Result<Filter, SyntaxError> {
        let (raw, raw_at) = self.constant()?;
        let Raw::Text(pattern) = raw else {
            return Err(SyntaxError::sentence(raw_at, "after LIKE comes a pattern in single quotes"));
        };
        if self.take_word("ESCAPE") {
            let (escape, escape_at) = self.constant()?;
            if escape != Raw::Text(Cow::Borrowed("\\")) {
                return Err(SyntaxError::sentence(
                    escape_at,
                    "the escape character of patterns is always a backslash",
                ));
            }
        }
        let backslashes = pattern.chars().rev().take_while(|c| *c == '\\').count();
        if backslashes % 2 == 1 {
            return Err(SyntaxError::sentence(raw_at, "a pattern cannot end in a single backslash"));
        }
        subject.text(TextMatch::Like, pattern.into_owned(), ignore_case).map_err(misfit(at))
    }

    /// A constant without brackets around it, and its place.
    fn constant(&mut self) -> Result<(Raw<'static>, usize), SyntaxError> {
        if self.peek().token == Token::LParen {
            return Err(SyntaxError::sentence(self.peek().at, "expected a value, found a bracket"));
        }
        self.literal(0)
    }

    /// A constant and its place.
    fn literal(&mut self, depth: usize) -> Result<(Raw<'static>, usize), SyntaxError> {
        let at = self.peek().at;
        match self.value(depth)? {
            Node::Literal(raw) => Ok((raw, at)),
            Node::Null => Err(null_compared(at)),
            Node::Value(subject) => {
                Err(SyntaxError::sentence(at, format_args!("expected a value, found {}", subject.label)))
            }
            Node::Condition(_) => Err(SyntaxError::sentence(at, "expected a value, found a condition")),
        }
    }

    /// A column, a function, a constant, or anything in brackets.
    fn value(&mut self, depth: usize) -> Result<Node<'c>, SyntaxError> {
        let spot = self.peek().clone();
        match spot.token {
            Token::LParen => {
                self.take();
                self.brackets(spot.at, depth)
            }
            Token::Number(text, false) => {
                self.take();
                Ok(Node::Literal(Raw::Number(text.into())))
            }
            Token::Minus | Token::Plus if matches!(self.peek_second(), Token::Number(_, false)) => {
                self.take();
                let Token::Number(text, _) = self.take().token else { return Err(unexpected(self.peek())) };
                let sign = if spot.token == Token::Minus { "-" } else { "" };
                Ok(Node::Literal(Raw::Number(format!("{sign}{text}").into())))
            }
            Token::SingleQuotedString(text) => {
                self.take();
                Ok(Node::Literal(Raw::Text(text.into())))
            }
            Token::Word(ref word) => self.word(word, spot.at),
            _ => Err(instead_of_value(&spot)),
        }
    }

    pub(super) fn word(&mut self, word: &Word, at: usize) -> Result<Node<'c>, SyntaxError> {
        let bare = word.quote_style.is_none();
        let upper = word.value.to_ascii_uppercase();
        if bare && RESERVED.contains(&upper.as_str()) {
            let node = match upper.as_str() {
                "TRUE" => Node::Literal(Raw::Bool(true)),
                "FALSE" => Node::Literal(Raw::Bool(false)),
                "NULL" => Node::Null,
                _ => return Err(instead_of_value(self.peek())),
            };
            self.take();
            return Ok(node);
        }
        if bare && let Token::SingleQuotedString(text) = self.peek_second() {
            let text = Cow::Owned(text.clone());
            let raw = match upper.as_str() {
                "DATE" => Raw::Date(text),
                "TIME" => Raw::Time(text),
                "TIMESTAMP" => Raw::Timestamp(text),
                _ => {
                    return Err(match construct(&word.value) {
                        Some(name) => unsupported(name, at),
                        None => {
                            SyntaxError::at(at, format_args!("unknown kind of value {}", quoted(&word.value)))
                                .advise("there are DATE, TIME and TIMESTAMP")
                        }
                    });
                }
            };
            self.take();
            self.take();
            return Ok(Node::Literal(raw));
        }
        if *self.peek_second() == Token::LParen {
            return self.call(word, at);
        }
        if *self.peek_second() == Token::Period {
            return Err(SyntaxError::at(
                at,
                format_args!("qualified names are not supported: {}", quoted(&word.value)),
            )
            .advise("write the column alone, in double quotes if its name has a point"));
        }
        let column = if bare {
            lookup::any_case(&word.value, at, self.columns).map_err(|error| match construct(&word.value) {
                Some(name) => unsupported(name, at),
                None => error,
            })?
        } else {
            lookup::exact(&word.value, self.columns)
                .ok_or_else(|| lookup::unknown(&word.value, at, self.columns))?
        };
        self.take();
        Ok(Node::Value(Subject {
            operand: Operand::Column(column.name.clone()),
            data_type: Cow::Borrowed(&column.data_type),
            label: format!("column {}", quoted(&column.name)),
        }))
    }
}

fn compare_op(token: &Token) -> Option<CompareOp> {
    Some(match token {
        Token::Eq => CompareOp::Eq,
        Token::Neq => CompareOp::Ne,
        Token::Lt => CompareOp::Lt,
        Token::LtEq => CompareOp::Le,
        Token::Gt => CompareOp::Gt,
        Token::GtEq => CompareOp::Ge,
        _ => return None,
    })
}

fn compare(
    left: Node<'_>,
    left_at: usize,
    op: CompareOp,
    right: Node<'_>,
    right_at: usize,
    op_at: usize,
) -> Result<Filter, SyntaxError> {
    match (left, right) {
        (Node::Null, _) => Err(null_compared(left_at)),
        (_, Node::Null) => Err(null_compared(right_at)),
        (Node::Condition(_), _) | (_, Node::Condition(_)) => {
            Err(SyntaxError::sentence(op_at, "a condition cannot be compared")
                .advise("join conditions with AND or OR"))
        }
        (Node::Literal(_), Node::Literal(_)) => {
            Err(SyntaxError::sentence(op_at, "two values are compared, but no column"))
        }
        (Node::Value(subject), Node::Literal(raw)) => subject.compare(op, &raw).map_err(misfit(right_at)),
        (Node::Literal(raw), Node::Value(subject)) => {
            subject.compare(op.flip(), &raw).map_err(misfit(left_at))
        }
        (Node::Value(left), Node::Value(right)) => {
            if !left.comparable(&right) {
                return Err(SyntaxError::sentence(
                    op_at,
                    format_args!(
                        "{} is {} and {} is {}, which do not compare",
                        left.label, left.data_type, right.label, right.data_type
                    ),
                ));
            }
            Ok(Filter::CompareOperands { left: left.operand, op, right: right.operand })
        }
    }
}

/// Whether two values are the same, null being the same as null: never unknown.
fn same(left: Node<'_>, left_at: usize, right: Node<'_>, right_at: usize) -> Result<Filter, SyntaxError> {
    let both = match (&left, &right) {
        (Node::Value(subject), Node::Null) | (Node::Null, Node::Value(subject)) => {
            return Ok(Filter::IsNull(subject.operand.clone()));
        }
        (Node::Value(left), Node::Value(right)) => Some([left.operand.clone(), right.operand.clone()]),
        _ => None,
    };
    let equal = compare(left, left_at, CompareOp::Eq, right, right_at, left_at)?;
    let equal = Filter::Not(Box::new(Filter::IsNotTrue(Box::new(equal))));
    Ok(match both {
        Some(both) => Filter::Or(vec![equal, Filter::And(both.map(Filter::IsNull).into())]),
        None => equal,
    })
}

fn subject<'c>(node: Node<'c>, at: usize, word: &str) -> Result<Subject<'c>, SyntaxError> {
    match node {
        Node::Value(subject) => Ok(subject),
        _ => Err(SyntaxError::sentence(at, format_args!("before {word} comes a column or function"))),
    }
}

fn null_compared(at: usize) -> SyntaxError {
    SyntaxError::sentence(at, "nothing compares with NULL").advise("write IS NULL or IS NOT NULL")
}

fn misfit(at: usize) -> impl Fn(String) -> SyntaxError {
    move |detail| SyntaxError::sentence(at, detail)
}
