//! Numbers with a point, an exponent or many digits: exact where they are compared with whole numbers and decimals, and
//! float64 anywhere else.
//!
//! DataFusion would read each either as a float64 or as a decimal. So the text is put into a function of its own first, of
//! type float64, and comes out of it as what it stands beside asks for.

use std::{iter::once, sync::Arc};

use arrow_buffer::i256;
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::{
    common::{
        DFSchema, Result, ScalarValue,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast, Volatility, binary_expr,
        expr::{Case, InList},
        lit,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    optimizer::{AnalyzerRule, analyzer::type_coercion::TypeCoercionRewriter},
    sql::sqlparser::{
        ast::{self, BinaryOperator, UnaryOperator, Value},
        dialect::GenericDialect,
        parser::Parser,
    },
};

use crate::rewrite::each_expression;

/// The function that a number is put into. No statement gets to call it: it is on no list of functions.
const NUMBER: &str = "number_as_written";

/// The most digits of a decimal of 128 and of 256 bits.
const MOST_128: usize = 38;
const MOST_256: usize = 76;

/// The function as a session needs it.
pub(crate) fn function() -> ScalarUDF {
    ScalarUDF::new_from_impl(AsWritten(Signature::any(1, Volatility::Immutable)))
}

/// The number put into the function, where its text says more than DataFusion would keep.
pub(crate) fn kept(expression: &ast::Expr) -> Option<ast::Expr> {
    let number = |expression: &ast::Expr| match expression {
        ast::Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    };
    let text = match expression {
        // Of whole numbers below zero, fewer are read as such.
        ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let text = format!("-{}", number(expr)?);
            if text.parse::<i64>().is_ok() {
                return None;
            }
            text
        }
        other => number(other)?,
    };
    if text.parse::<u64>().is_ok() {
        return None;
    }
    Parser::new(&GenericDialect {}).try_with_sql(&format!("{NUMBER}('{text}')")).ok()?.parse_expr().ok()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AsWritten(Signature);

impl ScalarUDFImpl for AsWritten {
    fn name(&self) -> &str {
        NUMBER
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(NUMBER, DataType::Float64, false)))
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match given.args.as_slice() {
            [ColumnarValue::Scalar(ScalarValue::Utf8(Some(text)))] => {
                Ok(ColumnarValue::Scalar(ScalarValue::Float64(Some(float(text)))))
            }
            _ => Err(datafusion::common::DataFusionError::Internal("a number that is no text".into())),
        }
    }
}

fn float(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

/// The text of a number that was put into the function.
fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == NUMBER => match call.args.as_slice() {
            [Expr::Literal(ScalarValue::Utf8(Some(text)), _)] => Some(text.clone()),
            _ => None,
        },
        Expr::Negative(inner) => {
            let text = text_of(inner)?;
            Some(text.strip_prefix('-').map_or_else(|| format!("-{text}"), str::to_owned))
        }
        _ => None,
    }
}

/// A number as its digits and where the point is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Digits {
    negative: bool,
    /// Without zeros at the start.
    digits: String,
    scale: usize,
}

impl Digits {
    /// None where no decimal has as many digits.
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i64 = exponent.parse().ok()?;
        let part = part.trim_end_matches('0');
        let digits = format!("{whole}{part}");
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, digits, scale: 0 });
        }
        let scale = i64::try_from(part.len()).ok()?.checked_sub(exponent)?;
        let most = MOST_256 as i64;
        if scale > most || -scale > most {
            return None;
        }
        let zeros = usize::try_from(-scale).unwrap_or(0);
        let made = Self {
            negative,
            digits: digits + &"0".repeat(zeros),
            scale: usize::try_from(scale).unwrap_or(0),
        };
        (made.digits.len() <= MOST_256).then_some(made)
    }

    fn size(&self) -> Size {
        Size { whole: self.digits.len().saturating_sub(self.scale), scale: self.scale }
    }

    /// As a literal of a type that has room for it.
    fn literal(&self, size: Size) -> Option<Expr> {
        let zeros = size.scale.checked_sub(self.scale)?;
        let sign = if self.negative { "-" } else { "" };
        let value = format!("{sign}0{}{}", self.digits, "0".repeat(zeros));
        let precision = (size.whole + size.scale).max(1);
        let (scale, digits) = (i8::try_from(size.scale).ok()?, u8::try_from(precision).ok()?);
        Some(lit(if precision <= MOST_128 {
            ScalarValue::Decimal128(Some(value.parse().ok()?), digits, scale)
        } else if precision <= MOST_256 {
            ScalarValue::Decimal256(Some(value.parse::<i256>().ok()?), digits, scale)
        } else {
            return None;
        }))
    }
}

/// Digits before and after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    whole: usize,
    scale: usize,
}

impl Size {
    fn and(self, other: Self) -> Self {
        Self { whole: self.whole.max(other.whole), scale: self.scale.max(other.scale) }
    }

    /// That of the decimals which the type's values become beside a decimal. None of those that are not exact.
    fn of(data_type: &DataType) -> Option<Self> {
        let whole = match data_type {
            DataType::Int8 | DataType::UInt8 => 3,
            DataType::Int16 | DataType::UInt16 => 5,
            DataType::Int32 | DataType::UInt32 => 10,
            DataType::Int64 | DataType::UInt64 => 20,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => {
                let whole = i16::from(*precision) - i16::from(*scale);
                let (whole, scale) = (usize::try_from(whole).ok()?, usize::try_from(*scale).ok()?);
                return Some(Self { whole, scale });
            }
            _ => return None,
        };
        Some(Self { whole, scale: 0 })
    }
}

