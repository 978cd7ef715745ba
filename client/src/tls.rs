//! TLS: whom a client trusts, and what it shows.
//!
//! Invariant: nothing but a certificate that chains to a trusted authority and names the host is
//! taken. Used by the options and by what connects.

use crate::error::{Error, ErrorKind};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Whom a connection under TLS trusts, and what it shows.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Who vouches for servers.
    pub authorities: Authorities,
    /// What the client shows a server that asks for it.
    pub identity: Option<Identity>,
}

/// Who vouches for servers.
#[derive(Clone, Default)]
pub enum Authorities {
    /// Whom this host trusts.
    #[default]
    System,
    /// Those of this file, in PEM. It is read before each connection, so it may change.
    File(PathBuf),
    /// As a configuration of rustls has it; `identity` is then that configuration's.
    Config(Arc<ClientConfig>),
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Authorities::System => f.write_str("System"),
            Authorities::File(path) => f.debug_tuple("File").field(path).finish(),
            Authorities::Config(_) => f.write_str("Config"),
        }
    }
}

/// A certificate of a client with its key, as files in PEM. They are read before each connection.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, and those between it and its authority.
    pub certificates: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Tls {
    /// The configuration for a connection. Reads files, so it is called where that may take a
    /// while.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let file = match &self.authorities {
            Authorities::Config(config) => return Ok(Arc::clone(config)),
            Authorities::System => None,
            Authorities::File(path) => Some(path),
        };
        let mut roots = RootCertStore::empty();
        match file {
            None => {
                let found = rustls_native_certs::load_native_certs();
                let (added, _unreadable) = roots.add_parsable_certificates(found.certs);
                if added == 0 {
                    let message = "this host trusts nobody: see the option `tls.authorities`";
                    return Err(Error::new(ErrorKind::Connect, message));
                }
            }
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(failed)?;
                }
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity {
                certificates: path,
                key,
            }) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(failed)?;
                builder
                    .with_client_auth_cert(certificates(path)?, key)
                    .map_err(failed)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).map_err(failed)?;
    read.collect::<Result<_, _>>().map_err(failed)
}

fn failed(error: impl Into<crate::error::BoxError>) -> Error {
    Error::caused(ErrorKind::Connect, error)
}
