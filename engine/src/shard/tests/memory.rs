//! The process's memory, as one shard keeps within it: who goes, who is refused, and who is not.

use super::*;
use crate::driver::sim::world::Read;
use crate::topic::target::{Publish, PublishError, Target};
use crate::types::answer::{Answer, Tag};
use crate::types::frame::Frame;
use std::cell::Cell;

const MIB: u64 = 1 << 20;

/// Joins rooms and publishes what clients ask for, and says that it keeps so many bytes itself.
struct Rooms {
    held_bytes: Rc<Cell<u64>>,
}

impl Application for Rooms {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        let text = std::str::from_utf8(message.bytes()).expect("text");
        let (what, room) = text.split_at(1);
        match what {
            "j" => cx.join(room, Tag(0)).expect("it may"),
            "p" => {
                let publish = Publish::new(Frame::new(Kind::Binary, &vec![7; NEWS_BYTES]));
                let answer = match cx.publish(Target::Room(room), publish) {
                    Ok(()) => "done",
                    Err(PublishError::Memory) => "short",
                    Err(error) => panic!("{error}"),
                };
                cx.send(Kind::Text, answer.as_bytes());
            }
            other => panic!("{other}"),
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, _: &mut (), _: Tag, _: Answer) {
        cx.send(Kind::Text, b"done");
    }

    fn held_bytes(&self) -> u64 {
        self.held_bytes.get()
    }
}

const NEWS_BYTES: usize = 100_000;

struct Scene {
    trial: Trial<Rooms>,
    process: ProcessCounts,
    held_bytes: Rc<Cell<u64>>,
}

impl Scene {
    fn new(memory_bytes_max: u64) -> Scene {
        let config = Config {
            shards: 1,
            outbox_bytes_max: 16 << 20,
            ..Config::default()
        };
        let process = ProcessCounts::within_memory(config.connections_max, memory_bytes_max, 0);
        let held_bytes = Rc::new(Cell::new(0));
        let rooms = Rooms {
            held_bytes: held_bytes.clone(),
        };
        let faults = Faults {
            socket_buffer_bytes: 64 << 10,
            ..Faults::none()
        };
        let trial = Trial::within(&config, faults, rooms, process.clone());
        Scene {
            trial,
            process,
            held_bytes,
        }
    }

    fn open(&mut self, count: u64) -> Vec<SocketId> {
        let upgrades = self.trial.counters.upgrades.get() + count;
        let clients = (0..count).map(|_| self.trial.connect()).collect();
        self.trial
            .tick_until(|counters| counters.upgrades.get() == upgrades);
        clients
    }

    /// What a client hears next.
    fn ask(&mut self, client: SocketId, text: &str) -> Vec<u8> {
        self.drain(client);
        self.trial
            .write(client, &client_frame(OpCode::Text, text.as_bytes()));
        self.ticks(20);
        self.drain(client)
    }

    fn drain(&mut self, client: SocketId) -> Vec<u8> {
        let mut heard = Vec::new();
        while let Read::Bytes(bytes) = self.trial.world.borrow_mut().read(client, 1 << 20) {
            heard.extend(bytes);
        }
        heard
    }

    fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.trial.shard.tick();
            self.trial.shard.check_invariants();
        }
    }

    fn pass(&mut self, ms: u64) {
        let now = self.trial.world.borrow().now();
        self.trial.world.borrow_mut().advance_to(now + ms);
        self.ticks(3);
    }

    fn held(&self) -> u64 {
        self.trial.shard.core.egress.held.bytes()
    }
}

fn says(heard: &[u8], word: &str) -> bool {
    heard
        .windows(word.len())
        .any(|part| part == word.as_bytes())
}

