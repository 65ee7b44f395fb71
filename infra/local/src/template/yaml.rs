//! YAML as CloudFormation reads it: short functions are calls, and every value knows its line.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::TemplateError;

/// A value of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Numbers and booleans too: what is read decides what it must be, as in CloudFormation.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// A function by its name without `!` or `Fn::`, and its argument.
    Call(String, Box<Node>),
}

/// Reads the one document of a template.
pub(crate) fn read(text: &str) -> Result<Node, TemplateError> {
    let mut loader = Loader { parser: Parser::new_from_str(text) };
    loop {
        match loader.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (Event::StreamEnd, _) => return Err(TemplateError::at("the template", 1, "is empty")),
            (event, span) => {
                let node = loader.node(event, span)?;
                return loader.end().map(|()| node);
            }
        }
    }
}

struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Loader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), TemplateError> {
        let failed = |error: ScanError| {
            TemplateError::at("the template", error.marker().line(), format!("is not YAML: {}", error.info()))
        };
        match self.parser.next_event() {
            Some(event) => event.map_err(failed),
            None => Err(TemplateError::at("the template", 1, "ends too early")),
        }
    }

    fn end(&mut self) -> Result<(), TemplateError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd, _) => {}
                (_, span) => {
                    let line = span.start.line();
                    return Err(TemplateError::at("the template", line, "has a second document"));
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, TemplateError> {
        let line = span.start.line();
        let wrong = |what: String| TemplateError::at("the template", line, what);
        let (kind, tag) = match event {
            Event::Scalar(text, style, _, tag) => {
                let plain = matches!(style, ScalarStyle::Plain);
                if plain && tag.is_none() && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    return Err(wrong("has a value that is null".to_owned()));
                }
                (Kind::Scalar(text.into_owned()), tag)
            }
            Event::SequenceStart(_, tag) => (self.list()?, tag),
            Event::MappingStart(_, tag) => (self.map()?, tag),
            Event::Alias(_) => {
                return Err(wrong("has an alias, which CloudFormation does not know".to_owned()));
            }
            other => return Err(wrong(format!("has {other:?} where a value should be"))),
        };
        let node = Node { line, kind };
        let name = match tag.as_deref() {
            None => return Ok(long_form(node)),
            Some(tag) if tag.is_yaml_core_schema() => return Ok(node),
            Some(Tag { handle, suffix }) if handle == "!" => suffix.clone(),
            Some(tag) => return Err(wrong(format!("has the unknown tag {tag}"))),
        };
        Ok(Node { line, kind: Kind::Call(name, Box::new(node)) })
    }

    fn list(&mut self) -> Result<Kind, TemplateError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Kind::List(items)),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self) -> Result<Kind, TemplateError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (key, line) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Kind::Map(entries)),
                (Event::Scalar(key, ..), span) => (key.into_owned(), span.start.line()),
                (_, span) => {
                    let line = span.start.line();
                    return Err(TemplateError::at("the template", line, "has a key that is not text"));
                }
            };
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(TemplateError::at("the template", line, format!("has {key} twice")));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            entries.push((key, value));
        }
    }
}

/// `{"Ref": …}` and `{"Fn::Sub": …}` mean what the short forms do.
fn long_form(node: Node) -> Node {
    let Node { line, kind } = node;
    match kind {
        Kind::Map(mut entries) if entries.len() == 1 => {
            let name = match entries[0].0.as_str() {
                "Ref" => Some("Ref".to_owned()),
                name => name.strip_prefix("Fn::").map(str::to_owned),
            };
            match (name, entries.pop()) {
                (Some(name), Some((_, value))) => Node { line, kind: Kind::Call(name, Box::new(value)) },
                (_, Some(entry)) => Node { line, kind: Kind::Map(vec![entry]) },
                (_, None) => Node { line, kind: Kind::Map(entries) },
            }
        }
        kind => Node { line, kind },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(line: usize, text: &str) -> Node {
        Node { line, kind: Kind::Scalar(text.to_owned()) }
    }

    fn call(line: usize, name: &str, argument: Node) -> Node {
        Node { line, kind: Kind::Call(name.to_owned(), Box::new(argument)) }
    }

    #[test]
    fn short_and_long_functions_are_the_same_calls() {
        for text in ["a: !Ref X", "a: {Ref: X}", "{\"a\": {\"Ref\": \"X\"}}"] {
            let expected = Kind::Map(vec![("a".to_owned(), call(1, "Ref", scalar(1, "X")))]);
            assert_eq!(read(text).unwrap().kind, expected, "{text}");
        }
        let join = read("!Join\n- ','\n- [!GetAtt A.Arn, 'Fn::Sub': x]").unwrap();
        let inner = vec![call(3, "GetAtt", scalar(3, "A.Arn")), call(3, "Sub", scalar(3, "x"))];
        let argument = vec![scalar(2, ","), Node { line: 3, kind: Kind::List(inner) }];
        let Kind::Call(name, list) = join.kind else { panic!("{join:?}") };
        assert_eq!((name.as_str(), list.kind), ("Join", Kind::List(argument)));
    }

    #[test]
    fn what_cloudformation_refuses_is_refused_with_its_line() {
        for (text, complaint) in [
            ("a: 1\nb: 2\na: 3", "line 3): has a twice"),
            ("a: &x 1\nb: *x", "line 2): has an alias"),
            ("a: 1\nb:", "line 2): has a value that is null"),
            ("a: 1\n---\nb: 2", "has a second document"),
            ("a: [1, 2", "is not YAML"),
            ("? [a]\n: 1", "has a key that is not text"),
            ("", "is empty"),
            ("a: !!python/object x", "is not understood"),
        ] {
            let found = read(text).map(|node| format!("{node:?} is not understood"));
            let said = found.unwrap_or_else(|error| error.to_string());
            assert!(said.contains(complaint), "{text}: {said}");
        }
    }
}
