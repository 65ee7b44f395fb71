//! Which addresses are of the public internet. Everything that is not known to be is not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not public, or lead to others that are not (IANA's registry of special-purpose addresses).
const SPECIAL_V4: [(Ipv4Addr, u32); 17] = [
    // This network, the unspecified address among it.
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private use.
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Shared by the customers of a carrier.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback.
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local, metadata services among it.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Assigned to protocols.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation.
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Relays of 6to4.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    // Benchmarks.
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    // A virtual host of Azure's, with the metadata of its machines.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Multicast, documentation of it included.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved, broadcast among it.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::new(255, 255, 255, 255), 32),
];

/// Networks within the unicast space of IPv6 that are not public, or wrap addresses of IPv4.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    // Assigned to protocols: Teredo, benchmarks and ORCHID among them.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation.
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    // 6to4.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
];

/// The metadata services of clouds: they give credentials to whoever asks, so nobody is let there, whatever is allowed.
const METADATA: [IpAddr; 8] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether the address is of the public internet, and reached as what it is.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|(base, bits)| {
            let mask = u32::MAX << (32 - bits);
            address.to_bits() & mask == base.to_bits()
        }),
        // All of the unicast space that was ever given out is in 2000::/3. Loopback, link-local, site-local, unique-local,
        // multicast, mapped, compatible and translated (NAT64) addresses lie outside.
        IpAddr::V6(address) => {
            address.segments()[0] & 0xe000 == 0x2000
                && !SPECIAL_V6.iter().any(|(base, bits)| {
                    let mask = u128::MAX << (128 - bits);
                    address.to_bits() & mask == base.to_bits()
                })
        }
    }
}

/// Whether the address is that of a cloud's metadata service, in whatever way it is written.
pub(crate) fn is_metadata(address: IpAddr) -> bool {
    METADATA.contains(&address) || embedded(address).any(|inner| METADATA.contains(&inner.into()))
}

/// The IPv4 addresses that an address of IPv6 may lead to: more than one where it does not say by which of the ways it was
/// made. Whoever translates it may be a neighbour that this host knows nothing of.
fn embedded(address: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let found = match address {
        IpAddr::V4(_) => [None; 4],
        IpAddr::V6(address) => wrapped(address),
    };
    found.into_iter().flatten()
}

fn wrapped(address: Ipv6Addr) -> [Option<Ipv4Addr>; 4] {
    let (segments, bytes) = (address.segments(), address.octets());
    let at = |place: usize| Some(joined(segments[place], segments[place + 1]));
    // The bits 64 to 71 are left out where an address comes in their way (RFC 6052).
    let around = |places: [usize; 4]| Some(Ipv4Addr::from(places.map(|place| bytes[place])));
    match segments {
        // Compatible, mapped and translated (SIIT).
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => [at(6), None, None, None],
        // NAT64, by the prefix that all know.
        [0x64, 0xff9b, 0, ..] => [at(6), None, None, None],
        // NAT64, by a prefix of one's own below 64:ff9b:1::/48 (RFC 8215), of whatever length: 48, 56, 64 or 96 bits.
        [0x64, 0xff9b, ..] => [at(6), around([6, 7, 9, 10]), around([7, 9, 10, 11]), around([9, 10, 11, 12])],
        // 6to4, in whose network may be ISATAP.
        [0x2002, ..] => [at(1), isatap(address), None, None],
        // Teredo: its server, and its client with all bits turned.
        [0x2001, 0, ..] => {
            let client = at(6).map(|client| Ipv4Addr::from_bits(!client.to_bits()));
            [at(2), client, isatap(address), None]
        }
        _ => [isatap(address), None, None, None],
    }
}

