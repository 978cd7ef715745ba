//! What a connection has not taken yet: its outbox from the first byte that waits to the last.
//!
//! Invariant: a connection with a backlog is sent everything through its outbox, and exactly one
//! tracked send works on that. Called by whoever appends, and by the tick as sends end.

use super::Egress;
use crate::connection::Connections;
use crate::connection::outbox::{Encryption, Outbox, OutboxFull};
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::egress::outgoing::Shared;
use crate::types::ticket::Ticket;
use bytes::Bytes;

/// What has become of a backlog when a send of it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// The connection has gone before.
    Gone,
    /// Something waits still.
    Waits,
    /// The connection has taken everything.
    Empty,
}

impl Egress {
    /// Appends bytes that others are sent, too: complete frames.
    pub(crate) fn append_shared(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        shared: Shared,
        start: usize,
        end: usize,
    ) -> Result<(), OutboxFull> {
        let connection = connections.slots.at(ticket.slot);
        if !connection.flags.has(Flags::BACKLOG)
            && self
                .outgoing
                .attach_shared(ticket, &mut connection.transmit, shared, start, end)
        {
            if connection.flags.has(Flags::TLS) {
                self.outgoing.expect_encryption(end - start);
            }
            return Ok(());
        }
        let piece = (self.outgoing).piece_of(shared, start, end, &self.held);
        self.queue(connections, ticket, piece)
    }

    /// Puts bytes, which stand on the account, behind what already waits.
    pub(super) fn queue(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        bytes: Bytes,
    ) -> Result<(), OutboxFull> {
        let encryption = connections.slots.at(ticket.slot).flags.encryption();
        self.begin_backlog(connections, ticket, 0, encryption);
        let outbox = &mut connections.slots.at(ticket.slot).cold().outbox;
        let len = bytes.len() as u64;
        outbox.push(bytes, encryption, self.outbox)?;
        self.counters.outbox_bytes.add(len);
        Ok(())
    }

    /// Puts bytes behind what already waits, however much that is.
    pub(super) fn force(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        bytes: Bytes,
        encryption: Encryption,
    ) {
        self.counters.outbox_bytes.add(bytes.len() as u64);
        let bytes = self.held.track(bytes);
        let cold = connections.slots.at(ticket.slot).cold();
        cold.outbox.force(bytes, encryption);
        connections.pending_work.kick.push(ticket);
    }

    /// From here everything for this connection goes through its outbox. It begins with what is
    /// pending for the connection in this turn, behind the first `skip` bytes, whatever the
    /// outbox's limits are: that was accepted already.
    pub(crate) fn begin_backlog(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        skip: usize,
        encryption: Encryption,
    ) {
        let connection = connections.slots.at(ticket.slot);
        if connection.flags.has(Flags::BACKLOG) {
            return;
        }
        connection.flags.set(Flags::BACKLOG);
        self.counters.outboxes.add(1);
        let at = connection.transmit;
        let mut rest = Vec::new();
        let held = &self.held;
        self.outgoing.remainder(ticket, at, skip, held, &mut rest);
        let cold = connection.cold();
        cold.outbox.hold_on(held);
        cold.moved_at = connections.now;
        for bytes in rest {
            self.counters.outbox_bytes.add(bytes.len() as u64);
            cold.outbox.force(bytes, encryption);
        }
        if connection.phase == Phase::Open {
            let at = connections.now + connections.limits.progress_ms;
            connections.timers.wheel.advance(ticket.slot, at);
        }
        connections.pending_work.kick.push(ticket);
    }

    /// A tracked send ended, with `count` bytes of it sent.
    pub(crate) fn sent(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        count: usize,
    ) -> Backlog {
        let Some(connection) = connections.slots.get(ticket) else {
            return Backlog::Gone;
        };
        if connection.phase == Phase::Retiring {
            return Backlog::Gone;
        }
        let cold = connection.cold();
        let took = connections.now.saturating_sub(cold.moved_at);
        self.counters.send_seconds.record(took * 1_000);
        cold.outbox.finish_send(count);
        self.counters.outbox_bytes.sub(count as u64);
        if !cold.outbox.is_empty() {
            if count > 0 {
                cold.moved_at = connections.now;
            }
            connections.pending_work.kick.push(ticket);
            return Backlog::Waits;
        }
        cold.outbox = Outbox::default();
        connection.flags.clear(Flags::BACKLOG);
        self.counters.outboxes.sub(1);
        connection.release_cold(&mut connections.spare);
        if matches!(connection.phase, Phase::Flushing | Phase::Lingering) {
            connections.pending_work.finish.push(ticket);
        }
        Backlog::Empty
    }
}
