//! Where others may send us: a host that some member names is dialled only if it could be one of theirs.

use std::net::IpAddr;

use super::address::{Address, Host};

/// What hosts near us others may name: what this node itself uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vicinity {
    loopback: bool,
    private: bool,
    memory: bool,
}

impl Vicinity {
    /// Of the addresses this node listens on, tells others, and is configured to dial.
    #[must_use]
    pub fn of<'a>(ours: impl IntoIterator<Item = &'a Address>) -> Self {
        // A circuit says nothing of where this node is.
        let hosts: Vec<Host> =
            ours.into_iter().map(Address::host).filter(|host| *host != Host::Circuit).collect();
        let is_memory = |host: &Host| *host == Host::Memory;
        // A wild-card listener has the loopback address beside others; a node that has nothing else is played with.
        let only_here = !hosts.is_empty() && hosts.iter().all(Host::is_here);
        Self {
            loopback: only_here,
            // Behind a NAT or on a private network of the coalition's; or without any address to tell by.
            private: hosts.iter().all(|host| matches!(host, Host::Name(_)))
                || hosts.iter().any(|host| matches!(host, Host::Ip(ip) if is_private(*ip))),
            memory: hosts.iter().any(is_memory),
        }
    }

    /// Whether another's word may have this node dial there.
    #[must_use]
    pub fn admits(self, host: &Host) -> bool {
        match host {
            Host::Memory => self.memory,
            // The node that gives it has offered to.
            Host::Circuit => true,
            Host::Name(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                self.loopback || !(name == "localhost" || name.ends_with(".localhost"))
            }
            Host::Ip(ip) if ip.is_loopback() => self.loopback,
            Host::Ip(ip) if is_nobodys(*ip) => false,
            Host::Ip(ip) => self.private || self.loopback || !is_private(*ip),
        }
    }
}

/// Where nobody is reached, or the machine's own surroundings: link-local holds routers and cloud metadata.
fn is_nobodys(ip: IpAddr) -> bool {
    ip.is_unspecified()
        || ip.is_multicast()
        || match ip {
            IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || matches!(ip.octets(), [0, ..]),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        }
}

/// RFC 1918, RFC 6598 and RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || matches!(ip.octets(), [100, 64..=127, ..]),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn near(ours: &[&str]) -> Vicinity {
        Vicinity::of(&ours.iter().map(|text| address(text)).collect::<Vec<_>>())
    }

    #[test]
    fn a_record_names_hosts_like_our_own_and_never_our_surroundings() {
        let open = near(&["/ip4/192.0.2.1/tcp/1"]);
        let wild = near(&["/ip4/127.0.0.1/tcp/1", "/ip4/10.1.2.3/tcp/1"]);
        let played = near(&["/ip4/127.0.0.1/tcp/1"]);
        let dialling_only = near(&[]);
        let table = [
            ("/ip4/198.51.100.7/udp/1/quic-v1", [true, true, true, true]),
            ("/dns4/node.example/tcp/1", [true, true, true, true]),
            ("/ip4/10.9.9.9/tcp/1", [false, true, true, true]),
            ("/ip4/100.64.0.1/tcp/1", [false, true, true, true]),
            ("/ip6/fd00::1/tcp/1", [false, true, true, true]),
            ("/ip4/127.0.0.1/tcp/22", [false, false, true, false]),
            ("/ip6/::1/tcp/22", [false, false, true, false]),
            ("/ip6/::ffff:127.0.0.1/tcp/22", [false, false, true, false]),
            ("/dns4/localhost/tcp/22", [false, false, true, false]),
            ("/dns/a.LOCALHOST./tcp/22", [false, false, true, false]),
            ("/ip4/169.254.169.254/tcp/80", [false; 4]),
            ("/ip6/::ffff:169.254.169.254/tcp/80", [false; 4]),
            ("/ip6/fe80::1/tcp/1", [false; 4]),
            ("/ip4/224.0.0.1/tcp/1", [false; 4]),
            ("/ip6/ff02::1/tcp/1", [false; 4]),
            ("/ip4/255.255.255.255/tcp/1", [false; 4]),
            ("/ip4/0.0.0.0/tcp/1", [false; 4]),
            ("/ip6/::/tcp/1", [false; 4]),
            ("/memory/1", [false; 4]),
        ];
        for (text, expected) in table {
            let host = address(text).host();
            let admitted = [open, wild, played, dialling_only].map(|vicinity| vicinity.admits(&host));
            assert_eq!(admitted, expected, "{text}");
        }
        assert!(near(&["/memory/2"]).admits(&address("/memory/1").host()));
    }
}
