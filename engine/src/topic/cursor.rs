//! Cursors: the members of this shard that read a topic's log instead of what is published,
//! because they go on from an earlier position, or were too slow.
//!
//! Invariant: a connection has a cursor among the subscribers of a topic exactly while its
//! membership there is behind ([`crate::connection::membership::MemberPlace`]); a cursor waits for
//! its connection's outbox, for its turn to ask, or for an answer. Used by `topic/catching_up.rs`.

use crate::topic::log::range::ReadMode;
use crate::types::few::Few;
use crate::types::shrink::shrink_map;
use crate::types::ticket::Ticket;
use foldhash::quality::RandomState;
use std::collections::{HashMap, VecDeque};

/// The cursors of one shard.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    /// Nearly every connection that reads slowly is in one topic.
    by_slot: HashMap<u32, Few<Cursor>, RandomState>,
    /// Those that may ask for more, in turn.
    ready: VecDeque<(Ticket, u32)>,
    count: usize,
}

/// Where one member of one topic stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    /// Index of the subscribers.
    pub(crate) subscribers: u32,
    pub(crate) epoch: u64,
    /// The ordinal of the first publication that it was not sent.
    pub(crate) next: u64,
    pub(crate) reading: ReadMode,
    pub(crate) state: CursorState,
}

/// What a cursor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorState {
    /// That the connection's outbox is empty.
    Outbox,
    /// That it may ask for more.
    Turn,
    /// The answer.
    Answer,
}

impl Cursors {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Some may ask for more.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A member becomes a cursor.
    pub(crate) fn insert(&mut self, ticket: Ticket, cursor: Cursor) {
        if cursor.state == CursorState::Turn {
            self.ready.push_back((ticket, cursor.subscribers));
        }
        self.by_slot.entry(ticket.slot).or_default().push(cursor);
        self.count += 1;
    }

    pub(crate) fn get_mut(&mut self, slot: u32, subscribers: u32) -> Option<&mut Cursor> {
        let mut cursors = self.by_slot.get_mut(&slot)?.iter_mut();
        cursors.find(|cursor| cursor.subscribers == subscribers)
    }

    /// The member is none any more, or reads what is published again.
    pub(crate) fn remove(&mut self, slot: u32, subscribers: u32) {
        let Some(cursors) = self.by_slot.get_mut(&slot) else {
            return;
        };
        let mut places = cursors.iter();
        let Some(at) = places.position(|cursor| cursor.subscribers == subscribers) else {
            return;
        };
        self.count -= 1;
        if cursors.len() == 1 {
            self.by_slot.remove(&slot);
        } else {
            cursors.remove(at);
        }
    }

    /// The connection's outbox is empty: its cursors may go on.
    pub(crate) fn outbox_emptied(&mut self, ticket: Ticket) {
        let Some(cursors) = self.by_slot.get_mut(&ticket.slot) else {
            return;
        };
        for cursor in cursors.iter_mut() {
            if cursor.state == CursorState::Outbox {
                cursor.state = CursorState::Turn;
                self.ready.push_back((ticket, cursor.subscribers));
            }
        }
    }

    /// The cursor goes on in its turn.
    pub(crate) fn push_ready(&mut self, ticket: Ticket, subscribers: u32) {
        self.ready.push_back((ticket, subscribers));
    }

    /// Whose turn it is. It may have gone since.
    pub(crate) fn pop_ready(&mut self) -> Option<(Ticket, u32)> {
        self.ready.pop_front()
    }

    /// Keeps no more than the cursors there are need.
    pub(crate) fn release_memory(&mut self) {
        shrink_map(&mut self.by_slot);
        self.ready.shrink_to_fit();
    }

    /// Every cursor with its slot.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Cursor)> {
        let slots = self.by_slot.iter();
        slots.flat_map(|(slot, cursors)| cursors.iter().map(|cursor| (*slot, cursor)))
    }

    /// Whether it stands among those that may ask.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn is_ready(&self, slot: u32, subscribers: u32) -> bool {
        let mut ready = self.ready.iter();
        ready.any(|(ticket, of)| ticket.slot == slot && *of == subscribers)
    }
}
