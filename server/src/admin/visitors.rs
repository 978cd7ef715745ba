//! The connections of the admin port, and which of them is closed for the next one: however many
//! connect, a probe that sends its request is answered.
//!
//! Connections without a complete request and connections that read slowly have places of their
//! own: neither takes the other's. Used by the accept loop alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::{AbortHandle, Id};

/// Connections at once; probes and scrapers need a handful.
const VISITORS_MAX: usize = 64;
/// Connections without a complete request that are kept although others read their answers slowly:
/// to complete a head takes a round trip.
const ASKING_MIN: usize = VISITORS_MAX / 2;

/// In the order of their coming.
#[derive(Debug, Default)]
pub(super) struct Visitors(VecDeque<Visitor>);

#[derive(Debug)]
struct Visitor {
    answering: AbortHandle,
    asked: HeadRead,
}

/// Whether a visitor's request head is complete.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadRead(Arc<AtomicBool>);

impl HeadRead {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Visitors {
    /// Makes room for another connection: if all places are taken, one is closed. It is the oldest
    /// that has not sent its request, unless those are few; then it is the oldest that has.
    pub(super) fn make_room(&mut self) {
        if self.0.len() < VISITORS_MAX {
            return;
        }
        let asking = self.0.iter().filter(|visitor| !visitor.asked.get()).count();
        let goes_asked = asking <= ASKING_MIN;
        let longest = self
            .0
            .iter()
            .position(|visitor| visitor.asked.get() == goes_asked);
        if let Some(visitor) = self.0.remove(longest.unwrap_or_default()) {
            visitor.answering.abort();
        }
    }

    pub(super) fn enter(&mut self, answering: AbortHandle, asked: HeadRead) {
        self.0.push_back(Visitor { answering, asked });
    }

    /// Forgets a connection that was answered or gave up. One that was closed to make room is
    /// forgotten already.
    pub(super) fn leave(&mut self, id: Id) {
        self.0.retain(|visitor| visitor.answering.id() != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Visitors of whom `asked(number)` tells whether they have asked; the numbers of those who are
    /// left when `more` have come, who have not.
    fn left(asked: fn(usize) -> bool, more: usize) -> Vec<usize> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (mut visitors, mut ids) = (Visitors::default(), Vec::new());
        for number in 0..VISITORS_MAX + more {
            visitors.make_room();
            let has_asked = HeadRead::default();
            if number < VISITORS_MAX && asked(number) {
                has_asked.set();
            }
            let answering = runtime.spawn(std::future::pending::<()>()).abort_handle();
            ids.push(answering.id());
            visitors.enter(answering, has_asked);
            assert!(visitors.0.len() <= VISITORS_MAX);
        }
        let number = |visitor: &Visitor| ids.iter().position(|id| *id == visitor.answering.id());
        visitors.0.iter().filter_map(number).collect()
    }

    #[test]
    fn the_longest_makes_room_and_neither_sort_takes_the_others_places() {
        let range = |from: usize, to: usize| (from..to).collect::<Vec<_>>();
        // Nobody has asked.
        assert_eq!(left(|_| false, 3), range(3, VISITORS_MAX + 3));
        // All are slow readers: they go until half of the places are theirs, then the new ones go.
        assert_eq!(left(|_| true, 3), range(3, VISITORS_MAX + 3));
        let half = [range(33, VISITORS_MAX), range(97, 130)].concat();
        assert_eq!(left(|_| true, 66), half);
        // Few read slowly: they stay while the others come and go.
        let few = [vec![0, 1], range(3 + 2, VISITORS_MAX + 3)].concat();
        assert_eq!(left(|number| number < 2, 3), few);
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut visitors = Visitors::default();
        let answering = runtime.spawn(async {}).abort_handle();
        let id = answering.id();
        visitors.enter(answering, HeadRead::default());
        visitors.leave(id);
        visitors.leave(id);
        assert!(visitors.0.is_empty());
    }
}
