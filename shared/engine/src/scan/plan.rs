//! Which bytes of a far file a unit needs: known where its pages are, guessed where they are not.

use std::ops::Range;

use parquet::file::metadata::ColumnChunkMetaData;

use super::{OpenFile, Unit};

/// The bytes of a column's chunk, within a file of that size: what a damaged footer says may not be.
pub(super) fn chunk_range(column: &ColumnChunkMetaData, size: u64) -> Range<u64> {
    let number = |n: i64| u64::try_from(n).unwrap_or(0).min(size);
    let data = number(column.data_page_offset());
    let start = column.dictionary_page_offset().map_or(data, |dictionary| number(dictionary).min(data));
    start..start.saturating_add(number(column.compressed_size())).min(size)
}

/// Has what the unit needs of these columns fetched, if it is not here. With `on`, the records after the unit's are
/// wanted next: more is fetched while a trip is made.
pub(super) fn fetch(file: &OpenFile, unit: &Unit, roots: &[usize], on: bool) -> parquet::errors::Result<()> {
    let Some(far) = file.reader.far() else { return Ok(()) };
    let leaves = leaves(file, unit, roots);
    let share = far.share();
    let needed = ranges(file, unit, &leaves, unit.start + unit.rows);
    if !far.lacks(&needed) {
        return Ok(());
    }
    let bytes = size(&needed);
    let group_rows = u64::try_from(file.parquet().row_group(unit.row_group).num_rows()).unwrap_or(0);
    let wanted = if bytes > share {
        // Too much to be held: what is first, and the rest when it is come to.
        let each = share / needed.len().max(1) as u64;
        needed.into_iter().map(|range| range.start..range.end.min(range.start + each)).collect()
    } else if on && bytes > 0 {
        let rows = u128::from(unit.rows) * u128::from(share) / u128::from(bytes);
        let end = unit.start.saturating_add(u64::try_from(rows).unwrap_or(u64::MAX)).min(group_rows);
        ranges(file, unit, &leaves, end)
    } else {
        needed
    };
    file.reader.fetch(&wanted)
}

/// The columns of the file below these roots.
fn leaves(file: &OpenFile, unit: &Unit, roots: &[usize]) -> Vec<usize> {
    let descriptor = file.parquet().file_metadata().schema_descr();
    let columns = file.parquet().row_group(unit.row_group).columns().len();
    (0..columns).filter(|leaf| roots.contains(&descriptor.get_column_root_idx(*leaf))).collect()
}

/// Where the leaves' records lie from the unit's first to before `end`, with the dictionaries that they need.
fn ranges(file: &OpenFile, unit: &Unit, leaves: &[usize], end: u64) -> Vec<Range<u64>> {
    let group = file.parquet().row_group(unit.row_group);
    let rows = u128::try_from(group.num_rows()).unwrap_or(0).max(1);
    let index = file.parquet().offset_index().and_then(|index| index.get(unit.row_group));
    let mut ranges = Vec::with_capacity(2 * leaves.len());
    for leaf in leaves {
        let column = group.column(*leaf);
        let chunk = chunk_range(column, file.entry.size);
        let data = u64::try_from(column.data_page_offset()).unwrap_or(0).clamp(chunk.start, chunk.end);
        let pages = index.and_then(|index| index.get(*leaf)).map(|index| index.page_locations().as_slice());
        let (from, to) = match pages {
            Some(pages) if !pages.is_empty() => {
                let first = |row: u64| {
                    pages
                        .partition_point(|p| u64::try_from(p.first_row_index).is_ok_and(|first| first <= row))
                };
                let place = |page: usize| pages.get(page).and_then(|p| u64::try_from(p.offset).ok());
                let from = place(first(unit.start).saturating_sub(1)).unwrap_or(data);
                (from, place(first(end.saturating_sub(1))).unwrap_or(chunk.end))
            }
            _ => {
                // Pages are not of one size: a little more on both sides is likelier to hold them.
                let length = u128::from(chunk.end - data);
                let at = |row: u64| data + u64::try_from(length * u128::from(row) / rows).unwrap_or(0);
                let slack = (chunk.end - data) / 64;
                let from = if unit.start == 0 { data } else { at(unit.start).saturating_sub(slack) };
                (from, at(end) + slack)
            }
        };
        let from = from.clamp(data, chunk.end);
        let to = to.clamp(from, chunk.end);
        if data > chunk.start {
            ranges.push(chunk.start..data);
        }
        ranges.push(from..to);
    }
    ranges
}

fn size(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}
