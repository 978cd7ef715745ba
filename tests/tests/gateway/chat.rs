//! A chat of 1,000 clients, of which a process in Python decides every connect, join, publish and
//! rpc. It is killed and started again ten times, the server reads its files again meanwhile, and
//! is drained at last: for each request its client hears the decision or a typed error, never both
//! and never neither, and the server has counted what the clients have.

use crate::backend::{Place, python};
use crate::{calls, knock, serve};
use serde_json::Value;
use shardcast_patience::{PATIENCE, Program, wait_within};
use shardcast_tests::{CLOSE, FIN, Raw, Served, TEXT};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};

const CLIENTS: u64 = 1_000;
/// Each of them speaks for its share of the clients, one round after the other.
const THREADS: u64 = 8;
const KILLS: u64 = 10;
/// Answers between two events of the test: enough that each is met by requests of every kind.
const ANSWERS_BETWEEN: u64 = 1_000;

#[test]
fn every_request_is_decided_or_refused_once() {
    let place = Place::unix();
    let journal = Journal::new();
    let server = serve(&place, "timeout = \"20s\"\n");
    let talk = Talk {
        address: server.address("ws"),
        answers: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        next: AtomicU64::new(1),
    };
    let counted = thread::scope(|scope| {
        let crowds: Vec<_> = (0..THREADS)
            .map(|thread| {
                let talk = &talk;
                scope.spawn(move || Crowd::new(talk, thread).talk())
            })
            .collect();
        let backend = harass(&server, &talk, &place, &journal);
        talk.is_over.store(true, Ordering::Release);
        let (counts, crowds) = ended(crowds);
        check_metrics(&server, &counts);
        check_rooms(&server, &crowds);
        drain(server, &talk, crowds, &journal);
        drop(backend);
        counts
    });
    for (event, outcome) in [
        ("connect", "accepted"),
        ("connect", "rejected"),
        ("join", "accepted"),
        ("join", "rejected"),
        ("publish", "accepted"),
        ("publish", "rejected"),
        ("rpc", "accepted"),
        ("rpc", "rejected"),
        ("rpc", "unavailable"),
    ] {
        let seen = counted
            .get(&(event, outcome))
            .is_some_and(|count| *count > 0);
        assert!(seen, "the test has met no {event} {outcome}: {counted:?}");
    }
}

/// Kills the backend and starts it again, and has the server read its files, each in the middle of
/// the talk.
fn harass(server: &Served, talk: &Talk, place: &Place, journal: &Journal) -> Program {
    let start = || python("tests/tests/gateway/chat.py", place, &[journal.path()]);
    let mut backend = start();
    talk.wait_for_more();
    for kill in 0..KILLS {
        backend.signal("KILL");
        let _killed = backend.end();
        if kill % 2 == 0 {
            server.hang_up();
        }
        talk.wait_for_more();
        backend = start();
        server.hang_up();
        // Of the new one something has been heard.
        let before = journal.lines();
        wait_within(PATIENCE, "the new backend decides", || {
            journal.lines() > before
        });
        talk.wait_for_more();
    }
    backend
}

/// What all crowds have counted, and the crowds.
fn ended<'t>(crowds: Vec<ScopedJoinHandle<'_, Crowd<'t>>>) -> (Counts, Vec<Crowd<'t>>) {
    let mut sum = Counts::new();
    let mut all = Vec::new();
    for crowd in crowds {
        let crowd = crowd.join().expect("a panic, see above");
        for (what, count) in &crowd.counts {
            *sum.entry(*what).or_default() += count;
        }
        all.push(crowd);
    }
    (sum, all)
}

/// The server has counted what the clients have.
fn check_metrics(server: &Served, counts: &Counts) {
    for event in ["connect", "join", "publish", "rpc"] {
        for outcome in [
            "accepted",
            "rejected",
            "unavailable",
            "timeout",
            "failed",
            "abandoned",
            "let_through",
        ] {
            let heard = counts.get(&(event, outcome)).copied().unwrap_or(0);
            assert_eq!(calls(server, event, outcome), heard, "{event} {outcome}");
        }
    }
}

