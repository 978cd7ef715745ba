//! How clients of the Centrifuge protocol are kept alive, and how long they may take for their
//! first command. Set by an application, or by section `[centrifuge]` of the configuration.

use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::{Frame, Heartbeat, HeartbeatMessage};
use shardcast_protocol::dialect::Dialect;
use shardcast_protocol::dialect::centrifuge::{PING_JSON, PING_PROTOBUF};
use std::sync::Arc;
use std::time::Duration;

/// Times of clients that speak the Centrifuge protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Centrifuge {
    /// From one ping of the server to the next; clients are told it in whole seconds, rounded up.
    /// Never more than half of [`shardcast_engine::Config::idle_timeout`], which would end silent
    /// connections before.
    pub ping_interval: Duration,
    /// From a ping to any sign of life: after it the connection is closed with 3012. SDKs give a
    /// server up that has sent no ping for `ping_interval` and 10 s.
    pub pong_timeout: Duration,
    /// From the open connection to its first command: after it the connection is closed with 3502.
    pub connect_timeout: Duration,
    /// Every user is in a channel of its own from the start, whose name begins so and ends with the
    /// user's. `None`: there are no such channels.
    pub personal_channels: Option<String>,
    /// Clients without a WebSocket have streams, at `/connection/http_stream` and
    /// `/connection/sse`, and send their commands to `/emulation`.
    pub fallbacks: bool,
    /// Clients that ask for nothing and hear pushes alone are served, at
    /// `/connection/uni_websocket`, `/connection/uni_http_stream` and `/connection/uni_sse`.
    pub unidirectional: bool,
}

impl Default for Centrifuge {
    fn default() -> Centrifuge {
        Centrifuge {
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(8),
            connect_timeout: Duration::from_secs(10),
            personal_channels: None,
            fallbacks: true,
            unidirectional: true,
        }
    }
}

/// The same as the shards use it.
#[derive(Clone, Debug)]
pub(crate) struct CentrifugeOptions {
    json: Arc<HeartbeatMessage>,
    protobuf: Arc<HeartbeatMessage>,
    pub(crate) ping_s: u32,
    pub(crate) connect_ms: u64,
    personal: Option<Box<str>>,
}

impl CentrifugeOptions {
    pub(crate) fn new(options: &Centrifuge, idle_timeout: Duration) -> CentrifugeOptions {
        let every = options.ping_interval.min(idle_timeout / 2);
        let message = |kind, ping| {
            Arc::new(HeartbeatMessage {
                frame: Frame::new(kind, ping),
                every,
                answer_within: options.pong_timeout,
            })
        };
        let whole_s = every.as_millis().div_ceil(1_000);
        let connect_ms = options.connect_timeout.as_millis();
        CentrifugeOptions {
            json: message(Kind::Text, PING_JSON),
            protobuf: message(Kind::Binary, PING_PROTOBUF),
            ping_s: u32::try_from(whole_s).unwrap_or(u32::MAX),
            connect_ms: u64::try_from(connect_ms).unwrap_or(u64::MAX),
            personal: options.personal_channels.as_deref().map(Into::into),
        }
    }

    /// The channel of a user's own, if users have such.
    pub(crate) fn personal_channel_of(&self, user: Option<&str>) -> Option<String> {
        Some(format!("{}{}", self.personal.as_deref()?, user?))
    }

    /// How a dialect keeps its connections alive by pings of its own.
    pub(crate) fn heartbeat_of(&self, dialect: Dialect) -> Heartbeat {
        match dialect {
            Dialect::NativeJson | Dialect::JsonRpc | Dialect::MessagePack => {
                Heartbeat::WebSocketPing
            }
            Dialect::CentrifugeJson => Heartbeat::Message(self.json.clone()),
            Dialect::CentrifugeProtobuf => Heartbeat::Message(self.protobuf.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_whole_seconds_and_pinged_before_they_are_idle() {
        let time = Duration::from_millis;
        for (ping, idle, every, told) in [
            (25_000, 120_000, 25_000, 25),
            (1_500, 120_000, 1_500, 2),
            (90_000, 120_000, 60_000, 60),
            (25_000, 1_000, 500, 1),
        ] {
            let options = Centrifuge {
                ping_interval: time(ping),
                ..Centrifuge::default()
            };
            let times = CentrifugeOptions::new(&options, time(idle));
            assert_eq!((times.json.every, times.ping_s), (time(every), told));
            assert_eq!(times.protobuf.every, time(every));
        }
    }
}
