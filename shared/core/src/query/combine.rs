//! What callers do with whole filters.

use std::collections::BTreeSet;

use super::{Filter, Operand};

impl Filter {
    /// All of the filters: one AND without ANDs directly inside. Of none, the filter that keeps every record.
    pub fn all(filters: Vec<Self>) -> Self {
        let mut members = Vec::with_capacity(filters.len());
        for filter in filters {
            match filter {
                Self::And(inner) => members.extend(inner),
                other => members.push(other),
            }
        }
        if members.len() == 1 { members.swap_remove(0) } else { Self::And(members) }
    }

    /// The columns whose values decide.
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.collect_columns(&mut names);
        names
    }

    fn collect_columns<'f>(&'f self, names: &mut BTreeSet<&'f str>) {
        match self {
            Self::And(members) | Self::Or(members) => {
                members.iter().for_each(|member| member.collect_columns(names));
            }
            Self::Not(inner) | Self::IsNotTrue(inner) => inner.collect_columns(names),
            Self::Compare { left: operand, .. }
            | Self::In { operand, .. }
            | Self::Text { operand, .. }
            | Self::IsNull(operand) => names.extend(operand.column()),
            Self::CompareOperands { left, right, .. } => {
                names.extend(left.column());
                names.extend(right.column());
            }
            Self::AnyElement { column, condition } => {
                names.insert(column);
                condition.collect_columns(names);
            }
        }
    }
}

impl Operand {
    /// The column that the value comes from; `None` for the element of a list, whose column its list names.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Column(name) | Self::Call(_, name) => Some(name),
            Self::Element => None,
        }
    }
}