/// Operators are told of the connections and members that there are, once those have ended that
/// left.
fn check_rooms(server: &Served, crowds: &[Crowd<'_>]) {
    let mut members = BTreeMap::<String, u64>::new();
    let clients = || {
        crowds
            .iter()
            .flat_map(|crowd| crowd.clients.iter().zip(&crowd.rooms))
    };
    for (_, rooms) in clients().filter(|(client, _)| client.is_some()) {
        for room in rooms {
            *members.entry(room.clone()).or_default() += 1;
        }
    }
    let connected = clients().filter(|(client, _)| client.is_some()).count() as u64;
    let ask = |path: &str| {
        let (status, body) = server.ask(path);
        (status == 200).then(|| serde_json::from_str::<Value>(&body).expect("JSON"))
    };
    wait_within(PATIENCE, "operators are told what clients know", || {
        let (Some(page), Some(info)) = (ask("/api/rooms?prefix=open-"), ask("/api/info")) else {
            return false;
        };
        let rooms = page["rooms"].as_array().expect("rooms").iter().map(|room| {
            let name = room["room"].as_str().expect("a name").to_owned();
            (name, room["members"].as_u64().expect("a count"))
        });
        rooms.collect::<BTreeMap<_, _>>() == members
            && info["connections"] == connected
            && members.iter().all(|(room, count)| {
                let detail = ask(&format!("/api/rooms/{room}"));
                detail.is_some_and(|detail| detail["members"] == *count)
            })
    });
}

/// Drains under load. A request that has no answer was never seen by the backend: the client may
/// make it again elsewhere.
fn drain(server: Served, talk: &Talk, crowds: Vec<Crowd<'_>>, journal: &Journal) {
    let unanswered: Vec<u64> = thread::scope(|scope| {
        let crowds: Vec<_> = crowds
            .into_iter()
            .map(|crowd| scope.spawn(move || crowd.talk_until_closed()))
            .collect();
        talk.wait_for_more();
        server.terminate();
        let each = crowds.into_iter().map(|crowd| crowd.join());
        each.flat_map(|crowd| crowd.expect("a panic, see above"))
            .collect()
    });
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    let decided = journal.numbers();
    for number in unanswered {
        assert!(
            !decided.contains(&number),
            "{number} was decided, and not answered"
        );
    }
}

/// By event and outcome, as the metrics name them.
type Counts = BTreeMap<(&'static str, &'static str), u64>;

/// What all crowds share.
struct Talk {
    address: SocketAddr,
    answers: AtomicU64,
    is_over: AtomicBool,
    /// Numbers of requests: none is used twice.
    next: AtomicU64,
}

impl Talk {
    fn wait_for_more(&self) {
        let until = self.answers.load(Ordering::Acquire) + ANSWERS_BETWEEN;
        wait_within(PATIENCE, "more answers", || {
            self.answers.load(Ordering::Acquire) >= until
        });
    }
}

/// The clients of one thread.
struct Crowd<'t> {
    talk: &'t Talk,
    thread: u64,
    clients: Vec<Option<Raw>>,
    /// That each of them is in.
    rooms: Vec<BTreeSet<String>>,
    counts: Counts,
}

/// A request, and what the backend says of it if it says anything.
struct Wanted {
    event: &'static str,
    number: u64,
    text: String,
    answer: Option<Value>,
}

