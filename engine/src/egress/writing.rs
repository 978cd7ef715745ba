//! How bytes come to leave for one connection: every frame for it alone is encoded here, as a plain
//! frame first. In place it becomes a compressed frame or an event where the connection takes that.
//! Called through the core by whoever sends: contexts, messages, control frames, endings.

use super::Egress;
use crate::connection::Connections;
use crate::connection::outbox::OutboxFull;
use crate::connection::slot::Flags;
use crate::egress::at_hand::AtHand;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use shardcast_protocol::events;
use shardcast_protocol::frame::{self, Header, Kind};
use shardcast_protocol::reader::Assembly;

impl Egress {
    /// Sends the connection the complete plain frame that `fill` appends, compressed or as an
    /// event where the connection takes that. The connection is live.
    #[inline(always)] // Once per reply.
    pub(crate) fn write_frame(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), OutboxFull> {
        let start = self.outgoing.scratch_bytes();
        fill(self.outgoing.scratch());
        let connection = connections.slots.at(ticket.slot);
        let bytes = if connection.flags.has(Flags::SENT_APART) {
            self.send_apart(connections, ticket, start)?
        } else if (self.outgoing).attach_scratch(ticket, &mut connection.transmit, start) {
            self.outgoing.scratch_bytes() - start
        } else {
            self.append_behind(connections, ticket, start)?
        };
        self.count_out(1, bytes);
        Ok(())
    }

    /// The complete plain frame that stands in the scratch from `start` on leaves for a connection
    /// that is not sent it as it stands, or not at once.
    #[inline(never)]
    fn send_apart(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        start: usize,
    ) -> Result<usize, OutboxFull> {
        let flags = connections.slots.at(ticket.slot).flags;
        if flags.has(Flags::REWRITTEN) {
            self.rewrite_scratch(ticket, flags, start);
        }
        self.append(connections, ticket, start)
    }

    /// Sends the connection, which is open, one message of a plain payload.
    #[inline(always)] // Once per reply.
    pub(crate) fn write_message(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), OutboxFull> {
        if payload.len() >= Assembly::LARGE_BYTES
            && self.write_part(connections, ticket, kind, payload)
        {
            return Ok(());
        }
        self.write_frame(connections, ticket, |out| {
            frame::write_frame(out, kind.into(), payload)
        })
    }

    /// The same for a part of the message at hand: it leaves from where it stands. False: it is
    /// none, or the connection takes no plain frames just now.
    #[cold]
    fn write_part(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        kind: Kind,
        payload: &[u8],
    ) -> bool {
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
        let connection = connections.slots.at(ticket.slot);
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
    fn rewrite_scratch(&mut self, ticket: Ticket, flags: Flags, start: usize) {
        let mut scratch = std::mem::take(self.outgoing.scratch());
        self.rewrite(ticket, flags, &mut scratch, start);
        *self.outgoing.scratch() = scratch;
    }

    /// Sends the connection the bytes that `fill` appends, as they are: a complete HTTP answer.
    /// The connection is live.
    pub(crate) fn write(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), OutboxFull> {
        let start = self.outgoing.scratch_bytes();
        fill(self.outgoing.scratch());
        let bytes = self.append(connections, ticket, start)?;
        self.counters.answers_out.add(1);
        self.counters.bytes_out.add(bytes as u64);
        Ok(())
    }

    /// The connection's last frame: limits do not hold it back where something waits.
    pub(crate) fn write_last(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), OutboxFull> {
        let flags = connections.slots.at(ticket.slot).flags;
        if !flags.has(Flags::BACKLOG) {
            return self.write_frame(connections, ticket, fill);
        }
        let mut bytes = Vec::new();
        fill(&mut bytes);
        if flags.has(Flags::REWRITTEN) {
            self.rewrite(ticket, flags, &mut bytes, 0);
        }
        self.count_out(1, bytes.len());
        let encryption = flags.encryption();
        self.force(connections, ticket, Bytes::from(bytes), encryption);
        Ok(())
    }

    /// What stands in the scratch from `start` on leaves for the connection. Returns how many bytes
    /// that is.
    fn append(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        start: usize,
    ) -> Result<usize, OutboxFull> {
        let bytes = self.outgoing.scratch_bytes() - start;
        let connection = connections.slots.at(ticket.slot);
        if !connection.flags.has(Flags::BACKLOG)
            && self
                .outgoing
                .attach_scratch(ticket, &mut connection.transmit, start)
        {
            if connection.flags.has(Flags::TLS) {
                self.outgoing.expect_encryption(bytes);
            }
            return Ok(bytes);
        }
        self.append_behind(connections, ticket, start)
    }

    /// The same where there is a backlog, or the transmit is as long as it may be.
    #[cold]
    fn append_behind(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
        start: usize,
    ) -> Result<usize, OutboxFull> {
        let waiting = self.held.track(self.outgoing.detach_scratch(start));
        let bytes = waiting.len();
        self.queue(connections, ticket, waiting)?;
        Ok(bytes)
    }

    /// Rewrites the complete plain frame that stands in `out` from `start` on: compressed, or in
    /// the connection's form. Rare: only connections with a flag of [`Flags::REWRITTEN`] come here.
    #[cold]
    fn rewrite(&mut self, ticket: Ticket, flags: Flags, out: &mut Vec<u8>, start: usize) {
        if flags.has(Flags::DEFLATES) {
            if let Some(compressing) = &mut self.compressing {
                compressing.deflate_frame(ticket.slot, out, start, &self.counters);
            }
        } else {
            let frames = out.split_off(start);
            let form = self.forms.of(ticket.slot);
            events::write_frames(out, &frames, form, flags.framing());
        }
    }
}
