//! One client: it connects, asks, hears, and leaves in one of several rude ways. It knows what it
//! has asked for, and panics over an answer that it could not get.

use crate::kinds::{AT_ONCE, KINDS, Kind, Place, ROOMS, ROOMS_ALL};
use crate::words::{self, Heard, Request};
use serde_json::{Value, json};
use shardcast_engine::driver::Millis;
use shardcast_engine::driver::sim::{Line, Random, Read, SocketId, World};
use shardcast_engine::protocol::frame::{Header, OpCode};
use shardcast_engine::protocol::reader::{self, FrameEvent, ReadLimits, Role, Step};
use shardcast_protocol::dialect::Dialect;
use shardcast_seeds::Tally;
use std::collections::BTreeMap;

/// What a client works with for one step.
pub(crate) struct Scene<'s> {
    pub(crate) world: &'s mut World,
    pub(crate) random: &'s mut Random,
    pub(crate) tally: &'s mut Tally,
    /// The last number that was given to a request.
    pub(crate) last_n: &'s mut u64,
    /// Of the handler that changes.
    pub(crate) version: u64,
    /// Of all that was heard.
    pub(crate) hash: &'s mut u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Before,
    Connecting,
    Open,
    /// It has said goodbye, and still reads.
    Leaving,
    Over,
}

/// How it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Handshake,
    HalfClose,
    Close,
    Reset,
    /// Cut somewhere in what it says.
    Cut,
}

pub(crate) struct Client {
    id: usize,
    pub(crate) dialect: Dialect,
    pub(crate) stage: Stage,
    shard: usize,
    line: Line,
    starts_at: Millis,
    who: Option<&'static str>,
    asks_left: usize,
    /// What it asks for every second time.
    habit: Option<&'static Kind>,
    window: usize,
    pub(crate) stays: bool,
    ending: Ending,
    socket: Option<SocketId>,
    /// What is not written yet.
    out: Vec<u8>,
    inbox: Vec<u8>,
    /// Requests by number, until they are answered.
    asked: BTreeMap<u64, Asked>,
    /// Numbers of the batches' requests that are to be answered together.
    batches: Vec<Vec<u64>>,
    /// Requests of background handlers that are never answered.
    silent: usize,
    /// What was heard of each room, in order.
    pub(crate) news: BTreeMap<String, Vec<u64>>,
}

#[derive(Debug)]
struct Asked {
    kind: &'static Kind,
    in_batch: bool,
    /// As many of this connection's may have been under way that one more was refused.
    is_crowded: bool,
    version: u64,
}

const WHO: [Option<&str>; 10] = [
    None,
    None,
    None,
    Some("ann"),
    Some("bob"),
    Some("refused"),
    Some("panic"),
    Some("opens-failing"),
    Some("opens-panicking"),
    Some("closes-panicking"),
];

impl Client {
    /// Joins every room first, asks for nothing else and stays to the end: what it hears is the
    /// order.
    pub(crate) fn witness(dialect: Dialect, shard: usize) -> Client {
        Client {
            id: 0,
            dialect,
            stage: Stage::Before,
            shard,
            line: Line::Perfect,
            starts_at: 0,
            who: None,
            asks_left: 0,
            habit: None,
            window: 0,
            stays: true,
            ending: Ending::Close,
            socket: None,
            out: Vec::new(),
            inbox: Vec::new(),
            asked: BTreeMap::new(),
            batches: Vec::new(),
            silent: 0,
            news: BTreeMap::new(),
        }
    }

    pub(crate) fn draw(id: usize, random: &mut Random, shards: usize) -> Client {
        let endings = [
            Ending::Handshake,
            Ending::HalfClose,
            Ending::Close,
            Ending::Reset,
            Ending::Cut,
        ];
        Client {
            id,
            line: random.pick(&[Line::Faulty, Line::Lasting]),
            starts_at: random.below(100) as Millis,
            who: random.pick(&WHO),
            asks_left: random.pick(&[0, 10, 60, 200]),
            habit: random
                .chance(400)
                .then(|| &KINDS[random.below(KINDS.len())]),
            window: random.pick(&[1, 4, 12, 60]),
            stays: random.chance(500),
            ending: random.pick(&endings),
            ..Client::witness(random.pick(&Dialect::OWN), random.below(shards))
        }
    }

    /// Asks for everything that the witness asks for.
    pub(crate) fn join_all(&mut self, scene: &mut Scene<'_>) {
        for room in 0..ROOMS {
            let kind = KINDS.iter().find(|kind| kind.name == "join_room");
            let request = self.request(scene, kind.expect("there is one"), room, true, false);
            self.say(&request.value(self.dialect));
        }
    }

