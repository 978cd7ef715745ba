//! Where clients connect, and what holds for those who connect there. Part of [`crate::Config`]; the driver and the shard know a
//! listener by its index there.

use crate::Tls;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// One address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where clients connect. Port 0 picks one; [`crate::Running::local_addrs`] tells.
    pub address: SocketAddr,
    /// What clients must speak there; `None`: plain TCP.
    pub tls: Option<Tls>,
    /// Largest message in bytes; a larger one ends its connection with 1009. Default 64 KiB, range 125 B..=64 MiB.
    pub message_bytes_max: usize,
}

impl Listener {
    /// Most listeners of an engine: each takes accepts of every shard.
    pub const COUNT_MAX: usize = 8;
    /// What [`Listener::message_bytes_max`] may be: every control frame fits (RFC 6455 §5.5), and a message fits in memory many times.
    pub const MESSAGE_BYTES: RangeInclusive<usize> = 125..=64 << 20;
    /// What it is unless set.
    pub const MESSAGE_BYTES_DEFAULT: usize = 64 << 10;

    /// Plain TCP, with the default message limit.
    pub fn plain(address: SocketAddr) -> Listener {
        Listener {
            address,
            tls: None,
            message_bytes_max: Self::MESSAGE_BYTES_DEFAULT,
        }
    }

    /// TLS, with the default message limit.
    pub fn secure(address: SocketAddr, tls: Tls) -> Listener {
        Listener {
            tls: Some(tls),
            ..Listener::plain(address)
        }
    }

    /// The first address that is there twice. Port 0 is another port every time.
    pub(crate) fn duplicate(listeners: &[Listener]) -> Option<SocketAddr> {
        let mut addresses = listeners.iter().map(|listener| listener.address);
        let mut before = Vec::new();
        addresses.find(|address| {
            let known = before.contains(address);
            before.push(*address);
            known && address.port() != 0
        })
    }
}
