//! What a command says: answers on stdout, everything else on stderr.

use std::io::{self, Write};

use serde_json::Value;

use crate::failure::{Exit, Failure};

/// Writes a line to stderr. Nobody listening is no reason to fail.
pub(crate) fn note(line: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", line.as_ref());
}

/// Writes text to stdout. A reader that has had enough (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::caused(Exit::Failed, "cannot write to stdout", &error))
        }
        _ => Ok(()),
    }
}

/// Writes a value to stdout as JSON.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    print(&escape(&format!("{value:#}\n")))
}

/// Writes a value to stderr as JSON.
pub(crate) fn note_json(value: &Value) {
    note(escape(&value.to_string()));
}

/// JSON, fit for a terminal: JSON lets some control characters stand as they are, if only within strings.
fn escape(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            text += &format!("\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// Rows as text with aligned columns; the first row is the heading. Cells are cleaned.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += cell;
            line.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Text from a server, fit for a terminal: control characters would move the cursor.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_clean() {
        let rows = [vec!["A".to_owned(), "B".to_owned()], vec!["long é".to_owned(), "x".to_owned()]];
        assert_eq!(table(&rows), "A       B\nlong é  x\n");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
        assert_eq!(table(&[vec!["\u{9b}2J\u{7}".to_owned(), "x".to_owned()]]), "\u{fffd}2J\u{fffd}  x\n");
        let value = serde_json::json!({ "a": "\u{1b}\u{9b}\u{7f}é" });
        let text = escape(&format!("{value:#}"));
        assert_eq!(text, "{\n  \"a\": \"\\u001b\\u009b\\u007fé\"\n}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
