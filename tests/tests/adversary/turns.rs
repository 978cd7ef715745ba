//! Connections have turns on the real ring: whoever floods a shard is overtaken by those who talk in small rooms beside a large one. (That
//! floods of publishes to the large room are, too, is shown on simulated shards, `engine/src/shard/tests/turns.rs`: here one thread
//! would have to read gigabytes for its members, who are closed as slow readers otherwise.)
//!
//! What is counted is no time: how many requests of the flood are answered while an honest client waits for its own message. One thread
//! reads the honest clients first and the flood behind them, so a slow machine makes the counts smaller, not larger.

use crate::attack::frame as next_frame;
use crate::crowd::plain;
use shardcast_tests::{CLOSE, Certificates, FIN, Served, TEXT, frame, upgrade};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const SERVER: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 1
pin = "none"
[limits]
outbox_bytes = "64MiB"
[log]
level = "warn"
"#;

/// Members of the large room.
const MEMBERS: usize = 4_500;
/// Members that are read between two looks at the honest.
const SWEPT: usize = 500;
const FLOODERS: usize = 4;
/// Requests of one flooder that are not answered yet, always.
const WINDOW: usize = 20_000;
const HONEST: usize = 16;
/// Questions of each, after some in which the server learns who floods.
const QUESTIONS: usize = 40;
const WARM_UP: usize = 5;
/// Between two looks at what has come.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// So long may one flood take altogether, on whatever machine.
const TALK: Duration = Duration::from_secs(180);
/// What a tick takes in of all who flood, in bytes: 8 receive buffers.
const SHARE_BYTES: usize = 8 * 16_640;
/// The promise: 99 of 100 answers come before the flood had so many ticks' shares. In one order with it, they would come behind all windows.
const SHARES_MAX: usize = 4;

/// A connection that never blocks.
struct Line {
    stream: TcpStream,
    unwritten: Vec<u8>,
    unread: Vec<u8>,
}

impl Line {
    /// Upgrades and joins; the answers come later.
    fn open(address: SocketAddr, room: Option<&str>) -> Line {
        let mut stream = plain(address);
        let join = room.map(|room| request("join_room", room, 0));
        let all = [upgrade().as_bytes(), &join.unwrap_or_default()].concat();
        stream.write_all(&all).expect("the server reads");
        stream.set_nonblocking(true).expect("a socket");
        Line {
            stream,
            unwritten: Vec::new(),
            unread: Vec::new(),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.unwritten.extend_from_slice(bytes);
        while !self.unwritten.is_empty() {
            match self.stream.write(&self.unwritten) {
                Ok(count) => drop(self.unwritten.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the server reads: {error}"),
            }
        }
    }

    /// Reads what there is.
    fn read(&mut self) {
        let mut bytes = vec![0; 65_536];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => panic!(
                    "the server has ended it: {:?}",
                    String::from_utf8_lossy(&self.unread)
                ),
                Ok(count) => self.unread.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the server answers: {error}"),
            }
        }
    }

    /// The upgrade is answered; true once a message that begins with `words` was read, and all before.
    fn has_read(&mut self, words: &[u8]) -> bool {
        self.read();
        if self.unread.starts_with(b"HTTP/") {
            let head = self.unread.windows(4).position(|end| end == b"\r\n\r\n");
            let Some(head) = head else { return false };
            self.unread.drain(..head + 4);
        }
        self.frames(|payload| payload.starts_with(words)) > 0
    }

