//! `Accept` (RFC 9110 §12.5.1): which format a client wants where it does not say by `format`.

use http::{HeaderMap, header};
use willcall_core::format::Format;

/// Other media types by which clients ask for a format.
const ALIASES: [(&str, Format); 5] = [
    ("application/jsonl", Format::Jsonl),
    ("application/ndjson", Format::Jsonl),
    ("application/jsonlines", Format::Jsonl),
    ("application/csv", Format::Csv),
    ("application/x-parquet", Format::Parquet),
];

/// A media range with its weight in thousandths.
fn ranges(headers: &HeaderMap) -> Vec<(String, u32)> {
    let mut ranges = Vec::new();
    for value in headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            let weight = weight.and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0).clamp(0.0, 1.0);
            if !name.is_empty() {
                // Between 0 and 1000, so it fits.
                ranges.push((name, (weight * 1000.0) as u32));
            }
        }
    }
    ranges
}

fn essence(format: Format) -> &'static str {
    format.media_type().split(';').next().unwrap_or_default()
}

/// The weight of a media type: that of the most specific range which fits.
fn weight(ranges: &[(String, u32)], names: &[&str]) -> Option<u32> {
    let of = |wanted: &str| ranges.iter().find(|(range, _)| range == wanted).map(|(_, weight)| *weight);
    let exact = names.iter().find_map(|name| of(name));
    let group = || names.first().and_then(|name| of(&format!("{}/*", name.split('/').next()?)));
    exact.or_else(group).or_else(|| of("*/*"))
}

/// The format that `Accept` asks for: `Ok(None)` where it does not say, `Err` where it allows none that there is.
pub(crate) fn format(headers: &HeaderMap) -> Result<Option<Format>, ()> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(None);
    }
    let mut best: Option<(Format, u32)> = None;
    for format in Format::ALL {
        let mut names = vec![essence(format)];
        names.extend(ALIASES.iter().filter(|(_, f)| *f == format).map(|(name, _)| *name));
        match weight(&ranges, &names) {
            Some(weight) if weight > best.map_or(0, |(_, weight)| weight) => best = Some((format, weight)),
            _ => {}
        }
    }
    best.map(|(format, _)| Some(format)).ok_or(())
}

/// Whether the client asks for a media type by its name, and for nothing else by name that it likes as well. A range such
/// as `*/*` is no name: whoever takes anything does not ask for this.
pub(crate) fn prefers(headers: &HeaderMap, media_type: &str) -> bool {
    let ranges = ranges(headers);
    let Some(own) = ranges.iter().find(|(range, _)| range == media_type).map(|(_, weight)| *weight) else {
        return false;
    };
    let others = ranges.iter().filter(|(range, _)| range != media_type);
    own > 0
        && others.into_iter().all(|(range, weight)| own > *weight || own == *weight && range.ends_with("/*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Result<Option<Format>, ()> {
        let mut headers = HeaderMap::new();
        headers.append("accept", value.parse().unwrap());
        format(&headers)
    }

    #[test]
    fn the_best_acceptable_format_is_taken() {
        for (value, expected) in [
            ("*/*", Ok(Some(Format::Json))),
            ("text/csv", Ok(Some(Format::Csv))),
            ("text/*", Ok(Some(Format::Csv))),
            ("application/jsonl", Ok(Some(Format::Jsonl))),
            ("application/json;q=0.5, text/csv;q=0.9", Ok(Some(Format::Csv))),
            ("text/html,application/xml;q=0.9,*/*;q=0.8", Ok(Some(Format::Json))),
            ("application/json;q=0, */*", Ok(Some(Format::Jsonl))),
            ("application/vnd.apache.arrow.stream", Ok(Some(Format::Arrow))),
            (
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet, */*;q=0.1",
                Ok(Some(Format::Xlsx)),
            ),
            ("image/png", Err(())),
            ("application/json;q=0", Err(())),
        ] {
            assert_eq!(accept(value), expected, "{value}");
        }
        assert_eq!(format(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn a_zip_is_asked_for_by_its_name_alone() {
        let zip = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append("accept", value.parse().unwrap());
            prefers(&headers, "application/zip")
        };
        for asks in [
            "application/zip",
            "Application/ZIP",
            "application/zip;q=0.2",
            "application/zip, */*",
            "application/zip, */*;q=0.1",
            "text/csv;q=0.5, application/zip",
            "application/zip, text/csv;q=0",
        ] {
            assert!(zip(asks), "{asks}");
        }
        for not in [
            "*/*",
            "application/*",
            "text/csv",
            "application/zip;q=0",
            "application/zip;q=0, */*",
            "application/zip;q=0.5, */*",
            "application/zip, text/csv",
            "text/csv, application/zip;q=0.9",
        ] {
            assert!(!zip(not), "{not}");
        }
    }
}
