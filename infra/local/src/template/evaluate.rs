//! What CloudFormation's functions and conditions come to.

use std::collections::BTreeMap;

use super::{
    TemplateError,
    yaml::{Kind, Node},
};

/// The attributes of a deployment's resources. The attribute of a `Ref` is empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) stack: String,
    attributes: BTreeMap<(String, String), String>,
}

impl Names {
    pub(crate) fn new(region: &str, account: &str, stack: &str) -> Self {
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            stack: stack.to_owned(),
            attributes: BTreeMap::new(),
        }
    }

    pub(crate) fn set(&mut self, logical: &str, attribute: &str, value: impl Into<String>) {
        self.attributes.insert((logical.to_owned(), attribute.to_owned()), value.into());
    }

    pub(crate) fn get(&self, logical: &str, attribute: &str) -> Option<&str> {
        self.attributes.get(&(logical.to_owned(), attribute.to_owned())).map(String::as_str)
    }
}

/// What a parameter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parameter {
    Text(String),
    List(Vec<String>),
}

/// What names in the template stand for.
pub(crate) struct Scope<'a> {
    pub(crate) parameters: &'a BTreeMap<String, Parameter>,
    pub(crate) conditions: &'a BTreeMap<String, bool>,
    pub(crate) mappings: Option<&'a Node>,
    pub(crate) names: &'a Names,
}

type Evaluated<T> = Result<T, TemplateError>;

