//! One connection's TLS: records in, plain bytes out, and back. Pure; the shard moves the bytes and
//! decides when.
//!
//! Invariant: records leave in the order in which they were made. What a handshake, an alert or a
//! key update made waits in `pending` and precedes everything that is encrypted after it.

use crate::egress::tls::fault::Fault;
use crate::egress::tls::secrets::{TrafficSecrets, catch};
use crate::egress::tls::server::Tls;
use crate::egress::tls::traffic::{RecordProgress, Traffic};
use rustls::HandshakeKind;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use shardcast_protocol::record::{Alert, HEADER_BYTES, PLAINTEXT_BYTES_MAX, record_bytes};
use std::fmt;

/// A connection's TLS state. Idle, it owns no buffers.
pub(crate) struct Session {
    layer: Layer,
    /// The beginning of a record; during the handshake everything that waits for its turn.
    partial: Vec<u8>,
    /// Records made, not yet appended.
    pending: Vec<u8>,
    /// The client's own certificate in DER, once the handshake is over.
    peer_certificate: Option<Box<[u8]>>,
    stage: SessionStage,
    /// What of [`Session::buffered_bytes`] stands in the shard's account.
    pub(crate) counted_bytes: usize,
    /// Bytes were kept since the handshake last had its turn.
    waiting: bool,
    close_notify_sent: bool,
    is_resumed: bool,
    /// Its keys stand among those that are ready: see `TlsSessions::keep_ready`.
    pub(crate) is_listed: bool,
}

/// Who encrypts and decrypts.
// Nearly every session is of the largest kind, and in a box itself.
#[allow(clippy::large_enum_variant)]
enum Layer {
    /// The handshake, and all of TLS 1.2.
    Rustls(Box<UnbufferedServerConnection>, Option<Box<TrafficSecrets>>),
    /// TLS 1.3 after the handshake.
    Traffic(Traffic),
    /// Nobody: rustls did not hand the connection over.
    Nobody,
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

/// What encryption adds to a record at most: header 5, explicit nonce 8 or content type 1, tag 16.
const RECORD_OVERHEAD_BYTES: usize = 5 + 8 + 16;
/// Room for an alert, or for the key update that rustls may put before a record.
const CONTROL_RECORD_BYTES: usize = 64;

impl Session {
    /// Bytes of an unfinished handshake that are kept: rustls takes handshake messages (a client's
    /// certificates) of up to 64 KiB.
    pub(crate) const PARTIAL_BYTES_MAX: usize = 80 << 10;

