//! The honest clients: they talk in rounds, in rooms of [`ROOM`], for as long as the test runs.
//!
//! Invariant: a round ends when every client has heard every member of its room say that round's
//! number, each exactly once and in order; anything else that it hears, and any end of its
//! connection, fails the test. Used by `attack.rs`.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;
use rustls::ClientConfig;
use shardcast_tests::{
    Certificates, FIN, PATIENCE, PONG, Served, TEXT, frame, secure, upgrade_with,
};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Honest clients.
pub(crate) const CLIENTS: usize = 1_000;
/// Clients of one room. Its members sit on several threads here and, by chance, on both shards
/// there.
pub(crate) const ROOM: usize = 4;
const ROOMS: usize = CLIENTS / ROOM;
const THREADS: usize = 4;

/// Something to talk through.
trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// All honest clients.
pub(crate) struct Crowd {
    threads: Vec<Thread>,
    rounds: u64,
}

struct Thread {
    go: SyncSender<u64>,
    done: Receiver<()>,
    running: JoinHandle<u64>,
}

impl Crowd {
    /// Connects all and lets them join.
    pub(crate) fn gather(places: &Places) -> Crowd {
        let threads = (0..THREADS).map(|thread| {
            let (go, rounds) = sync_channel::<u64>(1);
            let (says, done) = sync_channel(1);
            let places = places.clone();
            let running = std::thread::spawn(move || {
                let mine = (thread..CLIENTS).step_by(THREADS);
                let mut clients: Vec<Honest> =
                    mine.map(|number| Honest::join(&places, number)).collect();
                let _the_test_has_failed = says.send(());
                for round in rounds {
                    clients.iter_mut().for_each(|client| client.say(round));
                    clients.iter_mut().for_each(|client| client.hear(round));
                    if says.send(()).is_err() {
                        break;
                    }
                }
                clients.iter().map(|client| client.heard).sum()
            });
            Thread { go, done, running }
        });
        let mut crowd = Crowd {
            threads: threads.collect(),
            rounds: 0,
        };
        crowd.wait();
        crowd
    }

    /// One round: every client says its number and hears its room.
    #[track_caller]
    pub(crate) fn round(&mut self) {
        for thread in &self.threads {
            // A thread that is gone is found below.
            let _ = thread.go.send(self.rounds);
        }
        self.rounds += 1;
        self.wait();
    }

    #[track_caller]
    fn wait(&mut self) {
        for thread in &self.threads {
            thread
                .done
                .recv()
                .expect("no honest client loses its connection or a message");
        }
    }

    /// Rounds so far.
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Everybody leaves: how many messages were heard.
    pub(crate) fn leave(self) -> u64 {
        let threads = self.threads.into_iter();
        let heard = threads.map(|thread| {
            drop(thread.go);
            thread
                .running
                .join()
                .expect("a crowd that heard everything")
        });
        heard.sum()
    }
}

/// Where the server listens, and how its TLS is trusted.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) ws: SocketAddr,
    pub(crate) wss: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
}

impl Places {
    pub(crate) fn of(served: &Served, certificates: &Certificates) -> Places {
        Places {
            ws: served.address("ws"),
            wss: served.address("wss"),
            tls: certificates.client(),
        }
    }
}

/// Over bare TCP.
pub(crate) fn plain(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

/// The offer of those who compress, which the server accepts as it stands.
pub(crate) const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
/// First byte: the message is compressed (RFC 7692 §6).
pub(crate) const RSV1: u8 = 0x40;

/// A message's payload, in blocks of which the last is marked so (RFC 7692 §7.2.3.4).
pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut payload = compress_to_vec(bytes, LEVEL);
    payload.push(0);
    payload
}

/// Makes messages worth compressing.
const WORDS: &str = "how do you do, how do you do, how do you do, how do you do?";

/// As good as it gets.
const LEVEL: u8 = 10;

/// RFC 7692 §7.2.2, and an empty last block behind, for what ends without one.
fn inflated(mut payload: Vec<u8>) -> String {
    payload.extend([0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]);
    let bytes = decompress_to_vec(&payload).expect("deflate");
    String::from_utf8(bytes).expect("UTF-8")
}

/// One honest client.
struct Honest {
    wire: Box<dyn Wire>,
    room: usize,
    place: usize,
    /// The round that each member of the room is expected to say next.
    next: [u64; ROOM],
    heard: u64,
    /// Read and not yet looked at.
    bytes: VecDeque<u8>,
    compresses: bool,
}

