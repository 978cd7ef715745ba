//! What TLS means for a connection: the records that its session makes by itself leave with the
//! others, what it keeps is counted, and where it breaks the connection ends. The sessions
//! themselves, and how bytes become records, stand in `egress/tls`.

use super::Core;
use crate::connection::budget::OverBudget;
use crate::connection::outbox::Encryption;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::egress::tls::session::Fault;
use crate::egress::tls::sessions::Encrypted;
use crate::types::ticket::Ticket;
use bytes::Bytes;

impl Core {
    /// Counts what the session keeps, as [`Core::account_input`] counts messages. A connection that
    /// asks for more than the shard's budget has left is closed without an alert: rustls would have
    /// to see what is kept to write one.
    pub(crate) fn account_records(&mut self, ticket: Ticket) {
        let Some(session) = self.tls.session_mut(ticket.slot) else {
            return;
        };
        let now = session.buffered_bytes();
        let counted = self.budget.resize_records(&mut session.counted_bytes, now);
        self.counters.reassembly_bytes.set(self.budget.used());
        if counted == Err(OverBudget) {
            self.counters.closed_budget.add(1);
            self.retire(ticket);
        }
    }

    /// Appends for the connection the records that its session has made by itself.
    pub(crate) fn append_records(&mut self, ticket: Ticket) {
        let Some(session) = self.tls.session_mut(ticket.slot) else {
            return;
        };
        if !session.has_pending() {
            return;
        }
        let connection = self.connections.at(ticket.slot);
        if connection.flags.has(Flags::BACKLOG) {
            let records = Bytes::from(session.take_pending());
            self.counters.outbox_bytes.add(records.len() as u64);
            connection.cold().outbox.force(records, Encryption::Done);
            self.pending_work.kick.push(ticket);
        } else {
            self.outgoing.touch(ticket, &mut connection.transmit);
        }
    }

    /// The peer broke TLS: the alert leaves, and nothing more is read.
    pub(crate) fn fail_tls(&mut self, ticket: Ticket, fault: &Fault) {
        let (shard, slot) = (self.mail.shard(), ticket.slot);
        tracing::debug!(shard, slot, %fault, "TLS failed");
        let count = match self.connections.phase(ticket) {
            Phase::Upgrading | Phase::Authenticating => &self.counters.tls_handshakes_failed,
            _ => &self.counters.closed_protocol,
        };
        count.add(1);
        self.append_records(ticket);
        self.abort(ticket);
    }

    /// Before the driver gets the transmits: those over TLS become records.
    pub(crate) fn encrypt_transmits(&mut self) {
        if self.tls.used {
            let (connections, outgoing) = (&mut self.connections, &mut self.outgoing);
            let broken = self.tls.encrypt_transmits(connections, outgoing);
            broken.into_iter().for_each(|ticket| self.retire(ticket));
        }
    }

    /// Before a tracked send: see [`TlsSessions::encrypt_outbox`].
    ///
    /// [`TlsSessions::encrypt_outbox`]: crate::egress::tls::sessions::TlsSessions::encrypt_outbox
    pub(crate) fn encrypt_outbox(&mut self, ticket: Ticket) -> Encrypted {
        let connection = self.connections.at(ticket.slot);
        let encrypted = (self.tls).encrypt_outbox(ticket.slot, connection, &self.counters);
        encrypted.unwrap_or_else(|_| {
            self.retire(ticket);
            Encrypted::Done
        })
    }
}
