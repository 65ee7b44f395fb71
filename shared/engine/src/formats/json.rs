//! JSON: objects, one a line or in one array, with the columns in their order and nulls written out.
//!
//! Numbers have their exact digits; NaN and infinities become null and are counted. Dates, times and bytes are
//! text, bytes in base64. A map is an object; its keys are written as text.

use arrow_array::ArrayRef;
use arrow_schema::FieldRef;

use super::{
    Chunk,
    short::Short,
    value::{Bound, Values},
};

/// Encodes records as JSON objects.
pub(crate) struct JsonEncoder {
    /// For each column, what stands before its value.
    members: Vec<Short>,
    /// What stands before a record; not a part of it.
    before: &'static [u8],
    after: &'static [u8],
}

impl JsonEncoder {
    /// For JSON Lines where `lines` is set, else for the records of an array, each with a comma before it.
    pub(super) fn new(fields: &[FieldRef], lines: bool) -> Self {
        let mut members: Vec<Vec<u8>> = fields.iter().map(|field| member(field.name())).collect();
        for (index, member) in members.iter_mut().enumerate() {
            member.insert(0, if index == 0 { b'{' } else { b',' });
        }
        let (before, after): (&[u8], &[u8]) = if lines { (b"", b"}\n") } else { (b",", b"}") };
        let members = members.iter().map(|member| Short::new(member)).collect();
        Self { members, before, after }
    }

    /// How many bytes before a record are not a part of it.
    pub(super) fn separator(&self) -> usize {
        self.before.len()
    }

    pub(super) fn encode(&self, columns: &[ArrayRef], rows: usize, chunk: &mut Chunk) -> Result<(), String> {
        let columns: Vec<Bound<'_>> =
            columns.iter().map(|column| Bound::new(column, &needs_escape)).collect::<Result<_, _>>()?;
        let Chunk { text, ends, non_finite } = chunk;
        for row in 0..rows {
            text.extend_from_slice(self.before);
            let mut odd = 0;
            for (column, member) in columns.iter().zip(&self.members) {
                member.write(text);
                write_value(column, row, text, &mut odd);
            }
            if columns.is_empty() {
                text.push(b'{');
            }
            text.extend_from_slice(self.after);
            if odd > 0 {
                non_finite.push((ends.len(), odd));
            }
            ends.push(text.len());
        }
        Ok(())
    }
}

/// `"name":`
pub(super) fn member(name: &str) -> Vec<u8> {
    let mut member = Vec::with_capacity(name.len() + 4);
    write_text(name.as_bytes(), false, &mut member);
    member.push(b':');
    member
}

/// Writes a value; adds to `odd` each number that is not finite and was written as null.
pub(super) fn write_value(column: &Bound<'_>, row: usize, out: &mut Vec<u8>, odd: &mut u64) {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match &column.values {
        Values::Text(text) if text.clean => {
            out.push(b'"');
            text.write(row, out);
            out.push(b'"');
        }
        Values::Text(text) => write_text(text.value(row), false, out),
        Values::List(offsets, items) => {
            out.push(b'[');
            for (index, item) in range(offsets, row).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(items, item, out, odd);
            }
            out.push(b']');
        }
        Values::Struct(fields) => {
            out.push(b'{');
            for (index, (member, field)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(member);
                write_value(field, row, out, odd);
            }
            out.push(b'}');
        }
        Values::Map(offsets, keys, values) => {
            out.push(b'{');
            for (index, entry) in range(offsets, row).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_key(keys, entry, out);
                out.push(b':');
                write_value(values, entry, out, odd);
            }
            out.push(b'}');
        }
        values if values.is_float() => {
            if values.float(row).is_some_and(|value| !value.is_finite()) {
                *odd += 1;
                out.extend_from_slice(b"null");
            } else {
                values.write(row, out);
            }
        }
        values if values.is_bare() => values.write(row, out),
        values => {
            out.push(b'"');
            values.write(row, out);
            out.push(b'"');
        }
    }
}

fn write_key(keys: &Bound<'_>, entry: usize, out: &mut Vec<u8>) {
    match &keys.values {
        Values::Text(text) => write_text(text.value(entry), text.clean, out),
        values => {
            out.push(b'"');
            match values.float(entry) {
                Some(value) if !value.is_finite() => out.extend_from_slice(value.to_string().as_bytes()),
                _ => values.write(entry, out),
            }
            out.push(b'"');
        }
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

/// Whether any byte cannot stand in a JSON string as it is. Looks at all of them: that is fast, a loop with an end
/// in it is not.
pub(super) fn needs_escape(bytes: &[u8]) -> bool {
    let escaped = |byte: &u8| (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
    bytes.iter().fold(false, |any, byte| any | escaped(byte))
}

fn write_text(text: &[u8], clean: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    if clean || !needs_escape(text) {
        out.extend_from_slice(text);
    } else {
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| needs_escape(&[*byte])) {
            out.extend_from_slice(&rest[..at]);
            match rest[at] {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0x08 => out.extend_from_slice(b"\\b"),
                0x0C => out.extend_from_slice(b"\\f"),
                control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
            }
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
    }
    out.push(b'"');
}