/// The address at the end of an ISATAP interface identifier, which may follow any prefix (RFC 5214).
fn isatap(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        // The bits "universal" and "group" may be set or not.
        [_, _, _, _, marks, 0x5efe, high, low] if marks & !0x0300 == 0 => Some(joined(high, low)),
        _ => None,
    }
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn no_special_network_is_public_from_its_first_address_to_its_last() {
        for (what, first, last) in [
            ("this network", "0.0.0.0", "0.255.255.255"),
            ("private", "10.0.0.0", "10.255.255.255"),
            ("private", "172.16.0.0", "172.31.255.255"),
            ("private", "192.168.0.0", "192.168.255.255"),
            ("carrier", "100.64.0.0", "100.127.255.255"),
            ("loopback", "127.0.0.0", "127.255.255.255"),
            ("link-local", "169.254.0.0", "169.254.255.255"),
            ("metadata", "169.254.169.254", "169.254.170.2"),
            ("protocols", "192.0.0.0", "192.0.0.255"),
            ("documentation", "192.0.2.0", "192.0.2.255"),
            ("documentation", "198.51.100.0", "198.51.100.255"),
            ("documentation", "203.0.113.0", "203.0.113.255"),
            ("6to4 relays", "192.88.99.0", "192.88.99.255"),
            ("benchmarks", "198.18.0.0", "198.19.255.255"),
            ("metadata of Azure", "168.63.129.16", "168.63.129.16"),
            ("multicast", "224.0.0.0", "239.255.255.255"),
            ("reserved", "240.0.0.0", "255.255.255.254"),
            ("broadcast", "255.255.255.255", "255.255.255.255"),
            ("unspecified and loopback", "::", "::1"),
            ("compatible", "::", "::ffff:ffff"),
            ("compatible public", "::808:808", "::8.8.8.8"),
            ("mapped", "::ffff:0:0", "::ffff:ffff:ffff"),
            ("mapped loopback", "::ffff:127.0.0.1", "::ffff:7f00:1"),
            ("mapped public", "::ffff:8.8.8.8", "::ffff:8.8.8.8"),
            ("translated", "::ffff:0:0:0", "::ffff:0:ffff:ffff"),
            ("NAT64", "64:ff9b::", "64:ff9b::ffff:ffff"),
            ("NAT64 of a public address", "64:ff9b::8.8.8.8", "64:ff9b::8.8.8.8"),
            ("local NAT64", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
            ("discard", "100::", "100::ffff:ffff:ffff:ffff"),
            ("Teredo", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("benchmarks", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff"),
            ("ORCHID", "2001:10::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("documentation", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("documentation", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("6to4", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("segment routing", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("unique-local", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("metadata of EC2", "fd00:ec2::254", "fd00:ec2::254"),
            ("link-local", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("site-local", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("multicast", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            for text in [first, last] {
                assert!(!is_public(address(text)), "{what}: {text}");
            }
        }
    }

    #[test]
    fn neighbours_of_special_networks_are_public() {
        for text in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "8.8.8.8",
            "2000::",
            "2001:200::1",
            "2001:db7:ffff::1",
            "2001:db9::",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700::1111",
            "3ffe:ffff::1",
            "3fff:1000::1",
        ] {
            assert!(is_public(address(text)), "{text}");
        }
    }

    /// The ways to write an IPv4 address as one of IPv6, each with the four bytes at `w`, `x`, `y` and `z`, or turned.
    fn disguises(inner: Ipv4Addr) -> Vec<(&'static str, IpAddr)> {
        let [w, x, y, z] = inner.octets();
        let (high, low) = (inner.to_bits() >> 16, inner.to_bits() & 0xffff);
        let turned = !inner.to_bits();
        [
            ("compatible", format!("::{inner}")),
            ("mapped", format!("::ffff:{inner}")),
            ("translated", format!("::ffff:0:{inner}")),
            ("NAT64", format!("64:ff9b::{inner}")),
            ("local NAT64 of 96 bits", format!("64:ff9b:1::{inner}")),
            ("local NAT64 of 96 bits, not the first", format!("64:ff9b:1:a:b:c:{high:x}:{low:x}")),
            ("local NAT64 of 48 bits", format!("64:ff9b:1:{high:x}:{y:02x}:{:x}::", u16::from(z) << 8)),
            ("local NAT64 of 56 bits", format!("64:ff9b:1:7{w:02x}:{x:02x}:{y:02x}{z:02x}::")),
            (
                "local NAT64 of 64 bits",
                format!("64:ff9b:1:7:{w:02x}:{x:02x}{y:02x}:{:x}:0", u16::from(z) << 8),
            ),
            ("6to4", format!("2002:{high:x}:{low:x}::1")),
            ("Teredo's server", format!("2001:0:{high:x}:{low:x}:0:ffff:3fff:fdd2")),
            (
                "Teredo's client",
                format!("2001:0:4136:e378:8000:63bf:{:x}:{:x}", turned >> 16, turned & 0xffff),
            ),
            ("ISATAP", format!("fe80::5efe:{inner}")),
            ("ISATAP, universal", format!("fe80::200:5efe:{inner}")),
            ("ISATAP of a public network", format!("2600:1::200:5efe:{inner}")),
            ("ISATAP of a private network", format!("fd00:1:2:3:0:5efe:{high:x}:{low:x}")),
            ("ISATAP in 6to4", format!("2002:808:808:1:0:5efe:{high:x}:{low:x}")),
        ]
        .map(|(way, text)| (way, address(&text)))
        .to_vec()
    }

    #[test]
    fn metadata_services_are_known_in_every_disguise() {
        for service in METADATA {
            let IpAddr::V4(service) = service else { continue };
            for (way, address) in disguises(service) {
                assert!(is_metadata(address), "{way}: {address}");
            }
        }
    }

    #[test]
    fn no_disguise_of_a_harmless_address_is_taken_for_a_metadata_service() {
        for harmless in ["8.8.8.8", "10.1.2.3", "169.254.169.253"] {
            for (way, address) in disguises(harmless.parse().unwrap()) {
                assert!(!is_metadata(address), "{way}: {address}");
            }
        }
        // Only so much like one.
        for text in
            ["2600::5eff:a9fe:a9fe", "2600::400:5efe:a9fe:a9fe", "2600:1::a9fe:a9fe", "64:ff9a::a9fe:a9fe"]
        {
            assert!(!is_metadata(address(text)), "{text}");
        }
    }

    #[test]
    fn metadata_services_are_known_however_they_are_written() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_metadata(address(text)), "{text}");
            assert!(!is_public(address(text)), "{text}");
        }
        assert!(!is_metadata(address("169.254.169.253")) && !is_metadata(address("::ffff:8.8.8.8")));
    }
}
