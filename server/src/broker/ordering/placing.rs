//! The way from the shards to the broker's logs: publications to ordered rooms get their places in
//! batches, several under way at once, and their publishers are answered.
//!
//! Invariant: nothing waits here but what strands hold; what waits before that is in the queue of
//! the sequencer, which has an end. While there is no connection every publication is refused at
//! once. What one node has published to a room is placed in that order: a room has one strand.

use crate::broker::adapter::{Append, Appended, Broker, BrokerError, KeptInLog};
use crate::broker::counts::BridgeCount;
use crate::broker::envelope::{Body, Envelope, MessageId, Recipient};
use crate::broker::node::ClusterNode;
use crate::broker::ordering::news::OrderedNews;
use crate::broker::ordering::steps::{LeftOut, answer};
use crate::broker::strand::{PlacingStrand, STRANDS, StrandAnswers, StrandWork, strand_of};
use crate::namespace::History;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{
    Position, PublicationKind, Publisher, Repeat, SequencerReader, ToSequence, TopicName,
    Unsequenced,
};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The task.
pub(crate) struct Placing<B> {
    node: ClusterNode,
    broker: Arc<B>,
    sequencer: SequencerReader,
    news: mpsc::Sender<OrderedNews>,
    left_out: LeftOut,
    /// Messages of this run so far.
    number: u64,
    /// That may be under way yet.
    bytes: Arc<Semaphore>,
}

/// The way into a strand.
type StrandWay = mpsc::Sender<StrandWork<PlacingPublisher>>;

/// Who waits for an entry, and what that takes of the bytes that may be under way.
struct PlacingPublisher {
    publisher: Option<Publisher>,
    _bytes: OwnedSemaphorePermit,
}

impl<B: Broker> Placing<B> {
    /// Numbers of ordered messages, unlike those of others.
    const NUMBERS: u64 = 1 << 63;
    /// Bytes of publications that strands hold together, or one larger one; what comes then waits
    /// in the queue of the sequencer.
    const UNDER_WAY_BYTES_MAX: u32 = 16 << 20;

    pub(crate) fn new(
        node: ClusterNode,
        broker: Arc<B>,
        sequencer: SequencerReader,
        (news, left_out): (mpsc::Sender<OrderedNews>, LeftOut),
    ) -> Placing<B> {
        Placing {
            node,
            broker,
            sequencer,
            news,
            left_out,
            number: Self::NUMBERS,
            bytes: Arc::new(Semaphore::new(Self::UNDER_WAY_BYTES_MAX as usize)),
        }
    }

    /// Runs until the engine has stopped; its strands end when they have done what they hold.
    pub(crate) async fn run(mut self) {
        let strands: Vec<StrandWay> = (0..STRANDS)
            .map(|_| {
                let (way, strand) = PlacingStrand::new(self.broker.clone());
                tokio::spawn(strand.run(ToPublishers(self.node.clone())));
                way
            })
            .collect();
        while let Some(asked) = self.sequencer.recv().await {
            self.take(asked, &strands).await;
        }
    }

    async fn take(&mut self, asked: ToSequence, strands: &[StrandWay]) {
        match asked {
            ToSequence::Log { topic, has, .. } => {
                if let TopicName::Room(room) = topic {
                    let news = OrderedNews::Wanted { room, has };
                    // It is gone with the server.
                    let _gone = self.news.send(news).await;
                }
            }
            ToSequence::Publication(mut publication) => {
                let publisher = publication.publisher.take();
                match self.append_of(&publication) {
                    Some(append) => self.bring(append, publisher, strands).await,
                    None => {
                        self.node.counts.add(BridgeCount::OrderedRefused, 1);
                        answer(&self.node, publisher, None).await;
                    }
                }
            }
        }
    }

    async fn bring(&self, append: Append, publisher: Option<Publisher>, strands: &[StrandWay]) {
        let most = Self::UNDER_WAY_BYTES_MAX;
        let bytes = u32::try_from(append.payload.len())
            .unwrap_or(most)
            .min(most);
        // Nobody closes it.
        let Ok(_bytes) = self.bytes.clone().acquire_many_owned(bytes).await else {
            return;
        };
        let work = (append, PlacingPublisher { publisher, _bytes });
        // A strand ends behind this task only.
        let _gone = strands[strand_of(&work.0.room)].send(work).await;
    }

    /// `None`: it cannot be placed.
    fn append_of(&mut self, publication: &Unsequenced) -> Option<Append> {
        let TopicName::Room(room) = &publication.topic else {
            return None;
        };
        let resolved = self.node.shared.resolve(room).ok()?;
        let history = resolved.ordered()?;
        self.number += 1;
        let id = MessageId {
            run: self.node.run,
            number: self.number,
        };
        let payload = payload(&self.node.name, id, room, publication)?;
        if payload.len() > self.broker.payload_bytes_max() {
            self.node.counts.add(BridgeCount::SentTooLarge, 1);
            return None;
        }
        if let Some(who) = publication.except {
            self.left_out.put(id.number, who);
        }
        let key = publication.keys().0.zip(history.idempotency);
        Some(Append {
            room: room.clone(),
            payload: payload.into(),
            key: key.map(|(key, window)| (key.into(), window)),
            keep: kept_of(history),
        })
    }
}

/// Whom this node answers.
struct ToPublishers(ClusterNode);

impl StrandAnswers for ToPublishers {
    type Who = PlacingPublisher;

    async fn answer(&self, who: PlacingPublisher, placed: Result<Appended, BrokerError>) {
        let placed = match placed {
            Ok(appended) => Some(self.placed(appended)),
            Err(error) => {
                self.0.counts.add(BridgeCount::OrderedRefused, 1);
                if error != BrokerError::Lost {
                    tracing::warn!(%error, "the broker takes a message of an ordered room not");
                }
                None
            }
        };
        answer(&self.0, who.publisher, placed).await;
    }
}

impl ToPublishers {
    fn placed(&self, appended: Appended) -> (Position, Repeat) {
        self.0.counts.add(BridgeCount::OrderedPlaced, 1);
        let position = Position {
            epoch: appended.epoch,
            offset: appended.offset,
        };
        let repeat = match appended.is_duplicate {
            true => Repeat::Duplicate,
            false => Repeat::First,
        };
        (position, repeat)
    }
}

/// What the broker's log of a room keeps.
pub(crate) fn kept_of(history: &History) -> KeptInLog {
    KeptInLog {
        entries_max: history.publications_max,
        ttl: history.ttl,
        epoch_ttl: history.epoch_ttl,
    }
}

/// The envelope, without a place.
fn payload(node: &str, id: MessageId, room: &str, unsequenced: &Unsequenced) -> Option<Vec<u8>> {
    let publication = unsequenced.publication()?;
    let from;
    let body = match publication.kind {
        PublicationKind::Message { publisher } => {
            from = format!("{}@{node}", ConnectionId::from(publisher));
            Body::Message { from: &from }
        }
        PublicationKind::Event { name } => Body::Event { name },
        PublicationKind::Elsewhere { from } => Body::Message { from },
        PublicationKind::Presence { .. } | PublicationKind::Members { .. } => return None,
    };
    let (key, conflate) = unsequenced.keys();
    let envelope = Envelope {
        place: None,
        id,
        recipient: Recipient::Room(room),
        body,
        key: key.unwrap_or_default(),
        conflate: conflate.unwrap_or_default(),
        data: publication.data,
        encoding: publication.data_encoding,
    };
    envelope.write()
}
