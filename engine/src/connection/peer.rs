//! Where peers connect from, by slot: 6 bytes for IPv4, 16 more only where a peer came over IPv6.
//! Scope ids are not kept. Owned by `connection`.

use crate::connection::paged::Paged;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// TCP, from this address and port.
    Ip(SocketAddr),
    /// A Unix socket: a process of this host, which has no address.
    Unix,
}

impl Peer {
    /// The address and port, if it has them.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Peer::Ip(address) => Some(*address),
            Peer::Unix => None,
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        Peer::Ip(address)
    }
}

/// `127.0.0.1:50000`, `[::1]:50000` or `unix`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Ip(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

/// One address per slot that was ever used.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    short: Paged<Short>,
    /// Pages exist where an IPv6 peer was.
    long: Paged<[u8; 16]>,
}

/// Nobody connects from `0.0.0.0/8` (RFC 6890), so [`LONG`] says: look among the long ones, and
/// [`UNIX`] what it says.
#[derive(Clone, Copy, Debug, Default)]
struct Short {
    ip: [u8; 4],
    port: [u8; 2],
}

const _: () = assert!(size_of::<Short>() == 6);
const LONG: [u8; 4] = [0, 0, 0, 0];
const UNIX: [u8; 4] = [0, 0, 0, 1];

impl Peers {
    pub(crate) fn set(&mut self, slot: u32, peer: Peer) {
        let Peer::Ip(peer) = peer else {
            let (ip, port) = (UNIX, [0; 2]);
            *self.short.reach(slot) = Short { ip, port };
            return;
        };
        let ip = match peer.ip().to_canonical() {
            IpAddr::V4(ip) if ip.octets()[0] != 0 => ip.octets(),
            // A proxy may say so.
            IpAddr::V4(ip) => {
                *self.long.reach(slot) = ip.to_ipv6_mapped().octets();
                LONG
            }
            IpAddr::V6(ip) => {
                *self.long.reach(slot) = ip.octets();
                LONG
            }
        };
        let port = peer.port().to_be_bytes();
        *self.short.reach(slot) = Short { ip, port };
    }

    /// None of the page's slots is in use.
    pub(crate) fn drop_page(&mut self, page: usize) {
        self.short.drop_page(page);
        self.long.drop_page(page);
    }

    pub(crate) fn get(&self, slot: u32) -> Peer {
        let Short { ip, port } = self.short[slot];
        let ip = match ip {
            UNIX => return Peer::Unix,
            LONG => IpAddr::V6(Ipv6Addr::from(self.long[slot])).to_canonical(),
            ip => IpAddr::V4(Ipv4Addr::from(ip)),
        };
        Peer::Ip(SocketAddr::new(ip, u16::from_be_bytes(port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_and_mapped_ones_as_what_they_are() {
        let mut peers = Peers::default();
        for (slot, given, kept) in [
            (0, "127.0.0.1:80", "127.0.0.1:80"),
            (1, "[2001:db8::7]:65535", "[2001:db8::7]:65535"),
            (600, "[::ffff:10.1.2.3]:1", "10.1.2.3:1"),
            (1, "255.255.255.255:443", "255.255.255.255:443"),
            (0, "[::1]:9", "[::1]:9"),
            (2, "0.0.0.0:7", "0.0.0.0:7"),
            (2, "0.0.0.1:0", "0.0.0.1:0"),
        ] {
            let given = given.parse::<SocketAddr>().unwrap();
            peers.set(slot, given.into());
            assert_eq!(peers.get(slot).to_string(), kept, "{given}");
            peers.set(slot, Peer::Unix);
            assert_eq!(peers.get(slot).to_string(), "unix");
        }
        assert!(peers.long.get(600).is_none(), "IPv4 needs no long page");
    }
}
