//! Sessions that outlive their connections: a client that comes back goes on with its rooms, its
//! identity, what the application keeps with it and what it missed, on whatever shard, once.

use crate::history::{keeping, publish};
use crate::speaker::Speaker;
use crate::{SHARDS, each, guests, told};
use serde_json::{Value, json};
use shardcast::namespace::{History, Namespace, Namespaces, PresenceOptions};
use shardcast::{App, Failure, Handle, ResumedOutcome, SessionOptions};
use shardcast_engine::SameUser;
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Server, config};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

/// The close code of a connection whose session another one goes on with.
const RESUMED: u16 = 4021;

/// What clients may do with what the application keeps of them.
#[derive(Debug)]
struct Note(Vec<u64>);

fn with_sessions(options: SessionOptions) -> App {
    let chat = keeping(History::default());
    let small = keeping(History {
        publications_max: 2,
        ..History::default()
    });
    let pair = Namespace {
        members_max: 1,
        ..Namespace::default()
    };
    let team = Namespace {
        presence_events: Some(PresenceOptions::default()),
        ..Namespace::default()
    };
    let named = [
        ("chat", chat),
        ("small", small),
        ("pair", pair),
        ("team", team),
    ];
    let app = guests()
        .namespaces(Namespaces::new(Namespace::default(), named).expect("four"))
        .sessions(options);
    let handlers = app.handlers();
    handlers
        .on("note", |cx, (number,): (u64,)| {
            match cx.metadata_mut::<Note>() {
                Some(note) => note.0.push(number),
                None => drop(cx.set_metadata(Note(vec![number]))),
            }
            Ok::<_, Failure>(cx.metadata::<Note>().map(|note| note.0.clone()))
        })
        .unwrap();
    handlers
        .on("goodbye", |cx, ()| {
            cx.end_session();
            Ok::<_, Failure>(())
        })
        .unwrap();
    app
}

fn keeping_sessions() -> App {
    with_sessions(SessionOptions {
        resume: Some(Duration::from_secs(60)),
        ..SessionOptions::default()
    })
}

/// A client that was welcomed with a token.
fn at(server: &Server, dialect: Dialect, query: &str) -> Speaker {
    Speaker::at(server.address(), dialect, query)
}

/// One on a given shard.
#[track_caller]
fn on(server: &Server, dialect: Dialect, query: &str, shard: usize) -> Speaker {
    for _ in 0..1000 {
        let speaker = at(server, dialect, query);
        if speaker.shard() == shard {
            return speaker;
        }
    }
    panic!("a shard that nobody reaches");
}

fn token(speaker: &Speaker) -> String {
    let token = speaker.welcome()["resume"].as_str().expect("a token");
    token.to_owned()
}

#[track_caller]
fn resume(speaker: &mut Speaker, token: &str, since: Value) -> Value {
    speaker.ask("resume", json!({"token": token, "since": since}))
}

/// Goes without a word.
#[track_caller]
fn cut(speaker: Speaker, server: &Server, handle: &Handle) {
    let open = server.sum(|shard| &shard.connections);
    drop(speaker);
    server.wait_until("its session waits", |server| {
        let is_gone = server.sum(|shard| &shard.connections) == open - 1;
        is_gone && count(handle, "sessions_waiting") == 1
    });
}

fn count(handle: &Handle, name: &str) -> u64 {
    let counts = handle.session_counts();
    let counts = counts.each();
    let named = counts.iter().filter(|count| count.name == name);
    named.map(|count| count.value).sum()
}

