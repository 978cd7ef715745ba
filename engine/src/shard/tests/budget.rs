//! The shard's memory for unfinished messages: what is counted, who is turned away when it is used
//! up, and that others are not.

use super::*;

const KIB: usize = 1 << 10;

fn config(message_bytes_max: usize, reassembly_bytes_max: usize) -> Config {
    let mut config = Config {
        shards: 1,
        outbox_bytes_max: 64 << 20,
        reassembly_bytes_max,
        ..Config::default()
    };
    config.listeners[0].message_bytes_max = message_bytes_max;
    config
}

fn roomy() -> Faults {
    Faults {
        socket_buffer_bytes: 64 << 20,
        receive_buffers: 4096,
        ..Faults::none()
    }
}

/// The beginning of a binary frame of `payload` bytes, `sent` of them.
fn beginning(payload: usize, sent: usize) -> Vec<u8> {
    let mut bytes = client_frame(OpCode::Binary, &vec![7; payload]);
    let header_bytes = bytes.len() - payload;
    bytes.truncate(header_bytes + sent);
    bytes
}

fn fragment(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = client_frame(opcode, payload);
    bytes[0] &= 0x7f;
    bytes
}

fn settle(trial: &mut Trial) {
    for _ in 0..40 {
        trial.shard.tick();
        trial.shard.check_invariants();
    }
}

#[test]
fn frames_and_fragments_count_until_they_are_whole() {
    let mut trial = Trial::new(&config(1 << 20, 4 << 20), roomy(), 1);
    let client = trial.connect();
    trial.tick_until(|counters| counters.upgrades.get() == 1);
    let held = |trial: &Trial| trial.counters.reassembly_bytes.get() as usize;
    assert_eq!(held(&trial), 0);
    let whole = beginning(600 * KIB, 600 * KIB);
    let (start, end) = whole.split_at(300 * KIB);
    trial.write(client, start);
    settle(&mut trial);
    assert!(
        (300 * KIB..=whole.len()).contains(&held(&trial)),
        "{}",
        held(&trial)
    );
    trial.write(client, end);
    trial.tick_until(|counters| counters.messages_in.get() == 1);
    settle(&mut trial);
    assert_eq!(held(&trial), 0);
    // The fragments and the beginning of the next one.
    trial.write(client, &fragment(OpCode::Binary, &vec![1; 100_000]));
    trial.write(
        client,
        &fragment(OpCode::Continuation, &vec![2; 100_000])[..50_000],
    );
    settle(&mut trial);
    assert!(
        (150_000..=200_000 + 100_014).contains(&held(&trial)),
        "{}",
        held(&trial)
    );
    // Whoever goes takes everything along.
    trial.world.borrow_mut().reset(client);
    trial.tick_until(|counters| counters.connections.get() == 0);
    assert_eq!(held(&trial), 0);
}

#[test]
fn whoever_asks_for_more_than_is_left_is_turned_away() {
    const CLIENTS: usize = 6;
    let mut trial = Trial::new(&config(1 << 20, 2 << 20), roomy(), 1);
    let clients: Vec<SocketId> = (0..CLIENTS).map(|_| trial.connect()).collect();
    trial.tick_until(|counters| counters.upgrades.get() == CLIENTS as u64);
    for client in &clients[..3] {
        trial.write(*client, &beginning(1 << 20, 600 * KIB));
        settle(&mut trial);
    }
    // Two hold 1 MiB each by now, or nearly; the third could not.
    assert_eq!(trial.counters.closed_budget.get(), 1);
    assert_eq!(
        trial
            .shard
            .core
            .connections
            .slots
            .in_phase(Phase::Open)
            .count(),
        CLIENTS - 1
    );
    // Messages that come complete need no memory, and the two that began are finished.
    trial.write(clients[3], &client_frame(OpCode::Binary, &[7; 4 * KIB]));
    trial.tick_until(|counters| counters.messages_in.get() == 1);
    for client in &clients[..2] {
        trial.write(*client, &beginning(1 << 20, 1 << 20)[600 * KIB + 14..]);
    }
    trial.tick_until(|counters| counters.messages_in.get() == 3);
    settle(&mut trial);
    assert_eq!(trial.counters.reassembly_bytes.get(), 0);
    // There is room again.
    trial.write(clients[4], &beginning(1 << 20, 600 * KIB));
    settle(&mut trial);
    assert_eq!(trial.counters.closed_budget.get(), 1);
}

