//! A whole shard with connections in one room, and what they say: one call is what arrives at one
//! moment, and ticks until all is out. Used by the table of pieces.

use crate::quiet::{Line, Quiet};
use shardcast_engine::driver::Completion;
use shardcast_engine::lane::{self, LaneCapacity};
use shardcast_engine::protocol::frame::{self, Kind, OpCode};
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::protocol::upgrade;
use shardcast_engine::shard::{ProcessCounts, Setup, Shard, TokenKey};
use shardcast_engine::{
    Admission, Application, Config, Context, Frame, Message, Publish, Tag, Target, Ticket,
};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

const ROOM: &str = "room";

/// The raw protocol: `S` joins the room, `P` publishes the rest to it, `D` is only taken, anything
/// else comes back.
struct Raw;

impl Application for Raw {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        match message.bytes() {
            [b'D', ..] => {}
            [b'S', ..] => cx.join(ROOM, Tag(0)).expect("a fine name"),
            [b'P', payload @ ..] => {
                let publish = Publish::new(Frame::new(Kind::Binary, payload));
                let published = cx.publish(Target::Room(ROOM), publish);
                published.expect("a fine name");
            }
            bytes => cx.send(message.kind(), bytes),
        }
    }
}

pub(crate) struct Crowd {
    line: Rc<RefCell<Line>>,
    shard: Shard<Raw, Quiet>,
}

impl Crowd {
    /// `members` open connections, all in the room. Those who speak are the first of them.
    pub(crate) fn new(members: u32) -> Crowd {
        Crowd::of(members, &Config::default())
    }

    /// One connection, which may say messages of up to 64 MiB.
    pub(crate) fn spokesman() -> Crowd {
        let mut config = Config::default();
        config.listeners[0].message_bytes_max = 64 << 20;
        Crowd::of(1, &config)
    }

    fn of(members: u32, config: &Config) -> Crowd {
        let line: Rc<RefCell<Line>> = Rc::default();
        let setup = Setup {
            config,
            mailbox: lane::mesh(1, LaneCapacity::for_shards(1), 1).remove(0),
            token_key: Some(TokenKey::fixed()),
            admission: ProcessCounts::new(members as usize),
            counters: Arc::default(),
        };
        let shard = Shard::new(setup, Raw, Quiet(Rc::clone(&line)));
        let mut crowd = Crowd { line, shard };
        let mut request = Vec::new();
        let key = upgrade::encode_key([0; 16]);
        upgrade::write_request(&mut request, "localhost", "/", &key, &[]);
        for first in (0..members).step_by(HEADS_PER_TICK) {
            let last = members.min(first + HEADS_PER_TICK as u32);
            for slot in first..last {
                let peer = SocketAddr::from(([127, 0, 0, 1], 1024));
                let accepted = Completion::Accepted {
                    slot,
                    listener: 0,
                    peer: peer.into(),
                };
                crowd.line.borrow_mut().completions.push(accepted);
                crowd.arrive(slot, &request);
            }
            crowd.settle(u64::from(last - first));
        }
        let join = client_frame(b"S");
        (0..members).for_each(|slot| crowd.arrive(slot, &join));
        crowd.settle(0);
        crowd
    }

    /// The bytes of one receive.
    pub(crate) fn arrive(&mut self, slot: u32, bytes: &[u8]) {
        let line = &mut *self.line.borrow_mut();
        let mut lease = line.returned.pop().unwrap_or_default();
        lease.clear();
        lease.extend_from_slice(bytes);
        let ticket = Ticket {
            slot,
            generation: FIRST_GENERATION,
        };
        line.completions
            .push(Completion::Received { ticket, lease });
    }

    /// Ticks until everything arrived was taken and `transmits` have left.
    pub(crate) fn settle(&mut self, transmits: u64) {
        let before = self.line.borrow().transmits;
        // A fan-out may take several ticks; messages to the own shard are read in the tick that
        // wrote them.
        for _ in 0..TICKS_MAX {
            self.shard.tick();
            let line = self.line.borrow();
            if line.completions.is_empty() && line.transmits - before >= transmits {
                assert_eq!(line.transmits - before, transmits);
                return;
            }
        }
        panic!("{transmits} transmits in {TICKS_MAX} ticks");
    }
}

/// Of a slot that is used for the first time.
const FIRST_GENERATION: u32 = 1;
/// Heads that a tick answers; who asks beyond them would wait.
const HEADS_PER_TICK: usize = 64;
/// A tick serves 4,096 members.
const TICKS_MAX: u32 = 16;

/// One binary message, as clients send it. It is read in place, from a copy.
pub(crate) fn client_frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write_client_frame(&mut bytes, OpCode::Binary, payload, [1, 2, 3, 4]);
    bytes
}

/// One binary message in fragments of so many bytes; a single one is a whole frame.
pub(crate) fn client_fragments(payload: &[u8], fragment_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let count = payload.len().div_ceil(fragment_bytes);
    for (index, part) in payload.chunks(fragment_bytes).enumerate() {
        let opcode = match index {
            0 => OpCode::Binary,
            _ => OpCode::Continuation,
        };
        let start = bytes.len();
        frame::write_client_frame(&mut bytes, opcode, part, [1, 2, 3, 4]);
        if index + 1 < count {
            bytes[start] &= !FINAL;
        }
    }
    bytes
}

/// The bit that says that a frame is its message's last (RFC 6455 §5.2).
const FINAL: u8 = 0x80;
