//! Large messages: what the application sends of one leaves from where it stands, whether that is
//! the receive buffer that it came in or memory of its own.
//!
//! A receive buffer that is answered from is lent to the transmits of one turn, and goes back when
//! the turn is over. Called by the intake and by `frames`.

use super::Shard;
use crate::application::Application;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::driver::boundary::Driver;
use crate::egress::at_hand::AtHand;
use crate::types::frame::Message;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use shardcast_protocol::frame::Kind;
use shardcast_protocol::reader::{self, Assembly, ProtocolError, ReadLimits};
use std::ops::Range;
use std::rc::Rc;

impl<A: Application, D: Driver> Shard<A, D> {
    /// A receive in which a large message may stand.
    #[inline(never)]
    pub(super) fn received_large(&mut self, ticket: Ticket, mut lease: D::Lease) {
        let Some((kind, payload)) = self.large_message(ticket, lease.as_mut()) else {
            self.take_bytes(ticket, lease.as_mut());
            return self.driver.give_back(lease);
        };
        self.begin_reading(ticket);
        let lease = Rc::new(lease);
        self.core.egress.message = AtHand::Leased {
            lease: lease.clone(),
            kind,
            payload: payload.clone(),
        };
        let bytes = (*lease).as_ref();
        self.at_hand(ticket, kind, &bytes[payload.clone()]);
        let end = payload.end;
        match Rc::try_unwrap(lease) {
            Ok(mut lease) => {
                self.take_behind(ticket, &mut lease.as_mut()[end..]);
                self.driver.give_back(lease);
            }
            // What stands behind is read from a copy: the buffer may not change any more.
            Err(lease) => {
                let mut behind = (*lease).as_ref()[end..].to_vec();
                self.lent.push(lease);
                self.take_behind(ticket, &mut behind);
            }
        }
    }

    fn take_behind(&mut self, ticket: Ticket, bytes: &mut [u8]) {
        self.report_ended();
        if !bytes.is_empty() {
            self.take_bytes(ticket, bytes);
        }
    }

    /// The complete message at the start of what was received, unmasked, if it is large and may be
    /// taken at once.
    fn large_message(&mut self, ticket: Ticket, bytes: &mut [u8]) -> Option<(Kind, Range<usize>)> {
        let core = &mut self.core;
        if core.mail.is_congested()
            || core
                .topics
                .must_await_topic(&core.connections.slots, ticket)
        {
            return None;
        }
        let connection = core.connections.slots.at(ticket.slot);
        let cold = connection.cold.as_ref();
        let is_between = cold.is_none_or(|cold| !cold.is_in_frame() && cold.assembly.is_none());
        if connection.phase != Phase::Open
            || connection.flags.has(Flags::READ_APART)
            || connection.flags.has(Flags::PARKED)
            || !is_between
        {
            return None;
        }
        let limits = ReadLimits {
            message_bytes_max: core.connections.limits.message_bytes_max
                [usize::from(connection.listener)],
        };
        reader::take_large(bytes, &limits)
    }

    /// A message that was put together.
    pub(super) fn own_message(&mut self, ticket: Ticket, message: Option<(Kind, Vec<u8>)>) {
        if let Some((kind, bytes)) = message {
            let bytes = Bytes::from(bytes);
            self.core.egress.message = AtHand::Own(bytes.clone());
            self.at_hand(ticket, kind, &bytes);
        }
    }

    /// The application is given the message at hand.
    fn at_hand(&mut self, ticket: Ticket, kind: Kind, bytes: &[u8]) {
        if bytes.len() > Assembly::LARGE_BYTES
            && self
                .bulk
                .is_most(bytes.len(), self.core.counters.bytes_in.get())
        {
            self.driver.expect_large();
        }
        match kind {
            Kind::Binary => self.message(ticket, Message::Binary(bytes)),
            Kind::Text => match reader::text(bytes) {
                Some(text) => self.message(ticket, Message::Text(text)),
                None => self
                    .core
                    .close_for_error(ticket, ProtocolError::TextNotUtf8),
            },
        }
        self.core.egress.message = AtHand::None;
    }

    /// The turn is over: receive buffers that were answered from go back.
    #[cold]
    pub(super) fn take_back(&mut self) {
        for lease in std::mem::take(&mut self.lent) {
            // Only the transmits shared it.
            if let Ok(lease) = Rc::try_unwrap(lease) {
                self.driver.give_back(lease);
            }
        }
    }
}
