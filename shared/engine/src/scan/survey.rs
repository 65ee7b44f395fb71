//! What a job will have to read, told by footers and directories before it reads a record.

use arrow_schema::DataType;
use parquet::{basic::Type, file::metadata::ColumnChunkMetaData};
use willcall_core::{catalog::Dataset, job::Values};

use super::{Asked, Kept, OpenFile, Scan, filter_columns, outcomes::Outlook};
use crate::schema::{arrow_type, column_type};

/// A row group, as its footer tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowGroup {
    file: usize,
    rows: u64,
    pub(super) kept: Kept,
    /// Stored bytes of the columns that are read of each record that the filter keeps.
    read_bytes: u64,
    /// Stored bytes of the columns that the filter alone looks at.
    filter_bytes: u64,
    /// The bytes that the values read have in memory.
    value_bytes: u64,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The most bytes, as stored.
    pub(crate) bytes: u64,
    /// The values that may be delivered, where files tell their size.
    pub(crate) values: Option<Values>,
}

/// All row groups of a file, in their order.
pub(super) fn row_groups(
    index: usize,
    file: &OpenFile,
    dataset: &Dataset,
    asked: Asked<'_>,
) -> Vec<RowGroup> {
    let outlook =
        asked.filter.map(|filter| Outlook::new(filter, |name| compared_as(name, file, dataset), file));
    let filter_only: Vec<&str> = asked.filter.map(filter_columns).unwrap_or_default();
    let filter_only: Vec<&str> =
        filter_only.into_iter().filter(|name| asked.read.binary_search(name).is_err()).collect();
    let group = |(number, metadata): (usize, &parquet::file::metadata::RowGroupMetaData)| {
        let rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
        let kept = match &outlook {
            Some(_) if rows == 0 => Kept::None,
            Some(outlook) => outlook.kept(number),
            None => Kept::All,
        };
        let mut group = RowGroup { file: index, rows, kept, read_bytes: 0, filter_bytes: 0, value_bytes: 0 };
        for column in metadata.columns() {
            let Some(root) = column.column_path().parts().first() else { continue };
            if file.constants.tell(root) {
                continue;
            }
            let stored = u64::try_from(column.compressed_size()).unwrap_or(0).min(file.entry.size);
            if asked.read.binary_search(&root.as_str()).is_ok() {
                group.read_bytes = group.read_bytes.saturating_add(stored);
                group.value_bytes = group.value_bytes.saturating_add(value_bytes(column));
            } else if filter_only.contains(&root.as_str()) {
                group.filter_bytes = group.filter_bytes.saturating_add(stored);
            }
        }
        group
    };
    file.parquet().row_groups().iter().enumerate().map(group).collect()
}

/// The type in which the job reads the column, where the file's own is another.
fn compared_as(name: &str, file: &OpenFile, dataset: &Dataset) -> Option<DataType> {
    let accepted = &dataset.column(name)?.data_type;
    let own = file.schema().field_with_name(name).ok()?;
    if column_type(own.data_type()) == *accepted { None } else { arrow_type(accepted) }
}

/// The bytes of a chunk's values. Dictionaries hide the size of what they decode to.
fn value_bytes(column: &ColumnChunkMetaData) -> u64 {
    let values = u64::try_from(column.num_values()).unwrap_or(0);
    let number = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    match column.column_type() {
        Type::BOOLEAN => values.div_ceil(8),
        Type::INT32 | Type::FLOAT => values.saturating_mul(4),
        Type::INT64 | Type::DOUBLE => values.saturating_mul(8),
        Type::INT96 => values.saturating_mul(12),
        Type::FIXED_LEN_BYTE_ARRAY => {
            values.saturating_mul(u64::try_from(column.column_descr().type_length()).unwrap_or(0))
        }
        Type::BYTE_ARRAY => {
            let told = column.unencoded_byte_array_data_bytes().map(number);
            told.unwrap_or_else(|| number(column.uncompressed_size()))
        }
    }
}

impl Scan {
    /// What is read at most for the records of the query from `offset` on, at most `cap`: of a query that sorts or filters
    /// any of them.
    pub(crate) fn reach(&self, any: bool, offset: u64, cap: u64) -> Reach {
        if self.is_text {
            let sizes = self.units.iter().map(|unit| self.snapshot.files[unit.file].size);
            let bytes = if cap == 0 { 0 } else { sizes.sum() };
            let all = self.units.len() == self.snapshot.files.len();
            let values = self.records.filter(|_| all).map(|records| Values { bytes, records });
            return Reach { bytes, values };
        }
        let (mut bytes, mut values) = (0_u64, Values { bytes: 0, records: 0 });
        let (mut before, end) = (0_u64, offset.saturating_add(cap));
        for group in self.groups.iter().filter(|group| group.kept != Kept::None && group.rows > 0) {
            let first = before;
            before = before.saturating_add(group.rows);
            if !any && (before <= offset || first >= end) {
                continue;
            }
            let filter = if group.kept == Kept::Some { group.filter_bytes } else { 0 };
            bytes = bytes.saturating_add(group.read_bytes).saturating_add(filter);
            values.bytes = values.bytes.saturating_add(group.value_bytes);
            values.records = values.records.saturating_add(group.rows);
        }
        // No file gives more than it has, whatever its footer says.
        let mut files: Vec<usize> = self.groups.iter().map(|group| group.file).collect();
        files.dedup();
        let most = files.iter().map(|file| self.snapshot.files[*file].size).sum();
        Reach { bytes: bytes.min(most), values: Some(values) }
    }
}
