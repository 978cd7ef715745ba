//! Heartbeats that are the application's choice, in virtual time: messages at their intervals,
//! answered by any byte; or none.

use super::*;
use crate::connection::heartbeat::{Heartbeat, HeartbeatMessage};
use crate::driver::sim::network::Trace;
use crate::driver::sim::world::Read;

/// The path says the heartbeat.
struct Pacemaker;

const BEAT: &[u8] = b"{}";

impl Application for Pacemaker {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<()> {
        let heartbeat = match request.query() {
            Some("message") => {
                let time = std::time::Duration::from_millis;
                Heartbeat::Message(Arc::new(HeartbeatMessage {
                    frame: crate::types::frame::Frame::new(Kind::Text, BEAT),
                    every: time(HEARTBEAT),
                    answer_within: time(PONG),
                }))
            }
            Some("none") => Heartbeat::None,
            _ => Heartbeat::WebSocketPing,
        };
        Admission::Accept(crate::application::Accepted {
            heartbeat,
            ..().into()
        })
    }

    /// Says whether a pong answers something.
    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        if matches!(message, Message::Text("pong")) {
            let answers = cx.take_heartbeat_answer();
            cx.send(Kind::Text, if answers { b"yes" } else { b"no" });
        }
    }
}

struct Ward {
    world: Rc<RefCell<World>>,
    shard: Shard<Pacemaker, SimDriver>,
    counters: Arc<ShardCounters>,
    client: SocketId,
}

/// In milliseconds. Answers may take longer than it is to the next message.
const HEARTBEAT: Millis = 1_000;
const PONG: Millis = 2_500;
const IDLE: Millis = 10_000;
/// From one ping to the next.
const PING: Millis = 1_500;
/// Two steps of the wheel, and one of the test's.
const PRECISION: Millis = 2 * 64 + 20;

impl Ward {
    fn new(request: &[u8]) -> Ward {
        let time = std::time::Duration::from_millis;
        let config = Config {
            shards: 1,
            // Of pings; messages have their own.
            heartbeat: time(PING),
            idle_timeout: time(IDLE),
            event_streams: Some("/sse".into()),
            ..Config::default()
        };
        let world = World::new(1, Faults::none(), Random::new(1), Trace::Silent);
        let counters: Arc<ShardCounters> = Arc::default();
        let setup = Setup {
            config: &config,
            mailbox: lane::mesh(1, LaneCapacity::for_shards(1), 1).remove(0),
            token_key: Some(TokenKey::fixed()),
            admission: ProcessCounts::new(config.connections_max),
            counters: Arc::clone(&counters),
        };
        let shard = Shard::new(setup, Pacemaker, World::driver(&world, 0));
        let client = world.borrow_mut().connect(0, 0, Line::Faulty).unwrap();
        let mut ward = Ward {
            world,
            shard,
            counters,
            client,
        };
        ward.say(request);
        let head = ward.heard();
        assert!(head.starts_with(b"HTTP/1.1 "), "{}", head.escape_ascii());
        ward
    }

    fn websocket(query: &str) -> Ward {
        let mut request = Vec::new();
        let key = upgrade::encode_key([0; 16]);
        let target = format!("/?{query}");
        upgrade::write_request(&mut request, "localhost", &target, &key, &[]);
        Ward::new(&request)
    }

    fn say(&mut self, bytes: &[u8]) {
        let written = self.world.borrow_mut().write(self.client, bytes);
        assert_eq!(written, Some(bytes.len()));
        self.tick();
    }

    fn tick(&mut self) {
        for _ in 0..4 {
            self.shard.tick();
        }
        self.shard.check_invariants();
    }

    fn heard(&self) -> Vec<u8> {
        let mut heard = Vec::new();
        while let Read::Bytes(bytes) = self.world.borrow_mut().read(self.client, 1 << 20) {
            heard.extend(bytes);
        }
        heard
    }

    /// What is heard within this time, each with its moment.
    fn pass(&mut self, ms: Millis) -> Vec<(Millis, Vec<u8>)> {
        let start = self.world.borrow().now();
        let mut heard = Vec::new();
        for time in (start..=start + ms).step_by(20) {
            self.world.borrow_mut().advance_to(time);
            self.tick();
            let bytes = self.heard();
            if !bytes.is_empty() {
                heard.push((time, bytes));
            }
        }
        heard
    }
}

