//! A virtual client: real wire bytes at its own pace, and a sharp eye on what comes back.
//!
//! What can be judged at once is judged here (frames, answers to asks, order of echoes,
//! membership); the rest goes into the log.

mod deflation;
mod hearing;
mod speech;
pub(crate) mod tls;

use super::application::Step;
use super::log::Log;
use super::temper::{Opening, Temper};
use deflation::Deflation;
use shardcast_engine::driver::Millis;
use shardcast_engine::driver::sim::{Line, Random, Read, SocketId, World};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::reader::Assembly;
use std::collections::{BTreeSet, VecDeque};
use tls::Secure;

/// What surrounds a client when it acts.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) random: &'a mut Random,
    pub(crate) now: Step,
    pub(crate) clients: usize,
    pub(crate) rooms: usize,
    /// Those who stayed end now.
    pub(crate) settled: bool,
    /// The last listener speaks TLS.
    pub(crate) secure: bool,
    /// The server compresses, and clients offer it.
    pub(crate) compressed: bool,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: usize,
    pub(crate) encoding: usize,
    pub(crate) temper: Temper,
    pub(crate) log: Log,
    pub(crate) stage: Stage,
    /// The status of a refusal.
    pub(crate) refusal: Option<u16>,
    /// The code that its bad behaviour deserves.
    pub(crate) expected_code: Option<u16>,
    /// The code of the server's close frame.
    pub(crate) close_code: Option<CloseCode>,
    line: Line,
    shard: usize,
    secure: Option<Secure>,
    deflation: Option<Deflation>,
    /// When it connects.
    starts_at: Millis,
    socket: Option<SocketId>,
    unsent: Vec<u8>,
    input: Vec<u8>,
    assembly: Option<Box<Assembly>>,
    unanswered: BTreeSet<u32>,
    echoes: VecDeque<u32>,
    pings: VecDeque<u32>,
    asks_left: usize,
    stalled_until: Millis,
    started: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Waiting,
    Handshaking,
    Open,
    /// A close frame was sent or received, or something unforgivable; only the end is waited for.
    Closing,
    Over,
}

impl Client {
    pub(crate) fn new(
        id: usize,
        temper: Temper,
        shard: usize,
        starts_at: Millis,
        line: Line,
    ) -> Client {
        Client {
            id,
            encoding: 0,
            log: Log::default(),
            stage: Stage::Waiting,
            refusal: None,
            expected_code: None,
            close_code: None,
            line,
            shard,
            secure: None,
            deflation: None,
            starts_at,
            socket: None,
            unsent: Vec::new(),
            input: Vec::new(),
            assembly: None,
            unanswered: BTreeSet::new(),
            echoes: VecDeque::new(),
            pings: VecDeque::new(),
            asks_left: temper.asks,
            stalled_until: 0,
            started: 0,
            temper,
        }
    }

    /// Whether it has something to do at this moment.
    pub(crate) fn is_ready(&self, world: &World, settled: bool) -> bool {
        let now = world.now();
        let (Some(socket), true) = (self.socket, self.stage != Stage::Over) else {
            return self.stage == Stage::Waiting && self.starts_at <= now;
        };
        let reads = self.stalled_until <= now && world.is_readable(socket);
        let writes = self.has_unsent() && world.is_writable(socket);
        reads || writes || self.may_ask() || self.may_end(settled)
    }

    /// When time alone gives it something to do.
    pub(crate) fn ready_at(&self, world: &World) -> Option<Millis> {
        let now = world.now();
        match self.stage {
            Stage::Waiting => Some(self.starts_at),
            Stage::Handshaking | Stage::Open | Stage::Closing => Some(self.stalled_until),
            Stage::Over => None,
        }
        .filter(|at| *at > now)
    }

    /// Nothing is left to do but to stay.
    pub(crate) fn is_settled(&self, now: Millis) -> bool {
        let done = self.temper.stays && self.asks_left == 0 && self.stalled_until <= now;
        let idle = self.stage == Stage::Open && done;
        self.stage == Stage::Over || idle
    }

    /// Panics if it waits in vain. Called when nothing happens any more unless time passes.
    pub(crate) fn assert_served(&self, world: &World) {
        if self.stage != Stage::Open || self.stalled_until > world.now() {
            return;
        }
        assert!(
            !self.has_unsent(),
            "client {}: the server does not read, and nothing will change that",
            self.id
        );
        assert!(
            self.unanswered.is_empty() && self.pings.is_empty(),
            "client {}: no answer to {:?}, pings {:?}, and none will come",
            self.id,
            self.unanswered,
            self.pings
        );
    }

    fn may_ask(&self) -> bool {
        let outstanding = self.unanswered.len() + self.pings.len();
        self.stage == Stage::Open && self.asks_left > 0 && outstanding < self.temper.window
    }

    fn may_end(&self, settled: bool) -> bool {
        let due = settled || !self.temper.stays;
        self.stage == Stage::Open && self.asks_left == 0 && due
    }

