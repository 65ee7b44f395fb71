//! Items: writing and reading attributes.

use std::{collections::HashMap, str::FromStr};

use aws_sdk_dynamodb::types::AttributeValue;
use willcall_core::error::Source;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// An item is not as this version writes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the item has no {0}")]
    Attribute(&'static str),
    #[error("the item has form {found}; this version reads up to {known}")]
    Newer { found: u32, known: u32 },
    #[error("the item's {attribute} cannot be read")]
    Value {
        attribute: &'static str,
        #[source]
        source: Source,
    },
}

/// An attribute of text.
pub(crate) fn text<'a>(item: &'a Item, name: &'static str) -> Result<&'a str, Unreadable> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str).ok_or(Unreadable::Attribute(name))
}

/// An attribute that is a number, if the item has it.
pub(crate) fn number<T>(item: &Item, name: &'static str) -> Result<Option<T>, Unreadable>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let Some(value) = item.get(name) else { return Ok(None) };
    let digits = value.as_n().map_err(|_| Unreadable::Attribute(name))?;
    let parsed =
        digits.parse().map_err(|error| Unreadable::Value { attribute: name, source: Box::new(error) })?;
    Ok(Some(parsed))
}

/// Refuses forms that this code does not know: they may mean something else by the same names.
pub(crate) fn refuse_newer(item: &Item, known: u32) -> Result<(), Unreadable> {
    match number(item, "schema")?.ok_or(Unreadable::Attribute("schema"))? {
        found if found > known => Err(Unreadable::Newer { found, known }),
        _ => Ok(()),
    }
}
