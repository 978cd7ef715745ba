//! The key of one direction of a TLS 1.3 connection: records are encrypted or decrypted with it,
//! and the next key follows from it (RFC 8446 §5.2, §5.3, §7.2).
//!
//! Invariant: no nonce is used twice with a key. The nonce is the sequence number under a mask, and
//! every record that is encrypted takes a number; a new key begins at 0. Called by `traffic`.

use crate::egress::tls::secrets::Secret;
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::tls13::OkmBlock;
use rustls::{ConnectionTrafficSecrets, Tls13CipherSuite};
use shardcast_protocol::record::{ContentType, HEADER_BYTES, PLAINTEXT_BYTES_MAX};
use zeroize::Zeroizing;

/// What encrypts or decrypts one direction.
pub(super) struct TrafficKey {
    /// What the next key follows from.
    secret: Secret,
    key: Zeroizing<[u8; KEY_BYTES_MAX]>,
    /// The mask of nonces.
    iv: [u8; aead::NONCE_LEN],
    /// Of the next record.
    sequence: u64,
    /// The key made ready, 600 bytes: in use, and a while longer.
    cipher: Option<LessSafeKey>,
}

/// Why a record is not encrypted, or does not decrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unusable;

/// A record's content type and tag.
pub(super) const INNER_OVERHEAD_BYTES: usize = 1 + 16;
/// Of AES-256 and ChaCha20.
const KEY_BYTES_MAX: usize = 32;
/// The last sequence number that is used; it never wraps (§5.3).
const SEQUENCE_MAX: u64 = u64::MAX - 2;

impl TrafficKey {
    /// What rustls says of a direction: its secret, the number of its next record, and the key.
    pub(super) fn new(
        secret: Secret,
        (sequence, keys): (u64, ConnectionTrafficSecrets),
    ) -> Option<TrafficKey> {
        let (given, iv) = match &keys {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
            _ => return None,
        };
        let mut key = Zeroizing::new([0; KEY_BYTES_MAX]);
        key[..given.as_ref().len()].copy_from_slice(given.as_ref());
        Some(TrafficKey {
            secret,
            key,
            iv: iv.as_ref().try_into().ok()?,
            sequence,
            cipher: None,
        })
    }