    fn await_words(&mut self, words: &[u8], deadline: Instant) {
        while !self.has_read(words) {
            assert!(Instant::now() < deadline, "not everybody is there");
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Takes the frames that are whole. How many are there of which `counts` is true.
    fn frames(&mut self, counts: impl Fn(&[u8]) -> bool) -> usize {
        self.read();
        let (mut rest, mut found) = (&self.unread[..], 0);
        while let Some((first, payload, more)) = next_frame(rest) {
            assert_ne!(
                first,
                FIN | CLOSE,
                "the server closes: {:?}",
                String::from_utf8_lossy(payload)
            );
            found += usize::from(counts(payload));
            rest = more;
        }
        let used = self.unread.len() - rest.len();
        self.unread.drain(..used);
        found
    }
}

fn request(kind: &str, room: &str, id: usize) -> Vec<u8> {
    let text = format!(r#"{{"type":"{kind}","id":{id},"room":"{room}","data":1}}"#);
    frame(FIN | TEXT, text.as_bytes())
}

struct Honest {
    line: Line,
    question: Vec<u8>,
    /// What the flood had been answered when it asked.
    asked_at: Option<usize>,
    counts: Vec<usize>,
}

struct Flooder {
    line: Line,
    unanswered: usize,
}

#[track_caller]
fn check(name: &str, cycle: &[Vec<u8>]) {
    let certificates = Certificates::make();
    let toml = format!("{SERVER}{}", certificates.toml());
    let served = Served::start(env!("CARGO_BIN_EXE_served"), &toml);
    let address = served.address("ws");
    let deadline = Instant::now() + TALK;
    let members = (0..MEMBERS).map(|_| Line::open(address, Some("huge")));
    let mut members: Vec<Line> = members.collect();
    let mut honest: Vec<Honest> = (0..HONEST).map(|at| Honest::open(address, at)).collect();
    let mut flooders: Vec<Flooder> = (0..FLOODERS)
        .map(|_| Flooder {
            line: Line::open(address, None),
            unanswered: 0,
        })
        .collect();
    let joining = members.iter_mut();
    let joining = joining.chain(honest.iter_mut().map(|honest| &mut honest.line));
    joining.for_each(|line| line.await_words(br#"{"type":"joined""#, deadline));
    let flooding = flooders.iter_mut().map(|flooder| &mut flooder.line);
    flooding.for_each(|line| line.await_words(br#"{"type":"welcome""#, deadline));
    let batch = cycle.concat();
    let (mut answered, mut heard, mut sweep) = (0, 0, 0);
    let is_done = |honest: &Honest| honest.counts.len() >= QUESTIONS + WARM_UP;
    while !honest.iter().all(is_done) {
        assert!(Instant::now() < deadline, "{name}: {answered} answers");
        honest.iter_mut().for_each(|honest| honest.hear(answered));
        for flooder in &mut flooders {
            let answers = flooder.line.frames(|_| true);
            flooder.unanswered -= answers;
            answered += answers;
        }
        let asking = honest.iter_mut().filter(|honest| !is_done(honest));
        asking.for_each(|honest| honest.ask(answered));
        for flooder in &mut flooders {
            let more = (WINDOW - flooder.unanswered) / cycle.len();
            flooder.unanswered += more * cycle.len();
            flooder.line.write(&batch.repeat(more));
        }
        for _ in 0..SWEPT {
            heard += members[sweep].frames(|_| true);
            sweep = (sweep + 1) % MEMBERS;
        }
    }
    let counted = honest.iter().flat_map(|honest| &honest.counts[WARM_UP..]);
    let mut counts: Vec<usize> = counted.copied().collect();
    counts.sort_unstable();
    let p99 = counts[counts.len() * 99 / 100];
    let share = SHARE_BYTES / (batch.len() / cycle.len());
    println!(
        "{name}: {answered} requests of the flood, {heard} messages heard, between question and answer {} {p99} {} (p50, p99, max); a share is {share}",
        counts[counts.len() / 2],
        counts[counts.len() - 1],
    );
    assert!(
        p99 <= SHARES_MAX * share,
        "{name}: {p99} requests of the flood come first, a share is {share}"
    );
    assert!(answered > FLOODERS * WINDOW, "{name}: the flood is served");
    assert_eq!(served.metric("closed_slow_total"), 0, "{name}");
    assert_eq!(served.metric("panics_total"), 0, "{name}");
    drop((members, honest, flooders));
    served.terminate();
    let (code, log) = served.end();
    assert_eq!((code, log.as_str()), (Some(0), ""), "{name}");
}

impl Honest {
    fn open(address: SocketAddr, number: usize) -> Honest {
        let room = format!("own {number}");
        Honest {
            line: Line::open(address, Some(&room)),
            question: request("publish", &room, 1),
            asked_at: None,
            counts: Vec::new(),
        }
    }

    /// Its own message, not the ack, is what it waits for: it has been ordered and delivered.
    fn hear(&mut self, answered: usize) {
        let message = br#"{"type":"message""#;
        if self.line.frames(|payload| payload.starts_with(message)) > 0 {
            let asked_at = self.asked_at.take().expect("it has asked");
            self.counts.push(answered - asked_at);
        }
    }

    fn ask(&mut self, answered: usize) {
        if self.asked_at.is_none() {
            self.line.write(&self.question);
            self.asked_at = Some(answered);
        }
    }
}

#[test]
fn who_floods_a_shard_is_overtaken_by_those_who_talk() {
    check("pings", &[request("ping", "huge", 1)]);
    let other = |kind: &str| request(kind, "other", 1);
    check(
        "joins and leaves",
        &[other("join_room"), other("leave_room")],
    );
    check("lists", &[request("presence", "own 0", 1)]);
}
