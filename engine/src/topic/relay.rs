//! The way out of the process for what is published: each publication, as its home orders it, for
//! whoever brings it to other processes. What came from there does not go out again.
//!
//! Invariant: a shard never waits here. What finds no room is dropped and counted, and what is
//! taken keeps its order: that of its topic. Where nobody has asked for it, a publish costs the
//! look at one word. Made by whoever starts an engine; written by [`crate::events`] where a home
//! publishes.

use crate::topic::bounded::{BoundedReceiver, BoundedSender, HasBytes, bounded};
use crate::topic::key::{TopicKey, TopicName};
use crate::topic::publication::{Content, Publication};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The way out ([`crate::Config::relay`]). Clones are the same.
#[derive(Clone, Debug)]
pub struct Relay {
    sender: BoundedSender<Relayed>,
    dropped: Arc<AtomicU64>,
}

/// The end of whoever brings it on.
#[derive(Debug)]
pub struct RelayReader {
    receiver: BoundedReceiver<Relayed>,
    dropped: Arc<AtomicU64>,
}

/// One publication on its way out.
#[derive(Debug)]
pub struct Relayed {
    /// What it was published to; `None`: everyone.
    pub topic: Option<TopicName>,
    content: Content,
    bytes: u64,
}

impl Relay {
    /// Both ends. At most so many publications wait, and about so many bytes: one publication more
    /// for each shard.
    pub fn new(waiting_max: usize, bytes_max: usize) -> (Relay, RelayReader) {
        let (sender, receiver) = bounded(waiting_max, bytes_max);
        let dropped = Arc::new(AtomicU64::new(0));
        let relay = Relay {
            sender,
            dropped: dropped.clone(),
        };
        (relay, RelayReader { receiver, dropped })
    }

    /// Takes a publication of this process along.
    pub(crate) fn publish(&self, topic: Option<&TopicKey>, content: &Content) {
        if !content.is_of_this_process() {
            return;
        }
        let relayed = Relayed {
            topic: topic.map(TopicName::of),
            content: content.clone(),
            bytes: content.bytes() as u64,
        };
        if self.sender.send(relayed).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The same way out.
impl PartialEq for Relay {
    fn eq(&self, other: &Relay) -> bool {
        self.sender.is_same(&other.sender)
    }
}

impl Eq for Relay {}

impl RelayReader {
    /// The next publication, on any async runtime. `None`: the engine has stopped.
    pub async fn recv(&self) -> Option<Relayed> {
        self.receiver.recv().await
    }

    /// The next publication, if there is one by now.
    pub fn try_recv(&self) -> Option<Relayed> {
        self.receiver.try_recv()
    }

    /// Publications that found no room so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Publications that wait.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl HasBytes for Relayed {
    fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Relayed {
    /// The publication, as data. `None`: it was published as a frame that was ready, which means
    /// nothing elsewhere.
    pub fn publication(&self) -> Option<Publication<'_>> {
        let topic = self.topic.as_ref().map(TopicName::topic);
        self.content.publication(topic)
    }

    /// Its keys, where its topic keeps a log: [`crate::Publish::key`] and
    /// [`crate::Publish::conflate`].
    pub fn keys(&self) -> (Option<&str>, Option<&str>) {
        self.content.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::data::{Data, DataEncoding};
    use crate::topic::key::Topic;
    use crate::topic::publication::PublicationKind;

    fn publication(text: &str) -> Publication<'_> {
        Publication {
            topic: None,
            kind: PublicationKind::Event { name: "e" },
            data: Data::Text(text),
            data_encoding: DataEncoding::default(),
        }
    }

    fn heard(reader: &RelayReader) -> Vec<String> {
        let text = |relayed: Relayed| match relayed.publication().map(|said| said.data) {
            Some(Data::Text(text)) => text.to_owned(),
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(|| reader.try_recv().map(text)).collect()
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        for (waiting_max, bytes_max, taken, dropped) in [
            (2, 1000, vec!["12345", "1"], 2),
            (9, 6, vec!["12345", "1"], 2),
            (9, 1000, vec!["12345", "1", "12", ""], 0),
        ] {
            let (relay, reader) = Relay::new(waiting_max, bytes_max);
            let room = TopicKey::new(Topic::Room("r"));
            for text in ["12345", "1", "12", ""] {
                let content = Content::data(&publication(text), None);
                relay.publish(Some(&room), &content);
            }
            assert_eq!(heard(&reader), taken);
            assert_eq!(reader.dropped(), dropped);
            let content = Content::data(&publication("again"), None);
            relay.publish(None, &content);
            assert_eq!(heard(&reader), ["again"], "what was taken makes room");
        }
    }

    #[test]
    fn what_came_in_does_not_go_out_again() {
        let (relay, reader) = Relay::new(9, 1000);
        let said = publication("x");
        let kind = PublicationKind::Elsewhere { from: "1@b" };
        for content in [
            Content::of_elsewhere(&said, None),
            Content::of_elsewhere(&Publication { kind, ..said }, None),
            Content::data(
                &Publication {
                    kind: PublicationKind::Members { members: 3 },
                    ..said
                },
                None,
            ),
        ] {
            relay.publish(None, &content);
        }
        assert!(heard(&reader).is_empty());
    }
}
