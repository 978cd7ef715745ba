//! The peers' addresses, by slot: 6 bytes for IPv4, 16 more only where a peer came over IPv6. Scope ids are not kept. Owned by `connection`.

use crate::paged::Paged;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One address per slot that was ever used.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    short: Paged<Short>,
    /// Pages exist where an IPv6 peer was.
    long: Paged<[u8; 16]>,
}

/// `0.0.0.0` connects from nowhere, so it says: look among the long ones.
#[derive(Clone, Copy, Debug, Default)]
struct Short {
    ip: [u8; 4],
    port: [u8; 2],
}

const _: () = assert!(size_of::<Short>() == 6);

impl Peers {
    pub(crate) fn set(&mut self, slot: u32, peer: SocketAddr) {
        let ip = match peer.ip().to_canonical() {
            IpAddr::V4(ip) => ip.octets(),
            IpAddr::V6(ip) => {
                *self.long.reach(slot) = ip.octets();
                [0; 4]
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

    pub(crate) fn get(&self, slot: u32) -> SocketAddr {
        let Short { ip, port } = self.short[slot];
        let ip = if ip == [0; 4] {
            IpAddr::V6(Ipv6Addr::from(self.long[slot]))
        } else {
            IpAddr::V4(Ipv4Addr::from(ip))
        };
        SocketAddr::new(ip, u16::from_be_bytes(port))
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
        ] {
            peers.set(slot, given.parse().unwrap());
            assert_eq!(peers.get(slot), kept.parse().unwrap(), "{given}");
        }
        assert!(peers.long.get(600).is_none(), "IPv4 needs no long page");
    }
}
