//! Rooms have turns: what one flood asks of a room that is large, or of the shard that orders it,
//! does not hold up the other rooms.

use super::*;
use crate::driver::sim::world::Read;
use crate::topic::key::Topic;
use crate::topic::target::{Publish, Target};
use crate::types::answer::{Answer, Tag};
use crate::types::frame::Frame;

/// Members of the room that is flooded: two and a half times what a tick serves at this pace.
const HUGE_MEMBERS: usize = 500;
const TRANSMITS_PER_CHUNK: usize = 50;
const CHUNKS_PER_TICK: usize = 4;
const HUGE: &str = "huge";
const HONEST: usize = 20;
const FLOODERS: usize = 4;
/// Ticks in which those who are honest ask.
const TICKS: usize = 120;
/// The promise: flooded, 99 of 100 answers take at most so many times the ticks that they take in
/// quiet.
const TIMES_MAX: usize = 3;

/// Does what a text says by its first message, with the room behind it.
struct Rooms;

impl Application for Rooms {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        let text = std::str::from_utf8(message.bytes()).expect("text");
        let (what, room) = text.split_at(1);
        let room = room.trim_end();
        let publish = || Publish::new(Frame::new(Kind::Text, b"news"));
        let done = match what {
            "j" => cx.join(room, Tag(0)).is_ok(),
            "l" => cx.leave(room, Tag(0)).is_ok(),
            "n" => cx.list(Topic::Room(room), Tag(0)).is_ok(),
            "p" => cx.publish(Target::Room(room), publish()).is_ok(),
            "r" => {
                let publish = publish().report(Tag(0));
                cx.publish(Target::Room(room), publish).is_ok()
            }
            _ => false,
        };
        if !done {
            cx.send(Kind::Text, b"echo");
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, _: &mut (), _: Tag, _: Answer) {
        cx.send(Kind::Text, b"done");
    }
}

fn asks(text: &str) -> Vec<u8> {
    client_frame(OpCode::Text, text.as_bytes())
}

/// What those say who flood, again and again.
fn flood(name: &str) -> Vec<u8> {
    let all = |texts: &[&str]| texts.iter().flat_map(|text| asks(text)).collect();
    match name {
        "nothing" => Vec::new(),
        "pings" => client_frame(OpCode::Ping, b"ping"),
        "publishes" => all(&["phuge"]),
        "reported publishes" => all(&["rhuge"]),
        "joins and leaves" => all(&["jother", "lother"]),
        "lists" => all(&["nhuge"]),
        "everything" => all(&["phuge", "rhuge", "jhuge", "lhuge", "nhuge", "?"]),
        other => panic!("{other}"),
    }
}

struct Client {
    id: SocketId,
    asked: Option<usize>,
    questions: Vec<Vec<u8>>,
    next: usize,
}

impl Client {
    /// As [`flood::Honest::talk`]: a publish to its own room, an echo, a join and a leave, a list,
    /// one after the other.
    fn of(id: SocketId, number: usize) -> Client {
        let questions = ["p", "?", "j", "n", "r", "l"].map(|what| match what {
            "j" | "l" => asks(&format!("{what}second {number}")),
            what => asks(&format!("{what}own {number}")),
        });
        Client {
            id,
            asked: None,
            questions: questions.into(),
            next: 0,
        }
    }

    fn talk(&mut self, trial: &Trial<Rooms>) -> Option<usize> {
        let answered = match trial.world.borrow_mut().read(self.id, 1 << 20) {
            Read::Bytes(_) => self.asked.take().map(|ticks| ticks + 1),
            Read::Nothing => None,
            Read::Finished | Read::Broken => panic!("an honest client was closed"),
        };
        match &mut self.asked {
            Some(ticks) => *ticks += 1,
            None => {
                trial.write(self.id, &self.questions[self.next]);
                self.next = (self.next + 1) % self.questions.len();
                self.asked = Some(0);
            }
        }
        answered
    }
}

fn drain(trial: &Trial<Rooms>, clients: &[SocketId]) -> usize {
    let mut world = trial.world.borrow_mut();
    let mut bytes = 0;
    for id in clients {
        while let Read::Bytes(read) = world.read(*id, 1 << 20) {
            bytes += read.len();
        }
    }
    bytes
}

