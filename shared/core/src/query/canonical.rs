//! One form for filters that say the same in other words, so that equal requests have equal hashes and the engine
//! meets few shapes. Every step keeps the meaning, unknown included.

use std::cmp::Ordering;

use super::{CompareOp, Filter, Literal, Operand, TextMatch};

impl Filter {
    /// The canonical form: AND and OR flat, sorted and without repetitions; equalities of one value joined by OR as
    /// one [`Filter::In`] with sorted members, one member as an equality; no double NOT; LIKE without a need for
    /// it as equality, prefix or part. Deterministic, and its own canonical form.
    pub fn canonical(self) -> Self {
        match self {
            Self::And(members) => join(members, true),
            Self::Or(members) => join(members, false),
            Self::Not(inner) => negate(inner.canonical()),
            Self::IsNotTrue(inner) => {
                let inner = inner.canonical();
                if inner.is_never_unknown() { negate(inner) } else { Self::IsNotTrue(Box::new(inner)) }
            }
            Self::In { operand, values } => set(operand, values),
            Self::CompareOperands { left, op, right } => {
                if key(&left) <= key(&right) {
                    Self::CompareOperands { left, op, right }
                } else {
                    Self::CompareOperands { left: right, op: op.flip(), right: left }
                }
            }
            Self::Text { operand, matches: TextMatch::Like, pattern, ignore_case: false } => {
                simplify_like(operand, pattern)
            }
            // Any text contains nothing, and begins with it.
            Self::Text { operand, matches: TextMatch::Contains, pattern, .. } if pattern.is_empty() => {
                Self::Text { operand, matches: TextMatch::Prefix, pattern, ignore_case: false }
            }
            Self::AnyElement { column, condition } => {
                Self::AnyElement { column, condition: Box::new(condition.canonical()) }
            }
            Self::Compare { left, op: CompareOp::Ne, right: Literal::Bool(value) } => {
                Self::Compare { left, op: CompareOp::Eq, right: Literal::Bool(!value) }
            }
            leaf @ (Self::Compare { .. } | Self::Text { .. } | Self::IsNull(_)) => leaf,
        }
    }

    /// Whether the filter is true or false for every record.
    fn is_never_unknown(&self) -> bool {
        match self {
            Self::IsNull(_) | Self::IsNotTrue(_) => true,
            Self::Not(inner) => inner.is_never_unknown(),
            Self::And(members) | Self::Or(members) => members.iter().all(Self::is_never_unknown),
            _ => false,
        }
    }
}

impl CompareOp {
    /// The operator with its sides exchanged.
    pub fn flip(self) -> Self {
        match self {
            Self::Eq => Self::Eq,
            Self::Ne => Self::Ne,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
        }
    }
}

fn negate(canonical: Filter) -> Filter {
    match canonical {
        Filter::Not(inner) => *inner,
        Filter::And(members) if members.is_empty() => Filter::Or(members),
        Filter::Or(members) if members.is_empty() => Filter::And(members),
        Filter::Compare { left, op: CompareOp::Eq, right: Literal::Bool(value) } => {
            Filter::Compare { left, op: CompareOp::Eq, right: Literal::Bool(!value) }
        }
        // Only equality: `NOT x < 1` and `x >= 1` part ways where x is NaN.
        Filter::Compare { left, op: CompareOp::Eq, right } => {
            Filter::Compare { left, op: CompareOp::Ne, right }
        }
        Filter::Compare { left, op: CompareOp::Ne, right } => {
            Filter::Compare { left, op: CompareOp::Eq, right }
        }
        other => Filter::Not(Box::new(other)),
    }
}

