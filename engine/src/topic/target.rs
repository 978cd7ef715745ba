//! Who is published to, and with which options: what connections and other threads name when they
//! publish.

use crate::topic::keep::{Keep, MapChange, SetOnly, SetRule};
use crate::topic::key::Topic;
use crate::topic::log::options::LogClass;
use crate::topic::publication::Content;
use crate::types::answer::Tag;
use crate::types::ticket::Address;

/// Who a publish goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The members of one room.
    Room(&'a str),
    /// The connections of one user ([`crate::Context::identify`]).
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
    pub(crate) keep: Option<Keep>,
    pub(crate) wants: Option<(Tag, Wants)>,
}

/// What the publisher wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// What became of it for every recipient.
    Counts,
    /// Which place it got in the order.
    Receipt,
}

impl Publish {
    /// The longest key, of either kind, in bytes.
    pub const KEY_BYTES_MAX: usize = 128;

    /// Publishes data, or a frame that is ready ([`Content::frame`]; a [`Frame`] is one of
    /// [`EncodingId::FIRST`]).
    ///
    /// [`Frame`]: crate::Frame
    /// [`EncodingId::FIRST`]: crate::EncodingId::FIRST
    pub fn new(content: impl Into<Content>) -> Publish {
        Publish {
            content: content.into(),
            except: None,
            keep: None,
            wants: None,
        }
    }

    /// Leaves one connection out.
    pub fn except(mut self, address: Address) -> Publish {
        self.except = Some(address);
        self
    }

    /// Puts it into its topic's log, which is of this class: an index of [`crate::Config::logs`].
    /// A log that exists stays what it is. What is published to everyone is not kept.
    pub fn keep(mut self, class: LogClass) -> Publish {
        self.keep = Some(Keep {
            class,
            key: None,
            conflate: None,
            change: MapChange::Set,
            rule: SetRule::default(),
            place: None,
        });
        self
    }

    /// The publication's own key: another one with the same key is not published while the log
    /// knows this one ([`crate::LogOptions::idempotency`]), and is answered as this one was. At
    /// most [`Publish::KEY_BYTES_MAX`] bytes. Means nothing without [`Publish::keep`] before.
    pub fn key(mut self, key: &str) -> Publish {
        if let Some(keep) = &mut self.keep {
            keep.key = Some(key.into());
        }
        self
    }

    /// The key by which a newer publication takes this one's place where only the newest counts
    /// ([`crate::SlowReader::Conflate`], [`crate::Newcomers::NewestByKey`]). At most
    /// [`Publish::KEY_BYTES_MAX`] bytes. Means nothing without [`Publish::keep`] before.
    pub fn conflate(mut self, key: &str) -> Publish {
        if let Some(keep) = &mut self.keep {
            keep.conflate = Some(key.into());
        }
        self
    }

    /// What it says of its conflation key ([`Publish::conflate`]) is that the topic's map
    /// ([`crate::LogOptions::map`]) holds nothing of it any more. Where it holds nothing by then,
    /// nothing is published ([`crate::Repeat::NoKey`]). Means nothing without
    /// [`Publish::keep`] before.
    pub fn removes(mut self) -> Publish {
        if let Some(keep) = &mut self.keep {
            keep.change = MapChange::Remove;
        }
        self
    }

    /// It sets its conflation key only where the topic's map has it, or only where it has not;
    /// otherwise nothing is published ([`crate::Repeat::NoKey`], [`crate::Repeat::KeyExists`]).
    /// Means nothing without [`Publish::keep`] before.
    pub fn only(mut self, only: SetOnly) -> Publish {
        if let Some(keep) = &mut self.keep {
            keep.rule.only = only;
        }
        self
    }

    /// The publication is of this version, at least 1: where what the topic's map has of its
    /// conflation key is of this one or a higher one, nothing is published
    /// ([`crate::Repeat::Outdated`]). The version of a key goes with it. 0 is none. Means nothing
    /// without [`Publish::keep`] before.
    pub fn version(mut self, version: u64) -> Publish {
        if let Some(keep) = &mut self.keep {
            keep.rule.version = version;
        }
        self
    }

    /// What it says of its conflation key is in the topic's map as long as somebody holds the key,
    /// as this one does from now on. Where somebody holds it already, nothing is published
    /// ([`crate::Repeat::KeyExists`]). A held key has no end by [`crate::MapOptions::key_ttl`].
    /// Means nothing without [`Publish::keep`] before.
    pub fn holds(mut self, holder: Address) -> Publish {
        if let Some(keep) = &mut self.keep {
            keep.change = MapChange::Hold(holder);
        }
        self
    }

    /// This one does not hold the conflation key any more ([`Publish::holds`]). Where nobody else
    /// does, the publication says that the key is gone; otherwise, or where it did not hold it,
    /// nothing is published ([`crate::Repeat::NoKey`]). Means nothing without [`Publish::keep`]
    /// before.
    pub fn releases(mut self, holder: Address) -> Publish {
        if let Some(keep) = &mut self.keep {
            keep.change = MapChange::Release(holder);
        }
        self
    }

    /// Asks for the counts, and for its position if it is kept: they come as
    /// [`crate::Answer::Reported`].
    pub fn report(mut self, tag: Tag) -> Publish {
        self.wants = Some((tag, Wants::Counts));
        self
    }

    /// Asks for its position alone, which comes as [`crate::Answer::Reported`] without counts, as
    /// soon as it has one.
    pub fn receipt(mut self, tag: Tag) -> Publish {
        self.wants = Some((tag, Wants::Receipt));
        self
    }

    /// Whether its keys are as long as they may be.
    pub(crate) fn check(&self) -> Result<(), PublishError> {
        let Some(keep) = &self.keep else {
            return Ok(());
        };
        let keys = keep
            .key
            .as_deref()
            .into_iter()
            .chain(keep.conflate.as_deref());
        match keys.map(str::len).max() > Some(Publish::KEY_BYTES_MAX) {
            true => Err(PublishError::KeyTooLong),
            false => Ok(()),
        }
    }

    /// What travels to the home of the topic.
    pub(crate) fn into_content(self, target: Target<'_>) -> Content {
        match self.keep.filter(|_| target != Target::Everyone) {
            Some(keep) => self.content.into_kept(keep),
            None => self.content,
        }
    }
}

/// Why a publish was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// As [`crate::RoomError::BadName`].
    #[error("the name is empty or too long")]
    BadName,
    /// Too many reported publishes, lists and histories under way on this shard: 1,024; or too
    /// many receipts: 16,384.
    #[error("too many reported publishes and lists under way")]
    TooManyReports,
    /// A key is longer than [`Publish::KEY_BYTES_MAX`].
    #[error("a key of a publication has at most 128 bytes")]
    KeyTooLong,
    /// Memory is short, and the topic is one of those that take most of it.
    #[error("memory is short, and what is published there takes most of it")]
    Memory,
    /// As many requests of this shard wait for others as may: 65,536. One call of the application
    /// asks for too much, or many do while other shards are behind.
    #[error("too many requests of this shard wait for others")]
    Busy,
}