    /// Everything it wanted to know it knows.
    pub(crate) fn is_served(&self) -> bool {
        let quiet = self.asked.is_empty() && self.out.is_empty();
        match self.stage {
            Stage::Before | Stage::Connecting | Stage::Leaving => false,
            Stage::Open => self.stays && quiet,
            Stage::Over => true,
        }
    }

    /// What it still waits for, for whoever looks for a failure.
    pub(crate) fn awaited(&self) -> String {
        let Client {
            id, stage, dialect, ..
        } = self;
        format!("client {id}, {dialect:?}, {stage:?}: {:?}", self.asked)
    }

    /// One step: connects, writes, reads, asks, or goes.
    pub(crate) fn act(&mut self, scene: &mut Scene<'_>, settles: bool) {
        if settles {
            self.asks_left = 0;
        }
        match self.stage {
            Stage::Before if scene.world.now() >= self.starts_at => self.connect(scene),
            Stage::Before | Stage::Over => {}
            Stage::Connecting | Stage::Leaving => {
                self.write(scene, settles);
                self.read(scene);
            }
            Stage::Open => {
                self.read(scene);
                if self.stage == Stage::Open {
                    self.ask(scene);
                    self.write(scene, settles);
                }
                let goes = self.asks_left == 0 && !self.stays;
                if self.stage == Stage::Open
                    && (goes || scene.random.chance(self.leaves_permille()))
                {
                    self.leave(scene);
                }
            }
        }
    }

    fn leaves_permille(&self) -> usize {
        if self.stays { 0 } else { 5 }
    }

    fn connect(&mut self, scene: &mut Scene<'_>) {
        let Some(socket) = scene.world.connect(self.shard, 0, self.line) else {
            self.stage = Stage::Over;
            return;
        };
        (self.socket, self.stage) = (Some(socket), Stage::Connecting);
        let query = self
            .who
            .map_or_else(String::new, |who| format!("?as={who}"));
        let request = format!(
            "GET /ws{query} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Protocol: {}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n",
            self.dialect.subprotocol()
        );
        self.out.extend(request.as_bytes());
    }

    fn write(&mut self, scene: &mut Scene<'_>, all: bool) {
        let Some(socket) = self.socket else { return };
        if self.out.is_empty() {
            return;
        }
        let bytes = match all || scene.random.chance(500) {
            true => self.out.len(),
            false => scene.random.between(1, self.out.len()),
        };
        match scene.world.write(socket, &self.out[..bytes]) {
            Some(written) => drop(self.out.drain(..written)),
            // What was sent before may still be read.
            None => self.out.clear(),
        }
    }

    fn read(&mut self, scene: &mut Scene<'_>) {
        let Some(socket) = self.socket else { return };
        loop {
            match scene.world.read(socket, 4096) {
                Read::Nothing => break,
                Read::Bytes(bytes) => self.inbox.extend(bytes),
                end @ (Read::Finished | Read::Broken) => {
                    self.take(scene);
                    if self.stage != Stage::Over {
                        let what = if end == Read::Broken {
                            "broken"
                        } else {
                            "finished"
                        };
                        count(scene.tally, what, 1);
                        scene.world.close(socket);
                        self.end(scene);
                    }
                    return;
                }
            }
        }
        self.take(scene);
    }

    fn end(&mut self, scene: &mut Scene<'_>) {
        self.stage = Stage::Over;
        self.out.clear();
        count(scene.tally, "gone_unanswered", self.asked.len() as u64);
        self.asked.clear();
    }

    /// Goes, now.
    pub(crate) fn leave(&mut self, scene: &mut Scene<'_>) {
        let Some(socket) = self.socket else {
            self.stage = Stage::Over;
            return;
        };
        match self.ending {
            Ending::Handshake => {
                self.frame(OpCode::Close, &1000_u16.to_be_bytes());
                self.stage = Stage::Leaving;
                return;
            }
            Ending::HalfClose => {
                self.out.clear();
                scene.world.half_close(socket);
                self.stage = Stage::Leaving;
                return;
            }
            Ending::Close => scene.world.close(socket),
            Ending::Reset => scene.world.reset(socket),
            Ending::Cut => {
                let nobody = json!({ "type": "s.echo", "id": 0, "data": null });
                self.say(&nobody);
                let bytes = scene.random.below(self.out.len());
                let _ = scene.world.write(socket, &self.out[..bytes]);
                scene.world.close(socket);
            }
        }
        self.end(scene);
    }