#[test]
fn messages_come_at_their_intervals_whatever_the_client_says() {
    let mut ward = Ward::websocket("message");
    let mut beat = Vec::new();
    frame::write_frame(&mut beat, OpCode::Text, BEAT);
    let mut last = ward.world.borrow().now();
    for round in 0..20 {
        // Often enough, so that no ping would ever be due.
        ward.say(&client_frame(OpCode::Text, b"a"));
        let heard = ward.pass(HEARTBEAT / 2);
        for (at, bytes) in heard {
            assert_eq!(bytes, beat, "round {round}");
            let interval = HEARTBEAT..=HEARTBEAT + PRECISION;
            assert!(interval.contains(&(at - last)), "{at} after {last}");
            last = at;
        }
    }
    let now = ward.world.borrow().now();
    assert!(
        now - last <= HEARTBEAT + PRECISION,
        "{now}, the last {last}"
    );
    assert_eq!(ward.counters.closed_deadline_pong.get(), 0);
}

/// Further messages do not give more time for the answer to the first.
#[test]
fn a_message_is_to_be_answered_like_a_ping() {
    let mut ward = Ward::websocket("message");
    ward.pass(HEARTBEAT + PRECISION);
    ward.pass(PONG - 2 * PRECISION);
    assert_eq!(ward.counters.closed_deadline_pong.get(), 0);
    // Any byte is an answer: to all of them.
    ward.say(&client_frame(OpCode::Text, b"a"));
    ward.pass(2 * PRECISION);
    assert_eq!(ward.counters.closed_deadline_pong.get(), 0);
    ward.pass(HEARTBEAT + PONG);
    assert_eq!(ward.counters.closed_deadline_pong.get(), 1);
}

#[test]
fn without_a_heartbeat_silence_alone_ends_a_connection() {
    let mut ward = Ward::websocket("none");
    assert_eq!(ward.pass(IDLE - PRECISION), []);
    assert_eq!(ward.counters.closed_deadline_idle.get(), 0);
    ward.pass(2 * PRECISION);
    assert_eq!(ward.counters.closed_deadline_idle.get(), 1);
    assert_eq!(ward.counters.closed_deadline_pong.get(), 0);
}

#[test]
fn event_streams_have_their_heartbeats_and_owe_no_answer() {
    for (query, expected) in [("message", "data: {}"), ("none", ""), ("ping", ":")] {
        let request = format!(
            "GET /sse?{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        );
        let mut ward = Ward::new(request.as_bytes());
        let heard = ward.pass(2 * IDLE);
        let every = match query {
            "message" => HEARTBEAT,
            _ => PING,
        };
        let beats = 2 * IDLE / (every + PRECISION)..=2 * IDLE / every;
        let count = heard.len() as Millis;
        match expected {
            "" => assert_eq!(heard, [], "{query}"),
            expected => {
                assert!(beats.contains(&count), "{query}: {count}");
                for (_, bytes) in heard {
                    let text = String::from_utf8(bytes).expect("events are text");
                    assert!(text.contains(expected), "{query}: {text}");
                }
            }
        }
        assert_eq!(ward.counters.closed_deadline_idle.get(), 0);
        assert_eq!(ward.counters.closed_deadline_pong.get(), 0);
    }
}

#[test]
fn as_many_answers_are_taken_as_messages_were_sent() {
    let mut ward = Ward::websocket("message");
    let says = |ward: &mut Ward, expected: &str| {
        ward.say(&client_frame(OpCode::Text, b"pong"));
        let mut answer = Vec::new();
        frame::write_frame(&mut answer, OpCode::Text, expected.as_bytes());
        assert_eq!(
            ward.heard().escape_ascii().to_string(),
            answer.escape_ascii().to_string()
        );
    };
    says(&mut ward, "no");
    for _ in 0..3 {
        assert_eq!(ward.pass(HEARTBEAT + PRECISION).len(), 1);
        says(&mut ward, "yes");
        says(&mut ward, "no");
    }
    // To whom nothing is sent, nobody answers.
    let mut ward = Ward::websocket("none");
    says(&mut ward, "no");
}
