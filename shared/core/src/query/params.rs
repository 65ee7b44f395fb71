//! Query parameters: one column, one operator and one value each.

use std::borrow::Cow;

use super::{
    CompareOp, Filter, Operand, SyntaxError, TextMatch, check_limits,
    error::quoted,
    limits::{check_members, check_text},
    lookup, nearest,
    typing::{Raw, Subject},
};
use crate::catalog::{Column, ColumnType};

const OPERATORS: [&str; 10] = ["eq", "ne", "lt", "lte", "gt", "gte", "in", "contains", "prefix", "null"];

/// Parses one parameter, `country` or `revenue.gte` with its value, into a filter in canonical form.
///
/// A name that is a column's as a whole means equality; otherwise what follows its last point is the operator, so the
/// longest column name wins. Values are whole, exact and case-sensitive. In the value of `in` a comma separates, `\,`
/// is a comma and `\\` a backslash; every other value is taken as it is. On a list column a condition holds if any
/// element fits. Repeated parameters combine with AND, which is up to the caller.
pub fn parse_param(name: &str, value: &str, columns: &[Column]) -> Result<Filter, SyntaxError> {
    check_text(value)?;
    let (column, operator) = find(name, columns)?;
    let whole = |detail: String| SyntaxError::whole(format!("{}: {detail}", quoted(name)));
    if operator == "null" {
        let missing = Filter::IsNull(Operand::Column(column.name.clone()));
        return match value {
            "true" => Ok(missing),
            "false" => Ok(Filter::Not(Box::new(missing))),
            other => Err(whole(format!("null takes true or false, not {}", quoted(other)))),
        };
    }
    let (operand, data_type) = match &column.data_type {
        ColumnType::List(element) => (Operand::Element, &**element),
        other => (Operand::Column(column.name.clone()), other),
    };
    let in_list = operand == Operand::Element;
    let label = format!("{}column {}", if in_list { "an element of " } else { "" }, quoted(&column.name));
    let subject = Subject { operand, data_type: Cow::Borrowed(data_type), label };
    let raw = Raw::Untyped(value.into());
    let filter = match operator {
        "ne" if in_list => Err(format!(
            "{} is a list, for which ne could mean any or no element: use query or filter",
            quoted(&column.name)
        )),
        "eq" => subject.compare(CompareOp::Eq, &raw),
        "ne" => subject.compare(CompareOp::Ne, &raw),
        "lt" => subject.compare(CompareOp::Lt, &raw),
        "lte" => subject.compare(CompareOp::Le, &raw),
        "gt" => subject.compare(CompareOp::Gt, &raw),
        "gte" => subject.compare(CompareOp::Ge, &raw),
        "contains" => subject.text(TextMatch::Contains, value.into(), false),
        "prefix" => subject.text(TextMatch::Prefix, value.into(), false),
        _ => {
            let members = split(value);
            check_members(members.len())?;
            let members: Vec<Raw<'_>> =
                members.into_iter().map(|member| Raw::Untyped(member.into())).collect();
            subject.one_of(&members)
        }
    };
    let mut filter = filter.map_err(whole)?;
    if in_list {
        filter = Filter::AnyElement { column: column.name.clone(), condition: Box::new(filter) };
    }
    let filter = filter.canonical();
    check_limits(&filter)?;
    Ok(filter)
}

fn find<'c, 'n>(name: &'n str, columns: &'c [Column]) -> Result<(&'c Column, &'n str), SyntaxError> {
    if let Some(column) = lookup::exact(name, columns) {
        return Ok((column, "eq"));
    }
    let unknown = |name: &str| {
        let error = SyntaxError::whole(format!("unknown parameter or column {}", quoted(name)));
        lookup::with_nearest(error, name, columns)
    };
    let Some((start, operator)) = name.rsplit_once('.') else { return Err(unknown(name)) };
    let Some(column) = lookup::exact(start, columns) else {
        return Err(if OPERATORS.contains(&operator) { unknown(start) } else { unknown(name) });
    };
    if OPERATORS.contains(&operator) {
        return Ok((column, operator));
    }
    let error = SyntaxError::whole(format!("unknown operator {} in {}", quoted(operator), quoted(name)));
    Err(match nearest(operator, OPERATORS) {
        Some(near) => error.advise(format_args!("did you mean {}?", quoted(near))),
        None => error.advise(format_args!("there are {}", OPERATORS.join(", "))),
    })
}

/// The members of a list with commas between.
fn split(value: &str) -> Vec<String> {
    let mut members = vec![String::new()];
    let mut characters = value.chars().peekable();
    while let Some(c) = characters.next() {
        let last = members.len() - 1;
        match c {
            ',' => members.push(String::new()),
            '\\' => match characters.next_if(|next| matches!(next, ',' | '\\')) {
                Some(escaped) => members[last].push(escaped),
                None => members[last].push('\\'),
            },
            other => members[last].push(other),
        }
    }
    members
}
