//! Addresses with places for members of an item: `https://api.example.com/v1/people/{email}?full={full}`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Misfit;
use crate::json::Object;

/// The address of an upstream, each `{member}` in its path or query to be filled by the item's member of that name. What is
/// filled in is percent-encoded, so that it stays where it is put: no item leads to another host or path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlTemplate {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Member { name: String, in_query: bool },
}

impl UrlTemplate {
    /// Takes the address apart, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return Err("has a space or a control character".into());
        }
        let rest = ["https://", "http://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest =
            rest.ok_or("must begin with https:// (or http:// where `allow` names a private network)")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() {
            return Err("has no host".into());
        }
        if authority.contains(['{', '}']) {
            return Err("has a member in its host: only path and query may have any".into());
        }
        if authority.contains(['@', '\\']) {
            return Err("has credentials in it: put them into headers, as secrets".into());
        }
        if text.contains('#') {
            return Err("has a fragment, which is never sent".into());
        }
        Ok(Self { text: text.to_owned(), pieces: pieces(text)? })
    }

    /// The address as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The members that an item must have.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Member { name, .. } => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The address for an item, or what it lacks.
    pub fn expand(&self, item: &Object) -> Result<String, Misfit> {
        let mut url = String::with_capacity(self.text.len() + 32);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Member { name, in_query } => {
                    let wrong = |detail: String| Misfit::below("", name, detail);
                    let text = match item.members().get(name) {
                        Some(Value::String(text)) => text.clone(),
                        Some(Value::Number(number)) => {
                            item.written(name).map_or_else(|| number.to_string(), |number| number.to_string())
                        }
                        Some(Value::Bool(truth)) => truth.to_string(),
                        Some(Value::Null) | None => {
                            return Err(wrong("is missing, and the upstream's address needs it".into()));
                        }
                        Some(Value::Array(_) | Value::Object(_)) => {
                            return Err(wrong("must be text, a number or true or false".into()));
                        }
                    };
                    if !in_query && text.is_empty() {
                        return Err(wrong(
                            "is empty, and stands in the path of the upstream's address".into(),
                        ));
                    }
                    encode(&text, &mut url);
                }
            }
        }
        // However they are written, such segments climb in the path, or vanish from it.
        let path = url.split('?').next().unwrap_or_default();
        let climbs = |segment: &str| matches!(segment, "." | "..");
        if self.members().next().is_some() && path.split('/').skip(3).any(climbs) {
            let member = self.members().next().unwrap_or_default();
            return Err(Misfit::below("", member, "cannot stand in a path".to_owned()));
        }
        Ok(url)
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let (mut rest, mut in_query) = (text, false);
    while let Some(open) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(open);
        in_query |= before.contains('?');
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let inner = after.strip_prefix('{').ok_or("has a } without a {")?;
        let (name, behind) = inner.split_once('}').ok_or("has a { without a }")?;
        if name.is_empty() || name.contains(['{', '/', '?', '&']) {
            return Err(format!("{{{name}}} names no member"));
        }
        pieces.push(Piece::Member { name: name.to_owned(), in_query });
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// All but the unreserved characters of RFC 3986 are encoded.
fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

impl TryFrom<String> for UrlTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<UrlTemplate> for String {
    fn from(template: UrlTemplate) -> Self {
        template.text
    }
}

impl fmt::Display for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expanded(template: &str, item: Value) -> Result<String, String> {
        let Value::Object(item) = item else { panic!("{item} is no object") };
        UrlTemplate::parse(template).unwrap().expand(&item.into()).map_err(|misfit| misfit.to_string())
    }

    #[test]
    fn members_are_filled_in_and_stay_where_they_are_put() {
        let template = "https://api.test/people/{email}/x?q={q}&full=true";
        let item = json!({ "email": "a b/../é@x?&#%.test", "q": "1&admin=true", "other": 1 });
        assert_eq!(
            expanded(template, item).unwrap(),
            "https://api.test/people/a%20b%2F..%2F%C3%A9%40x%3F%26%23%25.test/x?q=1%26admin%3Dtrue&full=true"
        );
        assert_eq!(expanded("https://api.test/{n}", json!({ "n": 12.5 })).unwrap(), "https://api.test/12.5");
        assert_eq!(
            expanded("https://api.test/?{n}", json!({ "n": true })).unwrap(),
            "https://api.test/?true"
        );
        assert_eq!(expanded("https://api.test/?q={q}", json!({ "q": "" })).unwrap(), "https://api.test/?q=");
    }

    #[test]
    fn items_that_do_not_fill_the_address_are_told_where() {
        for (item, words) in [
            (json!({}), "/id: is missing"),
            (json!({ "id": null }), "/id: is missing"),
            (json!({ "id": "" }), "/id: is empty"),
            (json!({ "id": [1] }), "/id: must be text"),
            (json!({ "id": ".." }), "/id: cannot stand in a path"),
            (json!({ "id": "." }), "/id: cannot stand in a path"),
        ] {
            let said = expanded("https://api.test/v1/{id}/x", item.clone()).unwrap_err();
            assert!(said.contains(words), "{item}: {said}");
        }
        assert!(expanded("https://api.test/v1/x{id}", json!({ "id": ".." })).is_ok());
    }

    #[test]
    fn addresses_that_could_lead_elsewhere_are_refused() {
        for (text, words) in [
            ("api.test/x", "must begin with https://"),
            ("ftp://api.test/", "must begin with https://"),
            ("https:///x", "has no host"),
            ("https://{host}/x", "in its host"),
            ("https://api.test:{port}/", "in its host"),
            ("https://me@api.test/", "credentials"),
            ("https://api.test\\@x/", "credentials"),
            ("https://api.test/#{x}", "fragment"),
            ("https://api.test/a b", "space"),
            ("https://api.test/{x", "without a }"),
            ("https://api.test/x}", "without a {"),
            ("https://api.test/{}", "names no member"),
            ("https://api.test/{a{b}}", "names no member"),
        ] {
            let said = UrlTemplate::parse(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }

    #[test]
    fn an_address_reads_back() {
        let template = UrlTemplate::parse("https://api.test/{a}?b={b}").unwrap();
        let text = serde_json::to_string(&template).unwrap();
        assert_eq!(text, "\"https://api.test/{a}?b={b}\"");
        assert_eq!(serde_json::from_str::<UrlTemplate>(&text).unwrap(), template);
        assert_eq!(template.members().collect::<Vec<_>>(), ["a", "b"]);
    }
}
