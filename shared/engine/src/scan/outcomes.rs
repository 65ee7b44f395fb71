//! What a filter can come to for the records of a row group, as its statistics and the file's directories tell: it may
//! keep none of them, or all of them, without one being read.

use std::{
    cell::OnceCell,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use arrow_schema::DataType;
use willcall_core::query::{CompareOp, Filter, Operand, TextMatch};

use super::{
    OpenFile,
    bounds::{Bounds, ColumnBounds},
    filter_columns,
};

/// What a filter keeps of a row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// No record.
    None,
    /// Some, perhaps: only reading tells.
    Some,
    /// Every record.
    All,
}

/// What a filter comes to in one file: what holds for all its row groups is found out once.
pub(super) struct Outlook<'a> {
    filter: &'a Filter,
    /// Where the footer tells of the columns that the filter looks at, sorted by their names.
    columns: Vec<(&'a str, Option<ColumnBounds<'a>>)>,
    /// What those parts of the filter come to that look at the directories' columns alone, by their places in memory.
    told: HashMap<*const Filter, Outcomes>,
}

impl<'a> Outlook<'a> {
    /// The outlook in this file, where `types` tells the type in which the job reads a column if it is not the file's own.
    pub(super) fn new(
        filter: &'a Filter,
        types: impl Fn(&str) -> Option<DataType>,
        file: &'a OpenFile,
    ) -> Self {
        let column = |name: &'a str| (name, ColumnBounds::of(name, types(name), file));
        let columns = filter_columns(filter).into_iter().map(column).collect();
        let mut told = HashMap::new();
        tell(filter, file, &mut told);
        Self { filter, columns, told }
    }

    /// What the filter keeps of the row group.
    pub(super) fn kept(&self, row_group: usize) -> Kept {
        let bounds = self.columns.iter().map(|_| OnceCell::new()).collect();
        let group = RowGroup { of: self, row_group, bounds };
        // A damaged footer may have statistics of any form.
        let outcomes = catch_unwind(AssertUnwindSafe(|| group.truths(self.filter)));
        match outcomes.unwrap_or(Outcomes::ANY) {
            Outcomes { yes: false, .. } => Kept::None,
            Outcomes { no: false, unknown: false, .. } => Kept::All,
            _ => Kept::Some,
        }
    }
}

/// Notes what the file's directories tell of the filter, or else of its parts.
fn tell(filter: &Filter, file: &OpenFile, told: &mut HashMap<*const Filter, Outcomes>) {
    if let Some(outcome) = file.constants.tells(filter) {
        let outcomes = match outcome {
            Some(true) => Outcomes::YES,
            Some(false) => Outcomes::NO,
            None => Outcomes::UNKNOWN,
        };
        told.insert(ptr::from_ref(filter), outcomes);
        return;
    }
    match filter {
        Filter::And(all) | Filter::Or(all) => all.iter().for_each(|part| tell(part, file, told)),
        Filter::Not(inner) | Filter::IsNotTrue(inner) => tell(inner, file, told),
        _ => {}
    }
}

/// The outcomes that a condition may have among the records of a row group; more of them where in doubt. None at all is a
/// contradiction that only a row group without records could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcomes {
    yes: bool,
    no: bool,
    unknown: bool,
}

impl Outcomes {
    const ANY: Self = Self { yes: true, no: true, unknown: true };
    const YES: Self = Self { yes: true, no: false, unknown: false };
    const NO: Self = Self { yes: false, no: true, unknown: false };
    const UNKNOWN: Self = Self { yes: false, no: false, unknown: true };

    fn and(self, other: Self) -> Self {
        let passes = |one: Self| one.yes || one.unknown;
        Self {
            yes: self.yes && other.yes,
            no: self.no || other.no,
            unknown: (self.unknown && passes(other)) || (passes(self) && other.unknown),
        }
    }

    fn not(self) -> Self {
        Self { yes: self.no, no: self.yes, unknown: self.unknown }
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    fn is_true(self) -> Self {
        Self { yes: self.yes, no: self.no || self.unknown, unknown: false }
    }

    /// Those of all of the parts together; parts after those that decide are not looked at.
    fn of_all(parts: &[Filter], of: impl Fn(&Filter) -> Self) -> Self {
        Self::joined(parts, of, Self::and, (Self::YES, Self::NO))
    }

    /// Those of any of the parts, likewise.
    fn of_any(parts: &[Filter], of: impl Fn(&Filter) -> Self) -> Self {
        Self::joined(parts, of, Self::or, (Self::NO, Self::YES))
    }

    fn joined(
        parts: &[Filter],
        of: impl Fn(&Filter) -> Self,
        with: impl Fn(Self, Self) -> Self,
        (mut joined, decided): (Self, Self),
    ) -> Self {
        for part in parts {
            if joined == decided {
                break;
            }
            joined = with(joined, of(part));
        }
        joined
    }
}

struct RowGroup<'a> {
    of: &'a Outlook<'a>,
    row_group: usize,
    /// Of each column of the outlook, once it is asked for.
    bounds: Vec<OnceCell<Option<Bounds>>>,
}

