//! Who is published to, and with which options: what connections and other threads name when they
//! publish.

use crate::topic::key::Topic;
use crate::topic::publication::Content;
use crate::types::answer::Tag;
use crate::types::ticket::Address;

/// Who a publish goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The members of one room.
    Room(&'a str),
    /// The connections of one user ([`Context::identify`]).
    User(&'a str),
    /// Every open connection of the process.
    Everyone,
}

impl<'a> Target<'a> {
    /// The topic, if it is one.
    pub(crate) fn topic(self) -> Option<Topic<'a>> {
        match self {
            Target::Room(name) => Some(Topic::Room(name)),
            Target::User(name) => Some(Topic::User(name)),
            Target::Everyone => None,
        }
    }
}

/// A publish and its options.
#[derive(Clone, Debug)]
pub struct Publish {
    pub(crate) content: Content,
    pub(crate) except: Option<Address>,
    pub(crate) report: Option<Tag>,
}

impl Publish {
    /// Publishes data, or a frame that is ready ([`Content::frame`]; a [`Frame`] is one of
    /// [`EncodingId::FIRST`]).
    ///
    /// [`Frame`]: crate::Frame
    pub fn new(content: impl Into<Content>) -> Publish {
        Publish {
            content: content.into(),
            except: None,
            report: None,
        }
    }
    /// Leaves one connection out.
    pub fn except(mut self, address: Address) -> Publish {
        self.except = Some(address);
        self
    }
    /// Asks for the counts: they come as [`crate::Answer::Reported`].
    pub fn report(mut self, tag: Tag) -> Publish {
        self.report = Some(tag);
        self
    }
}

/// Why a publish was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// As [`RoomError::BadName`].
    #[error("the name is empty or too long")]
    BadName,
    /// Too many reported publishes and lists under way on this shard: 1,024.
    #[error("too many reported publishes and lists under way")]
    TooManyReports,
}
