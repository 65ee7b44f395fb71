//! Writes records as text: what stands around them, their pages, and their compression.

use std::{ops::Range, sync::Arc, thread::Scope};

use arrow_schema::FieldRef;
use bytes::Bytes;
use willcall_core::{
    format::{Compression, OutputFormat},
    job::pages::frame,
};

use crate::{
    attempt::Attempt,
    failure::{Outcome, defect},
    formats::{Chunk, compress::compress},
    ordered::ordered,
    sink::{Cutter, Sink, Trimmed},
};

/// How the records are written.
pub(super) struct Layout<'a> {
    pub(super) output: &'a OutputFormat,
    pub(super) fields: &'a [FieldRef],
    pub(super) page_size: u32,
    pub(super) separator: usize,
    pub(super) threads: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) records: u64,
    pub(super) non_finite: u64,
}

/// Writes the records in order.
pub(super) fn write<'scope, I>(
    scope: &'scope Scope<'scope, '_>,
    attempt: &Arc<Attempt>,
    layout: &Layout<'_>,
    records: Trimmed<I>,
    sink: &mut Sink,
) -> Outcome<Told>
where
    I: Iterator<Item = Outcome<Chunk>> + Send + 'scope,
{
    let (before, after) = frame(layout.output, layout.fields.iter().map(|field| field.name().as_str()));
    let compression = layout.output.compression;
    let around = |piece: &[u8]| match piece {
        [] => Ok(Vec::new()),
        _ => compress(compression, piece).map_err(defect),
    };
    sink.write(&around(&before)?)?;
    let told = match compression {
        Compression::None => plain(attempt, layout, records, sink)?,
        _ => compressed(scope, attempt, layout, records, sink)?,
    };
    if told.records == 0 {
        // An empty member too: a file of no bytes at all is no gzip.
        let page = compress(compression, b"").map_err(defect)?;
        sink.page(sink.position(), page.len() as u64)?;
        sink.write(&page)?;
    }
    sink.write(&around(after)?)?;
    Ok(told)
}

fn plain<I: Iterator<Item = Outcome<Chunk>>>(
    attempt: &Attempt,
    layout: &Layout<'_>,
    records: Trimmed<I>,
    sink: &mut Sink,
) -> Outcome<Told> {
    let mut cutter = Cutter::new(layout.page_size, layout.separator);
    let mut told = Told::default();
    let mut page: Option<Range<u64>> = None;
    for piece in records {
        attempt.check()?;
        if sink.is_full() {
            break;
        }
        let (chunk, mut rows) = piece?;
        // The file's first record has no separator before it.
        let begin = start_of(&chunk, rows.start) + if told.records == 0 { layout.separator } else { 0 };
        let offset = |at: usize| sink_offset(sink, at, begin);
        let mut ended = Vec::new();
        for row in rows.clone() {
            let start = start_of(&chunk, row) + layout.separator;
            let end = chunk.ends[row];
            if cutter.begins_page(end - start) {
                ended.extend(page.take());
            }
            let first = page.as_ref().map_or_else(|| offset(start), |page| page.start);
            page = Some(first..offset(end));
            if sink.is_full_at(offset(end)) {
                // This record is the last, whatever piece it came in.
                rows.end = row + 1;
                break;
            }
        }
        for page in ended {
            sink.page(page.start, page.end - page.start)?;
        }
        told.count(&chunk, &rows, attempt);
        let end = chunk.ends[rows.end - 1];
        sink.write_owned(Bytes::from(chunk.text).slice(begin..end))?;
    }
    if let Some(page) = page {
        sink.page(page.start, page.end - page.start)?;
    }
    Ok(told)
}

fn sink_offset(sink: &Sink, at: usize, begin: usize) -> u64 {
    sink.position() + (at - begin) as u64
}

fn start_of(chunk: &Chunk, row: usize) -> usize {
    row.checked_sub(1).map_or(0, |before| chunk.ends[before])
}

