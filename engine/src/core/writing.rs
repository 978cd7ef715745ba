//! How bytes come to leave for one connection: every frame for it alone is encoded here, as a plain
//! frame first. In place it becomes a compressed frame or an event where the connection takes that.
//! Called by whoever sends: contexts, messages, control frames, endings.

use super::Core;
use super::at_hand::AtHand;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use shardcast_protocol::events;
use shardcast_protocol::frame::{self, Header, Kind, OpCode};
use shardcast_protocol::reader::Assembly;

impl Core {
    /// Sends the connection the complete plain frame that `fill` appends, compressed or as an
    /// event where the connection takes that. The connection is live.
    pub(crate) fn write_frame(&mut self, ticket: Ticket, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.outgoing.scratch_bytes();
        fill(self.outgoing.scratch());
        let connection = self.connections.at(ticket.slot);
        let appended = if connection.flags.has(Flags::SENT_APART) {
            self.send_apart(ticket, start)
        } else if (self.outgoing).attach_scratch(ticket, &mut connection.transmit, start) {
            Some(self.outgoing.scratch_bytes() - start)
        } else {
            self.append_behind(ticket, start)
        };
        if let Some(bytes) = appended {
            self.count_out(1, bytes);
        }
    }

    /// The complete plain frame that stands in the scratch from `start` on leaves for a connection
    /// that is not sent it as it stands, or not at once.
    #[inline(never)]
    fn send_apart(&mut self, ticket: Ticket, start: usize) -> Option<usize> {
        if self.connections.at(ticket.slot).flags.has(Flags::REWRITTEN) {
            self.rewrite_scratch(ticket, start);
        }
        self.append(ticket, start)
    }

    /// Sends the connection, which is open, one message of a plain payload.
    #[inline(always)] // Once per reply.
    pub(crate) fn write_message(&mut self, ticket: Ticket, kind: Kind, payload: &[u8]) {
        if payload.len() >= Assembly::LARGE_BYTES && self.write_part(ticket, kind, payload) {
            return;
        }
        self.write_frame(ticket, |out| frame::write_frame(out, kind.into(), payload));
    }

    /// The same for a part of the message at hand: it leaves from where it stands. False: it is
    /// none, or the connection takes no plain frames just now.
    #[cold]
    fn write_part(&mut self, ticket: Ticket, kind: Kind, payload: &[u8]) -> bool {
        let whole = match &self.message {
            AtHand::None => return false,
            AtHand::Own(message) => message,
            AtHand::Leased { lease, .. } => (**lease).as_ref(),
        };
        let (whole, part) = (whole.as_ptr_range(), payload.as_ptr_range());
        if part.start < whole.start || part.end > whole.end {
            return false;
        }
        let (from, len) = (part.start as usize - whole.start as usize, payload.len());
        let connection = self.connections.at(ticket.slot);
        let (flags, at) = (connection.flags, &mut connection.transmit);
        if flags.has(Flags::REWRITTEN)
            || flags.has(Flags::BACKLOG)
            || !self.outgoing.has_room(ticket, *at, len)
        {
            return false;
        }
        let header = Header::server(kind.into(), len);
        let bytes = header.len() + len;
        let attached = match &self.message {
            AtHand::Leased {
                lease,
                kind: its,
                payload,
            } if *its == kind && *payload == (from..from + len) => {
                let from = from - header.len();
                self.outgoing.attach_lease(ticket, at, lease, from, bytes)
            }
            AtHand::Leased { lease, .. } => {
                self.outgoing.attach_bytes(ticket, at, &header)
                    && self.outgoing.attach_lease(ticket, at, lease, from, len)
            }
            AtHand::Own(message) => {
                let part = message.slice(from..from + len);
                self.outgoing.attach_bytes(ticket, at, &header)
                    && self.outgoing.attach_own(ticket, at, part)
            }
            AtHand::None => false,
        };
        debug_assert!(attached, "there is room");
        if flags.has(Flags::TLS) {
            self.outgoing.expect_encryption(bytes);
        }
        self.count_out(1, bytes);
        true
    }

