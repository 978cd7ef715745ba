//! Every deadline of a connection, in virtual time: not early, not late, under its own name, and
//! whatever else the peer says meanwhile.

use super::*;
use crate::types::deadline::Deadline;

/// What deadlines counted, by name.
fn missed(trial: &Trial) -> Vec<Deadline> {
    let missed = Deadline::ALL
        .into_iter()
        .filter(|deadline| deadline.counter(&trial.counters).get() > 0);
    missed.collect()
}

fn go_to(trial: &mut Trial, at: Millis) {
    /// Between two looks of the shard, at most.
    const STEP_MS: Millis = 50;
    let now = trial.world.borrow().now();
    for time in (now..at).step_by(STEP_MS as usize).chain([at]) {
        trial.world.borrow_mut().advance_to(time);
        trial.shard.tick();
    }
    trial.shard.tick();
    trial.shard.check_invariants();
}

/// A frame without its last byte.
fn cut(mut frame: Vec<u8>) -> Vec<u8> {
    frame.pop();
    frame
}

fn fragment(opcode: OpCode) -> Vec<u8> {
    let mut bytes = client_frame(opcode, b"part");
    bytes[0] &= 0x7f;
    bytes
}

fn ping() -> Vec<u8> {
    client_frame(OpCode::Ping, b"")
}

/// An upgraded client at time 0.
fn open(trial: &mut Trial) -> SocketId {
    let client = trial.connect();
    trial.tick_until(|counters| counters.upgrades.get() == 1);
    client
}

/// The client says things at their times; then the deadline is missed at `due` and not before.
fn check(upgraded: bool, said: &[(Millis, Vec<u8>)], deadline: Deadline, due: Millis) {
    /// Two steps of the wheel and the resolution of what was heard.
    const PRECISION_MS: Millis = 3 * 64;
    let mut trial = Trial::new(&Config::default(), Faults::none(), 1);
    let client = if upgraded {
        open(&mut trial)
    } else {
        trial
            .world
            .borrow_mut()
            .connect(0, 0, Line::Faulty)
            .unwrap()
    };
    trial.shard.tick();
    for (at, bytes) in said {
        go_to(&mut trial, *at);
        trial.write(client, bytes);
        go_to(&mut trial, *at + 1);
    }
    go_to(&mut trial, due - PRECISION_MS);
    assert_eq!(missed(&trial), [], "before {due}: {said:?}");
    go_to(&mut trial, due + PRECISION_MS);
    assert_eq!(missed(&trial), [deadline], "at {due}: {said:?}");
}

/// The same at regular times.
fn repeated(times: impl Iterator<Item = Millis>, bytes: &[u8]) -> Vec<(Millis, Vec<u8>)> {
    times.map(|at| (at, bytes.to_vec())).collect()
}

#[test]
fn a_request_has_its_time_and_its_head_has_less() {
    let head = b"GET / HTTP/1.1\r\n".to_vec();
    check(false, &[], Deadline::Handshake, 5_000);
    check(false, &[(10, head.clone())], Deadline::Header, 3_010);
    // Whoever is late to begin has no more than what is left for the whole.
    check(false, &[(4_000, head.clone())], Deadline::Handshake, 5_000);
    let trickle = [
        vec![(10, head)],
        repeated((510..3_000).step_by(500), b"Accept: */*\r\n"),
    ];
    check(false, &trickle.concat(), Deadline::Header, 3_010);
}

#[test]
fn a_frame_is_not_prolonged_by_its_bytes() {
    let frame = cut(client_frame(OpCode::Binary, &[7; 125]));
    check(true, &[(100, frame.clone())], Deadline::Frame, 30_100);
    let trickle: Vec<(Millis, Vec<u8>)> = (1_000..30_000)
        .step_by(1_000)
        .zip(frame)
        .map(|(at, byte)| (at, vec![byte]))
        .collect();
    check(true, &trickle, Deadline::Frame, 31_000);
    // A frame that ends has had its time; the next one has its own.
    let pair = [
        (100, cut(ping())),
        (20_000, [&ping()[ping().len() - 1..], &cut(ping())].concat()),
    ];
    check(true, &pair, Deadline::Frame, 50_000);
}

#[test]
fn a_message_is_not_prolonged_by_fragments_and_pings() {
    let begin = (100, fragment(OpCode::Text));
    let talk: Vec<u8> = [ping(), fragment(OpCode::Continuation), ping()].concat();
    let said = [vec![begin], repeated((5_000..60_000).step_by(5_000), &talk)].concat();
    check(true, &said, Deadline::Message, 60_100);
    // The frame in which it stops is late before the message is.
    let said = [
        (100, fragment(OpCode::Text)),
        (1_000, cut(fragment(OpCode::Continuation))),
    ];
    check(true, &said, Deadline::Frame, 31_000);
    // Another message, even one that begins in the receive in which the first ends, has its own
    // time.
    let end = [
        client_frame(OpCode::Continuation, b"end"),
        fragment(OpCode::Binary),
    ];
    let said = [
        vec![(100, fragment(OpCode::Text)), (20_000, ping())],
        vec![(40_000, end.concat())],
        repeated((50_000..100_000).step_by(10_000), &ping()),
    ];
    check(true, &said.concat(), Deadline::Message, 100_000);
}

#[test]
fn silence_is_pinged_and_ends() {
    check(true, &[], Deadline::Pong, 35_000);
    check(true, &[(20_000, ping())], Deadline::Pong, 55_000);
    let mut trial = Trial::new(
        &Config {
            heartbeat: std::time::Duration::from_secs(3_600),
            ..Config::default()
        },
        Faults::none(),
        1,
    );
    open(&mut trial);
    go_to(&mut trial, 119_800);
    assert_eq!(missed(&trial), []);
    go_to(&mut trial, 120_200);
    assert_eq!(missed(&trial), [Deadline::Idle]);
}

