//! Messages around every bound of a buffer, over links that are slow, narrow, stall or break: what
//! is sent comes back byte for byte, and what breaks leaves nothing behind.

use rustls::ClientConfig;
use shardcast_engine::{Config, Identity, Listener, Tls, TlsOptions};
use shardcast_tests::proxy::{Fault, Proxy, Script, Way};
use shardcast_tests::{
    BINARY, CONTINUE, Certificates, Client, FIN, PATIENCE, Raw, Server, TEXT, config, frame,
    secure, upgrade, wait_until,
};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Around a receive buffer of the driver and twice its size, both lengths of a frame's length, and
/// what is collected as it arrives.
const SIZES: [usize; 19] = [
    16_383, 16_384, 16_385, 16_625, 16_626, 16_639, 16_640, 16_641, 33_279, 33_280, 33_281, 65_535,
    65_536, 65_537, 66_560, 131_071, 131_073, 150_000, MIB,
];
/// Of fragments: not a divisor of anything, around a buffer, and large ones.
const CUTS: [usize; 4] = [4_999, 16_384, 16_641, 70_001];

fn roomy(shards: usize) -> Config {
    let mut config = config(shards);
    config.listeners[0].message_bytes_max = 2 * MIB;
    config.outbox_bytes_max = 8 * MIB;
    config
}

/// Different everywhere, and text of all lengths of characters.
fn payload(kind: u8, bytes: usize) -> Vec<u8> {
    if kind == BINARY {
        let words = 0..bytes.div_ceil(4) as u32;
        let bytes_of = |word: u32| word.wrapping_mul(0x9e37_79b9).to_le_bytes();
        return words.flat_map(bytes_of).take(bytes).collect();
    }
    let characters = ["a", "\u{df}", "\u{20ac}", "\u{1f980}", "z"];
    let numbers = (0_u32..).flat_map(|at| [characters[at as usize % 5].to_owned(), at.to_string()]);
    let mut text = String::new();
    for word in numbers {
        if text.len() + word.len() > bytes {
            break;
        }
        text.push_str(&word);
    }
    text.push_str(&"-".repeat(bytes - text.len()));
    text.into_bytes()
}

/// A client's message in one frame, or in fragments.
fn said(kind: u8, payload: &[u8], cut: Option<usize>) -> Vec<u8> {
    let Some(cut) = cut else {
        return frame(FIN | kind, payload);
    };
    let mut bytes = Vec::new();
    let last = payload.chunks(cut).count() - 1;
    for (index, part) in payload.chunks(cut).enumerate() {
        let opcode = if index == 0 { kind } else { CONTINUE };
        let fin = if index == last { FIN } else { 0 };
        bytes.extend(frame(fin | opcode, part));
    }
    bytes
}

