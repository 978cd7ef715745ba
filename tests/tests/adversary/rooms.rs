//! Rooms without end: names that nobody else uses, joined, left and written to.

use crate::attack::{Attack, Ending, Tally, frame as next_frame};
use crate::crowd::Places;
use crate::flood::welcomed;
use shardcast_tests::{FIN, TEXT, frame};
use std::io::{Read, Write};

/// Connections, side by side.
const CONNECTIONS: usize = 20;
/// Requests of each.
const REQUESTS: usize = 10_000;
/// As `limits.max_rooms_per_connection` is by default.
const ROOMS_MAX: usize = 128;
/// As `limits.max_room_name_bytes` is by default.
const NAME_BYTES: usize = 255;
/// Requests before their answers are read: below the limit of those that wait for other shards.
const WINDOW: usize = 25;

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "rooms joined without end",
        run: |places| {
            many(places, |connection, number| {
                let answer = if number < ROOMS_MAX {
                    "joined"
                } else {
                    "error"
                };
                vec![(request("join_room", &name("j", connection, number)), answer)]
            })
        },
        endings: &[Ending::Served],
        cpu_ns_max: 30_000,
        // A room's name, its subscribers, their list and its place at home, on up to two shards.
        memory_bytes_max: (CONNECTIONS * ROOMS_MAX) as u64 * (2 << 10),
    },
    Attack {
        name: "rooms joined and left",
        run: |places| {
            many(places, |connection, number| {
                let name = name("l", connection, number);
                vec![
                    (request("join_room", &name), "joined"),
                    (request("leave_room", &name), "left"),
                ]
            })
        },
        endings: &[Ending::Served],
        cpu_ns_max: 60_000,
        memory_bytes_max: 8 << 20,
    },
    Attack {
        name: "one room joined and left by all",
        run: |places| {
            many(places, |_, _| {
                vec![
                    (request("join_room", "one for all"), "joined"),
                    (request("leave_room", "one for all"), "left"),
                ]
            })
        },
        endings: &[Ending::Served],
        cpu_ns_max: 60_000,
        memory_bytes_max: 8 << 20,
    },
    Attack {
        name: "lists of a room without end",
        run: |places| {
            many(places, |_, _| {
                vec![(request("presence", "honest 0"), "presence")]
            })
        },
        endings: &[Ending::Served],
        cpu_ns_max: 60_000,
        memory_bytes_max: 8 << 20,
    },
    Attack {
        name: "broadcasts to rooms that nobody is in",
        run: |places| {
            many(places, |connection, number| {
                vec![(request("broadcast", &name("b", connection, number)), "ack")]
            })
        },
        endings: &[Ending::Served],
        cpu_ns_max: 30_000,
        memory_bytes_max: 8 << 20,
    },
];

/// A name of full length that only this connection of this attack uses.
fn name(attack: &str, connection: usize, number: usize) -> String {
    let name = format!("{attack} {connection} {number} ");
    let fill = "n".repeat(NAME_BYTES - name.len());
    name + &fill
}

fn request(kind: &str, room: &str) -> String {
    format!(r#"{{"type":"{kind}","id":1,"room":"{room}"}}"#)
}

/// Requests with the type that their answer has.
type Asked = Vec<(String, &'static str)>;

fn many(places: &Places, ask: fn(usize, usize) -> Asked) -> Tally {
    let endings = std::thread::scope(|scope| {
        let running: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                scope.spawn(move || {
                    let mut stream = welcomed(places);
                    let mut said = Vec::new();
                    for start in (0..REQUESTS).step_by(WINDOW) {
                        let asked =
                            (start..start + WINDOW).flat_map(|number| ask(connection, number));
                        let asked: Asked = asked.collect();
                        let bytes = asked
                            .iter()
                            .map(|(text, _)| frame(FIN | TEXT, text.as_bytes()));
                        let bytes: Vec<u8> = bytes.flatten().collect();
                        stream.write_all(&bytes).expect("the server reads");
                        let mut wanted: Vec<&str> =
                            asked.iter().map(|(_, answer)| *answer).collect();
                        let mut given: Vec<String> = asked
                            .iter()
                            .map(|_| answer(&mut stream, &mut said))
                            .collect();
                        // An answer that waits for another shard comes behind one that does not.
                        wanted.sort_unstable();
                        given.sort_unstable();
                        assert_eq!(given, wanted, "from {}", asked[0].0);
                    }
                    Ending::Served
                })
            })
            .collect();
        let ended = running.into_iter();
        ended
            .map(|thread| thread.join().expect("answers"))
            .collect()
    });
    Tally {
        units: (CONNECTIONS * REQUESTS) as u64,
        endings,
    }
}

/// The type of the next message.
fn answer(stream: &mut dyn Read, said: &mut Vec<u8>) -> String {
    loop {
        if let Some((_, payload, rest)) = next_frame(said) {
            let text = String::from_utf8_lossy(payload);
            let kind = text.split('"').nth(3).unwrap_or(&text).to_owned();
            *said = rest.to_vec();
            return kind;
        }
        let mut chunk = [0; 16 << 10];
        match stream.read(&mut chunk).expect("an answer") {
            0 => panic!("the end instead of an answer"),
            count => said.extend_from_slice(&chunk[..count]),
        }
    }
}