/// The type as it will be once all types are known.
fn type_of(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    let known = expr.clone().rewrite(&mut TypeCoercionRewriter::new(schema)).ok()?;
    known.data.get_type(schema).ok()
}

/// The numbers among what is compared as decimals, where all the others are exact and one type has room for all.
fn exact<'e>(compared: impl Iterator<Item = &'e mut Expr>, schema: &DFSchema) -> bool {
    let (mut numbers, mut size) = (Vec::new(), Size { whole: 1, scale: 0 });
    for expr in compared {
        let of = match text_of(expr) {
            Some(text) => match Digits::of(&text) {
                Some(digits) => {
                    let size = digits.size();
                    numbers.push((expr, digits));
                    Some(size)
                }
                None => None,
            },
            None => match type_of(expr, schema) {
                Some(DataType::Null) => Some(size),
                of => of.as_ref().and_then(Size::of),
            },
        };
        let Some(of) = of else { return false };
        size = size.and(of);
    }
    let literals = numbers.iter().map(|(_, digits)| digits.literal(size)).collect::<Option<Vec<_>>>();
    let Some(literals) = literals.filter(|literals| !literals.is_empty()) else { return false };
    for ((expr, _), literal) in numbers.into_iter().zip(literals) {
        *expr = literal;
    }
    true
}

fn settled(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut expr = expr;
    let changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            exact([&mut **left, &mut **right].into_iter(), schema)
        }
        Expr::InList(InList { expr, list, .. }) => exact(once(&mut **expr).chain(list), schema),
        Expr::Between(between) => {
            exact([&mut *between.expr, &mut *between.low, &mut *between.high].into_iter(), schema)
        }
        Expr::Case(Case { expr: Some(expr), when_then_expr, .. }) => {
            exact(once(&mut **expr).chain(when_then_expr.iter_mut().map(|(when, _)| &mut **when)), schema)
        }
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            Size::of(field.data_type()).is_some() && exact(once(&mut **expr), schema)
        }
        _ => false,
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Takes all numbers out of the function again. Belongs before the types are made to fit.
#[derive(Debug)]
pub(crate) struct SettleNumbers;

impl AnalyzerRule for SettleNumbers {
    fn name(&self) -> &'static str {
        "settle_numbers"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        each_expression(plan, |expr, schema| {
            expr.transform_up(|expr| settled(expr, schema))?.transform_data(|expr| {
                expr.transform_down(|expr| {
                    Ok(match text_of(&expr) {
                        Some(text) => Transformed::yes(lit(float(&text))),
                        None => Transformed::no(expr),
                    })
                })
            })
        })
    }
}

/// What is added to a decimal, taken from it or multiplied with it is a decimal too.
#[derive(Debug)]
pub(crate) struct BesideDecimals;

impl ExprPlanner for BesideDecimals {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let op = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (left, right) = (text_of(&expr.left), text_of(&expr.right));
        let (text, other) = match (&left, &right) {
            (Some(text), None) => (text, &expr.right),
            (None, Some(text)) => (text, &expr.left),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let of = type_of(other, schema).filter(DataType::is_decimal).and_then(|of| Size::of(&of));
        let (Some(of), Some(digits)) = (of, Digits::of(text)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let size = digits.size();
        let room = match op {
            Operator::Multiply => size.whole + size.scale + of.whole + of.scale,
            _ => size.and(of).whole + size.and(of).scale,
        };
        match digits.literal(size).filter(|_| room <= MOST_128) {
            None => Ok(PlannerResult::Original(expr)),
            Some(literal) if left.is_some() => {
                Ok(PlannerResult::Planned(binary_expr(literal, op, expr.right)))
            }
            Some(literal) => Ok(PlannerResult::Planned(binary_expr(expr.left, op, literal))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_kept_whatever_way_they_are_written() {
        for (text, expected) in [
            ("1.50", Some(("15", 1))),
            ("0.050", Some(("5", 2))),
            ("-.5", Some(("5", 1))),
            ("1e3", Some(("1000", 0))),
            ("1.25e1", Some(("125", 1))),
            ("25e-3", Some(("25", 3))),
            ("000", Some(("", 0))),
            ("0e999999", Some(("", 0))),
            ("18446744073709551616", Some(("18446744073709551616", 0))),
            ("1e76", None),
            ("1e-77", None),
            ("1e400", None),
            ("1e99999999999999999999", None),
        ] {
            let digits = Digits::of(text);
            let digits = digits.as_ref().map(|digits| (digits.digits.as_str(), digits.scale));
            assert_eq!(digits, expected, "{text}");
        }
        assert!(Digits::of("-1.5").unwrap().negative);
        assert!(!Digits::of("-0.0").unwrap().negative);
    }

    #[test]
    fn a_literal_has_the_digits_of_what_it_is_compared_with() {
        let half = Digits::of("-0.5").unwrap();
        assert_eq!(
            half.literal(Size { whole: 20, scale: 4 }),
            Some(lit(ScalarValue::Decimal128(Some(-5000), 24, 4)))
        );
        assert_eq!(
            half.literal(Size { whole: 38, scale: 1 }),
            Some(lit(ScalarValue::Decimal256(Some(i256::from_i128(-5)), 39, 1)))
        );
        assert_eq!(half.literal(Size { whole: 76, scale: 1 }), None);
    }
}
