//! What the server's own requests allocate on the shard's thread, on the real ring: nothing for an
//! echo, and for a broadcast only the frame.

#[path = "../../engine/tests/allocations/client.rs"]
mod client;
#[path = "../../engine/tests/allocations/counting.rs"]
mod counting;

use client::Client;
use shardcast::{App, Service, Session};
use shardcast_engine::protocol::frame::{Kind, OpCode};
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Admission, Answer, Application, Config, Context, Listener, Message, Pinning, Running, Tag,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Builder;

const MEMBERS: usize = 50;
/// How often each thing is done, once to warm up and once to count.
const TIMES: u64 = 300;

/// The application; a binary message is answered with the allocations of the shard's thread.
struct Counted(Service);

impl Application for Counted {
    type Session = Session;

    fn connect(&mut self, cx: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<Session> {
        self.0.connect(cx, request)
    }

    fn opened(&mut self, cx: &mut Context<'_>, session: &mut Session) {
        self.0.opened(cx, session);
    }

    fn message(&mut self, cx: &mut Context<'_>, session: &mut Session, message: Message<'_>) {
        match message {
            Message::Binary(_) => {
                let count = counting::of_this_thread();
                cx.send(Kind::Binary, &count.to_le_bytes());
            }
            Message::Text(_) => self.0.message(cx, session, message),
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, session: &mut Session, tag: Tag, answer: Answer) {
        self.0.answered(cx, session, tag, answer);
    }
}

/// A server and the members of room `r`; the first of them speaks.
struct Trial {
    _running: Running,
    members: Vec<Client>,
}

impl Trial {
    fn new() -> Trial {
        let mut config = Config {
            listeners: vec![Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)))],
            shards: 1,
            pinning: Pinning::None,
            connections_max: 1000,
            // No ping comes between the messages, however slow the machine is.
            heartbeat: Duration::from_secs(3600),
            ..Config::default()
        };
        // No handler runs on it.
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let app = App::new().shards(&mut config, runtime.handle().clone());
        let counted = move |shard| Counted(app.shard(shard));
        let running = shardcast_engine::start(config, counted).expect("starts");
        let member = |_| {
            let mut member = Client::connect(running.local_addr().unwrap(), "/ws");
            assert!(member.hear().starts_with(br#"{"type":"welcome""#));
            member.say(OpCode::Text, br#"{"type":"join_room","room":"r"}"#, 1);
            assert!(member.hear().starts_with(br#"{"type":"joined""#));
            member
        };
        let members = (0..MEMBERS).map(member).collect();
        Trial {
            members,
            _running: running,
        }
    }

    fn allocations(&mut self) -> u64 {
        self.members[0].say(OpCode::Binary, b"?", 1);
        u64::from_le_bytes(self.members[0].hear().try_into().expect("a count"))
    }

    /// Allocations of the shard while the first member says `request` `TIMES` times. After each, it
    /// hears what begins with `answer` (nothing if that is empty), and the others what begins with
    /// `message`.
    fn count(&mut self, request: &str, answer: &str, message: &str) -> u64 {
        let mut counts = [0; 2];
        for count in &mut counts {
            let before = self.allocations();
            for _ in 0..TIMES {
                self.members[0].say(OpCode::Text, request.as_bytes(), 1);
                for (index, member) in self.members.iter_mut().enumerate() {
                    let expected = if index == 0 { answer } else { message };
                    let heard = (!expected.is_empty()).then(|| member.hear());
                    let heard = heard.unwrap_or_default();
                    assert!(
                        heard.starts_with(expected.as_bytes()),
                        "{}",
                        String::from_utf8_lossy(&heard)
                    );
                }
            }
            *count = self.allocations() - before;
        }
        counts[1]
    }
}

/// A request, how its answer begins, how what the other members hear of it begins, and what it
/// allocates each time.
const CASES: &[(&str, &str, &str, u64)] = &[
    (r#"{"type":"ping"}"#, r#"{"type":"pong"}"#, "", 0),
    (
        r#"{"type":"echo","id":"some id","data":{"x":[1,2,3],"text":"\u0041"}}"#,
        r#"{"type":"echo","id":"some id","data":{"x":[1,2,3]"#,
        "",
        0,
    ),
    // The frame: a buffer, and the count of those who share it. The publication that bears it to
    // the room's home keeps the data in it.
    (
        r#"{"type":"broadcast","room":"r","data":{"x":1}}"#,
        r#"{"type":"message","room":"r","from":"#,
        r#"{"type":"message","room":"r","from":"#,
        2,
    ),
    (
        r#"{"type":"broadcast","id":7,"echo":false,"room":"r","data":"text"}"#,
        r#"{"type":"ack","id":7}"#,
        r#"{"type":"message","room":"r","from":"#,
        2,
    ),
    (
        r#"{"type":"broadcast","id":8,"echo":false,"data":"to everyone"}"#,
        r#"{"type":"ack","id":8}"#,
        r#"{"type":"message","from":"#,
        2,
    ),
    // Its request is kept until the counts are there: where it waits, the list of those that wait,
    // and its id.
    (
        r#"{"type":"broadcast","id":9,"echo":false,"room":"r","report":true,"data":1}"#,
        r#"{"type":"ack","id":9,"delivered":49,"#,
        r#"{"type":"message","room":"r","from":"#,
        2 + 3,
    ),
];

#[test]
fn native_requests_allocate_what_they_seal_and_keep() {
    let mut trial = Trial::new();
    let counted = CASES.iter().map(|(request, answer, message, _)| {
        let count = trial.count(request, answer, message);
        (*request, count)
    });
    let expected = CASES
        .iter()
        .map(|(request, _, _, each)| (*request, each * TIMES));
    assert_eq!(counted.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}
