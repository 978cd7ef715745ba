//! The way to a NATS server: its address, TLS, and the greeting with which a client comes in.
//!
//! Invariant: a dial ends within [`NatsDial::TIMEOUT`], and what it gives back has heard a `PONG`:
//! the server has taken the client. Used by the connection.

use crate::broker::nats::login::{BadNatsLogin, NatsLogin};
use crate::broker::nats::wire::{BadNats, NatsOp, put_line, read_op};
use crate::broker::options::{BadCluster, BrokerTls, Cluster};
use bytes::BytesMut;
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// What a node needs to come in.
pub(super) struct NatsDial {
    servers: Vec<NatsServer>,
    tls: TlsConnector,
    login: NatsLogin,
    name: String,
}

/// One server of several.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NatsServer {
    host: String,
    port: u16,
    scheme: NatsScheme,
}

/// Whether TLS is wanted; a server that requires it gets it anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NatsScheme {
    Nats,
    Tls,
}

/// A connection that stands.
pub(super) struct NatsDialled {
    pub(super) stream: Box<dyn NatsStream>,
    /// What came behind the greeting.
    pub(super) came: BytesMut,
    /// Largest payload that the server takes, header included.
    pub(super) payload_bytes_max: usize,
    /// Who answered, for the log.
    pub(super) server: String,
}

/// A stream of bytes, in plain or under TLS.
pub(super) trait NatsStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> NatsStream for S {}

/// What a server says of itself.
#[derive(Debug, Deserialize)]
struct NatsInfo {
    #[serde(default)]
    server_name: String,
    #[serde(default)]
    version: String,
    max_payload: u64,
    #[serde(default)]
    headers: bool,
    #[serde(default)]
    tls_required: bool,
    #[serde(default)]
    nonce: Option<String>,
}

