//! The way from the shards to the broker's logs: publications to ordered rooms get their places in
//! batches, one after the other, and their publishers are answered.
//!
//! Invariant: nothing waits here but one batch; what waits before that is in the sequencer's queue,
//! which has an end. While there is no connection every publication is refused at once. What one
//! node has published to a room is placed in that order.

use crate::broker::adapter::{Append, Appended, Broker, BrokerError, KeptInLog};
use crate::broker::counts::BridgeCount;
use crate::broker::envelope::{Body, Envelope, MessageId, Recipient};
use crate::broker::node::ClusterNode;
use crate::broker::ordering::news::OrderedNews;
use crate::broker::ordering::steps::{LeftOut, answer};
use crate::namespace::History;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{
    Position, PublicationKind, Publisher, Repeat, SequencerReader, ToSequence, TopicName,
    Unsequenced,
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The task.
pub(crate) struct Placing<B> {
    node: ClusterNode,
    broker: Arc<B>,
    sequencer: SequencerReader,
    news: mpsc::Sender<OrderedNews>,
    left_out: LeftOut,
    /// Messages of this run so far.
    number: u64,
}

/// Publications of one batch, and who waits for each.
type PlacingBatch = (Vec<Append>, Vec<Option<Publisher>>);

impl<B: Broker> Placing<B> {
    /// Publications of one batch.
    const BATCH_MAX: usize = 256;
    /// Numbers of ordered messages, unlike those of others.
    const NUMBERS: u64 = 1 << 63;

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
        }
    }

    /// Runs until the engine has stopped.
    pub(crate) async fn run(mut self) {
        while let Some(first) = self.sequencer.recv().await {
            let mut batch = PlacingBatch::default();
            self.take(first, &mut batch).await;
            while batch.0.len() < Self::BATCH_MAX
                && let Some(next) = self.sequencer.try_recv()
            {
                self.take(next, &mut batch).await;
            }
            self.place(batch).await;
        }
    }

    async fn take(&mut self, asked: ToSequence, batch: &mut PlacingBatch) {
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
                    Some(append) => {
                        batch.0.push(append);
                        batch.1.push(publisher);
                    }
                    None => {
                        self.node.counts.add(BridgeCount::OrderedRefused, 1);
                        answer(&self.node, publisher, None).await;
                    }
                }
            }
        }
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

    async fn place(&self, (batch, publishers): PlacingBatch) {
        if batch.is_empty() {
            return;
        }
        let all = match self.broker.link().borrow().connected {
            true => None,
            false => Some(vec![Err(BrokerError::Lost); batch.len()]),
        };
        let all = match all {
            Some(lost) => lost,
            None => self.broker.append_all(&batch).await,
        };
        for (placed, publisher) in all.into_iter().zip(publishers) {
            let placed = match placed {
                Ok(appended) => Some(self.placed(appended)),
                Err(error) => {
                    self.node.counts.add(BridgeCount::OrderedRefused, 1);
                    if error != BrokerError::Lost {
                        tracing::warn!(%error, "the broker takes a message of an ordered room not");
                    }
                    None
                }
            };
            answer(&self.node, publisher, placed).await;
        }
    }

    fn placed(&self, appended: Appended) -> (Position, Repeat) {
        self.node.counts.add(BridgeCount::OrderedPlaced, 1);
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
