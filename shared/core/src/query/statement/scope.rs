//! The names that stand for tables at one place of a statement.

/// Common tables that are in reach, the innermost last, each with how many relations it reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    tables: Vec<(String, usize)>,
}

impl Scope {
    /// How many relations the common table of that name reads, where there is one.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.tables.iter().rev().find(|(known, _)| known == name).map(|(_, weight)| *weight)
    }

    pub(super) fn add(&mut self, name: String, weight: usize) {
        self.tables.push((name, weight));
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|(name, _)| name.as_str())
    }
}
