//! How large a filter may be.

use super::{Filter, SyntaxError};

/// The longest text of a filter in bytes.
pub const MAX_FILTER_BYTES: usize = 64 * 1024;
/// How deep brackets and NOT may be nested.
pub const MAX_DEPTH: usize = 32;
/// The most members of a list of values.
pub const MAX_IN: usize = 10_000;
/// The most conditions, a list of values being one.
pub const MAX_CONDITIONS: usize = 1_000;

/// How deep the tree of a filter may be. Within [`MAX_DEPTH`] a level of brackets can hold both an OR and an AND;
/// this keeps the stored form well below the 128 levels at which readers of JSON give up.
const MAX_TREE: usize = 48;

/// Checks a filter in canonical form, above all one combined from several texts. Every parser has checked its own.
pub fn check_limits(filter: &Filter) -> Result<(), SyntaxError> {
    let mut conditions = 0;
    walk(filter, 0, &mut conditions)?;
    if conditions > MAX_CONDITIONS {
        return Err(SyntaxError::whole(format!(
            "the filter has {conditions} conditions, more than the {MAX_CONDITIONS} allowed; a list of values with IN counts as one"
        )));
    }
    Ok(())
}

fn walk(filter: &Filter, depth: usize, conditions: &mut usize) -> Result<(), SyntaxError> {
    if depth > MAX_TREE {
        return Err(too_deep());
    }
    match filter {
        Filter::And(members) | Filter::Or(members) => {
            members.iter().try_for_each(|member| walk(member, depth + 1, conditions))
        }
        Filter::Not(inner) | Filter::IsNotTrue(inner) | Filter::AnyElement { condition: inner, .. } => {
            walk(inner, depth + 1, conditions)
        }
        Filter::In { values, .. } => {
            *conditions += 1;
            check_members(values.len())
        }
        _ => {
            *conditions += 1;
            Ok(())
        }
    }
}

/// Checks the length of a list of values.
pub(super) fn check_members(count: usize) -> Result<(), SyntaxError> {
    if count > MAX_IN {
        return Err(SyntaxError::whole(format!(
            "a list of values has {count} members, more than the {MAX_IN} allowed"
        )));
    }
    Ok(())
}

/// Checks the length of a text before anything else looks at it.
pub(super) fn check_text(text: &str) -> Result<(), SyntaxError> {
    if text.len() > MAX_FILTER_BYTES {
        return Err(SyntaxError::whole(format!(
            "the filter has {} bytes, more than the {MAX_FILTER_BYTES} allowed",
            text.len()
        )));
    }
    Ok(())
}

/// The error of a filter nested too deeply.
pub(super) fn too_deep() -> SyntaxError {
    SyntaxError::whole(format!("the filter is nested too deeply: more than the {MAX_DEPTH} levels allowed"))
}