#[test]
fn what_many_wait_for_counts_once() {
    let mut scene = Scene::new(64 * MIB);
    let members = scene.open(50);
    for member in &members {
        let joined = scene.ask(*member, "jnews");
        assert!(says(&joined, "done"));
    }
    let publisher = scene.open(1)[0];
    // More than the sockets take: the last of it waits for all of them.
    for _ in 0..10 {
        assert!(says(&scene.ask(publisher, "pnews"), "done"));
    }
    let waits = scene.trial.counters.outbox_bytes.get();
    assert_eq!(scene.trial.counters.outboxes.get(), 50);
    // The rest of the first of it is a copy for each: it is the smaller part.
    let (held, first) = (scene.held(), 50 * NEWS_BYTES as u64 / 2);
    let all = 10 * NEWS_BYTES as u64 + first;
    assert!(waits > 10 * all, "{waits}");
    assert!(held > 0 && held < all, "{held} held, {waits} wait");
    for member in members {
        scene.trial.world.borrow_mut().reset(member);
    }
    scene.ticks(20);
    assert_eq!(scene.held(), 0);
    assert_eq!(scene.trial.counters.closed_memory.get(), 0);
}

#[test]
fn the_worst_readers_go_first_and_the_others_are_served() {
    let mut scene = Scene::new(16 * MIB);
    let stalled = scene.open(20);
    let slower = scene.open(1)[0];
    let honest = scene.open(1)[0];
    // Each has a room to itself, so nothing is shared.
    for (number, client) in stalled.iter().enumerate() {
        assert!(says(&scene.ask(*client, &format!("j{number}")), "done"));
    }
    assert!(says(&scene.ask(slower, "jslower"), "done"));
    let memory = scene.process.memory.clone();
    let mut most = 0;
    for round in 0..40 {
        for number in 0..stalled.len() {
            scene.ask(honest, &format!("p{number}"));
            most = most.max(memory.used());
        }
        if round < 8 {
            scene.ask(honest, "pslower");
        }
    }
    assert!(most <= 16 * MIB, "{most}");
    assert!(most > 10 * MIB, "it was never short: {most}");
    let gone = scene.trial.counters.closed_memory.get();
    assert!((1..=20).contains(&gone), "{gone}");
    assert!(says(&scene.ask(honest, "pnobody"), "done"));
    assert!(!scene.drain(slower).is_empty());
    assert_eq!(scene.trial.counters.connections.get(), 22 - gone);
}

#[test]
fn who_comes_while_memory_is_short_is_told_when_to_come_again() {
    let mut scene = Scene::new(16 * MIB);
    let before = scene.open(1)[0];
    scene.held_bytes.set(13 * MIB);
    scene.ticks(2);
    let late = scene.trial.connect();
    scene.ticks(10);
    let heard = scene.drain(late);
    assert!(heard.starts_with(b"HTTP/1.1 503 "), "{heard:?}");
    assert!(says(&heard, "Retry-After: "));
    assert_eq!(scene.trial.counters.refused_memory.get(), 1);
    // Who is there goes on, and nobody is greedy.
    assert!(says(&scene.ask(before, "pnews"), "done"));
    // Between the waters it is still short.
    scene.held_bytes.set(11 * MIB);
    scene.ticks(2);
    scene.trial.connect();
    scene.ticks(10);
    assert_eq!(scene.trial.counters.refused_memory.get(), 2);
    scene.held_bytes.set(9 * MIB);
    scene.ticks(2);
    scene.open(1);
}

#[test]
fn only_the_greediest_rooms_are_refused_what_is_published() {
    let mut scene = Scene::new(16 * MIB);
    let members = scene.open(4);
    for member in &members {
        assert!(says(&scene.ask(*member, "jgreedy"), "done"));
    }
    let publisher = scene.open(1)[0];
    for _ in 0..10 {
        assert!(says(&scene.ask(publisher, "pgreedy"), "done"));
    }
    scene.held_bytes.set(13 * MIB);
    scene.ticks(2);
    // Short, and nobody knows yet who takes most.
    assert!(says(&scene.ask(publisher, "pgreedy"), "done"));
    scene.pass(200);
    assert!(says(&scene.ask(publisher, "pgreedy"), "short"));
    assert!(says(&scene.ask(publisher, "pmodest"), "done"));
    assert_eq!(scene.trial.counters.publishes_refused.get(), 1);
    scene.held_bytes.set(0);
    scene.ticks(2);
    assert!(says(&scene.ask(publisher, "pgreedy"), "done"));
}