    /// Goes however it stands, without ceremony.
    pub(crate) fn drop_line(&mut self, scene: &mut Scene<'_>) {
        if self.stage != Stage::Over {
            if let Some(socket) = self.socket {
                scene.world.close(socket);
            }
            self.end(scene);
        }
    }
}

/// Asking.
impl Client {
    fn ask(&mut self, scene: &mut Scene<'_>) {
        if self.asks_left == 0 || self.asked.len() >= self.window || scene.random.chance(300) {
            return;
        }
        let batch = self.dialect == Dialect::JsonRpc && scene.random.chance(250);
        if !batch || self.batches.len() >= BATCHES_MAX {
            self.asks_left -= 1;
            let request = self.any_request(scene, false);
            return self.say(&request.value(self.dialect));
        }
        let count_asked = scene.random.between(1, 6).min(self.asks_left);
        self.asks_left -= count_asked;
        let requests = (0..count_asked).map(|_| self.any_request(scene, true));
        let requests: Vec<Request> = requests.collect();
        let numbers: Vec<u64> = requests.iter().filter_map(|request| request.id).collect();
        if !numbers.is_empty() {
            count(scene.tally, "batches", 1);
            self.batches.push(numbers);
        }
        let dialect = self.dialect;
        let values = requests.iter().map(|request| request.value(dialect));
        self.say(&values.collect());
    }

    fn any_request(&mut self, scene: &mut Scene<'_>, in_batch: bool) -> Request {
        let kind = match self.habit {
            Some(habit) if scene.random.chance(500) => habit,
            _ => &KINDS[scene.random.below(KINDS.len())],
        };
        // Every request of JSON-RPC may be silent; of the others only a broadcast.
        let may_be_silent = self.dialect == Dialect::JsonRpc || kind.name == "publish";
        let wants = !(may_be_silent && scene.random.chance(150));
        let room = scene.random.below(ROOMS_ALL);
        self.request(scene, kind, room, wants, in_batch)
    }

    fn request(
        &mut self,
        scene: &mut Scene<'_>,
        kind: &'static Kind,
        room: usize,
        wants: bool,
        in_batch: bool,
    ) -> Request {
        *scene.last_n += 1;
        let n = *scene.last_n;
        count(scene.tally, if wants { "asked" } else { "silent" }, 1);
        if wants {
            let asked = Asked {
                kind,
                in_batch,
                is_crowded: self.asked.len() + self.silent >= usize::from(AT_ONCE),
                version: scene.version,
            };
            self.asked.insert(n, asked);
        } else {
            self.silent += 1;
        }
        Request {
            kind: kind.name,
            id: wants.then_some(n),
            n,
            room: format!("r{room}"),
            how: scene.random.below(1000) as u64,
            built_in: kind.at == Place::BuiltIn,
        }
    }

    fn say(&mut self, value: &Value) {
        let (opcode, payload) = words::encode(self.dialect, value);
        self.frame(opcode, &payload);
    }

    fn frame(&mut self, opcode: OpCode, payload: &[u8]) {
        // A mask of zeros leaves the payload as it is.
        let header = Header::client(opcode, payload.len(), [0; 4]);
        self.out.extend(header.as_bytes());
        self.out.extend(payload);
    }
}

/// Hearing.
impl Client {
    /// Whatever whole messages have come.
    fn take(&mut self, scene: &mut Scene<'_>) {
        if self.stage == Stage::Connecting && !self.take_head(scene) {
            return;
        }
        let limits = ReadLimits {
            message_bytes_max: 1 << 20,
        };
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut at = 0;
        while self.stage != Stage::Over && at < inbox.len() {
            let step = reader::next(&mut inbox[at..], &mut None, Role::Client, &limits);
            let step = step.expect("the server keeps the protocol");
            let Step::Event { event, used } = step else {
                break;
            };
            match event {
                FrameEvent::Text(text) => {
                    note(scene, self.id, text.as_bytes());
                    self.hear(scene, words::decode_text(self.dialect, text));
                }
                FrameEvent::Binary(bytes) => {
                    note(scene, self.id, bytes);
                    self.hear(scene, words::decode_binary(self.dialect, bytes));
                }
                FrameEvent::Ping(payload) => {
                    let payload = payload.to_vec();
                    self.frame(OpCode::Pong, &payload);
                }
                FrameEvent::Close(_) => {
                    let socket = self.socket.expect("it is connected");
                    scene.world.close(socket);
                    count(scene.tally, "closed", 1);
                    self.end(scene);
                }
                other => panic!("{other:?}"),
            }
            at += used;
        }
        inbox.drain(..at);
        self.inbox = inbox;
    }