#[test]
fn a_client_goes_on_where_it_was() {
    each(keeping_sessions, |server, handle, dialect| {
        let mut publisher = at(server, dialect, "");
        let mut ann = at(server, dialect, "?user=ann");
        let welcome = ann.welcome();
        assert_eq!(welcome["resume_ms"], 60_000, "{welcome}");
        let token = token(&ann);
        assert!(token.starts_with(ann.id()) && token.len() >= 32, "{token}");
        ann.join("chat:a");
        ann.join("chat:b");
        ann.join("plain");
        ann.check("note", json!([1]), json!([1]));
        let (epoch, _) = publish(&mut publisher, "chat:a", &json!(1));
        let (other, _) = publish(&mut publisher, "chat:b", &json!(1));
        assert_eq!(
            (&ann.hear()["data"], &ann.hear()["data"]),
            (&json!(1), &json!(1))
        );
        let before = ann.id().to_owned();
        cut(ann, server, handle);
        for number in 2..=4 {
            publish(&mut publisher, "chat:a", &json!(number));
        }
        publish(&mut publisher, "chat:b", &json!(2));
        let mut back = at(server, dialect, "");
        let since = json!({"chat:a": {"epoch": epoch, "offset": 1}, "nowhere": {"offset": 7}});
        let mut resumed = resume(&mut back, &token, since);
        let rooms = resumed["rooms"].as_array_mut().expect("rooms");
        rooms.sort_by_key(|room| room["room"].as_str().map(str::to_owned));
        let expected = json!({
            "connection": back.id(), "previous": before, "user": "ann",
            "rooms": [
                {"room": "chat:a", "epoch": epoch, "offset": 4, "recovered": true},
                {"room": "chat:b", "epoch": other, "offset": 2, "recovered": false, "reason": "no_position"},
                {"room": "plain", "recovered": false, "reason": "no_history"},
            ],
        });
        assert_eq!(resumed, expected);
        for number in 2..=4 {
            let heard = back.hear();
            assert_eq!(
                (&heard["offset"], &heard["data"]),
                (&json!(number), &json!(number))
            );
        }
        publish(&mut publisher, "chat:a", &json!(5));
        assert_eq!(back.hear()["offset"], 5);
        publish(&mut publisher, "chat:b", &json!(3));
        assert_eq!(back.hear()["offset"], 3);
        back.check("note", json!([2]), json!([1, 2]));
        let status = back.ask("status", json!({}));
        assert_eq!(
            (&status["user"], &status["rooms"]),
            (&json!("ann"), &json!(["chat:a", "chat:b", "plain"]))
        );
        back.check_quiet();
    });
}

#[test]
fn a_token_is_good_once() {
    each(keeping_sessions, |server, handle, dialect| {
        let mut ann = at(server, dialect, "?user=ann");
        ann.ask("join_room", json!({"rooms": ["chat:a", "chat:b", "plain"]}));
        ann.check("note", json!([1]), json!([1]));
        let token = token(&ann);
        cut(ann, server, handle);
        let mut back = at(server, dialect, "");
        assert_eq!(resume(&mut back, &token, Value::Null)["user"], "ann");
        back.check("note", json!([2]), json!([1, 2]));
        // Its own token is good for the next time, and the old one for nothing.
        let next = self::token(&back);
        cut(back, server, handle);
        let mut third = at(server, dialect, "");
        assert_eq!(
            resume(&mut third, &token, Value::Null)["error"],
            "no_session"
        );
        let resumed = resume(&mut third, &next, Value::Null);
        assert_eq!(
            resumed["rooms"].as_array().map(Vec::len),
            Some(3),
            "{resumed}"
        );
        third.check("note", json!([3]), json!([1, 2, 3]));
        assert_eq!(count(handle, "sessions_resumed"), 2);
        assert_eq!(count(handle, "sessions_refused"), 1);
    });
}

#[test]
fn a_connection_that_was_thought_to_be_alive_is_taken_over() {
    each(keeping_sessions, |server, _, dialect| {
        let mut ann = at(server, dialect, "?user=ann");
        let mut bob = at(server, dialect, "?user=bob");
        bob.join("team:a");
        let show = json!({"room": "team:a", "presence": {"name": "Ann"}});
        ann.ask("join_room", show);
        assert_eq!(bob.hear()["event"], "join");
        ann.check("note", json!([7]), json!([7]));
        let mut back = at(server, dialect, "?user=ann");
        let resumed = resume(&mut back, &token(&ann), json!({}));
        assert_eq!(resumed["previous"], ann.id(), "{resumed}");
        assert_eq!(ann.client.closed().0, RESUMED);
        back.check("note", json!([8]), json!([7, 8]));
        // The others see one member that comes back, perhaps after they saw it away.
        let mut heard = bob.hear();
        if heard["event"] == "away" {
            heard = bob.hear();
        }
        let expected = json!({
            "type": "presence", "room": "team:a", "event": "back", "connection": back.id(),
            "was": ann.id(), "user": "ann", "data": {"name": "Ann"},
        });
        assert_eq!(heard, expected);
        bob.check_quiet();
        let members = bob.ask("presence", json!({"room": "team:a"}));
        assert_eq!(members["total"], 2, "{members}");
    });
}

