//! Making a connection: addresses, proxy, TLS, the opening handshake.
//!
//! Invariant: a connection that is handed out has been upgraded to the WebSocket protocol, with
//! what was agreed on. Called by the driver, which bounds the time.

mod eyeballs;
mod stream;
mod tunnel;
mod upgrade;

pub(crate) use stream::Transport;

use crate::address::Security;
use crate::core::Agreed;
use crate::end::End;
use crate::error::{Error, ErrorKind};
use crate::options::Settled;
use crate::tls::Authorities;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// A connection that is a WebSocket.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) transport: Transport,
    pub(crate) agreed: Agreed,
    /// What came behind the handshake.
    pub(crate) early: Vec<u8>,
}

/// Makes the connections of one client.
#[derive(Debug)]
pub(crate) struct Connector {
    settled: Arc<Settled>,
    /// Whom the host trusts, read once. Files are read each time, for they change.
    system: OnceLock<Arc<ClientConfig>>,
}

impl Connector {
    pub(crate) fn new(settled: Arc<Settled>) -> Connector {
        Connector {
            settled,
            system: OnceLock::new(),
        }
    }

    /// Connects to the endpoint with this index.
    pub(crate) async fn connect(
        &self,
        endpoint: usize,
        token: Option<String>,
        nonce: [u8; 16],
    ) -> Result<Opened, End> {
        let options = &self.settled.options;
        let (at, proxy) = (
            &self.settled.endpoints[endpoint],
            &self.settled.proxies[endpoint],
        );
        let failed = |error: Error| End::abnormal(Some(error));
        let socket = match proxy {
            None => eyeballs::connect(&at.host, at.port).await.map_err(failed)?,
            Some(proxy) => tunnel::connect(proxy, &at.host, at.port)
                .await
                .map_err(failed)?,
        };
        _ = socket.set_nodelay(true);
        let transport = match at.security {
            Security::Plain => Transport::Plain(socket),
            Security::Tls => self.secure(&at.host, socket).await.map_err(failed)?,
        };
        upgrade::open(transport, at, options, token.as_deref(), nonce).await
    }

    async fn secure(&self, host: &str, socket: TcpStream) -> Result<Transport, Error> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| Error::caused(ErrorKind::Connect, error))?;
        let config = self.tls().await?;
        let stream = TlsConnector::from(config).connect(name, socket).await;
        let stream = stream.map_err(|error| Error::caused(ErrorKind::Connect, error))?;
        Ok(Transport::Tls(Box::new(stream)))
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.system.get() {
            return Ok(Arc::clone(config));
        }
        let tls = self.settled.options.tls.clone();
        let is_lasting = !matches!(tls.authorities, Authorities::File(_)) && tls.identity.is_none();
        let read = tokio::task::spawn_blocking(move || tls.config()).await;
        let config = read.map_err(|error| Error::caused(ErrorKind::Connect, error))??;
        match is_lasting {
            true => Ok(Arc::clone(self.system.get_or_init(|| config))),
            false => Ok(config),
        }
    }
}
