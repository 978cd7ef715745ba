//! What the server says unasked, and how the native dialects say it.

use super::map::Map;
use super::value::{Encoding, Untranslatable, Value};

/// What the server says unasked.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The connection is open.
    Welcome(Welcome<'a>),
    /// Delivers a broadcast: to a room's members, or without `room` to everyone. Absent `data` becomes `null`.
    Message {
        /// Where it was published.
        room: Option<&'a str>,
        /// The connection that sent it.
        from: &'a str,
        /// What it sent.
        data: Option<Value<'a>>,
    },
    /// What the application has to tell. Absent `data` becomes `null`.
    Event {
        /// Its name.
        event: &'a str,
        /// Where it was published.
        room: Option<&'a str>,
        /// Its content.
        data: Option<Value<'a>>,
    },
    /// The server is about to close this connection.
    Closing {
        /// Why.
        reason: &'a str,
        /// When to come back.
        reconnect_ms: u64,
    },
    /// Calls the client; JSON-RPC only. The answer comes as [`super::Said::Response`].
    Call {
        /// A number of ours.
        id: u64,
        /// What is asked.
        method: &'a str,
        /// An object or an array.
        params: Option<Value<'a>>,
    },
}

/// What a client is told first.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The connection's id; `from` in what it sends.
    pub connection: &'a str,
    /// Name and version.
    pub server: &'a str,
    /// Silence after which the server pings.
    pub heartbeat_ms: u64,
    /// Largest message that the client may send.
    pub message_bytes_max: usize,
}

/// Appends an event of a native dialect, `type` first.
pub(crate) fn write(
    out: &mut Vec<u8>,
    encoding: Encoding,
    event: &Event<'_>,
) -> Result<(), Untranslatable> {
    let mut map = Map::open(out, encoding);
    map.string("type", event.kind().ok_or(Untranslatable::Message)?);
    event.body(&mut map)?;
    map.close();
    Ok(())
}

impl Event<'_> {
    /// Its `type`, or its method in JSON-RPC. A call has none.
    pub(super) fn kind(&self) -> Option<&'static str> {
        match self {
            Event::Welcome(_) => Some("welcome"),
            Event::Message { .. } => Some("message"),
            Event::Event { .. } => Some("event"),
            Event::Closing { .. } => Some("closing"),
            Event::Call { .. } => None,
        }
    }

    /// All keys but `type`.
    pub(super) fn body(&self, map: &mut Map<'_>) -> Result<(), Untranslatable> {
        match *self {
            Event::Welcome(welcome) => {
                map.string("connection", welcome.connection);
                map.string("server", welcome.server);
                map.number("heartbeat_ms", welcome.heartbeat_ms);
                map.number("max_message_bytes", welcome.message_bytes_max as u64);
            }
            Event::Message { room, from, data } => {
                map.some_string("room", room);
                map.string("from", from);
                map.value_or_null("data", data)?;
            }
            Event::Event { event, room, data } => {
                map.string("event", event);
                map.some_string("room", room);
                map.value_or_null("data", data)?;
            }
            Event::Closing {
                reason,
                reconnect_ms,
            } => {
                map.string("reason", reason);
                map.number("reconnect_ms", reconnect_ms);
            }
            Event::Call { .. } => return Err(Untranslatable::Message),
        }
        Ok(())
    }
}
