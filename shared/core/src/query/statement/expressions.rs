//! The walk over expressions: operators, functions, types and sub-queries that may be in a statement.

use sqlparser::ast::{
    BinaryOperator, CeilFloorKind, DataType, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Interval,
    ObjectNamePart, Spanned, TimezoneInfo, TypedString, UnaryOperator, Value, ValueWithSpan, WindowType,
};

use super::{
    functions::{self, FunctionClass},
    relations::{Walk, name_of, start_of},
    scope::Scope,
};
use crate::query::{error::quoted, nearest};

impl Walk<'_> {
    /// Judges one expression and leaves what is in it to be judged in `left`. How many relations its own sub-queries read.
    pub(super) fn expression<'e>(
        &mut self,
        expr: &'e Expr,
        left: &mut Vec<&'e Expr>,
        scope: &Scope,
    ) -> usize {
        match expr {
            Expr::Identifier(ident) => {
                self.go(ident.span);
            }
            Expr::CompoundIdentifier(idents) => {
                if let Some(ident) = idents.first() {
                    self.go(ident.span);
                }
            }
            Expr::Value(value) => self.value(value),
            Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Nested(inner) => left.push(inner),
            Expr::IsDistinctFrom(one, other) | Expr::IsNotDistinctFrom(one, other) => {
                left.extend([&**one, other])
            }
            Expr::InList { expr, list, negated: _ } => {
                left.push(expr);
                left.extend(list);
            }
            Expr::Between { expr, negated: _, low, high } => left.extend([&**expr, low, high]),
            Expr::BinaryOp { left: one, op, right } => {
                left.extend([&**one, right]);
                self.operator(op, right);
            }
            Expr::UnaryOp { op, expr } => {
                left.push(expr);
                match op {
                    UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not => {}
                    _ => self.lacking("such an operator is", &[]),
                }
            }
            Expr::Like { negated: _, any, expr, pattern, escape_char }
            | Expr::ILike { negated: _, any, expr, pattern, escape_char } => {
                left.extend([&**expr, pattern]);
                if *any {
                    self.lacking("LIKE ANY is", &["ANY"]);
                }
                if let Some(escape) = escape_char {
                    self.value(escape);
                }
            }
            Expr::Cast { kind: _, expr, data_type, array, format } => {
                left.push(expr);
                if *array || format.is_some() {
                    self.lacking("FORMAT and ARRAY in a cast are", &["FORMAT", "ARRAY"]);
                }
                self.data_type(data_type);
            }
            Expr::AtTimeZone { timestamp, time_zone } => left.extend([&**timestamp, time_zone]),
            Expr::Extract { field: _, syntax: _, expr } => left.push(expr),
            Expr::Ceil { expr, field } | Expr::Floor { expr, field } => {
                left.push(expr);
                let plain =
                    matches!(field, CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime));
                if !plain {
                    self.lacking("CEIL and FLOOR of more than a number are", &["CEIL", "FLOOR"]);
                }
            }
            Expr::Position { expr, r#in } => left.extend([&**expr, r#in]),
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                left.push(expr);
                left.extend(substring_from.iter().chain(substring_for).map(|part| &**part));
            }
            Expr::Trim { trim_where: _, trim_what, expr, trim_characters } => {
                left.push(expr);
                left.extend(trim_what.iter().map(|what| &**what));
                left.extend(trim_characters.iter().flatten());
            }
            Expr::Interval(interval) => self.interval(interval, left),
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: _ }) => {
                self.data_type(data_type);
                self.value(value);
            }
            Expr::Case { case_token, end_token: _, operand, conditions, else_result } => {
                self.go(case_token.0.span);
                left.extend(operand.iter().chain(else_result).map(|part| &**part));
                for when in conditions {
                    left.extend([&when.condition, &when.result]);
                }
            }
            Expr::Function(function) => return self.function(function, left, scope),
            Expr::InSubquery { expr, subquery, negated: _ } => {
                left.push(expr);
                return self.query(subquery, scope);
            }
            Expr::Exists { subquery, negated: _ } => return self.query(subquery, scope),
            Expr::Subquery(subquery) => return self.query(subquery, scope),
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
                self.lacking("ROLLUP, CUBE and GROUPING SETS are", &["ROLLUP", "CUBE", "GROUPING"]);
            }
            Expr::InUnnest { .. } => self.lacking("UNNEST is", &["UNNEST"]),
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                self.lacking("ANY, ALL and SOME are", &["ANY", "ALL", "SOME"]);
            }
            Expr::SimilarTo { .. } | Expr::RLike { .. } => {
                self.lacking("patterns other than LIKE and ILIKE are", &["SIMILAR", "RLIKE", "REGEXP"]);
            }
            Expr::Tuple(_) | Expr::Struct { .. } | Expr::Map(_) | Expr::Array(_) | Expr::Dictionary(_) => {
                self.go(expr.span());
                let words: &[&str] = match expr {
                    Expr::Struct { .. } => &["STRUCT"],
                    Expr::Map(_) => &["MAP"],
                    Expr::Array(_) => &["ARRAY"],
                    _ => &[],
                };
                self.lacking("lists and other nested values are", words);
            }
            _ => {
                self.go(expr.span());
                self.lacking("such an expression is", &[]);
            }
        }
        0
    }

    fn operator(&mut self, op: &BinaryOperator, right: &Expr) {
        use BinaryOperator::{
            And, Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Or, Plus, StringConcat,
        };
        match op {
            Plus | Minus | Multiply | Divide | Modulo | StringConcat | Gt | Lt | GtEq | LtEq | Eq | NotEq
            | And | Or => {}
            other => {
                let text = quoted(&other.to_string());
                let place = self.go(right.span());
                self.wrong(place.sentence(format_args!("the operator {text} is not supported before this")));
            }
        }
    }

    fn value(&mut self, value: &ValueWithSpan) {
        let place = self.go(value.span);
        match &value.value {
            Value::Number(..) | Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null => {}
            Value::Placeholder(name) => {
                let name = name.trim_start_matches('$').to_owned();
                let first = self.placeholders.entry(name).or_insert(place.offset);
                *first = place.offset.min(*first);
            }
            _ => self.lacking("such a value is", &[]),
        }
    }

    fn interval<'e>(&mut self, interval: &'e Interval, left: &mut Vec<&'e Expr>) {
        let Interval { value, leading_field: _, leading_precision, last_field, fractional_seconds_precision } =
            interval;
        left.push(value);
        if leading_precision.is_some() || last_field.is_some() || fractional_seconds_precision.is_some() {
            self.lacking("INTERVAL with a precision or TO is", &["INTERVAL"]);
        }
    }

    fn function<'e>(&mut self, function: &'e Function, left: &mut Vec<&'e Expr>, scope: &Scope) -> usize {
        let Function {
            name,
            uses_odbc_syntax,
            parameters,
            args,
            filter,
            null_treatment: _,
            over,
            within_group,
        } = function;
        let place = self.go(start_of(name));
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            self.wrong(place.sentence("a function has one name, without a schema before it"));
            return 0;
        };
        let called = name_of(ident);
        let Some(class) = functions::class_of(&called) else {
            let error = place.at(format_args!("unknown function {}", quoted(&called)));
            self.wrong(match (functions::why_not(&called), nearest(&called, functions::all())) {
                (Some(why), _) => {
                    place.sentence(format_args!("the function {} is not allowed: {why}", quoted(&called)))
                }
                (None, Some(near)) => error.advise(format_args!("did you mean {}?", quoted(near))),
                (None, None) => error,
            });
            return 0;
        };
        if *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None) {
            self.lacking("functions with two lists of arguments are", &[]);
        }
        let mut of_many = filter.is_some() || !within_group.is_empty();
        let mut relations = self.order(within_group, scope);
        left.extend(filter.iter().map(|filter| &**filter));
        match args {
            FunctionArguments::None => self.wrong(place.sentence("a function has its arguments in brackets")),
            FunctionArguments::Subquery(query) => relations += self.query(query, scope),
            FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }) => {
                of_many |= matches!(duplicate_treatment, Some(DuplicateTreatment::Distinct));
                for argument in args {
                    self.argument(argument, &called, left);
                }
                for clause in clauses {
                    match clause {
                        FunctionArgumentClause::IgnoreOrRespectNulls(_) => {}
                        FunctionArgumentClause::OrderBy(by) => {
                            of_many = true;
                            relations += self.order(by, scope);
                        }
                        _ => self.lacking("such words among the arguments of a function are", &[]),
                    }
                }
            }
        }
        match over {
            None => {}
            Some(WindowType::NamedWindow(_)) => {}
            Some(WindowType::WindowSpec(spec)) => relations += self.window(spec, scope),
        }
        let name = quoted(&called);
        match class {
            FunctionClass::Scalar if of_many || over.is_some() => {
                let detail = "takes no OVER, FILTER, DISTINCT or ORDER BY, being no aggregate";
                self.wrong(place.sentence(format_args!("the function {name} {detail}")));
            }
            FunctionClass::Window if over.is_none() => {
                self.wrong(place.sentence(format_args!("the function {name} needs a window: write OVER")));
            }
            FunctionClass::Scalar | FunctionClass::Aggregate | FunctionClass::Window => {}
        }
        relations
    }

    fn argument<'e>(&mut self, argument: &'e FunctionArg, called: &str, left: &mut Vec<&'e Expr>) {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => left.push(expr),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if called == "count" => {}
            _ => self.lacking("arguments with a name, and * but in count(*), are", &[]),
        }
    }

    fn data_type(&mut self, data_type: &DataType) {
        use DataType::{
            BigInt, BigIntUnsigned, Bool, Boolean, Char, Character, CharacterVarying, Date, Decimal, Double,
            DoublePrecision, Float, Float4, Float8, Int, Int2, Int4, Int8, IntUnsigned, Integer,
            IntegerUnsigned, Numeric, Real, SmallInt, SmallIntUnsigned, Text, Time, Timestamp, TinyInt,
            TinyIntUnsigned, Varchar,
        };
        match data_type {
            Bool
            | Boolean
            | TinyInt(_)
            | TinyIntUnsigned(_)
            | SmallInt(_)
            | SmallIntUnsigned(_)
            | Int(_)
            | IntUnsigned(_)
            | Integer(_)
            | IntegerUnsigned(_)
            | BigInt(_)
            | BigIntUnsigned(_)
            | Int2(_)
            | Int4(_)
            | Int8(_)
            | Real
            | Float(_)
            | Float4
            | Float8
            | Double(_)
            | DoublePrecision
            | Decimal(_)
            | Numeric(_)
            | Char(_)
            | Character(_)
            | CharacterVarying(_)
            | Varchar(_)
            | Text
            | Date
            | Timestamp(..)
            | Time(_, TimezoneInfo::None)
            | DataType::String(_) => {}
            other => {
                let text = quoted(&other.to_string());
                self.lacking(&format!("the type {text} is"), &[]);
            }
        }
    }
}
