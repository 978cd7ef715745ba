//! What a connection may take and how long it may: the checked configuration, in the units that
//! the shard uses. Made once for each shard; deadlines and intake read it.

use crate::config::Config;
use crate::driver::boundary::Millis;
use crate::listener::{Listener, ProxyProtocol};
use shardcast_protocol::http::HeadLimits;

/// Limits of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// By listener.
    pub(crate) message_bytes_max: [usize; Listener::COUNT_MAX],
    /// One bit for each listener on which proxies say who their clients are.
    proxied: u8,
    pub(crate) head: HeadLimits,
    pub(crate) handshake_ms: Millis,
    pub(crate) header_ms: Millis,
    pub(crate) keep_alive_ms: Millis,
    /// Connections of this shard with which one more may wait for its next request.
    pub(crate) live_kept_max: usize,
    pub(crate) admission_ms: Millis,
    pub(crate) frame_ms: Millis,
    pub(crate) message_ms: Millis,
    pub(crate) heartbeat_ms: Millis,
    pub(crate) pong_ms: Millis,
    pub(crate) progress_ms: Millis,
    pub(crate) idle_ms: Millis,
    pub(crate) close_ms: Millis,
}

impl ConnectionLimits {
    /// Those of a checked configuration.
    pub(crate) fn of(config: &Config) -> ConnectionLimits {
        ConnectionLimits {
            message_bytes_max: std::array::from_fn(|listener| {
                let listener = config.listeners.get(listener);
                listener.map_or(0, |listener| listener.message_bytes_max)
            }),
            proxied: proxied(config),
            head: HeadLimits {
                head_bytes_max: config.head_bytes_max,
                headers_max: config.headers_max,
            },
            handshake_ms: config.handshake_timeout.as_millis() as Millis,
            header_ms: config.header_timeout.as_millis() as Millis,
            keep_alive_ms: config.keep_alive_timeout.as_millis() as Millis,
            live_kept_max: config.share_per_shard(),
            admission_ms: config.admission_timeout.as_millis() as Millis,
            frame_ms: config.frame_timeout.as_millis() as Millis,
            message_ms: config.message_timeout.as_millis() as Millis,
            heartbeat_ms: config.heartbeat.as_millis() as Millis,
            pong_ms: config.pong_timeout.as_millis() as Millis,
            progress_ms: config.progress_timeout.as_millis() as Millis,
            idle_ms: config.idle_timeout.as_millis() as Millis,
            close_ms: config.close_timeout.as_millis() as Millis,
        }
    }

    /// Whether what connects to a listener begins with a PROXY header.
    pub(crate) fn expects_proxies(&self, listener: u8) -> bool {
        self.proxied & 1 << listener != 0
    }
}

/// The listeners with PROXY headers.
fn proxied(config: &Config) -> u8 {
    const _: () = assert!(Listener::COUNT_MAX <= u8::BITS as usize);
    let listeners = config.listeners.iter().enumerate();
    let proxied = listeners.filter(|(_, it)| it.proxy_protocol == ProxyProtocol::On);
    proxied.fold(0, |bits, (index, _)| bits | 1 << index)
}
