//! How bytes become records.
//!
//! Invariant: all bytes for a TLS connection stay plain until they leave: a turn encrypts its
//! transmit, and a tracked send what waits in its outbox. So whatever leaves together shares
//! records, and what waits for slow readers stays shared between them. Called by the core, before
//! the driver gets what leaves.

use crate::connection::outbox::Encryption;
use crate::connection::phase::Phase;
use crate::connection::slot::{Connection, Flags, Slots};
use crate::counters::ShardCounters;
use crate::egress::outgoing::Outgoing;
use crate::egress::tls::fault::Fault;
use crate::egress::tls::session::Session;
use crate::egress::tls::sessions::{Encrypted, TlsSessions};
use crate::types::account::Account;
use crate::types::ticket::Ticket;
use bytes::Bytes;

impl TlsSessions {
    /// Before the driver gets the transmits: those over TLS become records. Returns connections
    /// whose session is beyond that.
    pub(crate) fn encrypt_transmits(
        &mut self,
        slots: &mut Slots,
        outgoing: &mut Outgoing,
    ) -> Vec<Ticket> {
        let mut broken = Vec::new();
        for index in 0..outgoing.len() {
            let ticket = outgoing.ticket(index);
            let Some(connection) = slots.get(ticket) else {
                continue;
            };
            if !connection.flags.has(Flags::TLS) || outgoing.is_withdrawn(index) {
                continue;
            }
            let phase = connection.phase;
            let TlsSessions {
                sessions, gathered, ..
            } = self;
            let session = sessions.get_mut(ticket.slot).and_then(Option::as_mut);
            let encrypted = outgoing.encrypt(index, |slices, records| match session {
                Some(session) => encrypt(session, slices, gathered, phase, records),
                // It has not said a byte, and nothing is ever said in plain.
                None => Ok(()),
            });
            if encrypted.is_err() {
                broken.push(ticket);
            }
            self.keep_ready(ticket.slot);
        }
        broken
    }

    /// Before a tracked send: as much of a TLS connection's outbox becomes records as one send
    /// should take, if this tick may encrypt more.
    ///
    /// # Errors
    /// The session is beyond that; what it made leaves all the same.
    pub(crate) fn encrypt_outbox(
        &mut self,
        slot: u32,
        connection: &mut Connection,
        counters: &ShardCounters,
        held: &Account,
    ) -> Result<Encrypted, Fault> {
        let last = connection.phase.ends_output();
        let spent = self.encrypted_bytes >= self.encrypted_bytes_per_tick;
        let pass = self.passes;
        let session = self.sessions.get_mut(slot).and_then(Option::as_mut);
        let (Some(cold), Some(session)) = (connection.cold.as_mut(), session) else {
            return Ok(Encrypted::Done);
        };
        if spent && cold.outbox.awaits_encryption() {
            // Who stands here twice keeps one place.
            let again = std::mem::replace(&mut cold.encryption_pass, pass) == pass;
            return Ok(match again {
                true => Encrypted::Done,
                false => Encrypted::Later,
            });
        }
        let (before, mut plain) = (cold.outbox.bytes(), Vec::new());
        let bytes_max = if spent { 0 } else { Self::ENCRYPTED_BYTES_MAX };
        cold.outbox.take_plain(bytes_max, &mut plain);
        if plain.is_empty() && !session.has_pending() {
            return Ok(Encrypted::Done);
        }
        let mut records = Vec::new();
        let mut encrypted = session.encrypt(&plain, &mut records);
        if last && cold.outbox.is_encrypted() {
            encrypted = encrypted.and_then(|()| session.close_notify(&mut records));
        }
        let records = held.track(Bytes::from(records));
        cold.outbox.force(records, Encryption::Done);
        self.encrypted_bytes += plain.len();
        self.keep_ready(slot);
        counters.outbox_bytes.sub(before as u64);
        counters.outbox_bytes.add(cold.outbox.bytes() as u64);
        encrypted.map(|()| Encrypted::Done)
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
