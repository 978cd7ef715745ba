//! Who a server says it is: a certificate chain and the key that belongs to it. One that exists is
//! known to fit together.

use crate::egress::tls::error::TlsError;
use crate::egress::tls::provider::provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

/// A certificate chain with its private key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// From PEM: the chain (the server's certificate first, then intermediates), and the key
    /// (PKCS#8, PKCS#1 or SEC1; RSA of 2048 bits and more, ECDSA P-256 or P-384, Ed25519). Other
    /// PEM sections are passed over.
    ///
    /// # Errors
    /// One of the two is missing or unreadable, or the key is another certificate's.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Identity, TlsError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsError::CertificateUnreadable(error.to_string()))?;
        if chain.is_empty() {
            return Err(TlsError::CertificateMissing);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            _ if is_encrypted(key) => TlsError::KeyEncrypted,
            rustls::pki_types::pem::Error::NoItemsFound => TlsError::KeyMissing,
            error => TlsError::KeyUnreadable(error.to_string()),
        })?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_| TlsError::KeyUnsupported)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Identity(Arc::new(certified)))
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::KeyMismatch),
            Err(error) => Err(TlsError::CertificateUnreadable(error.to_string())),
        }
    }

    /// The server's certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        self.0.cert.first().map_or(&[], AsRef::as_ref)
    }

    /// Whether the certificate names this server (RFC 6125, by `subjectAltName`; a wildcard stands
    /// for one label).
    pub(super) fn names(&self, server: &str) -> bool {
        let (Ok(certificate), Ok(server)) =
            (self.0.end_entity_cert(), ServerName::try_from(server))
        else {
            return false;
        };
        ParsedCertificate::try_from(certificate).is_ok_and(|certificate| {
            rustls::client::verify_server_name(&certificate, &server).is_ok()
        })
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.0
    }
}

/// Whether a passphrase protects the key: as PKCS#8 (RFC 7468 §11), or as older OpenSSL writes it
/// (RFC 1421 §4.6.1.1).
fn is_encrypted(pem: &[u8]) -> bool {
    let marks = [
        &b"BEGIN ENCRYPTED PRIVATE KEY"[..],
        b"Proc-Type: 4,ENCRYPTED",
    ];
    let has = |mark: &[u8]| pem.windows(mark.len()).any(|window| window == mark);
    marks.into_iter().any(has)
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.0.cert.len())
            .finish_non_exhaustive()
    }
}