/// A server's frame, whose header is the shortest there is.
fn answered(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![FIN | kind];
    match payload.len() {
        length @ 0..126 => bytes.push(length as u8),
        length @ 126..65_536 => {
            bytes.push(126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

fn upgraded<S: Read + Write>(mut stream: S) -> S {
    stream.write_all(upgrade().as_bytes()).expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
    stream
}

fn connect(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

/// Every message comes back as it was said.
#[track_caller]
fn check<S: Read + Write>(stream: &mut S, kind: u8, bytes: usize, cut: Option<usize>) {
    let payload = payload(kind, bytes);
    stream
        .write_all(&said(kind, &payload, cut))
        .expect("the server reads");
    let expected = answered(kind, &payload);
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).expect("the server answers");
    assert!(heard == expected, "{bytes} of {kind} cut at {cut:?}");
}

fn check_all<S: Read + Write>(stream: &mut S, sizes: &[usize]) {
    for bytes in sizes {
        for kind in [BINARY, TEXT] {
            check(stream, kind, *bytes, None);
            for cut in CUTS.into_iter().filter(|cut| cut < bytes) {
                check(stream, kind, *bytes, Some(cut));
            }
        }
    }
}

#[test]
fn every_size_comes_back_whole_however_it_is_cut() {
    let server = Server::echo(roomy(1));
    check_all(&mut upgraded(connect(server.address())), &SIZES);
    server.wait_until_empty();
    assert_eq!(server.sum(|shard| &shard.reassembly_bytes), 0);
}

#[test]
fn every_size_comes_back_whole_over_tls() {
    let certificates = Certificates::make();
    let read = |name: &str| fs::read(certificates.file(name)).expect("a file");
    let name = shardcast_tests::SERVERS[0];
    let identity = Identity::from_pem(&read(&format!("{name}.pem")), &read(&format!("{name}.key")));
    let options = TlsOptions::new(identity.expect("an identity"));
    let mut config = roomy(1);
    config.listeners[0] = Listener {
        tls: Some(Tls::new(options).expect("a server's configuration")),
        ..config.listeners[0].clone()
    };
    let server = Server::echo(config);
    let client: Arc<ClientConfig> = certificates.client();
    let session = secure(&client, connect(server.address()));
    check_all(&mut upgraded(session), &SIZES);
    server.wait_until_empty();
    assert_eq!(server.sum(|shard| &shard.reassembly_bytes), 0);
}

/// A narrow link that passes a few bytes at a time, either way.
fn narrow() -> Way {
    Way {
        delay: Duration::from_millis(2),
        bytes_per_s: Some(20_000_000),
        piece_bytes: 3_001,
        socket_bytes: Some(16 << 10),
        ..Way::default()
    }
}

#[test]
fn every_size_comes_back_whole_over_a_slow_and_narrow_link() {
    let server = Server::echo(roomy(1));
    let proxy = Proxy::before(server.address(), |_| Script {
        up: narrow(),
        down: narrow(),
        behind: 0,
    });
    let mut stream = upgraded(connect(proxy.address()));
    for bytes in [16_384, 16_640, 65_536, MIB] {
        check(&mut stream, BINARY, bytes, None);
        check(&mut stream, TEXT, bytes, Some(20_000));
    }
    drop((stream, proxy));
    server.wait_until_empty();
    assert_eq!(server.sum(|shard| &shard.reassembly_bytes), 0);
}

/// What is sent before the first answer is read: answers wait in the outbox, in order.
#[test]
fn answers_that_nobody_reads_yet_wait_whole_and_in_order() {
    let server = Server::echo(roomy(1));
    let proxy = Proxy::before(server.address(), |_| Script {
        down: Way {
            fault: Some((70_000, Fault::Stall)),
            ..narrow()
        },
        ..Script::default()
    });
    let mut stream = upgraded(connect(proxy.address()));
    let sizes = [100, 40_000, 70_000, 5, MIB, 17_000, 300_000];
    let payloads = sizes.map(|bytes| payload(BINARY, bytes));
    for payload in &payloads {
        let said = said(BINARY, payload, None);
        stream.write_all(&said).expect("the server reads");
    }
    server.wait_until("all messages", |server| {
        server.sum(|shard| &shard.messages_in) == sizes.len() as u64
    });
    proxy.resume(0);
    for payload in &payloads {
        let expected = answered(BINARY, payload);
        let mut heard = vec![0; expected.len()];
        stream.read_exact(&mut heard).expect("an answer");
        assert!(heard == expected, "{}", payload.len());
    }
}

#[test]
fn a_message_that_stalls_holds_nobody_up_and_goes_on_later() {
    let server = Server::echo(roomy(1));
    let mut other = Client::plain(&server);
    let proxy = Proxy::before(server.address(), |_| Script {
        up: Way {
            fault: Some((500_000, Fault::Stall)),
            ..Way::default()
        },
        ..Script::default()
    });
    let mut stream = upgraded(connect(proxy.address()));
    let whole = payload(BINARY, MIB);
    let mut writer = stream.try_clone().expect("a descriptor");
    let said = said(BINARY, &whole, None);
    let writing = thread::spawn(move || writer.write_all(&said));
    wait_until("half of it", || proxy.passed(0).0 == 500_000);
    server.wait_until("what it holds", |server| {
        server.sum(|shard| &shard.reassembly_bytes) >= 490_000
    });
    for text in ["one", "two"] {
        assert_eq!(other.ask(text), text);
    }
    proxy.resume(0);
    writing.join().expect("no panic").expect("the server reads");
    let expected = answered(BINARY, &whole);
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).expect("an answer");
    assert!(heard == expected);
}

#[test]
fn a_link_that_breaks_in_a_message_leaves_nothing_behind() {
    let server = Server::echo(roomy(1));
    let proxy = Proxy::before(server.address(), |number| Script {
        up: Way {
            fault: Some((300_000, [Fault::Reset, Fault::HalfClose][number])),
            ..Way::default()
        },
        ..Script::default()
    });
    for number in 0..2 {
        let mut stream = upgraded(connect(proxy.address()));
        let said = said(BINARY, &payload(BINARY, MIB), None);
        // The link takes what it likes of it.
        _ = stream.write_all(&said);
        wait_until("the fault", || proxy.passed(number).0 == 300_000);
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert_eq!(ended.is_err(), number == 0, "{ended:?}");
        assert!(rest.is_empty(), "nothing was answered");
        server.wait_until_empty();
        assert_eq!(server.sum(|shard| &shard.reassembly_bytes), 0);
    }
}

#[test]
fn connects_that_arrive_in_another_order_are_all_served() {
    let server = Server::echo(roomy(1));
    // The first waits for the two others.
    let proxy = Proxy::before(server.address(), |number| Script {
        behind: if number == 0 { 2 } else { 0 },
        ..Script::default()
    });
    let mut streams: Vec<TcpStream> = (0..3).map(|_| connect(proxy.address())).collect();
    for stream in &mut streams {
        stream.write_all(upgrade().as_bytes()).expect("a socket");
    }
    for (number, stream) in streams.iter_mut().enumerate().rev() {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{number}");
        check(stream, BINARY, 20_000, None);
    }
}

/// Many at once, more than there are receive buffers for.
#[test]
fn three_hundred_clients_send_large_messages_at_once() {
    let mut config = roomy(1);
    config.reassembly_bytes_max = 64 * MIB;
    let server = Server::echo(config);
    let mut clients: Vec<Raw> = (0..300).map(|_| Raw::upgraded(&server)).collect();
    let payload = payload(BINARY, 61_440);
    for round in 0..3 {
        for client in &mut clients {
            client.send(&frame(FIN | BINARY, &payload));
        }
        for client in &mut clients {
            let (first, echo) = client.frame();
            assert_eq!(first, FIN | BINARY);
            assert!(echo == payload, "in round {round}");
        }
    }
    assert_eq!(server.sum(|shard| &shard.reassembly_bytes), 0);
}
