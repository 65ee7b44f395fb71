//! The client's own rows, each with what a data set knows of it.
//!
//! The rows are read first: numbered, their keys taken, and put aside as they are. Then the data set is read once, in its
//! order, and looked up in the rows' keys; what is found is sorted by the rows' numbers and brought together with them.
//! Whatever does not fit in memory goes to disk, keys and records apart by their hashes.

mod key;
mod matching;
mod normal;
mod output;
mod own;
mod rows;
mod table;
mod totals;
mod upload;
mod weight;

use std::{
    collections::HashSet,
    sync::Arc,
    thread::{self, Scope},
};

use arrow_schema::{Field, FieldRef};
use tokio::runtime::Handle;
use willcall_core::{
    catalog::Dataset,
    format::Format,
    job::{
        Stage, Truncation, TruncationReason,
        kinds::{AppendWork, SortKey},
    },
    ports::{BlobStore, DataFiles, Input},
    usecases::limits::MAX_SHEET_COLUMNS,
};

use self::{
    key::Key,
    matching::Matching,
    output::{Merging, Output, told},
    rows::{Gather, Rows},
    totals::Counting,
    upload::{Uploads, Wait},
};
use super::{
    Made, text,
    write::{self, Target, TrimmedBatches},
};
use crate::{
    EngineConfig,
    attempt::Attempt,
    failure::{Outcome, invalid},
    formats::TextEncoder,
    scan::{Reading, Scan},
    schema::column,
    sink::Sink,
    snapshot::Snapshot,
    sort::{self, Sort},
    spill::{Purpose, Spill},
};

/// The bytes that rows, keys and records may have each, however little memory there is: less would be read over and over.
const LEAST_ROOM: usize = 4 << 10;

/// What is said of a row that no record matches.
const NO_RECORD: &str = "no record matches";

/// An append with everything that it needs.
pub(crate) struct Append<'a> {
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) work: &'a AppendWork,
    pub(crate) dataset: &'a Dataset,
    pub(crate) input: &'a Input,
    pub(crate) files: Arc<dyn DataFiles>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    /// Drives what the blob store does.
    pub(crate) handle: Handle,
    pub(crate) snapshot: Snapshot,
    pub(crate) config: &'a EngineConfig,
}

