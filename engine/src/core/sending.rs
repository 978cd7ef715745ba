//! What is sent to one connection alone. Whoever has no room for it any more is too slow, and is
//! evicted here. Called by contexts, by the tick, and by endings.

use super::Core;
use crate::connection::outbox::{Encryption, OutboxFull};
use crate::connection::phase::Phase;
use crate::driver::boundary::ShortSend;
use crate::egress::backlog::Backlog;
use crate::egress::tls::sessions::Encrypted;
use crate::topic::publication::Content;
use crate::types::ticket::Ticket;
use shardcast_protocol::frame::{self, Kind, OpCode};

impl Core {
    /// Sends the connection the complete plain frame that `fill` appends, in the encoding of bytes
    /// that it takes. The connection is live.
    #[inline(always)] // Once per reply.
    pub(crate) fn write_frame(&mut self, ticket: Ticket, fill: impl FnOnce(&mut Vec<u8>)) {
        let written = (self.egress).write_frame(&mut self.connections, ticket, fill);
        self.evict_if_full(ticket, written);
    }

    /// Sends the connection, which is open, one message of a plain payload.
    #[inline(always)] // Once per reply.
    pub(crate) fn write_message(&mut self, ticket: Ticket, kind: Kind, payload: &[u8]) {
        let connections = &mut self.connections;
        let written = (self.egress).write_message(connections, ticket, kind, payload);
        self.evict_if_full(ticket, written);
    }

    /// Sends the connection the bytes that `fill` appends, as they are: a complete HTTP answer.
    /// The connection is live.
    pub(crate) fn write(&mut self, ticket: Ticket, fill: impl FnOnce(&mut Vec<u8>)) {
        let written = (self.egress).write(&mut self.connections, ticket, fill);
        self.evict_if_full(ticket, written);
    }

    /// The connection's last frame.
    pub(super) fn write_last(&mut self, ticket: Ticket, fill: impl FnOnce(&mut Vec<u8>)) {
        let written = (self.egress).write_last(&mut self.connections, ticket, fill);
        self.evict_if_full(ticket, written);
    }

    /// As owner: sends something to one connection, in its encoding.
    pub(crate) fn send_one(&mut self, to: Ticket, content: &Content) {
        if self.connections.slots.phase(to) != Phase::Open {
            self.counters.dropped_closing.add(1);
            return;
        }
        let encoding = self.connections.slots.encoding(to.slot);
        let (_, outlet) = self.home();
        if let Some(frame) = outlet.encoder.encode(content, encoding, None, None) {
            self.write_frame(to, |out| out.extend_from_slice(frame.bytes()));
        }
    }

    /// Answers a ping, or sends one.
    pub(crate) fn control(&mut self, ticket: Ticket, opcode: OpCode, payload: &[u8]) {
        self.write_frame(ticket, |out| frame::write_frame(out, opcode, payload));
    }

    /// Appends complete plain frames one by one, each in the encoding that the connection takes,
    /// while it is open. How many found room.
    pub(super) fn append_frames(&mut self, ticket: Ticket, frames: &[u8]) -> u64 {
        let (mut rest, mut appended) = (frames, 0);
        while !rest.is_empty() && self.connections.slots.phase(ticket) == Phase::Open {
            let (frame, behind) = rest.split_at(frame::written(rest).1.end);
            self.write_frame(ticket, |out| out.extend_from_slice(frame));
            appended += u64::from(self.connections.slots.phase(ticket) == Phase::Open);
            rest = behind;
        }
        appended
    }

    #[inline]
    pub(super) fn evict_if_full(&mut self, ticket: Ticket, written: Result<(), OutboxFull>) {
        if written.is_err() {
            self.evict_slow(ticket);
        }
    }

    /// A transmit did not leave completely: its rest waits in the outbox.
    pub(crate) fn queue_rest(&mut self, short_send: ShortSend) {
        let ticket = short_send.ticket;
        if short_send.failed {
            self.retire(ticket);
            return;
        }
        let phase = self.connections.slots.phase(ticket);
        if matches!(phase, Phase::Free | Phase::Retiring) {
            return;
        }
        self.counters.sends_short.add(1);
        // What a turn has handed over is encrypted.
        let (connections, skip) = (&mut self.connections, short_send.count);
        (self.egress).begin_backlog(connections, ticket, skip, Encryption::Done);
    }

    /// A tracked send ended.
    pub(crate) fn sent(&mut self, ticket: Ticket, count: usize, failed: bool) {
        let backlog = self.egress.sent(&mut self.connections, ticket, count);
        if backlog == Backlog::Gone {
            return;
        }
        if backlog == Backlog::Empty && !self.topics.cursors.is_empty() {
            self.topics.cursors.outbox_emptied(ticket);
        }
        if failed {
            self.retire(ticket);
        }
    }

    /// Before the driver gets the transmits: those over TLS become records.
    #[inline]
    pub(crate) fn encrypt_transmits(&mut self) {
        if self.egress.tls.used {
            let broken = self.egress.encrypt_transmits(&mut self.connections);
            broken.into_iter().for_each(|ticket| self.retire(ticket));
        }
    }

    /// Before a tracked send: what of the outbox it takes is encrypted, if this tick may.
    pub(crate) fn encrypt_outbox(&mut self, ticket: Ticket) -> Encrypted {
        let encrypted = self.egress.encrypt_outbox(&mut self.connections, ticket);
        encrypted.unwrap_or_else(|_| {
            self.retire(ticket);
            Encrypted::Done
        })
    }
}
