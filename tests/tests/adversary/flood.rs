//! Floods of frames: fragments, pings, control frames that are too long, frames that are announced
//! and never sent.

use crate::attack::{Attack, Ending, Tally, frame as next_frame};
use crate::crowd::{Places, plain};
use shardcast_tests::{CONTINUE, FIN, PING, PONG, TEXT, frame, header, upgrade};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Frames of one flood.
const FRAMES: usize = 300_000;
/// Connections, where each sends little.
const CONNECTIONS: usize = 1_000;
/// Frames in one write.
const BATCH: usize = 4_096;

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "one-byte fragments without end",
        run: |places| fragments(places, &frame(CONTINUE, b"a")),
        endings: &[Ending::Closed(1009), Ending::Cut],
        cpu_ns_max: 1_500,
        memory_bytes_max: 1 << 20,
    },
    Attack {
        name: "empty fragments, then a request",
        run: |places| fragments(places, &frame(CONTINUE, b"")),
        endings: &[Ending::Served],
        cpu_ns_max: 1_500,
        memory_bytes_max: 1 << 20,
    },
    Attack {
        name: "pings, and the pongs are read",
        run: pings_answered,
        endings: &[Ending::Served],
        cpu_ns_max: 3_000,
        memory_bytes_max: 4 << 20,
    },
    Attack {
        name: "pings, and no pong is read",
        run: pings_unread,
        endings: &[Ending::Closed(1008), Ending::Cut],
        cpu_ns_max: 3_000,
        memory_bytes_max: 4 << 20,
    },
    Attack {
        name: "control frames of 126 bytes",
        run: |places| many(places, &frame(FIN | PING, &[b'a'; 126])),
        endings: &[Ending::Closed(1002), Ending::Cut],
        cpu_ns_max: 500_000,
        memory_bytes_max: CONNECTIONS as u64 * (8 << 10),
    },
    Attack {
        name: "frames announced at the limit, never sent",
        run: |places| many(places, &header(FIN | TEXT, 64 << 10)),
        endings: &[Ending::Closed(1008)],
        cpu_ns_max: 500_000,
        // 32 KiB are reserved for an announced frame (ARCHITECTURE.md), and touched when bytes
        // come.
        memory_bytes_max: CONNECTIONS as u64 * (8 << 10),
    },
    Attack {
        name: "frames announced far over the limit",
        run: |places| many(places, &header(FIN | TEXT, 1 << 62)),
        endings: &[Ending::Closed(1009), Ending::Cut],
        cpu_ns_max: 500_000,
        memory_bytes_max: CONNECTIONS as u64 * (8 << 10),
    },
];

/// Connects and upgrades, and has read the 101 and the welcome.
pub(crate) fn welcomed(places: &Places) -> TcpStream {
    let mut stream = plain(places.ws);
    stream
        .write_all(upgrade().as_bytes())
        .expect("the server reads");
    let mut said = Vec::new();
    while !said.ends_with(br#""max_message_bytes":65536}"#) {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a welcome");
        said.push(byte[0]);
    }
    stream
}

/// A message of [`FRAMES`] fragments, of which the last completes a request if the server still
/// listens.
fn fragments(places: &Places, fragment: &[u8]) -> Tally {
    let mut stream = welcomed(places);
    let request = br#"{"type":"ping","id":"still here"}"#;
    let batch = fragment.repeat(BATCH);
    let mut written = stream.write_all(&frame(TEXT, b""));
    for _ in 0..FRAMES / BATCH {
        written = written.and_then(|()| stream.write_all(&batch));
    }
    let written = written.and_then(|()| stream.write_all(&frame(FIN | CONTINUE, request)));
    let answer = br#"{"type":"pong","id":"still here"}"#;
    let mut said = vec![0; 2 + answer.len()];
    let ending = match written.and_then(|()| stream.read_exact(&mut said)) {
        Ok(()) if said.ends_with(answer) => Ending::Served,
        // What it has said instead is its end.
        _ => {
            let _as_far_as_it_goes = stream.read_to_end(&mut said);
            Ending::told(&said)
        }
    };
    Tally {
        units: FRAMES as u64,
        endings: vec![ending],
    }
}

fn pings_answered(places: &Places) -> Tally {
    let mut stream = welcomed(places);
    let mut reader = stream.try_clone().expect("a descriptor");
    let batch = frame(FIN | PING, b"ping").repeat(BATCH);
    let pings = FRAMES / BATCH * BATCH;
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut pongs = vec![0; 6 * pings];
            reader
                .read_exact(&mut pongs)
                .expect("a pong for every ping");
            let mut rest = &pongs[..];
            while let Some((first, payload, more)) = next_frame(rest) {
                assert_eq!((first, payload), (FIN | PONG, &b"ping"[..]));
                rest = more;
            }
            assert_eq!(rest, b"");
        });
        for _ in 0..FRAMES / BATCH {
            stream.write_all(&batch).expect("the server reads");
        }
        reading.join().expect("pongs");
    });
    Tally {
        units: FRAMES as u64,
        endings: vec![Ending::Served],
    }
}

/// The socket buffers of both sides hold a few megabytes; then the pongs wait in the outbox, until
/// it is full.
fn pings_unread(places: &Places) -> Tally {
    let mut stream = welcomed(places);
    let batch = frame(FIN | PING, &[b'a'; 125]).repeat(BATCH);
    let mut batches = 0;
    while batches < FRAMES / BATCH && stream.write_all(&batch).is_ok() {
        batches += 1;
    }
    Tally {
        units: (batches * BATCH) as u64,
        endings: vec![Ending::of(&mut stream)],
    }
}

/// The same bytes on many connections, and nothing more.
fn many(places: &Places, bytes: &[u8]) -> Tally {
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| plain(places.ws)).collect();
    for stream in &mut streams {
        let all = [upgrade().as_bytes(), bytes].concat();
        stream.write_all(&all).expect("the server reads");
    }
    let endings = streams.iter_mut().map(|stream| Ending::of(stream));
    Tally {
        units: CONNECTIONS as u64,
        endings: endings.collect(),
    }
}