impl Honest {
    /// In every room, the last one to come uses TLS, and the two last ones compress.
    fn join(places: &Places, number: usize) -> Honest {
        // Neighbours in number are in different rooms, and a room's members in different threads.
        let (room, place) = (number % ROOMS, number / ROOMS);
        let wire: Box<dyn Wire> = if place == ROOM - 1 {
            Box::new(secure(&places.tls, plain(places.wss)))
        } else {
            Box::new(plain(places.ws))
        };
        let mut client = Honest {
            wire,
            room,
            place,
            next: [0; ROOM],
            heard: 0,
            bytes: VecDeque::new(),
            compresses: place >= ROOM - 2,
        };
        let offer = if client.compresses { DEFLATE } else { "" };
        client.write(upgrade_with(offer).as_bytes());
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.take(1)[0]);
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101 "),
            "{}",
            String::from_utf8_lossy(&head)
        );
        let accepted = String::from_utf8_lossy(&head).contains(DEFLATE);
        assert_eq!(
            accepted,
            client.compresses,
            "{}",
            String::from_utf8_lossy(&head)
        );
        let welcome = client.message();
        assert!(welcome.starts_with(r#"{"type":"welcome","#), "{welcome}");
        client.text(&format!(
            r#"{{"type":"join_room","id":1,"room":"honest {room}"}}"#
        ));
        let joined = client.message();
        let expected = format!(r#"{{"type":"joined","id":1,"room":"honest {room}","members":"#);
        assert!(joined.starts_with(&expected), "{joined}");
        client
    }

    fn say(&mut self, round: u64) {
        let (room, place) = (self.room, self.place);
        self.text(&format!(
            r#"{{"type":"broadcast","room":"honest {room}","data":["{WORDS}",{place},{round}]}}"#
        ));
    }

    /// Hears until every member has said this round. Who is faster may have said the next one
    /// already.
    fn hear(&mut self, round: u64) {
        let words = format!("\"{WORDS}\",");
        while self.next.iter().any(|next| *next <= round) {
            let message = self.message();
            let start = format!(
                r#"{{"type":"message","room":"honest {}","from":""#,
                self.room
            );
            let said = message
                .strip_prefix(&start)
                .and_then(|rest| rest.strip_suffix("]}"))
                .and_then(|rest| rest.split_once(r#"","data":["#))
                .and_then(|(_, said)| said.strip_prefix(&words)?.split_once(','));
            let (place, number) = said.unwrap_or_else(|| panic!("{message}"));
            let place: usize = place.parse().expect("a place");
            assert_eq!(number, self.next[place].to_string(), "{message}");
            self.next[place] += 1;
            self.heard += 1;
        }
    }

    /// The next text message; pings are answered.
    fn message(&mut self) -> String {
        loop {
            let start = self.take(2);
            let bytes = match start[1] {
                short @ 0..126 => usize::from(short),
                126 => usize::from(u16::from_be_bytes(self.take(2).try_into().expect("two"))),
                _ => panic!("nobody says so much"),
            };
            let payload = self.take(bytes);
            match start[0] {
                0xc1 if self.compresses => return inflated(payload),
                0x81 => return String::from_utf8(payload).expect("UTF-8"),
                0x89 => self.write(&frame(FIN | PONG, &payload)),
                other => panic!("{other:#x} {}", String::from_utf8_lossy(&payload)),
            }
        }
    }

    fn text(&mut self, text: &str) {
        let frame = if self.compresses {
            frame(FIN | RSV1 | TEXT, &deflated(text.as_bytes()))
        } else {
            frame(FIN | TEXT, text.as_bytes())
        };
        self.write(&frame);
    }

    fn write(&mut self, bytes: &[u8]) {
        let written = self.wire.write_all(bytes).and_then(|()| self.wire.flush());
        written.unwrap_or_else(|error| panic!("honest {}: {error}", self.room));
    }

    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut chunk = [0; 4096];
        while self.bytes.len() < bytes {
            match self.wire.read(&mut chunk) {
                Ok(0) => panic!("honest {}: the server ended the connection", self.room),
                Ok(count) => self.bytes.extend(&chunk[..count]),
                Err(error) => panic!("honest {}: {error}", self.room),
            }
        }
        self.bytes.drain(..bytes).collect()
    }
}