/// Whoever is no user is away, and comes back as itself.
#[test]
fn presence_knows_who_comes_back() {
    each(keeping_sessions, |server, handle, dialect| {
        let mut bob = at(server, dialect, "?user=bob");
        bob.join("team:a");
        let mut nobody = at(server, dialect, "");
        let show = json!({"room": "team:a", "presence": 7});
        nobody.ask("join_room", show);
        let (first, token) = (nobody.id().to_owned(), token(&nobody));
        assert_eq!(bob.hear()["event"], "join");
        cut(nobody, server, handle);
        let away = bob.hear();
        assert_eq!(
            (&away["event"], &away["connection"]),
            (&json!("away"), &json!(first))
        );
        let mut back = at(server, dialect, "");
        resume(&mut back, &token, Value::Null);
        let expected = json!({
            "type": "presence", "room": "team:a", "event": "back", "connection": back.id(),
            "was": first, "user": null, "data": 7,
        });
        bob.expect(&expected);
        // A goodbye is the end of it.
        let second = back.id().to_owned();
        back.client.leave();
        let left = bob.hear();
        assert_eq!(
            (&left["event"], &left["connection"]),
            (&json!("leave"), &json!(second))
        );
    });
}

#[test]
fn there_is_no_session_for_others() {
    each(keeping_sessions, |server, _, dialect| {
        let mut bob = at(server, dialect, "?user=bob");
        let mut refused = |token: &str| {
            bob.check_refused("resume", json!({"token": token}), "no_session");
        };
        let ann = at(server, dialect, "?user=ann");
        let known = token(&ann);
        let wrong = match known.strip_suffix('0') {
            Some(start) => format!("{start}1"),
            None => format!("{}0", &known[..known.len() - 1]),
        };
        let far = known.replacen(&known[..known.find('-').unwrap()], "ff", 1);
        for token in [
            "",
            "nonsense",
            ann.id(),
            &wrong,
            &far,
            &known.to_uppercase(),
            &known,
        ] {
            refused(token);
        }
        let own = token(&bob);
        bob.check_refused("resume", json!({"token": own}), "no_session");
        bob.check_refused("resume", json!({}), "bad_request");
        bob.check_refused("resume", json!({"token": own, "since": 7}), "bad_request");
        let twice: serde_json::Map<String, Value> = (0..200)
            .map(|number| (format!("r{number}"), json!({"offset": 1})))
            .collect();
        bob.check_refused(
            "resume",
            json!({"token": known, "since": twice}),
            "bad_request",
        );
        // It is there all the while, for whom it is.
        let mut back = at(server, dialect, "?user=ann");
        assert_eq!(resume(&mut back, &known, Value::Null)["user"], "ann");
        // What several sessions have is put together: those of attempts that were lost, mostly.
        let mut third = at(server, dialect, "?user=ann");
        third.join("plain");
        let of_third = token(&third);
        let both = resume(&mut back, &of_third, Value::Null);
        assert_eq!(both["rooms"][0]["room"], "plain", "{both}");
        assert_eq!(third.client.closed().0, RESUMED);
    });
}

/// With these options off, there is no trace of it.
#[test]
fn without_sessions_nothing_is_said_of_them() {
    each(guests, |server, handle, dialect| {
        let mut ann = at(server, dialect, "?user=ann");
        let welcome = ann.welcome();
        assert!(welcome.get("resume").is_none() && welcome.get("resume_ms").is_none());
        let token = format!("{}-{}", ann.id(), "0".repeat(32));
        ann.check_refused("resume", json!({"token": token}), "no_session");
        drop(ann);
        server.wait_until_empty();
        assert_eq!(count(handle, "sessions_waiting"), 0);
    });
}

