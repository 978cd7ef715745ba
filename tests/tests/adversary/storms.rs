//! Storms of connects and of posts: each is small, ordinary or unfinished, and there is always one
//! more.

use crate::attack::{Attack, Ending, Tally};
use crate::crowd::{Places, plain};
use shardcast_tests::events::{post, stream};
use shardcast_tests::upgrade_with;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::JoinHandle;

/// Threads that connect, side by side, and connects of each.
const THREADS: usize = 8;
const CONNECTS: usize = 500;
/// Connects that are all held at once.
const HELD: usize = 2_000;
/// Event streams, and what is posted to each.
const STREAMS: usize = 10;
const POSTS: usize = 1_980;
/// Posts on one connection: the server answers 100 requests on each.
const POSTS_PER_CONNECTION: usize = 99;

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "connects that are given up in the middle of a head",
        run: |places| {
            storm(|| {
                let mut socket = plain(places.ws);
                socket.write_all(HALF_A_HEAD).expect("a new socket");
                Ending::Served
            })
        },
        endings: &[Ending::Served],
        cpu_ns_max: 500_000,
        memory_bytes_max: 16 << 20,
    },
    Attack {
        name: "connects that are given up in the middle of a handshake",
        run: |places| {
            storm(|| {
                let mut socket = plain(places.wss);
                // The beginning of a record with a ClientHello of 512 bytes.
                let begun = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
                socket.write_all(&begun).expect("a new socket");
                Ending::Served
            })
        },
        endings: &[Ending::Served],
        cpu_ns_max: 500_000,
        memory_bytes_max: 16 << 20,
    },
    Attack {
        name: "connects that never finish",
        run: |places| {
            let connect = |_| {
                let mut socket = plain(places.ws);
                socket.write_all(HALF_A_HEAD).expect("a new socket");
                socket
            };
            let mut held: Vec<TcpStream> = (0..HELD).map(connect).collect();
            let endings = held.iter_mut().map(|socket| Ending::of(socket));
            Tally {
                units: HELD as u64,
                endings: endings.collect(),
            }
        },
        endings: &[Ending::Status(408), Ending::Cut],
        cpu_ns_max: 500_000,
        memory_bytes_max: HELD as u64 * (8 << 10),
    },
    Attack {
        name: "tokens that nobody has signed",
        run: |places| {
            storm(|| {
                let mut socket = plain(places.ws);
                let bearer = format!("Authorization: Bearer {UNSIGNED}\r\n");
                let request = upgrade_with(&bearer);
                socket.write_all(request.as_bytes()).expect("a new socket");
                Ending::of(&mut socket)
            })
        },
        // More than may wait for their check are told to come back.
        endings: &[Ending::Status(401), Ending::Status(503)],
        cpu_ns_max: 1_500_000,
        memory_bytes_max: 64 << 20,
    },
    Attack {
        name: "posts to event streams without end",
        run: posts,
        endings: &[Ending::Served],
        cpu_ns_max: 400_000,
        memory_bytes_max: 16 << 20,
    },
];

/// A token of ES256 with a signature of the right length.
const UNSIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJldmUiLCJleHAiOjk5OTk5OTk5OTl9.\
    AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4_QA";

const HALF_A_HEAD: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgr";

/// Connects, one after the other on each thread.
fn storm(connect: impl Fn() -> Ending + Sync) -> Tally {
    let endings = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| (0..CONNECTS).map(|_| connect()).collect::<Vec<_>>()))
            .collect();
        let ended = threads.into_iter();
        ended
            .flat_map(|thread| thread.join().expect("connects"))
            .collect()
    });
    Tally {
        units: (THREADS * CONNECTS) as u64,
        endings,
    }
}

/// A stream that somebody reads, so that only the posts are too many.
struct Listener {
    stream: TcpStream,
    reading: JoinHandle<()>,
    token: String,
}

impl Listener {
    fn open(places: &Places) -> Listener {
        let mut socket = plain(places.ws);
        let request = stream("/sse");
        socket
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut said = String::new();
        let token = loop {
            let mut bytes = [0; 4_096];
            let count = socket.read(&mut bytes).expect("an event");
            assert!(count > 0, "{said}");
            said += std::str::from_utf8(&bytes[..count]).expect("UTF-8");
            let begun = said.split_once("event: session\ndata: ");
            if let Some((token, _)) = begun.and_then(|(_, rest)| rest.split_once('\n')) {
                break token.to_owned();
            }
        };
        let mut reader = socket.try_clone().expect("a descriptor");
        let reading = std::thread::spawn(move || {
            let mut bytes = vec![0; 65_536];
            while reader.read(&mut bytes).is_ok_and(|count| count > 0) {}
        });
        Listener {
            stream: socket,
            reading,
            token,
        }
    }

    /// As fast as the server answers; too fast is an answer, too.
    fn post(&self, places: &Places) {
        let request = post("/sse", &self.token, r#"{"type":"ping","id":1}"#);
        let requests = request.repeat(POSTS_PER_CONNECTION);
        for _ in 0..POSTS / POSTS_PER_CONNECTION {
            let mut socket = plain(places.ws);
            socket
                .write_all(requests.as_bytes())
                .expect("the server reads");
            let mut answers = String::new();
            let statuses = |answers: &str| -> Vec<String> {
                let heads = answers.split("HTTP/1.1 ").skip(1);
                let whole = heads.filter_map(|head| head.get(..3));
                whole.map(str::to_owned).collect()
            };
            while statuses(&answers).len() < POSTS_PER_CONNECTION {
                let mut bytes = [0; 16_384];
                let count = socket.read(&mut bytes).expect("an answer");
                assert!(count > 0, "the end instead of an answer: {answers}");
                answers += std::str::from_utf8(&bytes[..count]).expect("UTF-8");
            }
            let statuses = statuses(&answers);
            assert_eq!(statuses.len(), POSTS_PER_CONNECTION, "{answers}");
            let expected = |status: &String| matches!(status.as_str(), "204" | "429" | "503");
            assert!(statuses.iter().all(expected), "{statuses:?}");
        }
    }
}

fn posts(places: &Places) -> Tally {
    let endings = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..STREAMS)
            .map(|_| {
                scope.spawn(|| {
                    let listener = Listener::open(places);
                    listener.post(places);
                    let Listener {
                        stream, reading, ..
                    } = listener;
                    stream.shutdown(Shutdown::Both).expect("an open socket");
                    reading.join().expect("a reader");
                    Ending::Served
                })
            })
            .collect();
        let ended = threads.into_iter();
        ended
            .map(|thread| thread.join().expect("answers"))
            .collect()
    });
    Tally {
        units: (STREAMS * POSTS) as u64,
        endings,
    }
}
