//! TLS on the real ring: an engine that echoes, and rustls clients on real sockets.

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use shardcast_engine::protocol::frame::{Kind, OpCode, write_client_frame};
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::protocol::upgrade;
use shardcast_engine::{
    Admission, Application, Config, Context, Identity, Listener, Message, Pinning, Running, Tls,
    TlsOptions,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Echo;

impl Application for Echo {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        assert!(cx.is_secure());
        cx.send(message.kind(), message.bytes());
    }
}

/// A running engine, and how to trust it.
struct Server {
    running: Running,
    client: Arc<ClientConfig>,
}

fn server() -> Server {
    server_with(Duration::from_secs(30))
}

fn server_with(handshake_timeout: Duration) -> Server {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let tls = Tls::new(TlsOptions::new(identity)).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config {
        listeners: vec![Listener {
            message_bytes_max: 4 << 20,
            ..Listener::secure(address, tls)
        }],
        outbox_bytes_max: 64 << 20,
        shards: 1,
        pinning: Pinning::None,
        connections_max: 100,
        handshake_timeout,
        header_timeout: handshake_timeout,
        close_timeout: Duration::from_secs(3600),
        event_streams: Some("/sse".into()),
        ..Config::default()
    };
    Server {
        running: shardcast_engine::start(config, |_| Echo).unwrap(),
        client: trusting(issued.cert.der().clone()),
    }
}

fn trusting(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Server {
    fn dial(&self) -> Stream {
        let socket = TcpStream::connect(self.running.local_addr().unwrap()).unwrap();
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        StreamOwned::new(connection, socket)
    }

    fn connect(&self) -> Stream {
        let mut stream = self.dial();
        let mut request = Vec::new();
        upgrade::write_request(
            &mut request,
            "localhost",
            "/",
            &upgrade::encode_key([0; 16]),
            &[],
        );
        stream.write_all(&request).unwrap();
        assert!(read_until(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 101 "));
        stream
    }
}

/// What is said up to and including `end`.
fn read_until(stream: &mut impl Read, end: &str) -> String {
    let mut said = Vec::new();
    while !said.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        said.push(byte[0]);
    }
    String::from_utf8(said).unwrap()
}

/// The payload of the next server frame.
fn read_frame(stream: &mut impl Read) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            usize::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            stream.read_exact(&mut length).unwrap();
            u64::from_be_bytes(length) as usize
        }
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

/// Clause 6455-4.2.2-1: the handshake, too, for the client knows nothing but TLS.
#[test]
fn messages_of_every_size_come_back() {
    let server = server();
    let mut stream = server.connect();
    for bytes in [0, 1, 125, 126, 16_383, 16_384, 65_536, 4 << 20] {
        let said: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        let mut frame = Vec::new();
        write_client_frame(&mut frame, OpCode::from(Kind::Binary), &said, [1, 2, 3, 4]);
        stream.write_all(&frame).unwrap();
        let (first, heard) = read_frame(&mut stream);
        assert_eq!(first, 0x82);
        assert!(heard == said, "{bytes} bytes");
    }
}

/// Clause 9112-9.8-1.
#[test]
fn a_connection_ends_with_a_goodbye() {
    let server = server();
    let mut stream = server.connect();
    let mut frame = Vec::new();
    write_client_frame(&mut frame, OpCode::Close, &1000_u16.to_be_bytes(), [0; 4]);
    stream.write_all(&frame).unwrap();
    assert_eq!(
        read_frame(&mut stream),
        (0x88, 1000_u16.to_be_bytes().to_vec())
    );
    // Without `close_notify` the end would be an error.
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// RFC 9112 §7.1.
fn read_chunk(stream: &mut impl Read) -> String {
    let size = read_until(stream, "\r\n");
    let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
    let mut data = vec![0; size + 2];
    stream.read_exact(&mut data).unwrap();
    let data = String::from_utf8(data).unwrap();
    data.strip_suffix("\r\n").unwrap().to_owned()
}

#[test]
fn an_event_stream_is_as_secret_as_a_socket() {
    let server = server();
    let mut events = server.dial();
    events
        .write_all(b"GET /sse HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
        .unwrap();
    assert!(read_until(&mut events, "\r\n\r\n").starts_with("HTTP/1.1 200 "));
    let session = read_chunk(&mut events);
    let token = session.strip_prefix("event: session\ndata: ").unwrap();
    // What its own connection says is not read.
    events.write_all(b"\x81\x85\0\0\0\0wrong").unwrap();
    let mut poster = server.dial();
    for message in ["hello", "again"] {
        let post = format!(
            "POST /sse?session={} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{message}",
            token.trim_end()
        );
        poster.write_all(post.as_bytes()).unwrap();
        assert!(read_until(&mut poster, "\r\n\r\n").starts_with("HTTP/1.1 204 "));
        assert_eq!(read_chunk(&mut events), format!("data: {message}\n\n"));
    }
}

#[test]
fn who_has_not_shaken_hands_is_told_nothing_in_plain() {
    let server = server_with(Duration::from_millis(300));
    for said in [&b""[..], b"\x16\x03\x01"] {
        let mut socket = TcpStream::connect(server.running.local_addr().unwrap()).unwrap();
        socket.write_all(said).unwrap();
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"", "after {said:?}");
    }
    let counters = &server.running.counters()[0];
    assert_eq!(counters.tls_handshakes.get(), 0);
}

/// Nothing that it says can be understood any more: it is told so, and not waited for.
#[test]
fn who_breaks_tls_is_let_go_without_an_answer() {
    let server = server();
    let counters = &server.running.counters()[0];
    let gone = || {
        let started = Instant::now();
        while counters.connections.get() > 0 {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "it is waited for"
            );
            std::thread::park_timeout(Duration::from_millis(1));
        }
    };
    let mut stranger = TcpStream::connect(server.running.local_addr().unwrap()).unwrap();
    stranger.write_all(&[0x55; 100]).unwrap();
    let mut alert = Vec::new();
    stranger.read_to_end(&mut alert).unwrap();
    assert_eq!(
        (alert.first(), counters.tls_handshakes_failed.get()),
        (Some(&21), 1)
    );
    // Its socket stays open on its side.
    gone();
    let mut client = server.connect();
    client.sock.write_all(&[0x55; 100]).unwrap();
    let error = client.read_to_end(&mut Vec::new());
    assert!(error.is_err(), "an alert");
    gone();
    assert_eq!(counters.closed_deadline_close.get(), 0);
}

#[test]
fn a_slow_reader_gets_everything_in_order() {
    const MESSAGES: usize = 300;
    let server = server();
    let mut stream = server.connect();
    for number in 0..MESSAGES {
        let mut frame = Vec::new();
        let payload = vec![number as u8; 60_000];
        write_client_frame(&mut frame, OpCode::Binary, &payload, [9; 4]);
        stream.write_all(&frame).unwrap();
    }
    for number in 0..MESSAGES {
        let (_, payload) = read_frame(&mut stream);
        assert!(payload == vec![number as u8; 60_000], "message {number}");
    }
    let counters = &server.running.counters()[0];
    assert!(counters.sends_short.get() > 0, "the socket was never full");
}
