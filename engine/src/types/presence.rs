//! Who is in a topic, in the words that applications and homes share: members, their public data,
//! pages of them, and what becomes of one.

use crate::topic::data::{Data, DataEncoding};
use crate::topic::presence::options::PresenceClass;
use crate::types::ticket::Address;
use std::sync::Arc;

/// What a connection that joins shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinPresence {
    /// The class of the topic's presence, an index of [`crate::Config::presence`]. One that exists
    /// stays what it is.
    pub class: PresenceClass,
    /// What the others are shown with it.
    pub data: Option<OwnedData>,
    /// Whether it belongs to something that outlives it.
    pub continuity: Continuity,
}

/// Whether a connection belongs to a session that may outlive it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Continuity {
    /// It stands for itself: a member that is no user has left when its connection ends.
    #[default]
    None,
    /// It belongs to one: a member may be away when its connection is lost, though it is no user.
    Session,
    /// It goes on with the session of this connection: the member comes back.
    Resumed(Address),
}

/// Data with an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedData {
    bytes: OwnedBytes,
    encoding: DataEncoding,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedBytes {
    Text(Box<str>),
    Binary(Box<[u8]>),
}

impl OwnedData {
    /// Bytes that a member may show: a join with more is refused.
    pub const BYTES_MAX: usize = 1_024;

    /// A copy.
    pub fn new(data: Data<'_>, encoding: DataEncoding) -> OwnedData {
        let bytes = match data {
            Data::Text(text) => OwnedBytes::Text(text.into()),
            Data::Binary(bytes) => OwnedBytes::Binary(bytes.into()),
        };
        OwnedData { bytes, encoding }
    }

    /// The data.
    pub fn data(&self) -> Data<'_> {
        match &self.bytes {
            OwnedBytes::Text(text) => Data::Text(text),
            OwnedBytes::Binary(bytes) => Data::Binary(bytes),
        }
    }

    /// How it is written.
    pub fn data_encoding(&self) -> DataEncoding {
        self.encoding
    }
}

/// By what a member is known; pages are in its order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PresenceKey {
    /// A connection.
    Connection(Address),
    /// A user.
    User(Arc<str>),
    /// A connection of another process, as that process calls it for others.
    Elsewhere(Arc<str>),
}

/// Which members are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceQuery {
    /// Those behind this one; `None`: from the first.
    pub after: Option<PresenceKey>,
    /// Members of the page, at most [`PresenceQuery::LIMIT_MAX`].
    pub limit: u32,
}

impl PresenceQuery {
    /// Members of one page.
    pub const LIMIT_MAX: u32 = 1_000;
}

/// Whether a member is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceState {
    /// It is.
    Here,
    /// Its connection was lost, and its user may come back.
    Away,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentMember {
    /// Its connection; that of several that joined last. `None` where users count, and it is one.
    pub connection: Option<Address>,
    /// Its connection, if it is one of another process, as that process calls it for others.
    pub elsewhere: Option<Arc<str>>,
    /// Who it is, if it is a user.
    pub user: Option<Arc<str>>,
    /// What it shows.
    pub data: Option<Arc<OwnedData>>,
    /// Whether it is there, at any process.
    pub state: PresenceState,
    /// The same of its connections at this process. `None`: it has none here.
    pub here: Option<PresenceState>,
}

/// What another process says of a member of a topic. It holds until that process says something
/// else of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberElsewhere {
    /// The process, as it is told from others.
    pub process: u64,
    /// [`PresenceKey::Elsewhere`], or [`PresenceKey::User`] where users count.
    pub key: PresenceKey,
    /// `None`: it is no member there any more.
    pub shown: Option<PresentThere>,
}

/// A member of a topic, as its process shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentThere {
    /// Who it is, if it is a user.
    pub user: Option<Arc<str>>,
    /// What it shows.
    pub data: Option<Arc<OwnedData>>,
    /// Whether it is there.
    pub state: PresenceState,
}

/// The connection of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberConnection<'a> {
    /// Of this process.
    Here(Address),
    /// Of another one, as that process calls it for others.
    Elsewhere(&'a str),
}

/// The same with an owner.
#[derive(Debug)]
pub(crate) enum OwnedConnection {
    Here(Address),
    Elsewhere(Box<str>),
}

impl OwnedConnection {
    pub(crate) fn new(connection: MemberConnection<'_>) -> OwnedConnection {
        match connection {
            MemberConnection::Here(who) => OwnedConnection::Here(who),
            MemberConnection::Elsewhere(name) => OwnedConnection::Elsewhere(name.into()),
        }
    }

    pub(crate) fn name(&self) -> MemberConnection<'_> {
        match self {
            OwnedConnection::Here(who) => MemberConnection::Here(*who),
            OwnedConnection::Elsewhere(name) => MemberConnection::Elsewhere(name),
        }
    }
}

/// Some members of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresencePage {
    /// All members of the topic, those who are away included.
    pub members: u32,
    /// Those of this page, in the order of their keys.
    pub page: Vec<PresentMember>,
    /// What the next page comes after. `None`: there is none.
    pub next: Option<PresenceKey>,
}
