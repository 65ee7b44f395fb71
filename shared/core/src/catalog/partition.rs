//! Directories that tell a value: in `year=2026/month=01/x.parquet`, of all records of the file.

/// What Hive calls a directory of records without a value.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// What a directory tells of the files in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The column.
    pub column: String,
    /// Its value as text; `None` where it is null.
    pub value: Option<String>,
}

impl Partition {
    /// By a directory's name: `column=value`, each percent-encoded where it must be. `None` for another directory, in
    /// which no files of a data set are looked for.
    pub fn of_directory(name: &str) -> Option<Self> {
        let (column, value) = name.split_once('=')?;
        if column.is_empty() || name.starts_with(['.', '_']) || name.contains('/') {
            return None;
        }
        let value = (value != NULL).then(|| decoded(value));
        Some(Self { column: decoded(column), value })
    }

    /// What all directories of a file tell, the outermost first, by its name in the data set. `None` where one of them
    /// tells nothing.
    pub fn of_file(name: &str) -> Option<Vec<Self>> {
        match name.rsplit_once('/') {
            Some((directories, _)) => directories.split('/').map(Self::of_directory).collect(),
            None => Some(Vec::new()),
        }
    }
}

/// The text without its percent-encoding. What is none stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> Option<Vec<(String, Option<String>)>> {
        Partition::of_file(name).map(|all| all.into_iter().map(|one| (one.column, one.value)).collect())
    }

    fn pair(column: &str, value: &str) -> (String, Option<String>) {
        (column.into(), Some(value.into()))
    }

    #[test]
    fn directories_tell_values() {
        assert_eq!(told("x.parquet"), Some(vec![]));
        assert_eq!(told("year=2026/month=01/x.csv"), Some(vec![pair("year", "2026"), pair("month", "01")]));
        assert_eq!(told("a=__HIVE_DEFAULT_PARTITION__/x"), Some(vec![("a".into(), None)]));
        assert_eq!(told("a=/x"), Some(vec![pair("a", "")]));
        assert_eq!(told("a=b=c/x"), Some(vec![pair("a", "b=c")]));
        assert_eq!(told("a%20b=x%2Fy%C3%BC%zz%4/x"), Some(vec![pair("a b", "x/yü%zz%4")]));
        assert_eq!(told("a=%FF/x"), Some(vec![pair("a", "%FF")]), "no text stays as it is");
        for other in ["below/x", "a=1/below/x", "=1/x", "_a=1/x", ".a=1/x", "/x"] {
            assert_eq!(told(other), None, "{other}");
        }
    }
}
