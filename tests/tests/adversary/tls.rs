//! Attacks on TLS: handshakes that never end, that come in a storm, that are none; key updates and
//! records without end.

use crate::attack::{Attack, Ending, Tally};
use crate::crowd::{Places, plain};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use shardcast_tests::{CONTINUE, FIN, SERVERS, TEXT, frame, secure, upgrade};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections of an attack in which each sends little.
const CONNECTIONS: usize = 200;
/// Handshakes of the storm, and how many threads make them.
const HANDSHAKES: usize = 1_000;
const STORMERS: usize = 4;
/// Key updates on one connection, and how many leave in one write.
const KEY_UPDATES: usize = 20_000;
const BATCH: usize = 100;
/// Records with a byte of payload.
const RECORDS: usize = 50_000;
/// s_client processes that ask for a renegotiation.
const RENEGOTIATIONS: usize = 10;
/// How long a handshake drips: longer than its timeout.
const DRIPPING: Duration = Duration::from_millis(4_000);
const DRIP: Duration = Duration::from_millis(25);

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "no handshake",
        run: |places| drip(places, &[], 0),
        endings: &[Ending::Cut],
        cpu_ns_max: 2_000_000,
        memory_bytes_max: CONNECTIONS as u64 * (32 << 10),
    },
    Attack {
        name: "a ClientHello byte by byte",
        run: |places| drip(places, &hello(places), 0),
        endings: &[Ending::Cut],
        cpu_ns_max: 2_000_000,
        memory_bytes_max: CONNECTIONS as u64 * (32 << 10),
    },
    Attack {
        name: "a ClientHello and silence",
        run: |places| {
            let hello = hello(places);
            drip(places, &hello, hello.len())
        },
        endings: &[Ending::Cut],
        cpu_ns_max: 3_000_000,
        memory_bytes_max: CONNECTIONS as u64 * (64 << 10),
    },
    Attack {
        name: "no TLS",
        run: |places| {
            let garbage = b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
            drip(places, &garbage, garbage.len())
        },
        endings: &[Ending::Cut],
        cpu_ns_max: 2_000_000,
        memory_bytes_max: CONNECTIONS as u64 * (32 << 10),
    },
    Attack {
        name: "a storm of handshakes",
        run: storm,
        endings: &[],
        cpu_ns_max: 3_000_000,
        memory_bytes_max: 16 << 20,
    },
    Attack {
        name: "key updates without end",
        run: key_updates,
        // rustls takes a few in a row.
        endings: &[Ending::Cut],
        cpu_ns_max: 20_000,
        memory_bytes_max: 4 << 20,
    },
    Attack {
        name: "records of one fragment of one byte",
        run: records,
        endings: &[Ending::Served],
        cpu_ns_max: 10_000,
        memory_bytes_max: 4 << 20,
    },
    Attack {
        name: "renegotiation",
        run: renegotiations,
        endings: &[Ending::Served, Ending::Cut],
        cpu_ns_max: 10_000_000,
        memory_bytes_max: 4 << 20,
    },
];

/// The first flight of an honest client.
fn hello(places: &Places) -> Vec<u8> {
    let name = ServerName::try_from(SERVERS[0]).expect("a name");
    let mut session = ClientConnection::new(Arc::clone(&places.tls), name).expect("a session");
    let mut hello = Vec::new();
    session
        .write_tls(&mut hello)
        .expect("a Vec takes everything");
    hello
}

/// Sends so many bytes at once on every connection, then one byte to each now and then, and reads
/// how they end.
fn drip(places: &Places, bytes: &[u8], at_once: usize) -> Tally {
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| plain(places.wss)).collect();
    let (first, rest) = bytes.split_at(at_once);
    for stream in &mut streams {
        // It may have heard enough.
        let _ = stream.write_all(first);
    }
    let started = Instant::now();
    // The last byte is never sent.
    for byte in rest.iter().take(rest.len().saturating_sub(1)) {
        if started.elapsed() > DRIPPING {
            break;
        }
        for stream in &mut streams {
            let _ = stream.write_all(&[*byte]);
        }
        std::thread::park_timeout(DRIP);
    }
    let endings = streams.iter_mut().map(|stream| match Ending::of(stream) {
        // What it said were records, not frames.
        Ending::Closed(_) => Ending::Cut,
        ending => ending,
    });
    Tally {
        units: CONNECTIONS as u64,
        endings: endings.collect(),
    }
}

