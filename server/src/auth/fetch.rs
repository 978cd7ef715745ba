//! A URL that this server asks, over TLS or in the clear from this host alone; and one GET of a
//! small document.
//!
//! Invariants: a GET takes [`FetchUrl::TIMEOUT`] at most and reads [`FetchUrl::BYTES_MAX`] bytes at
//! most; a redirect is an error, for whoever answers must be whom the configuration names. Used for
//! sets of keys, and for webhooks, which make their own requests.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// A URL that may be fetched.
#[derive(Clone)]
pub(crate) struct FetchUrl {
    uri: Uri,
    host: String,
    port: u16,
    /// `None`: in the clear.
    tls: Option<TlsConnector>,
}

/// From where a document may come that is not encrypted on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainHttp {
    ThisHost,
    Anywhere,
}

/// A connection, encrypted or not.
pub(crate) trait FetchStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> FetchStream for S {}

impl fmt::Debug for FetchUrl {
    /// Without the query, which may bear a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FetchUrl({}:{}{})",
            self.host,
            self.port,
            self.uri.path()
        )
    }
}

/// Why a document was not fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("it did not come within {} s", FetchUrl::TIMEOUT.as_secs())]
    Timeout,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer is {0}, and redirects are not followed")]
    Redirect(StatusCode),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("it is longer than {} bytes, or was cut", FetchUrl::BYTES_MAX)]
    Body,
}

impl FetchUrl {
    /// How long a fetch may take, all in all.
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
    /// Longest document.
    pub(crate) const BYTES_MAX: usize = 256 << 10;

    /// A URL; `authorities` is a file of certificates in PEM that servers are trusted by instead of
    /// those of the host.
    ///
    /// # Errors
    /// Why it cannot be fetched, for the operator.
    pub(crate) fn new(text: &str, authorities: Option<&Path>) -> Result<FetchUrl, String> {
        FetchUrl::with(text, authorities, PlainHttp::ThisHost)
    }

    /// The same, where plain HTTP may be taken from elsewhere, too.
    pub(crate) fn with(
        text: &str,
        authorities: Option<&Path>,
        plain: PlainHttp,
    ) -> Result<FetchUrl, String> {
        let uri: Uri = text.parse().map_err(|_| "it is no URL".to_owned())?;
        let host = uri.host().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        let (tls, port) = match uri.scheme_str() {
            Some("https") => (Some(connector(authorities)?), 443),
            Some("http") if plain == PlainHttp::Anywhere || is_this_host(&host) => (None, 80),
            Some("http") => {
                return Err("http is taken from this host only: use https".to_owned());
            }
            _ => return Err("it must begin with https://".to_owned()),
        };
        if host.is_empty()
            || uri
                .authority()
                .is_some_and(|given| given.as_str().contains('@'))
        {
            return Err("it must name a host, and no user".to_owned());
        }
        Ok(FetchUrl {
            port: uri.port_u16().unwrap_or(port),
            uri,
            host,
            tls,
        })
    }

    /// Fetches the document.
    pub(crate) async fn get(&self) -> Result<Bytes, FetchError> {
        let fetched = tokio::time::timeout(FetchUrl::TIMEOUT, self.get_without_end());
        fetched.await.unwrap_or(Err(FetchError::Timeout))
    }

    async fn get_without_end(&self) -> Result<Bytes, FetchError> {
        self.ask(self.connect().await?).await
    }

    /// A new connection to the host.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn FetchStream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone());
                let name = name.map_err(|error| io::Error::other(error.to_string()))?;
                Ok(Box::new(tls.connect(name, stream).await?))
            }
        }
    }

    /// Path and query.
    pub(crate) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Host and port, as the URL names them.
    pub(crate) fn authority(&self) -> &str {
        self.uri
            .authority()
            .map_or("", |authority| authority.as_str())
    }

    async fn ask(&self, stream: Box<dyn FetchStream>) -> Result<Bytes, FetchError> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(self.path())
            .header(header::HOST, self.authority())
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .expect("parts of a URL that was read");
        let answered = async move {
            let answer = sender.send_request(request).await?;
            match answer.status() {
                StatusCode::OK => {}
                status if status.is_redirection() => return Err(FetchError::Redirect(status)),
                status => return Err(FetchError::Status(status)),
            }
            let body = Limited::new(answer.into_body(), FetchUrl::BYTES_MAX);
            let body = body.collect().await.map_err(|_| FetchError::Body)?;
            Ok(body.to_bytes())
        };
        // The connection is driven while the answer is awaited, and dropped with it.
        let mut answered = std::pin::pin!(answered);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            answer = &mut answered => answer,
            ended = &mut connection => {
                ended?;
                // What it has read already is still there.
                answered.await
            }
        }
    }
}

/// Whether a name or an address is this host's for sure.
fn is_this_host(host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

fn connector(authorities: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => {
            let shown = path.display();
            let read = CertificateDer::pem_file_iter(path);
            let read = read.map_err(|error| format!("{shown}: {error}"))?;
            for certificate in read {
                let certificate = certificate.map_err(|error| format!("{shown}: {error}"))?;
                let added = roots.add(certificate);
                added.map_err(|error| format!("{shown}: {error}"))?;
            }
        }
        None => {
            let (_taken, _skipped) =
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("no certificate says which servers are to be trusted".to_owned());
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