impl Wanted {
    fn new(event: &'static str, number: u64) -> Wanted {
        let is_refused = match event {
            "join" => number.is_multiple_of(5),
            _ => number.is_multiple_of(7),
        };
        let (text, answer) = match event {
            "join" => {
                let room = if is_refused { "closed" } else { "open" };
                let room = format!("{room}-{}", number % 16);
                let text = format!(r#"{{"type":"join_room","id":{number},"room":"{room}"}}"#);
                (text, Value::String(room))
            }
            // To a room that nobody is in: answers are what this test is about.
            "publish" => {
                let text = r#""type":"broadcast","room":"nobody""#;
                (
                    format!(r#"{{{text},"id":{number},"data":{number}}}"#),
                    Value::Null,
                )
            }
            _ => {
                let text = format!(r#"{{"type":"double","id":{number},"data":{number}}}"#);
                (text, Value::from(number * 2))
            }
        };
        Wanted {
            event,
            number,
            text,
            answer: (!is_refused).then_some(answer),
        }
    }

    /// What this answer means; it is one of those that there may be.
    fn outcome(&self, heard: &Value) -> &'static str {
        if heard["type"] == "error" {
            return match (&heard["code"], &self.answer) {
                (code, None) if code == "forbidden" => {
                    assert_eq!(heard["message"], "by number");
                    "rejected"
                }
                (code, _) if code == "unavailable" => "unavailable",
                (code, _) if code == "timeout" => "timeout",
                other => panic!("{}: {other:?} for {}", heard, self.text),
            };
        }
        let answer = self.answer.as_ref();
        let answer = answer.unwrap_or_else(|| panic!("{heard} for {}", self.text));
        match self.event {
            "join" => assert_eq!((&heard["type"], &heard["room"]), (&"joined".into(), answer)),
            "publish" => assert_eq!(heard["type"], "ack"),
            _ => assert_eq!(&heard["data"], answer),
        }
        "accepted"
    }
}

impl<'t> Crowd<'t> {
    fn new(talk: &'t Talk, thread: u64) -> Crowd<'t> {
        Crowd {
            talk,
            thread,
            clients: (0..CLIENTS / THREADS).map(|_| None).collect(),
            rooms: (0..CLIENTS / THREADS).map(|_| BTreeSet::new()).collect(),
            counts: Counts::new(),
        }
    }

    fn count(&mut self, event: &'static str, outcome: &'static str) {
        *self.counts.entry((event, outcome)).or_default() += 1;
        self.talk.answers.fetch_add(1, Ordering::AcqRel);
    }

    /// Connects whoever is not connected, and talks, round after round.
    fn talk(mut self) -> Crowd<'t> {
        let mut round = 0;
        while !self.talk.is_over.load(Ordering::Acquire) {
            self.connect();
            self.ask(round);
            round += 1;
            // Some leave, and come back.
            for client in self.clients.iter_mut().skip(round % 10).step_by(50) {
                *client = None;
            }
        }
        // Nothing that was said comes a second time.
        for client in self.clients.iter_mut().flatten() {
            client.say(r#"{"type":"ping","id":"end"}"#);
            assert_eq!(client.hear(), r#"{"type":"pong","id":"end"}"#);
        }
        self
    }

    fn connect(&mut self) {
        let first = self.thread * CLIENTS / THREADS;
        let address = self.talk.address;
        let absent = (0..self.clients.len()).filter(|index| self.clients[*index].is_none());
        let asked = absent.map(|index| {
            let user = first + index as u64;
            (index, user, knock(address, &format!("?user=u{user}")))
        });
        let asked: Vec<(usize, u64, Raw)> = asked.collect();
        for (index, user, mut client) in asked {
            let (head, body) = client.answer();
            let status = head.split(' ').nth(1);
            let is_refused = user % 10 == 3;
            let outcome = match status.and_then(|status| status.parse().ok()) {
                Some(101) if !is_refused => {
                    let welcome = client.hear();
                    assert!(welcome.contains(r#""type":"welcome""#), "{welcome}");
                    self.clients[index] = Some(client);
                    self.rooms[index].clear();
                    "accepted"
                }
                Some(403) if is_refused => "rejected",
                Some(503) => "unavailable",
                Some(504) => "timeout",
                _ => panic!("{head}{body} for {user}"),
            };
            self.count("connect", outcome);
        }
    }

    /// One request of every client that is there, all at once.
    fn ask(&mut self, round: usize) {
        let event = ["rpc", "join", "publish"][round % 3];
        let mut wanted = Vec::new();
        for client in &mut self.clients {
            wanted.push(client.as_mut().map(|client| {
                let number = self.talk.next.fetch_add(1, Ordering::AcqRel);
                let wanted = Wanted::new(event, number);
                client.say(&wanted.text);
                wanted
            }));
        }
        for (index, wanted) in wanted.into_iter().enumerate() {
            let Some((wanted, client)) = wanted.zip(self.clients[index].as_mut()) else {
                continue;
            };
            let heard: Value = serde_json::from_str(&client.hear()).expect("JSON");
            assert_eq!(heard["id"], wanted.number, "{heard} for {}", wanted.text);
            let outcome = wanted.outcome(&heard);
            if let ("join", "accepted", Some(room)) =
                (wanted.event, outcome, heard["room"].as_str())
            {
                self.rooms[index].insert(room.to_owned());
            }
            self.count(wanted.event, outcome);
        }
    }

    /// Talks on until the server has closed every client. Returns the requests without an answer.
    fn talk_until_closed(mut self) -> Vec<u64> {
        let mut unanswered = Vec::new();
        while self.clients.iter().any(Option::is_some) {
            let mut wanted = Vec::new();
            for client in &mut self.clients {
                wanted.push(client.as_mut().map(|client| {
                    let number = self.talk.next.fetch_add(1, Ordering::AcqRel);
                    let event = if number.is_multiple_of(2) {
                        "rpc"
                    } else {
                        "publish"
                    };
                    let wanted = Wanted::new(event, number);
                    let frame = shardcast_tests::frame(FIN | TEXT, wanted.text.as_bytes());
                    client.send_anyway(&frame);
                    wanted
                }));
            }
            for (index, wanted) in wanted.into_iter().enumerate() {
                let Some(wanted) = wanted else { continue };
                let client = self.clients[index]
                    .as_mut()
                    .expect("whoever asked is there");
                if is_answered(client, &wanted) {
                    self.talk.answers.fetch_add(1, Ordering::AcqRel);
                } else {
                    unanswered.push(wanted.number);
                    self.clients[index] = None;
                }
            }
        }
        unanswered
    }
}

/// Whether a request to a server that may be closing was answered before the close.
fn is_answered(client: &mut Raw, wanted: &Wanted) -> bool {
    loop {
        let (first, payload) = client.frame();
        if first == FIN | CLOSE {
            assert_eq!(&payload[..2], 1001_u16.to_be_bytes());
            return false;
        }
        let heard: Value = serde_json::from_slice(&payload).expect("JSON");
        if heard["type"] != "closing" {
            assert_eq!(heard["id"], wanted.number, "{heard}");
            wanted.outcome(&heard);
            return true;
        }
    }
}

/// The numbers that any backend of the test has decided about.
struct Journal(PathBuf);

impl Journal {
    fn new() -> Journal {
        let name = format!("shardcast-gateway-journal-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, "").expect("a temporary file");
        Journal(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    fn read(&self) -> String {
        fs::read_to_string(Path::new(&self.0)).expect("the journal")
    }

    fn lines(&self) -> usize {
        self.read().lines().count()
    }

    fn numbers(&self) -> HashSet<u64> {
        let text = self.read();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_file(&self.0);
    }
}
