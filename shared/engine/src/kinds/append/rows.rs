//! The rows of the input: numbered, their keys taken, their values put aside for the result.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    builder::{StringBuilder, UInt8Builder},
};
use arrow_schema::{DataType, Field as ArrowField, FieldRef, Schema};
use willcall_core::usecases::submit::{ERROR_COLUMN, MATCH_COLUMN};

use super::{
    key::{Key, Part, part},
    own::Own,
    table::Keyed,
    totals::Counting,
};
use crate::{
    attempt::Attempt,
    failure::{Outcome, defect, invalid},
    formats::value::Bound,
    read::{Columns, Field, Row, RowError},
    schema::column_type,
    spill::Spill,
    store::Store,
};

/// The most rows that are put aside together.
const BATCH_ROWS: usize = 8192;

/// The most bytes of text that are put aside together; one row may have more.
const BATCH_BYTES: usize = 1 << 20;

/// What is known of a row before it is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// It has a key.
    Keyed = 0,
    /// It has none.
    Keyless = 1,
    /// It could not be read.
    Malformed = 2,
}

/// The rows as they are put aside: in the columns of each batch, whose names are the numbers of the result's, and
/// behind them state and error.
pub(super) struct Rows {
    pub(super) own: Vec<Own>,
    pub(super) store: Arc<Store>,
    pub(super) keyed: Keyed,
}

/// Gathers rows.
pub(super) struct Gather {
    attempt: Arc<Attempt>,
    keys: Arc<Vec<Key>>,
    counting: Arc<Counting>,
    own: Vec<Own>,
    places: HashMap<String, usize>,
    store: Store,
    keyed: Keyed,
    /// The most rows that the result has.
    keep: u64,
    rows: u64,
    key: Vec<u8>,
    /// Counted, and not yet told.
    untold: Untold,
}

#[derive(Default)]
struct Untold {
    rows: u64,
    keyless: u64,
    malformed: u64,
}

impl Gather {
    /// Holds `room` bytes of rows and as many of keys in memory.
    pub(super) fn new(
        attempt: &Arc<Attempt>,
        keys: &Arc<Vec<Key>>,
        counting: &Arc<Counting>,
        spill: &Arc<Spill>,
        room: usize,
        keep: u64,
    ) -> Self {
        Self {
            attempt: Arc::clone(attempt),
            keys: Arc::clone(keys),
            counting: Arc::clone(counting),
            own: Vec::new(),
            places: HashMap::new(),
            store: Store::new(spill, room),
            keyed: Keyed::new(spill, room),
            keep,
            rows: 0,
            key: Vec::new(),
            untold: Untold::default(),
        }
    }

    pub(super) fn finish(mut self) -> Outcome<Rows> {
        self.tell();
        self.store.finish()?;
        Ok(Rows { own: self.own, store: Arc::new(self.store), keyed: self.keyed })
    }

    /// The number of the result's column of that name, which is added behind the others where it is new.
    fn column(&mut self, name: &str, file: &str) -> Outcome<usize> {
        if let Some(place) = self.places.get(name) {
            return Ok(*place);
        }
        if [MATCH_COLUMN, ERROR_COLUMN].contains(&name) {
            return Err(invalid(format!("{file}: the column {name:?} is one that the result adds itself")));
        }
        self.places.insert(name.to_owned(), self.own.len());
        self.own.push(Own::new(name));
        Ok(self.own.len() - 1)
    }

