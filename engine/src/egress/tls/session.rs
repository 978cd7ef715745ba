//! One connection's TLS: records in, plain bytes out, and back. Pure; the shard moves the bytes and
//! decides when.
//!
//! Invariant: records leave in the order in which they were made. What a handshake, an alert or a
//! key update made waits in `pending` and precedes everything that is encrypted after it.

use crate::egress::tls::server::Tls;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use std::fmt;

/// A connection's TLS state. Idle, it owns no buffers.
pub(crate) struct Session {
    connection: UnbufferedServerConnection,
    /// The beginning of a record; during the handshake everything that waits for its turn.
    partial: Vec<u8>,
    /// Records made, not yet appended.
    pending: Vec<u8>,
    stage: SessionStage,
    /// What of [`Session::buffered_bytes`] stands in the shard's account.
    pub(crate) counted_bytes: usize,
    /// Bytes were kept since the handshake last had its turn.
    waiting: bool,
    close_notify_sent: bool,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionStage {
    Handshaking,
    Established,
    /// The peer sent `close_notify`.
    PeerClosed,
    /// Nothing can be sent or received any more; an alert may be pending.
    Failed,
}

/// Why a session failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    /// The peer broke the protocol, or nothing is spoken by both sides. An alert is pending that
    /// says so.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// More handshake bytes than any handshake needs.
    #[error("the handshake is too long")]
    TooLong,
    /// The cipher's limit for one key is reached (RFC 8446 §5.5) and the version knows no new one.
    #[error("the keys are worn out")]
    WornOut,
}

/// Longest plaintext of a record (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;
/// What encryption adds to a record at most: header 5, explicit nonce 8 or content type 1, tag 16.
const RECORD_OVERHEAD_BYTES: usize = 5 + 8 + 16;
/// Room for an alert, or for the key update that rustls may put before a record.
const CONTROL_RECORD_BYTES: usize = 64;
/// Of a record's header: type, version, length (RFC 8446 §5.1).
const HEADER_BYTES: usize = 5;

impl Session {
    /// Bytes of an unfinished handshake that are kept: rustls takes handshake messages (a client's
    /// certificates) of up to 64 KiB.
    pub(crate) const PARTIAL_BYTES_MAX: usize = 80 << 10;

    /// A connection that begins with a handshake.
    ///
    /// # Errors
    /// rustls refuses its own configuration.
    pub(crate) fn new(tls: &Tls) -> Result<Session, Fault> {
        Ok(Session {
            connection: UnbufferedServerConnection::new(tls.config().clone())?,
            partial: Vec::new(),
            pending: Vec::new(),
            stage: SessionStage::Handshaking,
            counted_bytes: 0,
            waiting: false,
            close_notify_sent: false,
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.stage == SessionStage::Handshaking
    }

    /// The peer sent `close_notify`: no byte follows.
    pub(crate) fn is_over(&self) -> bool {
        self.stage == SessionStage::PeerClosed
    }

    /// Memory of what arrived and is not a complete record, or handshake, yet.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.partial.capacity()
    }

    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        self.buffered_bytes() + self.pending.capacity()
    }