    /// The answer to the upgrade; false while it is not whole, or if it is no.
    fn take_head(&mut self, scene: &mut Scene<'_>) -> bool {
        let end = self.inbox.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let Some(end) = end else { return false };
        let head: Vec<u8> = self.inbox.drain(..end + 4).collect();
        if head.starts_with(b"HTTP/1.1 101 ") {
            self.stage = Stage::Open;
            return true;
        }
        assert!(matches!(self.who, Some("refused" | "panic")), "refused");
        count(scene.tally, "refused", 1);
        scene.world.close(self.socket.expect("it is connected"));
        self.end(scene);
        false
    }

    fn hear(&mut self, scene: &mut Scene<'_>, heard: Heard) {
        match heard {
            Heard::Welcome => {}
            Heard::Answer(n, outcome) => {
                let asked = self.answered(scene, n, outcome);
                assert!(!asked.in_batch, "{n} is answered outside of its batch");
            }
            Heard::Batch(answers) => {
                let mut numbers: Vec<u64> = answers.iter().map(|(n, _)| *n).collect();
                numbers.sort_unstable();
                let batch = self.batches.iter().position(|batch| *batch == numbers);
                let batch = batch.unwrap_or_else(|| panic!("no such batch: {numbers:?}"));
                self.batches.swap_remove(batch);
                for (n, outcome) in answers {
                    let asked = self.answered(scene, n, outcome);
                    assert!(asked.in_batch, "{n} came in no batch");
                }
            }
            Heard::News(room, n) => {
                let Some(n) = n else { return };
                count(scene.tally, "room_messages", u64::from(room.is_some()));
                if let Some(room) = room {
                    self.news.entry(room).or_default().push(n);
                }
            }
            Heard::Call(id, params) => self.called(scene, id, params),
        }
    }

    /// Answers most of the server's calls, some twice.
    fn called(&mut self, scene: &mut Scene<'_>, id: u64, params: Value) {
        let times = scene.random.pick(&[0, 1, 1, 1, 2]);
        let id = format!("s{id}");
        let answer = match scene.random.chance(700) {
            true => json!({ "jsonrpc": "2.0", "id": id, "result": params }),
            false => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": 1, "message": "no" } }),
        };
        (0..times).for_each(|_| self.say(&answer));
        count(scene.tally, "calls_answered", times);
    }

    fn answered(&mut self, scene: &mut Scene<'_>, n: u64, outcome: Result<Value, String>) -> Asked {
        let asked = self.asked.remove(&n);
        let asked = asked.unwrap_or_else(|| panic!("{n} was not asked, or is answered twice"));
        let kind = asked.kind;
        let word = outcome.as_ref().map_or_else(String::as_str, |_| "ok");
        let is_tried = matches!(kind.at, Place::Background | Place::Changing);
        let may_be = kind.outcomes.iter().find(|outcome| **outcome == word);
        let name = match (may_be, word) {
            (Some(name), _) => name,
            (None, "rate_limited") if is_tried && asked.is_crowded => "rate_limited",
            (None, _) => panic!("{n} is answered {word}: {kind:?}, {asked:?}"),
        };
        count(scene.tally, "answered", 1);
        count(scene.tally, name, 1);
        if let (Ok(value), true) = (&outcome, kind.at != Place::BuiltIn) {
            assert_eq!(value["n"], n, "another request's answer: {kind:?}");
            assert_eq!(value["did"], "ok", "{kind:?}");
            if kind.at == Place::Changing {
                let version = value["version"].as_u64().expect("a version");
                assert!((asked.version..=scene.version).contains(&version));
            }
        }
        asked
    }
}

pub(crate) fn count(tally: &mut Tally, name: &'static str, times: u64) {
    *tally.entry(name).or_default() += times;
}

/// Into the hash: who heard what, in which order.
fn note(scene: &mut Scene<'_>, client: usize, bytes: &[u8]) {
    let bytes = bytes.iter().copied().map(u64::from);
    for byte in [scene.world.now(), client as u64].into_iter().chain(bytes) {
        // FNV-1a.
        *scene.hash = (*scene.hash ^ byte).wrapping_mul(0x0100_0000_01b3);
    }
}

/// Batches that a client has under way, fewer than a connection may have.
const BATCHES_MAX: usize = 8;
