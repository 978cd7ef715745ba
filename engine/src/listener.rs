//! Where clients connect, and what holds for those who connect there. Part of [`crate::Config`];
//! the driver and the shard know a listener by its index there.

use crate::driver::listen::ListenSource;
use crate::egress::tls::server::Tls;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// One place that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where clients connect. [`crate::Running::addresses`] tells what became of it.
    pub source: ListenSource,
    /// What clients must speak there; `None`: no TLS.
    pub tls: Option<Tls>,
    /// Largest message in bytes; a larger one ends its connection with 1009. Default 64 KiB, range
    /// 125 B..=64 MiB.
    pub message_bytes_max: usize,
    /// Whether whoever connects there is a proxy that says first who its client is. Default: not.
    pub proxy_protocol: ProxyProtocol,
}

/// The PROXY protocol, versions 1 and 2, as haproxy has it (`send-proxy`, `send-proxy-v2`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// Clients connect themselves.
    #[default]
    Off,
    /// Each connection begins with a header of at most 4 KiB
    /// ([`crate::protocol::proxy::HEADER_BYTES_MAX`]), before TLS; one without is closed, as is a
    /// proxy that [`crate::Application::trusts_proxy`] does not trust.
    On,
}

impl Listener {
    /// Most listeners of an engine: each takes accepts of every shard.
    pub const COUNT_MAX: usize = 8;
    /// What [`Listener::message_bytes_max`] may be: every control frame fits (RFC 6455 §5.5), and a
    /// message fits in memory many times.
    pub const MESSAGE_BYTES: RangeInclusive<usize> = 125..=64 << 20;
    /// What it is unless set.
    pub const MESSAGE_BYTES_DEFAULT: usize = 64 << 10;

    /// Plain TCP, with the default message limit.
    pub fn plain(address: SocketAddr) -> Listener {
        Listener::of(address.into())
    }

    /// TLS, with the default message limit.
    pub fn secure(address: SocketAddr, tls: Tls) -> Listener {
        Listener {
            tls: Some(tls),
            ..Listener::plain(address)
        }
    }

    /// Any source, without TLS and with the default message limit.
    pub fn of(source: ListenSource) -> Listener {
        Listener {
            source,
            tls: None,
            message_bytes_max: Self::MESSAGE_BYTES_DEFAULT,
            proxy_protocol: ProxyProtocol::Off,
        }
    }

    /// The first source that two listeners would share.
    pub(crate) fn duplicate(listeners: &[Listener]) -> Option<&ListenSource> {
        let mut sources = listeners.iter().map(|listener| &listener.source);
        let mut before: Vec<&ListenSource> = Vec::new();
        sources.find(|source| {
            let known = before.iter().any(|earlier| source.collides(earlier));
            before.push(source);
            known
        })
    }
}
