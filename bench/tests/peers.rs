//! Every peer of `bench/peers` starts by its script and speaks the raw protocol as
//! `bench/README.md` describes it. A peer whose tool is not installed is named and left out; a peer
//! that is there and wrong fails, and those in Rust are always there.

mod peer;

use peer::Server;
use shardcast_patience::{PATIENCE, leave_out, say_left_out};
use std::io;
use std::net::TcpStream;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

#[derive(PartialEq)]
enum Tool {
    /// Built by the cargo that runs this test.
    Cargo,
    /// May be missing.
    Other,
    /// Of sources that no package registry has: may be missing anywhere.
    Sources,
}

const PEERS: &[(&str, Tool)] = &[
    ("tokio-tungstenite", Tool::Cargo),
    ("fastwebsockets", Tool::Cargo),
    ("monoio", Tool::Cargo),
    ("monoio-epoll", Tool::Cargo),
    ("sockudo-ws", Tool::Cargo),
    ("uwebsockets", Tool::Sources),
    ("bun", Tool::Other),
    ("node-ws", Tool::Other),
    ("gorilla", Tool::Other),
];

#[test]
fn every_peer_that_is_here_speaks_the_raw_protocol() {
    let mut missing = Vec::new();
    for (name, tool) in PEERS {
        let Some(peer) = Peer::start(name) else {
            assert!(*tool != Tool::Cargo, "{name} could not be built");
            missing.push((name, tool));
            continue;
        };
        check_echo(&peer);
        check_control_frames(&peer);
        check_topic(&peer);
        check_too_large(&peer);
        check_slow_subscriber(&peer);
    }
    for (name, tool) in missing {
        let what = format!("{name} is not available here");
        match tool {
            Tool::Sources => say_left_out(&what),
            _ => leave_out(&what),
        }
    }
}

struct Peer {
    name: &'static str,
    server: Server,
}

impl Peer {
    /// `None` when a tool is missing.
    fn start(name: &'static str) -> Option<Self> {
        let server = Server::start::<&str>(&mut peer::prepared(name)?, &[]);
        Some(Self { name, server })
    }

    fn connect(&self) -> Client<'_> {
        let stream = TcpStream::connect(&self.server.address).expect("the peer accepts");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        let url = format!("ws://{}/", self.server.address);
        let config = WebSocketConfig::default();
        let (socket, _) = tungstenite::client::client_with_config(url, stream, Some(config))
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        Client { peer: self, socket }
    }
}

struct Client<'a> {
    peer: &'a Peer,
    socket: WebSocket<TcpStream>,
}

impl Client<'_> {
    fn send(&mut self, message: Message) {
        self.socket
            .send(message)
            .unwrap_or_else(|error| panic!("{}: {error}", self.peer.name));
    }

    fn send_binary(&mut self, payload: impl Into<Vec<u8>>) {
        self.send(Message::binary(payload.into()));
    }

    fn expect(&mut self, expected: &Message) {
        let name = self.peer.name;
        let message = self.socket.read();
        let message = message.unwrap_or_else(|error| panic!("{name}: {error}"));
        // Not `assert_eq`: it would print them whole.
        assert!(
            message == *expected,
            "{name}: {} bytes that begin {:?} instead of {} bytes that begin {:?}",
            message.len(),
            beginning(&message),
            expected.len(),
            beginning(expected)
        );
    }

    fn echo(&mut self, message: Message) {
        self.send(message.clone());
        self.expect(&message);
    }

    /// A message is handled when the one behind it has come back.
    fn subscribe(&mut self) {
        self.send_binary("S");
        self.echo(Message::binary("subscribed"));
    }
}

fn beginning(message: &Message) -> Vec<u8> {
    let payload = message.clone().into_data();
    payload[..payload.len().min(16)].to_vec()
}

/// Bytes that differ from place to place, and begin with no command.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

fn check_echo(peer: &Peer) {
    let mut client = peer.connect();
    for bytes in [
        0, 1, 64, 125, 126, 4096, 20_000, 65_535, 65_536, 300_000, 64,
    ] {
        client.echo(Message::binary(pattern(bytes)));
    }
    client.echo(Message::text("text stays text"));
    // Several at once come back in their order.
    for bytes in 0..50 {
        client.send_binary(pattern(bytes * 50));
    }
    for bytes in 0..50 {
        client.expect(&Message::binary(pattern(bytes * 50)));
    }
}

fn check_control_frames(peer: &Peer) {
    let mut client = peer.connect();
    client.send(Message::Ping("are you there".into()));
    client.expect(&Message::Pong("are you there".into()));
    client.socket.close(None).expect("an open connection");
    loop {
        match client.socket.read() {
            Ok(Message::Close(_)) => {}
            Err(Error::ConnectionClosed) => break,
            other => panic!("{}: {other:?}", peer.name),
        }
    }
}

fn check_topic(peer: &Peer) {
    let (mut both, mut listener, mut publisher) = (peer.connect(), peer.connect(), peer.connect());
    both.subscribe();
    listener.subscribe();
    // Twice is once.
    listener.subscribe();
    for round in 0..30_u32 {
        let payload = [&round.to_be_bytes()[..], &pattern(round as usize * 700)].concat();
        publisher.send_binary([b"P", &payload[..]].concat());
    }
    for client in [&mut both, &mut listener] {
        for round in 0..30_u32 {
            let payload = [&round.to_be_bytes()[..], &pattern(round as usize * 700)].concat();
            client.expect(&Message::binary(payload));
        }
    }
    // A publisher hears itself, and nothing comes to one that has not subscribed.
    both.echo(Message::binary("one"));
    both.send_binary("Ptwo");
    both.expect(&Message::binary("two"));
    both.echo(Message::binary("three"));
    listener.expect(&Message::binary("two"));
    publisher.echo(Message::binary("nothing else"));
    drop(both);
    publisher.send_binary("P");
    listener.expect(&Message::binary(""));
}

fn check_too_large(peer: &Peer) {
    let mut client = peer.connect();
    // It may hang up before it has been sent whole.
    let _ = client.socket.send(Message::binary(pattern(17 << 20)));
    loop {
        match client.socket.read() {
            Ok(Message::Close(_)) => {}
            Ok(message) => panic!("{}: {} bytes", peer.name, message.len()),
            Err(Error::Io(error)) if timed_out(&error) => panic!("{}: still open", peer.name),
            Err(_) => break,
        }
    }
    peer.connect().echo(Message::binary("as before"));
}

fn timed_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// One that does not read is closed, and the one beside it misses nothing.
fn check_slow_subscriber(peer: &Peer) {
    const PUBLISHED: usize = 6_000;
    const WINDOW: usize = 50;
    let (mut slow, mut fast, mut publisher) = (peer.connect(), peer.connect(), peer.connect());
    slow.subscribe();
    fast.subscribe();
    let payload = Message::binary(pattern(16 * 1024));
    let publish = [b"P", &pattern(16 * 1024)[..]].concat();
    for _ in 0..PUBLISHED / WINDOW {
        for _ in 0..WINDOW {
            publisher.send_binary(&publish[..]);
        }
        for _ in 0..WINDOW {
            fast.expect(&payload);
        }
    }
    let mut received = 0;
    loop {
        match slow.socket.read() {
            Ok(message) if message == payload => received += 1,
            Ok(Message::Close(_)) => {}
            Ok(message) => panic!("{}: {:?}", peer.name, beginning(&message)),
            Err(Error::Io(error)) if timed_out(&error) => panic!("{}: never closed", peer.name),
            Err(_) => break,
        }
    }
    assert!(received < PUBLISHED, "{}: all of it", peer.name);
}
