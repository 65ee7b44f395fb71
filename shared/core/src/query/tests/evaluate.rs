//! A small three-valued evaluator: what a filter means, without an engine.

use std::{cmp::Ordering, collections::HashMap};

use crate::query::{CompareOp, Filter, Function, Literal, Operand, TextMatch};

/// A value of a row; columns that the row does not have are null.
#[derive(Debug, Clone)]
pub(super) enum Value {
    One(Literal),
    Many(Vec<Option<Literal>>),
}

pub(super) type Row = HashMap<String, Value>;

pub(super) fn filter(of: &Filter, row: &Row) -> Option<bool> {
    evaluate(of, row, None)
}

#[expect(clippy::manual_try_fold, reason = "unknown is a value here, not an early end")]
fn evaluate(of: &Filter, row: &Row, element: Option<&Literal>) -> Option<bool> {
    let value = |operand: &Operand| value_of(operand, row, element);
    match of {
        Filter::And(members) => {
            members.iter().fold(Some(true), |all, member| match (all, evaluate(member, row, element)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            })
        }
        Filter::Or(members) => {
            members.iter().fold(Some(false), |any, member| match (any, evaluate(member, row, element)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            })
        }
        Filter::Not(inner) => evaluate(inner, row, element).map(|truth| !truth),
        Filter::IsNotTrue(inner) => Some(evaluate(inner, row, element) != Some(true)),
        Filter::Compare { left, op, right } => value(left).map(|left| compare(&left, *op, right)),
        Filter::CompareOperands { left, op, right } => Some(compare(&value(left)?, *op, &value(right)?)),
        Filter::In { operand, values } => {
            value(operand).map(|value| values.iter().any(|one| compare(&value, CompareOp::Eq, one)))
        }
        Filter::Text { operand, matches, pattern, ignore_case } => {
            let Literal::Text(mut text) = value(operand)? else { panic!("no text") };
            let mut pattern = pattern.clone();
            if *ignore_case {
                (text, pattern) = (text.to_lowercase(), pattern.to_lowercase());
            }
            Some(match matches {
                TextMatch::Like => {
                    let (text, pattern): (Vec<char>, Vec<char>) =
                        (text.chars().collect(), pattern.chars().collect());
                    like(&text, &pattern)
                }
                TextMatch::Prefix => text.starts_with(&pattern),
                TextMatch::Contains => text.contains(&pattern),
            })
        }
        Filter::IsNull(operand) => Some(match operand.column() {
            Some(column) => !row.contains_key(column),
            None => element.is_none(),
        }),
        Filter::AnyElement { column, condition } => match row.get(column)? {
            Value::Many(elements) => {
                Some(elements.iter().any(|element| evaluate(condition, row, element.as_ref()) == Some(true)))
            }
            Value::One(_) => panic!("{column} is no list"),
        },
    }
}

fn value_of(operand: &Operand, row: &Row, element: Option<&Literal>) -> Option<Literal> {
    let one = |column: &String| match row.get(column)? {
        Value::One(literal) => Some(literal.clone()),
        Value::Many(_) => panic!("{column} is a list"),
    };
    match operand {
        Operand::Column(column) => one(column),
        Operand::Element => element.cloned(),
        Operand::Call(function, column) => Some(match (function, one(column)?) {
            (Function::Lower, Literal::Text(text)) => Literal::Text(text.to_lowercase()),
            (Function::Upper, Literal::Text(text)) => Literal::Text(text.to_uppercase()),
            (Function::Length, Literal::Text(text)) => Literal::Int(text.chars().count() as i64),
            (Function::Abs, Literal::Int(value)) => Literal::Int(value.abs()),
            (function, value) => panic!("{function:?} of {value:?}"),
        }),
    }
}

fn compare(left: &Literal, op: CompareOp, right: &Literal) -> bool {
    let order = match (left, right) {
        (Literal::Float(left), Literal::Float(right)) => left.total_cmp(right),
        _ => left.partial_cmp(right).unwrap(),
    };
    match op {
        CompareOp::Eq => order == Ordering::Equal,
        CompareOp::Ne => order != Ordering::Equal,
        CompareOp::Lt => order == Ordering::Less,
        CompareOp::Le => order != Ordering::Greater,
        CompareOp::Gt => order == Ordering::Greater,
        CompareOp::Ge => order != Ordering::Less,
    }
}

fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|start| like(&text[start..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        ['\\', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && like(&text[1..], rest),
    }
}
