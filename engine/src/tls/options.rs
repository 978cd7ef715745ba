//! How TLS is set up, and what can be wrong with it.

use super::Identity;

/// What a listener's TLS is made of.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// At least one. A client that names a server (SNI) gets the first identity that bears the name, every other client the first of all.
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

/// Whether clients must show a certificate (mutual TLS), and who may have issued it (PEM, one or more).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Clients are not asked.
    NotAsked,
    /// A client may come without one; one that it shows must be valid.
    Optional(Vec<u8>),
    /// A client without a valid one is refused with an alert.
    Required(Vec<u8>),
}

/// Why TLS cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No certificate in the PEM.
    #[error("there is no certificate in it (PEM, `BEGIN CERTIFICATE`)")]
    CertificateMissing,
    /// A certificate that cannot be parsed.
    #[error("the certificate cannot be read: {0}")]
    CertificateUnreadable(String),
    /// No private key in the PEM.
    #[error(
        "there is no private key in it (PEM, `BEGIN PRIVATE KEY`, `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY`)"
    )]
    KeyMissing,
    /// The key is behind a passphrase (PKCS#8 `ENCRYPTED PRIVATE KEY`, or RFC 1421 `Proc-Type`),
    /// and nobody can be asked for one.
    #[error("the private key is encrypted: `openssl pkey -in FILE -out FILE` writes it in plain")]
    KeyEncrypted,
    /// The PEM around the key is damaged.
    #[error("the private key cannot be read: {0}")]
    KeyUnreadable(String),
    /// A key that is well-formed PEM, and damaged inside or of another kind.
    #[error(
        "the private key is none that TLS can be served with: RSA of 2,048 to 8,192 bits, ECDSA P-256, P-384 or P-521, Ed25519"
    )]
    KeyUnsupported,
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// `identities` is empty.
    #[error("TLS needs at least one certificate")]
    IdentityMissing,
    /// The certificates that client certificates are checked against cannot be used.
    #[error("the certificates for checking clients cannot be used: {0}")]
    ClientAuthority(String),
    /// The operating system gives no random numbers, or rustls refuses the combination.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}