/// Whole handshakes, each on a connection that is then dropped.
fn storm(places: &Places) -> Tally {
    std::thread::scope(|scope| {
        for _ in 0..STORMERS {
            scope.spawn(|| {
                // No ticket is kept: every handshake is a full one.
                let mut config = (*places.tls).clone();
                config.resumption = rustls::client::Resumption::disabled();
                let config = Arc::new(config);
                for _ in 0..HANDSHAKES / STORMERS {
                    let mut stream = secure(&config, plain(places.wss));
                    while stream.conn.is_handshaking() {
                        let handshake = stream.conn.complete_io(&mut stream.sock);
                        handshake.expect("the server shakes hands with everybody");
                    }
                }
            });
        }
    });
    Tally {
        units: HANDSHAKES as u64,
        endings: Vec::new(),
    }
}

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Upgraded and welcomed.
fn welcomed(places: &Places) -> Secure {
    let mut stream = secure(&places.tls, plain(places.wss));
    stream
        .write_all(upgrade().as_bytes())
        .expect("the server reads");
    hear(&mut stream, br#""max_message_bytes":65536}"#).expect("a welcome");
    stream
}

/// Reads until what was read ends so; `None` if the connection ends before.
fn hear(stream: &mut Secure, end: &[u8]) -> Option<()> {
    let mut said = Vec::new();
    while !said.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        said.push(byte[0]);
    }
    Some(())
}

/// A request, and whether it is answered.
fn still_served(stream: &mut Secure) -> Ending {
    let request = frame(FIN | TEXT, br#"{"type":"ping","id":"still here"}"#);
    let written = stream.write_all(&request).and_then(|()| stream.flush());
    match written
        .ok()
        .and_then(|()| hear(stream, br#""id":"still here"}"#))
    {
        Some(()) => Ending::Served,
        None => Ending::Cut,
    }
}

/// Each asks the server for new keys of its own (RFC 8446 §4.6.3); what it answers is read at the
/// end.
fn key_updates(places: &Places) -> Tally {
    let mut stream = welcomed(places);
    let mut flight = Vec::new();
    let mut sent = 0;
    while sent < KEY_UPDATES {
        flight.clear();
        for _ in 0..BATCH {
            stream.conn.refresh_traffic_keys().expect("TLS 1.3");
            while stream.conn.wants_write() {
                stream
                    .conn
                    .write_tls(&mut flight)
                    .expect("a Vec takes everything");
            }
        }
        if stream.sock.write_all(&flight).is_err() {
            break;
        }
        sent += BATCH;
    }
    Tally {
        units: sent as u64,
        endings: vec![still_served(&mut stream)],
    }
}

fn records(places: &Places) -> Tally {
    let mut stream = welcomed(places);
    let fragment = frame(CONTINUE, b" ");
    let mut flight = Vec::new();
    stream
        .write_all(&frame(TEXT, b""))
        .expect("the server reads");
    for _ in 0..RECORDS / BATCH {
        flight.clear();
        for _ in 0..BATCH {
            stream
                .conn
                .writer()
                .write_all(&fragment)
                .expect("it takes a few bytes");
            while stream.conn.wants_write() {
                stream
                    .conn
                    .write_tls(&mut flight)
                    .expect("a Vec takes everything");
            }
        }
        stream.sock.write_all(&flight).expect("the server reads");
    }
    let request = frame(FIN | CONTINUE, br#"{"type":"ping","id":"still here"}"#);
    stream.write_all(&request).expect("the server reads");
    let answer = hear(&mut stream, br#""id":"still here"}"#);
    Tally {
        units: RECORDS as u64,
        endings: vec![answer.map_or(Ending::Cut, |()| Ending::Served)],
    }
}

/// `R` on a line of its own lets s_client ask for a renegotiation (TLS 1.2), which the server does
/// not know.
fn renegotiations(places: &Places) -> Tally {
    let endings = (0..RENEGOTIATIONS).map(|_| {
        let mut client = Command::new("openssl")
            .args(["s_client", "-tls1_2", "-connect", &places.wss.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this test needs openssl: apt-get install openssl (tests/run does it)");
        let mut input = client.stdin.take().expect("it is piped");
        for line in ["R\n"; 100] {
            // It ends at the first refusal.
            if input.write_all(line.as_bytes()).is_err() {
                break;
            }
        }
        drop(input);
        let output = client.wait_with_output().expect("a child");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        for word in ["New, TLSv1.2", "RENEGOTIATING"] {
            assert!(said.contains(word), "no {word}: {said}");
        }
        assert_eq!(
            said.matches("Verification").count(),
            1,
            "one handshake: {said}"
        );
        Ending::Cut
    });
    Tally {
        units: RENEGOTIATIONS as u64,
        endings: endings.collect(),
    }
}
