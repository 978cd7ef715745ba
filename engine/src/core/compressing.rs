//! Compression of connections: what each agreed on, and the windows that it has of its own.

use crate::connection::slot::Flags;
use crate::core::Core;
use crate::egress::deflate::{Inflation, Own, SHARED_WINDOW_BITS};
use crate::types::ticket::Ticket;
use shardcast_protocol::deflate::{Agreement, InflateLimits, Takeover};
use shardcast_protocol::frame::{self, Header};

impl Core {
    /// The connection agreed on compression, at the handshake.
    pub(super) fn agree(&mut self, ticket: Ticket, agreement: Agreement) {
        let Some(compressing) = &mut self.compressing else {
            return;
        };
        let flags = &mut self.connections.at(ticket.slot).flags;
        flags.set(Flags::DEFLATES);
        let shares = agreement.server_takeover == Takeover::Never
            && agreement.client_takeover == Takeover::Never
            && agreement.server_window_bits() == SHARED_WINDOW_BITS;
        if agreement.client_takeover == Takeover::Never && !agreement.client_offered_no_takeover {
            flags.set(Flags::MAY_REFER);
        }
        if shares {
            self.admission.count_sharer();
        } else {
            flags.set(Flags::OWN_WINDOW);
            let own = Own {
                agreement,
                deflate: None,
                inflate: None,
            };
            compressing.own.insert(ticket.slot, own);
        }
    }

    /// The connection is gone, and its windows with it.
    pub(super) fn forget_agreement(&mut self, ticket: Ticket) {
        let flags = self.connections.at(ticket.slot).flags;
        if flags.has(Flags::MAY_REFER)
            && let Some(compressing) = &mut self.compressing
        {
            drop(compressing.take_window(ticket.slot));
            let bytes = compressing.windows_bytes as u64;
            self.counters.windows_bytes.set(bytes);
        }
        if flags.has(Flags::OWN_WINDOW) {
            if let Some(compressing) = &mut self.compressing {
                compressing.own.remove(&ticket.slot);
            }
        } else if flags.has(Flags::DEFLATES) {
            self.admission.discount_sharer();
        }
    }

    /// Compresses the data frame that stands in `out` from `start` on, if that is worth it.
    pub(super) fn deflate(&mut self, ticket: Ticket, out: &mut Vec<u8>, start: usize) {
        let Some(compressing) = &mut self.compressing else {
            return;
        };
        let (opcode, payload) = frame::written(&out[start..]);
        if opcode.is_control() {
            return;
        }
        let plain = &out[start + payload.start..start + payload.end];
        let Some(deflated) = compressing.deflate(ticket.slot, plain) else {
            return;
        };
        self.counters.deflated_messages.add(1);
        self.counters.deflated_bytes_in.add(plain.len() as u64);
        self.counters.deflated_bytes_out.add(deflated.len() as u64);
        let header = Header::server(opcode, deflated.len()).compressed();
        out.truncate(start);
        out.extend_from_slice(&header);
        out.extend_from_slice(deflated);
    }

    /// What reads a connection's compressed messages, until [`Core::put_inflater`].
    pub(crate) fn take_inflater(&mut self, ticket: Ticket) -> Option<Inflation> {
        let connection = self.connections.at(ticket.slot);
        let message_bytes_max = self.limits.message_bytes_max[usize::from(connection.listener)];
        let flags = connection.flags;
        let compressing = self.compressing.as_mut()?;
        let own = if flags.has(Flags::MAY_REFER) {
            Some(compressing.take_window(ticket.slot))
        } else if flags.has(Flags::OWN_WINDOW) {
            let own = compressing.own.get_mut(&ticket.slot);
            own.filter(|own| own.agreement.client_takeover == Takeover::Allowed)
                .map(|own| own.inflate.take().unwrap_or_default())
        } else {
            None
        };
        Some(Inflation {
            inflater: compressing.inflater.take().unwrap_or_default(),
            own,
            limits: InflateLimits {
                message_bytes_max,
                ratio_max: compressing.options.ratio_max,
            },
        })
    }

    /// Counts what was inflated, and keeps the windows for the next frame.
    pub(crate) fn put_inflater(&mut self, ticket: Ticket, mut inflation: Inflation) {
        let tally = inflation.inflater.tally();
        self.counters.inflated_messages.add(tally.messages);
        self.counters.inflated_bytes_in.add(tally.bytes_in);
        self.counters.inflated_bytes_out.add(tally.bytes_out);
        let Some(compressing) = &mut self.compressing else {
            return;
        };
        compressing.inflater = Some(inflation.inflater);
        let Some(stream) = inflation.own else {
            return;
        };
        let flags = &mut self.connections.at(ticket.slot).flags;
        if !flags.has(Flags::MAY_REFER) {
            if let Some(own) = compressing.own.get_mut(&ticket.slot) {
                own.inflate = Some(stream);
            }
        } else if stream.is_over() {
            flags.clear(Flags::MAY_REFER);
        } else if !stream.is_new() {
            compressing.put_window(ticket.slot, stream);
        }
        let bytes = compressing.windows_bytes as u64;
        self.counters.windows_bytes.set(bytes);
    }
}
