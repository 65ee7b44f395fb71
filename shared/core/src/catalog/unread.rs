//! Reading what the operator wrote so that one slip does not hide the others.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

/// The most mistakes that are named.
const MOST: usize = 50;

/// What the text says, or everything in it that cannot be read: syntax alone where that is wrong, else every member that is unknown
/// or of another type.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Error>> {
    let mut table = DeTable::parse(text).map_err(|error| vec![error])?;
    let (mut errors, mut lacks) = (Vec::new(), false);
    loop {
        let mut error = match T::deserialize(Deserializer::from(table.clone())) {
            Ok(read) if errors.is_empty() => return Ok(read),
            Ok(_) => return Err(errors),
            Err(error) => error,
        };
        // A member that is missing may be the one that was just taken out, having been named already.
        if lacks && error.message().starts_with("missing field") {
            return Err(errors);
        }
        let taken = error.span().and_then(|span| take_out(table.get_mut(), &span));
        error.set_input(Some(text));
        errors.push(error);
        match taken {
            Some(Taken::Unknown) if errors.len() < MOST => {}
            Some(Taken::Known) if errors.len() < MOST => lacks = true,
            _ => return Err(errors),
        }
    }
}

/// What was taken out.
enum Taken {
    /// A member by its name.
    Unknown,
    /// One with a value that is wrong.
    Known,
}

/// Takes the member out whose name or value stands there.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<Taken> {
    let found = table.iter().find_map(|(name, value)| {
        if name.span() == *span {
            Some((name.clone(), Taken::Unknown))
        } else if value.span() == *span {
            Some((name.clone(), Taken::Known))
        } else {
            None
        }
    });
    if let Some((name, taken)) = found {
        table.remove(&name);
        return Some(taken);
    }
    table.iter_mut().find_map(|(_, value)| take_out_of(value.get_mut(), span))
}

fn take_out_of(value: &mut DeValue<'_>, span: &Range<usize>) -> Option<Taken> {
    match value {
        DeValue::Table(table) => take_out(table, span),
        DeValue::Array(items) => items.iter_mut().find_map(|item| take_out_of(item.get_mut(), span)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        count: Option<u32>,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        id: u32,
    }

    fn told(text: &str) -> Vec<String> {
        let errors = read::<Outer>(text).unwrap_err();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_right_is_read() {
        let read = read::<Outer>("name = \"x\"\n[[inner]]\nid = 1\n").unwrap();
        assert_eq!(read, Outer { name: "x".into(), count: None, inner: vec![Inner { id: 1 }] });
    }

    #[test]
    fn one_slip_does_not_hide_the_others() {
        let text = "nam = 1\nname = \"x\"\ncount = \"many\"\nother.more = 2\n[[inner]]\nid = 1\nidd = 2\n[[inner]]\nid = 1\nxid = 2\n";
        let told = told(text);
        for (words, line) in [
            ("`nam`", "line 1"),
            ("\"many\"", "line 3"),
            ("`other`", "line 4"),
            ("`idd`", "line 7"),
            ("`xid`", "line 10"),
        ] {
            let found =
                told.iter().find(|told| told.contains(words)).unwrap_or_else(|| panic!("{words}: {told:?}"));
            assert!(found.contains(line), "{found}");
        }
        assert_eq!(told.len(), 5, "{told:?}");
    }

    #[test]
    fn what_was_told_is_not_told_as_missing() {
        assert_eq!(told("name = 5\nx = 1\n").len(), 2);
        assert_eq!(told("x = 1\n").len(), 2, "an unknown member, and one that is missing");
        assert_eq!(told("name = \n x = 1").len(), 1, "syntax alone");
        assert_eq!(told(&(0..100).map(|n| format!("x{n} = 1\n")).collect::<String>()).len(), MOST);
    }
}
