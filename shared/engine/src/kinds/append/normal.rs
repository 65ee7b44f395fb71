//! Texts brought to the form in which they are compared.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use willcall_core::job::kinds::Compare;

/// Appends the text in the form in which it is compared; nothing where nothing is left of it.
pub(super) fn normalise(text: &str, compare: Compare, out: &mut Vec<u8>) {
    match compare {
        Compare::Exact => out.extend_from_slice(text.as_bytes()),
        Compare::Text => plain_text(text, out),
        Compare::Email => lower(text.trim(), out),
        Compare::Phone => phone(text, out),
    }
}

/// Without accents and case, words parted by one space.
fn plain_text(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    let mut gap = false;
    let mut put = |character: char, out: &mut Vec<u8>| {
        if character.is_whitespace() {
            gap = out.len() > start;
            return;
        }
        if std::mem::take(&mut gap) {
            out.push(b' ');
        }
        if character.is_ascii() {
            out.push(character.to_ascii_lowercase() as u8);
        } else {
            push(character, out);
        }
    };
    if text.is_ascii() {
        text.chars().for_each(|character| put(character, out));
        return;
    }
    for character in text.nfkd().filter(|character| !is_combining_mark(*character)) {
        // Up and down again: what has no small letter of its own, as ß, becomes what its capitals are.
        for upper in character.to_uppercase() {
            for lower in upper.to_lowercase().filter(|lower| !is_combining_mark(*lower)) {
                put(lower, out);
            }
        }
    }
}

fn lower(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() {
        out.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
    } else {
        text.chars().flat_map(char::to_lowercase).for_each(|character| push(character, out));
    }
}

/// The digits, without the `00` that stands for `+`.
fn phone(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    if text.is_ascii() {
        out.extend(text.bytes().filter(u8::is_ascii_digit));
    } else {
        out.extend(text.nfkd().filter(char::is_ascii_digit).map(|digit| digit as u8));
    }
    if out[start..].starts_with(b"00") {
        out.drain(start..start + 2);
    }
}

fn push(character: char, out: &mut Vec<u8>) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, compare: Compare) -> String {
        let mut out = b"before ".to_vec();
        normalise(text, compare, &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn text_is_compared_without_case_accents_and_spaces() {
        for (one, other) in [
            ("Zürich ", "ZURICH"),
            ("  são\u{a0}Paulo", "Sao  paulo"),
            ("Straße", "STRASSE"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσεύς"),
            ("ﬁn", "FIN"),
            ("Ｃａｆé", "cafe"),
            ("İstanbul", "istanbul"),
            ("e\u{301}", "É"),
            ("a\t\n b", "A B"),
        ] {
            assert_eq!(of(one, Compare::Text), of(other, Compare::Text), "{one} {other}");
        }
        assert_eq!(of("  Two  WORDS ", Compare::Text), "two words");
        assert_ne!(of("ab", Compare::Text), of("a b", Compare::Text));
        assert_ne!(of("Ø", Compare::Text), of("O", Compare::Text), "a letter of its own, not an accent");
        for nothing in ["", "   ", "\u{301}"] {
            assert_eq!(of(nothing, Compare::Text), "");
        }
    }

    #[test]
    fn addresses_and_numbers_are_compared_by_what_counts_in_them() {
        assert_eq!(of(" Ann.Lee@Example.ORG\n", Compare::Email), "ann.lee@example.org");
        assert_eq!(of("JÖRG@x.org", Compare::Email), "jörg@x.org");
        for same in ["+41 44 668 18 00", "0041446681800", "(41) 44/668-18-00", "+４１ ４４６６８１８００"]
        {
            assert_eq!(of(same, Compare::Phone), "41446681800", "{same}");
        }
        assert_eq!(of("044 668", Compare::Phone), "044668");
        assert_eq!((of("n/a", Compare::Phone), of("+00", Compare::Phone)), (String::new(), String::new()));
        assert_eq!(of(" As it is ", Compare::Exact), " As it is ");
    }
}
