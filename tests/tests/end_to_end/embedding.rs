//! The embedding API over real sockets: state, addresses, disconnects, panics, publishes from
//! outside, and drains.

use crate::SHARDS;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Address, Admission, Answer, Application, CloseReason, Context, Frame, Handle, Message, Publish,
    Refusal, Refused, Tag, Target, Ticket,
};
use shardcast_tests::{CLOSE, Client, FIN, PATIENCE, Raw, Server, TEXT, config, frame, upgrade};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the application was told of ends, over all shards.
type Ends = Arc<Mutex<Vec<CloseReason>>>;

/// Does what a text message says.
struct Desk {
    ends: Ends,
    /// A panic is answered instead of closing.
    forgives: bool,
}

/// State of a connection: what it said so far.
struct Notes {
    said: Vec<String>,
}

impl Application for Desk {
    type Session = Notes;

    fn connect(&mut self, cx: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<Notes> {
        match request.query() {
            Some("panic") => panic!("as the client wished"),
            Some("refuse") => {
                Admission::Refuse(Refusal::new(403, format!("not you, {}", cx.peer())))
            }
            _ => Admission::Accept(Notes { said: Vec::new() }.into()),
        }
    }

    fn message(&mut self, cx: &mut Context<'_>, notes: &mut Notes, message: Message<'_>) {
        let Message::Text(text) = message else { return };
        notes.said.push(text.to_owned());
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["notes"] => cx.send(Kind::Text, notes.said.join(",").as_bytes()),
            ["peer"] => cx.send(Kind::Text, cx.peer().to_string().as_bytes()),
            ["address"] => {
                let Address { shard, ticket } = cx.address();
                let text = format!("{shard} {} {}", ticket.slot, ticket.generation);
                cx.send(Kind::Text, text.as_bytes());
            }
            ["panic"] => panic!("as the client wished"),
            ["close", code, reason] => cx.close(code_of(code), reason),
            ["disconnect", shard, slot, generation] => {
                cx.disconnect(
                    address_of(shard, slot, generation),
                    code_of("4001"),
                    "sent away",
                );
            }
            ["tell", shard, slot, generation, text] => {
                let frame = Frame::new(Kind::Text, text.as_bytes());
                cx.send_to(address_of(shard, slot, generation), frame);
            }
            ["join", room] => cx.join(room, Tag(7)).unwrap(),
            ["leave", room] => cx.leave(room, Tag(8)).unwrap(),
            ["publish", room, text] => {
                let publish = Publish::new(Frame::new(Kind::Text, text.as_bytes()));
                cx.publish(Target::Room(room), publish.report(Tag(9)))
                    .unwrap();
            }
            _ => cx.send(Kind::Text, b"what?"),
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, _notes: &mut Notes, tag: Tag, answer: Answer) {
        let text = match answer {
            Answer::Joined { room, members, .. } => format!("{} joined {room} {members}", tag.0),
            Answer::Left { room } => format!("{} left {room}", tag.0),
            Answer::Reported(report) => format!("{} reported {}", tag.0, report.delivered),
            Answer::Refused { room, error } => format!("{} refused {room}: {error}", tag.0),
            Answer::Listed(listing) => format!("{} listed {}", tag.0, listing.total),
            other => {
                unreachable!("no connection asks for it: {other:?}")
            }
        };
        cx.send(Kind::Text, text.as_bytes());
    }

    fn draining(&mut self, cx: &mut Context<'_>, _notes: &mut Notes) {
        cx.send(Kind::Text, b"we close");
    }

    fn panicked(&mut self, cx: &mut Context<'_>, _notes: &mut Notes, message: Option<Message<'_>>) {
        match message {
            Some(message) if self.forgives => {
                cx.send(Kind::Text, &[b"sorry: ", message.bytes()].concat())
            }
            _ => cx.close(CloseCode::INTERNAL, "handler failed"),
        }
    }

    fn closed(&mut self, _cx: &mut Context<'_>, _notes: Notes, reason: CloseReason) {
        self.ends.lock().unwrap().push(reason);
    }
}

fn code_of(text: &str) -> CloseCode {
    CloseCode::new(text.parse().unwrap()).unwrap()
}

fn address_of(shard: &str, slot: &str, generation: &str) -> Address {
    Address {
        shard: shard.parse().unwrap(),
        ticket: Ticket {
            slot: slot.parse().unwrap(),
            generation: generation.parse().unwrap(),
        },
    }
}

fn desk(shards: usize, forgives: bool) -> (Server, Ends) {
    let ends = Ends::default();
    let told = ends.clone();
    let server = Server::with(config(shards), move |_| Desk {
        ends: told.clone(),
        forgives,
    });
    (server, ends)
}

#[test]
fn every_connection_has_its_own_state_and_its_own_peer() {
    for shards in SHARDS {
        let (server, _) = desk(shards, false);
        let mut clients: Vec<Client> = (0..10).map(|_| Client::plain(&server)).collect();
        for (index, client) in clients.iter_mut().enumerate() {
            let peer = client.stream().local_addr().unwrap().to_string();
            client.check("peer", &peer);
            client.check(&format!("I am {index}"), "what?");
        }
        for (index, client) in clients.iter_mut().enumerate() {
            client.check("notes", &format!("peer,I am {index},notes"));
        }
        // A slot's next user starts with nothing.
        clients.into_iter().for_each(Client::leave);
        server.wait_until_empty();
        for _ in 0..10 {
            Client::plain(&server).check("notes", "notes");
        }
    }
}

#[test]
fn refusals_and_panics_while_connecting() {
    let (server, ends) = desk(2, false);
    let mut refused = Raw::connect(&server);
    refused.send(upgrade().replace("/ws", "/ws?refuse").as_bytes());
    assert!(refused.head().starts_with("HTTP/1.1 403 Forbidden\r\n"));
    assert!(
        String::from_utf8(refused.rest())
            .unwrap()
            .starts_with("not you, 127.0.0.1:")
    );
    let mut failed = Raw::connect(&server);
    failed.send(upgrade().replace("/ws", "/ws?panic").as_bytes());
    assert!(
        failed
            .head()
            .starts_with("HTTP/1.1 500 Internal Server Error\r\n")
    );
    assert_eq!(failed.rest(), b"handler failed");
    drop((refused, failed));
    Client::plain(&server).check("notes", "notes");
    server.wait_until_empty();
    assert_eq!(*ends.lock().unwrap(), [CloseReason::Lost]);
}

#[test]
fn a_panic_is_the_failure_of_one_message() {
    for shards in SHARDS {
        let (server, ends) = desk(shards, true);
        let (mut one, mut other) = (Client::plain(&server), Client::plain(&server));
        one.check("join r", "7 joined r 1");
        for panics in 1..=3 {
            one.check("panic", "sorry: panic");
            assert_eq!(server.sum(|shard| &shard.panics), panics);
        }
        // State, membership and neighbours are as before.
        one.check("notes", "join r,panic,panic,panic,notes");
        other.say("publish r hello");
        one.expect("hello");
        other.expect("9 reported 1");
        one.leave();
        other.leave();
        server.wait_until_empty();
        assert_eq!(
            *ends.lock().unwrap(),
            [CloseReason::Peer(Some(CloseCode::NORMAL)); 2]
        );

        let (server, ends) = desk(shards, false);
        let (mut one, mut other) = (Client::plain(&server), Client::plain(&server));
        one.say("panic");
        assert_eq!(one.closed(), (1011, "handler failed".to_owned()));
        other.check("notes", "notes");
        assert_eq!(
            *ends.lock().unwrap(),
            [CloseReason::Application(CloseCode::INTERNAL)]
        );
    }
}

#[test]
fn connections_reach_each_other_by_address() {
    for shards in SHARDS {
        let (server, _) = desk(shards, false);
        let mut clients: Vec<Client> = (0..3 * shards).map(|_| Client::plain(&server)).collect();
        let addresses: Vec<String> = clients
            .iter_mut()
            .map(|client| client.ask("address"))
            .collect();
        let mut teller = Client::plain(&server);
        for (client, address) in clients.iter_mut().zip(&addresses) {
            teller.say(&format!("tell {address} hello"));
            client.expect("hello");
            teller.say(&format!("disconnect {address}"));
            assert_eq!(client.closed(), (4001, "sent away".to_owned()));
            // Whoever is gone hears nothing, and whoever has its slot is somebody else.
            let mut heir = Client::plain(&server);
            teller.say(&format!("tell {address} hello"));
            teller.say(&format!("disconnect {address}"));
            teller.check("join x", "7 joined x 1");
            teller.check("publish x done", "done");
            teller.expect("9 reported 1");
            teller.check("leave x", "8 left x");
            heir.check("notes", "notes");
            heir.leave();
        }
        // Oneself, too.
        let own = teller.ask("address");
        teller.say(&format!("disconnect {own}"));
        assert_eq!(teller.closed().0, 4001);
        server.wait_until_empty();
    }
}

#[test]
fn every_end_is_told_once_with_its_reason() {
    use CloseReason::{Application, Lost, Peer, Protocol};
    let (server, ends) = desk(2, false);
    let bye = code_of("4000");
    let cases: [(CloseReason, fn(Raw)); 6] = [
        (Application(bye), |mut raw| {
            raw.say("close 4000 bye");
            let (first, payload) = raw.frame();
            assert_eq!((first, &payload[..]), (FIN | CLOSE, &b"\x0f\xa0bye"[..]));
            raw.send(&frame(FIN | CLOSE, b"\x0f\xa0"));
            raw.ended();
        }),
        (Peer(Some(bye)), |mut raw| {
            raw.send(&frame(FIN | CLOSE, b"\x0f\xa0"));
            raw.ended_by_close();
        }),
        (Peer(None), |mut raw| {
            raw.send(&frame(FIN | CLOSE, b""));
            raw.ended_by_close();
        }),
        (Lost, drop),
        (Lost, Raw::reset),
        (
            Protocol(shardcast_engine::protocol::reader::ProtocolError::TextNotUtf8),
            |mut raw| {
                raw.send(&frame(FIN | TEXT, b"\xff"));
                raw.ended_by_close();
            },
        ),
    ];
    for (reason, end) in cases {
        let mut raw = Raw::upgraded(&server);
        raw.say("join r");
        assert_eq!(raw.hear(), "7 joined r 1");
        end(raw);
        server.wait_until_empty();
        assert_eq!(std::mem::take(&mut *ends.lock().unwrap()), [reason]);
    }
}

fn publish(handle: &Handle, to: Target<'_>, text: &str) -> Result<(), Refused> {
    handle.publish(to, Publish::new(Frame::new(Kind::Text, text.as_bytes())))
}

#[test]
fn others_publish_from_outside() {
    const MESSAGES: usize = 500;
    for shards in SHARDS {
        let (server, _) = desk(shards, false);
        let mut clients: Vec<Client> = (0..4 * shards).map(|_| Client::plain(&server)).collect();
        for (index, client) in clients.iter_mut().enumerate() {
            client.check("join r", &format!("7 joined r {}", index + 1));
        }
        let mut outsider = Client::plain(&server);
        let handle = server.handle();
        // A full queue says so; nothing was sent then.
        for number in 0..MESSAGES {
            let text = number.to_string();
            server.wait_until("space", |_| {
                publish(&handle, Target::Room("r"), &text).is_ok()
            });
        }
        server.wait_until("space", |_| {
            publish(&handle, Target::Everyone, "all").is_ok()
        });
        for client in &mut clients {
            let mut heard: Vec<String> = (0..=MESSAGES).map(|_| client.hear()).collect();
            // Everyone's home may be another shard than the room's.
            heard.retain(|text| text != "all");
            let expected: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
            assert_eq!(heard, expected);
        }
        outsider.expect("all");
        outsider.check("notes", "notes");
        let publish = || publish(&handle, Target::Room("r"), "all");
        assert!(server.drain(Duration::ZERO) || publish() == Err(Refused::Stopped));
    }
}

#[test]
fn a_drain_tells_everyone_and_closes_with_1001() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let address = server.address();
        let mut clients: Vec<Client> = (0..20).map(|_| Client::native(&server)).collect();
        clients.iter_mut().for_each(|client| {
            client.join("r");
        });
        // Nobody waits for one that never asks.
        let silent = Raw::connect(&server);
        let drained = std::thread::scope(|scope| {
            let drained = scope.spawn(move || server.drain(PATIENCE));
            let mut waits = Vec::new();
            for client in &mut clients {
                let closing = client.hear();
                let wait = closing
                    .strip_prefix(r#"{"type":"closing","reason":"draining","reconnect_ms":"#)
                    .and_then(|rest| rest.strip_suffix('}'));
                waits.push(wait.expect(&closing).parse::<u64>().unwrap());
                assert_eq!(client.closed(), (1001, "draining".to_owned()));
            }
            assert!(waits.iter().all(|wait| *wait <= 5000), "{waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "all at once");
            drained.join().unwrap()
        });
        assert!(drained);
        drop(silent);
        assert!(
            std::net::TcpStream::connect(address).is_err(),
            "nobody listens any more"
        );
    }
}

#[test]
fn a_drain_flushes_first_and_is_not_held_up_by_the_rude() {
    // One shard: of what passes between shards, a drain waits for nothing.
    let mut config = config(1);
    config.close_timeout = Duration::from_millis(100);
    let ends = Ends::default();
    let told = ends.clone();
    let server = Server::with(config, move |_| Desk {
        ends: told.clone(),
        forgives: false,
    });
    // Never answers the close; and something is pending for it when the drain begins.
    let mut rude = Raw::upgraded(&server);
    rude.say("join r");
    assert_eq!(rude.hear(), "7 joined r 1");
    let handle = server.handle();
    for number in 0..100 {
        assert_eq!(
            publish(&handle, Target::Room("r"), &number.to_string()),
            Ok(())
        );
    }
    assert!(server.drain(PATIENCE));
    (0..100).for_each(|number: u32| assert_eq!(rude.hear(), number.to_string()));
    assert_eq!(rude.hear(), "we close");
    assert_eq!(rude.closed(), (1001, "draining".to_owned()));
    assert_eq!(*ends.lock().unwrap(), [CloseReason::Draining]);
}

#[test]
fn a_drain_that_is_over_too_soon_says_so() {
    let server = Server::echo(config(2));
    let mut rude = Raw::upgraded(&server);
    assert!(!server.drain(Duration::from_millis(100)));
    let (first, payload) = rude.frame();
    assert_eq!((first, &payload[2..]), (FIN | CLOSE, &b"draining"[..]));
    rude.is_gone();
}

#[test]
fn a_port_belongs_to_one_engine_and_is_free_when_that_ends() {
    let server = Server::echo(config(2));
    let mut again = config(2);
    again.listeners[0].source = server.address().into();
    let refused = shardcast_engine::start(again.clone(), |_| shardcast_tests::Echo);
    match refused {
        Err(shardcast_engine::StartError::Listen { source, .. }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
        }
        other => panic!("{other:?}"),
    }
    // The first one does not mind, and its clients end with it.
    let mut clients: Vec<Raw> = (0..10).map(|_| Raw::upgraded(&server)).collect();
    clients[0].say("still here");
    assert_eq!(clients[0].hear(), "still here");
    drop(server);
    clients.iter_mut().for_each(Raw::is_gone);
    let server = Server::echo(again);
    let mut client = Client::plain(&server);
    client.check("again", "again");
}
