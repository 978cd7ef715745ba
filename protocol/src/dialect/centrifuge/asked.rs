//! What only clients of the Centrifuge protocol ask for: as parts of the one vocabulary of requests
//! (`dialect::request`), and beside it. Made by `command`, acted on by the server.

use super::filter::TagFilter;
use super::form::Deltas;
use super::subs::HadOfChannels;
use crate::dialect::position::Since;
use crate::dialect::value::Value;
use std::borrow::Cow;

/// A request that no other dialect has in this form. A channel is a room; its name is never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CentrifugeRequest<'b> {
    /// Membership of a channel.
    Subscribe(Box<Subscribe<'b>>),
    /// The end of it, if there is one.
    Unsubscribe {
        /// Which.
        channel: Cow<'b, str>,
    },
    /// How many are in a channel.
    PresenceStats {
        /// Which.
        channel: Cow<'b, str>,
    },
}

impl CentrifugeRequest<'_> {
    /// The channel that it is about.
    pub fn channel(&self) -> &str {
        match self {
            CentrifugeRequest::Subscribe(subscribe) => &subscribe.channel,
            CentrifugeRequest::Unsubscribe { channel }
            | CentrifugeRequest::PresenceStats { channel } => channel,
        }
    }
}

/// Membership of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'b> {
    /// Which.
    pub channel: Cow<'b, str>,
    /// What permits it; empty if the client has none.
    pub token: Cow<'b, str>,
    /// What the client has had of the channel, if it was in it before.
    pub recover: Option<Since<'b>>,
    /// What becomes of the membership if that is lost.
    pub if_lost: IfLost,
    /// Whether it can be sent deltas.
    pub deltas: Deltas,
    /// Which publications it wants to be sent. `None`: all.
    pub filter: Option<TagFilter>,
    /// The channel is a map, and this is how far the client is with it.
    pub map: Option<MapStep<'b>>,
}

/// How far a client is with a channel that is a map, and what it asks for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapStep<'b> {
    /// What it asks for.
    pub phase: MapPhase,
    /// What it takes the keys for.
    pub kind: MapKind,
    /// Where the page begins, as an earlier reply said; empty: at the beginning.
    pub cursor: Cow<'b, str>,
    /// Keys of a page; 0: as many as the server likes.
    pub limit: u32,
    /// What it has had of the channel.
    pub position: Since<'b>,
}

/// What keys of a map are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Of whatever is published.
    Published,
    /// Of connections that are in another channel.
    Connections,
    /// Of users that are.
    Users,
}

impl MapKind {
    /// By the number of its subscriptions.
    pub(super) fn of(number: u64) -> Option<MapKind> {
        Some(match number {
            1 => MapKind::Published,
            2 => MapKind::Connections,
            3 => MapKind::Users,
            _ => return None,
        })
    }
}

/// What a client asks for of a channel that is a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapPhase {
    /// What is published from now on.
    Live,
    /// What was published behind its place.
    Stream,
    /// A page of what the map holds.
    State,
}

impl MapPhase {
    /// By its number.
    pub(super) fn of(number: u64) -> Option<MapPhase> {
        Some(match number {
            0 => MapPhase::Live,
            1 => MapPhase::Stream,
            2 => MapPhase::State,
            _ => return None,
        })
    }

    /// Its number.
    pub(super) fn number(self) -> u64 {
        match self {
            MapPhase::Live => 0,
            MapPhase::Stream => 1,
            MapPhase::State => 2,
        }
    }
}

/// What becomes of a membership whose client can not be sent what it has missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfLost {
    /// It begins, and the client is told.
    #[default]
    Begin,
    /// There is none: the request is refused.
    Refuse,
}

/// The first command of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectCommand<'b> {
    /// Who it is; empty if the client has no token.
    pub token: Cow<'b, str>,
    /// What the application is told.
    pub data: Option<Value<'b>>,
    /// The client's own name.
    pub name: Cow<'b, str>,
    /// And its version.
    pub version: Cow<'b, str>,
    /// What the client has had of channels that the server subscribed it to.
    pub had: HadOfChannels<'b>,
}
