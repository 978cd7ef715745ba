//! A client of the native dialect, over rustls or over a bare socket.

use crate::files::Issued;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};
use shardcast_engine::protocol::frame::{OpCode, write_client_frame};
use shardcast_patience::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// How a client comes.
pub(crate) struct Wish<'a> {
    /// Servers that it believes.
    pub(crate) trusted: Vec<&'a Issued>,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) alpn: &'a [&'a str],
    /// Its own certificate.
    pub(crate) shown: Option<&'a Issued>,
}

impl<'a> Wish<'a> {
    pub(crate) fn trusting(trusted: &[&'a Issued]) -> Wish<'a> {
        Wish {
            trusted: trusted.to_vec(),
            versions: rustls::ALL_VERSIONS,
            alpn: &["http/1.1"],
            shown: None,
        }
    }

    /// Connections that share it can resume each other's sessions.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for trusted in &self.trusted {
            roots.add(trusted.der.clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.shown {
            None => builder.with_no_client_auth(),
            Some(shown) => builder
                .with_client_auth_cert(vec![shown.der.clone()], shown.secret())
                .unwrap(),
        };
        let alpn = self.alpn.iter().map(|name| name.as_bytes().to_vec());
        config.alpn_protocols = alpn.collect();
        Arc::new(config)
    }
}

pub(crate) struct Client<S> {
    stream: S,
    welcome: String,
}

pub(crate) type SecureClient = Client<StreamOwned<ClientConnection, TcpStream>>;

impl SecureClient {
    /// Connects, shakes hands as the server `name`, and is welcomed.
    pub(crate) fn connect(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> SecureClient {
        let stream = shake_hands(address, config, name).expect("a handshake");
        Client::over(stream)
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.stream.conn.protocol_version().unwrap()
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.stream.conn.alpn_protocol()
    }

    pub(crate) fn kind(&self) -> HandshakeKind {
        self.stream.conn.handshake_kind().unwrap()
    }

    /// The server showed this certificate.
    pub(crate) fn met(&self, issued: &Issued) -> bool {
        self.stream.conn.peer_certificates().unwrap() == [issued.der.clone()]
    }
}

impl Client<TcpStream> {
    pub(crate) fn plain(address: SocketAddr) -> Client<TcpStream> {
        Client::over(dial(address))
    }
}

impl<S: Read + Write> Client<S> {
    fn over(stream: S) -> Client<S> {
        let mut client = Client {
            stream,
            welcome: String::new(),
        };
        client
            .stream
            .write_all(
                b"GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.take::<1>()[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client.welcome = client.hear();
        assert!(
            client
                .welcome
                .starts_with(r#"{"type":"welcome","connection":""#),
            "{}",
            client.welcome
        );
        client
    }

    pub(crate) fn welcome(&self) -> &str {
        &self.welcome
    }

    /// The shard that serves it: the first part of its connection id.
    pub(crate) fn shard(&self) -> char {
        let id = self.welcome.split('"').nth(7).unwrap_or_default();
        id.chars().next().unwrap()
    }

    pub(crate) fn say(&mut self, text: &str) {
        let mut frame = Vec::new();
        write_client_frame(&mut frame, OpCode::Text, text.as_bytes(), [1, 2, 3, 4]);
        self.stream.write_all(&frame).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next text message.
    pub(crate) fn hear(&mut self) -> String {
        let (first, payload) = self.frame();
        let text = String::from_utf8(payload).unwrap();
        assert_eq!(first, 0x81, "{text}");
        text
    }

    /// The next frame: its first byte and its payload.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let [first, length] = self.take();
        let length = match length {
            126 => usize::from(u16::from_be_bytes(self.take())),
            127 => u64::from_be_bytes(self.take()) as usize,
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).unwrap();
        (first, payload)
    }

    /// It is served.
    pub(crate) fn check(&mut self) {
        self.say(r#"{"type":"echo","data":7}"#);
        assert_eq!(self.hear(), r#"{"type":"echo","data":7}"#);
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// A socket that waits for nothing longer than it may.
pub(crate) fn dial(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A TLS handshake, as far as the client sees it.
pub(crate) fn shake_hands(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = name.to_owned().try_into().unwrap();
    let connection = ClientConnection::new(config.clone(), name).unwrap();
    let mut stream = StreamOwned::new(connection, dial(address));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Why the server does not take a client. In TLS 1.3 it says so after the client's part of the
/// handshake.
pub(crate) fn refusal(address: SocketAddr, config: &Arc<ClientConfig>) -> String {
    let refused = shake_hands(address, config, "a.test").and_then(|mut stream| {
        let mut byte = [0];
        stream.read_exact(&mut byte)
    });
    refused.expect_err("nobody like that is served").to_string()
}
