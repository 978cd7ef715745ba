//! One shard, its clients on a simulated network without faults, and what they may not do to it.

use super::*;
use crate::application::Admission;
use crate::context::Context;
use crate::driver::boundary::Millis;
use crate::driver::boundary::StopAccept;
use crate::driver::sim::SimDriver;
use crate::driver::sim::faults::Faults;
use crate::driver::sim::network::Trace;
use crate::driver::sim::random::Random;
use crate::driver::sim::socket::{Line, SocketId};
use crate::driver::sim::world::World;
use crate::message::lane;
use crate::message::lane::LaneCapacity;
use crate::types::frame::Message;
use bytes::Bytes;
use shardcast_protocol::frame::{self, Kind, OpCode};
use shardcast_protocol::http::HttpRequest;
use shardcast_protocol::upgrade;
use std::cell::RefCell;
use std::rc::Rc;

mod asking;
mod budget;
mod commands;
mod crowds;
mod deadlines;
mod deferred;
mod drain;
mod encrypting;
mod flood;
mod heartbeat;
mod large;
mod maps;
mod memory;
mod quiet;
mod restarts;
mod sequenced;
mod turns;
mod wakes;

/// Answers every message with this many bytes.
struct Generous(usize);

impl Application for Generous {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), _: Message<'_>) {
        cx.send_with(Kind::Binary, |out| out.resize(out.len() + self.0, 0));
    }
}

struct Trial<A: Application = Generous> {
    world: Rc<RefCell<World>>,
    shard: Shard<A, SimDriver>,
    counters: Arc<ShardCounters>,
}

impl Trial {
    fn new(config: &Config, faults: Faults, answer_bytes: usize) -> Trial {
        Trial::of(config, faults, Generous(answer_bytes))
    }
}

impl<A: Application> Trial<A> {
    fn of(config: &Config, faults: Faults, application: A) -> Trial<A> {
        let process = ProcessCounts::new(config.connections_max);
        Trial::within(config, faults, application, process)
    }

    fn within(
        config: &Config,
        faults: Faults,
        application: A,
        admission: ProcessCounts,
    ) -> Trial<A> {
        let world = World::new(1, faults, Random::new(1), Trace::Silent);
        let counters: Arc<ShardCounters> = Arc::default();
        let setup = Setup {
            config,
            mailbox: lane::mesh(1, LaneCapacity::for_shards(1), 1).remove(0),
            token_key: Some(TokenKey::fixed()),
            admission,
            counters: Arc::clone(&counters),
        };
        let shard = Shard::new(setup, application, World::driver(&world, 0));
        Trial {
            world,
            shard,
            counters,
        }
    }

    fn connect(&self) -> SocketId {
        let client = self.world.borrow_mut().connect(0, 0, Line::Faulty).unwrap();
        let mut request = Vec::new();
        let key = upgrade::encode_key([0; 16]);
        upgrade::write_request(&mut request, "localhost", "/", &key, &[]);
        self.write(client, &request);
        client
    }

    fn write(&self, client: SocketId, bytes: &[u8]) {
        let written = self.world.borrow_mut().write(client, bytes);
        assert_eq!(written, Some(bytes.len()));
    }

    fn tick_until(&mut self, enough: impl Fn(&ShardCounters) -> bool) {
        for _ in 0..1_000 {
            if enough(&self.counters) {
                return;
            }
            self.shard.tick();
            self.shard.check_invariants();
        }
        panic!("it never came to that: {:?}", self.counters);
    }
}

fn client_frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write_client_frame(&mut bytes, opcode, payload, [1, 2, 3, 4]);
    bytes
}

#[test]
fn large_answers_to_small_requests_wait_within_the_outbox_limit() {
    const ANSWER_BYTES: usize = 16 << 10;
    let config = Config::default();
    let mut trial = Trial::new(&config, Faults::none(), ANSWER_BYTES);
    let client = trial.connect();
    // They fit into one receive buffer; the answers are 32 MB, of which the client takes none.
    trial.write(client, &client_frame(OpCode::Text, b"?").repeat(2_000));
    let mut waited = 0;
    for _ in 0..20 {
        trial.shard.tick();
        waited = waited.max(trial.counters.outbox_bytes.get() as usize);
    }
    // What one turn was to send is pending already when the socket turns out to be full.
    let most = config.outbox_bytes_max + intake::SCRATCH_BYTES_MAX + 2 * ANSWER_BYTES;
    assert!(waited <= most, "{waited} bytes waited, more than {most}");
    assert_eq!(trial.counters.closed_slow.get(), 1);
}

#[test]
fn a_deadline_that_was_replaced_is_not_met() {
    const CLIENTS: usize = 3_000;
    let config = Config::default();
    let faults = Faults {
        slots: CLIENTS,
        reap_max: CLIENTS * 4,
        ..Faults::none()
    };
    let mut trial = Trial::new(&config, faults, 1);
    let clients: Vec<SocketId> = (0..CLIENTS).map(|_| trial.connect()).collect();
    trial.tick_until(|counters| counters.upgrades.get() == CLIENTS as u64);
    // More deadlines come at once than one tick meets; then everybody breaks the protocol, and has
    // a new one.
    let now = config.heartbeat.as_millis() as Millis + 200;
    trial.world.borrow_mut().advance_to(now);
    trial.shard.tick();
    for client in &clients {
        trial.write(*client, b"unmasked");
    }
    trial.tick_until(|counters| counters.closed_protocol.get() == CLIENTS as u64);
    for _ in 0..10 {
        trial.shard.tick();
    }
    assert_eq!(trial.counters.closed_deadline_pong.get(), 0);
    assert_eq!(trial.counters.closed_deadline_close.get(), 0);
    assert_eq!(trial.counters.connections.get(), CLIENTS as u64);
}

