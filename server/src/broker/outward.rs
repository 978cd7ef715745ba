//! The way from the shards to the broker: what they have published goes out in batches.
//!
//! Invariant: nothing waits here but one batch. While the broker takes nothing, publications wait
//! in the relay, which has an end; while there is no connection they are let go and counted, since
//! nobody would hear them in time. Local members have had them long since.

use crate::broker::adapter::{Broker, BrokerError, Outbound};
use crate::broker::counts::BridgeCount;
use crate::broker::envelope::{Body, Envelope, MessageId, Recipient};
use crate::broker::node::ClusterNode;
use crate::broker::subject::Subject;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{PublicationKind, RelayReader, Relayed, TopicName};
use std::sync::Arc;
use std::time::Duration;

/// The task.
pub(crate) struct Outward<B> {
    node: ClusterNode,
    broker: Arc<B>,
    relay: RelayReader,
    /// Messages of this run so far.
    number: u64,
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
            broker,
            relay,
            number: 0,
        }
    }

    /// Runs until the engine has stopped and all that it said has gone.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(Self::BATCH_MAX);
        while let Some(first) = self.relay.recv().await {
            self.take(&first, &mut batch);
            while batch.len() < Self::BATCH_MAX
                && let Some(next) = self.relay.try_recv()
            {
                self.take(&next, &mut batch);
            }
            let is_busy = batch.len() >= Self::BUSY && batch.len() < Self::BATCH_MAX;
            self.send(&batch).await;
            batch.clear();
            if is_busy {
                tokio::time::sleep(Self::LINGER).await;
            }
        }
    }

    fn take(&mut self, relayed: &Relayed, batch: &mut Vec<Outbound>) {
        let counts = &self.node.counts;
        counts.set(BridgeCount::SentDropped, self.relay.dropped());
        self.number += 1;
        let id = MessageId {
            run: self.node.run,
            number: self.number,
        };
        let Some(outbound) = outbound(&self.node.name, id, relayed) else {
            return;
        };
        if outbound.payload.len() > self.broker.payload_bytes_max() {
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
fn outbound(node: &str, id: MessageId, relayed: &Relayed) -> Option<Outbound> {
    let publication = relayed.publication()?;
    let from;
    let body = match publication.kind {
        PublicationKind::Message { publisher } => {
            from = format!("{}@{node}", ConnectionId::from(publisher));
            Body::Message { from: &from }
        }
        PublicationKind::Event { name } => Body::Event { name },
        PublicationKind::Elsewhere { .. }
        | PublicationKind::Presence { .. }
        | PublicationKind::Members { .. } => return None,
    };
    let (subject, recipient) = match &relayed.topic {
        Some(TopicName::Room(room)) => (Subject::Room(room.clone()), Recipient::Room(room)),
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