    /// The handshake took a shortcut (RFC 8446 §2.2).
    pub(crate) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// The client's certificates, its own first, in DER, if it showed any.
    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        let certificates = self.connection.peer_certificates()?;
        certificates.first().map(AsRef::as_ref)
    }

    /// Keeps bytes until [`Session::handshake`] has its turn. True: from now on it waits for one.
    /// Turns are few, so nobody has one for less than a record.
    ///
    /// # Errors
    /// It is longer than any handshake.
    pub(crate) fn buffer(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        if self.partial.len() + bytes.len() > Self::PARTIAL_BYTES_MAX {
            self.stage = SessionStage::Failed;
            return Err(Fault::TooLong);
        }
        self.partial.extend_from_slice(bytes);
        if begins_record(&self.partial) {
            return Ok(false);
        }
        Ok(!std::mem::replace(&mut self.waiting, true))
    }

    /// Goes on with the handshake in what was kept. What the client said after it is appended to
    /// `plain`.
    ///
    /// # Errors
    /// It failed; the alert is pending.
    pub(crate) fn handshake(&mut self, plain: &mut Vec<u8>) -> Result<(), Fault> {
        self.waiting = false;
        if self.is_receive_closed() {
            return Ok(());
        }
        let mut buffered = std::mem::take(&mut self.partial);
        let used = self.advance(&mut buffered, plain)?;
        if used < buffered.len() {
            buffered.drain(..used);
            self.partial = buffered;
        }
        Ok(())
    }

    /// Opens records in place; their plaintext is appended to `plain`. The beginning of a record is
    /// kept.
    ///
    /// # Errors
    /// The peer broke the protocol; the alert is pending. What came before it is in `plain`.
    pub(crate) fn receive(
        &mut self,
        mut bytes: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if self.is_receive_closed() {
            return Ok(());
        }
        if !self.partial.is_empty() {
            // Only the record that began in an earlier receive is copied together.
            let mut partial = std::mem::take(&mut self.partial);
            loop {
                let missing = missing_bytes(&partial);
                if missing == 0 {
                    break;
                }
                let (taken, rest) = bytes.split_at_mut(missing.min(bytes.len()));
                partial.extend_from_slice(taken);
                bytes = rest;
                if taken.len() < missing {
                    self.partial = partial;
                    return Ok(());
                }
            }
            let used = self.advance(&mut partial, plain)?;
            partial.drain(..used);
            if !partial.is_empty() {
                // A handshake message after the handshake, over several records.
                self.partial = partial;
                self.buffer(bytes)?;
                return self.handshake(plain);
            }
        }
        let used = self.advance(bytes, plain)?;
        self.partial.extend_from_slice(&bytes[used..]);
        Ok(())
    }

    /// What the peer sends now is not read: it announced that it would send nothing (RFC 8446
    /// §6.1), or it cannot be understood.
    fn is_receive_closed(&self) -> bool {
        matches!(self.stage, SessionStage::PeerClosed | SessionStage::Failed)
    }

    /// Records that precede whatever is encrypted from now on.
    pub(crate) fn take_pending(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether `close_notify` is still to be sent.
    pub(crate) fn is_close_notify_pending(&self) -> bool {
        matches!(
            self.stage,
            SessionStage::Established | SessionStage::PeerClosed
        ) && !self.close_notify_sent
    }

    /// Appends what is pending and then `plain`, in as few records as possible. Before the
    /// handshake has ended there are no keys, and `plain` is dropped: nothing is pending to a peer
    /// that has asked for nothing.
    ///
    /// # Errors
    /// No key is left to encrypt with.
    pub(crate) fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        out.append(&mut self.take_pending());
        if plain.is_empty()
            || matches!(self.stage, SessionStage::Handshaking | SessionStage::Failed)
        {
            return Ok(());
        }
        let records = plain.len().div_ceil(RECORD_BYTES_MAX);
        let room = plain.len() + records * RECORD_OVERHEAD_BYTES + CONTROL_RECORD_BYTES;
        self.write(out, room, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Appends `close_notify` (RFC 8446 §6.1), once.
    ///
    /// # Errors
    /// As for [`Session::encrypt`].
    pub(crate) fn close_notify(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if !self.is_close_notify_pending() {
            return Ok(());
        }
        self.close_notify_sent = true;
        self.write(out, CONTROL_RECORD_BYTES, |traffic, room| {
            traffic.queue_close_notify(room)
        })
    }

    /// Lets `write` put records into `room_bytes` at the end of `out`.
    fn write(
        &mut self,
        out: &mut Vec<u8>,
        mut room_bytes: usize,
        mut write: impl FnMut(&mut WriteTraffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Fault> {
        loop {
            // rustls remembers how far it has seen, so it is shown the beginning of a record or
            // message again.
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut self.partial);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let start = out.len();
                    out.resize(start + room_bytes, 0);
                    let written = write(&mut traffic, &mut out[start..]);
                    out.truncate(start + *written.as_ref().unwrap_or(&0));
                    match written {
                        Ok(_) => return Ok(()),
                        Err(EncryptError::EncryptExhausted) => return Err(Fault::WornOut),
                        Err(EncryptError::InsufficientSize(size)) => {
                            room_bytes = size.required_size;
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(state)) => encode(state, out),
                Ok(ConnectionState::TransmitTlsData(state)) => state.done(),
                Ok(ConnectionState::PeerClosed) => self.stage = SessionStage::PeerClosed,
                Ok(_) => return Ok(()),
                Err(error) => return Err(self.fail(error)),
            }
            self.partial.drain(..discard);
        }
    }

    /// Works through the records at the start of `bytes`; returns how many bytes are done with.
    fn advance(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut bytes[used..]);
            used += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        used += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(state)) => encode(state, &mut self.pending),
                Ok(ConnectionState::TransmitTlsData(state)) => state.done(),
                Ok(ConnectionState::PeerClosed) => {
                    self.stage = SessionStage::PeerClosed;
                    return Ok(bytes.len());
                }
                Ok(_) => break,
                Err(error) => return Err(self.fail(error)),
            }
        }
        if self.stage == SessionStage::Handshaking && !self.connection.is_handshaking() {
            self.stage = SessionStage::Established;
        }
        Ok(used)
    }

    /// Nothing goes on after this but the alert that says why. rustls must not be handed bytes any
    /// more: it would look for what it has seen of them before.
    fn fail(&mut self, error: rustls::Error) -> Fault {
        self.stage = SessionStage::Failed;
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(state)) => encode(state, &mut self.pending),
                Ok(_) | Err(_) => break,
            }
        }
        Fault::Tls(error)
    }
}

type WriteTraffic<'c> = rustls::unbuffered::WriteTraffic<'c, rustls::server::ServerConnectionData>;
type EncodeTlsData<'c> =
    rustls::unbuffered::EncodeTlsData<'c, rustls::server::ServerConnectionData>;

/// Appends a record that rustls made already.
fn encode(mut state: EncodeTlsData<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let room_bytes = match state.encode(&mut []) {
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        Ok(_) | Err(EncodeError::AlreadyEncoded) => return,
    };
    out.resize(start + room_bytes, 0);
    let written = state.encode(&mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// Whether these bytes may become a record and are none yet. What can be none is rustls' to refuse,
/// at once.
fn begins_record(partial: &[u8]) -> bool {
    const LENGTH_MAX: usize = RECORD_BYTES_MAX + 2048;
    let is_of_tls = match partial {
        [20..=24] | [20..=24, 3] | [20..=24, 3, _] | [20..=24, 3, _, _] => true,
        [20..=24, 3, _, high, low, ..] => {
            usize::from(u16::from_be_bytes([*high, *low])) <= LENGTH_MAX
        }
        _ => false,
    };
    is_of_tls && missing_bytes(partial) > 0
}

/// Bytes that are missing of the record (or of its header) that `partial` begins.
fn missing_bytes(partial: &[u8]) -> usize {
    match partial.get(3..HEADER_BYTES) {
        Some(length) => {
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            (HEADER_BYTES + length).saturating_sub(partial.len())
        }
        None => HEADER_BYTES - partial.len(),
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
