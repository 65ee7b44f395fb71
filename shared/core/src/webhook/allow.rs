//! What the operator lets webhooks reach beside the public internet.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The addresses, networks and names that webhooks may reach though they are not of the public internet: for tests and
/// private networks. Empty unless the operator says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AllowList(Vec<Allowed>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Network { base: IpAddr, bits: u8 },
    Host(String),
}

/// An entry is neither an address, a network nor a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address (127.0.0.1), network (10.1.0.0/16) or host name (hooks.internal)")]
pub struct InvalidAllow(String);

impl AllowList {
    /// The list of these entries.
    pub fn parse<T: AsRef<str>>(entries: impl IntoIterator<Item = T>) -> Result<Self, InvalidAllow> {
        entries.into_iter().map(|entry| entry.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address is on the list, by itself or in a network. An IPv4 address is the same however it is mapped.
    pub fn has_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|allowed| match allowed {
            Allowed::Network { base, bits } => within(*base, *bits, address),
            Allowed::Host(_) => false,
        })
    }

    /// Whether a name is on the list: whatever it leads to may then be reached.
    pub fn has_host(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        self.0.iter().any(|allowed| match allowed {
            Allowed::Host(host) => host.eq_ignore_ascii_case(name),
            Allowed::Network { .. } => false,
        })
    }
}

fn within(base: IpAddr, bits: u8, address: IpAddr) -> bool {
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            base.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            base.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

impl FromStr for Allowed {
    type Err = InvalidAllow;

    fn from_str(text: &str) -> Result<Self, InvalidAllow> {
        let invalid = || InvalidAllow(text.to_owned());
        let whole = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
        if let Some((base, bits)) = text.split_once('/') {
            let base: IpAddr = base.parse().map_err(|_| invalid())?;
            let bits = bits.parse().ok().filter(|bits| *bits <= whole(base)).ok_or_else(invalid)?;
            return Ok(Self::Network { base, bits });
        }
        if let Ok(base) = text.parse::<IpAddr>() {
            return Ok(Self::Network { base, bits: whole(base) });
        }
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // One that ends in a number would be read as an address (WHATWG URL §3.5).
        let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if text.len() <= 253 && text.split('.').all(label) && !numeric {
            Ok(Self::Host(text.to_owned()))
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { base, bits } => write!(f, "{base}/{bits}"),
            Self::Host(name) => f.write_str(name),
        }
    }
}

impl Serialize for Allowed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_networks_and_names_are_told_apart() {
        let list =
            AllowList::parse(["127.0.0.1", "10.1.0.0/16", "fd00::/8", "hooks.internal", "::1"]).unwrap();
        for inside in ["127.0.0.1", "10.1.255.255", "fd12::1", "::1", "::ffff:10.1.0.9"] {
            assert!(list.has_address(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["127.0.0.2", "10.2.0.0", "fc00::1", "::2", "::ffff:10.2.0.9", "8.8.8.8"] {
            assert!(!list.has_address(outside.parse().unwrap()), "{outside}");
        }
        assert!(list.has_host("Hooks.Internal") && list.has_host("hooks.internal."));
        assert!(!list.has_host("x.hooks.internal") && !list.has_host("10.1.0.0"));
    }

    #[test]
    fn the_widest_networks_hold_everything_of_their_family() {
        let list = AllowList::parse(["0.0.0.0/0"]).unwrap();
        assert!(list.has_address("255.1.2.3".parse().unwrap()) && !list.has_address("::1".parse().unwrap()));
        assert!(AllowList::parse(["::/0"]).unwrap().has_address("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for wrong in
            ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0", "a..b", "*.internal", "http://x", "a b"]
        {
            let error = AllowList::parse([wrong]).unwrap_err();
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
    }

    #[test]
    fn a_list_reads_back() {
        let list = AllowList::parse(["127.0.0.1", "fd00::/8", "hooks.internal"]).unwrap();
        let text = serde_json::to_string(&list).unwrap();
        assert_eq!(serde_json::from_str::<AllowList>(&text).unwrap(), list);
    }
}
