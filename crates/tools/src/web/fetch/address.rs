//! Which addresses belong to the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ccpool::config::Network;

/// Whether pages may be fetched from this address: it is public, or lies in one of these networks.
pub(super) fn may_be_fetched(address: IpAddr, allowed: &[Network]) -> bool {
    is_public(address) || allowed.iter().any(|network| network.contains(address))
}

/// Whether anybody on the internet may be behind this address. What is in doubt is not public.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// What is not public in IPv4: the IANA registry of special-purpose addresses, multicast, what is
/// reserved, and the one public address under which a cloud's host answers its own machines.
const SPECIAL_V4: [([u8; 4], u32); 17] = [
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // shared by a carrier's customers; a cloud's metadata
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // the host of a machine at Azure
    ([169, 254, 0, 0], 16),   // link-local; most clouds' metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments; a cloud's metadata
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 31, 196, 0], 24),  // AS112
    ([192, 52, 193, 0], 24),  // AMT
    ([192, 88, 99, 0], 24),   // relays of 6to4
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 3),      // multicast, reserved, broadcast
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let address = address.to_bits();
    !SPECIAL_V4.iter().any(|(network, bits)| {
        let mask = u32::MAX << (32 - bits);
        address & mask == u32::from_be_bytes(*network)
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(address) = address.to_ipv4_mapped() {
        return is_public_v4(address);
    }
    let [a, b, c, d, e, f, g, h] = address.segments();
    // NAT64 (RFC 6052) leads to the IPv4 address at its end.
    if [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_public_v4(Ipv4Addr::from_bits(u32::from(g) << 16 | u32::from(h)));
    }
    let is_global_unicast = a & 0xe000 == 0x2000;
    let is_special = match (a, b) {
        (0x2001, 0..0x200) => true,  // protocol assignments, Teredo among them
        (0x2001, 0xdb8) => true,     // documentation
        (0x2002, _) => true,         // 6to4, which leads to any IPv4 address
        (0x3fff, 0..0x1000) => true, // documentation
        _ => false,
    };
    is_global_unicast && !is_special
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::web::loopback::configured;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn public_addresses() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "168.63.129.15",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450:4001::5",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(address(public)), "{public}");
        }
    }

    #[test]
    fn addresses_that_are_not_public() {
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:0:1:2::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address(special)), "{special}");
        }
    }

    #[test]
    fn an_allowed_network_opens_itself_alone() {
        let config = configured(&[("tools.webFetch.allowNetworks", "[\"10.1.0.0/16\"]")]);
        let allowed = config.tools.web_fetch.allow_networks;
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "8.8.8.8"] {
            assert!(may_be_fetched(address(inside), &allowed), "{inside}");
        }
        for outside in ["10.2.0.1", "127.0.0.1", "64:ff9b::a01:203"] {
            assert!(!may_be_fetched(address(outside), &allowed), "{outside}");
        }
    }

    /// What the standard library can tell by itself, in other words than above.
    fn is_surely_special(address: Ipv4Addr) -> bool {
        address.is_loopback()
            || address.is_private()
            || address.is_link_local()
            || address.is_multicast()
            || address.is_broadcast()
            || address.is_documentation()
            || address.is_unspecified()
            || matches!(address.octets(), [0 | 240..=255, ..] | [100, 64..=127, ..])
    }

    /// Addresses close to those that matter, and any others.
    fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
        let first =
            prop::sample::select(vec![0_u8, 10, 100, 127, 169, 172, 192, 198, 203, 224, 255]);
        let near = (first, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d));
        prop_oneof![near, any::<Ipv4Addr>()]
    }

    proptest! {
        #[test]
        fn nothing_special_passes_in_any_form(v4 in any_v4()) {
            let [a, b, c, d] = v4.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let forms = [
                IpAddr::V4(v4),
                IpAddr::V6(v4.to_ipv6_mapped()),
                IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low)),
            ];
            let passed = forms.map(is_public);
            prop_assert!(passed.iter().all(|public| *public == passed[0]));
            prop_assert!(!(passed[0] && is_surely_special(v4)));
            // Forms that nobody needs never pass.
            for form in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !high, !low),
            ] {
                prop_assert!(!is_public(IpAddr::V6(form)), "{form}");
            }
        }

        #[test]
        fn only_global_unicast_passes_in_ipv6(bits in any::<u128>()) {
            let address = Ipv6Addr::from_bits(bits);
            let is_embedded = address.to_ipv4_mapped().is_some() || bits >> 32 == 0x64_ff9b << 64;
            prop_assume!(!is_embedded);
            if is_public(IpAddr::V6(address)) {
                prop_assert_eq!(bits >> 125, 1);
            }
        }
    }
}
