//! Predicates: a column or function against values, lists, patterns, null, or another column.

use std::borrow::Cow;

use sqlparser::tokenizer::{Token, Word};

use super::{
    grammar::{Grammar, Node, into_filter},
    refused::{construct, instead_of_value, unexpected, unsupported},
};
use crate::{
    catalog::ColumnType,
    query::{
        CompareOp, Filter, Function, Operand, SyntaxError, TextMatch,
        error::quoted,
        limits::check_members,
        lookup, nearest,
        typing::{Raw, Subject},
    },
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
            let error = SyntaxError::at(self.peek().at, "a condition cannot be compared further,");
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
                _ => Err(SyntaxError::at(
                    at,
                    "only a column or function can be tested for null: not the condition or value",
                )),
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
            // The depth is used up: members are constants, without brackets.
            let (raw, at) = self.literal(usize::MAX - 1)?;
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
        let (raw, raw_at) = self.literal(usize::MAX - 1)?;
        let Raw::Text(pattern) = raw else {
            return Err(SyntaxError::at(
                raw_at,
                "after LIKE comes a pattern in single quotes: it is missing",
            ));
        };
        if self.take_word("ESCAPE") {
            let (escape, escape_at) = self.literal(usize::MAX - 1)?;
            if escape != Raw::Text(Cow::Borrowed("\\")) {
                return Err(SyntaxError::at(
                    escape_at,
                    "the escape character of patterns is always \"\\\": no other",
                ));
            }
        }
        let backslashes = pattern.chars().rev().take_while(|c| *c == '\\').count();
        if backslashes % 2 == 1 {
            return Err(SyntaxError::at(
                raw_at,
                "a pattern cannot end in a single backslash, as does the one",
            ));
        }
        subject.text(TextMatch::Like, pattern.into_owned(), ignore_case).map_err(misfit(at))
    }

    /// A constant and its place.
    fn literal(&mut self, depth: usize) -> Result<(Raw<'static>, usize), SyntaxError> {
        let at = self.peek().at;
        if depth == usize::MAX - 1 && self.peek().token == Token::LParen {
            return Err(SyntaxError::at(at, "expected a value, found a bracket"));
        }
        match self.value(depth)? {
            Node::Literal(raw) => Ok((raw, at)),
            Node::Null => Err(null_compared(at)),
            Node::Value(subject) => {
                Err(SyntaxError::at(at, format_args!("expected a value, found {}", subject.label)))
            }
            Node::Condition(_) => Err(SyntaxError::at(at, "expected a value, found a condition")),
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

    fn word(&mut self, word: &Word, at: usize) -> Result<Node<'c>, SyntaxError> {
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

    fn call(&mut self, word: &Word, at: usize) -> Result<Node<'c>, SyntaxError> {
        let name = word.value.to_ascii_lowercase();
        let names = Function::ALL.map(Function::as_str);
        let Some(function) = Function::ALL.into_iter().find(|function| function.as_str() == name) else {
            if let Some(name) = construct(&word.value).filter(|_| word.quote_style.is_none()) {
                return Err(unsupported(name, at));
            }
            let error = SyntaxError::at(at, format_args!("unknown function {}", quoted(&word.value)));
            return Err(match nearest(&name, names) {
                Some(near) => error.advise(format_args!("did you mean {}?", quoted(near))),
                None => error.advise(format_args!("there are {}", names.join(", "))),
            });
        };
        self.take();
        self.take();
        let argument = self.peek().clone();
        let column = match &argument.token {
            Token::Word(word)
                if !matches!(self.peek_second(), Token::LParen | Token::SingleQuotedString(_)) =>
            {
                self.word(word, argument.at)?
            }
            _ => Node::Null,
        };
        let (Node::Value(Subject { operand: Operand::Column(column), data_type, label }), Token::RParen) =
            (column, &self.peek().token)
        else {
            return Err(SyntaxError::at(
                argument.at,
                format_args!("{name}() takes one column: something else is"),
            ));
        };
        self.take();
        let result = result_type(function, &data_type).ok_or_else(|| {
            SyntaxError::at(
                argument.at,
                format_args!("{name}() takes {}, but {label} is {data_type},", takes(function)),
            )
        })?;
        Ok(Node::Value(Subject {
            label: format!("{name}({})", quoted(&column)),
            operand: Operand::Call(function, column),
            data_type: Cow::Owned(result),
        }))
    }
}

/// What a function of such a column gives; `None` where it takes no such column.
fn result_type(function: Function, column: &ColumnType) -> Option<ColumnType> {
    let int64 = ColumnType::Int { bits: 64, signed: true };
    match (function, column) {
        (Function::Lower | Function::Upper, ColumnType::Text) => Some(ColumnType::Text),
        (Function::Length, ColumnType::Text) => Some(int64),
        (Function::Abs, ColumnType::Int { .. } | ColumnType::Float { .. } | ColumnType::Decimal { .. }) => {
            Some(column.clone())
        }
        (
            Function::Year | Function::Month | Function::Day,
            ColumnType::Date | ColumnType::Timestamp { .. },
        ) => Some(int64),
        _ => None,
    }
}

fn takes(function: Function) -> &'static str {
    match function {
        Function::Lower | Function::Upper | Function::Length => "text",
        Function::Abs => "a number",
        Function::Year | Function::Month | Function::Day => "a date or timestamp",
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
            Err(SyntaxError::at(op_at, "a condition cannot be compared,")
                .advise("join conditions with AND or OR"))
        }
        (Node::Literal(_), Node::Literal(_)) => {
            Err(SyntaxError::at(op_at, "two values are compared, but no column,"))
        }
        (Node::Value(subject), Node::Literal(raw)) => subject.compare(op, &raw).map_err(misfit(right_at)),
        (Node::Literal(raw), Node::Value(subject)) => {
            subject.compare(op.flip(), &raw).map_err(misfit(left_at))
        }
        (Node::Value(left), Node::Value(right)) => {
            if !left.comparable(&right) {
                return Err(SyntaxError::at(
                    op_at,
                    format_args!(
                        "{} is {} and {} is {}, which do not compare,",
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
        _ => Err(SyntaxError::at(
            at,
            format_args!("before {word} comes a column or function: something else is"),
        )),
    }
}

fn null_compared(at: usize) -> SyntaxError {
    SyntaxError::at(at, "nothing compares with NULL, found").advise("write IS NULL or IS NOT NULL")
}

fn misfit(at: usize) -> impl Fn(String) -> SyntaxError {
    move |detail| SyntaxError::at(at, detail)
}