    /// Takes the next row's key, of whose columns `value` gives the text. Answers its state, and words where it has
    /// no key.
    fn take<'v>(
        &mut self,
        value: impl Fn(usize) -> Result<Option<&'v str>, String>,
    ) -> Outcome<(State, Option<String>)> {
        let keys = Arc::clone(&self.keys);
        self.key.clear();
        let (mut empty, mut never) = (None, false);
        for (number, key) in keys.iter().enumerate() {
            let added = part(keys.len() > 1, &mut self.key, |out| match value(number) {
                Ok(Some(text)) => key.add(text, out),
                Ok(None) => Part::Empty,
                Err(words) => Part::Wrong(words),
            });
            match added {
                Part::Added => {}
                Part::Empty => empty = empty.or(Some(&key.input)),
                Part::Never => never = true,
                Part::Wrong(words) => {
                    return Ok((State::Malformed, Some(format!("column {:?}: {words}", key.input))));
                }
            }
        }
        if let Some(column) = empty {
            return Ok((State::Keyless, Some(format!("column {column:?} has no value"))));
        }
        if never {
            return Ok((State::Keyless, Some(super::NO_RECORD.to_owned())));
        }
        self.keyed.add(self.rows, &self.key)?;
        Ok((State::Keyed, None))
    }

    /// Counts a row, and tells whether it is to be put aside.
    fn count(&mut self, state: State) -> bool {
        self.rows += 1;
        self.untold.rows += 1;
        match state {
            State::Keyed => {}
            State::Keyless => self.untold.keyless += 1,
            State::Malformed => self.untold.malformed += 1,
        }
        self.rows <= self.keep
    }

    fn tell(&mut self) {
        let Untold { rows, keyless, malformed } = std::mem::take(&mut self.untold);
        self.counting.add(|totals| {
            totals.rows += rows;
            totals.unmatched += keyless;
            totals.malformed += malformed;
        });
    }

    /// Fails where a column that is compared is not among those of the file.
    fn check_keys<'n>(&self, file: &str, columns: impl Iterator<Item = &'n str> + Clone) -> Outcome<()> {
        for key in self.keys.iter() {
            if !columns.clone().any(|name| name == key.input) {
                let all = columns.map(|name| format!("{name:?}")).collect::<Vec<_>>();
                let there = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
                return Err(invalid(format!(
                    "{file} has no column {:?}; its columns are {there}",
                    key.input
                )));
            }
        }
        Ok(())
    }
}

/// The rows of one file of text.
pub(super) struct TextFile<'a> {
    gather: &'a mut Gather,
    file: &'a str,
    is_json: bool,
    /// The columns by their places in the file: their numbers in the result.
    numbers: Vec<usize>,
    builders: Vec<StringBuilder>,
    /// Where the file has what is compared.
    keys: Vec<Option<usize>>,
    states: UInt8Builder,
    errors: StringBuilder,
    waiting: usize,
    bytes: usize,
    /// Whether any row could be read.
    readable: bool,
}

impl<'a> TextFile<'a> {
    /// A file with these columns so far. Those of CSV are all there, and must have what is compared.
    pub(super) fn new(
        gather: &'a mut Gather,
        file: &'a str,
        is_json: bool,
        columns: &Columns,
    ) -> Outcome<Self> {
        let mut own = Self {
            keys: vec![None; gather.keys.len()],
            gather,
            file,
            is_json,
            numbers: Vec::new(),
            builders: Vec::new(),
            states: UInt8Builder::new(),
            errors: StringBuilder::new(),
            waiting: 0,
            bytes: 0,
            readable: false,
        };
        own.learn(columns)?;
        if !is_json {
            own.gather.check_keys(file, columns.names().iter().map(String::as_str))?;
        }
        Ok(own)
    }

    fn learn(&mut self, columns: &Columns) -> Outcome<()> {
        for name in &columns.names()[self.numbers.len()..] {
            let number = self.gather.column(name, self.file)?;
            self.numbers.push(number);
            let mut builder = StringBuilder::new();
            (0..self.waiting).for_each(|_| builder.append_null());
            self.builders.push(builder);
        }
        let places = self.gather.keys.iter().map(|key| columns.place(&key.input));
        self.keys = places.collect();
        Ok(())
    }

