//! Tracked sends that are not finished: what of each is left, and which may get further now.
//!
//! Invariant: each is due, or waits for the kernel to say that there is room, or pauses, since the
//! kernel does not say when it has memory again.

use crate::driver::boundary::Millis;
use crate::types::shrink::shrink_map;
use crate::types::ticket::Ticket;
use bytes::{Buf, Bytes};
use foldhash::quality::RandomState;
use std::collections::{HashMap, VecDeque};

/// At most one tracked send per slot.
#[derive(Debug, Default)]
pub(super) struct UnfinishedSends {
    pub(super) under_way: HashMap<u32, UnfinishedSend, RandomState>,
    /// Begun, or with room again, and not tried since.
    pub(super) due: Vec<Ticket>,
    /// The kernel had no memory for them.
    paused: Vec<Ticket>,
    /// When those are tried again.
    retry_at: Millis,
}

/// After a send for which the kernel had no memory, in milliseconds.
const PAUSE_MS: Millis = 10;

#[derive(Debug)]
pub(super) struct UnfinishedSend {
    pub(super) rest: VecDeque<Bytes>,
    pub(super) sent: usize,
    /// It stands among those that pause.
    is_paused: bool,
}

impl UnfinishedSends {
    pub(super) fn start(&mut self, ticket: Ticket, segments: &[Bytes]) {
        let rest = segments.iter().cloned().collect();
        let begun = UnfinishedSend {
            rest,
            sent: 0,
            is_paused: false,
        };
        let before = self.under_way.insert(ticket.slot, begun);
        assert!(before.is_none(), "one tracked send at a time");
        self.due.push(ticket);
    }

    /// There is room again.
    pub(super) fn resume(&mut self, ticket: Ticket) {
        self.due.push(ticket);
    }

    /// The kernel has no memory for it now.
    pub(super) fn pause(&mut self, ticket: Ticket, now: Millis) {
        let Some(send) = self.under_way.get_mut(&ticket.slot) else {
            return;
        };
        if std::mem::replace(&mut send.is_paused, true) {
            return;
        }
        if self.paused.is_empty() {
            self.retry_at = now + PAUSE_MS;
        }
        self.paused.push(ticket);
    }

    /// Those that have paused for long enough are due.
    pub(super) fn end_pause(&mut self, now: Millis) {
        if self.paused.is_empty() || now < self.retry_at {
            return;
        }
        for ticket in self.paused.drain(..) {
            if let Some(send) = self.under_way.get_mut(&ticket.slot) {
                send.is_paused = false;
            }
            self.due.push(ticket);
        }
    }

    /// When those that pause are tried again, if any do.
    pub(super) fn pauses_until(&self) -> Option<Millis> {
        (!self.paused.is_empty()).then_some(self.retry_at)
    }

    /// It will not be finished.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.under_way.remove(&ticket.slot);
    }

    pub(super) fn release_memory(&mut self) {
        shrink_map(&mut self.under_way);
        self.due.shrink_to_fit();
        self.paused.shrink_to_fit();
    }
}

impl UnfinishedSend {
    pub(super) fn advance(&mut self, mut count: usize) {
        self.sent += count;
        while let Some(first) = self.rest.front_mut() {
            let taken = count.min(first.len());
            first.advance(taken);
            count -= taken;
            if !first.is_empty() {
                return;
            }
            self.rest.pop_front();
        }
    }
}