    #[cold]
    fn rewrite_scratch(&mut self, ticket: Ticket, start: usize) {
        let mut scratch = std::mem::take(self.outgoing.scratch());
        self.rewrite(ticket, &mut scratch, start);
        *self.outgoing.scratch() = scratch;
    }

    /// Sends the connection the bytes that `fill` appends, as they are: a complete HTTP answer.
    /// The connection is live.
    pub(crate) fn write(&mut self, ticket: Ticket, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.outgoing.scratch_bytes();
        fill(self.outgoing.scratch());
        if let Some(bytes) = self.append(ticket, start) {
            self.counters.answers_out.add(1);
            self.counters.bytes_out.add(bytes as u64);
        }
    }

    /// The connection's last frame: limits do not hold it back.
    pub(super) fn write_last(&mut self, ticket: Ticket, fill: impl FnOnce(&mut Vec<u8>)) {
        let flags = self.connections.at(ticket.slot).flags;
        if !flags.has(Flags::BACKLOG) {
            self.write_frame(ticket, fill);
            return;
        }
        let mut bytes = Vec::new();
        fill(&mut bytes);
        if flags.has(Flags::REWRITTEN) {
            self.rewrite(ticket, &mut bytes, 0);
        }
        self.count_out(1, bytes.len());
        self.counters.outbox_bytes.add(bytes.len() as u64);
        let connection = self.connections.at(ticket.slot);
        let encryption = connection.flags.encryption();
        connection
            .cold()
            .outbox
            .force(Bytes::from(bytes), encryption);
        self.pending_work.kick.push(ticket);
    }

    /// Appends complete plain frames one by one, each in the encoding that the connection takes,
    /// while it is open. How many found room.
    pub(crate) fn append_frames(&mut self, ticket: Ticket, frames: &[u8]) -> u64 {
        let (mut rest, mut appended) = (frames, 0);
        while !rest.is_empty() && self.connections.phase(ticket) == Phase::Open {
            let (frame, behind) = rest.split_at(frame::written(rest).1.end);
            self.write_frame(ticket, |out| out.extend_from_slice(frame));
            appended += u64::from(self.connections.phase(ticket) == Phase::Open);
            rest = behind;
        }
        appended
    }

    /// Answers a ping, or sends one.
    pub(crate) fn control(&mut self, ticket: Ticket, opcode: OpCode, payload: &[u8]) {
        self.write_frame(ticket, |out| frame::write_frame(out, opcode, payload));
    }

    pub(crate) fn count_out(&self, frames: u64, bytes: usize) {
        self.counters.frames_out.add(frames);
        self.counters.bytes_out.add(bytes as u64);
    }

    /// What stands in the scratch from `start` on leaves for the connection: how many bytes that
    /// is, if they found room.
    fn append(&mut self, ticket: Ticket, start: usize) -> Option<usize> {
        let bytes = self.outgoing.scratch_bytes() - start;
        let connection = self.connections.at(ticket.slot);
        if !connection.flags.has(Flags::BACKLOG)
            && self
                .outgoing
                .attach_scratch(ticket, &mut connection.transmit, start)
        {
            if connection.flags.has(Flags::TLS) {
                self.outgoing.expect_encryption(bytes);
            }
            return Some(bytes);
        }
        self.append_behind(ticket, start)
    }

    /// The same where there is a backlog, or the transmit is as long as it may be.
    #[cold]
    fn append_behind(&mut self, ticket: Ticket, start: usize) -> Option<usize> {
        let waiting = self.outgoing.detach_scratch(start);
        let bytes = waiting.len();
        self.queue(ticket, waiting).then_some(bytes)
    }

    /// Rewrites the complete plain frame that stands in `out` from `start` on: compressed, or as
    /// an event. Rare: only connections with a flag of [`Flags::REWRITTEN`] come here.
    #[cold]
    fn rewrite(&mut self, ticket: Ticket, out: &mut Vec<u8>, start: usize) {
        let flags = self.connections.at(ticket.slot).flags;
        if flags.has(Flags::DEFLATES) {
            if let Some(compressing) = &mut self.compressing {
                compressing.deflate_frame(ticket.slot, out, start, &self.counters);
            }
        } else if flags.has(Flags::STREAM) {
            let frames = out.split_off(start);
            events::write_frames(out, &frames, flags.framing());
        }
    }
}
