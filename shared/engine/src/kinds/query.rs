//! Records of a data set: filtered, sorted if asked for, cut, and written.

use std::{
    sync::Arc,
    thread::{self, Scope},
};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{FieldRef, Schema};
use willcall_core::{
    catalog::Dataset,
    job::{FoundBy, Stage, Truncation, TruncationReason, kinds::QueryWork},
    ports::DataFiles,
};

use super::{
    Made,
    count::{Count, Times, count, in_time},
    tally::Tally,
    text,
    write::{self, Target, TrimmedBatches},
};
use crate::{
    EngineConfig,
    attempt::Attempt,
    failure::{Outcome, defect},
    formats::{Chunk, TextEncoder, parquet::Columns},
    ordered::{Emit, ordered},
    scan::{Asked, Reading, Scan, Unit, filter_columns},
    schema::column,
    sink::{Sink, Trimmed},
    snapshot::Snapshot,
    sort::{self, Sort},
    spill::{Purpose, Spill},
};

/// Pieces of one unit's outcome that may wait: with a piece of about half a megabyte, a unit's text fits.
const PIECES: usize = 16;

/// Batches of one unit that may wait: with a batch of about two megabytes, most units fit.
const BATCHES: usize = 8;

/// When text is handed on.
const CHUNK_BYTES: usize = 512 << 10;

/// A query with everything that it needs.
pub(crate) struct Query<'a> {
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) work: &'a QueryWork,
    pub(crate) dataset: &'a Dataset,
    pub(crate) files: Arc<dyn DataFiles>,
    pub(crate) snapshot: Snapshot,
    pub(crate) config: &'a EngineConfig,
}

impl Query<'_> {
    /// Runs the query to its end. Blocks: belongs on a thread of its own.
    pub(crate) fn run(self, mut sink: Sink) -> Outcome<Made> {
        let work = self.work;
        self.attempt.check()?;
        // Of a sample, the query that it stands for is asked about.
        let inquiry = self.attempt.control.inquiry();
        let mut read: Vec<&str> = work.fields.iter().map(String::as_str).collect();
        read.extend(work.sort.iter().map(|key| key.column.as_str()));
        read.extend(inquiry.iter().flat_map(|inquiry| &inquiry.sort).map(String::as_str));
        read.sort_unstable();
        read.dedup();
        let mut used = read.clone();
        used.extend(work.filter.iter().flat_map(filter_columns));
        used.sort_unstable();
        used.dedup();
        let scan = {
            let source = (Arc::clone(&self.files), self.snapshot.clone());
            let (filter, memory) = (work.filter.as_ref(), self.config.read_memory);
            let asked = Asked { used: &used, read: &read, filter, memory };
            Arc::new(Scan::plan(&self.attempt, source, self.dataset, asked)?)
        };
        // Without the footers nothing is known at all: reading them is no part of the time.
        let times = Times::from_now(inquiry.as_ref());
        let fields: Vec<FieldRef> =
            work.fields.iter().map(|name| scan.field(name).cloned()).collect::<Outcome<_>>()?;
        let encoder = TextEncoder::new(&work.output, &fields)?;
        let reading =
            Arc::new(Reading::new(Arc::clone(&scan), Arc::clone(&self.attempt), work.filter.clone()));
        let tally = Arc::new(Tally::new(&self.attempt, scan.units.len()));

        let control = &self.attempt.control;
        if let Some(limit) = work.limit {
            control.set_requested(limit);
        }
        let known = scan.records().filter(|_| work.filter.is_none());
        if let Some(known) = known {
            self.tell_found(known);
        }
        let told = thread::scope(|scope| {
            let (scan, reading, tally, fields) = (&scan, &reading, &tally, &fields[..]);
            let run = Run { query: &self, scan, reading, tally, fields, times };
            match encoder {
                Some(encoder) => run.write_text(scope, encoder, &mut sink),
                None => run.write_columns(scope, &mut sink),
            }
        })?;
        let count = match known {
            Some(known) => Count::exact(known, FoundBy::Statistics),
            None => count(&self, &scan, &reading, &tally, times)?,
        };
        if let Some(found) = count.found() {
            self.tell_found(found);
        }
        scan.check()?;
        if let Some(inquiry) = &inquiry {
            control.tell_survey(count.survey(&scan, inquiry, work.filter.is_some()));
        }
        control.enter(Stage::Committing);
        let there = count.likely.saturating_sub(work.offset);
        let truncated = if sink.is_full() && told.records < there.min(work.cap()) {
            Some(Truncation { reason: TruncationReason::DailyLimit, limit: told.records })
        } else if work.plan_may_cut() && there > work.max_records {
            Some(Truncation { reason: TruncationReason::PlanLimit, limit: work.max_records })
        } else {
            None
        };
        let written = sink.finish()?;
        Ok(Made {
            records: told.records,
            non_finite: told.non_finite,
            pages: work.output.format.is_text().then_some(written.pages),
            written,
            found: count.found(),
            counts: None,
            schema: fields.iter().map(|field| column(field)).collect(),
            truncated,
            version: scan.snapshot.version.clone(),
            files: scan.snapshot.files.len() as u64,
            files_read: scan.files_read(),
        })
    }

    fn threads(&self) -> usize {
        self.config.threads.max(1)
    }

    /// Threads that read: of far files more than there are cores, as some wait while others decode.
    pub(super) fn readers(&self, scan: &Scan) -> usize {
        if scan.is_far() { 2 * self.threads() } else { self.threads() }
    }

    fn tell_found(&self, found: u64) {
        self.attempt.control.set_found(found);
        if self.work.limit.is_none() {
            self.attempt.control.set_requested(found.saturating_sub(self.work.offset));
        }
    }
}

