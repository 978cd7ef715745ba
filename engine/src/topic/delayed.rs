//! Deliveries that came for a set of recipients that is being served: they wait until everybody in
//! it was, in the order in which they came, and those for other sets of recipients go on meanwhile.
//!
//! Invariant: a set of recipients has a queue only while its batch is
//! [`crate::topic::batch::Turn::UnderWay`] or [`crate::topic::batch::Turn::Next`], and no queue is
//! empty. Used by `core` and by the shard's mail.

use crate::message::delivery::Delivery;
use crate::topic::batch::Recipients;
use crate::topic::congestion::{Bucket, Congestion};
use crate::types::shrink::shrink_map;
use foldhash::quality::RandomState;
use std::collections::{HashMap, VecDeque};

/// The queues of one shard.
#[derive(Debug)]
pub(crate) struct Delayed {
    queues: HashMap<Recipients, Queue, RandomState>,
    /// Recipients that were served and have a queue, each once, in the order in which they were
    /// served.
    ready: VecDeque<Recipients>,
    deliveries: usize,
    bytes: usize,
    congestion: Congestion,
}

/// What waits for one set of recipients.
#[derive(Debug, Default)]
struct Queue {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    /// Where the topic is counted while it is congested.
    congested: Option<Bucket>,
}

impl Delayed {
    /// Messages that may wait in a shard. Full: no delivery is taken until a set of recipients was
    /// served, which takes no delivery.
    pub(crate) const DELIVERIES_MAX: usize = 4096;
    /// Bytes of the frames in them, besides the last one.
    pub(crate) const BYTES_MAX: usize = 16 << 20;
    /// Messages of one set of recipients that wait at the end of a tick, from which on it is
    /// congested.
    const CONGESTED_DELIVERIES: usize = 256;
    /// The same in bytes.
    const CONGESTED_BYTES: usize = 64 << 10;

    pub(crate) fn new(congestion: Congestion) -> Delayed {
        Delayed {
            queues: HashMap::default(),
            ready: VecDeque::new(),
            deliveries: 0,
            bytes: 0,
            congestion,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.deliveries == 0
    }

    /// No delivery is to be taken.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.deliveries >= Self::DELIVERIES_MAX || self.bytes >= Self::BYTES_MAX
    }

    /// Something waits for a set of recipients that was served.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// It waits behind what waits already.
    pub(crate) fn push(&mut self, recipients: Recipients, delivery: Delivery) {
        let queue = self.count(recipients, delivery.frame_bytes());
        queue.deliveries.push_back(delivery);
    }

    /// It waits again: what came before it has to leave first.
    pub(crate) fn push_front(&mut self, recipients: Recipients, delivery: Delivery) {
        let queue = self.count(recipients, delivery.frame_bytes());
        queue.deliveries.push_front(delivery);
    }

    fn count(&mut self, recipients: Recipients, bytes: usize) -> &mut Queue {
        self.deliveries += 1;
        self.bytes += bytes;
        let queue = self.queues.entry(recipients).or_default();
        queue.bytes += bytes;
        queue
    }

    /// Everybody in the set of recipients was served. True: something waits for that, and is to be
    /// taken in its turn.
    pub(crate) fn served(&mut self, recipients: Recipients) -> bool {
        let waits = !self.is_empty() && self.queues.contains_key(&recipients);
        if waits {
            self.ready.push_back(recipients);
        }
        waits
    }

    /// The set of recipients whose turn it is.
    pub(crate) fn pop_ready(&mut self) -> Option<Recipients> {
        self.ready.pop_front()
    }

    /// It is still its turn.
    pub(crate) fn push_ready(&mut self, recipients: Recipients) {
        self.ready.push_front(recipients);
    }

    /// What has waited longest for the set of recipients.
    pub(crate) fn pop(&mut self, recipients: Recipients) -> Option<Delivery> {
        let queue = self.queues.get_mut(&recipients)?;
        let delivery = queue.deliveries.pop_front()?;
        let bytes = delivery.frame_bytes();
        queue.bytes -= bytes;
        if queue.deliveries.is_empty() {
            if let Some(bucket) = queue.congested {
                self.congestion.end(bucket);
            }
            self.queues.remove(&recipients);
        }
        self.deliveries -= 1;
        self.bytes -= bytes;
        Some(delivery)
    }

    /// At the end of a tick: sets of recipients for which much waits are congested until nothing
    /// does.
    pub(crate) fn mark_congested(&mut self) {
        for queue in self.queues.values_mut() {
            let much = queue.deliveries.len() >= Self::CONGESTED_DELIVERIES
                || queue.bytes >= Self::CONGESTED_BYTES;
            if much && queue.congested.is_none() {
                let topic = queue.deliveries.front().and_then(Delivery::recipients);
                let (topic, _) = topic.expect("only what has recipients waits for them");
                let bucket = self.congestion.bucket(topic);
                self.congestion.begin(bucket);
                queue.congested = Some(bucket);
            }
        }
    }

    /// Keeps no more than what waits.
    pub(crate) fn release_memory(&mut self) {
        shrink_map(&mut self.queues);
        self.ready.shrink_to_fit();
    }

