//! Addresses that are not public, and so are called only where a rule names them.
//!
//! A name is judged by all addresses that it leads to, once; who connects takes one of those that were judged and looks nothing up again.
//!
//! INVARIANT: an address that stands for another one (mapped, translated, tunnelled) is never public, so none hides behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use mira_package::manifest::Hosts;

use crate::policy::{Reason, Rule};

/// What is not public of IPv4: the [special-purpose registry](https://www.iana.org/assignments/iana-ipv4-special-registry), whole, but for the relays
/// and services that are global by it and used by nobody, which are not public here either; multicast; and the reserved rest.
const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),        // this network
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // shared, behind a carrier's translation
    v4(127, 0, 0, 0, 8),      // loopback
    v4(169, 254, 0, 0, 16),   // link-local
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 31, 196, 0, 24),  // AS112
    v4(192, 52, 193, 0, 24),  // AMT
    v4(192, 88, 99, 0, 24),   // relays of 6to4
    v4(192, 168, 0, 0, 16),   // private
    v4(192, 175, 48, 0, 24),  // AS112
    v4(198, 18, 0, 0, 15),    // benchmarks, and the names of our rooms
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, and broadcast
    v4(168, 63, 129, 16, 32), // Azure's services for its machines
];

/// Where global addresses of IPv6 are; what is outside is not public.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// What is not public of the global addresses of IPv6, by the [registry](https://www.iana.org/assignments/iana-ipv6-special-registry).
const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    v6(0x2001, 0, 0, 23), // protocol assignments: Teredo, benchmarks, ORCHID and others
    v6(0x2001, 0x0db8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16), // 6to4
    v6(0x2620, 0x004f, 0x8000, 48), // AS112
    v6(0x3ffe, 0, 0, 16), // the former test network
    v6(0x3fff, 0, 0, 20), // documentation
];

/// What a rule that names a host may lead to, beside public addresses: a user's own machine and networks, and the names that some VPNs translate.
const LOCAL_V4: &[Ipv4Net] = &[
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
];

/// The same in IPv6.
const LOCAL_V6: &[Ipv6Net] = &[
    Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
    v6(0xfc00, 0, 0, 7),
];

/// Where clouds tell a machine its keys, though some of it looks like a network of the user's.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(a: u16, b: u16, c: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits)
}

/// Returns whether an address is one of the public internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
        }
    }
}

/// Returns whether a machine's metadata may be at an address, which all link-local ones are taken for.
pub(crate) fn is_metadata(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_link_local || METADATA.contains(&address)
}

/// Returns whether a rule that names a host may lead to an address, though it is not public.
pub(crate) fn is_local(address: IpAddr) -> bool {
    let is_within = match address {
        IpAddr::V4(address) => LOCAL_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => LOCAL_V6.iter().any(|net| net.contains(&address)),
    };
    is_within && !is_metadata(address)
}

