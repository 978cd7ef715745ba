//! Why TLS cannot be configured.

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