    /// Panics unless the sums are right, and each queue belongs to a set of recipients that is
    /// busy.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check(&self, is_busy: impl Fn(Recipients) -> bool) {
        let (mut deliveries, mut bytes) = (0, 0);
        for (recipients, queue) in &self.queues {
            assert!(is_busy(*recipients), "{recipients:?}: waits for nothing");
            assert!(!queue.deliveries.is_empty());
            let frames = queue.deliveries.iter().map(Delivery::frame_bytes);
            assert_eq!(queue.bytes, frames.sum::<usize>());
            deliveries += queue.deliveries.len();
            bytes += queue.bytes;
        }
        assert_eq!((deliveries, bytes), (self.deliveries, self.bytes));
        assert!(
            self.ready
                .iter()
                .all(|recipients| self.queues.contains_key(recipients))
        );
    }
}

impl Drop for Delayed {
    /// A shard that ends is behind with nothing.
    fn drop(&mut self) {
        for bucket in self.queues.values().filter_map(|queue| queue.congested) {
            self.congestion.end(bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::delivery::Parcel;
    use crate::topic::key::{Topic, TopicKey};
    use crate::types::encoding::EncodingId;
    use crate::types::frame::Frame;
    use shardcast_protocol::frame::Kind;

    fn message(room: &str, payload: &[u8]) -> Delivery {
        Delivery::Message(Parcel {
            ordinal: 0,
            topic: Some(TopicKey::new(Topic::Room(room))),
            encoding: EncodingId::FIRST,
            frame: Frame::new(Kind::Text, payload),
            except: None,
            report: None,
            parcels: 1,
        })
    }

    fn payload_bytes(delivery: Option<Delivery>) -> Option<usize> {
        delivery.map(|delivery| delivery.frame_bytes() - 2)
    }

    #[test]
    fn each_set_of_recipients_has_its_own_order() {
        let mut delayed = Delayed::new(Congestion::new());
        let (a, b) = (Recipients::Topic(1), Recipients::Topic(2));
        assert!(!delayed.served(a));
        for (recipients, room, bytes) in [(a, "a", 1), (b, "b", 2), (a, "a", 3), (b, "b", 4)] {
            delayed.push(recipients, message(room, &vec![b'a'; bytes]));
        }
        assert!(!delayed.has_ready());
        assert!(delayed.served(b) && delayed.served(a));
        assert_eq!(delayed.pop_ready(), Some(b));
        assert_eq!(payload_bytes(delayed.pop(b)), Some(2));
        // Something else has to leave before it.
        let next = delayed.pop(b).unwrap();
        delayed.push_front(b, next);
        delayed.check(|_| true);
        assert_eq!(payload_bytes(delayed.pop(b)), Some(4));
        assert!(delayed.pop(b).is_none());
        assert_eq!(delayed.pop_ready(), Some(a));
        assert_eq!(payload_bytes(delayed.pop(a)), Some(1));
        delayed.push_ready(a);
        delayed.check(|recipients| recipients == a);
        assert_eq!(delayed.pop_ready(), Some(a));
        assert_eq!(payload_bytes(delayed.pop(a)), Some(3));
        assert!(delayed.is_empty() && !delayed.has_ready());
    }

    #[test]
    fn it_is_full_of_deliveries_or_of_bytes() {
        let mut delayed = Delayed::new(Congestion::new());
        for _ in 0..Delayed::DELIVERIES_MAX {
            assert!(!delayed.is_full());
            delayed.push(Recipients::Topic(1), message("a", b"a"));
        }
        assert!(delayed.is_full());
        let mut delayed = Delayed::new(Congestion::new());
        let large = message("a", &vec![b'a'; Delayed::BYTES_MAX / 4]);
        let Delivery::Message(large) = large else {
            unreachable!()
        };
        for _ in 0..4 {
            assert!(!delayed.is_full());
            let frame = large.frame.clone();
            let topic = large.topic.clone();
            let parcel = Parcel {
                topic,
                frame,
                ..large
            };
            delayed.push(Recipients::Topic(1), Delivery::Message(parcel));
        }
        assert!(delayed.is_full());
    }

    #[test]
    fn much_that_waits_is_congestion_until_nothing_waits() {
        for (deliveries, bytes, congested) in [
            (Delayed::CONGESTED_DELIVERIES - 1, 1, false),
            (Delayed::CONGESTED_DELIVERIES, 1, true),
            (2, Delayed::CONGESTED_BYTES / 4, false),
            (2, Delayed::CONGESTED_BYTES / 2, true),
        ] {
            let congestion = Congestion::new();
            let mut delayed = Delayed::new(congestion.clone());
            for _ in 0..deliveries {
                delayed.push(Recipients::Topic(1), message("a", &vec![b'a'; bytes]));
            }
            delayed.push(Recipients::Topic(2), message("b", b"b"));
            assert!(congestion.is_none(), "only the end of a tick tells");
            delayed.mark_congested();
            delayed.mark_congested();
            let what = format!("{deliveries} of {bytes} bytes");
            assert_eq!(!congestion.is_none(), congested, "{what}");
            let bucket = congestion.bucket(Some(Topic::Room("a")));
            assert_eq!(congestion.has(bucket), congested, "{what}");
            for _ in 1..deliveries {
                delayed.pop(Recipients::Topic(1));
                assert_eq!(congestion.has(bucket), congested, "{what}");
            }
            delayed.pop(Recipients::Topic(1));
            assert!(congestion.is_none(), "{what}");
            delayed.check(|recipients| recipients == Recipients::Topic(2));
        }
        let congestion = Congestion::new();
        let mut delayed = Delayed::new(congestion.clone());
        delayed.push(
            Recipients::Topic(1),
            message("a", &vec![b'a'; Delayed::CONGESTED_BYTES]),
        );
        delayed.mark_congested();
        assert!(!congestion.is_none());
        drop(delayed);
        assert!(congestion.is_none());
    }
}
