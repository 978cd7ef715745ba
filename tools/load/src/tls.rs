//! TLS below WebSocket: the run's trust, and a session for each connection that turns plain bytes
//! into records and records into plain bytes. Invariant: a session does no system calls and keeps
//! no plaintext that the caller had room for. Called by `target` and `sockets`.

use crate::tickets::Tickets;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, ProtocolVersion,
    RootCertStore, SignatureScheme, SupportedCipherSuite,
};
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whose word is taken for who the server is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trust {
    /// The system's certificates.
    #[default]
    System,
    /// These, too.
    SystemAnd(PathBuf),
    /// The server's own.
    Anyone,
}

/// How sessions begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sessions {
    /// Each with a whole handshake, as if it came from a client of its own.
    #[default]
    New,
    /// By the ticket of an earlier one, where there is one.
    Resumed,
}

/// What all sessions of a run are made by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    pub(crate) trust: Trust,
    pub(crate) sessions: Sessions,
    /// The only one offered; `None`: all that rustls has.
    pub(crate) suite: Option<String>,
}

/// Where systems keep the certificates that they trust: Debian, Fedora, Alpine and others.
const SYSTEM_FILES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// Names another file in their place, as OpenSSL has it.
const SYSTEM_VARIABLE: &str = "SSL_CERT_FILE";

/// What all sessions of a run share.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// For a server that is called `name`: asked for (SNI), and to be certified.
    ///
    /// # Errors
    /// Certificates cannot be read, the name is none, or there is no such cipher suite.
    pub(crate) fn new(name: &str, terms: &Terms) -> Result<Tls, String> {
        let provider = Arc::new(provider(terms.suite.as_deref())?);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?;
        let roots = match &terms.trust {
            Trust::System => Some(system_roots()?),
            Trust::SystemAnd(file) => {
                // Where a system has none, the file's are enough.
                let mut roots = system_roots().unwrap_or_else(|_| RootCertStore::empty());
                add(&mut roots, file)?;
                Some(roots)
            }
            Trust::Anyone => None,
        };
        let mut config = match roots {
            Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoQuestions(provider)))
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match terms.sessions {
            Sessions::New => Resumption::disabled(),
            Sessions::Resumed => Resumption::store(Arc::new(Tickets::default())),
        };
        Ok(Tls {
            config: Arc::new(config),
            name: ServerName::try_from(name.to_owned())
                .map_err(|_| format!("--url: {name} cannot be in a certificate"))?,
        })
    }

    /// For one connection; its first record waits to be sent.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn session(&self) -> Result<Box<Session>, String> {
        let mut tls =
            ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(explain)?;
        // What is not sent is bounded where it is kept: in `sockets`.
        tls.set_buffer_limit(None);
        Ok(Box::new(Session {
            tls,
            unopened: Vec::new(),
            broken: None,
            rest: Rest::None,
        }))
    }
}

/// A connection's.
#[derive(Debug)]
pub(crate) struct Session {
    tls: ClientConnection,
    /// Records for which there was no room; at most one read of the socket.
    unopened: Vec<u8>,
    /// What broke behind what was opened already.
    broken: Option<String>,
    rest: Rest,
}

/// What came out of records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Bytes at the start of the room.
    pub(crate) len: usize,
    pub(crate) rest: Rest,
}

/// What is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing yet.
    None,
    /// More that is here already: open again, with nothing new.
    More,
    /// The server said that it sends no more (close_notify, RFC 8446 §6.1).
    Over,
}

impl Session {
    /// Whether the handshake is not over yet.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// What was agreed on, in words; `None`: nothing yet.
    pub(crate) fn agreed(&self) -> Option<String> {
        let version = match self.tls.protocol_version()? {
            ProtocolVersion::TLSv1_2 => "TLS 1.2",
            ProtocolVersion::TLSv1_3 => "TLS 1.3",
            _ => "TLS of another version",
        };
        let suite = self.tls.negotiated_cipher_suite()?.suite();
        let group = self.tls.negotiated_key_exchange_group();
        let group = group.map_or(String::new(), |group| format!(", {:?}", group.name()));
        let kind = match self.tls.handshake_kind()? {
            HandshakeKind::Full => "whole handshake",
            HandshakeKind::FullWithHelloRetryRequest => "whole handshake with a second hello",
            HandshakeKind::Resumed => "resumed",
        };
        Some(format!("{version}, {suite:?}{group}, {kind}"))
    }

