//! The way out to whoever orders the topics whose order is not this process's own
//! ([`LogOrder::Sequencer`]): publications that are to get their places, and logs that a home needs
//! before it can answer.
//!
//! Invariant: a shard never waits here. What finds no room comes back, and its publisher is told
//! so. Made by whoever starts an engine; written by homes (`topic/sequencing.rs`).
//!
//! [`LogOrder::Sequencer`]: crate::LogOrder::Sequencer

use crate::query::gather::QueryKey;
use crate::topic::key::TopicName;
use crate::topic::log::options::LogClass;
use crate::topic::publication::{Content, Position, Publication};
use crate::types::ticket::Address;
use flume::{Receiver, Sender, TrySendError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The way out ([`crate::Config::sequencer`]). Clones are the same.
#[derive(Clone, Debug)]
pub struct Sequencer {
    sender: Sender<ToSequence>,
    waiting: Arc<WaitingBytes>,
}

/// The end of whoever orders.
#[derive(Debug)]
pub struct SequencerReader {
    receiver: Receiver<ToSequence>,
    waiting: Arc<WaitingBytes>,
}

#[derive(Debug)]
struct WaitingBytes {
    max: u64,
    now: AtomicU64,
}

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
        let (sender, receiver) = flume::bounded(waiting_max.max(1));
        let waiting = Arc::new(WaitingBytes {
            max: bytes_max as u64,
            now: AtomicU64::new(0),
        });
        let sequencer = Sequencer {
            sender,
            waiting: waiting.clone(),
        };
        (sequencer, SequencerReader { receiver, waiting })
    }

    /// Hands something over. `Err`: there is no room, or nobody there.
    pub(crate) fn ask(&self, asked: ToSequence) -> Result<(), Box<ToSequence>> {
        let bytes = asked.bytes();
        let before = self.waiting.now.fetch_add(bytes, Ordering::Relaxed);
        let refused = match before < self.waiting.max {
            true => match self.sender.try_send(asked) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(asked) | TrySendError::Disconnected(asked)) => asked,
            },
            false => asked,
        };
        self.waiting.now.fetch_sub(bytes, Ordering::Relaxed);
        Err(Box::new(refused))
    }
}

/// The same way out.
impl PartialEq for Sequencer {
    fn eq(&self, other: &Sequencer) -> bool {
        self.sender.same_channel(&other.sender)
    }
}

impl Eq for Sequencer {}

impl ToSequence {
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
        let asked = self.receiver.recv_async().await.ok()?;
        Some(self.taken(asked))
    }

    /// The next, if there is one by now.
    pub fn try_recv(&self) -> Option<ToSequence> {
        let asked = self.receiver.try_recv().ok()?;
        Some(self.taken(asked))
    }

    fn taken(&self, asked: ToSequence) -> ToSequence {
        self.waiting.now.fetch_sub(asked.bytes(), Ordering::Relaxed);
        asked
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::data::{Data, DataEncoding};
    use crate::topic::publication::PublicationKind;

    fn publication(text: &str) -> ToSequence {
        let content = Content::data(
            &Publication {
                topic: None,
                kind: PublicationKind::Event { name: "e" },
                data: Data::Text(text),
                data_encoding: DataEncoding::default(),
            },
            None,
        );
        ToSequence::Publication(Unsequenced {
            topic: TopicName::Room("r".into()),
            class: LogClass::new(0),
            except: None,
            publisher: None,
            content,
        })
    }

    #[test]
    fn what_finds_no_room_comes_back() {
        for (waiting_max, bytes_max, taken) in [(2, 1_000, 2), (9, 6, 2), (9, 1_000, 3)] {
            let (sequencer, reader) = Sequencer::new(waiting_max, bytes_max);
            let asked = ["12345", "1", "12"].map(|text| sequencer.ask(publication(text)));
            assert_eq!(asked.iter().filter(|asked| asked.is_ok()).count(), taken);
            assert!(asked[..taken].iter().all(Result::is_ok), "in order");
            let heard = std::iter::from_fn(|| reader.try_recv()).count();
            assert_eq!(heard, taken);
            assert!(sequencer.ask(publication("1")).is_ok(), "it made room");
            drop(reader);
            assert!(sequencer.ask(publication("1")).is_err(), "nobody is there");
        }
    }
}
