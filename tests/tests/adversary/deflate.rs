//! Compressed messages that are not what they seem: bombs by size and by ratio, blocks without
//! content, no deflate at all.

use crate::attack::{Attack, Ending, Tally};
use crate::crowd::{DEFLATE, Places, deflated, plain};
use shardcast_tests::{CLOSE, CONTINUE, FIN, TEXT, frame, header, upgrade_with};
use std::io::{Read, Write};

/// Connections of each attack, all at once.
const CONNECTIONS: usize = 10;
/// Messages on each, as far as the server listens.
const MESSAGES: usize = 20;
/// First byte: the message is compressed (RFC 7692 §6).
const RSV1: u8 = 0x40;
/// `limits.max_message_bytes` by default.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "a bomb of 32 MiB",
        run: |places| send(places, &message(&deflated(&vec![b' '; 32 << 20]))),
        endings: &[Ending::Closed(1009), Ending::Cut],
        cpu_ns_max: 50,
        memory_bytes_max: 4 << 20,
    },
    Attack {
        name: "a bomb in fragments",
        run: |places| {
            let bomb = deflated(&vec![b' '; 32 << 20]);
            let (last, rest) = bomb.split_at(1);
            let mut bytes = frame(RSV1 | TEXT, last);
            for byte in rest {
                bytes.extend(frame(CONTINUE, &[*byte]));
            }
            bytes.extend(frame(FIN | CONTINUE, b""));
            send(places, &bytes)
        },
        endings: &[Ending::Closed(1009), Ending::Cut],
        cpu_ns_max: 50,
        memory_bytes_max: 4 << 20,
    },
    Attack {
        name: "a thousandfold message below the limit",
        run: |places| send(places, &message(&deflated(&vec![b' '; MESSAGE_BYTES_MAX]))),
        endings: &[Ending::Closed(1009), Ending::Served, Ending::Cut],
        // A byte becomes a thousand.
        cpu_ns_max: 20_000,
        memory_bytes_max: 4 << 20,
    },
    Attack {
        name: "stored blocks of nothing",
        run: |places| {
            // The last block as messages end (RFC 7692 §7.2.1).
            let mut blocks = [0, 0, 0, 0xff, 0xff].repeat(MESSAGE_BYTES_MAX / 5);
            blocks.truncate(blocks.len() - 4);
            send(places, &message(&blocks))
        },
        endings: &[Ending::Served],
        cpu_ns_max: 50,
        memory_bytes_max: 4 << 20,
    },
    Attack {
        name: "fixed blocks of nothing",
        // Three bits of header and seven of the end: four blocks in five bytes (RFC 1951 §3.2.6).
        run: |places| {
            let four = [0b0000_0010, 0b0000_1000, 0b0010_0000, 0b1000_0000, 0];
            let mut blocks = four.repeat(MESSAGE_BYTES_MAX / 5 - 1);
            blocks.push(0);
            send(places, &message(&blocks))
        },
        endings: &[Ending::Served],
        cpu_ns_max: 300,
        memory_bytes_max: 4 << 20,
    },
    Attack {
        name: "no deflate",
        run: |places| send(places, &message(&[0xff; 1000])),
        endings: &[Ending::Closed(1007), Ending::Cut],
        cpu_ns_max: 1_000,
        memory_bytes_max: 4 << 20,
    },
    Attack {
        name: "a compressed message that is never whole",
        run: |places| {
            let start = &deflated(&vec![b' '; 32 << 10])[..20];
            send(
                places,
                &[header(RSV1 | FIN | TEXT, 60_000), start.to_vec()].concat(),
            )
        },
        endings: &[Ending::Closed(1008)],
        cpu_ns_max: 100_000,
        memory_bytes_max: 4 << 20,
    },
];

fn message(payload: &[u8]) -> Vec<u8> {
    frame(RSV1 | FIN | TEXT, payload)
}

/// All connections say the same.
fn send(places: &Places, message: &[u8]) -> Tally {
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| send_one(places, message)))
            .collect();
        let ended = running.into_iter();
        ended
            .map(|thread| thread.join().expect("an ending"))
            .collect()
    });
    Tally {
        units: tallies.iter().map(|tally| tally.units).sum(),
        endings: tallies
            .into_iter()
            .flat_map(|tally| tally.endings)
            .collect(),
    }
}

/// The same message again and again, then a close; what the server makes of it is read meanwhile.
fn send_one(places: &Places, message: &[u8]) -> Tally {
    let mut stream = plain(places.ws);
    let mut reader = stream.try_clone().expect("a descriptor");
    let reading = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _as_far_as_it_goes = reader.read_to_end(&mut said);
        said
    });
    let upgrade = upgrade_with(DEFLATE);
    stream
        .write_all(upgrade.as_bytes())
        .expect("the server reads");
    let mut sent = 0;
    while sent < MESSAGES && stream.write_all(message).is_ok() {
        sent += 1;
    }
    let _ = stream.write_all(&frame(FIN | CLOSE, &1000_u16.to_be_bytes()));
    let said = reading.join().expect("it does not panic");
    // A close that answers ours: it was served to the end.
    let ending = match Ending::told(&said) {
        Ending::Closed(1000) => Ending::Served,
        ending => ending,
    };
    Tally {
        units: (sent * message.len()) as u64,
        endings: vec![ending],
    }
}
