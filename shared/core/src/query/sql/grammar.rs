//! The grammar of an SQL filter: OR of AND of NOT of predicates, as deep as brackets and NOT go and no deeper.

use sqlparser::tokenizer::Token;

use super::{
    refused::{instead_of_end, unexpected},
    words::Spot,
};
use crate::{
    catalog::{Column, ColumnType},
    query::{
        CompareOp, Filter, SyntaxError,
        limits::{MAX_DEPTH, too_deep},
        typing::{Raw, Subject},
    },
};

/// A part of an expression: what it is turns out only by what stands around it.
#[derive(Debug, Clone)]
pub(super) enum Node<'c> {
    /// A column, or a function of one.
    Value(Subject<'c>),
    /// A constant.
    Literal(Raw<'static>),
    /// `NULL`, which may stand after IS alone.
    Null,
    /// A condition.
    Condition(Filter),
}

/// Reads words from left to right.
pub(super) struct Grammar<'c> {
    spots: Vec<Spot>,
    next: usize,
    pub(super) columns: &'c [Column],
}

impl<'c> Grammar<'c> {
    pub(super) fn new(spots: Vec<Spot>, columns: &'c [Column]) -> Self {
        Self { spots, next: 0, columns }
    }

    /// Parses everything.
    pub(super) fn parse(mut self) -> Result<Filter, SyntaxError> {
        if self.peek().token == Token::EOF {
            return Err(SyntaxError::whole("the filter is empty"));
        }
        let at = self.peek().at;
        let node = self.or(0)?;
        if self.peek().token != Token::EOF {
            return Err(instead_of_end(self.peek()));
        }
        into_filter(node, at)
    }

    fn or(&mut self, depth: usize) -> Result<Node<'c>, SyntaxError> {
        self.chain("OR", Filter::Or, depth, Self::and)
    }

    fn and(&mut self, depth: usize) -> Result<Node<'c>, SyntaxError> {
        self.chain("AND", Filter::And, depth, Self::not)
    }

    /// One member, or several with `word` between them.
    fn chain(
        &mut self,
        word: &str,
        join: fn(Vec<Filter>) -> Filter,
        depth: usize,
        member: fn(&mut Self, usize) -> Result<Node<'c>, SyntaxError>,
    ) -> Result<Node<'c>, SyntaxError> {
        let at = self.peek().at;
        let first = member(self, depth)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        let mut members = vec![into_filter(first, at)?];
        while self.take_word(word) {
            let at = self.peek().at;
            let next = member(self, depth)?;
            members.push(into_filter(next, at)?);
        }
        Ok(Node::Condition(join(members)))
    }

    fn not(&mut self, depth: usize) -> Result<Node<'c>, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        if !self.take_word("NOT") {
            return self.predicate(depth);
        }
        let at = self.peek().at;
        let inner = self.not(depth + 1)?;
        Ok(Node::Condition(Filter::Not(Box::new(into_filter(inner, at)?))))
    }

    /// The inside of brackets and the closing one.
    pub(super) fn brackets(&mut self, opened: usize, depth: usize) -> Result<Node<'c>, SyntaxError> {
        let inner = self.or(depth + 1)?;
        match &self.peek().token {
            Token::RParen => {
                self.take();
                Ok(inner)
            }
            Token::EOF => Err(SyntaxError::sentence(opened, "a bracket is never closed")),
            _ => Err(instead_of_end(self.peek())),
        }
    }

    /// The word that comes next; the last one is always [`Token::EOF`].
    pub(super) fn peek(&self) -> &Spot {
        &self.spots[self.next.min(self.spots.len() - 1)]
    }

    /// The word after the next.
    pub(super) fn peek_second(&self) -> &Token {
        &self.spots[(self.next + 1).min(self.spots.len() - 1)].token
    }

    pub(super) fn take(&mut self) -> Spot {
        let spot = self.peek().clone();
        self.next += 1;
        spot
    }

    pub(super) fn is_word(&self, wanted: &str) -> bool {
        is_word(&self.peek().token, wanted)
    }

    pub(super) fn take_word(&mut self, wanted: &str) -> bool {
        let found = self.is_word(wanted);
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, wanted: &Token) -> Result<(), SyntaxError> {
        if self.peek().token != *wanted {
            return Err(unexpected(self.peek()).advise(format_args!("expected \"{wanted}\"")));
        }
        self.take();
        Ok(())
    }

    pub(super) fn expect_word(&mut self, wanted: &str) -> Result<(), SyntaxError> {
        if self.take_word(wanted) {
            return Ok(());
        }
        Err(unexpected(self.peek()).advise(format_args!("expected {wanted}")))
    }
}

/// Whether a token is this word of the language; a name in double quotes never is.
pub(super) fn is_word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

/// The node as a condition: a boolean column is one by itself.
pub(super) fn into_filter(node: Node<'_>, at: usize) -> Result<Filter, SyntaxError> {
    match node {
        Node::Condition(filter) => Ok(filter),
        Node::Value(subject) if *subject.data_type == ColumnType::Boolean => subject
            .compare(CompareOp::Eq, &Raw::Bool(true))
            .map_err(|detail| SyntaxError::sentence(at, detail)),
        Node::Value(subject) => Err(SyntaxError::sentence(
            at,
            format_args!(
                "{} is {} and no condition by itself: compare it with a value",
                subject.label, subject.data_type
            ),
        )),
        Node::Literal(Raw::Bool(true)) => Ok(Filter::And(Vec::new())),
        Node::Literal(Raw::Bool(false)) => Ok(Filter::Or(Vec::new())),
        Node::Literal(raw) => {
            Err(SyntaxError::sentence(at, format_args!("the value {} is no condition by itself", raw.show())))
        }
        Node::Null => Err(SyntaxError::sentence(at, "NULL is no condition by itself")),
    }
}
