//! Where steps of traces are told, and the end of whoever exports them.
//!
//! Invariant: whoever tells never waits, and wakes nobody. What finds no room is dropped and
//! counted. Made by whoever starts an engine; written by shards and by the embedder.

use crate::types::span::TraceSpan;
use crossbeam_channel::{Receiver, Sender};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where steps of traces are told ([`crate::Config::traces`]). Clones are the same.
#[derive(Clone, Debug)]
pub struct TraceSink {
    sender: Sender<TraceSpan>,
    state: Arc<TraceState>,
}

/// The end of whoever exports them. It looks by itself: nobody is woken by a step.
#[derive(Debug)]
pub struct TraceReader {
    receiver: Receiver<TraceSpan>,
    state: Arc<TraceState>,
}

#[derive(Debug)]
struct TraceState {
    dropped: AtomicU64,
    /// From another beginning in each process.
    next_id: AtomicU64,
}

impl TraceSink {
    /// Both ends. At most so many steps wait.
    pub fn new(waiting_max: usize) -> (TraceSink, TraceReader) {
        let (sender, receiver) = crossbeam_channel::bounded(waiting_max.max(1));
        let state = Arc::new(TraceState {
            dropped: AtomicU64::new(0),
            next_id: AtomicU64::new(RandomState::new().build_hasher().finish()),
        });
        let sink = TraceSink {
            sender,
            state: state.clone(),
        };
        (sink, TraceReader { receiver, state })
    }

    /// An id for a step, which no other step of this process has.
    pub fn next_id(&self) -> u64 {
        let mut id = self.state.next_id.fetch_add(1, Ordering::Relaxed);
        // Neighbours look like strangers (splitmix64), for some tools sample by the id.
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (id ^ (id >> 31)).max(1)
    }

    /// Tells of a step that has ended; drops and counts it if as many wait as may.
    pub fn tell(&self, span: TraceSpan) {
        if self.sender.try_send(span).is_err() {
            self.count_dropped();
        }
    }

    pub(crate) fn count_dropped(&self) {
        self.state.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Steps that found no room so far.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }
}

/// The same sink.
impl PartialEq for TraceSink {
    fn eq(&self, other: &TraceSink) -> bool {
        self.sender.same_channel(&other.sender)
    }
}

impl Eq for TraceSink {}

impl TraceReader {
    /// The next step, if there is one by now.
    pub fn try_recv(&self) -> Option<TraceSpan> {
        self.receiver.try_recv().ok()
    }

    /// Steps that wait.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Steps that found no room so far.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::span::SpanKind;
    use std::time::Instant;

    #[test]
    fn what_finds_no_room_is_counted() {
        let (sink, reader) = TraceSink::new(2);
        let now = Instant::now();
        let mut ids = Vec::new();
        for _ in 0..5 {
            let id = sink.next_id();
            ids.push(id);
            sink.tell(TraceSpan {
                trace: 1,
                id,
                parent: None,
                name: "publish",
                kind: SpanKind::Server,
                begin: now,
                end: now,
                failure: None,
                attributes: Vec::new(),
            });
        }
        let read: Vec<u64> = std::iter::from_fn(|| reader.try_recv())
            .map(|span| span.id)
            .collect();
        assert_eq!(read, ids[..2]);
        assert_eq!((reader.dropped(), sink.dropped()), (3, 3));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 5);
    }
}
