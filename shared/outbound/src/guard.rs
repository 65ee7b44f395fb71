//! What may be reached: judged once by the text of an address, and again by every socket address.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};
use willcall_core::{ports::UnfitUrl, webhook::AllowList};

use crate::address::{is_metadata, is_public};

/// The most bytes of an address.
const MAX_URL: usize = 2048;

/// What the operator allows, and the rules that always hold.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allow: AllowList,
    plain: PlainHttp,
}

/// Where may be reached without encryption.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// This machine alone, where the operator allows it: for addresses that clients choose.
    #[default]
    Loopback,
    /// Whatever the operator allows: for addresses that the operator chose too.
    Allowed,
}

impl Guard {
    /// A guard that lets the public internet be reached with encryption, and what the operator allows besides.
    pub fn new(allow: AllowList, plain: PlainHttp) -> Self {
        Self { allow, plain }
    }

    /// The address, taken apart as browsers do it, so that `https://2130706433/` is 127.0.0.1 here as well.
    pub fn check(&self, text: &str) -> Result<Url, UnfitUrl> {
        let unfit = |words: &str| UnfitUrl(words.to_owned());
        if text.len() > MAX_URL {
            return Err(UnfitUrl(format!("has {} bytes: at most {MAX_URL} are allowed", text.len())));
        }
        if text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return Err(unfit("has a space or a control character"));
        }
        let url = Url::parse(text).map_err(|error| UnfitUrl(format!("is not a URL: {error}")))?;
        let encrypted = match url.scheme() {
            "https" => true,
            "http" => false,
            scheme => return Err(UnfitUrl(format!("is {scheme}: only https is sent to"))),
        };
        // Whatever stands before an @ is taken for a name and a password, even nothing.
        let authority = text.split("//").nth(1).and_then(|rest| rest.split(['/', '?', '#', '\\']).next());
        if !url.username().is_empty()
            || url.password().is_some()
            || authority.is_some_and(|a| a.contains('@'))
        {
            return Err(unfit("has credentials in it: what is sent is signed instead"));
        }
        if url.port() == Some(0) {
            return Err(unfit("has the port 0"));
        }
        let (literal, named) = match url.host() {
            None => return Err(unfit("has no host")),
            Some(Host::Domain(name)) => (None, self.allow.has_host(name) || self.is_local(name)),
            Some(Host::Ipv4(address)) => (Some(IpAddr::V4(address)), false),
            Some(Host::Ipv6(address)) => (Some(IpAddr::V6(address)), false),
        };
        match literal {
            Some(address) if !self.permits(encrypted, false, address) => Err(UnfitUrl(match encrypted {
                true => format!("leads to {address}, which is not a public address"),
                false => "must be https".into(),
            })),
            // What it leads to is judged when it is connected to; that it could be loopback is enough here.
            None if !encrypted && !named => Err(unfit("must be https")),
            _ => Ok(url),
        }
    }

    /// Whether a connection to the socket address may be made. `named` where its name is on the operator's list.
    pub(crate) fn permits(&self, encrypted: bool, named: bool, address: IpAddr) -> bool {
        if is_metadata(address) {
            return false;
        }
        let allowed = named || self.allow.has_address(address);
        if encrypted {
            allowed || is_public(address)
        } else {
            allowed && (self.plain == PlainHttp::Allowed || address.to_canonical().is_loopback())
        }
    }

    /// Whether the name means this machine, and the operator lets that be reached.
    fn is_local(&self, name: &str) -> bool {
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from(Ipv6Addr::LOCALHOST)];
        name == "localhost" && loopback.into_iter().any(|address| self.allow.has_address(address))
    }

    /// Whether the operator's list has the name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.allow.has_host(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(entries: &[&str]) -> Guard {
        Guard::new(AllowList::parse(entries).unwrap(), PlainHttp::Loopback)
    }

    #[test]
    fn public_https_is_fit() {
        let guard = guard(&[]);
        for url in [
            "https://example.com/hook",
            "https://example.com:8443/hook?token=x@y&a=b#part",
            "HTTPS://EXAMPLE.com",
            "https://bücher.example/ä",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]:444/x",
            "https://example.com./",
        ] {
            assert!(guard.check(url).is_ok(), "{url}: {:?}", guard.check(url));
        }
    }

    #[test]
    fn what_is_not_public_https_is_unfit_and_said_why() {
        let guard = guard(&[]);
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL));
        for (url, words) in [
            ("http://example.com/", "must be https"),
            ("http://127.0.0.1/", "must be https"),
            ("http://localhost:8000/", "must be https"),
            ("ftp://example.com/", "only https"),
            ("file:///etc/passwd", "only https"),
            ("gopher://example.com/", "only https"),
            ("javascript:alert(1)", "only https"),
            ("example.com/hook", "not a URL"),
            ("//example.com/hook", "not a URL"),
            ("https://", "not a URL"),
            ("https:///", "not a URL"),
            ("", "not a URL"),
            ("https://user@example.com/", "credentials"),
            ("https://user:pass@example.com/", "credentials"),
            ("https://:pass@example.com/", "credentials"),
            ("https://@example.com/", "credentials"),
            ("https://example.com@127.0.0.1/", "credentials"),
            ("https://example.com:0/", "port 0"),
            ("https://example.com:99999/", "not a URL"),
            ("https://example.com/a b", "space"),
            ("https://example.com/\r\nx", "control"),
            ("https://exa\tmple.com/", "control"),
            (long.as_str(), "at most 2048"),
            ("https://127.0.0.1/", "not a public address"),
            ("https://127.1/", "127.0.0.1"),
            ("https://2130706433/", "127.0.0.1"),
            ("https://0x7f.1/", "127.0.0.1"),
            ("https://0177.0.0.1/", "127.0.0.1"),
            ("https://１２７.0.0.1/", "127.0.0.1"),
            ("https://127.0.0.1./", "127.0.0.1"),
            ("https://0/", "0.0.0.0"),
            ("https://169.254.169.254/latest/meta-data/", "not a public address"),
            ("https://10.0.0.1/", "not a public address"),
            ("https://192.168.1.1/", "not a public address"),
            ("https://[::1]/", "not a public address"),
            ("https://[::ffff:127.0.0.1]/", "not a public address"),
            ("https://[64:ff9b::7f00:1]/", "not a public address"),
            ("https://[fd00:ec2::254]/", "not a public address"),
            ("https://[fe80::1%25eth0]/", "not a URL"),
        ] {
            let UnfitUrl(said) = guard.check(url).unwrap_err();
            assert!(said.contains(words), "{url}: {said}");
        }
    }

    #[test]
    fn the_operators_list_opens_what_it_names_and_no_more() {
        let guard = guard(&["127.0.0.1", "10.1.0.0/16", "hooks.internal"]);
        for url in
            ["http://127.0.0.1:8000/x", "https://127.0.0.1/", "https://10.1.2.3/", "http://hooks.internal/"]
        {
            assert!(guard.check(url).is_ok(), "{url}");
        }
        for url in
            ["http://127.0.0.2/", "http://10.1.2.3/", "https://10.2.0.1/", "https://[::1]/", "http://x.test/"]
        {
            assert!(guard.check(url).is_err(), "{url}");
        }
        let address = |text: &str| text.parse().unwrap();
        assert!(guard.permits(false, false, address("127.0.0.1")));
        assert!(!guard.permits(false, false, address("10.1.2.3")), "http is for loopback alone");
        assert!(!guard.permits(false, false, address("8.8.8.8")), "nor for the public internet");
        assert!(guard.permits(true, true, address("192.168.0.1")), "a name may lead anywhere");
        assert!(!guard.permits(true, false, address("192.168.0.1")));
    }

    #[test]
    fn plain_http_reaches_no_more_than_the_operator_allows() {
        let guard =
            Guard::new(AllowList::parse(["10.1.0.0/16", "api.internal"]).unwrap(), PlainHttp::Allowed);
        for url in ["http://10.1.2.3:8080/x", "http://api.internal/", "https://example.com/"] {
            assert!(guard.check(url).is_ok(), "{url}");
        }
        for url in ["http://10.2.0.1/", "http://example.com/", "http://8.8.8.8/", "http://127.0.0.1/"] {
            assert!(guard.check(url).is_err(), "{url}");
        }
        assert!(guard.permits(false, true, "192.168.0.1".parse().unwrap()), "by its name");
        assert!(!guard.permits(false, true, "169.254.169.254".parse().unwrap()));
    }

    #[test]
    fn metadata_services_are_never_reached() {
        let guard = guard(&["0.0.0.0/0", "::/0", "metadata.internal"]);
        for text in ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"] {
            assert!(!guard.permits(true, true, text.parse().unwrap()), "{text}");
        }
        assert!(guard.permits(true, false, "192.168.0.1".parse().unwrap()));
    }
}