    /// Adds a row, or what could be read of it.
    pub(super) fn add(&mut self, row: &Row, columns: &Columns, error: Option<&RowError>) -> Outcome<()> {
        if columns.len() > self.numbers.len() {
            self.learn(columns)?;
        }
        self.readable |= error.is_none();
        let keys = &self.keys;
        let (state, words) = match error {
            Some(error) => (State::Malformed, Some(format!("{}: {error}", self.file))),
            None => self
                .gather
                .take(|key| key_text(keys[key].map_or(Field::Missing, |place| row.field(place))))?,
        };
        if !self.gather.count(state) {
            return if self.gather.untold.rows >= BATCH_ROWS as u64 { self.flush() } else { Ok(()) };
        }
        for (place, (number, builder)) in self.numbers.iter().zip(&mut self.builders).enumerate() {
            let field = row.field(place);
            self.gather.own[*number].see(field, self.is_json);
            let text = text(field);
            self.bytes += 4 + text.map_or(0, str::len);
            builder.append_option(text);
        }
        self.states.append_value(state as u8);
        self.errors.append_option(words);
        self.waiting += 1;
        if self.waiting >= BATCH_ROWS || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Ends the file. Rows that could not be read, all of them, say so better than columns that are not there.
    pub(super) fn finish(mut self, columns: &Columns) -> Outcome<()> {
        self.flush()?;
        if self.is_json && self.readable {
            self.gather.check_keys(self.file, columns.names().iter().map(String::as_str))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        self.gather.attempt.check()?;
        self.gather.tell();
        if self.waiting == 0 {
            return Ok(());
        }
        (self.waiting, self.bytes) = (0, 0);
        let columns = self.builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let columns: Vec<ArrayRef> = columns.collect();
        put(&mut self.gather.store, &self.numbers, columns, &mut self.states, &mut self.errors)
    }
}

/// The text of what is compared.
fn key_text(field: Field<'_>) -> Result<Option<&str>, String> {
    match field {
        Field::Json(_) => Err("arrays and objects cannot be matched".to_owned()),
        field => Ok(text(field)),
    }
}

/// A value as it stands in a column of text.
fn text(field: Field<'_>) -> Option<&str> {
    match field {
        Field::Missing | Field::Null => None,
        Field::Text(text) | Field::Number(text) | Field::Json(text) => Some(text),
        Field::Boolean(true) => Some("true"),
        Field::Boolean(false) => Some("false"),
    }
}

/// Puts rows aside.
fn put(
    store: &mut Store,
    numbers: &[usize],
    mut columns: Vec<ArrayRef>,
    states: &mut UInt8Builder,
    errors: &mut StringBuilder,
) -> Outcome<()> {
    let field = |(number, column): (&usize, &ArrayRef)| {
        ArrowField::new(number.to_string(), column.data_type().clone(), true)
    };
    let mut fields: Vec<ArrowField> = numbers.iter().zip(&columns).map(field).collect();
    fields.push(ArrowField::new("state", DataType::UInt8, false));
    fields.push(ArrowField::new("error", DataType::Utf8, true));
    columns.push(Arc::new(states.finish()));
    columns.push(Arc::new(errors.finish()));
    store.push(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(defect)?)
}

/// The rows of one file that has columns with types.
pub(super) struct TypedFile<'a> {
    gather: &'a mut Gather,
    numbers: Vec<usize>,
    keys: Vec<usize>,
}

impl<'a> TypedFile<'a> {
    /// A file with these columns.
    pub(super) fn new(gather: &'a mut Gather, file: &'a str, fields: &[FieldRef]) -> Outcome<Self> {
        gather.check_keys(file, fields.iter().map(|field| field.name().as_str()))?;
        let mut numbers = Vec::with_capacity(fields.len());
        for field in fields {
            let number = gather.column(field.name(), file)?;
            gather.own[number].see_type(field.data_type());
            numbers.push(number);
        }
        let mut keys = Vec::new();
        for key in gather.keys.iter() {
            let place = fields.iter().position(|field| *field.name() == key.input).unwrap_or_default();
            let data_type = fields[place].data_type();
            if data_type.is_nested() {
                let said = column_type(data_type);
                return Err(invalid(format!(
                    "{file}: the column {:?} is {said}: it cannot be matched",
                    key.input
                )));
            }
            keys.push(place);
        }
        Ok(Self { gather, numbers, keys })
    }

    /// Adds rows.
    pub(super) fn add(&mut self, columns: Vec<ArrayRef>, rows: usize) -> Outcome<()> {
        let bound: Vec<Bound<'_>> = (self.keys.iter())
            .map(|place| Bound::new(&columns[*place], &|_| false).map_err(defect))
            .collect::<Outcome<_>>()?;
        let mut states = UInt8Builder::new();
        let mut errors = StringBuilder::new();
        let mut texts: Vec<Option<Vec<u8>>> = Vec::new();
        let mut kept = 0;
        for row in 0..rows {
            texts.clear();
            texts.extend(bound.iter().map(|column| {
                (!column.is_null(row)).then(|| {
                    let mut text = Vec::new();
                    column.values.write(row, &mut text);
                    text
                })
            }));
            let value = |key: usize| match &texts[key] {
                Some(text) => std::str::from_utf8(text).map(Some).map_err(|_| "it is no text".to_owned()),
                None => Ok(None),
            };
            let (state, words) = self.gather.take(value)?;
            if self.gather.count(state) {
                states.append_value(state as u8);
                errors.append_option(words);
                kept += 1;
            }
        }
        self.gather.attempt.check()?;
        self.gather.tell();
        if kept == 0 {
            return Ok(());
        }
        drop(bound);
        let columns = columns.iter().map(|column| column.slice(0, kept)).collect();
        put(&mut self.gather.store, &self.numbers, columns, &mut states, &mut errors)
    }
}
