//! What servers over TLS show in a comparison: a self-signed certificate for ECDSA over P-256, the
//! same for all, made anew each time. Called by `prepare`.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::fs;
use std::io;
use std::path::Path;

/// Writes certificate and key.
///
/// # Errors
/// The files cannot be written.
pub fn write(certificate_file: &Path, key_file: &Path) -> io::Result<()> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)
        .and_then(|wanted| wanted.self_signed(&key))
        .map_err(io::Error::other)?;
    fs::write(certificate_file, certificate.pem())?;
    fs::write(key_file, key.serialize_pem())
}
