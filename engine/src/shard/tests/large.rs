//! Large messages between small ones, whole and in fragments, over networks that cut, delay and
//! hold back: every answer comes whole and in order, whether it leaves from a receive buffer, from
//! the message's own memory or from a copy, and nothing is left behind.

use super::*;
use crate::driver::sim::world::Read;

/// Answers a message by its first byte: with all of it, all of it twice, a part of it, a part and
/// something else, or the same bytes as the other kind.
struct Answering;

/// What a message is answered with.
fn answers(kind: Kind, bytes: &[u8]) -> Vec<(Kind, &[u8])> {
    match bytes.first() {
        Some(b'2') => vec![(kind, bytes), (kind, bytes)],
        Some(b'p') => vec![(kind, &bytes[1..bytes.len() - 1])],
        Some(b's') => vec![(kind, b"small"), (kind, &bytes[2..]), (kind, b"small")],
        Some(b'b') => vec![(Kind::Binary, bytes)],
        _ => vec![(kind, bytes)],
    }
}

impl Application for Answering {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        for (kind, bytes) in answers(message.kind(), message.bytes()) {
            cx.send(kind, bytes);
        }
    }
}

/// What one client says and is to hear.
struct Talk {
    client: SocketId,
    said: Vec<u8>,
    written: usize,
    expected: Vec<u8>,
    heard: Vec<u8>,
}

impl Talk {
    fn new(client: SocketId, random: &mut Random) -> Talk {
        let (mut said, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..random.between(1, 8) {
            let kind = random.pick(&[Kind::Text, Kind::Binary]);
            let around = random.pick(&[3, 200, 16_384, 16_640, 40_000, 65_536, 100_000]);
            let mut payload = vec![random.pick(b"w2psb")];
            let length = around - 3 + random.below(7) + 3;
            payload.extend((0..length).map(|at| b'a' + ((at * 7 + around) % 26) as u8));
            write_message(random, kind, &payload, &mut said);
            for (kind, bytes) in answers(kind, &payload) {
                frame::write_frame(&mut expected, kind.into(), bytes);
            }
        }
        Talk {
            client,
            said,
            written: 0,
            expected,
            heard: Vec::new(),
        }
    }

    /// Writes and reads a little. True: it has heard everything.
    fn go_on(&mut self, world: &mut World, random: &mut Random) -> bool {
        let end = (self.written + random.between(1, 200_000)).min(self.said.len());
        let written = world.write(self.client, &self.said[self.written..end]);
        self.written += written.expect("the connection lasts");
        if let Read::Bytes(bytes) = world.read(self.client, random.between(1, 200_000)) {
            self.heard.extend(bytes);
        }
        self.heard.len() >= self.expected.len()
    }
}

/// In one frame, or in a few.
fn write_message(random: &mut Random, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    let (mut opcode, mut rest) = (OpCode::from(kind), payload);
    loop {
        let cut = match random.chance(300) {
            true => random.below(rest.len() + 1),
            false => rest.len(),
        };
        let (part, behind) = rest.split_at(cut);
        let start = out.len();
        frame::write_client_frame(out, opcode, part, [7, random.below(256) as u8, 0, 9]);
        if behind.is_empty() {
            return;
        }
        out[start] &= 0x7f;
        (opcode, rest) = (OpCode::Continuation, behind);
    }
}

fn check(seed: u64) {
    let mut random = Random::new(seed);
    let faults = Faults {
        broken_permille: 0,
        receive_buffers: random.pick(&[1, 2, 8]),
        receive_buffer_bytes: random.pick(&[1_000, 16_640, 66_560, 133_120]),
        socket_buffer_bytes: random.pick(&[4_096, 64 << 10, 1 << 20]),
        ..Faults::draw(&mut random)
    };
    let mut config = Config {
        outbox_bytes_max: 16 << 20,
        ..Config::default()
    };
    config.listeners[0].message_bytes_max = 1 << 20;
    let mut trial = Trial::of(&config, faults, Answering);
    let clients = random.between(1, 4);
    let mut talks: Vec<Talk> = (0..clients)
        .map(|_| {
            let client = trial.world.borrow_mut().connect(0, 0, Line::Lasting);
            let mut talk = Talk::new(client.expect("it accepts"), &mut random);
            let mut request = Vec::new();
            let key = upgrade::encode_key([0; 16]);
            upgrade::write_request(&mut request, "localhost", "/", &key, &[]);
            talk.said.splice(..0, request);
            let headers = shardcast_protocol::http::Headers::new();
            let mut expected = Vec::new();
            upgrade::write_accept(&mut expected, &key, None, None, &headers);
            talk.expected.splice(..0, expected);
            talk
        })
        .collect();
    let mut done = false;
    for _ in 0..200_000 {
        let now = trial.world.borrow().now();
        trial.world.borrow_mut().advance_to(now + 1);
        done = true;
        for talk in &mut talks {
            done &= talk.go_on(&mut trial.world.borrow_mut(), &mut random);
        }
        trial.shard.tick();
        trial.shard.check_invariants();
        if done {
            break;
        }
    }
    for talk in &talks {
        assert!(
            talk.heard == talk.expected,
            "seed {seed}: {}",
            talk.heard.len()
        );
        trial.world.borrow_mut().close(talk.client);
    }
    assert!(done, "seed {seed}");
    for later in 0..100_000 {
        if trial.counters.connections.get() == 0 {
            break;
        }
        let now = trial.world.borrow().now();
        trial.world.borrow_mut().advance_to(now + later);
        trial.shard.tick();
    }
    assert_eq!(trial.counters.connections.get(), 0, "seed {seed}");
    assert_eq!(trial.counters.reassembly_bytes.get(), 0, "seed {seed}");
    assert!(trial.shard.lent.is_empty());
    trial.world.borrow().assert_quiescent();
}

#[test]
fn every_answer_comes_whole_and_in_order() {
    (0..60).for_each(check);
}

/// A large text that is none ends its connection in either way.
#[test]
fn a_large_text_that_is_none_is_refused() {
    for receive_buffer_bytes in [16_640, 66_560] {
        let faults = Faults {
            receive_buffer_bytes,
            ..Faults::none()
        };
        let mut trial = Trial::of(&Config::default(), faults, Answering);
        let client = trial.connect();
        trial.tick_until(|counters| counters.upgrades.get() == 1);
        let mut text = vec![b'w'; 40_000];
        text[39_999] = 0xff;
        trial.write(client, &client_frame(OpCode::Text, &text));
        trial.tick_until(|counters| counters.closed_protocol.get() == 1);
        assert_eq!(trial.counters.frames_out.get(), 1, "its close");
    }
}
