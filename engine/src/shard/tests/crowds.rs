//! Crowds that come, ask or go at once: what a tick does of it is counted, and whoever talks is
//! served in every one.

use super::*;
use crate::driver::boundary::ACCEPTS_PER_TURN;
use crate::driver::sim::world::Read;
use crate::shard::crowd::{ENDS_PER_TICK, REQUESTS_PER_TICK, WAITING_MAX};

/// A shard on which so many fit, all of whom may be heard in one tick.
fn trial(clients: usize) -> Trial {
    let config = Config {
        connections_max: 2 * clients,
        ..Config::default()
    };
    let faults = Faults {
        slots: 2 * clients,
        receive_buffers: 2 * clients,
        reap_max: 8 * clients,
        ..Faults::none()
    };
    Trial::new(&config, faults, 1)
}

/// Somebody who talks: its message of one tick is answered in that tick.
struct Talker {
    client: SocketId,
    answered: u64,
}

impl Talker {
    fn enter(trial: &mut Trial) -> Talker {
        let client = trial.connect();
        trial.tick_until(|counters| counters.upgrades.get() == 1);
        let answered = trial.counters.messages_in.get();
        Talker { client, answered }
    }

    fn is_served_in_a_tick(&mut self, trial: &mut Trial) {
        let said = client_frame(OpCode::Text, b"still there?");
        trial.write(self.client, &said);
        trial.shard.tick();
        trial.shard.check_invariants();
        self.answered += 1;
        assert_eq!(trial.counters.messages_in.get(), self.answered);
    }
}

/// Connects without a word.
fn arrive(trial: &Trial) -> SocketId {
    let arrived = trial.world.borrow_mut().connect(0, 0, Line::Faulty);
    arrived.expect("the shard accepts")
}

fn ask(trial: &Trial, client: SocketId) {
    let mut request = Vec::new();
    let key = upgrade::encode_key([0; 16]);
    upgrade::write_request(&mut request, "localhost", "/", &key, &[]);
    trial.write(client, &request);
}

