//! Rows made record batches of a given schema.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, ArrowPrimitiveType, RecordBatch, RecordBatchOptions,
    builder::{BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder},
    types::*,
};
use arrow_schema::{ArrowError, DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    error::{RowError, shown},
    row::{Columns, Field, Row},
    value,
};
use crate::schema::column_type;

/// Gathers rows, value by value in the types of a schema.
///
/// Text is read as docs/formats.md says that each type is written. What is missing, null, or nothing between two
/// delimiters is null; so is empty text, but in a column of text. Numbers, booleans, and what is nested in JSON come
/// into a column of text as they stand.
pub struct BatchBuilder {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    /// How many columns the file had when they were looked for the last time.
    known: usize,
}

struct Column {
    /// Its name in the file.
    source: String,
    place: Option<usize>,
    required: bool,
    is_text: bool,
    values: Box<dyn Values>,
}

impl BatchBuilder {
    /// Makes batches of a schema from columns of the same names. The error names a type that text cannot be read as.
    /// Columns that may not be null refuse rows without a value; in the batches every column may be null.
    pub fn new(schema: &Schema) -> Result<Self, String> {
        let names = schema.fields().iter().map(|field| field.name().clone());
        Self::with_sources(schema, names)
    }

    /// The same with the names that the schema's columns have in the file, one for each.
    pub fn with_sources(schema: &Schema, sources: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let columns = schema.fields().iter().zip(sources).map(|(field, source)| {
            let values = values(field.data_type()).ok_or_else(|| {
                let of = column_type(field.data_type());
                format!("the column {:?} is {of}, which text cannot be read as", field.name())
            })?;
            let is_text = *field.data_type() == DataType::Utf8;
            Ok(Column { source, place: None, required: !field.is_nullable(), is_text, values })
        });
        let columns = columns.collect::<Result<_, String>>()?;
        let fields: Vec<_> =
            schema.fields().iter().map(|field| ArrowField::clone(field).with_nullable(true)).collect();
        Ok(Self { schema: Arc::new(Schema::new(fields)), columns, rows: 0, known: 0 })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows are gathered.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row of a file with these columns. An error names the first value that is none of its column's type; the
    /// row is added all the same, with null for each such value, so that batches stay in step with the file.
    pub fn append(&mut self, row: &Row, columns: &Columns) -> Result<(), RowError> {
        if self.known != columns.len() {
            for column in &mut self.columns {
                column.place = columns.place(&column.source);
            }
            self.known = columns.len();
        }
        self.rows += 1;
        let mut wrong = None;
        for (column, field) in self.columns.iter_mut().zip(self.schema.fields()) {
            let value = column.place.map_or(Field::Missing, |place| row.field(place));
            if let Err(detail) = column.append(value, field) {
                wrong.get_or_insert_with(|| RowError {
                    row: row.number(),
                    line: row.line(),
                    column: Some(column.source.clone()),
                    detail,
                });
            }
        }
        wrong.map_or(Ok(()), Err)
    }

    /// The rows gathered, as one batch; begins anew.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        let columns = self.columns.iter_mut().map(|column| column.values.finish()).collect();
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

impl Column {
    fn append(&mut self, value: Field<'_>, field: &ArrowField) -> Result<(), String> {
        let text = match value {
            Field::Missing | Field::Null => None,
            Field::Text("") if !self.is_text => None,
            Field::Text(text) | Field::Number(text) | Field::Json(text) => Some(text),
            Field::Boolean(true) => Some("true"),
            Field::Boolean(false) => Some("false"),
        };
        let Some(text) = text else {
            self.values.null();
            return if self.required {
                Err("has no value, and the column must have one".to_owned())
            } else {
                Ok(())
            };
        };
        if self.values.append(text) {
            return Ok(());
        }
        self.values.null();
        Err(format!("{} is not {}", shown(text), column_type(field.data_type())))
    }
}

/// One value as an array: what the text is in that type, or null where there is none. None where it is none.
pub(crate) fn single(data_type: &DataType, text: Option<&str>) -> Option<ArrayRef> {
    let mut values = values(data_type)?;
    match text {
        Some(text) => values.append(text).then(|| values.finish()),
        None => {
            values.null();
            Some(values.finish())
        }
    }
}

/// The values of a column that is being built.
trait Values: Send {
    /// Adds the value that the text is; false, and nothing added, where it is none.
    fn append(&mut self, text: &str) -> bool;
    fn null(&mut self);
    fn finish(&mut self) -> ArrayRef;
}

impl Values for StringBuilder {
    fn append(&mut self, text: &str) -> bool {
        self.append_value(text);
        true
    }

    fn null(&mut self) {
        self.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(Self::finish(self))
    }
}

impl Values for BooleanBuilder {
    fn append(&mut self, text: &str) -> bool {
        let value = value::boolean(text);
        value.inspect(|value| self.append_value(*value)).is_some()
    }

    fn null(&mut self) {
        self.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(Self::finish(self))
    }
}

impl Values for BinaryBuilder {
    fn append(&mut self, text: &str) -> bool {
        let value = STANDARD.decode(text);
        value.inspect(|value| self.append_value(value)).is_ok()
    }

    fn null(&mut self) {
        self.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(Self::finish(self))
    }
}

/// Values of one width, and how text is read as one.
struct Primitive<T: ArrowPrimitiveType, P> {
    builder: PrimitiveBuilder<T>,
    parse: P,
}

impl<T: ArrowPrimitiveType, P: Fn(&str) -> Option<T::Native> + Send> Values for Primitive<T, P> {
    fn append(&mut self, text: &str) -> bool {
        let value = (self.parse)(text);
        value.inspect(|value| self.builder.append_value(*value)).is_some()
    }

    fn null(&mut self) {
        self.builder.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

fn values(data_type: &DataType) -> Option<Box<dyn Values>> {
    fn of<T: ArrowPrimitiveType>(
        data_type: &DataType,
        parse: impl Fn(&str) -> Option<T::Native> + Send + 'static,
    ) -> Box<dyn Values> {
        let builder = PrimitiveBuilder::<T>::new().with_data_type(data_type.clone());
        Box::new(Primitive { builder, parse })
    }
    let time = |unit: TimeUnit| move |text: &str| value::in_units(value::time(text)?, unit);
    let narrow_time = |unit: TimeUnit| {
        move |text: &str| {
            value::in_units(value::time(text)?, unit).and_then(|value| i32::try_from(value).ok())
        }
    };
    Some(match data_type {
        DataType::Utf8 => Box::new(StringBuilder::new()),
        DataType::Boolean => Box::new(BooleanBuilder::new()),
        DataType::Binary => Box::new(BinaryBuilder::new()),
        DataType::Int8 => of::<Int8Type>(data_type, value::int),
        DataType::Int16 => of::<Int16Type>(data_type, value::int),
        DataType::Int32 => of::<Int32Type>(data_type, value::int),
        DataType::Int64 => of::<Int64Type>(data_type, value::int),
        DataType::UInt8 => of::<UInt8Type>(data_type, value::int),
        DataType::UInt16 => of::<UInt16Type>(data_type, value::int),
        DataType::UInt32 => of::<UInt32Type>(data_type, value::int),
        DataType::UInt64 => of::<UInt64Type>(data_type, value::int),
        DataType::Float32 => of::<Float32Type>(data_type, value::float),
        DataType::Float64 => of::<Float64Type>(data_type, value::float),
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            of::<Decimal128Type>(data_type, move |text| value::decimal(text, precision, scale))
        }
        DataType::Date32 => of::<Date32Type>(data_type, value::date),
        DataType::Time32(unit @ TimeUnit::Second) => of::<Time32SecondType>(data_type, narrow_time(*unit)),
        DataType::Time32(unit) => of::<Time32MillisecondType>(data_type, narrow_time(*unit)),
        DataType::Time64(unit @ TimeUnit::Microsecond) => of::<Time64MicrosecondType>(data_type, time(*unit)),
        DataType::Time64(unit) => of::<Time64NanosecondType>(data_type, time(*unit)),
        DataType::Timestamp(unit, zone) => {
            let (unit, has_zone) = (*unit, zone.is_some());
            let parse = move |text: &str| {
                let moment = value::moment(text)?;
                // Without an offset it is UTC in a column with a zone; with one there is nothing to convert it to in a
                // column without.
                (has_zone || !moment.zoned).then(|| value::in_units(moment.nanos, unit))?
            };
            match unit {
                TimeUnit::Second => of::<TimestampSecondType>(data_type, parse),
                TimeUnit::Millisecond => of::<TimestampMillisecondType>(data_type, parse),
                TimeUnit::Microsecond => of::<TimestampMicrosecondType>(data_type, parse),
                TimeUnit::Nanosecond => of::<TimestampNanosecondType>(data_type, parse),
            }
        }
        _ => return None,
    })
}
