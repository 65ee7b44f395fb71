//! A place in the template, and what can be read there. Everything unexpected is an error that names the place.

use std::{fmt::Display, str::FromStr, time::Duration};

use super::{
    TemplateError,
    yaml::{Kind, Node},
};

/// A value, free of functions, and the way to it.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    pub(crate) node: &'a Node,
    pub(crate) place: String,
}

type Read<T> = Result<T, TemplateError>;

impl<'a> At<'a> {
    pub(crate) fn new(node: &'a Node, place: impl Into<String>) -> Self {
        Self { node, place: place.into() }
    }

    pub(crate) fn wrong(&self, what: impl Into<String>) -> TemplateError {
        TemplateError::at(&self.place, self.node.line, what)
    }

    pub(crate) fn entries(&self) -> Read<Vec<(&'a str, At<'a>)>> {
        let Kind::Map(entries) = &self.node.kind else { return Err(self.wrong("must be a map")) };
        let at =
            |(key, node): &'a (String, Node)| (key.as_str(), At::new(node, format!("{}.{key}", self.place)));
        Ok(entries.iter().map(at).collect())
    }

    pub(crate) fn items(&self) -> Read<Vec<At<'a>>> {
        let Kind::List(items) = &self.node.kind else { return Err(self.wrong("must be a list")) };
        let at = |(index, node)| At::new(node, format!("{}[{index}]", self.place));
        Ok(items.iter().enumerate().map(at).collect())
    }

    pub(crate) fn get(&self, key: &str) -> Read<Option<At<'a>>> {
        Ok(self.entries()?.into_iter().find(|(known, _)| *known == key).map(|(_, at)| at))
    }

    pub(crate) fn required(&self, key: &str) -> Read<At<'a>> {
        self.get(key)?.ok_or_else(|| self.wrong(format!("has no {key}")))
    }

    /// Refuses keys that nobody would read.
    pub(crate) fn only(&self, known: &[&str]) -> Read<()> {
        match self.entries()?.into_iter().find(|(key, _)| !known.contains(key)) {
            Some((_, at)) => Err(at.wrong("is not understood by the local runner")),
            None => Ok(()),
        }
    }

    pub(crate) fn text(&self) -> Read<&'a str> {
        match &self.node.kind {
            Kind::Scalar(text) => Ok(text),
            _ => Err(self.wrong("must be text")),
        }
    }

    /// Text, or a list of texts.
    pub(crate) fn texts(&self) -> Read<Vec<String>> {
        match &self.node.kind {
            Kind::Scalar(text) => Ok(vec![text.clone()]),
            _ => self.items()?.iter().map(|item| item.text().map(str::to_owned)).collect(),
        }
    }

    pub(crate) fn number<T: FromStr + PartialOrd + Display>(&self, least: T, most: T) -> Read<T> {
        let text = self.text()?;
        match text.parse() {
            Ok(number) if number >= least && number <= most => Ok(number),
            _ => Err(self.wrong(format!("is {text:?}, and must be a whole number from {least} to {most}"))),
        }
    }

    pub(crate) fn seconds(&self, least: u64, most: u64) -> Read<Duration> {
        self.number(least, most).map(Duration::from_secs)
    }

    pub(crate) fn flag(&self) -> Read<bool> {
        match self.text()? {
            "true" | "True" => Ok(true),
            "false" | "False" => Ok(false),
            text => Err(self.wrong(format!("is {text:?}, and must be true or false"))),
        }
    }

    pub(crate) fn one_of(&self, known: &[&str]) -> Read<&'a str> {
        let text = self.text()?;
        match known.contains(&text) {
            true => Ok(text),
            false => Err(self.wrong(format!("is {text:?}, and must be one of {}", known.join(", ")))),
        }
    }
}