/// A client asks for more than its socket takes, says something every 5 s, and reads so much every
/// 20 s.
#[test]
fn a_reader_that_reads_nothing_is_late_whatever_it_says() {
    const SOCKET_BYTES: usize = 16 << 10;
    for (reads, late) in [(0, &[Deadline::Progress][..]), (10, &[])] {
        let faults = Faults {
            socket_buffer_bytes: SOCKET_BYTES,
            ..Faults::none()
        };
        let mut trial = Trial::new(&Config::default(), faults, 16 << 10);
        let client = open(&mut trial);
        trial.write(client, &client_frame(OpCode::Text, b"?").repeat(48));
        trial.tick_until(|counters| counters.outbox_bytes.get() > 700 << 10);
        for at in (5_000..=120_000).step_by(5_000) {
            go_to(&mut trial, at);
            if at <= 60_000 - 200 {
                assert_eq!(missed(&trial), [], "{reads} reads, at {at}");
            }
            if missed(&trial).is_empty() {
                trial.write(client, &ping());
            }
            for _ in 0..if at % 20_000 == 0 { reads } else { 0 } {
                trial.world.borrow_mut().read(client, SOCKET_BYTES);
                trial.shard.tick();
            }
            if at == 60_000 {
                go_to(&mut trial, 60_300);
                assert_eq!(missed(&trial), late, "{reads} reads");
                break;
            }
        }
    }
}

#[test]
fn a_close_that_is_not_answered_ends() {
    let mut trial = Trial::new(&Config::default(), Faults::none(), 1);
    let client = open(&mut trial);
    go_to(&mut trial, 10_000);
    trial.write(client, &fragment(OpCode::Text));
    go_to(&mut trial, 10_001);
    // It pings all the time, and finishes neither the message nor the connection.
    for at in (12_000..72_000).step_by(1_000) {
        trial.write(client, &ping());
        go_to(&mut trial, at);
    }
    assert_eq!(missed(&trial), [Deadline::Message]);
    go_to(&mut trial, 74_800);
    assert_eq!(trial.counters.connections.get(), 1);
    go_to(&mut trial, 75_400);
    assert_eq!(missed(&trial), [Deadline::Message, Deadline::Close]);
    trial.tick_until(|counters| counters.connections.get() == 0);
}

/// Nothing that it says is read: it has the time that its last frame needs to arrive, and no more.
#[test]
fn whoever_broke_off_in_a_frame_is_not_waited_for() {
    for (said, ends_at, expected) in [
        (b"no frame".to_vec(), 0, vec![]),
        (cut(ping()), 30_000, vec![Deadline::Frame]),
    ] {
        let mut trial = Trial::new(&Config::default(), Faults::none(), 1);
        let client = open(&mut trial);
        trial.write(client, &said);
        trial.shard.tick();
        go_to(&mut trial, ends_at + 100);
        trial.shard.tick();
        assert_eq!(missed(&trial), expected);
        go_to(&mut trial, ends_at + 1_900);
        assert_eq!(trial.counters.connections.get(), 1);
        trial.write(client, b"more");
        go_to(&mut trial, ends_at + 2_300);
        assert_eq!(missed(&trial), expected);
        trial.tick_until(|counters| counters.connections.get() == 0);
    }
}

/// What nobody could hear for want of buffers is not late.
#[test]
fn the_time_without_a_buffer_is_not_the_peers() {
    let faults = Faults {
        receive_buffers: 0,
        ..Faults::none()
    };
    let mut trial = Trial::new(&Config::default(), faults, 1);
    trial.connect();
    trial.shard.tick();
    go_to(&mut trial, 3_600_000);
    assert_eq!(
        (missed(&trial), trial.counters.connections.get()),
        (vec![], 1)
    );
}

/// A peer is not late with what it did not send while nobody listened.
#[test]
fn the_time_while_parked_is_not_the_peers() {
    const PARKED_MS: Millis = 1_000_000;
    let mut trial = Trial::new(&Config::default(), Faults::none(), 1);
    let client = open(&mut trial);
    go_to(&mut trial, 10_000);
    trial.write(client, &fragment(OpCode::Text));
    trial.shard.tick();
    go_to(&mut trial, 20_000);
    trial.write(client, &cut(ping()));
    trial.shard.tick();
    let ticket = trial
        .shard
        .core
        .connections
        .slots
        .in_phase(Phase::Open)
        .next();
    let ticket = ticket.expect("one is open");
    // What a lane that stays full for so long does.
    let connection = trial.shard.core.connections.slots.at(ticket.slot);
    connection.flags.set(Flags::PARKED);
    connection.cold().parked_since = 20_000;
    go_to(&mut trial, 20_000 + PARKED_MS);
    assert_eq!(missed(&trial), []);
    trial.shard.parked.push_back(ticket);
    trial.shard.core.connections.pending_work.park.push(ticket);
    trial.shard.tick();
    let connection = trial.shard.core.connections.slots.at(ticket.slot);
    let cold = connection.cold.as_ref().expect("it is unfinished");
    assert_eq!(
        (cold.message_since, cold.input_since),
        (10_000 + PARKED_MS, 20_000 + PARKED_MS)
    );
    go_to(&mut trial, 49_900 + PARKED_MS);
    assert_eq!(missed(&trial), []);
    go_to(&mut trial, 50_100 + PARKED_MS);
    assert_eq!(missed(&trial), [Deadline::Frame]);
}