    /// A connection that begins with a handshake.
    ///
    /// # Errors
    /// rustls refuses its own configuration.
    pub(crate) fn new(tls: &Tls) -> Result<Session, Fault> {
        let connection = UnbufferedServerConnection::new(tls.config().clone())?;
        Ok(Session {
            layer: Layer::Rustls(Box::new(connection), None),
            partial: Vec::new(),
            pending: Vec::new(),
            peer_certificate: None,
            stage: SessionStage::Handshaking,
            counted_bytes: 0,
            waiting: false,
            close_notify_sent: false,
            is_resumed: false,
            is_listed: false,
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

    /// rustls has handed the connection over.
    #[cfg(test)]
    pub(super) fn is_taken_over(&self) -> bool {
        matches!(self.layer, Layer::Traffic(_))
    }

    /// The handshake took a shortcut (RFC 8446 §2.2).
    pub(crate) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// The client's own certificate in DER, if it showed any.
    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        self.peer_certificate.as_deref()
    }

    /// Whether its keys are ready for use, which takes 600 bytes for each direction. Those of TLS
    /// 1.2 always are, and do not count.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(&self.layer, Layer::Traffic(traffic) if traffic.is_ready())
    }

    /// Gives that memory back, until the next record.
    pub(crate) fn rest(&mut self) {
        self.is_listed = false;
        if let Layer::Traffic(traffic) = &mut self.layer {
            traffic.rest();
        }
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
        if complete_bytes(&self.partial).is_none() {
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
        let (mut used, mut shown) = (0, 0);
        // One record at a time, so that rustls has seen none behind the one that ends it.
        while self.stage == SessionStage::Handshaking
            && let Some(length) = complete_bytes(&buffered[shown..])
        {
            shown += length;
            used += self.advance(&mut buffered[used..shown], plain)?;
        }
        match self.stage {
            SessionStage::Established => return self.receive(&mut buffered[used..], plain),
            SessionStage::Handshaking if used < buffered.len() => {
                buffered.drain(..used);
                self.partial = buffered;
            }
            SessionStage::Handshaking | SessionStage::PeerClosed | SessionStage::Failed => {}
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
            while let Some(missing) = missing_bytes(&partial) {
                let (taken, rest) = bytes.split_at_mut(missing.min(bytes.len()));
                partial.extend_from_slice(taken);
                bytes = rest;
                if taken.len() < missing {
                    self.partial = partial;
                    return Ok(());
                }
            }
            let used = self.open(&mut partial, plain)?;
            partial.drain(..used);
            if !partial.is_empty() {
                // Over TLS 1.2, a handshake message after the handshake, over several records.
                partial.extend_from_slice(bytes);
                return self.receive_message(partial, plain);
            }
            if self.is_receive_closed() {
                // It was the last record.
                return Ok(());
            }
        }
        let used = self.open(bytes, plain)?;
        self.partial.extend_from_slice(&bytes[used..]);
        Ok(())
    }

    /// Shows rustls all that it has not let go of.
    fn receive_message(&mut self, mut kept: Vec<u8>, plain: &mut Vec<u8>) -> Result<(), Fault> {
        if kept.len() > Self::PARTIAL_BYTES_MAX {
            self.stage = SessionStage::Failed;
            return Err(Fault::TooLong);
        }
        let used = self.advance(&mut kept, plain)?;
        kept.drain(..used);
        self.partial = kept;
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
        if let Layer::Traffic(traffic) = &mut self.layer {
            return Ok(traffic.encrypt(plain, out)?);
        }
        let records = plain.len().div_ceil(PLAINTEXT_BYTES_MAX);
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
        if let Layer::Traffic(traffic) = &mut self.layer {
            return Ok(traffic.alert(Alert::CloseNotify, out)?);
        }
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
            let Layer::Rustls(connection, _) = &mut self.layer else {
                return Ok(());
            };
            // rustls remembers how far it has seen, so it is shown the beginning of a record or
            // message again.
            let UnbufferedStatus { discard, state } =
                connection.process_tls_records(&mut self.partial);
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

    /// Works through the records at the start of `bytes`, after the handshake; returns how many
    /// bytes are done with.
    fn open(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>) -> Result<usize, Fault> {
        let Layer::Traffic(traffic) = &mut self.layer else {
            return self.advance(bytes, plain);
        };
        match traffic.receive(bytes, plain) {
            Ok(RecordProgress::Taken(taken)) => Ok(taken),
            Ok(RecordProgress::Closed) => {
                self.stage = SessionStage::PeerClosed;
                Ok(bytes.len())
            }
            Err(error) => {
                self.stage = SessionStage::Failed;
                if let Some(alert) = error.alert() {
                    // Where no key is left to say it with, it is not said.
                    let _ = traffic.alert(alert, &mut self.pending);
                }
                Err(error.into())
            }
        }
    }

    /// The same with rustls, which is what all handshakes are read by, and all of TLS 1.2.
    fn advance(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>) -> Result<usize, Fault> {
        let Layer::Rustls(connection, secrets) = &mut self.layer else {
            return Ok(bytes.len());
        };
        let mut used = 0;
        loop {
            let (status, caught) = catch(|| connection.process_tls_records(&mut bytes[used..]));
            if caught.is_some() {
                *secrets = caught;
            }
            let UnbufferedStatus { discard, state } = status;
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
        if self.stage == SessionStage::Handshaking && !connection.is_handshaking() {
            self.establish()?;
        }
        Ok(used)
    }

    /// The handshake has ended. Over TLS 1.3 rustls is not needed any more.
    fn establish(&mut self) -> Result<(), Fault> {
        self.stage = SessionStage::Established;
        let Layer::Rustls(connection, secrets) = &mut self.layer else {
            return Ok(());
        };
        self.is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let certificates = connection.peer_certificates();
        let certificate = certificates.and_then(|certificates| certificates.first());
        self.peer_certificate = certificate.map(|certificate| certificate.as_ref().into());
        let Some(secrets) = secrets.take() else {
            return Ok(());
        };
        let layer = std::mem::replace(&mut self.layer, Layer::Nobody);
        if let Layer::Rustls(connection, _) = layer {
            match Traffic::take_over(*connection, *secrets) {
                Ok(traffic) => self.layer = Layer::Traffic(traffic),
                Err(error) => {
                    self.stage = SessionStage::Failed;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Nothing goes on after this but the alert that says why. rustls must not be handed bytes any
    /// more: it would look for what it has seen of them before.
    fn fail(&mut self, error: rustls::Error) -> Fault {
        self.stage = SessionStage::Failed;
        let Layer::Rustls(connection, _) = &mut self.layer else {
            return error.into();
        };
        while connection.wants_write() {
            match connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(state)) => encode(state, &mut self.pending),
                Ok(_) | Err(_) => break,
            }
        }
        error.into()
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

/// Bytes of the record at the start of what arrived, once it is complete; all, where no record can
/// become of it: that is to be refused at once.
fn complete_bytes(arrived: &[u8]) -> Option<usize> {
    match record_bytes(arrived) {
        Ok(length) => length.filter(|&length| length <= arrived.len()),
        Err(_) => Some(arrived.len()),
    }
}

/// Bytes that are missing of the record (or of its header) that `partial` begins, if any are.
fn missing_bytes(partial: &[u8]) -> Option<usize> {
    let length = record_bytes(partial).ok()?.unwrap_or(HEADER_BYTES);
    Some(length.saturating_sub(partial.len())).filter(|&missing| missing > 0)
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