/// Those who hold much cannot take what ordinary messages need that came in two pieces.
#[test]
fn the_last_of_it_is_for_those_who_hold_little() {
    let mut trial = Trial::new(&config(1 << 20, 16 << 20), roomy(), 1);
    let clients: Vec<SocketId> = (0..40).map(|_| trial.connect()).collect();
    trial.tick_until(|counters| counters.upgrades.get() == 40);
    for client in &clients[..20] {
        trial.write(*client, &beginning(1 << 20, 1 << 19));
        settle(&mut trial);
    }
    let turned_away = trial.counters.closed_budget.get();
    assert!(turned_away > 0, "the budget is used up");
    let held = trial.counters.reassembly_bytes.get() as usize;
    assert!(held <= 14 << 20, "{held} bytes");
    for client in &clients[20..] {
        trial.write(*client, &beginning(20 * KIB, 10 * KIB));
        settle(&mut trial);
        trial.write(*client, &beginning(20 * KIB, 20 * KIB)[10 * KIB + 8..]);
    }
    trial.tick_until(|counters| counters.messages_in.get() == 20);
    assert_eq!(trial.counters.closed_budget.get(), turned_away);
}

#[test]
fn heads_count_too() {
    let mut trial = Trial::new(&config(125, 24 * KIB), roomy(), 1);
    for _ in 0..8 {
        let client = trial
            .world
            .borrow_mut()
            .connect(0, 0, Line::Faulty)
            .unwrap();
        trial.write(client, &[b'x'; 3 * KIB]);
        settle(&mut trial);
    }
    // Each head has 6 KiB.
    assert_eq!(trial.counters.closed_budget.get(), 4);
    assert_eq!(trial.counters.reassembly_bytes.get() as usize, 24 * KIB);
}

/// What a listener permits fits into the least budget, however it is cut.
#[test]
fn one_message_always_fits() {
    const MESSAGE_BYTES: usize = 600 * KIB;
    for fragment_bytes in [
        1,
        1000,
        64 * KIB,
        250 * KIB,
        301 * KIB,
        599 * KIB,
        MESSAGE_BYTES,
    ] {
        let least = Config::shard_reassembly_bytes_min(MESSAGE_BYTES);
        let config = config(MESSAGE_BYTES, least);
        config.check().unwrap();
        let mut trial = Trial::new(&config, roomy(), 1);
        let client = trial.connect();
        trial.tick_until(|counters| counters.upgrades.get() == 1);
        let payload = vec![
            7;
            if fragment_bytes == 1 {
                10_000
            } else {
                MESSAGE_BYTES
            }
        ];
        let mut bytes = Vec::new();
        let mut opcode = OpCode::Binary;
        for part in payload.chunks(fragment_bytes) {
            bytes.extend(fragment(opcode, part));
            opcode = OpCode::Continuation;
        }
        bytes.extend(client_frame(opcode, b""));
        trial.write(client, &bytes);
        trial.tick_until(|counters| counters.messages_in.get() == 1);
        assert_eq!(trial.counters.closed_budget.get(), 0, "{fragment_bytes}");
        assert_eq!(trial.counters.reassembly_bytes.get(), 0);
    }
}

#[test]
fn unfinished_handshakes_count_too() {
    let issued = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let (chain, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let identity =
        crate::egress::tls::identity::Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let mut config = config(64 * KIB, 256 * KIB);
    config.listeners[0].tls = Some(
        crate::egress::tls::server::Tls::new(crate::egress::tls::options::TlsOptions::new(
            identity,
        ))
        .unwrap(),
    );
    let mut trial = Trial::new(&config, roomy(), 1);
    // A ClientHello of 60,000 bytes, of which 49,152 come.
    let mut hello = vec![1, 0, 0xea, 0x60];
    hello.resize(3 << 14, 0);
    let records: Vec<u8> = hello
        .chunks(1 << 14)
        .flat_map(|part| [&[22, 3, 1, 0x40, 0][..], part].concat())
        .collect();
    let mut before = 0;
    for clients in 1.. {
        let client = trial
            .world
            .borrow_mut()
            .connect(0, 0, Line::Faulty)
            .unwrap();
        trial.write(client, &records);
        settle(&mut trial);
        let held = trial.counters.reassembly_bytes.get() as usize;
        if trial.counters.closed_budget.get() == 1 {
            assert!(clients > 2, "the {clients}th was too much already");
            assert_eq!(held, before, "the others keep theirs");
            assert_eq!(trial.counters.connections.get(), clients - 1);
            break;
        }
        assert!(held >= before + records.len(), "{held} after {clients}");
        before = held;
    }
}
