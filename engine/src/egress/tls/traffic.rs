//! A TLS 1.3 connection after its handshake: records in, plain bytes out, and back, in a tenth of
//! the memory that rustls keeps for it (ARCHITECTURE.md says why it is the same protocol).
//!
//! Invariant: what the peer may see or cause is what it would with rustls. Called by sessions.

use crate::egress::tls::keys::{TrafficKey, Unusable};
use crate::egress::tls::secrets::TrafficSecrets;
use rustls::server::UnbufferedServerConnection;
use rustls::{SupportedCipherSuite, Tls13CipherSuite};
use shardcast_protocol::record::{
    Alert, ContentType, KeyUpdate, PLAINTEXT_BYTES_MAX, RecordContent, RecordError, RecordReader,
    record_bytes,
};

/// Both directions of a connection.
pub(super) struct Traffic {
    suite: &'static Tls13CipherSuite,
    incoming: TrafficKey,
    outgoing: TrafficKey,
    reader: RecordReader,
    /// The peer has asked for a new key (RFC 8446 §4.6.3); it gets one before whatever is sent
    /// next, however often it has asked.
    is_update_due: bool,
}

/// How far the bytes were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordProgress {
    /// So many; the rest is the beginning of a record.
    Taken(usize),
    /// The peer sends nothing more.
    Closed,
}

impl Traffic {
    /// Takes a connection over from rustls, which has read the record that ended the handshake and
    /// none behind it.
    ///
    /// # Errors
    /// rustls does not hand it over.
    pub(super) fn take_over(
        connection: UnbufferedServerConnection,
        secrets: TrafficSecrets,
    ) -> Result<Traffic, rustls::Error> {
        let (extracted, connection) = connection.dangerous_into_kernel_connection()?;
        let TrafficSecrets { client, server } = secrets;
        let parts = (
            connection.negotiated_cipher_suite(),
            TrafficKey::new(client, extracted.rx),
            TrafficKey::new(server, extracted.tx),
        );
        let (SupportedCipherSuite::Tls13(suite), Some(incoming), Some(outgoing)) = parts else {
            return Err(rustls::Error::General("not TLS 1.3".to_owned()));
        };
        Ok(Traffic {
            suite,
            incoming,
            outgoing,
            reader: RecordReader::new(),
            is_update_due: false,
        })
    }

    /// Decrypts the complete records at the start of `bytes` in place; what they say is appended to
    /// `plain`.
    ///
    /// # Errors
    /// The peer broke the protocol. What came before is in `plain`.
    pub(super) fn receive(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<RecordProgress, RecordError> {
        let mut taken = 0;
        while let Some(length) = record_bytes(&bytes[taken..])?
            && let Some(record) = bytes.get_mut(taken..taken + length)
        {
            self.reader.refuse_plain(record)?;
            let inner = self
                .incoming
                .open(self.suite, record)
                .map_err(|Unusable| RecordError::Undecryptable)?;
            match self.reader.read(inner)? {
                RecordContent::Data(data) => plain.extend_from_slice(data),
                RecordContent::KeyUpdate(request) => {
                    self.incoming.update(self.suite);
                    self.is_update_due |= request == KeyUpdate::Requested;
                }
                RecordContent::Closed => return Ok(RecordProgress::Closed),
                RecordContent::Nothing => {}
            }
            taken += length;
        }
        Ok(RecordProgress::Taken(taken))
    }

    /// Appends `plain`, in as few records as possible.
    ///
    /// # Errors
    /// No key is left to encrypt with.
    pub(super) fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Unusable> {
        self.update_if_due(out)?;
        let records = plain.len().div_ceil(PLAINTEXT_BYTES_MAX) as u64;
        if self.outgoing.wears_out(self.suite, records) {
            self.update(KeyUpdate::Requested, out)?;
        }
        for content in plain.chunks(PLAINTEXT_BYTES_MAX) {
            let kind = ContentType::ApplicationData;
            self.outgoing.seal(self.suite, kind, content, out)?;
        }
        Ok(())
    }

    /// Appends an alert (§6).
    ///
    /// # Errors
    /// As for [`Traffic::encrypt`].
    pub(super) fn alert(&mut self, alert: Alert, out: &mut Vec<u8>) -> Result<(), Unusable> {
        self.update_if_due(out)?;
        let kind = ContentType::Alert;
        self.outgoing.seal(self.suite, kind, &alert.encode(), out)
    }

    /// Whether it takes the memory that using its keys needs.
    pub(super) fn is_ready(&self) -> bool {
        self.incoming.is_ready() || self.outgoing.is_ready()
    }

    /// Gives that memory back. The next record takes it again.
    pub(super) fn rest(&mut self) {
        self.incoming.rest();
        self.outgoing.rest();
    }

    fn update_if_due(&mut self, out: &mut Vec<u8>) -> Result<(), Unusable> {
        match std::mem::take(&mut self.is_update_due) {
            true => self.update(KeyUpdate::NotRequested, out),
            false => Ok(()),
        }
    }

    /// Says so under the key at hand, and goes on to the next (§7.2).
    fn update(&mut self, request: KeyUpdate, out: &mut Vec<u8>) -> Result<(), Unusable> {
        let kind = ContentType::Handshake;
        self.outgoing
            .seal(self.suite, kind, &request.encode(), out)?;
        self.outgoing.update(self.suite);
        Ok(())
    }
}
