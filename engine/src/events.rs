//! The way out of the shards: events, which a subscriber asks for by kind, in a channel with an
//! end.
//!
//! A shard never waits for a subscriber. An event that finds the channel full is dropped, and
//! counted in the subscription ([`Events::lost`]); those that are taken keep their order. A
//! subscription whose channel was dropped is forgotten with the next event. Without subscribers an
//! event costs the look at two bytes. Sent by all parts of a shard; subscribed to through
//! [`crate::Handle`].

use crate::connection::peer::Peer;
use crate::topic::key::{TopicKey, TopicName};
use crate::topic::publication::{Content, Position};
use crate::topic::relay::Relay;
use crate::types::close_reason::CloseReason;
use crate::types::presence::{PresenceKey, PresentThere};
use crate::types::ticket::Address;
use flume::{Receiver, Sender, TrySendError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Something that happened in a shard.
///
/// Events of a topic come from its home, in the topic's order: `TopicActive`, then `Joined`
/// and `Left` of its members, then `TopicIdle`, and what is `Published` where it has its place
/// among them. Events of a connection come from its own
/// shard: `Opened`, then `Closed`. Between events of different shards there is no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A topic has its first member.
    TopicActive {
        /// Which.
        topic: TopicName,
    },
    /// A topic has no member any more.
    TopicIdle {
        /// Which.
        topic: TopicName,
    },
    /// A connection became a member.
    Joined {
        /// Of this topic.
        topic: TopicName,
        /// Who.
        member: Address,
        /// Members on all shards, this one included.
        members: u32,
    },
    /// A connection is no member any more.
    Left {
        /// Of this topic.
        topic: TopicName,
        /// Who.
        member: Address,
        /// Members on all shards that are left.
        members: u32,
    },
    /// Something was published, and has its place in the order.
    Published {
        /// To this topic, with members or without; `None`: to everyone.
        topic: Option<TopicName>,
        /// The place, where the topic keeps history.
        position: Option<Position>,
    },
    /// A member of a room that keeps presence is something else here. From processes with a way out
    /// ([`crate::Config::relay`]) alone: the others need to know.
    Presence {
        /// Of which room.
        room: Arc<str>,
        /// Who.
        key: PresenceKey,
        /// `None`: it is no member here any more.
        shown: Option<PresentThere>,
        /// The connection that it had before, and has no more.
        was: Option<Address>,
    },
    /// A connection was let in: a WebSocket or an event stream.
    Opened {
        /// Which.
        connection: Address,
        /// Where it comes from.
        peer: Peer,
    },
    /// A connection left the open state.
    Closed {
        /// Which.
        connection: Address,
        /// Why.
        reason: CloseReason,
    },
    /// A draining shard has no connection left. The last event of a shard.
    Drained {
        /// Which.
        shard: u16,
    },
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum EventKind {
    /// [`Event::TopicActive`].
    TopicActive = 1,
    /// [`Event::TopicIdle`].
    TopicIdle = 1 << 1,
    /// [`Event::Joined`].
    Joined = 1 << 2,
    /// [`Event::Left`].
    Left = 1 << 3,
    /// [`Event::Opened`].
    Opened = 1 << 4,
    /// [`Event::Closed`].
    Closed = 1 << 5,
    /// [`Event::Drained`].
    Drained = 1 << 6,
    /// [`Event::Published`].
    Published = 1 << 7,
    /// [`Event::Presence`].
    Presence = 1 << 8,
}

impl EventKind {
    /// All of them.
    pub const ALL: [EventKind; 9] = [
        EventKind::TopicActive,
        EventKind::TopicIdle,
        EventKind::Joined,
        EventKind::Left,
        EventKind::Opened,
        EventKind::Closed,
        EventKind::Drained,
        EventKind::Published,
        EventKind::Presence,
    ];
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u16);

impl Kinds {
    fn of(kinds: &[EventKind]) -> Kinds {
        Kinds(kinds.iter().fold(0, |set, kind| set | *kind as u16))
    }

    fn has(self, kind: EventKind) -> bool {
        self.0 & kind as u16 != 0
    }
}

/// A subscription: events of all shards. Ends the subscription when dropped.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<Event>,
    lost: Arc<AtomicU64>,
}

impl Events {
    /// Most events that may wait in a subscription; at least 1.
    pub const WAITING_MAX: usize = 65_536;
    /// Most subscriptions of a shard. One more is over at once.
    pub const SUBSCRIBERS_MAX: usize = 16;

    /// The next event, when there is one. `None`: the engine has stopped, or there were too many
    /// subscriptions.
    pub fn recv(&self) -> Option<Event> {
        self.receiver.recv().ok()
    }

    /// As [`Events::recv`], on any async runtime.
    pub async fn recv_async(&self) -> Option<Event> {
        self.receiver.recv_async().await.ok()
    }

    /// As [`Events::recv`]; also `None` when nothing comes in time.
    pub fn recv_within(&self, within: Duration) -> Option<Event> {
        self.receiver.recv_timeout(within).ok()
    }

    /// The next event, if there is one by now.
    pub fn try_recv(&self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }

    /// Events that were dropped so far because as many waited as may.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// One subscription, at a shard.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    kinds: Kinds,
    sender: Sender<Event>,
    lost: Arc<AtomicU64>,
}

/// A subscription to these kinds, in which up to `waiting_max` events wait.
pub(crate) fn subscription(kinds: &[EventKind], waiting_max: usize) -> (Subscriber, Events) {
    let (sender, receiver) = flume::bounded(waiting_max);
    let lost = Arc::new(AtomicU64::new(0));
    let subscriber = Subscriber {
        kinds: Kinds::of(kinds),
        sender,
        lost: lost.clone(),
    };
    (subscriber, Events { receiver, lost })
}