/// Which ends leave a session, and which end it.
#[test]
fn who_says_goodbye_has_gone() {
    let close = |code: u16| CloseFrame {
        code: CloseCode::from(code),
        reason: "".into(),
    };
    for (frame, stays) in [
        (Some(close(1000)), false),
        (None, false),
        (Some(close(1001)), true),
        (Some(close(3000)), true),
    ] {
        each(keeping_sessions, |server, _, dialect| {
            let mut ann = at(server, dialect, "?user=ann");
            let token = token(&ann);
            ann.client.send(Message::Close(frame.clone()));
            while let Ok(message) = ann.client.try_hear() {
                assert!(matches!(message, Message::Close(_)), "{message:?}");
            }
            server.wait_until_empty();
            let mut back = at(server, dialect, "?user=ann");
            let resumed = resume(&mut back, &token, Value::Null);
            assert_eq!(
                resumed.get("error").is_none(),
                stays,
                "{frame:?}: {resumed}"
            );
        });
    }
    // The application can end it, too, and leave the connection.
    each(keeping_sessions, |server, _, dialect| {
        let mut ann = at(server, dialect, "?user=ann");
        let token = token(&ann);
        ann.check("goodbye", Value::Null, Value::Null);
        let mut back = at(server, dialect, "?user=ann");
        back.check_refused("resume", json!({"token": token}), "no_session");
        ann.check_quiet();
        drop(ann);
        server.wait_until("one is left", |server| {
            server.sum(|shard| &shard.connections) == 1
        });
        back.check_refused("resume", json!({"token": token}), "no_session");
    });
}

#[test]
fn what_is_lost_of_a_room_is_said() {
    each(keeping_sessions, |server, handle, dialect| {
        let mut publisher = at(server, dialect, "");
        let mut ann = at(server, dialect, "");
        for room in ["small:a", "chat:a", "pair:a"] {
            ann.join(room);
        }
        let (small, _) = publish(&mut publisher, "small:a", &json!(1));
        ann.hear();
        let token = token(&ann);
        cut(ann, server, handle);
        for number in 2..=5 {
            publish(&mut publisher, "small:a", &json!(number));
        }
        let mut other = at(server, dialect, "");
        other.join("pair:a");
        let mut back = at(server, dialect, "");
        // In a room already, by itself.
        back.join("chat:a");
        let since = json!({
            "small:a": {"epoch": small, "offset": 1},
            "chat:a": {"epoch": "", "offset": 0},
            "pair:a": {"offset": 0},
        });
        let resumed = resume(&mut back, &token, since);
        let room = |name: &str| {
            let rooms = resumed["rooms"].as_array().expect("rooms");
            let found = rooms.iter().find(|room| room["room"] == name);
            found.unwrap_or_else(|| panic!("{name}: {resumed}")).clone()
        };
        assert_eq!(
            room("small:a"),
            json!({"room": "small:a", "epoch": small, "offset": 5, "recovered": false, "reason": "trimmed_by_size"})
        );
        let joined = room("chat:a");
        assert_eq!(
            (&joined["recovered"], &joined["reason"]),
            (&json!(false), &json!("joined_before"))
        );
        assert_eq!(
            room("pair:a"),
            json!({"room": "pair:a", "joined": false, "code": "room_full"})
        );
        publish(&mut publisher, "small:a", &json!(6));
        assert_eq!(back.hear()["offset"], 6);
        back.check_quiet();
    });
}

/// Of many who want one session exactly one gets it; and the session is whole, whoever it is.
#[test]
fn of_many_who_race_one_goes_on() {
    for shards in [1, 2, 4] {
        let (server, _) = Server::of(keeping_sessions(), config(shards));
        for round in 0..20 {
            let dialect = Dialect::OWN[round % 3];
            let mut ann = at(&server, dialect, "?user=ann");
            ann.join("chat:a");
            ann.check("note", json!([round]), json!([round]));
            let token = token(&ann);
            // Some find a connection that lives, some one that is gone, some one that goes.
            let kept = (round % 2 == 0).then_some(ann);
            let racers: Vec<_> = (0..6)
                .map(|number| at(&server, Dialect::OWN[number % 3], ""))
                .collect();
            let threads: Vec<_> = racers
                .into_iter()
                .map(|mut racer| {
                    let token = token.clone();
                    thread::spawn(move || {
                        let answer = resume(&mut racer, &token, Value::Null);
                        (answer, racer)
                    })
                })
                .collect();
            let ended: Vec<_> = threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect();
            let (mut won, lost): (Vec<_>, Vec<_>) = ended
                .into_iter()
                .partition(|(answer, _)| answer.get("error").is_none());
            assert!(won.len() <= 1, "round {round}: a fork");
            for (answer, racer) in &lost {
                assert_eq!(answer["error"], "no_session", "{}", racer.id());
            }
            // A connection that was about to go may have been asked before it had gone.
            let (answer, winner) = won
                .first_mut()
                .unwrap_or_else(|| panic!("round {round}: nobody"));
            assert_eq!(answer["rooms"][0]["room"], "chat:a", "{answer}");
            winner.check("note", json!([99]), json!([round, 99]));
            if let Some(mut ann) = kept {
                assert_eq!(ann.client.closed().0, RESUMED);
            }
            winner.check_quiet();
            drop(won);
            drop(lost);
        }
        server.wait_until_empty();
    }
}

