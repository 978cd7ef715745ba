//! The TLS connections of a shard: their sessions, whose handshake is next, and how what is pending
//! for them becomes records.
//!
//! All bytes for a TLS connection stay plain until they leave: a turn encrypts its transmit,
//! and a tracked send what waits in its outbox. So whatever leaves together shares records, and
//! what waits for slow readers stays shared between them.

use super::Core;
use crate::connection::budget::OverBudget;
use crate::connection::outbox::Encryption;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::egress::tls::session::{Fault, Session};
use crate::egress::tls::sessions::{Encrypted, TlsSessions};
use crate::types::ticket::Ticket;
use bytes::Bytes;

impl Core {
    /// The session of a TLS connection, which begins with its first byte.
    pub(crate) fn session(&mut self, ticket: Ticket) -> Result<&mut Session, Fault> {
        let listener = self.connections.at(ticket.slot).listener;
        let session = self.tls.sessions.reach(ticket.slot);
        if session.is_none() {
            let tls = self.tls.by_listener[usize::from(listener)].as_ref();
            let tls = tls.expect("a connection of a listener with TLS");
            *session = Some(Box::new(Session::new(tls)?));
        }
        Ok(session.as_mut().expect("there is one now"))
    }

    /// Keeps received bytes until the handshake's turn.
    pub(crate) fn buffer_handshake(&mut self, ticket: Ticket, bytes: &[u8]) -> Result<(), Fault> {
        if self.session(ticket)?.buffer(bytes)? {
            self.tls.waiting.push_back(ticket);
        }
        Ok(())
    }

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
        if !self.tls.used {
            return;
        }
        let mut broken = Vec::new();
        for index in 0..self.outgoing.len() {
            let ticket = self.outgoing.ticket(index);
            let Some(connection) = self.connections.get(ticket) else {
                continue;
            };
            if !connection.flags.has(Flags::TLS) || self.outgoing.is_withdrawn(index) {
                continue;
            }
            let phase = connection.phase;
            let TlsSessions {
                sessions, gathered, ..
            } = &mut self.tls;
            let session = sessions.get_mut(ticket.slot).and_then(Option::as_mut);
            let encrypted = self
                .outgoing
                .encrypt(index, |slices, records| match session {
                    Some(session) => encrypt(session, slices, gathered, phase, records),
                    // It has not said a byte, and nothing is ever said in plain.
                    None => Ok(()),
                });
            if encrypted.is_err() {
                broken.push(ticket);
            }
        }
        broken.into_iter().for_each(|ticket| self.retire(ticket));
    }

    /// Before a tracked send: as much of a TLS connection's outbox becomes records as one send
    /// should take, if this tick may encrypt more.
    pub(crate) fn encrypt_outbox(&mut self, ticket: Ticket) -> Encrypted {
        let connection = self.connections.at(ticket.slot);
        let last = connection.phase.ends_output();
        let spent = self.tls.encrypted_bytes >= self.tls.encrypted_bytes_per_tick;
        let pass = self.tls.passes;
        let (Some(cold), Some(session)) =
            (connection.cold.as_mut(), self.tls.session_mut(ticket.slot))
        else {
            return Encrypted::Done;
        };
        if spent && cold.outbox.awaits_encryption() {
            // Who stands here twice keeps one place.
            let again = std::mem::replace(&mut cold.encryption_pass, pass) == pass;
            return if again {
                Encrypted::Done
            } else {
                Encrypted::Later
            };
        }
        let (before, mut plain) = (cold.outbox.bytes(), Vec::new());
        let bytes_max = if spent {
            0
        } else {
            TlsSessions::ENCRYPTED_BYTES_MAX
        };
        cold.outbox.take_plain(bytes_max, &mut plain);
        if plain.is_empty() && !session.has_pending() {
            return Encrypted::Done;
        }
        let mut records = Vec::new();
        let mut encrypted = session.encrypt(&plain, &mut records);
        if last && cold.outbox.is_encrypted() {
            encrypted = encrypted.and_then(|()| session.close_notify(&mut records));
        }
        cold.outbox.force(Bytes::from(records), Encryption::Done);
        self.tls.encrypted_bytes += plain.len();
        self.counters.outbox_bytes.sub(before as u64);
        self.counters.outbox_bytes.add(cold.outbox.bytes() as u64);
        if encrypted.is_err() {
            self.retire(ticket);
        }
        Encrypted::Done
    }
}

/// Makes records of what leaves for one connection in this turn.
fn encrypt(
    session: &mut Session,
    slices: &mut dyn Iterator<Item = &[u8]>,
    gathered: &mut Vec<u8>,
    phase: Phase,
    records: &mut Vec<u8>,
) -> Result<(), Fault> {
    let first = slices.next().unwrap_or_default();
    match slices.next() {
        None => session.encrypt(first, records)?,
        Some(second) => {
            gathered.clear();
            for slice in [first, second].into_iter().chain(slices) {
                gathered.extend_from_slice(slice);
            }
            session.encrypt(gathered, records)?;
        }
    }
    if phase.ends_output() {
        session.close_notify(records)?;
    }
    Ok(())
}
