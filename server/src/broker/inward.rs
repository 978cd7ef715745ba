//! The way from the broker to the shards: what other nodes have published is published here, and
//! goes to the shard that orders it.
//!
//! Invariant: whatever a message says, it is checked as far as this server relies on it, and what
//! does not fit is counted and dropped. The task waits for a place in a shard's queue at most; what
//! comes in meanwhile waits in the inbox, which has an end.

use crate::broker::adapter::Link;
use crate::broker::counts::BridgeCount;
use crate::broker::envelope::{Body, Envelope, Recipient};
use crate::broker::inbox::{Inbox, Incoming};
use crate::broker::node::ClusterNode;
use crate::broker::options::Cluster;
use crate::broker::ordering::entry::OrderedEntry;
use crate::broker::ordering::news::OrderedNews;
use crate::broker::share::word::ShareWord;
use crate::broker::view::ClusterView;
use crate::rooms::entry;
use crate::rooms::keys::Keys;
use crate::session::identity::Identity;
use crate::wire::publication::{Added, content_of_elsewhere};
use crate::wire::traced::trace_of;
use shardcast_engine::{Data, Publication, PublicationKind, Publish, Refused, Target, Topic};
use tokio::sync::{mpsc, watch};

/// The task.
pub(crate) struct Inward {
    node: ClusterNode,
    inbox: Inbox,
    link: watch::Receiver<Link>,
    /// Losses that are known.
    losses: u64,
    dropped: u64,
    /// `None`: the broker orders no room.
    ordering: Option<mpsc::Sender<OrderedNews>>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Received,
    Refused,
    Malformed,
    Echo,
    /// No member here is in the room, which shares its partition with one that has some.
    Elsewhere,
    /// It goes where it is put in order.
    Ordered,
    /// The server has stopped.
    Over,
}

impl Inward {
    /// Messages that are taken from the inbox at once.
    const BATCH_MAX: usize = 256;

    pub(crate) fn new(
        node: ClusterNode,
        inbox: Inbox,
        link: watch::Receiver<Link>,
        ordering: Option<mpsc::Sender<OrderedNews>>,
    ) -> Inward {
        Inward {
            node,
            inbox,
            link,
            losses: 0,
            dropped: 0,
            ordering,
        }
    }

    /// Runs until the adapter or the server is gone.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(Self::BATCH_MAX);
        while self.inbox.recv_many(&mut batch, Self::BATCH_MAX).await {
            let waiting = self.inbox.len() as u64;
            self.node.counts.set(BridgeCount::ReceivedWaiting, waiting);
            for message in batch.drain(..) {
                let fate = self.take(&message).await;
                let count = match fate {
                    Fate::Received => BridgeCount::Received,
                    Fate::Refused => BridgeCount::ReceivedRefused,
                    Fate::Malformed => BridgeCount::Malformed,
                    Fate::Echo => BridgeCount::Echoes,
                    Fate::Elsewhere => BridgeCount::ReceivedElsewhere,
                    Fate::Ordered => continue,
                    Fate::Over => return,
                };
                self.node.counts.add(count, 1);
            }
            if self.look_for_gaps()
                && let Some(ordering) = &self.ordering
                && ordering.send(OrderedNews::Missed).await.is_err()
            {
                return;
            }
        }
    }

    /// Whether something may have been missed.
    fn look_for_gaps(&mut self) -> bool {
        let counts = &self.node.counts;
        let (losses, dropped) = (self.link.borrow().losses, self.inbox.dropped());
        let is_gap = (losses, dropped) != (self.losses, self.dropped);
        if is_gap {
            counts.add(BridgeCount::Gaps, 1);
            counts.set(BridgeCount::ReceivedDropped, dropped);
            (self.losses, self.dropped) = (losses, dropped);
        }
        is_gap
    }

    async fn take(&self, message: &Incoming) -> Fate {
        if message.place.is_none() && Envelope::is_own(&message.payload, self.node.run) {
            if Envelope::is_news(&message.payload) {
                self.node.view.came_back();
            }
            return Fate::Echo;
        }
        let Ok(envelope) = Envelope::read(&message.payload) else {
            return Fate::Malformed;
        };
        if let (Recipient::Nodes, Body::State { node }) = (envelope.recipient, envelope.body) {
            return match envelope.data {
                Data::Text(_) => self.hear(envelope.id.run, node, envelope.data),
                Data::Binary(word) => self.hear_share(envelope.id.run, word),
            };
        }
        if let Some(ordering) = &self.ordering
            && let Some(ordered) = self.ordered(message, &envelope)
        {
            return match ordered {
                Ok(news) => match ordering.send(news).await {
                    Ok(()) => Fate::Ordered,
                    Err(_) => Fate::Over,
                },
                Err(fate) => fate,
            };
        }
        if envelope.id.run == self.node.run {
            return Fate::Echo;
        }
        if let (Some(partitions), Recipient::Room(room)) =
            (&self.node.partitions, envelope.recipient)
            && !partitions.hears(room)
        {
            return Fate::Elsewhere;
        }
        let (target, publish) = match publish_of(&self.node, &envelope, HeardFrom::Node) {
            Ok(publish) => publish,
            Err(fate) => return fate,
        };
        loop {
            // A clone shares what is published.
            match self.node.engine.publish_at_home(target, publish.clone()) {
                Ok(()) => return Fate::Received,
                Err(Refused::Busy) => self.node.engine.ready_at_home(target).await,
                Err(Refused::Memory) => return Fate::Refused,
                Err(Refused::Stopped) => return Fate::Over,
            }
        }
    }
}