#[test]
fn nothing_is_kept_of_a_message_in_fragments() {
    let mut trial = Trial::new(&Config::default(), Faults::none(), 1);
    let client = trial.connect();
    trial.tick_until(|counters| counters.upgrades.get() == 1);
    let mut fragments = client_frame(OpCode::Text, b"half");
    fragments[0] &= 0x7f;
    fragments.extend(client_frame(OpCode::Continuation, b"half"));
    trial.write(client, &fragments);
    trial.tick_until(|counters| counters.messages_in.get() == 1);
    let mut connections = trial.shard.core.connections.slots.iter();
    assert!(connections.all(|(_, connection)| connection.cold.is_none()));
}

#[test]
fn a_small_piece_of_a_batch_does_not_keep_the_batch() {
    let mut trial = Trial::new(&Config::default(), Faults::none(), 700_000);
    let client = trial.connect();
    // The answers fill the client's socket, and the second one waits in its outbox.
    trial.write(client, &client_frame(OpCode::Text, b"?").repeat(2));
    trial.tick_until(|counters| counters.outboxes.get() == 1);
    let core = &mut trial.shard.core;
    let ticket = core.connections.slots.in_phase(Phase::Open).next().unwrap();
    for (piece, kept) in [(10, false), (60_000, true)] {
        let batch = Bytes::from(vec![0; 100_000]);
        let shared = core.egress.outgoing.share(batch.clone());
        let before = core.counters.outbox_bytes.get();
        assert!(core.append_shared(ticket, shared, 0, piece));
        assert_eq!(core.counters.outbox_bytes.get(), before + piece as u64);
        core.egress.outgoing.clear();
        assert_eq!(!batch.is_unique(), kept, "{piece} bytes of it");
    }
}

#[test]
fn large_answers_to_one_client_leave_others_their_turn() {
    const REQUESTS: u64 = 16;
    let config = Config {
        outbox_bytes_max: 64 << 20,
        ..Config::default()
    };
    let faults = Faults {
        socket_buffer_bytes: 64 << 20,
        ..Faults::none()
    };
    let mut trial = Trial::new(&config, faults, intake::SCRATCH_BYTES_MAX / 2);
    let client = trial.connect();
    trial.tick_until(|counters| counters.upgrades.get() == 1);
    let requests = client_frame(OpCode::Binary, b"more").repeat(REQUESTS as usize);
    trial.write(client, &requests);
    trial.tick_until(|counters| counters.messages_in.get() > 0);
    assert!(trial.counters.messages_in.get() < REQUESTS);
    assert!(trial.counters.parked.get() > 0);
    trial.tick_until(|counters| counters.messages_in.get() == REQUESTS);
}

#[test]
fn what_is_posted_and_not_read_is_bounded() {
    let config = Config {
        event_streams: Some("/events".to_owned()),
        ..Config::default()
    };
    let mut trial = Trial::new(&config, Faults::none(), 1);
    let client = trial
        .world
        .borrow_mut()
        .connect(0, 0, Line::Faulty)
        .unwrap();
    trial.write(
        client,
        b"GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n",
    );
    trial.tick_until(|counters| counters.event_streams.get() == 1);
    let stream = trial
        .shard
        .core
        .connections
        .slots
        .in_phase(Phase::Open)
        .next()
        .unwrap();
    let stranger = trial.shard.core.address(Ticket {
        slot: 1,
        generation: 1,
    });
    let frame = |bytes: usize| Bytes::from(client_frame(OpCode::Text, &vec![b'x'; bytes]));
    let half = stream::INBOX_BYTES_MAX / 2;
    // Each: bytes, and what was taken and refused by then.
    for (bytes, taken, refused) in [(half, 1, 0), (half - 16, 2, 0), (1, 2, 1), (half, 2, 2)] {
        trial.shard.take_post(stream, stranger, &frame(bytes));
        let counters = &trial.counters;
        assert_eq!(
            (counters.posts.get(), counters.posts_refused.get()),
            (taken, refused)
        );
    }
    trial.shard.tick();
    trial.shard.check_invariants();
    assert_eq!(trial.counters.messages_in.get(), 2);
    // A message larger than the inbox is taken alone.
    trial
        .shard
        .take_post(stream, stranger, &frame(config.message_bytes_max()));
    trial.shard.take_post(stream, stranger, &frame(0));
    trial.tick_until(|counters| counters.messages_in.get() == 3);
    assert_eq!(trial.counters.posts_refused.get(), 3);
    // Whoever is no stream, or none any more, takes nothing.
    trial.world.borrow_mut().close(client);
    trial.tick_until(|counters| counters.connections.get() == 0);
    trial.shard.take_post(stream, stranger, &frame(1));
    assert_eq!(trial.counters.posts_refused.get(), 4);
    trial.tick_until(|counters| counters.lane_depth.get() == 0);
}