/// A shard's subscribers.
#[derive(Debug, Default)]
pub(crate) struct EventSink {
    /// By anybody.
    wanted: Kinds,
    subscribers: Vec<Subscriber>,
    /// The way out of the process, if there is one.
    relay: Option<Relay>,
}

impl EventSink {
    pub(crate) fn new(relay: Option<Relay>) -> EventSink {
        EventSink {
            relay,
            ..EventSink::default()
        }
    }

    /// Beyond the most that there may be, the subscriber is dropped, which ends its subscription.
    pub(crate) fn add(&mut self, subscriber: Subscriber) {
        self.subscribers
            .retain(|subscriber| !subscriber.sender.is_disconnected());
        if self.subscribers.len() < Events::SUBSCRIBERS_MAX {
            self.admit(subscriber);
        }
    }

    /// The engine's own, of which there is one, and not among those that are counted.
    pub(crate) fn admit(&mut self, subscriber: Subscriber) {
        self.subscribers.push(subscriber);
        self.count();
    }

    /// `event` is made only if somebody asked for its kind.
    #[inline]
    pub(crate) fn emit(&mut self, kind: EventKind, event: impl FnOnce() -> Event) {
        if self.wanted.has(kind) {
            self.send(kind, &event());
        }
    }

    /// A home has given a publish its place.
    #[inline]
    pub(crate) fn published(
        &mut self,
        topic: Option<&TopicKey>,
        content: &Content,
        position: Option<Position>,
    ) {
        if let Some(relay) = &self.relay {
            relay.publish(topic, content);
        }
        self.emit(EventKind::Published, || Event::Published {
            topic: topic.map(TopicName::of),
            position,
        });
    }

    #[cold]
    fn send(&mut self, kind: EventKind, event: &Event) {
        self.subscribers.retain(|subscriber| {
            if !subscriber.kinds.has(kind) {
                return true;
            }
            match subscriber.sender.try_send(event.clone()) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    subscriber.lost.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            }
        });
        self.count();
    }

    fn count(&mut self) {
        let kinds = self.subscribers.iter().map(|subscriber| subscriber.kinds.0);
        self.wanted = Kinds(kinds.fold(0, |all, kinds| all | kinds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emit(sink: &mut EventSink, shard: u16) {
        sink.emit(EventKind::Drained, || Event::Drained { shard });
    }

    #[test]
    fn nobody_is_sent_what_it_did_not_ask_for() {
        let mut sink = EventSink::default();
        sink.emit(EventKind::Drained, || unreachable!("nobody asked"));
        let (subscriber, events) = subscription(&[EventKind::Drained], 8);
        sink.add(subscriber);
        sink.emit(EventKind::Opened, || unreachable!("nobody asked"));
        let (other, others) = subscription(&[EventKind::Opened, EventKind::Joined], 8);
        sink.add(other);
        emit(&mut sink, 3);
        assert_eq!(events.try_recv(), Some(Event::Drained { shard: 3 }));
        assert_eq!((events.try_recv(), others.try_recv()), (None, None));
    }

    #[test]
    fn who_is_slow_loses_what_comes_then_and_knows_how_much() {
        let mut sink = EventSink::default();
        let (slow, slow_events) = subscription(&EventKind::ALL, 2);
        let (quick, quick_events) = subscription(&EventKind::ALL, 8);
        sink.add(slow);
        sink.add(quick);
        (0..5).for_each(|shard| emit(&mut sink, shard));
        let heard = |events: &Events| -> Vec<u16> {
            let event = |event| match event {
                Event::Drained { shard } => shard,
                other => panic!("{other:?}"),
            };
            std::iter::from_fn(|| events.try_recv().map(event)).collect()
        };
        assert_eq!((heard(&slow_events), slow_events.lost()), (vec![0, 1], 3));
        assert_eq!(
            (heard(&quick_events), quick_events.lost()),
            (vec![0, 1, 2, 3, 4], 0)
        );
        emit(&mut sink, 9);
        assert_eq!((heard(&slow_events), slow_events.lost()), (vec![9], 3));
    }

    #[test]
    fn who_is_gone_is_forgotten_and_who_is_too_many_is_told_so() {
        let mut sink = EventSink::default();
        let (gone, events) = subscription(&EventKind::ALL, 2);
        sink.add(gone);
        drop(events);
        emit(&mut sink, 0);
        assert_eq!((sink.subscribers.len(), sink.wanted), (0, Kinds(0)));
        let subscribe = |sink: &mut EventSink| {
            let (subscriber, events) = subscription(&[EventKind::Drained], 2);
            sink.add(subscriber);
            events
        };
        let mut all: Vec<Events> = (0..Events::SUBSCRIBERS_MAX)
            .map(|_| subscribe(&mut sink))
            .collect();
        assert_eq!(subscribe(&mut sink).recv(), None, "over at once");
        drop(all.pop());
        let last = subscribe(&mut sink);
        emit(&mut sink, 1);
        assert_eq!(last.recv(), Some(Event::Drained { shard: 1 }));
    }

    #[test]
    fn each_kind_is_its_own() {
        let all = Kinds::of(&EventKind::ALL);
        assert_eq!(all.0.count_ones() as usize, EventKind::ALL.len());
        assert!(EventKind::ALL.iter().all(|kind| all.has(*kind)));
    }
}