impl RowGroup<'_> {
    fn bounds(&self, column: &str) -> Option<&Bounds> {
        let columns = &self.of.columns;
        let place = columns.binary_search_by(|(name, _)| (*name).cmp(column)).ok()?;
        let read = || columns[place].1.as_ref()?.row_group(self.row_group);
        self.bounds[place].get_or_init(read).as_ref()
    }

    fn told(&self, filter: &Filter) -> Option<Outcomes> {
        self.of.told.get(&ptr::from_ref(filter)).copied()
    }

    /// Whether the filter is true of a record, which one that is unknown is not: decided by less than its outcomes are.
    fn truths(&self, filter: &Filter) -> Outcomes {
        match filter {
            _ if self.told(filter).is_some() => self.outcomes(filter).is_true(),
            Filter::And(all) => Outcomes::of_all(all, |part| self.truths(part)),
            Filter::Or(any) => Outcomes::of_any(any, |part| self.truths(part)),
            Filter::IsNotTrue(inner) => self.truths(inner).not(),
            other => self.outcomes(other).is_true(),
        }
    }

    fn outcomes(&self, filter: &Filter) -> Outcomes {
        if let Some(told) = self.told(filter) {
            return told;
        }
        match filter {
            Filter::And(all) => Outcomes::of_all(all, |part| self.outcomes(part)),
            Filter::Or(any) => Outcomes::of_any(any, |part| self.outcomes(part)),
            Filter::Not(inner) => self.outcomes(inner).not(),
            Filter::IsNotTrue(inner) => self.truths(inner).not(),
            Filter::Compare { left: Operand::Column(column), op, right } => self
                .values(column, |bounds| (bounds.may_hold(*op, right), bounds.may_hold(other(*op), right))),
            Filter::In { operand: Operand::Column(column), values } => self.values(column, |bounds| {
                let yes = match values.as_slice() {
                    // Sorted: of many, only their span is looked at.
                    [first, .., last] if values.len() > 64 => {
                        bounds.may_hold(CompareOp::Ge, first) && bounds.may_hold(CompareOp::Le, last)
                    }
                    few => few.iter().any(|value| bounds.may_hold(CompareOp::Eq, value)),
                };
                (yes, !bounds.is_one_of(values))
            }),
            Filter::Text {
                operand: Operand::Column(column),
                matches: TextMatch::Prefix,
                pattern,
                ignore_case: false,
            } => self.values(column, |bounds| {
                (bounds.may_begin_with(pattern), bounds.may_begin_otherwise(pattern))
            }),
            Filter::IsNull(Operand::Column(column)) => match self.bounds(column) {
                Some(bounds) if bounds.is_all_null() => Outcomes::YES,
                Some(bounds) if bounds.nulls == Some(0) => Outcomes::NO,
                _ => Outcomes { unknown: false, ..Outcomes::ANY },
            },
            Filter::Compare { .. }
            | Filter::CompareOperands { .. }
            | Filter::In { .. }
            | Filter::Text { .. }
            | Filter::IsNull(_)
            | Filter::AnyElement { .. } => Outcomes::ANY,
        }
    }

    /// The outcomes of a condition on a column's values, which is unknown for null: `of` tells whether it may hold for a
    /// value, and whether it may not.
    fn values(&self, column: &str, of: impl Fn(&Bounds) -> (bool, bool)) -> Outcomes {
        let Some(bounds) = self.bounds(column) else { return Outcomes::ANY };
        if bounds.is_all_null() {
            return Outcomes::UNKNOWN;
        }
        let (yes, no) = of(bounds);
        Outcomes { yes, no, unknown: bounds.nulls != Some(0) }
    }
}

/// The comparison that holds where this one does not.
fn other(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Eq => CompareOp::Ne,
        CompareOp::Ne => CompareOp::Eq,
        CompareOp::Lt => CompareOp::Ge,
        CompareOp::Le => CompareOp::Gt,
        CompareOp::Gt => CompareOp::Le,
        CompareOp::Ge => CompareOp::Lt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All outcomes of three-valued logic, one by one.
    const EACH: [(Outcomes, Option<bool>); 3] =
        [(Outcomes::YES, Some(true)), (Outcomes::NO, Some(false)), (Outcomes::UNKNOWN, None)];

    fn holds(outcomes: Outcomes, outcome: Option<bool>) -> bool {
        match outcome {
            Some(true) => outcomes.yes,
            Some(false) => outcomes.no,
            None => outcomes.unknown,
        }
    }

    fn sets() -> impl Iterator<Item = Outcomes> {
        (0..8_u8).map(|bits| Outcomes { yes: bits & 1 > 0, no: bits & 2 > 0, unknown: bits & 4 > 0 })
    }

    #[test]
    fn outcomes_hold_what_any_two_records_come_to_and_nothing_else() {
        let and = |a: Option<bool>, b: Option<bool>| match (a, b) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
        let or = |a: Option<bool>, b: Option<bool>| and(a.map(|a| !a), b.map(|b| !b)).map(|c| !c);
        for (one, other) in sets().flat_map(|one| sets().map(move |other| (one, other))) {
            for (_, outcome) in EACH {
                let pairs = || EACH.iter().flat_map(|(_, a)| EACH.iter().map(move |(_, b)| (*a, *b)));
                let possible = |both: &dyn Fn(Option<bool>, Option<bool>) -> Option<bool>| {
                    pairs().any(|(a, b)| holds(one, a) && holds(other, b) && both(a, b) == outcome)
                };
                let is_empty = |of: Outcomes| !(of.yes || of.no || of.unknown);
                if is_empty(one) || is_empty(other) {
                    continue;
                }
                assert_eq!(
                    holds(one.and(other), outcome),
                    possible(&and),
                    "{one:?} and {other:?}: {outcome:?}"
                );
                assert_eq!(holds(one.or(other), outcome), possible(&or), "{one:?} or {other:?}: {outcome:?}");
            }
        }
    }

    #[test]
    fn negations_differ_in_what_they_make_of_the_unknown() {
        assert_eq!(Outcomes::UNKNOWN.not(), Outcomes::UNKNOWN);
        assert_eq!(Outcomes::UNKNOWN.is_true().not(), Outcomes::YES);
        for (outcomes, outcome) in EACH {
            assert!(holds(outcomes.not(), outcome.map(|yes| !yes)));
            assert!(holds(outcomes.is_true().not(), Some(outcome != Some(true))));
        }
    }
}
