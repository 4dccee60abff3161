//! Which addresses may be asked where somebody else has chosen them.
//!
//! A URL that a caller gives could lead into the operator's own network: to a database, to the machine
//! itself, or to where a cloud hands out its credentials. So only what the internet routes is asked.
//! Source: <https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where requests may go that are made to addresses of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the internet, and over TLS.
    Public,
    /// Everywhere, also into the operator's own network and without TLS.
    Everywhere,
}

impl Reach {
    /// Why an address is not asked; none where it may be.
    pub fn refuses(self, address: IpAddr) -> Option<&'static str> {
        match self {
            Self::Public => why_not_public(address),
            Self::Everywhere => None,
        }
    }
}

/// Why an address is none of the internet's; none where it is one.
pub fn why_not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => why_not_public_v4(address),
        IpAddr::V6(address) => why_not_public_v6(address),
    }
}

fn why_not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        // Azure's, which answers from within a virtual machine only.
        [168, 63, 129, 16] => "an address at which a cloud tells its machines about themselves",
        [0, ..] => "an unspecified address",
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => "a private address",
        [100, 64..=127, ..] => "an address behind a carrier's translation (CGNAT)",
        [127, ..] => "this machine itself",
        // 169.254.169.254 among them, where clouds hand out credentials.
        [169, 254, ..] => "a link-local address",
        [192, 0, 0, _] | [192, 88, 99, _] => "an address of a protocol",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "an address for documentation",
        [198, 18 | 19, ..] => "an address for measurements",
        [224..=239, ..] => "a multicast address",
        [240..=255, ..] => "a reserved address",
        _ => return None,
    })
}

fn why_not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("this machine itself");
    }
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => "an unspecified address",
        // Translated to the IPv4 address in its last 32 bits.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            return why_not_public_v4(Ipv4Addr::new(a, b, c, d));
        }
        [0xfc00..=0xfdff, ..] => "a private address",
        [0xfe80..=0xfebf, ..] => "a link-local address",
        [0xff00..=0xffff, ..] => "a multicast address",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "an address for documentation",
        [0x2001, 0..=0x1ff, ..] => "an address of a protocol",
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x2002, ..] => "an IPv4 address in the clothes of IPv6",
        // Of all others only 2000::/3 is given out.
        [0x2000..=0x3fff, ..] => return None,
        _ => "a reserved address",
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Reach, why_not_public};

    fn why(address: &str) -> Option<&'static str> {
        why_not_public(address.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn an_address_of_the_operator_s_own_network_is_refused() {
        for (address, said) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.1", "private"),
            ("100.64.0.1", "CGNAT"),
            ("100.100.100.200", "CGNAT"),
            ("100.127.255.255", "CGNAT"),
            ("127.0.0.1", "this machine"),
            ("127.255.255.254", "this machine"),
            ("169.254.169.254", "link-local"),
            ("169.254.170.2", "link-local"),
            ("168.63.129.16", "cloud"),
            ("192.0.0.192", "protocol"),
            ("192.88.99.1", "protocol"),
            ("192.0.2.1", "documentation"),
            ("198.51.100.1", "documentation"),
            ("203.0.113.1", "documentation"),
            ("198.18.0.1", "measurements"),
            ("198.19.255.255", "measurements"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "reserved"),
            ("::", "unspecified"),
            ("::1", "this machine"),
            ("::ffff:127.0.0.1", "clothes"),
            ("::ffff:10.0.0.1", "clothes"),
            ("::ffff:8.8.8.8", "clothes"),
            ("::127.0.0.1", "reserved"),
            ("64:ff9b::7f00:1", "this machine"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("64:ff9b:1::1", "reserved"),
            ("100::1", "reserved"),
            ("fc00::1", "private"),
            ("fd00:ec2::254", "private"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "reserved"),
            ("ff02::1", "multicast"),
            ("2001::1", "protocol"),
            ("2001:db8::1", "documentation"),
            ("3fff::1", "documentation"),
            ("2002:7f00:1::", "clothes"),
            ("4000::1", "reserved"),
        ] {
            assert!(why(address).is_some_and(|why| why.contains(said)), "{address}: {:?}", why(address));
            assert_eq!(Reach::Everywhere.refuses(address.parse().expect("an address")), None, "{address}");
        }
    }

    #[test]
    fn an_address_of_the_internet_is_not() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860:4860::8888",
            "64:ff9b::808:808",
        ] {
            assert_eq!(why(address), None, "{address}");
        }
    }
}
