//! The way from the shards to the broker: what they have published goes out in batches.
//!
//! Invariant: nothing waits here but one batch. While the broker takes nothing, publications wait
//! in the relay, which has an end; while there is no connection they are let go and counted, since
//! nobody would hear them in time. Local members have had them long since.

use crate::broker::adapter::{Broker, BrokerError, Link, Outbound};
use crate::broker::counts::BridgeCount;
use crate::broker::envelope::{Body, Envelope, MessageId, Recipient};
use crate::broker::node::ClusterNode;
use crate::broker::subject::Subject;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{PublicationKind, RelayReader, Relayed, TopicName};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The task.
pub(crate) struct Outward<B> {
    node: ClusterNode,
    broker: Arc<B>,
    relay: RelayReader,
    link: watch::Receiver<Link>,
    /// Messages of this run so far.
    number: u64,
    /// Who has sent the message at hand, as others are told.
    from: String,
}

impl<B: Broker> Outward<B> {
    /// Publications of one batch.
    const BATCH_MAX: usize = 512;
    /// From how many on in a batch the next one waits for more to come.
    const BUSY: usize = 8;
    /// For so long: a thousand batches a second carry any rate.
    const LINGER: Duration = Duration::from_millis(1);

    pub(crate) fn new(node: ClusterNode, broker: Arc<B>, relay: RelayReader) -> Outward<B> {
        Outward {
            node,
            link: broker.link(),
            broker,
            relay,
            number: 0,
            from: String::new(),
        }
    }

    /// Runs until the engine has stopped and all that it said has gone.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(Self::BATCH_MAX);
        while let Some(first) = self.relay.recv().await {
            let most = self.broker.payload_bytes_max();
            let mut taken = 1;
            let mut next = Some(first);
            while let Some(relayed) = next {
                self.take(&relayed, most, &mut batch);
                next = match taken < Self::BATCH_MAX {
                    true => self.relay.try_recv(),
                    false => None,
                };
                taken += usize::from(next.is_some());
            }
            let counts = &self.node.counts;
            counts.set(BridgeCount::SentDropped, self.relay.dropped());
            counts.set(BridgeCount::SentWaiting, self.relay.len() as u64);
            if !batch.is_empty() {
                self.send(&batch).await;
                batch.clear();
            }
            if (Self::BUSY..Self::BATCH_MAX).contains(&taken) {
                tokio::time::sleep(Self::LINGER).await;
            }
        }
    }

    fn take(&mut self, relayed: &Relayed, bytes_max: usize, batch: &mut Vec<Outbound>) {
        let counts = &self.node.counts;
        if !self.link.borrow().connected {
            // Nobody would hear it in time.
            return counts.add(BridgeCount::SentLost, 1);
        }
        self.number += 1;
        let id = MessageId {
            run: self.node.run,
            number: self.number,
        };
        let Some(outbound) = outbound(&self.node, id, relayed, &mut self.from) else {
            return;
        };
        if outbound.payload.len() > bytes_max {
            return counts.add(BridgeCount::SentTooLarge, 1);
        }
        batch.push(outbound);
    }

    async fn send(&self, batch: &[Outbound]) {
        let counts = &self.node.counts;
        let count = batch.len() as u64;
        match self.broker.publish(batch).await {
            Ok(()) => counts.add(BridgeCount::Sent, count),
            Err(BrokerError::Lost) => counts.add(BridgeCount::SentLost, count),
            Err(error @ (BrokerError::TooLarge | BrokerError::Refused(_))) => {
                counts.add(BridgeCount::SentLost, count);
                tracing::warn!(%error, messages = count, "the broker takes no messages");
            }
        }
    }
}

/// What other nodes are told. `None`: it means nothing to them.
fn outbound(
    node: &ClusterNode,
    id: MessageId,
    relayed: &Relayed,
    from: &mut String,
) -> Option<Outbound> {
    let publication = relayed.publication()?;
    let body = match publication.kind {
        PublicationKind::Message { publisher } => {
            from.clear();
            write!(from, "{}@{}", ConnectionId::from(publisher), node.name).ok()?;
            Body::Message { from }
        }
        PublicationKind::Event { name } => Body::Event { name },
        PublicationKind::Elsewhere { .. }
        | PublicationKind::Presence { .. }
        | PublicationKind::Members { .. } => return None,
    };
    let (subject, recipient) = match &relayed.topic {
        Some(TopicName::Room(room)) => {
            // What the broker orders goes another way.
            let subject = match &node.partitions {
                Some(partitions) => partitions.of(room),
                None => Subject::Room(room.clone()),
            };
            (subject, Recipient::Room(room))
        }
        Some(TopicName::User(user)) => (Subject::User(user.clone()), Recipient::User(user)),
        None => (Subject::Everyone, Recipient::Everyone),
    };
    let (key, conflate) = relayed.keys();
    let envelope = Envelope {
        place: None,
        id,
        recipient,
        body,
        key: key.unwrap_or_default(),
        conflate: conflate.unwrap_or_default(),
        data: publication.data,
        encoding: publication.data_encoding,
    };
    let payload = envelope.write()?.into();
    Some(Outbound { subject, payload })
}
