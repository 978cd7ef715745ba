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
