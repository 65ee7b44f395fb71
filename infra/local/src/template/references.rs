//! Whether all that the template refers to is in it, in those parts too that are not read here: a name that is
//! mistyped in an alarm would fail only at the deployment.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    TemplateError,
    at::At,
    evaluate::Parameter,
    yaml::{Kind, Node},
};

pub(super) fn check(root: &Node, parameters: &BTreeMap<String, Parameter>) -> Result<(), TemplateError> {
    let top = At::new(root, "the template");
    let mut known: BTreeSet<&str> = parameters.keys().map(String::as_str).collect();
    let mut generated = Vec::new();
    for (logical, at) in top.required("Resources")?.entries()? {
        known.insert(logical);
        // SAM makes roles, stages, permissions and rules of its own, and names them after what they belong to.
        if at.required("Type")?.text()?.starts_with("AWS::Serverless::") {
            generated.push(logical);
        }
    }
    let names = Known { names: known, generated };
    for section in ["Resources", "Outputs", "Globals", "Conditions"] {
        if let Some(at) = top.get(section)? {
            names.walk(at.node, section, &[])?;
        }
    }
    Ok(())
}

struct Known<'a> {
    names: BTreeSet<&'a str>,
    generated: Vec<&'a str>,
}

impl Known<'_> {
    fn has(&self, name: &str) -> bool {
        name.starts_with("AWS::")
            || name == "ServerlessHttpApi"
            || self.names.contains(name)
            || self.generated.iter().any(|owner| name.starts_with(owner))
    }

    fn walk(&self, node: &Node, place: &str, own: &[(String, Node)]) -> Result<(), TemplateError> {
        match &node.kind {
            Kind::Scalar(_) => Ok(()),
            Kind::List(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| self.walk(item, &format!("{place}[{index}]"), own)),
            Kind::Map(entries) => {
                entries.iter().try_for_each(|(key, value)| self.walk(value, &format!("{place}.{key}"), own))
            }
            Kind::Call(name, argument) => self.call(name, argument, place, own),
        }
    }

    fn call(
        &self,
        name: &str,
        argument: &Node,
        place: &str,
        own: &[(String, Node)],
    ) -> Result<(), TemplateError> {
        let check = |name: &str| {
            if self.has(name) || own.iter().any(|(known, _)| known == name) {
                return Ok(());
            }
            Err(TemplateError::at(place, argument.line, format!("refers to {name}, which is not there")))
        };
        let logical = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
        match (name, &argument.kind) {
            ("Ref", Kind::Scalar(name)) => check(name),
            ("GetAtt", Kind::Scalar(path)) => check(&logical(path)),
            ("GetAtt", Kind::List(items)) => match items.first().map(|item| &item.kind) {
                Some(Kind::Scalar(name)) => check(name),
                _ => Ok(()),
            },
            ("Sub", Kind::Scalar(pattern)) => names_in(pattern).try_for_each(|name| check(&logical(name))),
            ("Sub", Kind::List(items)) => {
                let own = match items.get(1).map(|node| &node.kind) {
                    Some(Kind::Map(own)) => own.as_slice(),
                    _ => &[],
                };
                let Some(pattern) = items.first() else { return Ok(()) };
                for node in items.iter().skip(1) {
                    self.walk(node, place, &[])?;
                }
                if let Kind::Scalar(text) = &pattern.kind {
                    for name in names_in(text) {
                        if !own.iter().any(|(known, _)| known == name) {
                            check(&logical(name))?;
                        }
                    }
                }
                Ok(())
            }
            _ => self.walk(argument, place, own),
        }
    }
}

/// The names between `${` and `}`, but for literals.
fn names_in(pattern: &str) -> impl Iterator<Item = &str> {
    let names = pattern.split("${").skip(1).filter_map(|rest| rest.split('}').next());
    names.map(str::trim).filter(|name| !name.starts_with('!'))
}