    /// What is behind what was opened last.
    pub(crate) fn rest(&self) -> Rest {
        self.rest
    }

    /// Appends to `encrypted` what is to be sent for `bytes`; before the handshake's end
    /// they wait for it.
    pub(crate) fn encrypt(&mut self, bytes: &[u8], encrypted: &mut Vec<u8>) {
        // Without a limit, all is taken.
        let taken = self.tls.writer().write_all(bytes);
        debug_assert!(taken.is_ok(), "{taken:?}");
        self.flush(encrypted);
    }

    /// The same for `close_notify`: nothing more will be sent.
    pub(crate) fn encrypt_end(&mut self, encrypted: &mut Vec<u8>) {
        self.tls.send_close_notify();
        self.flush(encrypted);
    }

    fn flush(&mut self, encrypted: &mut Vec<u8>) {
        while self.tls.wants_write() {
            // A vector takes everything.
            let written = self.tls.write_tls(encrypted);
            debug_assert!(written.is_ok(), "{written:?}");
        }
    }

    /// Opens what came, behind what had no room before. What TLS has to answer is appended to
    /// `encrypted`.
    ///
    /// # Errors
    /// The server broke TLS, or is not trusted; an alert that says so is in `encrypted`.
    pub(crate) fn open(
        &mut self,
        came: &[u8],
        room: &mut [u8],
        encrypted: &mut Vec<u8>,
    ) -> Result<Opened, String> {
        let mut records = std::mem::take(&mut self.unopened);
        records.extend_from_slice(came);
        let mut unopened = &records[..];
        let mut len = 0;
        let rest = loop {
            match self.tls.reader().read(&mut room[len..]) {
                Ok(0) if len == room.len() => break Rest::More,
                Ok(0) => break Rest::Over,
                Ok(count) => {
                    len += count;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => self.broken = Some(format!("TLS: {error}")),
            }
            match &self.broken {
                // What came before it counts.
                Some(_) if len > 0 => break Rest::More,
                Some(reason) => return Err(reason.clone()),
                None if unopened.is_empty() => break Rest::None,
                None => {}
            }
            self.broken = match self.tls.read_tls(&mut unopened) {
                Ok(_) => self.tls.process_new_packets().err().map(explain),
                Err(error) => Some(format!("TLS: {error}")),
            };
            self.flush(encrypted);
        };
        if rest == Rest::More {
            self.unopened = unopened.to_vec();
        }
        self.rest = rest;
        Ok(Opened { len, rest })
    }
}

/// With all its cipher suites, or only one.
fn provider(suite: Option<&str>) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    let Some(wanted) = suite else {
        return Ok(provider);
    };
    let name = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite());
    let names: Vec<String> = provider.cipher_suites.iter().map(name).collect();
    provider.cipher_suites.retain(|suite| name(suite) == wanted);
    if provider.cipher_suites.is_empty() {
        let names = names.join(", ");
        return Err(format!("--tls-suite: no {wanted:?}; there are {names}"));
    }
    Ok(provider)
}

fn explain(error: Error) -> String {
    let hint = match &error {
        Error::InvalidCertificate(_) => " (trust it by --ca FILE, or anyone by --insecure)",
        Error::InvalidMessage(_) => " (does the server speak TLS there?)",
        _ => "",
    };
    format!("TLS: {error}{hint}")
}

fn system_roots() -> Result<RootCertStore, String> {
    let named = std::env::var_os(SYSTEM_VARIABLE).map(PathBuf::from);
    let file = named
        .or_else(|| {
            SYSTEM_FILES
                .map(PathBuf::from)
                .into_iter()
                .find(|file| file.is_file())
        })
        .ok_or("TLS: this system has no file of certificates to trust: use --ca FILE")?;
    let mut roots = RootCertStore::empty();
    add(&mut roots, &file)?;
    Ok(roots)
}

