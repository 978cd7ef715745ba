//! What an echo and a broadcast allocate on the shard's thread, on the real ring: after a warm-up,
//! nothing but the frames that the application encodes.

mod client;
mod counting;

use client::Client;
use shardcast_engine::protocol::frame::{Kind, OpCode};
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Admission, Answer, Application, Config, Context, Frame, Listener, Message, Pinning, Publish,
    Running, Tag, Target,
};
use std::net::SocketAddr;
use std::time::Duration;

const TOPIC: &str = "topic";
const MEMBERS: usize = 100;
/// How often each thing is done, once to warm up and once to count.
const TIMES: u64 = 300;
/// Frames of a burst.
const BURST: usize = 16;
/// An encoded frame is a buffer and, once it is shared, the count of those who share it.
const PER_ENCODED_FRAME: u64 = 2;

/// `?` is answered with the allocations of the shard's thread, `S` joins, `P` publishes its rest,
/// `R` a frame encoded before, `X` the same to all but its publisher; anything else is echoed.
struct Counted {
    encoded: Frame,
}

impl Application for Counted {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        let frame = match message.bytes() {
            b"?" => {
                let count = counting::of_this_thread();
                return cx.send(Kind::Binary, &count.to_le_bytes());
            }
            [b'S', ..] => return cx.join(TOPIC, Tag(0)).expect("a fine name"),
            [b'P', payload @ ..] => Frame::new(Kind::Binary, payload),
            [b'R' | b'X', ..] => self.encoded.clone(),
            bytes => return cx.send(message.kind(), bytes),
        };
        let mut publish = Publish::new(frame);
        if message.bytes().starts_with(b"X") {
            publish = publish.except(cx.address());
        }
        let published = cx.publish(Target::Room(TOPIC), publish);
        published.expect("a fine name");
    }

    fn answered(&mut self, cx: &mut Context<'_>, _: &mut (), _: Tag, answer: Answer) {
        assert!(matches!(answer, Answer::Joined { .. }));
        cx.send(Kind::Binary, b"joined");
    }
}

/// A server, a client that is in no room, and members of the one room.
struct Trial {
    _running: Running,
    outsider: Client,
    members: Vec<Client>,
}

impl Trial {
    fn new() -> Trial {
        let config = Config {
            listeners: vec![Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)))],
            shards: 1,
            pinning: Pinning::None,
            connections_max: 1000,
            // No ping comes between what is counted, however slow the machine.
            heartbeat: Duration::from_secs(3600),
            idle_timeout: Duration::from_secs(7200),
            ..Config::default()
        };
        let encoded = Frame::new(Kind::Binary, b"encoded long ago");
        let running = shardcast_engine::start(config, move |_| Counted {
            encoded: encoded.clone(),
        })
        .expect("starts");
        let connect = || Client::connect(running.local_addr().unwrap(), "/");
        let mut members: Vec<Client> = (0..MEMBERS).map(|_| connect()).collect();
        for member in &mut members {
            member.say(OpCode::Binary, b"S", 1);
            assert_eq!(member.hear(), b"joined");
        }
        Trial {
            outsider: connect(),
            members,
            _running: running,
        }
    }

    fn allocations(&mut self) -> u64 {
        self.outsider.say(OpCode::Binary, b"?", 1);
        u64::from_le_bytes(self.outsider.hear().try_into().expect("a count"))
    }

    /// Allocations of the shard while the client says `payload` `TIMES` times, `burst` at a time,
    /// and everyone hears it.
    fn count(&mut self, payload: &[u8], burst: usize, heard: &[u8], by_members: bool) -> u64 {
        let mut counts = [0; 2];
        for count in &mut counts {
            let before = self.allocations();
            for _ in 0..TIMES {
                self.outsider.say(OpCode::Binary, payload, burst);
                let hearers = match by_members {
                    true => &mut self.members[..],
                    false => std::slice::from_mut(&mut self.outsider),
                };
                for hearer in hearers {
                    for _ in 0..burst {
                        assert_eq!(hearer.hear(), heard);
                    }
                }
            }
            *count = self.allocations() - before;
        }
        counts[1]
    }
}

#[test]
fn echoes_allocate_nothing() {
    let mut trial = Trial::new();
    let large = vec![b'e'; 8000];
    for (payload, burst) in [(&b"echo"[..], 1), (b"echo", BURST), (&large, 1)] {
        let count = trial.count(payload, burst, payload, false);
        assert_eq!(count, 0, "{} bytes, {burst} at a time", payload.len());
    }
}

#[test]
fn a_broadcast_allocates_the_frame_that_is_sealed_and_nothing_else() {
    let mut trial = Trial::new();
    let encoded = trial.count(b"R", 1, b"encoded long ago", true);
    assert_eq!(encoded, 0, "a frame encoded before");
    let others = trial.count(b"X", 1, b"encoded long ago", true);
    assert_eq!(others, 0, "to all but its publisher");
    let fresh = trial.count(b"Pfresh", 1, b"fresh", true);
    assert_eq!(fresh, TIMES * PER_ENCODED_FRAME, "a fresh frame");
}

/// Frames of one tick are copied together, once for all members: a buffer that grows twice, and its
/// count of sharers. Nothing per member.
#[test]
fn a_burst_is_laid_out_once() {
    const PER_BATCH: u64 = 4;
    let mut trial = Trial::new();
    let burst = trial.count(b"R", BURST, b"encoded long ago", true);
    assert!(
        burst <= TIMES * PER_BATCH,
        "{burst} allocations in {TIMES} bursts of {BURST}"
    );
}
