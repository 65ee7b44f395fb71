//! Columns whose values directories tell: one value for all records of a file.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_schema::{DataType, Field, FieldRef};
use arrow_select::take::take;
use willcall_core::{
    catalog::{Column, ColumnType, Dataset, Partition},
    ports::DataFileEntry,
    query::Filter,
};

use super::filter_columns;
use crate::{filter::evaluate, read::single, schema::arrow_type};

/// What the directories of each file tell: the same columns for all files. The error names two files that differ.
fn told(files: &[DataFileEntry]) -> Result<Vec<Vec<Partition>>, String> {
    let of = |file: &DataFileEntry| Partition::of_file(&file.name).unwrap_or_default();
    let told: Vec<Vec<Partition>> = files.iter().map(of).collect();
    let columns = |of: &[Partition]| of.iter().map(|one| one.column.clone()).collect::<Vec<_>>();
    let Some(first) = told.first() else { return Ok(told) };
    let first = columns(first);
    if let Some(twice) = first.iter().enumerate().find(|(at, name)| first[..*at].contains(name)) {
        return Err(format!("{}: its directories tell the column {:?} twice", files[0].name, twice.1));
    }
    if let Some(other) = told.iter().position(|other| columns(other) != first) {
        return Err(format!(
            "the directories of a data set tell the same columns: those of {:?} are {first:?}, those of {:?} are {:?}",
            files[0].name,
            files[other].name,
            columns(&told[other])
        ));
    }
    Ok(told)
}

/// The columns that directories tell, each of the type in `declared`, or else of the narrowest that all its values have:
/// whole numbers, with zeros before them too, then dates, then text.
pub(crate) fn inferred(files: &[DataFileEntry], declared: &[Column]) -> Result<Vec<Column>, String> {
    let told = told(files)?;
    let Some(first) = told.first() else { return Ok(Vec::new()) };
    let mut columns = Vec::with_capacity(first.len());
    for (at, Partition { column: name, .. }) in first.iter().enumerate() {
        let values = || told.iter().filter_map(|of| of[at].value.as_deref());
        let all = |data_type: &DataType| values().all(|value| single(data_type, Some(value)).is_some());
        let data_type = match declared.iter().find(|column| column.name == *name) {
            Some(column) => column.data_type.clone(),
            None if values().next().is_none() => ColumnType::Text,
            None if all(&DataType::Int64) => ColumnType::Int { bits: 64, signed: true },
            None if all(&DataType::Date32) => ColumnType::Date,
            None => ColumnType::Text,
        };
        let nullable = told.iter().any(|of| of[at].value.is_none());
        columns.push(Column { name: name.clone(), data_type, nullable });
    }
    Partitions::of(files, |name| columns.iter().find(|column| column.name == name))?;
    Ok(columns)
}

/// The columns that directories tell, and their values for each file.
pub(crate) struct Partitions {
    pub(super) fields: Vec<FieldRef>,
    of: Vec<Arc<Constants>>,
}

impl Partitions {
    /// Of the files of a data set that was inspected, in the types that were found then.
    pub(super) fn of_dataset(files: &[DataFileEntry], dataset: &Dataset) -> Result<Self, String> {
        Self::of(files, |name| dataset.column(name))
    }

    /// Of files with these columns, where that is known by other means.
    pub(crate) fn of_columns(files: &[DataFileEntry], columns: &[Column]) -> Result<Self, String> {
        Self::of(files, |name| columns.iter().find(|column| column.name == name))
    }

    /// Each column that directories tell, with its value for each of so many files.
    pub(crate) fn told(&self, files: usize) -> impl Iterator<Item = (String, Vec<ArrayRef>)> + '_ {
        self.fields.iter().map(move |field| {
            let of = (0..files).filter_map(|file| self.file(file).one(field.name()).map(Arc::clone));
            (field.name().clone(), of.collect())
        })
    }

    fn of<'a>(files: &[DataFileEntry], column: impl Fn(&str) -> Option<&'a Column>) -> Result<Self, String> {
        let told = told(files)?;
        let mut fields: Vec<FieldRef> = Vec::new();
        for Partition { column: name, .. } in told.first().into_iter().flatten() {
            let of = column(name).and_then(|column| arrow_type(&column.data_type));
            let data_type =
                of.ok_or_else(|| format!("the column {name:?}, which directories tell, is not known"))?;
            fields.push(Arc::new(Field::new(name, data_type, true)));
        }
        let mut of = Vec::with_capacity(files.len());
        for (file, told) in files.iter().zip(told) {
            let mut constants = Vec::with_capacity(fields.len());
            for (field, Partition { value, .. }) in fields.iter().zip(told) {
                let one = single(field.data_type(), value.as_deref()).ok_or_else(|| {
                    let of = crate::schema::column_type(field.data_type());
                    let value = value.as_deref().unwrap_or_default();
                    format!(
                        "{}: {value:?}, which its directory tells of {:?}, is not {of}",
                        file.name,
                        field.name()
                    )
                })?;
                constants.push((field.name().clone(), one));
            }
            of.push(Arc::new(Constants(constants)));
        }
        Ok(Self { fields, of })
    }

    /// What is told of the file of that number.
    pub(super) fn file(&self, index: usize) -> Arc<Constants> {
        self.of.get(index).map(Arc::clone).unwrap_or_default()
    }
}

/// The columns of one file that have one value in all its records.
#[derive(Debug, Default)]
pub(crate) struct Constants(Vec<(String, ArrayRef)>);

impl Constants {
    /// The column of that name, for so many records, if it is one of them.
    pub(super) fn column(&self, name: &str, rows: usize) -> Option<ArrayRef> {
        let one = self.one(name)?;
        // Its only value, again and again: what cannot fail.
        take(one, &UInt32Array::from(vec![0; rows]), None).ok()
    }

    /// Whether the column is one of them.
    pub(super) fn tell(&self, name: &str) -> bool {
        self.one(name).is_some()
    }

    fn one(&self, name: &str) -> Option<&ArrayRef> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, one)| one)
    }

    /// Whether the filter keeps the file's records, where it looks at these columns alone.
    fn decide(&self, filter: &Filter) -> Option<bool> {
        self.tells(filter).map(|told| told == Some(true))
    }

    /// What the filter comes to for the file's records, where it looks at these columns alone: true, false, or unknown.
    pub(super) fn tells(&self, filter: &Filter) -> Option<Option<bool>> {
        if self.0.is_empty() {
            return None;
        }
        let columns = filter_columns(filter);
        if columns.is_empty() || columns.iter().any(|name| self.one(name).is_none()) {
            return None;
        }
        let column = |name: &str| self.one(name).cloned().ok_or_else(|| name.to_owned());
        let kept = evaluate(filter, 1, &column).ok()?;
        Some(kept.is_valid(0).then(|| kept.value(0)))
    }

    /// Whether the filter may keep a record of the file, as far as these columns tell.
    pub(super) fn may_match(&self, filter: &Filter) -> bool {
        self.decide(filter).unwrap_or_else(|| match filter {
            Filter::And(all) => all.iter().all(|filter| self.may_match(filter)),
            Filter::Or(any) => any.iter().any(|filter| self.may_match(filter)),
            _ => true,
        })
    }
}