/// One run of a query: what its pipelines share.
struct Run<'a> {
    query: &'a Query<'a>,
    scan: &'a Arc<Scan>,
    reading: &'a Arc<Reading>,
    tally: &'a Arc<Tally>,
    fields: &'a [FieldRef],
    times: Times,
}

/// The records to be read, and what is still to be left out of them.
struct Wanted {
    units: Vec<(usize, Unit)>,
    skip: u64,
    take: u64,
}

impl Run<'_> {
    fn write_text<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        encoder: TextEncoder,
        sink: &mut Sink,
    ) -> Outcome<text::Told> {
        let query = self.query;
        if query.work.sort.is_empty() {
            let layout = self.target().layout(&encoder);
            let wanted = self.wanted();
            query.attempt.control.enter(Stage::Writing);
            self.tally.expect(wanted.units.len(), 0);
            let (reading, tally) = (Arc::clone(self.reading), Arc::clone(self.tally));
            let (fields, until) = (self.fields.to_vec(), self.times.sample);
            let work = move |(number, unit): (usize, Unit), emit: &Emit<Chunk>| {
                let mut chunk = Chunk::default();
                let each = |columns: Vec<ArrayRef>, rows: usize| {
                    encoder.encode(&columns, rows, &mut chunk).map_err(defect)?;
                    if chunk.text.len() >= CHUNK_BYTES {
                        let next = Chunk { text: Vec::with_capacity(chunk.text.len()), ..Chunk::default() };
                        emit.send(std::mem::replace(&mut chunk, next))?;
                    }
                    Ok(())
                };
                reading.read(&unit, &fields, until, |matched| tally.set(number, matched), each)?;
                if !chunk.ends.is_empty() {
                    emit.send(chunk)?;
                }
                tally.unit_done();
                Ok(())
            };
            let jobs = in_time(wanted.units, until).map(Ok);
            let chunks = ordered(scope, query.readers(self.scan), PIECES, jobs, work)?;
            let records = Trimmed { chunks, skip: wanted.skip, take: wanted.take };
            text::write(scope, &query.attempt, &layout, records, sink)
        } else {
            write::text(scope, &self.target(), encoder, self.sorted(scope)?, sink)
        }
    }

    /// Writes a format that takes the records as columns.
    fn write_columns<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        sink: &mut Sink,
    ) -> Outcome<text::Told> {
        let query = self.query;
        let batches: Box<dyn Iterator<Item = Outcome<Columns>> + Send + 'scope> =
            if query.work.sort.is_empty() {
                query.attempt.control.enter(Stage::Writing);
                let wanted = self.wanted();
                self.tally.expect(wanted.units.len(), 0);
                let batches = self.batches(scope, wanted.units, self.fields.to_vec())?;
                Box::new(TrimmedBatches { batches, skip: wanted.skip, take: wanted.take })
            } else {
                Box::new(self.sorted(scope)?)
            };
        write::columns(scope, &self.target(), self.scan.without_dictionary(), batches, sink)
    }

    fn target(&self) -> Target<'_> {
        let query = self.query;
        Target {
            attempt: &query.attempt,
            threads: query.threads(),
            output: &query.work.output,
            page_size: query.work.page_size,
            fields: self.fields,
            title: &query.dataset.name,
        }
    }

    /// The units to read: where their records are known, without a filter, those alone that hold some within offset and
    /// limit.
    fn wanted(&self) -> Wanted {
        let work = self.query.work;
        let numbered = self.scan.units.iter().copied().enumerate();
        if work.filter.is_some() || !self.scan.is_counted() {
            let units = if work.cap() == 0 { Vec::new() } else { numbered.collect() };
            return Wanted { units, skip: work.offset, take: work.cap() };
        }
        let (mut skip, mut left) = (work.offset, work.cap());
        let mut units = Vec::new();
        for (number, unit) in numbered {
            if left == 0 {
                break;
            }
            let skipped = skip.min(unit.rows);
            skip -= skipped;
            let rows = (unit.rows - skipped).min(left);
            if rows > 0 {
                left -= rows;
                units.push((number, Unit { start: unit.start + skipped, rows, ..unit }));
            }
        }
        Wanted { units, skip: 0, take: work.cap() }
    }

    /// The records of the units in their order, with these columns.
    fn batches<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        units: Vec<(usize, Unit)>,
        fields: Vec<FieldRef>,
    ) -> Outcome<impl Iterator<Item = Outcome<Columns>> + Send + use<'scope>> {
        let (reading, tally) = (Arc::clone(self.reading), Arc::clone(self.tally));
        let until = self.times.sample;
        let work = move |(number, unit): (usize, Unit), emit: &Emit<Columns>| {
            let each = |columns: Vec<ArrayRef>, rows: usize| emit.send((columns, rows));
            reading.read(&unit, &fields, until, |matched| tally.set(number, matched), each)?;
            tally.unit_done();
            Ok(())
        };
        let units = in_time(units, until).map(Ok);
        ordered(scope, self.query.readers(self.scan), BATCHES, units, work)
    }

    /// The records in the order asked for, cut to offset and limit, with the columns asked for.
    fn sorted<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
    ) -> Outcome<impl Iterator<Item = Outcome<Columns>> + Send + use<'scope>> {
        let (query, work) = (self.query, self.query.work);
        query.attempt.control.enter(Stage::Sorting);
        let mut names: Vec<&str> = Vec::new();
        for name in work.fields.iter().chain(work.sort.iter().map(|key| &key.column)) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let fields: Vec<FieldRef> =
            names.iter().map(|name| self.scan.field(name).cloned()).collect::<Outcome<_>>()?;
        let schema = Arc::new(Schema::new(fields.clone()));
        let units: Vec<(usize, Unit)> = self.scan.units.iter().copied().enumerate().collect();
        // Writing what was sorted is as much work again.
        self.tally.expect(units.len(), units.len());
        let of = Arc::clone(&schema);
        let batches = self.batches(scope, units, fields)?.map(move |batch| {
            let (columns, rows) = batch?;
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(Arc::clone(&of), columns, &options).map_err(defect)
        });
        let order = Sort {
            attempt: &query.attempt,
            schema: Arc::clone(&schema),
            keys: &work.sort,
            needed: work.offset.saturating_add(work.cap()),
            threads: query.threads(),
            memory: query.config.sort_memory,
            spill: Spill::new(&query.config.spill_dir, query.config.spill_limit, Purpose::Sort),
        };
        let sorted = sort::sort(scope, &order, batches)?;
        query.attempt.control.enter(Stage::Writing);
        let total: u64 = (0..self.scan.units.len()).filter_map(|unit| self.tally.matched(unit)).sum();
        query.tell_found(total);
        let places: Vec<usize> =
            work.fields.iter().filter_map(|field| names.iter().position(|name| name == field)).collect();
        let tally = Arc::clone(self.tally);
        let expected = total.saturating_sub(work.offset).min(work.cap());
        let mut written = 0;
        let columns = sorted.map(move |batch| {
            let batch = batch?;
            written += batch.num_rows() as u64;
            tally.sorted_written(written, expected);
            let columns = places.iter().map(|place| Arc::clone(batch.column(*place))).collect();
            Ok((columns, batch.num_rows()))
        });
        Ok(TrimmedBatches { batches: columns, skip: work.offset, take: work.cap() })
    }
}