impl Inward {
    /// Another node tells something of its rooms and users.
    fn hear_share(&self, run: u64, word: &[u8]) -> Fate {
        let Some(word) = ShareWord::read(word) else {
            return Fate::Malformed;
        };
        let heard = self.node.view.hear_share(self.node.run, run, word);
        let counts = &self.node.counts;
        counts.add(BridgeCount::SharesRefused, heard.refused);
        counts.add(BridgeCount::SharesMissed, u64::from(heard.is_behind_a_gap));
        Fate::Received
    }

    /// What is heard of a room that the broker orders. `None`: it orders none of this.
    fn ordered(
        &self,
        message: &Incoming,
        envelope: &Envelope<'_>,
    ) -> Option<Result<OrderedNews, Fate>> {
        let Recipient::Room(name) = envelope.recipient else {
            return None;
        };
        let is_ordered = self.node.shared.resolve(name).ok()?.ordered().is_some();
        let heard = OrderedEntry::heard(message, envelope);
        match (is_ordered, heard) {
            (false, None) => None,
            (true, Some((room, entry))) => Some(Ok(OrderedNews::Heard { room, entry })),
            // Another node has another idea of who orders the room.
            (true, None) | (false, Some(_)) => Some(Err(Fate::Refused)),
        }
    }

    /// Another node tells something of itself.
    fn hear(&self, run: u64, node: &str, data: Data<'_>) -> Fate {
        let text = match data {
            Data::Text(text) if text.len() <= ClusterView::NEWS_BYTES_MAX => text,
            Data::Text(_) | Data::Binary(_) => return Fate::Malformed,
        };
        match serde_json::from_str::<crate::broker::view::NodeNews>(text) {
            // For another node.
            Ok(news) if news.to().is_some_and(|to| to != self.node.run) => Fate::Received,
            Ok(news) if Cluster::is_name(node) => match self.node.view.hear(run, node, news) {
                true => Fate::Received,
                false => Fate::Refused,
            },
            Ok(_) | Err(_) => Fate::Malformed,
        }
    }
}

/// How a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeardFrom {
    /// From the node that has sent it just now: its steps here are recorded, where its trace is.
    Node,
    /// Out of a log of the broker, in which it may have stood for long.
    Log,
}

/// What is published here of another node's message, or of an own one that has come back.
pub(crate) fn publish_of<'e>(
    node: &ClusterNode,
    envelope: &Envelope<'e>,
    from: HeardFrom,
) -> Result<(Target<'e>, Publish), Fate> {
    let shared = &node.shared;
    let kind = match envelope.body {
        Body::Message { from } if is_from(from) => PublicationKind::Elsewhere {
            // Its own connections are known here without the node.
            from: match envelope.id.run == node.run {
                true => from.split('@').next().unwrap_or(from),
                false => from,
            },
        },
        Body::Event { name } => PublicationKind::Event { name },
        Body::Message { .. } | Body::State { .. } => return Err(Fate::Malformed),
    };
    let (target, room) = match envelope.recipient {
        Recipient::Room(name) => {
            let room = shared.resolve(name).map_err(|_| Fate::Refused)?;
            (Target::Room(name), Some(room))
        }
        Recipient::User(name) if Identity::is_name(name) => (Target::User(name), None),
        Recipient::Everyone => (Target::Everyone, None),
        Recipient::User(_) => return Err(Fate::Refused),
        Recipient::Nodes => return Err(Fate::Malformed),
    };
    let publication = Publication {
        topic: match target {
            Target::Room(name) => Some(Topic::Room(name)),
            Target::User(name) => Some(Topic::User(name)),
            Target::Everyone => None,
        },
        kind,
        data: envelope.data,
        data_encoding: envelope.encoding,
    };
    let added = room.map_or(Added::Nothing, |room| room.added());
    let is_present = |encoding| shared.has_encoding(encoding);
    let content = content_of_elsewhere(is_present, &publication, added, shared.message_bytes_max);
    let content = content.ok_or(Fate::Refused)?;
    let trace = match (from, &shared.tracer) {
        (HeardFrom::Node, Some(tracer)) if tracer.follows() => {
            trace_of(envelope.data, envelope.encoding)
        }
        (HeardFrom::Node | HeardFrom::Log, _) => None,
    };
    let publish = Publish::new(match trace {
        Some(trace) => content.traced(trace),
        None => content,
    });
    let some = |key: &'e str| (!key.is_empty()).then_some(key);
    let publish = match &room {
        Some(room) => {
            // A room here may have no use for a key that one there has.
            let keys = Keys {
                idempotency: some(envelope.key).filter(|_| room.takes_keys()),
                conflation: some(envelope.conflate).filter(|_| room.log().is_some()),
                change: match envelope.body {
                    Body::Event { name } if room.map().is_some() => entry::change_of(name),
                    _ => None,
                },
                ..Keys::default()
            };
            keys.keep(publish, room).map_err(|_| Fate::Refused)?
        }
        None => publish,
    };
    Ok((target, publish))
}

/// Longest name of another node's connection: an id, `@` and the node's name.
const FROM_BYTES_MAX: usize = 128;

/// Whether it names a connection of another node: it is shown to clients in any dialect.
fn is_from(from: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'@');
    (1..=FROM_BYTES_MAX).contains(&from.len()) && from.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_elsewhere_is_short_and_plain() {
        let long = "a".repeat(129);
        for (from, fits) in [
            ("0-1f-2@node_1", true),
            ("", false),
            ("0-1-2@no de", false),
            ("0-1-2\"", false),
            ("ü", false),
            (&long, false),
        ] {
            assert_eq!(is_from(from), fits, "{from}");
        }
    }
}
