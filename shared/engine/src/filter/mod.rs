//! The one translation of the typed filter: into Arrow's kernels, batch by batch.
//!
//! As in DuckDB, NaN equals itself and is greater than every number, and -0.0 equals 0.0.

mod compare;
mod function;
mod logic;
mod operands;
mod text;

use arrow_array::{Array, ArrayRef, BooleanArray, cast::AsArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{ArrowError, DataType};
use willcall_core::query::{Filter, Literal, Operand};

use self::logic::{and, not, or};
pub(crate) use self::{compare::compare_literal, logic::is_true, operands::compare};

/// Gives the column of a name, in its plain type.
pub(crate) type Columns<'a> = dyn Fn(&str) -> Result<ArrayRef, String> + 'a;

struct Batch<'a> {
    rows: usize,
    columns: &'a Columns<'a>,
    element: Option<ArrayRef>,
}

/// Evaluates the filter over `rows` records: true, false, or null where it is unknown.
pub(crate) fn evaluate(filter: &Filter, rows: usize, columns: &Columns<'_>) -> Result<BooleanArray, String> {
    walk(filter, &Batch { rows, columns, element: None })
}

fn walk(filter: &Filter, batch: &Batch<'_>) -> Result<BooleanArray, String> {
    let constant = |value: bool| {
        let values =
            if value { BooleanBuffer::new_set(batch.rows) } else { BooleanBuffer::new_unset(batch.rows) };
        BooleanArray::new(values, None)
    };
    match filter {
        Filter::And(all) => all.iter().try_fold(constant(true), |held, filter| {
            // Nothing can become true any more.
            if held.null_count() == 0 && !held.has_true() {
                return Ok(held);
            }
            Ok(and(&held, &walk(filter, batch)?))
        }),
        Filter::Or(any) => any.iter().try_fold(constant(false), |held, filter| {
            if held.null_count() == 0 && !held.has_false() {
                return Ok(held);
            }
            Ok(or(&held, &walk(filter, batch)?))
        }),
        Filter::Not(inner) => Ok(not(&walk(inner, batch)?)),
        Filter::IsNotTrue(inner) => Ok(not(&is_true(&walk(inner, batch)?))),
        Filter::Compare { left, op, right } => {
            let values = operand(left, batch)?;
            compare_literal(&values, *op, right).ok_or_else(|| mistyped(&values, right))
        }
        Filter::CompareOperands { left, op, right } => {
            compare(&operand(left, batch)?, *op, &operand(right, batch)?)
        }
        Filter::In { operand: of, values: literals } => {
            let values = operand(of, batch)?;
            compare::is_in(&values, literals).ok_or_else(|| match literals.first() {
                Some(literal) => mistyped(&values, literal),
                None => "an empty set".into(),
            })
        }
        Filter::Text { operand: of, matches, pattern, ignore_case } => {
            text::matches(&operand(of, batch)?, *matches, pattern, *ignore_case)
        }
        Filter::IsNull(of) => {
            let values = operand(of, batch)?;
            Ok(match values.logical_nulls() {
                Some(nulls) => BooleanArray::new(!nulls.inner(), None),
                None => constant(false),
            })
        }
        Filter::AnyElement { column, condition } => {
            let list = (batch.columns)(column)?;
            any_element(&list, condition, batch)
        }
    }
}

fn operand(operand: &Operand, batch: &Batch<'_>) -> Result<ArrayRef, String> {
    match operand {
        Operand::Column(name) => (batch.columns)(name),
        Operand::Call(function, name) => function::call(*function, &(batch.columns)(name)?),
        Operand::Element => batch.element.clone().ok_or_else(|| "an element outside of a list".into()),
    }
}

/// True where an element fits; else unknown where the list is null or an element's answer is unknown; else false.
fn any_element(list: &ArrayRef, condition: &Filter, batch: &Batch<'_>) -> Result<BooleanArray, String> {
    if !matches!(list.data_type(), DataType::List(_)) {
        return Err(format!("{} is not a list", list.data_type()));
    }
    let list = list.as_list::<i32>();
    let elements = list.values();
    let columns = |name: &str| Err(format!("the column {name:?} inside a condition on elements"));
    let inner = Batch { rows: elements.len(), columns: &columns, element: Some(elements.clone()) };
    let fits = walk(condition, &inner)?;
    let yes = is_true(&fits);
    let mut values = Vec::with_capacity(batch.rows);
    let mut valid = Vec::with_capacity(batch.rows);
    for (row, ends) in list.offsets().windows(2).enumerate() {
        let range = ends[0] as usize..ends[1] as usize;
        let found = list.is_valid(row) && range.clone().any(|element| yes.value(element));
        values.push(found);
        valid.push(found || list.is_valid(row) && range.clone().all(|element| fits.is_valid(element)));
    }
    Ok(BooleanArray::new(BooleanBuffer::from(values), Some(NullBuffer::from(valid))))
}

fn mistyped(values: &ArrayRef, literal: &Literal) -> String {
    format!("{} compared with {literal:?}", values.data_type())
}

fn text_of(error: ArrowError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
