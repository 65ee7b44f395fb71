//! Arithmetic on whole numbers that fails where a result does not fit its type: DataFusion's own begins again at the other
//! end of the type.

use std::sync::Arc;

use arrow_array::{cast::AsArray, types::Decimal128Type};
use arrow_schema::{ArrowError, DataType, Field, FieldRef};
use datafusion::{
    arrow::compute::kernels::numeric::{add, mul, neg, sub},
    common::{
        DFSchema, DataFusionError, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, expr::ScalarFunction,
    },
    optimizer::AnalyzerRule,
    physical_expr_common::datum::apply,
};

use crate::rewrite::each_expression;

/// Puts checked operators where whole numbers are reckoned with. Belongs after the types are known.
#[derive(Debug)]
pub(crate) struct CheckArithmetic;

impl AnalyzerRule for CheckArithmetic {
    fn name(&self) -> &'static str {
        "check_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        each_expression(plan, |expr, schema| expr.transform_up(|expr| checked(expr, schema)))
    }
}

fn checked(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (kind, arguments) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let kind = match op {
                Operator::Plus => Kind::Add,
                Operator::Minus => Kind::Subtract,
                Operator::Multiply => Kind::Multiply,
                _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            };
            let whole = left.get_type(schema)?;
            if whole.is_decimal() {
                return fitting(Expr::BinaryExpr(BinaryExpr { left, op, right }), schema);
            }
            if !whole.is_integer() || right.get_type(schema)? != whole {
                return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
            }
            (kind, vec![*left, *right])
        }
        Expr::Negative(of) if of.get_type(schema)?.is_signed_integer() => (Kind::Negate, vec![*of]),
        other => return Ok(Transformed::no(other)),
    };
    Ok(Transformed::yes(call(kind, arguments)))
}

/// Arithmetic on decimals: where its type is the longest, a result may have a digit more than that.
fn fitting(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr.get_type(schema)? {
        DataType::Decimal128(38, _) => Transformed::yes(call(Kind::Fit, vec![expr])),
        _ => Transformed::no(expr),
    })
}

fn call(kind: Kind, arguments: Vec<Expr>) -> Expr {
    let function = Arc::new(ScalarUDF::new_from_impl(Checked::new(kind)));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Add,
    Subtract,
    Multiply,
    Negate,
    /// Nothing but the check of a decimal of 38 digits.
    Fit,
}

/// An operator on whole numbers of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    kind: Kind,
    signature: Signature,
}

impl Checked {
    fn new(kind: Kind) -> Self {
        let count = if matches!(kind, Kind::Negate | Kind::Fit) { 1 } else { 2 };
        Self { kind, signature: Signature::any(count, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Add => "+",
            Kind::Subtract | Kind::Negate => "-",
            Kind::Multiply => "*",
            Kind::Fit => "fit",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = arguments.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), arguments.arg_fields[0].data_type().clone(), nullable)))
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let done = match (self.kind, given.args.as_slice()) {
            (Kind::Negate, [of]) => match of {
                ColumnarValue::Array(array) => neg(array).map(ColumnarValue::Array).map_err(Into::into),
                ColumnarValue::Scalar(value) => {
                    let array = value.to_array()?;
                    neg(&array).map_err(Into::into).and_then(|array| {
                        datafusion::common::ScalarValue::try_from_array(&array, 0).map(ColumnarValue::Scalar)
                    })
                }
            },
            (Kind::Fit, [of]) => {
                let array = of.to_array(given.number_rows)?;
                if array.as_primitive::<Decimal128Type>().validate_decimal_precision(38).is_err() {
                    return Err(too_large("the result", given.return_type()));
                }
                return Ok(of.clone());
            }
            (Kind::Add, [left, right]) => apply(left, right, add),
            (Kind::Subtract, [left, right]) => apply(left, right, sub),
            (Kind::Multiply, [left, right]) => apply(left, right, mul),
            _ => return Err(DataFusionError::Internal("an operator without its operands".into())),
        };
        done.map_err(|error| in_words(error, given.return_type()))
    }
}

/// The error where a number is too large, in words that say what to do.
fn in_words(error: DataFusionError, of: &DataType) -> DataFusionError {
    let DataFusionError::ArrowError(arrow, _) = &error else { return error };
    let ArrowError::ArithmeticOverflow(text) = &**arrow else { return error };
    let said = text.strip_prefix("Overflow happened on: ").unwrap_or("the result");
    too_large(said.trim_start_matches("! "), of)
}

/// What is told of a result that its type has no room for.
pub(crate) fn too_large(what: &str, of: &DataType) -> DataFusionError {
    let wider = match of {
        DataType::Int64 | DataType::UInt64 => "decimal(38, 0)",
        DataType::Decimal128(..) => "double",
        _ => "bigint",
    };
    DataFusionError::Execution(format!(
        "{what} does not fit the type {}: cast to a wider type first, as in CAST(x AS {wider})",
        name_of(of)
    ))
}

/// What the type is called where a data set's columns are told.
fn name_of(of: &DataType) -> String {
    match of {
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        other => other.to_string().to_lowercase(),
    }
}
