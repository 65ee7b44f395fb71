//! Functions: each of one column.

use std::borrow::Cow;

use sqlparser::tokenizer::{Token, Word};

use super::{
    grammar::{Grammar, Node},
    refused::{construct, unsupported},
};
use crate::{
    catalog::ColumnType,
    query::{Function, Operand, SyntaxError, error::quoted, nearest, typing::Subject},
};

impl<'c> Grammar<'c> {
    /// A name, a bracket, a column and a bracket.
    pub(super) fn call(&mut self, word: &Word, at: usize) -> Result<Node<'c>, SyntaxError> {
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
            return Err(SyntaxError::sentence(
                argument.at,
                format_args!("{name}() takes one column and nothing else"),
            ));
        };
        self.take();
        let result = result_type(function, &data_type).ok_or_else(|| {
            SyntaxError::sentence(
                argument.at,
                format_args!("{name}() takes {}, but {label} is {data_type}", takes(function)),
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