/// Judges all addresses that a host leads to, by the rule that allows the host: returns them, if each is permitted.
///
/// # Errors
///
/// Returns the first address that is not. The others are not used either: who can put one bad address among good ones owns the name.
pub(crate) fn permitted(rule: &Rule, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Reason> {
    let is_permitted = |address: &IpAddr| {
        let is_named = rule.hosts.hosts == Hosts::Ip(*address);
        is_named || is_public(*address) || rule.names() && is_local(*address)
    };
    match addresses.iter().find(|address| !is_permitted(address)) {
        Some(bad) => Err(Reason::Address(*bad)),
        None => Ok(addresses.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Origin;

    fn addresses(texts: &str) -> Vec<IpAddr> {
        texts
            .split_whitespace()
            .map(|text| text.parse().unwrap_or_else(|_| panic!("{text}")))
            .collect()
    }

    /// Public ones beside the edges of what is not.
    const PUBLIC: &str = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15
        169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0
        198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
        2000:: 2001:200:: 2001:4860:4860::8888 2001:db7:ffff:: 2001:db9:: 2003:: 2606:4700:4700::1111 2a00:1450:: 3fff:1000::";

    /// Those that a rule which names a host may lead to.
    const LOCAL: &str = "10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 172.16.0.0 172.31.255.255
        192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 ::1 fc00:: fd00::1 fdff:ffff::1";

    /// Those to which nothing but a rule for the address itself leads.
    const NEVER: &str = "0.0.0.0 0.255.255.255 100.100.100.200 168.63.129.16 169.254.0.0 169.254.169.254 169.254.255.255 192.0.0.8
        192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.175.48.1 198.51.100.1 203.0.113.255 224.0.0.1 239.255.255.255
        240.0.0.1 255.255.255.255
        :: ::2 ::7f00:1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 ::8.8.8.8 64:ff9b::8.8.8.8 64:ff9b::7f00:1 64:ff9b:1::a00:1
        100::1 100:0:0:1::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:1ff:: 2001:db8::1
        2002:7f00:1::1 2002:808:808::1 2620:4f:8000::1 3ffe::1 3fff::1 3fff:fff:: 4000:: 5f00::1 e000:: fd00:ec2::254 fd20:ce::254
        fe80::1 febf::1 fec0::1 feff::1 ff02::1 ff0e::1";

    #[test]
    fn what_is_not_of_the_public_internet_is_known() {
        for address in addresses(PUBLIC) {
            assert!(is_public(address), "{address}");
        }
        for address in [addresses(LOCAL), addresses(NEVER)].concat() {
            assert!(!is_public(address), "{address}");
        }
    }

    #[test]
    fn a_rule_leads_to_what_it_may_lead_to() {
        let check = |hosts: &str, address: IpAddr, expect: bool| {
            let rule = Rule {
                hosts: hosts.parse().unwrap(),
                allow: true,
                origin: Origin::Manifest,
            };
            let given = permitted(&rule, &[address]);
            let expected = match expect {
                true => Ok(vec![address]),
                false => Err(Reason::Address(address)),
            };
            assert_eq!(given, expected, "{hosts} {address}");
        };
        for address in addresses(PUBLIC) {
            check("a.example.org", address, true);
            check("*.example.org", address, true);
            check("*", address, true);
        }
        for address in addresses(LOCAL) {
            check("a.example.org", address, true);
            check("localhost", address, true);
            check("*.example.org", address, false);
            check("*", address, false);
        }
        for address in addresses(NEVER) {
            check("a.example.org", address, false);
            check("*.example.org", address, false);
            check("*", address, false);
            check("10.0.0.1", address, false);
        }
        let itself = addresses("169.254.169.254 100.100.100.200 203.0.113.1 10.0.0.1");
        for address in itself {
            check(&address.to_string(), address, true);
        }
        check("[fd00:ec2::254]", "fd00:ec2::254".parse().unwrap(), true);
    }

    #[test]
    fn one_bad_address_spoils_all() {
        let rule = Rule {
            hosts: "*.example.org".parse().unwrap(),
            allow: true,
            origin: Origin::Manifest,
        };
        let check = |list: &str, bad: Option<&str>| {
            let list = addresses(list);
            let expect = match bad {
                Some(bad) => Err(Reason::Address(bad.parse().unwrap())),
                None => Ok(list.clone()),
            };
            assert_eq!(permitted(&rule, &list), expect);
        };
        check("8.8.8.8 2a00:1450::1", None);
        check("8.8.8.8 127.0.0.1", Some("127.0.0.1"));
        check("::1 8.8.8.8", Some("::1"));
        check("8.8.8.8 1.1.1.1 ::ffff:1.1.1.1", Some("::ffff:1.1.1.1"));
        check("", None);
    }

    #[test]
    fn metadata_is_known_wherever_it_is() {
        let all = "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254 fe80::a9fe:a9fe";
        for address in addresses(all) {
            assert!(is_metadata(address) && !is_local(address), "{address}");
        }
        for address in addresses("127.0.0.1 10.0.0.1 8.8.8.8 fd00::1") {
            assert!(!is_metadata(address), "{address}");
        }
    }
}