    /// Decrypts a record in place; returns content, type and padding.
    ///
    /// # Errors
    /// It is damaged, or another record was due.
    pub(super) fn open<'r>(
        &mut self,
        suite: &'static Tls13CipherSuite,
        record: &'r mut [u8],
    ) -> Result<&'r [u8], Unusable> {
        let payload = record.get_mut(HEADER_BYTES..).ok_or(Unusable)?;
        let (nonce, header) = (self.nonce(), header(payload.len()));
        let opened = self
            .ready(suite)
            .open_in_place(nonce, Aad::from(header), payload)
            .map_err(|_| Unusable)?;
        self.sequence = self.sequence.checked_add(1).ok_or(Unusable)?;
        Ok(opened)
    }

    /// Appends a record of at most [`PLAINTEXT_BYTES_MAX`].
    ///
    /// # Errors
    /// No sequence number is left.
    pub(super) fn seal(
        &mut self,
        suite: &'static Tls13CipherSuite,
        kind: ContentType,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unusable> {
        debug_assert!(content.len() <= PLAINTEXT_BYTES_MAX);
        if self.sequence > SEQUENCE_MAX {
            return Err(Unusable);
        }
        let (nonce, header) = (self.nonce(), header(content.len() + INNER_OVERHEAD_BYTES));
        // Taken whatever comes of it.
        self.sequence += 1;
        out.reserve(HEADER_BYTES + content.len() + INNER_OVERHEAD_BYTES);
        let start = out.len();
        out.extend_from_slice(&header);
        out.extend_from_slice(content);
        out.push(kind as u8);
        let sealed = self.ready(suite).seal_in_place_separate_tag(
            nonce,
            Aad::from(header),
            &mut out[start + HEADER_BYTES..],
        );
        match sealed {
            Ok(tag) => out.extend_from_slice(tag.as_ref()),
            Err(_) => {
                // What is not encrypted does not leave.
                out.truncate(start);
                return Err(Unusable);
            }
        }
        Ok(())
    }

    /// Appends a record as no honest peer makes one: with this type and version, and `inner` for
    /// content, type and padding.
    #[cfg(test)]
    pub(super) fn forge(
        &mut self,
        suite: &'static Tls13CipherSuite,
        start: [u8; 3],
        inner: &[u8],
        out: &mut Vec<u8>,
    ) {
        let (nonce, header) = (self.nonce(), header(inner.len() + 16));
        self.sequence += 1;
        out.extend_from_slice(&start);
        out.extend_from_slice(&header[3..]);
        let (aad, mut sealed) = (Aad::from(header), inner.to_vec());
        let sealing = self.ready(suite);
        let tagged = sealing.seal_in_place_append_tag(nonce, aad, &mut sealed);
        tagged.expect("a key");
        out.extend_from_slice(&sealed);
    }

    /// Whether `records` more would use the key up (§5.5): as many as rustls encrypts with one. A
    /// new key is not replaced.
    pub(super) fn wears_out(&self, suite: &'static Tls13CipherSuite, records: u64) -> bool {
        let limit = suite.common.confidentiality_limit.min(SEQUENCE_MAX);
        self.sequence > 0 && self.sequence.saturating_add(records) >= limit
    }

    /// The next key (§7.2) takes over.
    pub(super) fn update(&mut self, suite: &'static Tls13CipherSuite) {
        let bytes = suite
            .hkdf_provider
            .expander_for_okm(&OkmBlock::new(&[]))
            .hash_len();
        let mut next = Zeroizing::new([0; crate::egress::tls::secrets::SECRET_BYTES_MAX]);
        expand_label(
            suite,
            &self.secret[..bytes],
            b"traffic upd",
            &mut next[..bytes],
        );
        self.secret = next;
        let (mut key, mut iv) = (Zeroizing::new([0; KEY_BYTES_MAX]), [0; aead::NONCE_LEN]);
        let key_bytes = algorithm(suite).key_len();
        expand_label(suite, &self.secret[..bytes], b"key", &mut key[..key_bytes]);
        expand_label(suite, &self.secret[..bytes], b"iv", &mut iv);
        (self.key, self.iv, self.sequence, self.cipher) = (key, iv, 0, None);
    }

    /// Whether the key takes the memory that its use needs.
    pub(super) fn is_ready(&self) -> bool {
        self.cipher.is_some()
    }

    /// Gives that memory back.
    pub(super) fn rest(&mut self) {
        self.cipher = None;
    }

    fn ready(&mut self, suite: &'static Tls13CipherSuite) -> &LessSafeKey {
        let key = &self.key;
        self.cipher.get_or_insert_with(|| {
            let algorithm = algorithm(suite);
            let key = UnboundKey::new(algorithm, &key[..algorithm.key_len()]);
            LessSafeKey::new(key.expect("as many bytes as the algorithm has"))
        })
    }

    /// §5.3: the sequence number, from the right, under the mask.
    fn nonce(&self) -> Nonce {
        let mut nonce = self.iv;
        let numbered = nonce.iter_mut().rev().zip(self.sequence.to_le_bytes());
        numbered.for_each(|(byte, number)| *byte ^= number);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// §5.2: every record says that it holds application data of TLS 1.2, and is authenticated as one
/// that does.
fn header(payload_bytes: usize) -> [u8; HEADER_BYTES] {
    let [high, low] = (payload_bytes as u16).to_be_bytes();
    [ContentType::ApplicationData as u8, 3, 3, high, low]
}

fn algorithm(suite: &'static Tls13CipherSuite) -> &'static aead::Algorithm {
    match suite.common.suite {
        rustls::CipherSuite::TLS13_AES_128_GCM_SHA256 => &aead::AES_128_GCM,
        rustls::CipherSuite::TLS13_AES_256_GCM_SHA384 => &aead::AES_256_GCM,
        _ => &aead::CHACHA20_POLY1305,
    }
}

/// HKDF-Expand-Label without a context (§7.1).
fn expand_label(suite: &'static Tls13CipherSuite, secret: &[u8], label: &[u8], out: &mut [u8]) {
    const PREFIX: &[u8] = b"tls13 ";
    let bytes = (out.len() as u16).to_be_bytes();
    let label_bytes = [(PREFIX.len() + label.len()) as u8];
    let info = [&bytes[..], &label_bytes, PREFIX, label, &[0]];
    let expander = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(secret));
    let expanded = expander.expand_slice(&info, out);
    expanded.expect("shorter than 255 hashes");
}