#[test]
fn it_goes_on_from_every_shard_to_every_other() {
    const SHARDS: usize = 3;
    let (server, _) = Server::of(keeping_sessions(), config(SHARDS));
    for from in 0..SHARDS {
        for to in 0..SHARDS {
            let dialect = Dialect::OWN[(from + to) % 3];
            let mut ann = on(&server, dialect, "?user=ann", from);
            ann.join("chat:a");
            let token = token(&ann);
            drop(ann);
            let mut back = on(&server, dialect, "", to);
            let resumed = resume(&mut back, &token, Value::Null);
            assert_eq!(
                (&resumed["user"], back.shard()),
                (&json!("ann"), to),
                "{resumed}"
            );
            back.client.leave();
        }
    }
    server.wait_until_empty();
}

#[test]
fn sessions_end_when_their_time_is_over() {
    let app = || {
        with_sessions(SessionOptions {
            resume: Some(Duration::from_secs(1)),
            ..SessionOptions::default()
        })
    };
    for shards in SHARDS {
        let (server, handle) = Server::of(app(), config(shards));
        let ann = at(&server, Dialect::NativeJson, "?user=ann");
        let token = token(&ann);
        drop(ann);
        // Nothing else happens: the shard wakes for it.
        server.wait_until("its end", |_| count(&handle, "sessions_lost") == 1);
        assert_eq!(count(&handle, "sessions_waiting"), 0);
        assert_eq!(count(&handle, "session_bytes"), 0);
        let mut back = at(&server, Dialect::NativeJson, "?user=ann");
        back.check_refused("resume", json!({"token": token}), "no_session");
    }
}

#[test]
fn the_application_hears_of_it() {
    let (sender, receiver) = mpsc::sync_channel(16);
    let app = || {
        let sender = sender.clone();
        keeping_sessions().on_resumed(move |cx, resumed| {
            let rooms = resumed.rooms.iter();
            let rooms = rooms.map(|room| (room.room.to_string(), room.outcome));
            let user = cx.user().map(str::to_owned);
            sender
                .send((user, resumed.previous, rooms.collect::<Vec<_>>()))
                .expect("the test waits");
        })
    };
    each(app, |server, handle, dialect| {
        let mut ann = at(server, dialect, "?user=ann");
        let joined = ann.ask("join_room", json!({"room": "chat:a"}));
        let (token, id) = (token(&ann), ann.id().to_owned());
        cut(ann, server, handle);
        let mut back = at(server, dialect, "");
        let since = json!({"chat:a": {"epoch": joined["epoch"], "offset": 0}});
        resume(&mut back, &token, since);
        let (user, previous, rooms) = told(&receiver);
        assert_eq!((user.as_deref(), previous.to_string()), (Some("ann"), id));
        assert_eq!(rooms, [("chat:a".to_owned(), ResumedOutcome::Recovered)]);
        // One without rooms as well.
        let nobody = at(server, dialect, "");
        let token = self::token(&nobody);
        cut(nobody, server, handle);
        let mut back = at(server, dialect, "");
        let resumed = resume(&mut back, &token, Value::Null);
        assert_eq!(resumed["rooms"], json!([]));
        assert_eq!(told(&receiver).2, []);
    });
}

/// Under `replace` a client that comes back replaces its old connection first, and has its session
/// all the same.
#[test]
fn a_replaced_connection_leaves_its_session() {
    for shards in SHARDS {
        let mut config = config(shards);
        config.same_user = SameUser::Replace { connections_max: 1 };
        let (server, _) = Server::of(keeping_sessions(), config);
        let mut ann = at(&server, Dialect::NativeJson, "?user=ann");
        ann.join("chat:a");
        let token = token(&ann);
        let mut back = at(&server, Dialect::NativeJson, "?user=ann");
        assert_eq!(ann.client.closed().0, 4020);
        let resumed = resume(&mut back, &token, Value::Null);
        assert_eq!(resumed["rooms"][0]["room"], "chat:a", "{resumed}");
        back.check_quiet();
        drop(back);
        server.wait_until_empty();
    }
}