impl Scope<'_> {
    /// The value free of functions; none for `AWS::NoValue`.
    pub(crate) fn evaluate(&self, node: &Node, place: &str) -> Evaluated<Option<Node>> {
        let line = node.line;
        let kind = match &node.kind {
            Kind::Scalar(text) => Kind::Scalar(text.clone()),
            Kind::List(items) => {
                let mut list = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    list.extend(self.evaluate(item, &format!("{place}[{index}]"))?);
                }
                Kind::List(list)
            }
            Kind::Map(entries) => {
                let mut map = Vec::new();
                for (key, value) in entries {
                    let value = self.evaluate(value, &format!("{place}.{key}"))?;
                    map.extend(value.map(|value| (key.clone(), value)));
                }
                Kind::Map(map)
            }
            Kind::Call(name, argument) => return self.call(name, argument, place),
        };
        Ok(Some(Node { line, kind }))
    }

    fn call(&self, name: &str, argument: &Node, place: &str) -> Evaluated<Option<Node>> {
        let line = argument.line;
        let wrong = |what: String| TemplateError::at(place, line, what);
        let text = |text: String| Ok(Some(Node { line, kind: Kind::Scalar(text) }));
        match name {
            "Ref" => match self.text(argument, place)?.as_str() {
                "AWS::NoValue" => Ok(None),
                name => Ok(Some(Node { line, kind: self.reference(name).map_err(wrong)? })),
            },
            "GetAtt" => {
                let path = match &argument.kind {
                    Kind::List(_) => self.texts(argument, place)?.join("."),
                    _ => self.text(argument, place)?,
                };
                text(self.attribute(&path).map_err(wrong)?)
            }
            "Sub" => text(self.substitute(argument, place)?),
            "Join" => {
                let [separator, list] = self.arguments(argument, place)?;
                text(self.texts(list, place)?.join(&self.text(separator, place)?))
            }
            "Split" => {
                let [separator, whole] = self.arguments(argument, place)?;
                let (separator, whole) = (self.text(separator, place)?, self.text(whole, place)?);
                let part = |part: &str| Node { line, kind: Kind::Scalar(part.to_owned()) };
                Ok(Some(Node { line, kind: Kind::List(whole.split(&separator).map(part).collect()) }))
            }
            "Select" => {
                let [index, list] = self.arguments(argument, place)?;
                let (index, list) = (self.text(index, place)?, self.texts(list, place)?);
                let found = index.parse::<usize>().ok().and_then(|index| list.get(index).cloned());
                text(found.ok_or_else(|| wrong(format!("selects {index} of {} values", list.len())))?)
            }
            "If" => {
                let [condition, yes, no] = self.arguments(argument, place)?;
                let holds = self.named_condition(condition, place)?;
                self.evaluate(if holds { yes } else { no }, place)
            }
            "FindInMap" => {
                let [map, first, second] = self.arguments(argument, place)?;
                let keys = [self.text(map, place)?, self.text(first, place)?, self.text(second, place)?];
                let mut found = self.mappings;
                for key in &keys {
                    found = found.and_then(|node| match &node.kind {
                        Kind::Map(entries) => entries.iter().find(|(known, _)| known == key).map(|(_, n)| n),
                        _ => None,
                    });
                }
                found.cloned().map(Some).ok_or_else(|| wrong(format!("finds no {}", keys.join("."))))
            }
            other => Err(wrong(format!("has the function {other}, which the local runner does not know"))),
        }
    }

    /// Whether a condition holds: an expression of the section `Conditions`.
    pub(crate) fn holds(&self, node: &Node, place: &str) -> Evaluated<bool> {
        let wrong = |what: String| TemplateError::at(place, node.line, what);
        match &node.kind {
            Kind::Call(name, argument) => match (name.as_str(), &argument.kind) {
                ("Equals", _) => {
                    let [left, right] = self.arguments(argument, place)?;
                    Ok(self.evaluate(left, place)?.map(|node| node.kind)
                        == self.evaluate(right, place)?.map(|node| node.kind))
                }
                ("Not", Kind::List(items)) if items.len() == 1 => Ok(!self.holds(&items[0], place)?),
                ("And" | "Or", Kind::List(items)) if (2..=10).contains(&items.len()) => {
                    let all = name == "And";
                    for item in items {
                        if self.holds(item, place)? != all {
                            return Ok(!all);
                        }
                    }
                    Ok(all)
                }
                ("Condition", _) => self.named_condition(argument, place),
                _ => Err(wrong(format!("has {name} where a condition should be"))),
            },
            Kind::Map(entries) => match entries.as_slice() {
                [(key, name)] if key == "Condition" => self.named_condition(name, place),
                _ => Err(wrong("must be a condition".to_owned())),
            },
            _ => Err(wrong("must be a condition".to_owned())),
        }
    }

    fn named_condition(&self, node: &Node, place: &str) -> Evaluated<bool> {
        let Kind::Scalar(name) = &node.kind else {
            return Err(TemplateError::at(place, node.line, "must name a condition"));
        };
        let known = self.conditions.get(name).copied();
        known.ok_or_else(|| TemplateError::at(place, node.line, format!("names no condition: {name}")))
    }

    fn reference(&self, name: &str) -> Result<Kind, String> {
        let scalar = |text: &str| Ok(Kind::Scalar(text.to_owned()));
        match name {
            "AWS::Region" => return scalar(&self.names.region),
            "AWS::AccountId" => return scalar(&self.names.account),
            "AWS::Partition" => return scalar("aws"),
            "AWS::StackName" => return scalar(&self.names.stack),
            "AWS::URLSuffix" => return scalar("amazonaws.com"),
            _ => {}
        }
        match self.parameters.get(name) {
            Some(Parameter::Text(text)) => return scalar(text),
            Some(Parameter::List(items)) => {
                let item = |text: &String| Node { line: 0, kind: Kind::Scalar(text.clone()) };
                return Ok(Kind::List(items.iter().map(item).collect()));
            }
            None => {}
        }
        match self.names.get(name, "") {
            Some(value) => scalar(value),
            None => Err(format!("refers to {name}, which is not there, or not known to the local runner")),
        }
    }

    fn attribute(&self, path: &str) -> Result<String, String> {
        let unknown = || format!("asks for {path}, which is not there, or not known to the local runner");
        let (logical, attribute) = path.split_once('.').ok_or_else(unknown)?;
        self.names.get(logical, attribute).map(str::to_owned).ok_or_else(unknown)
    }

    fn substitute(&self, argument: &Node, place: &str) -> Evaluated<String> {
        let wrong = |what: String| TemplateError::at(place, argument.line, what);
        let (pattern, own) = match &argument.kind {
            Kind::Scalar(pattern) => (pattern, None),
            Kind::List(items) => match items.as_slice() {
                [Node { kind: Kind::Scalar(pattern), .. }, Node { kind: Kind::Map(own), .. }] => {
                    (pattern, Some(own))
                }
                _ => return Err(wrong("must substitute in a text, by a map".to_owned())),
            },
            _ => return Err(wrong("must substitute in a text".to_owned())),
        };
        let (mut whole, mut rest) = (String::new(), pattern.as_str());
        while let Some((before, after)) = rest.split_once("${") {
            whole += before;
            let (name, after) =
                after.split_once('}').ok_or_else(|| wrong(format!("has no }} after ${{ in {pattern:?}")))?;
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                whole += &format!("${{{literal}}}");
                continue;
            }
            let name = name.trim();
            let own = own.and_then(|own| own.iter().find(|(known, _)| known == name));
            whole += &match own {
                Some((_, node)) => self.text(node, place)?,
                None if name.contains('.') => self.attribute(name).map_err(wrong)?,
                None => match self.reference(name).map_err(wrong)? {
                    Kind::Scalar(text) => text,
                    _ => return Err(wrong(format!("puts the list {name} into a text"))),
                },
            };
        }
        Ok(whole + rest)
    }

    fn text(&self, node: &Node, place: &str) -> Evaluated<String> {
        match self.evaluate(node, place)?.map(|node| node.kind) {
            Some(Kind::Scalar(text)) => Ok(text),
            _ => Err(TemplateError::at(place, node.line, "must be text")),
        }
    }

    fn texts(&self, node: &Node, place: &str) -> Evaluated<Vec<String>> {
        let wrong = || TemplateError::at(place, node.line, "must be a list of texts");
        match self.evaluate(node, place)?.map(|node| node.kind) {
            Some(Kind::List(items)) => items
                .into_iter()
                .map(|item| match item.kind {
                    Kind::Scalar(text) => Ok(text),
                    _ => Err(wrong()),
                })
                .collect(),
            _ => Err(wrong()),
        }
    }

    fn arguments<'n, const N: usize>(&self, node: &'n Node, place: &str) -> Evaluated<[&'n Node; N]> {
        let wrong =
            || TemplateError::at(place, node.line, format!("has a function that needs {N} arguments"));
        let Kind::List(items) = &node.kind else { return Err(wrong()) };
        <[&Node; N]>::try_from(items.iter().collect::<Vec<_>>()).map_err(|_| wrong())
    }
}
