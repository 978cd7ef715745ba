//! The way out to whoever orders the topics whose order is not this process's own
//! ([`LogOrder::Sequencer`]): publications that are to get their places, and logs that a home needs
//! before it can answer.
//!
//! Invariant: a shard never waits here. What finds no room comes back, and its publisher is told
//! so. Made by whoever starts an engine; written by homes (`topic/sequencing.rs`).
//!
//! [`LogOrder::Sequencer`]: crate::LogOrder::Sequencer

use crate::query::gather::QueryKey;
use crate::topic::bounded::{BoundedReceiver, BoundedSender, HasBytes, bounded};
use crate::topic::key::TopicName;
use crate::topic::log::options::LogClass;
use crate::topic::publication::{Content, Position, Publication};
use crate::types::ticket::Address;

/// The way out ([`crate::Config::sequencer`]). Clones are the same.
#[derive(Clone, Debug)]
pub struct Sequencer(BoundedSender<ToSequence>);

/// The end of whoever orders.
#[derive(Debug)]
pub struct SequencerReader(BoundedReceiver<ToSequence>);

/// What a home asks for.
#[derive(Debug)]
pub enum ToSequence {
    /// A publication is to get its place. It is published where the sequencer says so
    /// ([`crate::Handle::publish_sequenced`]), here as anywhere.
    Publication(Unsequenced),
    /// Somebody waits for the log of a topic, as it is now: answered by steps
    /// ([`crate::Handle::step_log`]) that end with [`crate::LogStep::Ready`] or
    /// [`crate::LogStep::Refuse`].
    Log {
        /// The topic.
        topic: TopicName,
        /// The class of its log.
        class: LogClass,
        /// The newest that it has here. `None`: it is not there, or not ready.
        has: Option<Position>,
    },
}

/// A publication without a place.
#[derive(Debug)]
pub struct Unsequenced {
    /// Where it is published.
    pub topic: TopicName,
    /// The class of the topic's log.
    pub class: LogClass,
    /// Who is not to be sent it.
    pub except: Option<Address>,
    /// Who waits for its place ([`crate::Handle::answer_publisher`]).
    pub publisher: Option<Publisher>,
    pub(crate) content: Content,
}

/// Somebody who is to hear what became of a publication: once, or its place is taken for ever.
#[derive(Debug, PartialEq, Eq)]
pub struct Publisher(pub(crate) QueryKey);

impl Sequencer {
    /// Both ends. At most so many wait, and about so many bytes: one publication more for each
    /// shard.
    pub fn new(waiting_max: usize, bytes_max: usize) -> (Sequencer, SequencerReader) {
        let (sender, receiver) = bounded(waiting_max, bytes_max);
        (Sequencer(sender), SequencerReader(receiver))
    }

    /// Hands something over. `Err`: there is no room, or nobody there.
    pub(crate) fn ask(&self, asked: ToSequence) -> Result<(), Box<ToSequence>> {
        self.0.send(asked).map_err(Box::new)
    }
}

/// The same way out.
impl PartialEq for Sequencer {
    fn eq(&self, other: &Sequencer) -> bool {
        self.0.is_same(&other.0)
    }
}

impl Eq for Sequencer {}

impl HasBytes for ToSequence {
    fn bytes(&self) -> u64 {
        match self {
            ToSequence::Publication(publication) => publication.content.bytes() as u64,
            ToSequence::Log { .. } => 0,
        }
    }
}

impl SequencerReader {
    /// The next, on any async runtime. `None`: the engine has stopped.
    pub async fn recv(&self) -> Option<ToSequence> {
        self.0.recv().await
    }

    /// The next, if there is one by now.
    pub fn try_recv(&self) -> Option<ToSequence> {
        self.0.try_recv()
    }
}

impl Unsequenced {
    /// The publication, as data.
    pub fn publication(&self) -> Option<Publication<'_>> {
        self.content.publication(Some(self.topic.topic()))
    }

    /// [`crate::Publish::key`] and [`crate::Publish::conflate`].
    pub fn keys(&self) -> (Option<&str>, Option<&str>) {
        self.content.keys()
    }
}