fn add(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let complain = |reason: &str| format!("certificates in {}: {reason}", file.display());
    let text = std::fs::read(file).map_err(|error| complain(&error.to_string()))?;
    let certificates: Result<Vec<CertificateDer<'_>>, _> =
        CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| complain(&error.to_string()))?;
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(complain("none that can be used")),
        _ => Ok(()),
    }
}

/// Takes any certificate for good, and any signature with it.
#[derive(Debug)]
struct NoQuestions(Arc<CryptoProvider>);

impl ServerCertVerifier for NoQuestions {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection};

    fn anyone() -> Terms {
        Terms {
            trust: Trust::Anyone,
            ..Terms::default()
        }
    }

    /// A session and its server, their handshake behind them.
    fn pair() -> (Box<Session>, ServerConnection) {
        let made = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();
        let mut session = Tls::new("h", &anyone()).unwrap().session().unwrap();
        let mut said = Vec::new();
        session.encrypt(b"first", &mut said);
        assert!(session.is_shaking_hands());
        while session.is_shaking_hands() {
            hear(&mut server, &said);
            said.clear();
            let answer = say(&mut server, b"");
            let opened = session.open(&answer, &mut [0; 64], &mut said).unwrap();
            assert_eq!((opened.len, opened.rest), (0, Rest::None));
        }
        hear(&mut server, &said);
        let mut first = [0; 64];
        let len = server.reader().read(&mut first).unwrap();
        assert_eq!(&first[..len], b"first", "what was said early is not lost");
        (session, server)
    }

    fn hear(server: &mut ServerConnection, mut records: &[u8]) {
        while !records.is_empty() {
            server.read_tls(&mut records).unwrap();
            server.process_new_packets().unwrap();
        }
    }

    fn say(server: &mut ServerConnection, bytes: &[u8]) -> Vec<u8> {
        server.set_buffer_limit(None);
        server.writer().write_all(bytes).unwrap();
        let mut records = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut records).unwrap();
        }
        records
    }

    /// What comes out of records that come in pieces of `piece` bytes, through rooms of `room`
    /// bytes, and how it ended.
    fn read(
        session: &mut Session,
        records: &[u8],
        piece: usize,
        room: usize,
    ) -> (Vec<u8>, Result<Rest, String>) {
        let (mut read, mut room, mut answer) = (Vec::new(), vec![0; room], Vec::new());
        for came in records.chunks(piece) {
            let mut came = came;
            loop {
                match session.open(came, &mut room, &mut answer) {
                    Ok(Opened { len, .. }) => read.extend_from_slice(&room[..len]),
                    Err(reason) => return (read, Err(reason)),
                }
                came = &[];
                if session.rest() != Rest::More {
                    break;
                }
            }
        }
        (read, Ok(session.rest()))
    }

    #[test]
    fn all_comes_out_whatever_the_pieces_and_the_room() {
        let said: Vec<u8> = (0..50_000u32).map(|i| (i % 251) as u8).collect();
        for (piece, room) in [
            (1, 100_000),
            (7, 16_384),
            (4_096, 16_384),
            (65_536, 1),
            (65_536, 999),
            (65_536, 50_000),
            (50_100, 100_000),
        ] {
            let (mut session, mut server) = pair();
            let records = say(&mut server, &said);
            let (read_first, end) = read(&mut session, &records, piece, room);
            assert!(
                read_first == said,
                "{piece} {room}: {} bytes",
                read_first.len()
            );
            assert_eq!(end, Ok(Rest::None), "{piece} {room}");
            server.send_close_notify();
            let last = say(&mut server, b"");
            assert_eq!(
                read(&mut session, &last, piece, room),
                (Vec::new(), Ok(Rest::Over))
            );
        }
    }

    #[test]
    fn what_came_before_a_broken_record_counts() {
        let (mut session, mut server) = pair();
        let good = say(&mut server, b"good");
        let mut bad = say(&mut server, b"bad");
        *bad.last_mut().unwrap() ^= 1;
        let (read, end) = read(&mut session, &[good, bad].concat(), 65_536, 64);
        assert_eq!(read, b"good");
        assert!(
            end.as_ref()
                .is_err_and(|reason| reason.starts_with("TLS: ")),
            "{end:?}"
        );
    }
}
