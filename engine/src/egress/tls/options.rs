//! How TLS is set up, and what can be wrong with it.

use crate::egress::tls::identity::Identity;

/// What a listener's TLS is made of.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// At least one. A client that names a server (SNI) gets the first identity that bears the
    /// name, every other client the first of all.
    pub identities: Vec<Identity>,
    /// Older versions are refused with an alert.
    pub minimum: TlsVersion,
    /// Whether clients show certificates.
    pub clients: ClientCertificates,
}

impl TlsOptions {
    /// One identity, TLS 1.2 and newer, no client certificates.
    pub fn new(identity: Identity) -> TlsOptions {
        TlsOptions {
            identities: vec![identity],
            minimum: TlsVersion::V1_2,
            clients: ClientCertificates::NotAsked,
        }
    }
}

/// A version of TLS; older ones are not spoken (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246, with forward secrecy and AEAD only.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// Whether clients must show a certificate (mutual TLS), and who may have issued it (PEM, one or
/// more).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Clients are not asked.
    NotAsked,
    /// A client may come without one; one that it shows must be valid.
    Optional(Vec<u8>),
    /// A client without a valid one is refused with an alert.
    Required(Vec<u8>),
}
