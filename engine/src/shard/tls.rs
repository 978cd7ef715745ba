//! TLS in the tick: records become plain bytes, handshakes have their turn, and close_notify is
//! sent.

use super::Shard;
use crate::application::Application;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::driver::boundary::Driver;
use crate::egress::tls::fault::Fault;
use crate::types::ticket::Ticket;

/// Handshakes that go on in one tick. A full one costs a few hundred microseconds, so a storm of
/// them delays the messages of everybody else by about a millisecond a tick and no more; those that
/// wait do so in the order in which they came.
const HANDSHAKES_PER_TICK: usize = 4;

impl<A: Application, D: Driver> Shard<A, D> {
    /// Bytes of a TLS connection that still reads.
    pub(super) fn received_records(&mut self, ticket: Ticket, records: &mut [u8]) {
        let listener = self.core.connections.slots.at(ticket.slot).listener;
        let tls = &mut self.core.egress.tls;
        let mut plain = tls.take_opened();
        let result = match tls.begin(ticket.slot, listener) {
            Err(fault) => Err(fault),
            Ok(session) if session.is_handshaking() => session.buffer(records),
            Ok(session) => session.receive(records, &mut plain).map(|()| false),
        };
        if let Ok(true) = result {
            tls.await_turn(ticket);
        }
        self.opened(ticket, plain, result.map(drop));
    }

    /// Goes on with the handshakes that can.
    pub(super) fn shake_hands(&mut self) {
        for _ in 0..HANDSHAKES_PER_TICK {
            let Some(ticket) = self.core.egress.tls.next_waiting() else {
                return;
            };
            if self.core.connections.slots.phase(ticket) != Phase::Upgrading {
                continue;
            }
            let mut plain = self.core.egress.tls.take_opened();
            let Some(session) = self.core.egress.tls.session_mut(ticket.slot) else {
                continue;
            };
            let result = session.handshake(&mut plain);
            if !session.is_handshaking() && result.is_ok() {
                let counters = &self.core.counters;
                counters.tls_handshakes.add(1);
                counters.tls_resumed.add(u64::from(session.is_resumed()));
            }
            self.opened(ticket, plain, result);
            self.report_ended();
        }
    }

    /// What came of a connection's records: its own first, then the peer's bytes, then the end.
    fn opened(&mut self, ticket: Ticket, mut plain: Vec<u8>, result: Result<(), Fault>) {
        self.core
            .egress
            .append_records(&mut self.core.connections, ticket);
        let connection = self.core.connections.slots.get(ticket);
        let is_stream = connection.is_some_and(|connection| connection.flags.has(Flags::STREAM));
        if !plain.is_empty() && !is_stream {
            self.take_bytes(ticket, &mut plain);
        }
        self.core.egress.tls.put_opened(plain);
        self.core.egress.tls.keep_ready(ticket.slot);
        self.core.account_records(ticket);
        if let Err(fault) = result {
            self.core.fail_tls(ticket, &fault);
            return;
        }
        let session = self.core.egress.tls.session(ticket.slot);
        if !session.is_some_and(|session| session.is_over()) {
            return;
        }
        match self.core.connections.slots.get(ticket) {
            Some(connection) if connection.flags.has(Flags::PARKED) => {
                connection.flags.set(Flags::ENDED);
            }
            Some(_) => self.stream_over(ticket),
            None => {}
        }
    }

    /// A connection that has nothing left to say says so, over TLS. True: that is to leave first.
    pub(super) fn sends_close_notify(&mut self, ticket: Ticket) -> bool {
        let connection = self.core.connections.slots.at(ticket.slot);
        let session = self.core.egress.tls.session(ticket.slot);
        let is_pending = connection.phase.ends_output()
            && session.is_some_and(|session| session.is_close_notify_pending());
        if is_pending {
            self.core
                .egress
                .outgoing
                .touch(ticket, &mut connection.transmit);
            self.core.connections.pending_work.finish.push(ticket);
        }
        is_pending
    }
}