impl Append<'_> {
    /// Runs the append to its end. Blocks: belongs on a thread of its own.
    pub(crate) fn run(self, mut sink: Sink) -> Outcome<Made> {
        let (work, attempt) = (self.work, &self.attempt);
        attempt.check()?;
        let scan = Arc::new(self.scan()?);
        let by: Vec<FieldRef> =
            work.on.iter().map(|key| scan.field(&key.column).cloned()).collect::<Outcome<_>>()?;
        let keys = work.on.iter().zip(&by).map(|(key, field)| Key::new(key, field));
        let keys: Arc<Vec<Key>> = Arc::new(keys.collect::<Outcome<_>>()?);
        let fields: Vec<FieldRef> =
            work.fields.iter().map(|name| scan.field(name).cloned()).collect::<Outcome<_>>()?;
        let spill = Spill::new(&self.config.spill_dir, self.config.spill_limit, Purpose::Match);
        let counting = Counting::new(attempt);

        attempt.control.enter(Stage::Reading);
        let mut gather = Gather::new(attempt, &keys, &counting, &spill, self.room(), work.max_records);
        match self.input {
            Input::Work => upload::items(work.items.as_deref().unwrap_or_default(), &mut gather)?,
            Input::Files(files) => {
                let wait = Wait { handle: self.handle.clone(), attempt: Arc::clone(attempt) };
                let (blobs, read_memory) = (Arc::clone(&self.blobs), self.config.read_memory);
                Uploads { wait, blobs, read_memory }.read(files, &mut gather)?;
            }
        }
        let Rows { own, store, keyed } = gather.finish()?;
        let rows = counting.totals().rows;
        attempt.control.set_found(rows);
        attempt.control.set_requested(rows);
        let own: Vec<FieldRef> = own.iter().map(own::Own::field).collect::<Outcome<_>>()?;
        let added = renamed(&own, &fields);
        let all: Vec<FieldRef> = own.iter().chain(&added).cloned().chain(told()).collect();
        // Which columns the rows have is known only now.
        if work.output.format == Format::Xlsx && all.len() > MAX_SHEET_COLUMNS {
            let detail = format!(
                "the result has {} columns, those of the rows and those that are added, and a sheet of xlsx has at most \
                 {MAX_SHEET_COLUMNS}",
                all.len()
            );
            return Err(invalid(detail));
        }
        let encoder = TextEncoder::new(&work.output, &all)?;

        attempt.control.enter(Stage::Sorting);
        let readers = if scan.is_far() { 2 * self.threads() } else { self.threads() };
        let matching = Matching {
            attempt: Arc::clone(attempt),
            reading: Arc::new(Reading::new(Arc::clone(&scan), Arc::clone(attempt), None)),
            keys,
            by,
            fields,
            mode: work.on_multiple,
            keep: work.max_records,
            counting: Arc::clone(&counting),
            spill: Arc::clone(&spill),
            room: self.room(),
            readers,
        };
        let written = thread::scope(|scope| {
            let pairs = matching.pairs(scope, keyed.finish()?)?;
            let pairs = self.in_order(scope, &matching, pairs)?;
            attempt.control.enter(Stage::Writing);
            let output = Output {
                attempt: Arc::clone(attempt),
                expected: store.rows(),
                rows: store.read(),
                pairs,
                own,
                fields: added,
                mode: work.on_multiple,
                state: Merging::default(),
            };
            let records = TrimmedBatches { batches: output, skip: 0, take: work.max_records };
            let target = Target {
                attempt,
                threads: self.threads(),
                output: &work.output,
                page_size: work.page_size,
                fields: &all,
                title: &self.dataset.name,
            };
            match encoder {
                Some(encoder) => write::text(scope, &target, encoder, records, &mut sink),
                None => write::columns(scope, &target, Vec::new(), records, &mut sink),
            }
        })?;
        scan.check()?;
        totals::progress(attempt, 2, 1, 1);
        attempt.control.enter(Stage::Committing);
        let totals = counting.totals();
        let text::Told { records, non_finite } = written;
        let truncated = if sink.is_full() && records < totals.result().min(work.max_records) {
            Some(Truncation { reason: TruncationReason::DailyLimit, limit: records })
        } else if totals.result() > work.max_records {
            Some(Truncation { reason: TruncationReason::PlanLimit, limit: work.max_records })
        } else {
            None
        };
        let written = sink.finish()?;
        Ok(Made {
            records,
            non_finite,
            pages: work.output.format.is_text().then_some(written.pages),
            written,
            found: rows,
            counts: Some(totals.counts()),
            schema: all.iter().map(|field| column(field)).collect(),
            truncated,
            version: scan.snapshot.version.clone(),
            files: scan.snapshot.files.len() as u64,
            files_read: scan.files_read(),
        })
    }

    fn scan(&self) -> Outcome<Scan> {
        let mut used: Vec<&str> = self.work.fields.iter().map(String::as_str).collect();
        used.extend(self.work.on.iter().map(|key| key.column.as_str()));
        used.sort_unstable();
        used.dedup();
        let source = (Arc::clone(&self.files), self.snapshot.clone());
        Scan::plan(&self.attempt, source, self.dataset, &used, None, self.config.read_memory)
    }

    /// Pairs by the numbers of their rows; those of one row stay in the order of the data set.
    fn in_order<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        matching: &Matching,
        pairs: matching::Pairs,
    ) -> Outcome<sort::SortedBatches> {
        let by_row = [SortKey { column: "row".into(), descending: false }];
        let order = Sort {
            attempt: &self.attempt,
            schema: matching.schema(),
            keys: &by_row,
            needed: u64::MAX,
            threads: self.threads(),
            memory: self.config.sort_memory / 2,
            spill: Arc::clone(&matching.spill),
        };
        sort::sort(scope, &order, pairs)
    }

    /// What of the memory for sorts each of rows, keys and records that were found may have; the sort has the rest.
    fn room(&self) -> usize {
        (self.config.sort_memory / 6).max(LEAST_ROOM)
    }

    fn threads(&self) -> usize {
        self.config.threads.max(1)
    }
}

/// The data set's columns under names that are free: behind one that is taken comes the first free number from 2 on.
fn renamed(own: &[FieldRef], fields: &[FieldRef]) -> Vec<FieldRef> {
    let told = told();
    let mut taken: HashSet<String> = own.iter().chain(&told).map(|field| field.name().clone()).collect();
    let rename = |field: &FieldRef| {
        let mut name = field.name().clone();
        let mut number = 2;
        while taken.contains(&name) {
            name = format!("{}_{number}", field.name());
            number += 1;
        }
        taken.insert(name.clone());
        // Rows without a record have nulls.
        Arc::new(Field::new(name, field.data_type().clone(), true)) as FieldRef
    };
    fields.iter().map(rename).collect()
}
