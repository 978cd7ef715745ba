//! Messages that are larger than every buffer: whole, in fragments large and small, and what
//! happens when there is no memory for them.

use shardcast_engine::Config;
use shardcast_tests::{
    BINARY, CONTINUE, Client, FIN, PING, PONG, Raw, Server, TEXT, config, frame, header,
};

const MIB: usize = 1 << 20;
const LARGEST_BYTES: usize = 64 * MIB;

fn roomy(shards: usize) -> Config {
    let mut config = config(shards);
    config.listeners[0].message_bytes_max = LARGEST_BYTES;
    config.outbox_bytes_max = 2 * LARGEST_BYTES;
    config.reassembly_bytes_max = shards * 2 * LARGEST_BYTES;
    config
}

/// Different everywhere, so that nothing lost or doubled passes.
fn payload(bytes: usize) -> Vec<u8> {
    let words = 0..bytes.div_ceil(4) as u32;
    let bytes_of = |word: u32| word.wrapping_mul(0x9e37_79b9).to_le_bytes();
    words.flat_map(bytes_of).take(bytes).collect()
}

/// A message in fragments, with a ping before each thousandth. Also says how many pings there are.
fn fragments(first: u8, payload: &[u8], fragment_bytes: usize) -> (Vec<u8>, usize) {
    let (mut bytes, mut pings) = (Vec::new(), 0);
    for (index, part) in payload.chunks(fragment_bytes).enumerate() {
        if index % 1000 == 999 {
            bytes.extend(frame(FIN | PING, b"between"));
            pings += 1;
        }
        bytes.extend(frame(if index == 0 { first } else { CONTINUE }, part));
    }
    bytes.extend(frame(FIN | CONTINUE, b""));
    (bytes, pings)
}

/// What is sent comes back whole, behind the pongs.
#[track_caller]
fn check(server: &Server, sent: &[u8], pings: usize, kind: u8, payload: &[u8]) {
    let mut raw = Raw::upgraded(server);
    raw.send(sent);
    for _ in 0..pings {
        raw.expect(FIN | PONG, b"between");
    }
    let (first, echo) = raw.frame();
    assert_eq!((first, echo.len()), (FIN | kind, payload.len()));
    assert!(echo == payload, "it came back damaged");
}

#[test]
fn messages_up_to_64_mib_come_back_whole_however_they_are_cut() {
    let server = Server::echo(roomy(2));
    for bytes in [16 * MIB, LARGEST_BYTES] {
        let payload = payload(bytes);
        let whole = frame(FIN | BINARY, &payload);
        check(&server, &whole, 0, BINARY, &payload);
        let (parts, pings) = fragments(BINARY, &payload, 64 << 10);
        check(&server, &parts, pings, BINARY, &payload);
    }
    // One byte more than may be is known from the header.
    let mut raw = Raw::upgraded(&server);
    raw.send(&header(FIN | BINARY, LARGEST_BYTES as u64 + 1));
    assert_eq!(raw.closed(), (1009, "message too big".to_owned()));
    server.wait_until_empty();
    assert_eq!(server.sum(|shard| &shard.reassembly_bytes), 0);
}

#[test]
fn ten_thousand_fragments_of_one_byte_with_pings_between() {
    let server = Server::echo(roomy(2));
    let text = "\u{1f980}\u{20ac}a\u{df}".repeat(1_000);
    assert_eq!(text.len(), 10_000);
    let (parts, pings) = fragments(TEXT, text.as_bytes(), 1);
    assert_eq!(pings, 10);
    check(&server, &parts, pings, TEXT, text.as_bytes());
    server.wait_until_empty();
}

#[test]
fn whoever_asks_for_more_memory_than_is_left_hears_1013() {
    let mut config = roomy(1);
    config.listeners[0].message_bytes_max = MIB;
    // An eighth of it is for those who hold little.
    config.reassembly_bytes_max = 2 * MIB + MIB / 2;
    let server = Server::echo(config);
    let mut honest = Client::plain(&server);
    let mut hoarders: Vec<Raw> = (0..4).map(|_| Raw::upgraded(&server)).collect();
    let message = frame(FIN | BINARY, &payload(MIB));
    let (most, rest) = message.split_at(message.len() - 1);
    for (hoarder, held) in hoarders.iter_mut().zip([1, 2]) {
        hoarder.send(most);
        server.wait_until("what it holds", |server| {
            server.sum(|shard| &shard.reassembly_bytes) >= held * MIB as u64
        });
    }
    for hoarder in &mut hoarders[2..] {
        hoarder.send_anyway(most);
        let reason = "out of memory, try again later".to_owned();
        assert_eq!(hoarder.closed(), (1013, reason));
    }
    assert_eq!(server.sum(|shard| &shard.closed_budget), 2);
    // Those who came first are not touched, nor is whoever needs no memory.
    assert_eq!(honest.ask("here"), "here");
    for hoarder in &mut hoarders[..2] {
        hoarder.send(rest);
        let (first, echo) = hoarder.frame();
        assert_eq!((first, echo.len()), (FIN | BINARY, MIB));
    }
    assert_eq!(server.sum(|shard| &shard.reassembly_bytes), 0);
}
