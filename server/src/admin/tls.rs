//! TLS of the admin port, and operators who show a certificate.
//!
//! Invariant: a certificate that is shown was issued by one of `admin.client_ca` and is valid, or
//! the handshake fails; one that is not shown proves nothing, so probes need none. Files are read
//! at start and on SIGHUP; what cannot be used leaves what was.

use crate::bounded::read_file;
use crate::config::AdminTlsFiles;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// What proves that a connection is an operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing that the connection brought.
    None,
    /// A certificate that `admin.client_ca` has issued.
    Certificate,
}

/// The port's certificate, exchanged while it serves.
pub(crate) struct AdminTls(RwLock<TlsAcceptor>);

/// Files that were read again.
pub(crate) struct ReadAdminTls(TlsAcceptor);

impl ReadAdminTls {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(crate) fn read(files: AdminTlsFiles<'_>) -> Result<ReadAdminTls, BadAdminTls> {
        acceptor(files).map(ReadAdminTls)
    }
}

/// A file that TLS cannot be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {path:?}: {why}")]
pub(crate) struct BadAdminTls {
    key: &'static str,
    path: String,
    why: String,
}

impl AdminTls {
    /// Longest file in bytes.
    const FILE_BYTES_MAX: u64 = 1 << 20;

    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(crate) fn new(files: AdminTlsFiles<'_>) -> Result<AdminTls, BadAdminTls> {
        acceptor(files).map(RwLock::new).map(AdminTls)
    }

    /// Connections from now on get these.
    pub(crate) fn replace(&self, ReadAdminTls(acceptor): ReadAdminTls) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
    }

    /// Shakes hands with a connection.
    ///
    /// # Errors
    /// It does not speak TLS, goes, or shows a certificate of somebody else's.
    pub(crate) async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        acceptor.accept(socket).await
    }
}

impl Proof {
    /// What an open connection has proved.
    pub(crate) fn of(stream: &TlsStream<TcpStream>) -> Proof {
        let (_, connection) = stream.get_ref();
        match connection.peer_certificates() {
            Some([_, ..]) => Proof::Certificate,
            Some([]) | None => Proof::None,
        }
    }
}

fn acceptor(files: AdminTlsFiles<'_>) -> Result<TlsAcceptor, BadAdminTls> {
    let chain = certificates("admin.certificate", files.certificate)?;
    let secret = read("admin.key", files.key)?;
    let bad_key = |why: &dyn fmt::Display| bad("admin.key", files.key, why);
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| bad_key(&error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| bad_key(&error))?;
    let config = match files.client_ca {
        None => config.with_no_client_auth(),
        Some(path) => {
            let bad_ca = |why: &dyn fmt::Display| bad("admin.client_ca", path, why);
            let mut roots = RootCertStore::empty();
            for certificate in certificates("admin.client_ca", path)? {
                roots.add(certificate).map_err(|error| bad_ca(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| bad_ca(&error))?;
            config.with_client_cert_verifier(verifier)
        }
    };
    let config = config.with_single_cert(chain, secret);
    let config = config.map_err(|error| bad_key(&error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The certificates of a file, at least one.
fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, BadAdminTls> {
    let bytes = read(key, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(bad(key, path, &"there is no certificate in it"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(bad(key, path, &error)),
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, BadAdminTls> {
    read_file(path, AdminTls::FILE_BYTES_MAX).map_err(|error| bad(key, path, &error))
}

fn bad(key: &'static str, path: &Path, why: &dyn fmt::Display) -> BadAdminTls {
    BadAdminTls {
        key,
        path: path.display().to_string(),
        why: why.to_string(),
    }
}

impl fmt::Debug for AdminTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminTls")
    }
}
