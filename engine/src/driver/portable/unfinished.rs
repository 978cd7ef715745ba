//! Tracked sends that are not finished: what of each is left, and which may get further now.

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
}

#[derive(Debug)]
pub(super) struct UnfinishedSend {
    pub(super) rest: VecDeque<Bytes>,
    pub(super) sent: usize,
}

impl UnfinishedSends {
    pub(super) fn start(&mut self, ticket: Ticket, segments: &[Bytes]) {
        let rest = segments.iter().cloned().collect();
        let before = self
            .under_way
            .insert(ticket.slot, UnfinishedSend { rest, sent: 0 });
        assert!(before.is_none(), "one tracked send at a time");
        self.due.push(ticket);
    }

    /// There is room again.
    pub(super) fn resume(&mut self, ticket: Ticket) {
        self.due.push(ticket);
    }

    /// It will not be finished.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.under_way.remove(&ticket.slot);
    }

    pub(super) fn release_memory(&mut self) {
        shrink_map(&mut self.under_way);
        self.due.shrink_to_fit();
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