    /// Does one of the things that it can do.
    pub(crate) fn act(&mut self, scene: &mut Scene<'_>) {
        let Some(socket) = self.socket else {
            self.connect(scene);
            return;
        };
        if self.stage == Stage::Open && scene.random.chance(500) {
            if self.may_ask() {
                let count = scene.random.between(1, self.temper.burst);
                (0..count).for_each(|_| self.ask(scene));
            } else if self.may_end(scene.settled) {
                self.end(scene, socket);
                return;
            }
        }
        if self.has_unsent() && scene.random.chance(500) {
            self.write(scene, socket);
        }
        if self.stage != Stage::Over && self.stalled_until <= scene.world.now() {
            self.read(scene, socket);
        }
    }

    /// The listener that it uses.
    fn listener(&self) -> u8 {
        self.id as u8 % LISTENERS
    }

    fn connect(&mut self, scene: &mut Scene<'_>) {
        self.socket = scene.world.connect(self.shard, self.listener(), self.line);
        self.started = scene.now;
        if self.socket.is_none() {
            self.over(scene);
            return;
        }
        self.stage = Stage::Handshaking;
        let path = match self.temper.opening {
            Opening::Refused => "/elsewhere".to_owned(),
            Opening::Panic => "/panic".to_owned(),
            Opening::Proper | Opening::Partial | Opening::Garbage => {
                format!("/client/{}/{}", self.id, self.encoding)
            }
        };
        self.deflation = scene.compressed.then(|| Deflation::of(self.id)).flatten();
        let extensions = match &self.deflation {
            Some(deflation) => format!("Sec-WebSocket-Extensions: {}\r\n", deflation.offer),
            None => String::new(),
        };
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: simulation\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{extensions}\r\n"
        )
        .into_bytes();
        match self.temper.opening {
            Opening::Proper | Opening::Refused | Opening::Panic => {}
            Opening::Partial => request.truncate(scene.random.below(request.len())),
            Opening::Garbage => request[..4].copy_from_slice(b"\x16\x03\x01\r"),
        }
        self.unsent = request;
        if scene.secure && self.listener() == LISTENERS - 1 {
            self.secure = Some(Secure::new());
        }
    }

    fn has_unsent(&self) -> bool {
        let secure = self.secure.as_ref();
        !self.unsent.is_empty() || secure.is_some_and(|secure| !secure.records.is_empty())
    }

    fn write(&mut self, scene: &mut Scene<'_>, socket: SocketId) {
        let wire = match &mut self.secure {
            None => &mut self.unsent,
            Some(secure) => {
                if secure.records.is_empty() {
                    let count = some_of(scene.random, self.unsent.len());
                    secure.say(&self.unsent[..count]);
                    self.unsent.drain(..count);
                }
                &mut secure.records
            }
        };
        if wire.is_empty() {
            // It is said once the handshake is done.
            return;
        }
        let count = some_of(scene.random, wire.len());
        match scene.world.write(socket, &wire[..count]) {
            Some(taken) => drop(wire.drain(..taken)),
            // What the server said before may still be read.
            None => {
                wire.clear();
                self.unsent.clear();
            }
        }
    }

    fn read(&mut self, scene: &mut Scene<'_>, socket: SocketId) {
        let bytes_max = scene.random.pick(&[1, 20, 500, 64 << 10]);
        match scene.world.read(socket, bytes_max) {
            Read::Nothing => {}
            Read::Bytes(mut bytes) => {
                if let Some(secure) = &mut self.secure {
                    bytes = secure.hear(&bytes);
                }
                self.input.extend_from_slice(&bytes);
                self.decode(scene);
            }
            Read::Finished | Read::Broken => {
                scene.world.close(socket);
                self.over(scene);
            }
        }
    }

    fn over(&mut self, scene: &Scene<'_>) {
        self.stage = Stage::Over;
        self.log.ended.get_or_insert(scene.now);
    }

    fn closing(&mut self, scene: &Scene<'_>) {
        self.stage = Stage::Closing;
        self.log.ended.get_or_insert(scene.now);
    }
}

/// All, half of the time; otherwise at least one.
fn some_of(random: &mut Random, count: usize) -> usize {
    match random.chance(500) {
        true => count,
        false => random.between(1, count),
    }
}

/// Text and binary take turns.
pub(crate) fn kind_of(number: u32) -> Kind {
    if number.is_multiple_of(2) {
        Kind::Text
    } else {
        Kind::Binary
    }
}

fn mask(random: &mut Random) -> [u8; 4] {
    (random.draw() as u32).to_be_bytes()
}

/// The key of RFC 6455 §1.3, and its answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// How many listeners the server has.
pub(crate) const LISTENERS: u8 = 2;

/// Largest message that the server takes by a listener, in bytes. The last listener's is the
/// largest.
pub(crate) fn message_bytes_max(listener: u8) -> usize {
    4096 + 256 * usize::from(listener)
}
