//! Three-valued logic on whole batches.

use arrow_array::{Array, BooleanArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};

/// Unknown made false.
pub(crate) fn is_true(mask: &BooleanArray) -> BooleanArray {
    BooleanArray::new(yes(mask), None)
}

pub(super) fn not(mask: &BooleanArray) -> BooleanArray {
    BooleanArray::new(!mask.values(), mask.nulls().cloned())
}

/// False where either is, else unknown where either is.
pub(super) fn and(left: &BooleanArray, right: &BooleanArray) -> BooleanArray {
    if left.nulls().is_none() && right.nulls().is_none() {
        return BooleanArray::new(left.values() & right.values(), None);
    }
    of(&yes(left) & &yes(right), &(&no(left) | &no(right)))
}

/// True where either is, else unknown where either is.
pub(super) fn or(left: &BooleanArray, right: &BooleanArray) -> BooleanArray {
    if left.nulls().is_none() && right.nulls().is_none() {
        return BooleanArray::new(left.values() | right.values(), None);
    }
    of(&yes(left) | &yes(right), &(&no(left) & &no(right)))
}

fn yes(mask: &BooleanArray) -> BooleanBuffer {
    match mask.nulls() {
        Some(nulls) => mask.values() & nulls.inner(),
        None => mask.values().clone(),
    }
}

fn no(mask: &BooleanArray) -> BooleanBuffer {
    let no = !mask.values();
    match mask.nulls() {
        Some(nulls) => &no & nulls.inner(),
        None => no,
    }
}

fn of(yes: BooleanBuffer, no: &BooleanBuffer) -> BooleanArray {
    let known = &yes | no;
    BooleanArray::new(yes, Some(NullBuffer::new(known)))
}
