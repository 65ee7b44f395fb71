//! Names of files that people save: safe on every system, with the letters that they were given in every script.

use std::fmt::Write;

/// The most characters of a name, without what tells the format.
const MAX_CHARS: usize = 100;
/// The most bytes of the same. Systems allow 255, and endings and numbers come behind it.
const MAX_BYTES: usize = 180;
/// What no file may be called on Windows, whatever its ending.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// The same with a digit behind.
const PORTS: [&str; 2] = ["com", "lpt"];

/// A name without ending, made of whatever something is called: its letters and digits, with `.`, `_` and `-`, and what else is
/// not ASCII. Between them is one `-` for spaces, separators, and what systems or shells take for something else; there is nothing
/// that is not seen or that turns the direction of what is, and no dot at either end.
pub fn stem(called: &str) -> String {
    let mut stem = String::new();
    let mut chars = 0;
    for c in called.chars().filter(|c| !is_unseen(*c)) {
        let kept = is_kept(c);
        let c = if kept { c } else { '-' };
        // What is trimmed from the beginning uses nothing up.
        let trimmed = stem.is_empty() && matches!(c, '-' | '.');
        if trimmed || (!kept && stem.ends_with('-')) {
            continue;
        }
        chars += 1;
        if chars > MAX_CHARS || stem.len() + c.len_utf8() > MAX_BYTES {
            break;
        }
        stem.push(c);
    }
    let stem = stem.trim_end_matches(['-', '.']);
    if stem.is_empty() {
        return "result".to_owned();
    }
    if is_device(stem) { format!("_{stem}") } else { stem.to_owned() }
}

/// The value of `Content-Disposition` for a file to be saved under this name (RFC 6266): in ASCII for old clients, and beside it
/// exactly where that is another. Neither can be more than a name.
pub fn disposition(name: &str) -> String {
    let exact: String = name.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    let exact = match exact.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => exact,
    };
    let ascii: String = exact.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let mut header = format!("attachment; filename=\"{ascii}\"");
    if ascii != exact {
        header.push_str("; filename*=UTF-8''");
        for byte in exact.bytes() {
            // The characters that RFC 8187 and RFC 3986 both leave as they are.
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                header.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(header, "%{byte:02X}");
            }
        }
    }
    header
}

/// Letters and digits with their marks, what joins words in names, and of other scripts what is no space and no separator.
fn is_kept(c: char) -> bool {
    match c {
        '-' | '_' | '.' => true,
        c if c.is_ascii() => c.is_ascii_alphanumeric(),
        c => !c.is_control() && !c.is_whitespace() && !is_separator(c) && !is_private(c),
    }
}

/// What may stand in a header's name of a file.
fn is_safe(c: char) -> bool {
    c == ' '
        || c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/' | '%')
        || !c.is_ascii() && is_kept(c) && !is_unseen(c)
}

/// What looks like a separator of paths, or becomes one where a system writes names in fewer characters.
fn is_separator(c: char) -> bool {
    matches!(c, '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}')
        || matches!(c, '\u{fe68}' | '\u{ff0f}' | '\u{ff3c}' | '\u{a789}' | '\u{ff1a}' | '\u{2236}')
}

/// What has a meaning to nobody but those who agreed on it, or to nobody at all.
fn is_private(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{f0000}'..='\u{10ffff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// Characters of format (Unicode's Cf) and fillers: they show nothing, and some turn the direction of what does.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether Windows takes it for a device: by what stands before the first dot.
fn is_device(stem: &str) -> bool {
    let name = stem.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_number = |rest: &str| {
        let mut chars = rest.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³'));
        first && chars.next().is_none()
    };
    let is_port = |port: &str| name.strip_prefix(port).is_some_and(is_number);
    DEVICES.contains(&name.as_str()) || PORTS.into_iter().any(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_every_script_stay() {
        for (called, name) in [
            ("late departures", "late-departures"),
            ("日本 été", "日本-été"),
            ("Größe Zürich", "Größe-Zürich"),
            ("e\u{301}te\u{301}", "e\u{301}te\u{301}"),
            ("हिन्दी", "हिन्दी"),
            ("тест_1.v2", "тест_1.v2"),
            ("عربي", "عربي"),
            ("parts/by:month", "parts-by-month"),
            ("a  / b", "a-b"),
            ("a--b", "a--b"),
        ] {
            assert_eq!(stem(called), name, "{called}");
        }
    }

    #[test]
    fn no_name_is_more_than_a_name() {
        for (called, name) in [
            ("", "result"),
            ("...", "result"),
            ("-rf", "rf"),
            ("../../etc/passwd", "etc-passwd"),
            (r"..\boot.ini", "boot.ini"),
            (".bashrc", "bashrc"),
            ("a\u{2215}b\u{ff0f}c\u{ff3c}d", "a-b-c-d"),
            ("a\r\nb\0c\u{85}d", "a-b-c-d"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("a\u{2066}b\u{2069}\u{200f}\u{61c}", "ab"),
            ("\u{feff}x\u{200b}", "x"),
            ("\u{e000}\u{fffe}x", "x"),
            ("~x", "x"),
            ("x. ", "x"),
            ("CON", "_CON"),
            ("nul.v1", "_nul.v1"),
            ("com1", "_com1"),
            ("computer", "computer"),
        ] {
            assert_eq!(stem(called), name, "{called:?}");
        }
    }

    #[test]
    fn no_name_is_too_long_for_a_file() {
        assert_eq!(stem(&"x".repeat(300)).len(), MAX_CHARS);
        let long = stem(&"日本".repeat(200));
        assert!(long.len() <= MAX_BYTES && long.len() > MAX_BYTES - 3, "{} bytes", long.len());
        assert_eq!(stem(&format!("{}-y", "x".repeat(MAX_CHARS - 1))), "x".repeat(MAX_CHARS - 1));
    }

    #[test]
    fn headers_name_a_file_for_old_clients_and_for_new_ones() {
        for (name, header) in [
            ("late departures.csv", "attachment; filename=\"late departures.csv\""),
            (
                "日本-été.json",
                "attachment; filename=\"__-_t_.json\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC-%C3%A9t%C3%A9.json",
            ),
            ("spä te.csv", "attachment; filename=\"sp_ te.csv\"; filename*=UTF-8''sp%C3%A4%20te.csv"),
            // Whoever asked for it: not even an odd name breaks out of header or directory.
            ("a\"; filename=\"b.csv", "attachment; filename=\"a_; filename=_b.csv\""),
            (
                "\r\n/x%2f\\é.csv",
                "attachment; filename=\"___x_2f__.csv\"; filename*=UTF-8''___x_2f_%C3%A9.csv",
            ),
            ("../x.csv", "attachment; filename=\"_._x.csv\""),
            ("a\u{202e}vsc.exe", "attachment; filename=\"a_vsc.exe\""),
        ] {
            assert_eq!(disposition(name), header, "{name:?}");
            assert!(header.is_ascii());
        }
    }
}
