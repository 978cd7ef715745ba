//! What only clients of the Centrifuge protocol are answered, as a part of the replies of all
//! dialects (`dialect::reply`). Made by the server, written by `reply`.

use super::code::Refusal;
use super::form::Deltas;
use crate::dialect::kept::KeptMessage;
use crate::dialect::position::LogPosition;
use crate::dialect::value::Value;
use std::num::NonZeroU32;

/// The answer to a command, in words of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CentrifugeReply<'a> {
    /// To `connect`.
    Connected(Connected<'a>),
    /// To `refresh`.
    Refreshed(Connected<'a>),
    /// To `subscribe`.
    Subscribed(Subscribed<'a>),
    /// To `subscribe` of a map.
    MapSubscribed(MapSubscribed<'a>),
    /// To `sub_refresh`: how many seconds the membership has now; `None`: no end.
    SubRefreshed {
        /// The seconds.
        ttl_s: Option<NonZeroU32>,
    },
    /// To `presence_stats`.
    PresenceStats {
        /// Connections.
        clients: u32,
        /// Users; all who are nobody count as one.
        users: u32,
    },
    /// To what has a number of its own among the protocol's errors.
    Refused(Refusal),
}

/// The connection is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected<'a> {
    /// Its id.
    pub client: &'a str,
    /// Name and version of the server.
    pub version: &'a str,
    /// Seconds from one ping to the next; 0: there are none.
    pub ping_s: u32,
    /// With what commands are sent, where they do not come on the connection: it answers no pings
    /// then.
    pub transport: Transport<'a>,
    /// Seconds after which the client has to bring another token; `None`: it need not.
    pub ttl_s: Option<NonZeroU32>,
    /// What the application tells it.
    pub data: Option<Value<'a>>,
    /// Channels that the server has subscribed it to.
    pub subs: &'a [(&'a str, Subscribed<'a>)],
}

/// How a client's commands come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport<'a> {
    /// On the connection.
    #[default]
    Connection,
    /// Beside the stream that the connection is, under the name of its session.
    Stream {
        /// The session.
        session: &'a str,
    },
    /// There are none.
    Unidirectional,
}

/// A membership has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed<'a> {
    /// Where the client stands in a channel from which it may recover: what it has had, if what
    /// follows that is sent; otherwise the newest.
    pub position: Option<LogPosition<'a>>,
    /// What became of the wish to have what was missed.
    pub recovery: Recovering,
    /// The oldest of what follows that place; the rest comes by itself.
    pub publications: &'a [KeptMessage<'a>],
    /// Whether what follows is written as deltas.
    pub deltas: Deltas,
    /// Seconds after which the client has to bring another token; `None`: it need not.
    pub ttl_s: Option<NonZeroU32>,
}

/// A page of a map, or the membership that begins behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSubscribed<'a> {
    /// The place that the pages are of: whoever has them and what is published behind it has all of
    /// the map.
    pub position: LogPosition<'a>,
    /// Where the next page begins. `None`: this was the last, and the membership has begun.
    pub cursor: Option<&'a str>,
    /// Whether the client may come back to a place of the channel.
    pub places: MapPlaces,
    /// What the map holds.
    pub state: &'a [KeptMessage<'a>],
    /// What became of the wish to have what was missed.
    pub recovery: Recovering,
    /// Whether the page, and what follows, is written for deltas.
    pub deltas: Deltas,
    /// Seconds after which the client has to bring another token; `None`: it need not.
    pub ttl_s: Option<NonZeroU32>,
}

/// Whether a client is told of places in a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapPlaces {
    /// It may come back to where it was.
    #[default]
    Told,
    /// It reads the map anew when it comes back.
    Untold,
}

/// What became of a wish to have what was missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovering {
    /// There was none.
    #[default]
    No,
    /// It follows.
    Recovered,
    /// It is lost.
    Lost,
}