fn join(members: Vec<Filter>, and: bool) -> Filter {
    let mut flat = Vec::with_capacity(members.len());
    for member in members {
        match (member.canonical(), and) {
            (Filter::And(inner), true) | (Filter::Or(inner), false) => flat.extend(inner),
            // False decides an AND, true an OR.
            (Filter::Or(inner), true) if inner.is_empty() => return Filter::Or(inner),
            (Filter::And(inner), false) if inner.is_empty() => return Filter::And(inner),
            (other, _) => flat.push(other),
        }
    }
    if !and {
        flat = merge_elements(merge_equalities(flat));
    }
    let mut keyed: Vec<(String, Filter)> = flat.into_iter().map(|member| (key(&member), member)).collect();
    keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
    keyed.dedup_by(|(one, _), (other, _)| one == other);
    if keyed.len() == 1 {
        return keyed.swap_remove(0).1;
    }
    let members = keyed.into_iter().map(|(_, member)| member).collect();
    if and { Filter::And(members) } else { Filter::Or(members) }
}

/// Makes one list of all equalities and lists of the same value.
fn merge_equalities(members: Vec<Filter>) -> Vec<Filter> {
    let mut sets: Vec<(Operand, Vec<Literal>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let mut rest = Vec::new();
    for member in members {
        let (operand, values) = match member {
            Filter::Compare { left, op: CompareOp::Eq, right } => (left, vec![right]),
            Filter::In { operand, values } => (operand, values),
            other => {
                rest.push(other);
                continue;
            }
        };
        let place = *places.entry(operand.clone()).or_insert(sets.len());
        match sets.get_mut(place) {
            Some((_, all)) => all.extend(values),
            None => sets.push((operand, values)),
        }
    }
    rest.extend(sets.into_iter().map(|(operand, values)| set(operand, values)));
    rest
}

/// `any element is a` or `any element is b` is `any element is a or b`.
fn merge_elements(members: Vec<Filter>) -> Vec<Filter> {
    let mut lists: Vec<(String, Vec<Filter>)> = Vec::new();
    let mut rest = Vec::new();
    for member in members {
        match member {
            Filter::AnyElement { column, condition } => {
                match lists.iter_mut().find(|(name, _)| *name == column) {
                    Some((_, conditions)) => conditions.push(*condition),
                    None => lists.push((column, vec![*condition])),
                }
            }
            other => rest.push(other),
        }
    }
    rest.extend(lists.into_iter().map(|(column, conditions)| Filter::AnyElement {
        column,
        condition: Box::new(join(conditions, false)),
    }));
    rest
}

fn set(operand: Operand, mut values: Vec<Literal>) -> Filter {
    values.sort_by(order);
    values.dedup_by(|one, other| order(one, other) == Ordering::Equal);
    if values.len() == 1 {
        return Filter::Compare { left: operand, op: CompareOp::Eq, right: values.swap_remove(0) };
    }
    Filter::In { operand, values }
}

/// A total order: literals by value, NaN included.
fn order(one: &Literal, other: &Literal) -> Ordering {
    match (one, other) {
        (Literal::Float(one), Literal::Float(other)) => one.total_cmp(other),
        _ => one.partial_cmp(other).unwrap_or(Ordering::Equal),
    }
}

fn simplify_like(operand: Operand, pattern: String) -> Filter {
    // The text between the wildcards, and where they stand.
    let mut plain = String::with_capacity(pattern.len());
    let mut wildcards = Vec::new();
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(escaped) => plain.push(escaped),
                None => {
                    return Filter::Text { operand, matches: TextMatch::Like, pattern, ignore_case: false };
                }
            },
            '_' => return Filter::Text { operand, matches: TextMatch::Like, pattern, ignore_case: false },
            '%' => wildcards.push(plain.len()),
            other => plain.push(other),
        }
    }
    let end = plain.len();
    let at_start = wildcards.contains(&0);
    let at_end = wildcards.contains(&end);
    let inside = wildcards.iter().any(|place| *place != 0 && *place != end);
    let matches = match (at_start, at_end, inside) {
        (false, false, false) => {
            return Filter::Compare { left: operand, op: CompareOp::Eq, right: Literal::Text(plain) };
        }
        (false, true, false) => TextMatch::Prefix,
        (true, true, false) if end == 0 => TextMatch::Prefix,
        (true, true, false) => TextMatch::Contains,
        _ => return Filter::Text { operand, matches: TextMatch::Like, pattern, ignore_case: false },
    };
    Filter::Text { operand, matches, pattern: plain, ignore_case: false }
}

/// What members are sorted by: their stored form. It cannot fail for these types.
fn key(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
