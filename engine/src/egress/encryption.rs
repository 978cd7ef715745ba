//! What TLS means for what leaves: the records that a session makes by itself leave with the
//! others, and what it keeps is counted. The sessions themselves, and how bytes become records,
//! stand in `egress/tls`. Called by the core, before the driver gets what leaves.

use super::Egress;
use crate::connection::Connections;
use crate::connection::budget::OverBudget;
use crate::connection::outbox::Encryption;
use crate::connection::slot::Flags;
use crate::egress::tls::fault::Fault;
use crate::egress::tls::sessions::Encrypted;
use crate::types::ticket::Ticket;
use bytes::Bytes;

impl Egress {
    /// Counts what the session keeps, as [`Connections::account_input`] counts messages.
    ///
    /// # Errors
    /// The connection asks for more than the shard's budget has left.
    pub(crate) fn account_records(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
    ) -> Result<(), OverBudget> {
        let Some(session) = self.tls.session_mut(ticket.slot) else {
            return Ok(());
        };
        let (budget, now) = (&mut connections.budget, session.buffered_bytes());
        let counted = budget.resize_records(&mut session.counted_bytes, now);
        self.counters.reassembly_bytes.set(budget.used());
        counted
    }

    /// Appends for the connection the records that its session has made by itself.
    pub(crate) fn append_records(&mut self, connections: &mut Connections, ticket: Ticket) {
        let Some(session) = self.tls.session_mut(ticket.slot) else {
            return;
        };
        if !session.has_pending() {
            return;
        }
        let connection = connections.slots.at(ticket.slot);
        if connection.flags.has(Flags::BACKLOG) {
            let records = Bytes::from(session.take_pending());
            self.force(connections, ticket, records, Encryption::Done);
        } else {
            self.outgoing.touch(ticket, &mut connection.transmit);
        }
    }

    /// Before the driver gets the transmits: those over TLS become records. Connections whose
    /// session is beyond that.
    pub(crate) fn encrypt_transmits(&mut self, connections: &mut Connections) -> Vec<Ticket> {
        (self.tls).encrypt_transmits(&mut connections.slots, &mut self.outgoing)
    }

    /// Before a tracked send: see [`TlsSessions::encrypt_outbox`].
    ///
    /// [`TlsSessions::encrypt_outbox`]: crate::egress::tls::sessions::TlsSessions::encrypt_outbox
    pub(crate) fn encrypt_outbox(
        &mut self,
        connections: &mut Connections,
        ticket: Ticket,
    ) -> Result<Encrypted, Fault> {
        let connection = connections.slots.at(ticket.slot);
        (self.tls).encrypt_outbox(ticket.slot, connection, &self.counters, &self.held)
    }
}
