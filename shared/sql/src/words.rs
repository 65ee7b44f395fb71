//! What DataFusion says, in the words of statements and of data sets.

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    tokenizer::{Location, Token, Tokenizer},
};

/// DataFusion's types as the catalog calls them.
const TYPES: [(&str, &str); 21] = [
    ("LargeUtf8", "text"),
    ("Utf8View", "text"),
    ("Utf8", "text"),
    ("UInt8", "uint8"),
    ("UInt16", "uint16"),
    ("UInt32", "uint32"),
    ("UInt64", "uint64"),
    ("Int8", "int8"),
    ("Int16", "int16"),
    ("Int32", "int32"),
    ("Int64", "int64"),
    ("Float32", "float32"),
    ("Float64", "float64"),
    ("Decimal128", "decimal"),
    ("Decimal256", "decimal"),
    ("Date32", "date"),
    ("Boolean", "boolean"),
    ("Timestamp(ns, \"UTC\")", "timestamp"),
    ("Timestamp(µs, \"UTC\")", "timestamp"),
    ("Timestamp(ns)", "timestamp"),
    ("Timestamp(µs)", "timestamp"),
];

/// A column that there is not, by the name that is told of it.
const NO_COLUMN: &str = "No field named ";

/// The message for a client.
pub(crate) fn told(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default().trim();
    let text = text.strip_prefix("Internal error: ").unwrap_or(text);
    if let Some(rest) = text.strip_prefix(NO_COLUMN) {
        let rest = rest.trim_end_matches('.').replacen(". Did you mean", "; did you mean", 1);
        return format!("there is no column {rest}");
    }
    if let Some(name) = text.strip_prefix("Ambiguous reference to unqualified field ") {
        return format!("several tables have a column {name}: write the table before it");
    }
    if text.starts_with("Projections require unique expression names") {
        let name = text.split('"').nth(1).unwrap_or_default();
        return format!("there are two columns \"{name}\": name them apart with AS");
    }
    if text.starts_with("Schema contains duplicate qualified field name") {
        return "two tables that are read have one name: name them apart with AS".into();
    }
    if let Some((function, _)) = text.split_once(" failed to match any signature") {
        let function = function.strip_prefix("Function ").unwrap_or(function);
        return format!("the function {function} does not take arguments of these types");
    }
    if let Some((_, what)) = text.split_once("Array overflow on ") {
        return format!("a number is too large for its type: {what}");
    }
    let text = text.split_once(" No function matches").map_or(text, |(said, _)| said.trim_end_matches('.'));
    let text = text.split_once("While expanding wildcard, ").map_or(text, |(_, said)| said);
    let plain = outside_of_texts(text);
    match plain.strip_prefix("Cannot coerce arithmetic expression ") {
        Some(rest) => {
            let operation = rest.strip_suffix(" to valid types").unwrap_or(rest);
            format!("{operation} is not defined: cast one of them")
        }
        None => plain,
    }
}

/// With types by their names in the catalog, but for what stands in single quotes.
fn outside_of_texts(text: &str) -> String {
    let part = |(place, part): (usize, &str)| {
        if place % 2 == 1 {
            return part.to_owned();
        }
        let part = part.replace("count(Int64(1))", "count(*)");
        TYPES.iter().fold(part, |part, (from, to)| part.replace(from, to))
    };
    text.split('\'').enumerate().map(part).collect::<Vec<_>>().join("'")
}

/// Where a column stands that there is not, where DataFusion does not say it: at the first of its name.
pub(crate) fn place_of_column(message: &str, sql: &str) -> Option<Location> {
    let (_, rest) = message.split_once(NO_COLUMN)?;
    let rest = rest.lines().next()?;
    let named = rest.split_once(". ").map_or(rest, |(named, _)| named).trim_end_matches('.');
    let last = named.rsplit('.').next()?.trim_matches('"');
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let found = tokens.into_iter().find(|spot| match &spot.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.eq_ignore_ascii_case(last),
        Token::Word(word) => word.value == last,
        _ => false,
    })?;
    Some(found.span.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_as_they_are() {
        assert_eq!(
            told("Cannot cast string 'Int64 Utf8' to value of Date32 type\nmore"),
            "Cannot cast string 'Int64 Utf8' to value of date type"
        );
    }

    #[test]
    fn a_column_is_found_by_its_last_name() {
        let place = |name: &str| {
            let message = format!("No field named {name}. Did you mean 'b'?");
            place_of_column(&message, "SELECT 'x',\n  f.\"X\", F.x FROM t").map(|at| (at.line, at.column))
        };
        assert_eq!(place("f.x"), Some((2, 12)));
        assert_eq!(place("f.\"X\""), Some((2, 5)));
        assert_eq!(place("y"), None);
        let more = "Schema error: No field named f.x.\nValid fields are f.a, f.b.";
        assert_eq!(place_of_column(more, "SELECT f.x").map(|at| at.column), Some(10));
        assert_eq!(place_of_column("something else", "SELECT x"), None);
    }
}