fn compressed<'scope, I>(
    scope: &'scope Scope<'scope, '_>,
    attempt: &Arc<Attempt>,
    layout: &Layout<'_>,
    records: Trimmed<I>,
    sink: &mut Sink,
) -> Outcome<Told>
where
    I: Iterator<Item = Outcome<Chunk>> + Send + 'scope,
{
    let compression = layout.output.compression;
    let pages = Pages {
        records,
        cutter: Cutter::new(layout.page_size, layout.separator),
        separator: layout.separator,
        open: None,
        page: Page::default(),
    };
    // Small pages go together: a thread is not woken for a few kilobytes.
    let groups = Groups { pages };
    let watched = Arc::clone(attempt);
    let work = move |pages: Vec<Page>, emit: &crate::ordered::Emit<Vec<Page>>| {
        let mut done = Vec::with_capacity(pages.len());
        for page in pages {
            watched.check()?;
            done.push(Page { text: compress(compression, &page.text).map_err(defect)?, ..page });
        }
        emit.send(done)
    };
    let separator = match layout.separator {
        0 => Vec::new(),
        _ => compress(compression, b",").map_err(defect)?,
    };
    let mut told = Told::default();
    for pages in ordered(scope, layout.threads, 1, groups, work)? {
        attempt.check()?;
        for page in pages? {
            if sink.is_full() {
                return Ok(told);
            }
            if told.records > 0 {
                sink.write(&separator)?;
            }
            sink.page(sink.position(), page.text.len() as u64)?;
            sink.write(&page.text)?;
            told.records += page.records;
            told.non_finite += page.non_finite;
            attempt.control.add_written(page.records, 0);
        }
    }
    Ok(told)
}

impl Told {
    fn count(&mut self, chunk: &Chunk, rows: &Range<usize>, attempt: &Attempt) {
        self.records += rows.len() as u64;
        let odd = chunk.non_finite.iter().filter(|(row, _)| rows.contains(row));
        self.non_finite += odd.map(|(_, count)| count).sum::<u64>();
        attempt.control.add_written(rows.len() as u64, 0);
    }
}

/// The text of one page, or its compressed form.
#[derive(Default)]
struct Page {
    text: Vec<u8>,
    records: u64,
    non_finite: u64,
}

/// Cuts records into the texts of pages.
struct Pages<I> {
    records: Trimmed<I>,
    cutter: Cutter,
    separator: usize,
    open: Option<(Chunk, Range<usize>)>,
    page: Page,
}

impl<I: Iterator<Item = Outcome<Chunk>>> Iterator for Pages<I> {
    type Item = Outcome<Page>;

    fn next(&mut self) -> Option<Outcome<Page>> {
        loop {
            let (chunk, rows) = match self.open.take() {
                Some(open) => open,
                None => match self.records.next() {
                    Some(Ok(open)) => open,
                    Some(Err(error)) => return Some(Err(error)),
                    None if self.page.records > 0 => return Some(Ok(std::mem::take(&mut self.page))),
                    None => return None,
                },
            };
            for row in rows.clone() {
                let start = start_of(&chunk, row) + self.separator;
                let text = &chunk.text[start..chunk.ends[row]];
                let ended = self.cutter.begins_page(text.len()).then(|| std::mem::take(&mut self.page));
                if self.page.records > 0 && self.separator > 0 {
                    self.page.text.push(b',');
                }
                self.page.text.extend_from_slice(text);
                self.page.records += 1;
                if let Ok(at) = chunk.non_finite.binary_search_by_key(&row, |(row, _)| *row) {
                    self.page.non_finite += chunk.non_finite[at].1;
                }
                if let Some(page) = ended {
                    self.open = Some((chunk, row + 1..rows.end)).filter(|(_, rows)| !rows.is_empty());
                    return Some(Ok(page));
                }
            }
        }
    }
}

/// Pages in groups of about a megabyte.
struct Groups<I> {
    pages: I,
}

const GROUP_BYTES: usize = 1 << 20;

impl<I: Iterator<Item = Outcome<Page>>> Iterator for Groups<I> {
    type Item = Outcome<Vec<Page>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while bytes < GROUP_BYTES {
            match self.pages.next() {
                Some(Ok(page)) => {
                    bytes += page.text.len();
                    group.push(page);
                }
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        (!group.is_empty()).then_some(Ok(group))
    }
}
