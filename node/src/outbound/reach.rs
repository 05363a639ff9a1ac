//! Which addresses may be connected to, whatever a name resolves to.
//!
//! A name belongs to whoever runs its zone, who may let it point into this network (SSRF, DNS rebinding). So the name is
//! resolved once, each address is judged, and the connection goes to one that passed, not to the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whom an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anyone's host.
    Public,
    /// This machine.
    Loopback,
    /// This site.
    Private,
    /// Nobody that a URL is for: link-local (cloud metadata), multicast, reserved.
    Never,
}

/// By IANA's special-purpose registries; what they do not name is public.
pub(super) fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [127, ..] => Reach::Loopback,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Reach::Private,
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Never,
        _ => Reach::Public,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        _ if ip.is_loopback() => Reach::Loopback,
        // IPv4 in other clothes: mapped, and by NAT64.
        _ if (a, b, c, d, e, f) == (0, 0, 0, 0, 0, 0xffff) => v4(g, h),
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => v4(g, h),
        (0xfc00..=0xfdff, _) => Reach::Private,
        // 6to4, Teredo and the like, documentation.
        (0x2002, _) | (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => Reach::Never,
        (0x2000..=0x3fff, _) => Reach::Public,
        _ => Reach::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clothes_hide_an_inner_address() {
        for (text, expected) in [
            ("93.184.216.34", Reach::Public),
            ("2606:2800:220:1::1", Reach::Public),
            ("::ffff:93.184.216.34", Reach::Public),
            ("127.0.0.1", Reach::Loopback),
            ("127.255.255.254", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("10.0.0.1", Reach::Private),
            ("172.31.255.255", Reach::Private),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("fd00::1", Reach::Private),
            ("::ffff:10.0.0.1", Reach::Private),
            ("64:ff9b::a00:1", Reach::Private),
            ("0.0.0.0", Reach::Never),
            ("::", Reach::Never),
            ("169.254.169.254", Reach::Never),
            ("::ffff:169.254.169.254", Reach::Never),
            ("fe80::1", Reach::Never),
            ("224.0.0.1", Reach::Never),
            ("255.255.255.255", Reach::Never),
            ("2002:7f00:1::", Reach::Never),
            ("2001:db8::1", Reach::Never),
            ("ff02::1", Reach::Never),
            ("::7f00:1", Reach::Never),
        ] {
            assert_eq!(reach(text.parse().unwrap()), expected, "{text}");
        }
    }
}