/// A shard with everybody in their rooms: the members of the huge one, those who flood, those who
/// are honest.
fn gathered(huge: usize) -> (Trial<Rooms>, Vec<SocketId>) {
    let config = Config {
        outbox_bytes_max: 64 << 20,
        connections_max: 2 * HUGE_MEMBERS,
        ..Config::default()
    };
    let faults = Faults {
        greedy_permille: 1000,
        reap_max: 1 << 20,
        slots: huge + FLOODERS + HONEST,
        socket_buffer_bytes: 1 << 20,
        receive_buffers: 128,
        ..Faults::none()
    };
    let mut trial = Trial::of(&config, faults, Rooms);
    trial.shard.slow_down(TRANSMITS_PER_CHUNK, CHUNKS_PER_TICK);
    let all = huge + FLOODERS + HONEST;
    let clients: Vec<SocketId> = (0..all).map(|_| trial.connect()).collect();
    trial.tick_until(|counters| counters.upgrades.get() == all as u64);
    for (number, id) in clients.iter().enumerate() {
        let room = match number.checked_sub(huge) {
            None => format!("j{HUGE}"),
            Some(place) if place < FLOODERS => "?".to_owned(),
            Some(place) => format!("jown {}", place - FLOODERS),
        };
        trial.write(*id, &asks(&room));
    }
    let all = all as u64;
    trial.tick_until(|counters| counters.messages_in.get() == all);
    for _ in 0..20 {
        trial.shard.tick();
        drain(&trial, &clients);
    }
    (trial, clients)
}

/// What 99 of 100 answers took at most, in ticks, and how many there were.
fn measure(name: &str) -> (usize, usize) {
    let (mut trial, clients) = gathered(HUGE_MEMBERS);
    let (members, others) = clients.split_at(HUGE_MEMBERS);
    let (flooders, honest) = others.split_at(FLOODERS);
    let numbered = honest.iter().zip(0..);
    let mut honest: Vec<Client> = numbered.map(|(id, at)| Client::of(*id, at)).collect();
    let cycle = flood(name);
    let stream = cycle.repeat((1 << 20) / cycle.len().max(1) + 2);
    let mut said = [0; FLOODERS];
    let (mut waits, mut heard) = (Vec::new(), 0);
    for _ in 0..TICKS {
        for (id, said) in flooders.iter().zip(&mut said) {
            if !cycle.is_empty() {
                let from = *said % cycle.len();
                *said += trial
                    .world
                    .borrow_mut()
                    .write(*id, &stream[from..])
                    .unwrap_or(0);
            }
        }
        drain(&trial, flooders);
        heard += drain(&trial, members);
        waits.extend(honest.iter_mut().filter_map(|client| client.talk(&trial)));
        trial.shard.tick();
        trial.shard.check_invariants();
    }
    if name.contains("publishes") || name == "everything" {
        assert!(heard >= HUGE_MEMBERS * b"..news".len(), "{heard} bytes");
    }
    // Who asks for more answers than the network takes is closed for it.
    let closed = trial.counters.closed_slow.get();
    assert!(closed <= FLOODERS as u64, "{name}: {closed}");
    assert_eq!(trial.counters.closed_deadline_pong.get(), 0, "{name}");
    assert!(!waits.is_empty(), "{name}: nobody is answered");
    waits.sort_unstable();
    (waits[waits.len() * 99 / 100], waits.len())
}

#[test]
fn whatever_floods_the_others_wait_a_few_times_as_long_as_in_quiet() {
    let (quiet, answers) = measure("nothing");
    assert!(quiet <= 2, "{quiet} ticks");
    let mut seen = format!("quiet {quiet} ({answers} answers)");
    for name in [
        "pings",
        "publishes",
        "reported publishes",
        "joins and leaves",
        "lists",
        "everything",
    ] {
        let (ticks, flooded) = measure(name);
        seen += &format!(", {name} {ticks} ({flooded})");
        assert!(ticks <= TIMES_MAX * quiet, "in ticks: {seen}");
        assert!(flooded * TIMES_MAX >= answers, "answers: {seen}");
    }
    println!("{seen}");
}

/// A large fan-out takes several ticks; what comes for others meanwhile does not wait for its end,
/// and what comes for the same room does.
#[test]
fn a_small_room_does_not_wait_for_a_large_one() {
    let (mut trial, clients) = gathered(HUGE_MEMBERS);
    trial.shard.slow_down(HUGE_MEMBERS / 5, 1);
    let (members, others) = clients.split_at(HUGE_MEMBERS);
    let (flooders, honest) = others.split_at(FLOODERS);
    let heard = |trial: &Trial<Rooms>, id: &SocketId| drain(trial, std::slice::from_ref(id));
    trial.write(flooders[0], &asks("phuge"));
    trial.shard.tick();
    assert!(!trial.shard.core.topics.fan_outs.is_empty());
    // While it goes on: another message of the huge room, behind it a join of it, and a message of
    // a small one.
    trial.write(flooders[0], &asks("phuge"));
    trial.shard.tick();
    trial.write(flooders[1], &asks("jhuge"));
    trial.write(honest[0], &asks("pown 0"));
    trial.shard.tick();
    trial.shard.tick();
    assert!(heard(&trial, &honest[0]) > 0);
    assert_eq!(heard(&trial, &flooders[1]), 0, "it joins in its place");
    assert!(!trial.shard.core.topics.delayed.is_empty());
    drain(&trial, members);
    let mut joined = 0;
    for _ in 0..20 {
        trial.shard.tick();
        trial.shard.check_invariants();
        joined += heard(&trial, &flooders[1]);
    }
    assert!(
        trial.shard.core.topics.fan_outs.is_empty() && trial.shard.core.topics.delayed.is_empty()
    );
    // The answer to its join, and none of the messages before it.
    assert_eq!(joined, b"..done".len());
}

