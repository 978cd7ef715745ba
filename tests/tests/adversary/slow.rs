//! Slow-loris: whoever is slow, in every phase of a connection.

use crate::attack::{Attack, Ending, Tally};
use crate::crowd::{Places, plain};
use shardcast_tests::{CONTINUE, FIN, TEXT, frame, header, upgrade};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Connections of each attack.
const CONNECTIONS: usize = 100;
/// How long one drips: longer than any timeout that it is up against.
const DRIPPING: Duration = Duration::from_millis(4_000);
/// Between two bytes.
const DRIP: Duration = Duration::from_millis(50);

/// All of them at once.
pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "connect and silence",
        run: |places| drip(places, b"", |_| None),
        // Who asked for nothing is answered nothing.
        endings: &[Ending::Cut],
        cpu_ns_max: 2_000_000,
        memory_bytes_max: 1 << 20,
    },
    Attack {
        name: "a request head byte by byte",
        run: |places| {
            drip(places, b"GET /ws HTTP/1.1\r\nHost: a\r\nX: ", |_| {
                Some(b'a')
            })
        },
        // What is dripped after the refusal is a reset.
        endings: &[Ending::Status(408), Ending::Cut],
        cpu_ns_max: 2_000_000,
        memory_bytes_max: 2 << 20,
    },
    Attack {
        name: "half a frame header",
        run: |places| drip(places, &upgraded(&header(FIN | TEXT, 1000)[..3]), |_| None),
        endings: &[Ending::Closed(1008)],
        cpu_ns_max: 2_000_000,
        memory_bytes_max: 1 << 20,
    },
    Attack {
        name: "a frame's payload byte by byte",
        run: |places| {
            drip(places, &upgraded(&header(FIN | TEXT, 60_000)), |_| {
                Some(b'a')
            })
        },
        endings: &[Ending::Closed(1008), Ending::Cut],
        cpu_ns_max: 2_000_000,
        memory_bytes_max: CONNECTIONS as u64 * (32 << 10),
    },
    Attack {
        name: "fragments now and then, never the last",
        run: |places| {
            drip(places, &upgraded(&frame(TEXT, b"")), |number| {
                let fragment = frame(CONTINUE, b"a");
                Some(fragment[number % fragment.len()])
            })
        },
        endings: &[Ending::Closed(1008), Ending::Cut],
        cpu_ns_max: 2_000_000,
        memory_bytes_max: 1 << 20,
    },
    Attack {
        name: "never a pong",
        run: |places| drip(places, &upgraded(b""), |_| None),
        endings: &[Ending::Closed(1008)],
        cpu_ns_max: 2_000_000,
        memory_bytes_max: 1 << 20,
    },
    Attack {
        name: "a close without an answer",
        run: |places| drip(places, &upgraded(&frame(FIN | 3, b"")), |_| None),
        endings: &[Ending::Closed(1002), Ending::Cut],
        cpu_ns_max: 2_000_000,
        memory_bytes_max: 1 << 20,
    },
];

/// An upgrade with something behind it.
fn upgraded(then: &[u8]) -> Vec<u8> {
    [upgrade().as_bytes(), then].concat()
}

/// Sends the start on every connection, then a byte to each now and then, and reads how they end.
fn drip(places: &Places, start: &[u8], next: fn(usize) -> Option<u8>) -> Tally {
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| plain(places.ws)).collect();
    for stream in &mut streams {
        stream.write_all(start).expect("the server reads");
    }
    let started = Instant::now();
    for number in 0.. {
        let Some(byte) = next(number).filter(|_| started.elapsed() < DRIPPING) else {
            break;
        };
        for stream in &mut streams {
            // It may be gone.
            let _ = stream.write_all(&[byte]);
        }
        std::thread::park_timeout(DRIP);
    }
    let endings = streams
        .iter_mut()
        .map(|stream| Ending::of(stream as &mut dyn Read));
    Tally {
        units: CONNECTIONS as u64,
        endings: endings.collect(),
    }
}
