//! What servers over TLS show in a comparison: a self-signed certificate for ECDSA over P-256, the same for all, made anew each time.
//! Called by `prepare`.

use crate::prepare::Places;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::fs;
use std::io;

/// Writes certificate and key where [`Places`] has them.
///
/// # Errors
/// The files cannot be written.
pub fn write(places: &Places) -> io::Result<()> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)
        .and_then(|wanted| wanted.self_signed(&key))
        .map_err(io::Error::other)?;
    fs::write(places.certificate(), certificate.pem())?;
    fs::write(places.key(), key.serialize_pem())
}
