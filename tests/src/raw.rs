//! A client that says whatever bytes a test likes, and reads frames by the letter of RFC 6455 §5.2.

use crate::{PATIENCE, Server};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// First byte: the last fragment, or the only one.
pub const FIN: u8 = 0x80;
/// First byte, a further fragment.
pub const CONTINUE: u8 = 0;
/// First byte, text.
pub const TEXT: u8 = 1;
/// First byte, binary.
pub const BINARY: u8 = 2;
/// First byte, close.
pub const CLOSE: u8 = 8;
/// First byte, ping.
pub const PING: u8 = 9;
/// First byte, pong.
pub const PONG: u8 = 10;

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A masked client frame with the first byte `first`.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    let masked = payload.iter().zip(MASK.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The header of a masked client frame, mask included, with the shortest length.
pub fn header(first: u8, payload_bytes: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload_bytes {
        0..126 => bytes.push(0x80 | payload_bytes as u8),
        126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((payload_bytes as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(payload_bytes.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

/// An upgrade request that is accepted.
pub fn upgrade() -> String {
    upgrade_with("")
}

/// The same with more header lines, each with its end.
pub fn upgrade_with(lines: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}

/// A socket and what was read from it too early.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Raw {
    /// Connects, and says nothing yet.
    #[track_caller]
    pub fn connect(server: &Server) -> Raw {
        Raw::connect_at(server.address())
    }

    /// The same for a server in another process.
    #[track_caller]
    pub fn connect_at(address: SocketAddr) -> Raw {
        Raw::over(TcpStream::connect(address).expect("the server accepts"))
    }

    /// The same from another address of the loopback network.
    #[track_caller]
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Raw {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .expect("an address of this host");
        socket.connect(&address.into()).expect("the server accepts");
        Raw::over(socket.into())
    }

    fn over(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
        Raw {
            stream,
            ahead: Vec::new(),
        }
    }

    /// Connects with a small receive buffer, so that whoever does not read is soon full. (The
    /// smallest would take minutes to read from.)
    #[track_caller]
    pub fn narrow(server: &Server) -> Raw {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(64 << 10).expect("a socket");
        socket
            .connect(&server.address().into())
            .expect("the server accepts");
        Raw::over(socket.into())
    }

    /// Connects and upgrades.
    #[track_caller]
    pub fn upgraded(server: &Server) -> Raw {
        let mut raw = Raw::connect(server);
        raw.upgrade();
        raw
    }

    /// Upgrades.
    #[track_caller]
    pub fn upgrade(&mut self) {
        self.send(upgrade().as_bytes());
        let head = self.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    /// Sends a whole text message.
    #[track_caller]
    pub fn say(&mut self, text: &str) {
        self.send(&frame(FIN | TEXT, text.as_bytes()));
    }

    /// The next frame, which is a whole text message.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        let (first, payload) = self.frame();
        let text = String::from_utf8_lossy(&payload).into_owned();
        assert_eq!(first, FIN | TEXT, "{text}");
        text
    }

    /// Upgrades with the native dialect, and joins a room.
    #[track_caller]
    pub fn join(&mut self, room: &str) {
        self.upgrade();
        assert!(self.hear().starts_with(r#"{"type":"welcome","#));
        self.say(&format!(r#"{{"type":"join_room","room":"{room}"}}"#));
        let start = format!(r#"{{"type":"joined","room":"{room}","members":"#);
        let joined = self.hear();
        assert!(joined.starts_with(&start), "{joined}");
    }

    /// Sends bytes, in as few segments as the kernel likes.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends every byte in a segment of its own.
    #[track_caller]
    pub fn send_bytewise(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]);
        }
    }

    /// Sends what the server may no longer want to hear.
    pub fn send_anyway(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The same socket, for a thread that reads while this one writes.
    #[track_caller]
    pub fn reader(&self) -> Raw {
        Raw {
            stream: self.stream.try_clone().expect("a descriptor"),
            ahead: self.ahead.clone(),
        }
    }

    /// Says no more.
    #[track_caller]
    pub fn finish(&mut self) {
        self.stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a connected socket");
    }

    /// An HTTP head, its empty line included.
    #[track_caller]
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.take(1));
        }
        String::from_utf8(head).expect("ASCII")
    }

    /// A line, without its line feed.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            match self.take(1)[0] {
                b'\n' => return String::from_utf8(line).expect("UTF-8"),
                byte => line.push(byte),
            }
        }
    }

    /// A chunk of an answer (RFC 9112 §7.1): what is in it.
    #[track_caller]
    pub fn chunk(&mut self) -> Vec<u8> {
        let size = self.line();
        let size = size.strip_suffix('\r').expect("CRLF");
        let bytes = self.take(usize::from_str_radix(size, 16).expect("a size"));
        assert_eq!(self.line(), "\r");
        bytes
    }

    /// An HTTP answer with a length: its head, and its body.
    #[track_caller]
    pub fn answer(&mut self) -> (String, String) {
        let head = self.head();
        let length = head
            .split_once("Content-Length: ")
            .and_then(|(_, rest)| rest.split_once("\r\n"))
            .map_or(0, |(length, _)| length.parse().expect("a number"));
        let body = String::from_utf8(self.take(length)).expect("UTF-8");
        (head, body)
    }

    /// The next frame: its first byte and its payload. The server does not mask.
    #[track_caller]
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let start = self.take(2);
        let payload_bytes = match start[1] {
            short @ 0..126 => u64::from(short),
            126 => u64::from(u16::from_be_bytes(self.take(2).try_into().expect("two"))),
            127 => u64::from_be_bytes(self.take(8).try_into().expect("eight")),
            masked => panic!("a masked frame: {masked:#x}"),
        };
        (start[0], self.take(payload_bytes as usize))
    }

    /// Expects this frame.
    #[track_caller]
    pub fn expect(&mut self, first: u8, payload: &[u8]) {
        let (given, bytes) = self.frame();
        assert_eq!(
            (given, String::from_utf8_lossy(&bytes)),
            (first, String::from_utf8_lossy(payload))
        );
    }

    /// A close frame, then the end: code (1005: none) and reason.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let (first, payload) = self.frame();
        assert_eq!(
            first,
            FIN | CLOSE,
            "{first:#x} {}",
            String::from_utf8_lossy(&payload)
        );
        self.ended();
        match &*payload {
            [] => (1005, String::new()),
            [high, low, reason @ ..] => (
                u16::from_be_bytes([*high, *low]),
                String::from_utf8(reason.to_vec()).expect("UTF-8"),
            ),
            [_] => panic!("a close payload of one byte"),
        }
    }

    /// A close frame of whatever content, then the end.
    #[track_caller]
    pub fn ended_by_close(&mut self) {
        self.closed();
    }

    /// Nothing more comes: the server closed the socket, and did not reset it.
    #[track_caller]
    pub fn ended(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.rest()), "");
    }

    /// Everything up to the end.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.ahead);
        self.stream.read_to_end(&mut rest).expect("a clean end");
        rest
    }

    /// The server has closed or reset the socket, or does so now.
    #[track_caller]
    pub fn is_gone(&mut self) {
        let mut rest = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }

    /// Vanishes: the peer gets a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("a TCP socket");
    }

    #[track_caller]
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut chunk = vec![0; bytes.max(4096)];
        while self.ahead.len() < bytes {
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the stream ended: {}", String::from_utf8_lossy(&self.ahead)),
                Ok(count) => self.ahead.extend(&chunk[..count]),
                // A process that was stopped and goes on (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
        self.ahead.drain(..bytes).collect()
    }
}
