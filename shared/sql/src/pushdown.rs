//! Conditions that the engine's scan can look at too: it skips what they rule out, and DataFusion looks again.

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator},
};
use willcall_core::{
    catalog::ColumnType,
    query::{CompareOp, Filter, Literal, Operand},
};
use willcall_engine::statement::Table;

/// All of the conditions that can be said as a filter.
pub(crate) fn filter_of(table: &Table, conditions: &[Expr]) -> Option<Filter> {
    let mut all: Vec<Filter> = conditions.iter().filter_map(|condition| one(table, condition)).collect();
    if all.len() > 1 { Some(Filter::And(all)) } else { all.pop() }
}

/// A condition as a filter that keeps no less.
pub(crate) fn one(table: &Table, condition: &Expr) -> Option<Filter> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    if *op == Operator::And {
        return Some(Filter::And(vec![one(table, left)?, one(table, right)?]));
    }
    let op = |turned: bool| {
        Some(match (op, turned) {
            (Operator::Eq, _) => CompareOp::Eq,
            (Operator::NotEq, _) => CompareOp::Ne,
            (Operator::Lt, false) | (Operator::Gt, true) => CompareOp::Lt,
            (Operator::LtEq, false) | (Operator::GtEq, true) => CompareOp::Le,
            (Operator::Gt, false) | (Operator::Lt, true) => CompareOp::Gt,
            (Operator::GtEq, false) | (Operator::LtEq, true) => CompareOp::Ge,
            _ => return None,
        })
    };
    let (column, value, op) = match (&**left, &**right) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, value, op(false)?),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, value, op(true)?),
        _ => return None,
    };
    let right = literal(table.column_type(&column.name)?, value)?;
    Some(Filter::Compare { left: Operand::Column(column.name.clone()), op, right })
}

/// The value as a literal of just that type. Floats are none: the two differ over NaN.
fn literal(of: &ColumnType, value: &ScalarValue) -> Option<Literal> {
    Some(match (of, value) {
        (ColumnType::Boolean, ScalarValue::Boolean(Some(value))) => Literal::Bool(*value),
        (ColumnType::Int { bits: 8, signed: true }, ScalarValue::Int8(Some(n))) => {
            Literal::Int(i64::from(*n))
        }
        (ColumnType::Int { bits: 16, signed: true }, ScalarValue::Int16(Some(n))) => {
            Literal::Int(i64::from(*n))
        }
        (ColumnType::Int { bits: 32, signed: true }, ScalarValue::Int32(Some(n))) => {
            Literal::Int(i64::from(*n))
        }
        (ColumnType::Int { bits: 64, signed: true }, ScalarValue::Int64(Some(n))) => Literal::Int(*n),
        (ColumnType::Int { bits: 8, signed: false }, ScalarValue::UInt8(Some(n))) => {
            Literal::UInt(u64::from(*n))
        }
        (ColumnType::Int { bits: 16, signed: false }, ScalarValue::UInt16(Some(n))) => {
            Literal::UInt(u64::from(*n))
        }
        (ColumnType::Int { bits: 32, signed: false }, ScalarValue::UInt32(Some(n))) => {
            Literal::UInt(u64::from(*n))
        }
        (ColumnType::Int { bits: 64, signed: false }, ScalarValue::UInt64(Some(n))) => Literal::UInt(*n),
        (ColumnType::Text, ScalarValue::Utf8(Some(text))) => Literal::Text(text.clone()),
        (ColumnType::Date, ScalarValue::Date32(Some(day))) => Literal::Date(*day),
        _ => return None,
    })
}