fn heard(trial: &Trial, client: SocketId) -> String {
    match trial.world.borrow_mut().read(client, 4_096) {
        Read::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_crowd_is_accepted_bit_by_bit() {
    const CROWD: usize = 1_000;
    let mut trial = trial(CROWD);
    let mut talker = Talker::enter(&mut trial);
    for _ in 0..CROWD {
        trial.connect();
    }
    let (mut before, mut ticks) = (trial.counters.accepts.get(), 0);
    while trial.counters.upgrades.get() < CROWD as u64 + 1 {
        talker.is_served_in_a_tick(&mut trial);
        let now = trial.counters.accepts.get();
        assert!(now - before <= ACCEPTS_PER_TURN as u64, "{}", now - before);
        (before, ticks) = (now, ticks + 1);
        assert!(ticks <= CROWD / ACCEPTS_PER_TURN + 8, "nobody is forgotten");
    }
}

#[test]
fn requests_that_come_at_once_are_answered_in_turn() {
    const CROWD: usize = 1_000;
    let mut trial = trial(CROWD);
    let mut talker = Talker::enter(&mut trial);
    let crowd: Vec<SocketId> = (0..CROWD).map(|_| arrive(&trial)).collect();
    trial.tick_until(|counters| counters.accepts.get() == CROWD as u64 + 1);
    trial.shard.tick();
    crowd.iter().for_each(|client| ask(&trial, *client));
    let mut before = trial.counters.upgrades.get();
    // Those who ask later do not overtake.
    let late: Vec<SocketId> = (0..10).map(|_| arrive(&trial)).collect();
    for tick in 0..CROWD.div_ceil(REQUESTS_PER_TICK) {
        talker.is_served_in_a_tick(&mut trial);
        let now = trial.counters.upgrades.get();
        let expected = REQUESTS_PER_TICK.min(CROWD + 1 + late.len() - before as usize);
        assert_eq!((now - before) as usize, expected, "tick {tick}");
        before = now;
        if tick == 1 {
            late.iter().for_each(|client| ask(&trial, *client));
        }
    }
    let answered = |client: &SocketId| heard(&trial, *client).starts_with("HTTP/1.1 101 ");
    assert!(crowd.iter().all(answered));
    trial.tick_until(|counters| counters.upgrades.get() == CROWD as u64 + 11);
    assert_eq!(trial.counters.refused_waiting.get(), 0);
    assert_eq!(trial.counters.closed_deadline_handshake.get(), 0);
}

#[test]
fn who_finds_no_place_in_the_queue_is_told_when_to_come_back() {
    const TOO_MANY: usize = 160;
    const CROWD: usize = REQUESTS_PER_TICK + WAITING_MAX + TOO_MANY;
    let mut trial = trial(CROWD);
    let crowd: Vec<SocketId> = (0..CROWD).map(|_| arrive(&trial)).collect();
    trial.tick_until(|counters| counters.accepts.get() == CROWD as u64);
    trial.shard.tick();
    crowd.iter().for_each(|client| ask(&trial, *client));
    trial.shard.tick();
    assert_eq!(trial.counters.refused_waiting.get(), TOO_MANY as u64);
    trial.tick_until(|counters| counters.upgrades.get() == (CROWD - TOO_MANY) as u64);
    // Evenly over the seconds.
    let mut seconds = [0; 9];
    for client in &crowd {
        let answer = heard(&trial, *client);
        if let Some((_, rest)) = answer.split_once("Retry-After: ") {
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            let second = rest.split('\r').next().expect("a line");
            seconds[second.parse::<usize>().expect("a number")] += 1;
        }
    }
    assert_eq!(seconds, [0, 20, 20, 20, 20, 20, 20, 20, 20]);
}

#[test]
fn who_asks_and_goes_while_it_waits_is_let_go() {
    const CROWD: usize = 3 * REQUESTS_PER_TICK;
    let mut trial = trial(CROWD);
    let crowd: Vec<SocketId> = (0..CROWD).map(|_| arrive(&trial)).collect();
    trial.tick_until(|counters| counters.accepts.get() == CROWD as u64);
    trial.shard.tick();
    crowd.iter().for_each(|client| ask(&trial, *client));
    trial.shard.tick();
    let mut world = trial.world.borrow_mut();
    crowd.iter().for_each(|client| world.reset(*client));
    drop(world);
    trial.tick_until(|counters| counters.connections.get() == 0);
}

#[test]
fn those_who_go_at_once_hold_up_nobody_who_comes() {
    const CROWD: usize = 3_000;
    const NEW: usize = 100;
    let mut trial = trial(CROWD);
    let mut talker = Talker::enter(&mut trial);
    let crowd: Vec<SocketId> = (0..CROWD).map(|_| trial.connect()).collect();
    trial.tick_until(|counters| counters.upgrades.get() == CROWD as u64 + 1);
    trial.shard.tick();
    for _ in 0..NEW {
        trial.connect();
    }
    let mut world = trial.world.borrow_mut();
    crowd.iter().for_each(|client| world.reset(*client));
    drop(world);
    let open = |trial: &Trial| {
        let connections = trial.shard.core.connections.slots.iter();
        let open = connections.filter(|(_, it)| it.phase == Phase::Open);
        open.count() as u64
    };
    let ended = |trial: &Trial| trial.counters.upgrades.get() - open(trial);
    let (mut accepted, mut gone) = (trial.counters.accepts.get(), ended(&trial));
    for tick in 0..CROWD / ENDS_PER_TICK {
        talker.is_served_in_a_tick(&mut trial);
        let now = ended(&trial);
        assert_eq!((now - gone) as usize, ENDS_PER_TICK, "tick {tick}");
        gone = now;
        // Accepts go on at their own pace.
        if tick < NEW / ACCEPTS_PER_TURN {
            assert_eq!(
                trial.counters.accepts.get() - accepted,
                ACCEPTS_PER_TURN as u64
            );
        }
        accepted = trial.counters.accepts.get();
    }
    assert_eq!(
        trial.counters.upgrades.get(),
        (CROWD + NEW) as u64 + 1,
        "the new ones are in before the others are gone"
    );
    trial.tick_until(|counters| counters.connections.get() == NEW as u64 + 1);
}
