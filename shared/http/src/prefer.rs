//! `Prefer` (RFC 7240): whether and how long a client wants to wait.

use std::time::Duration;

use http::HeaderMap;

/// The preferences that this service knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// `respond-async`.
    pub(crate) respond_async: bool,
    /// `wait`, in seconds.
    pub(crate) wait: Option<Duration>,
}

impl Prefer {
    /// Reads every `Prefer` header. What is not understood is ignored, and of repetitions the first counts (§2).
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        for value in headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()) {
            for preference in value.split(',') {
                // Parameters of a preference follow a semicolon; neither preference has any.
                let preference = preference.split(';').next().unwrap_or_default();
                let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
                let (name, value) = (name.trim(), value.trim().trim_matches('"'));
                if name.eq_ignore_ascii_case("respond-async") {
                    prefer.respond_async = true;
                } else if name.eq_ignore_ascii_case("wait")
                    && let Ok(seconds) = value.parse::<u32>()
                {
                    prefer.wait.get_or_insert(Duration::from_secs(u64::from(seconds)));
                }
            }
        }
        prefer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Prefer {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", value.parse().unwrap());
        }
        Prefer::read(&headers)
    }

    #[test]
    fn preferences_are_read_as_rfc_7240_writes_them() {
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(read(&["respond-async, wait=10"]), Prefer { respond_async: true, wait: seconds(10) });
        assert_eq!(read(&["Wait = \"7\"; x=y", "wait=9"]), Prefer { respond_async: false, wait: seconds(7) });
        assert!(read(&["handling=lenient", "RESPOND-ASYNC"]).respond_async);
        assert_eq!(read(&["wait=soon, wait=-1, wait"]), Prefer::default());
    }
}
