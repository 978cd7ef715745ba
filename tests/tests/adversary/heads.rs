//! What is no upgrade: heads that are too large, garbage, connects that are dropped at once.

use crate::attack::{Attack, Ending, Tally};
use crate::crowd::{Places, plain};
use socket2::SockRef;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// Connections of each attack.
const CONNECTIONS: usize = 1_000;
/// Connections at once, of one attack.
const AT_ONCE: usize = 100;

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "one huge header",
        run: |places| send(places, &head(&format!("X: {}\r\n", "a".repeat(64 << 10)))),
        endings: &[Ending::Status(431), Ending::Cut],
        cpu_ns_max: 500_000,
        memory_bytes_max: AT_ONCE as u64 * (32 << 10),
    },
    Attack {
        name: "a thousand headers",
        run: |places| send(places, &head(&"X: a\r\n".repeat(1_000))),
        endings: &[Ending::Status(431), Ending::Cut],
        cpu_ns_max: 500_000,
        memory_bytes_max: AT_ONCE as u64 * (32 << 10),
    },
    Attack {
        name: "a request line without end",
        run: |places| send(places, &[b'/'; 64 << 10]),
        endings: &[Ending::Status(400), Ending::Status(431), Ending::Cut],
        cpu_ns_max: 500_000,
        memory_bytes_max: AT_ONCE as u64 * (32 << 10),
    },
    Attack {
        name: "garbage in a pipeline",
        run: |places| {
            send(
                places,
                &b"GET / HTTP/1.1\r\n\r\n\0\xff\r\n\r\n".repeat(3_000),
            )
        },
        endings: &[Ending::Status(400), Ending::Cut],
        cpu_ns_max: 500_000,
        memory_bytes_max: AT_ONCE as u64 * (32 << 10),
    },
    Attack {
        name: "connected and gone",
        run: |places| {
            for number in 0..5 * CONNECTIONS {
                let stream = plain(places.ws);
                if number % 2 == 0 {
                    reset(&stream);
                }
            }
            Tally {
                units: 5 * CONNECTIONS as u64,
                endings: Vec::new(),
            }
        },
        endings: &[],
        cpu_ns_max: 300_000,
        memory_bytes_max: 4 << 20,
    },
];

fn head(headers: &str) -> Vec<u8> {
    format!("GET /ws HTTP/1.1\r\nHost: a\r\n{headers}\r\n").into_bytes()
}

/// The next drop of it is a reset.
fn reset(stream: &TcpStream) {
    let linger = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    linger.expect("a TCP socket");
}

/// The same bytes on many connections, some at once.
fn send(places: &Places, bytes: &[u8]) -> Tally {
    let mut endings = Vec::new();
    while endings.len() < CONNECTIONS {
        let mut streams: Vec<TcpStream> = (0..AT_ONCE).map(|_| plain(places.ws)).collect();
        for stream in &mut streams {
            // It may have heard enough.
            let _ = stream.write_all(bytes);
        }
        endings.extend(streams.iter_mut().map(|stream| Ending::of(stream)));
    }
    Tally {
        units: CONNECTIONS as u64,
        endings,
    }
}