/// Why a node cannot come in.
#[derive(Debug, thiserror::Error)]
pub(super) enum NatsDialError {
    #[error("no answer within {} s", NatsDial::TIMEOUT.as_secs())]
    Timeout,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Protocol(#[from] BadNats),
    #[error("{0}")]
    NatsLogin(#[from] BadNatsLogin),
    #[error("the server says of itself what cannot be read: {0}")]
    Info(#[from] serde_json::Error),
    #[error("the server is too old: it takes no headers")]
    Headers,
    #[error("the server refuses: {0}")]
    Refused(Box<str>),
}

impl NatsDial {
    /// For one server, from the name to the greeting.
    pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

    /// # Errors
    /// For the operator: what of the configuration cannot be used.
    pub(super) fn new(cluster: &Cluster) -> Result<NatsDial, BadCluster> {
        let bad = |key, why| BadCluster { key, why };
        let servers: Option<Vec<NatsServer>> = cluster
            .urls
            .iter()
            .map(|url| NatsServer::read(url))
            .collect();
        let servers = servers.filter(|servers| !servers.is_empty());
        Ok(NatsDial {
            servers: servers.ok_or_else(|| {
                bad(
                    "url",
                    "NATS has URLs as nats://HOST:PORT or tls://HOST:PORT".to_owned(),
                )
            })?,
            tls: connector(&cluster.tls).map_err(|why| bad("tls_ca", why))?,
            login: NatsLogin::new(&cluster.credentials)
                .map_err(|why| bad("credentials_file", why))?,
            name: cluster.node.clone(),
        })
    }

    /// Servers that may be dialled.
    pub(super) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Comes in at the server with this number, counted round.
    pub(super) async fn dial(&self, number: usize) -> Result<NatsDialled, NatsDialError> {
        let server = &self.servers[number % self.servers.len()];
        let dialled = tokio::time::timeout(NatsDial::TIMEOUT, self.come_in(server));
        dialled.await.unwrap_or(Err(NatsDialError::Timeout))
    }

    async fn come_in(&self, server: &NatsServer) -> Result<NatsDialled, NatsDialError> {
        let mut plain = TcpStream::connect((server.host.as_str(), server.port)).await?;
        plain.set_nodelay(true)?;
        let mut came = BytesMut::new();
        let info = match next(&mut plain, &mut came).await? {
            NatsOp::Info(json) => serde_json::from_slice::<NatsInfo>(&json)?,
            NatsOp::Error(text) => return Err(NatsDialError::Refused(text)),
            _ => return Err(BadNats::Operation.into()),
        };
        if !info.headers {
            return Err(NatsDialError::Headers);
        }
        let mut stream: Box<dyn NatsStream> =
            if info.tls_required || server.scheme == NatsScheme::Tls {
                // What came in plain behind the greeting is nobody's.
                came.clear();
                let name = ServerName::try_from(server.host.clone());
                let name = name.map_err(io::Error::other)?;
                Box::new(self.tls.connect(name, plain).await?)
            } else {
                Box::new(plain)
            };
        let mut greeting = BytesMut::new();
        put_line(&mut greeting, &["CONNECT", &self.greeting(&info)?]);
        put_line(&mut greeting, &["PING"]);
        stream.write_all(&greeting).await?;
        stream.flush().await?;
        loop {
            match next(&mut stream, &mut came).await? {
                NatsOp::Pong => break,
                NatsOp::Error(text) => return Err(NatsDialError::Refused(text)),
                NatsOp::Ok | NatsOp::Info(_) => {}
                NatsOp::Ping | NatsOp::Message(_) => return Err(BadNats::Operation.into()),
            }
        }
        Ok(NatsDialled {
            stream,
            came,
            payload_bytes_max: usize::try_from(info.max_payload).unwrap_or(usize::MAX),
            server: format!("{} {}", info.server_name, info.version),
        })
    }

    /// What a client says of itself.
    fn greeting(&self, info: &NatsInfo) -> Result<String, NatsDialError> {
        let mut greeting = serde_json::json!({
            "verbose": false,
            "pedantic": false,
            "lang": "rust",
            "name": format!("shardcast {}", self.name),
            "version": env!("CARGO_PKG_VERSION"),
            "protocol": 1,
            // A node knows what it has said itself.
            "echo": false,
            "headers": true,
            "no_responders": true,
        });
        for (field, value) in self.login.fields(info.nonce.as_deref())? {
            greeting[field] = value.into();
        }
        Ok(greeting.to_string())
    }
}

impl NatsServer {
    const PORT: u16 = 4222;

    fn read(url: &str) -> Option<NatsServer> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme {
            "nats" => NatsScheme::Nats,
            "tls" => NatsScheme::Tls,
            _ => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            // An address of IPv6 stands in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (rest, NatsServer::PORT),
        };
        let host = host
            .strip_prefix('[')
            .map_or(Some(host), |host| host.strip_suffix(']'))?;
        let is_host = !host.is_empty() && !host.contains(['@', '/', '?', '#', '[', ']']);
        is_host.then(|| NatsServer {
            host: host.to_owned(),
            port,
            scheme,
        })
    }
}

/// The next thing that the server says.
async fn next(
    stream: &mut (impl AsyncRead + Unpin),
    came: &mut BytesMut,
) -> Result<NatsOp, NatsDialError> {
    loop {
        if let Some(op) = read_op(came)? {
            return Ok(op);
        }
        if stream.read_buf(came).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

fn connector(tls: &BrokerTls) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                let added = roots.add(certificate);
                added.map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            let (_taken, _skipped) =
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let config = match &tls.certificate {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let shown = key.display();
            let key = PrivateKeyDer::from_pem_file(key);
            let key = key.map_err(|error| format!("{shown}: {error}"))?;
            let config = config.with_client_auth_cert(certificates(chain)?, key);
            config.map_err(|error| format!("{shown}: {error}"))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.map_err(|error| format!("{shown}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host_and_a_port() {
        for (url, host, port, scheme) in [
            ("nats://a", "a", 4222, NatsScheme::Nats),
            ("nats://a:1/", "a", 1, NatsScheme::Nats),
            ("tls://a.b:65535", "a.b", 65535, NatsScheme::Tls),
            ("nats://127.0.0.1:4222", "127.0.0.1", 4222, NatsScheme::Nats),
            ("tls://[::1]:1", "::1", 1, NatsScheme::Tls),
            ("tls://[::1]", "::1", 4222, NatsScheme::Tls),
        ] {
            let expected = NatsServer {
                host: host.to_owned(),
                port,
                scheme,
            };
            assert_eq!(NatsServer::read(url), Some(expected), "{url}");
        }
        for none in [
            "a:1",
            "redis://a:1",
            "nats://",
            "nats://:1",
            "nats://a:x",
            "nats://a:65536",
            "nats://u:p@a:1",
            "nats://a/b",
            "nats://[::1:1",
            "nats://a?x",
            "",
        ] {
            assert_eq!(NatsServer::read(none), None, "{none}");
        }
    }
}
