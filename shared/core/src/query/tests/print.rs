//! Filters as SQL, for tables that can be read and for parsing back. `ANY name (...)` has no SQL of ours.

use jiff::{
    ToSpan,
    civil::{DateTime, date},
};

use super::fixture::columns;
use crate::{
    catalog::{ColumnType, TimeUnit},
    query::{CompareOp, Filter, Literal, Operand, TextMatch},
};

pub(super) fn sql(filter: &Filter) -> String {
    match filter {
        Filter::And(members) => join(members, " AND ", "TRUE"),
        Filter::Or(members) => join(members, " OR ", "FALSE"),
        Filter::Not(inner) => format!("NOT ({})", sql(inner)),
        Filter::IsNotTrue(inner) => format!("({}) IS NOT TRUE", sql(inner)),
        Filter::Compare { left, op, right } => {
            format!("{} {} {}", operand(left), operator(*op), literal(right, left))
        }
        Filter::CompareOperands { left, op, right } => {
            format!("{} {} {}", operand(left), operator(*op), operand(right))
        }
        Filter::In { operand: of, values } => {
            let values: Vec<String> = values.iter().map(|value| literal(value, of)).collect();
            format!("{} IN ({})", operand(of), values.join(", "))
        }
        Filter::Text { operand: of, matches, pattern, ignore_case } => {
            let escaped = || pattern.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            let pattern = match matches {
                TextMatch::Like => pattern.clone(),
                TextMatch::Prefix => escaped() + "%",
                TextMatch::Contains => format!("%{}%", escaped()),
            };
            let word = if *ignore_case { "ILIKE" } else { "LIKE" };
            format!("{} {word} {}", operand(of), text(&pattern))
        }
        Filter::IsNull(of) => format!("{} IS NULL", operand(of)),
        Filter::AnyElement { column, condition } => format!("ANY {column} ({})", sql(condition)),
    }
}

fn join(members: &[Filter], word: &str, empty: &str) -> String {
    match members {
        [] => empty.into(),
        members => {
            let members: Vec<String> = members
                .iter()
                .map(|member| match member {
                    Filter::And(inner) | Filter::Or(inner) if !inner.is_empty() => {
                        format!("({})", sql(member))
                    }
                    _ => sql(member),
                })
                .collect();
            members.join(word)
        }
    }
}

fn operand(operand: &Operand) -> String {
    let name = |name: &str| {
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if plain { name.into() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
    };
    match operand {
        Operand::Column(column) => name(column),
        Operand::Element => "element".into(),
        Operand::Call(function, column) => format!("{}({})", function.as_str(), name(column)),
    }
}

fn operator(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "=",
        CompareOp::Ne => "<>",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
    }
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn literal(literal: &Literal, operand: &Operand) -> String {
    let columns = columns();
    let data_type = operand
        .column()
        .and_then(|name| columns.iter().find(|column| column.name == name))
        .map(|column| &column.data_type);
    match literal {
        Literal::Bool(value) => value.to_string().to_uppercase(),
        Literal::Int(value) => value.to_string(),
        Literal::UInt(value) => value.to_string(),
        Literal::Float(value) if value.is_nan() => "'NaN'".into(),
        Literal::Float(value) if value.is_infinite() && *value > 0.0 => "'Infinity'".into(),
        Literal::Float(value) if value.is_infinite() => "'-Infinity'".into(),
        Literal::Float(value) => format!("{value:?}"),
        Literal::Decimal(value) => match data_type {
            Some(ColumnType::Decimal { scale, .. }) => format!("{value}e{}", -i32::from(*scale)),
            _ => value.to_string(),
        },
        Literal::Text(value) => text(value),
        Literal::Date(i32::MIN) | Literal::Timestamp(i64::MIN) => "LOWEST".into(),
        Literal::Date(days) => format!("DATE '{}'", date(1970, 1, 1) + days.days()),
        Literal::Time(units) => {
            format!("TIME '{}'", (DateTime::constant(1970, 1, 1, 0, 0, 0, 0) + units.seconds()).time())
        }
        Literal::Timestamp(units) => {
            let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
            let (time, zone) = match data_type {
                Some(ColumnType::Timestamp { unit, zone }) => (
                    match unit {
                        TimeUnit::Second => epoch + units.seconds(),
                        TimeUnit::Millisecond => epoch + units.milliseconds(),
                        TimeUnit::Microsecond => epoch + units.microseconds(),
                        TimeUnit::Nanosecond => epoch + units.nanoseconds(),
                    },
                    zone.is_some(),
                ),
                _ => (epoch, false),
            };
            format!("TIMESTAMP '{time}{}'", if zone { "Z" } else { "" })
        }
    }
}
