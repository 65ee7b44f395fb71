//! The template's parameters and their values.

use std::collections::BTreeMap;

use super::{
    TemplateError,
    at::At,
    evaluate::Parameter,
    yaml::{Kind, Node},
};

/// The values of all parameters. One that is given but not declared, or that is not allowed, is an error.
pub(super) fn read(
    root: &Node,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Parameter>, TemplateError> {
    let section = At::new(root, "the template").get("Parameters")?;
    let empty = Node { line: root.line, kind: Kind::Map(Vec::new()) };
    let node = section.map_or(&empty, |at| at.node);
    let section = At::new(node, "Parameters");
    let declared = section.entries()?;
    for name in given.keys() {
        if !declared.iter().any(|(known, _)| known == name) {
            return Err(section.wrong(format!("has no {name}, for which a value was given")));
        }
    }
    let mut values = BTreeMap::new();
    for (name, at) in declared {
        at.only(&[
            "Type",
            "Default",
            "Description",
            "AllowedValues",
            "AllowedPattern",
            "ConstraintDescription",
            "MinValue",
            "MaxValue",
            "MinLength",
            "MaxLength",
            "NoEcho",
        ])?;
        let value = match (given.get(name), at.get("Default")?) {
            (Some(value), _) => value.clone(),
            (None, Some(default)) => default.text()?.to_owned(),
            (None, None) => return Err(at.wrong("has no default, and no value was given")),
        };
        allowed(&at, &value)?;
        let list = |value: &str| value.split(',').map(|item| item.trim().to_owned()).collect();
        let kind = at.required("Type")?;
        let value = match kind.one_of(&["String", "Number", "CommaDelimitedList", "List<Number>"])? {
            "String" => Parameter::Text(value),
            "Number" if value.parse::<f64>().is_ok() => Parameter::Text(value),
            "Number" => return Err(at.wrong(format!("is {value:?}, and must be a number"))),
            _ => Parameter::List(list(&value)),
        };
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

/// Patterns are left to CloudFormation.
fn allowed(at: &At<'_>, value: &str) -> Result<(), TemplateError> {
    if let Some(values) = at.get("AllowedValues")? {
        let values = values.texts()?;
        if !values.iter().any(|allowed| allowed == value) {
            return Err(at.wrong(format!("is {value:?}, and must be one of {}", values.join(", "))));
        }
    }
    let (number, length) = (value.parse().unwrap_or(f64::NAN), value.chars().count() as f64);
    for (name, found, is_least) in [
        ("MinValue", number, true),
        ("MaxValue", number, false),
        ("MinLength", length, true),
        ("MaxLength", length, false),
    ] {
        let Some(bound) = at.get(name)? else { continue };
        let limit: f64 = bound.text()?.parse().map_err(|_| bound.wrong("must be a number"))?;
        if !(if is_least { found >= limit } else { found <= limit }) {
            return Err(at.wrong(format!("is {value:?}, against {name} {limit}")));
        }
    }
    Ok(())
}