/// Members who read nothing cost a fan-out no transmit, and it has an end in a tick all the same.
#[test]
fn members_without_transmits_are_counted_too() {
    let (mut trial, clients) = gathered(HUGE_MEMBERS);
    trial.shard.slow_down(50, 1);
    let flooder = clients[HUGE_MEMBERS];
    for slot in 0..HUGE_MEMBERS as u32 {
        let ticket = trial.shard.core.connections.slots.ticket(slot);
        trial.shard.core.retire(ticket);
    }
    // They have left, but those of the next message were gathered before.
    trial.write(flooder, &asks("jhuge"));
    trial.shard.tick();
    let core = &mut trial.shard.core;
    let gone = (0..500).map(|slot| Ticket {
        slot,
        generation: 0,
    });
    let members = core.topics.member_lists.gather(gone);
    let mut batch = crate::topic::batch::Batch::default();
    batch.push(&Frame::new(Kind::Text, b"news"), None);
    let subscribers = core
        .topics
        .local
        .find(crate::types::encoding::EncodingId::FIRST, Topic::Room(HUGE))
        .unwrap();
    core.topics.local.retain(subscribers);
    let fan_out = batch.close(
        crate::topic::batch::Recipients::Topic(subscribers),
        members,
        None,
    );
    core.topics.local.subscribers(subscribers).turn = crate::topic::batch::Turn::UnderWay;
    core.topics.fan_outs.push(fan_out);
    let dropped = trial.counters.dropped_closing.get();
    trial.shard.tick();
    assert_eq!(trial.counters.dropped_closing.get() - dropped, 200);
    trial.shard.tick();
    trial.shard.tick();
    assert!(trial.shard.core.topics.fan_outs.is_empty());
    trial.shard.check_invariants();
}

/// Whoever publishes to a room that is behind is not read before it has caught up; then it is.
#[test]
fn who_floods_a_room_waits_for_it() {
    const ASKS: u64 = 5_000;
    let (mut trial, clients) = gathered(HUGE_MEMBERS);
    let (members, others) = clients.split_at(HUGE_MEMBERS);
    let flooder = others[0];
    trial.write(flooder, &asks("phuge").repeat(ASKS as usize));
    let (mut waited, mut ticks) = (0, 0);
    while trial.counters.publishes.get() < ASKS || !trial.shard.core.topics.fan_outs.is_empty() {
        let before = trial.counters.publishes.get();
        trial.shard.tick();
        trial.shard.check_invariants();
        drain(&trial, members);
        let taken = trial.counters.publishes.get() - before;
        assert!(taken <= 512, "{taken} in a tick");
        waited += usize::from(trial.shard.core.topics.awaited);
        ticks += 1;
        assert!(ticks < 1_000, "{taken} of {before}");
    }
    assert!(waited > 5, "held up in {waited} ticks of {ticks}");
    trial.shard.tick();
    let core = &trial.shard.core;
    assert!(core.topics.delayed.is_empty() && !core.topics.awaited);
    assert!(trial.shard.parked.is_empty());
}

/// What it says reaches the shard in any pieces, the end of a message being the end of a receive.
#[test]
fn who_is_held_up_between_two_messages_goes_on() {
    let (mut trial, clients) = gathered(HUGE_MEMBERS);
    let (members, others) = clients.split_at(HUGE_MEMBERS);
    trial.write(others[0], &asks("phuge").repeat(2_000));
    (0..10).for_each(|_| trial.shard.tick());
    assert!(trial.shard.core.topics.awaited);
    let asked = asks("phuge");
    let pieces = [&asked[..], &asked[..3], &asked[3..5], &asked[5..], &asked];
    for piece in pieces {
        trial.write(others[1], piece);
        trial.shard.tick();
        drain(&trial, members);
    }
    trial.write(others[1], &[&asked[..], &asked[..4]].concat());
    trial.shard.tick();
    trial.write(others[1], &[&asked[4..], &asked].concat());
    let mut ticks = 0;
    while trial.counters.publishes.get() < 2_006 || !trial.shard.core.topics.fan_outs.is_empty() {
        trial.shard.tick();
        trial.shard.check_invariants();
        drain(&trial, members);
        ticks += 1;
        assert!(ticks < 1_000, "{}", trial.counters.publishes.get());
    }
    assert_eq!(trial.counters.publishes.get(), 2_006);
}
