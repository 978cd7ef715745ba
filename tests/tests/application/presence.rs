//! Presence as clients of every dialect meet it: who joins, leaves, is away and comes back, what
//! each shows, counts where there are many, and pages. And that nobody is left behind, however a
//! connection ends.

use crate::speaker::Speaker;
use crate::{SHARDS, each, each_with, guests};
use rmpv::Value as Pack;
use serde_json::{Value, json};
use shardcast::App;
use shardcast::namespace::{
    ControlPolicy, Namespace, Namespaces, PresenceOf, PresenceOptions, Who,
};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Raw, Server, config};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

/// A namespace whose rooms tell of their members, with the defaults but for this.
pub(crate) fn telling(change: impl FnOnce(&mut PresenceOptions)) -> Namespace {
    let mut options = PresenceOptions {
        grace: LONG,
        ..PresenceOptions::default()
    };
    change(&mut options);
    Namespace {
        presence_events: Some(options),
        ..Namespace::default()
    }
}

/// Clients say who they are; `team` tells of its members, `plain` does not, and others come with
/// them.
pub(crate) fn teams(others: &[(&str, Namespace)]) -> App {
    let own = [("team", telling(|_| {})), ("plain", Namespace::default())];
    let named = others.iter().cloned().chain(own);
    let namespaces = Namespaces::new(Namespace::default(), named).expect("they are good");
    guests().namespaces(namespaces)
}

/// An event about a connection in a room.
fn event(room: &str, what: &str, connection: &str, user: Option<&str>, data: Value) -> Value {
    let mut event = json!({
        "type": "presence", "room": room, "event": what, "connection": connection, "user": user,
    });
    if !data.is_null() {
        event["data"] = data;
    }
    event
}

/// The same about a user with all its connections.
fn user_event(room: &str, what: &str, user: &str, data: Value) -> Value {
    let mut event = event(room, what, "", Some(user), data);
    event
        .as_object_mut()
        .expect("it is one")
        .remove("connection");
    event
}

/// Joins and shows something.
#[track_caller]
fn join_showing(speaker: &mut Speaker, room: &str, data: Value) -> Value {
    let joined = speaker.ask("join_room", json!({"room": room, "presence": data}));
    assert_eq!(joined["room"], room, "{joined}");
    joined
}

/// All members, from one page.
#[track_caller]
fn members(speaker: &mut Speaker, room: &str) -> Vec<Value> {
    let page = speaker.ask("presence", json!({"room": room}));
    let members = page["members"]
        .as_array()
        .unwrap_or_else(|| panic!("{page}"));
    assert_eq!(
        (&page["total"], page.get("cursor")),
        (&json!(members.len()), None),
        "{page}"
    );
    members.clone()
}

#[test]
fn who_joins_and_leaves_is_told_in_the_order_of_the_room() {
    each(
        || teams(&[]),
        |server, _, dialect| {
            let room = "team:a";
            let mut ann = Speaker::at(server.address(), dialect, "?user=ann");
            let mut bob = Speaker::new(server, dialect);
            let joined = join_showing(&mut ann, room, json!({"name": "Ann", "n": [1, 2.5, null]}));
            assert_eq!(joined, json!({"room": room, "members": 1}));
            let shown = json!("I am Bob");
            join_showing(&mut bob, room, shown.clone());
            bob.check(
                "publish",
                json!({"room": room, "data": 1, "echo": false}),
                json!({}),
            );
            bob.check("leave_room", json!({"room": room}), json!({"room": room}));
            bob.check("publish", json!({"room": room, "data": 2}), json!({}));
            let id = bob.id().to_owned();
            let said = |data| json!({"type": "message", "room": room, "from": id, "data": data});
            ann.expect(&event(room, "join", &id, None, shown.clone()));
            ann.expect(&said(1));
            ann.expect(&event(room, "leave", &id, None, shown));
            ann.expect(&said(2));
            // Several rooms at once, of which others tell nothing.
            let rooms = json!(["team:b", room]);
            bob.ask("join_room", json!({"rooms": rooms, "presence": false}));
            ann.expect(&event(room, "join", &id, None, json!(false)));
            bob.check("rooms", json!({}), json!({"rooms": [room, "team:b"]}));
            // Joining again changes nothing.
            let again = join_showing(&mut bob, room, json!("another"));
            assert_eq!(again["members"], 2);
            let found: BTreeSet<String> = members(&mut bob, room)
                .iter()
                .map(Value::to_string)
                .collect();
            let expected = [
                json!({"connection": ann.id(), "user": "ann", "data": {"name": "Ann", "n": [1, 2.5, null]}}),
                json!({"connection": bob.id(), "user": null, "data": false}),
            ];
            assert_eq!(found, expected.iter().map(Value::to_string).collect());
            // Who shows nothing is told without data.
            bob.check("leave_room", json!({"room": room}), json!({"room": room}));
            ann.expect(&event(room, "leave", &id, None, json!(false)));
            bob.join(room);
            ann.expect(&event(room, "join", &id, None, Value::Null));
            // Nobody who is no user can come back.
            drop(bob);
            ann.expect(&event(room, "leave", &id, None, Value::Null));
            ann.check_quiet();
        },
    );
}

#[test]
fn a_user_that_is_lost_is_away_and_comes_back() {
    each(
        || teams(&[]),
        |server, _, dialect| {
            let room = "team:a";
            let at = |query| Speaker::at(server.address(), dialect, query);
            let mut ann = at("?user=ann");
            ann.join(room);
            let mut bob = at("?user=bob");
            join_showing(&mut bob, room, json!({"window": 1}));
            let first = bob.id().to_owned();
            ann.expect(&event(
                room,
                "join",
                &first,
                Some("bob"),
                json!({"window": 1}),
            ));
            bob.client.leave();
            ann.expect(&event(
                room,
                "away",
                &first,
                Some("bob"),
                json!({"window": 1}),
            ));
            let away = json!({
                "connection": first, "user": "bob", "data": {"window": 1}, "away": true,
            });
            assert!(members(&mut ann, room).contains(&away));
            let mut bob = at("?user=bob");
            let joined = join_showing(&mut bob, room, json!({"window": 2}));
            // Who is away is no member.
            assert_eq!(joined["members"], 2);
            let second = bob.id().to_owned();
            let mut back = event(room, "back", &second, Some("bob"), json!({"window": 2}));
            back["was"] = json!(first);
            ann.expect(&back);
            let here = json!({"connection": second, "user": "bob", "data": {"window": 2}});
            let found = members(&mut ann, room);
            assert!(found.len() == 2 && found.contains(&here), "{found:?}");
            bob.check_quiet();
            // Whoever leaves by itself has left.
            bob.check("leave_room", json!({"room": room}), json!({"room": room}));
            ann.expect(&event(
                room,
                "leave",
                &second,
                Some("bob"),
                json!({"window": 2}),
            ));
            assert_eq!(members(&mut ann, room).len(), 1);
            ann.check_quiet();
        },
    );
}

#[test]
fn who_stays_away_has_left() {
    let app = || {
        teams(&[
            (
                "brief",
                telling(|options| options.grace = Duration::from_millis(200)),
            ),
            ("never", telling(|options| options.grace = Duration::ZERO)),
        ])
    };
    each(app, |server, _, dialect| {
        let at = |query| Speaker::at(server.address(), dialect, query);
        let mut ann = at("?user=ann");
        for (room, events) in [
            ("brief:a", &["join", "away", "leave"] as &[_]),
            ("never:a", &["join", "leave"]),
        ] {
            ann.join(room);
            let mut bob = at("?user=bob");
            bob.join(room);
            let id = bob.id().to_owned();
            drop(bob);
            for what in events {
                ann.expect(&event(room, what, &id, Some("bob"), Value::Null));
            }
            assert_eq!(members(&mut ann, room).len(), 1);
        }
        // Nor does anything stay where nobody is left to be told.
        drop(ann);
        let mut nobody = at("");
        let is_gone = |server: &Server| server.sum(|shard| &shard.presences) == 0;
        server.wait_until("the end of the grace", is_gone);
        assert_eq!(members(&mut nobody, "brief:a"), [] as [Value; 0]);
    });
}

/// One that came back does not leave when the time is over that it had.
#[test]
fn coming_back_ends_the_grace() {
    let brief = telling(|options| options.grace = Duration::from_secs(1));
    let app = || teams(&[("brief", brief.clone())]);
    for shards in SHARDS {
        let (server, _) = Server::of(app(), config(shards));
        let room = "brief:a";
        let at = |query| Speaker::at(server.address(), Dialect::NativeJson, query);
        let mut ann = at("?user=ann");
        ann.join(room);
        // Until the machine is quick enough once.
        let mut back = loop {
            let mut bob = at("?user=bob");
            bob.join(room);
            ann.hear();
            drop(bob);
            assert_eq!(ann.hear()["event"], "away");
            let mut bob = at("?user=bob");
            bob.join(room);
            match ann.hear()["event"].as_str() {
                Some("back") => break bob,
                Some("leave") => assert_eq!(ann.hear()["event"], "join"),
                other => panic!("{other:?}"),
            }
            bob.check("leave_room", json!({"room": room}), json!({"room": room}));
            assert_eq!(ann.hear()["event"], "leave");
        };
        // Another goes later and has left later.
        let mut eve = at("?user=eve");
        eve.join(room);
        drop(eve);
        for what in ["join", "away", "leave"] {
            let heard = ann.hear();
            assert_eq!(
                (&heard["event"], &heard["user"]),
                (&json!(what), &json!("eve"))
            );
        }
        assert_eq!(members(&mut ann, room).len(), 2);
        assert_eq!(back.hear()["user"], "eve");
    }
}

#[test]
fn a_user_is_one_member_with_all_its_connections() {
    let users = telling(|options| options.of = PresenceOf::Users);
    each(
        || teams(&[("users", users.clone())]),
        |server, _, dialect| {
            let room = "users:a";
            let at = |query| Speaker::at(server.address(), dialect, query);
            let (mut ann, mut nobody) = (at("?user=ann"), at(""));
            ann.join(room);
            join_showing(&mut nobody, room, json!(0));
            ann.expect(&event(room, "join", nobody.id(), None, json!(0)));
            let mut windows = [(); 3].map(|()| at("?user=bob"));
            join_showing(&mut windows[0], room, json!(1));
            ann.expect(&user_event(room, "join", "bob", json!(1)));
            join_showing(&mut windows[1], room, json!(2));
            windows[2].join(room);
            let found: BTreeSet<String> = (members(&mut ann, room).iter())
                .map(Value::to_string)
                .collect();
            let expected = [
                json!({"user": "ann"}),
                json!({"user": "bob", "data": 2}),
                json!({"connection": nobody.id(), "user": null, "data": 0}),
            ];
            assert_eq!(found, expected.iter().map(Value::to_string).collect());
            // The last one that goes is told, as it goes.
            let [first, second, mut last] = windows;
            drop(first);
            second.client.leave();
            // Joining again tells how many connections the home knows.
            server.wait_until("two windows are gone", |_| ann.join(room) == 3);
            ann.check_quiet();
            last.check("leave_room", json!({"room": room}), json!({"room": room}));
            ann.expect(&user_event(room, "leave", "bob", json!(2)));
            join_showing(&mut last, room, json!(3));
            ann.expect(&user_event(room, "join", "bob", json!(3)));
            drop(last);
            ann.expect(&user_event(room, "away", "bob", json!(3)));
            let away = json!({"user": "bob", "data": 3, "away": true});
            assert!(members(&mut ann, room).contains(&away));
            let mut window = at("?user=bob");
            window.join(room);
            ann.expect(&user_event(room, "back", "bob", json!(3)));
            ann.check_quiet();
            window.check_quiet();
        },
    );
}

#[test]
fn many_members_are_counted() {
    let few = telling(|options| options.events_members_max = 2);
    let none = telling(|options| options.events_members_max = 0);
    each(
        || teams(&[("few", few.clone()), ("none", none.clone())]),
        |server, _, dialect| {
            let room = "few:a";
            let mut ann = Speaker::new(server, dialect);
            ann.join(room);
            let mut all = Vec::new();
            for number in 2..=9 {
                let mut one = Speaker::new(server, dialect);
                assert_eq!(one.join(room), number);
                all.push(one);
            }
            ann.expect(&event(room, "join", all[0].id(), None, Value::Null));
            let mut last = 2;
            while last < 9 {
                let heard = ann.hear();
                let members = heard["members"].as_u64().unwrap_or_default();
                assert_eq!(
                    heard,
                    json!({"type": "presence", "room": room, "event": "count", "members": members})
                );
                assert!(members > last, "{members} after {last}");
                last = members;
            }
            // Down to two there are counts, and then a name.
            let stays = all.remove(0);
            let leaves = all[6].id().to_owned();
            for mut one in all {
                one.check("leave_room", json!({"room": room}), json!({"room": room}));
            }
            loop {
                let heard = ann.hear();
                if heard["event"] == "leave" {
                    assert_eq!(heard, event(room, "leave", &leaves, None, Value::Null));
                    break;
                }
                let members = heard["members"].as_u64().unwrap_or_default();
                assert!(heard["event"] == "count" && members < 9, "{heard}");
            }
            assert_eq!(members(&mut ann, room).len(), 2);
            drop(stays);
            // Where the limit is none, even the first is counted; it hears so itself.
            let mut alone = Speaker::new(server, dialect);
            alone.join("none:a");
            alone.expect(&json!({
                "type": "presence", "room": "none:a", "event": "count", "members": 1,
            }));
        },
    );
}

#[test]
fn pages_bring_each_member_once() {
    each(
        || teams(&[]),
        |server, _, dialect| {
            let room = "team:a";
            let mut all = Vec::new();
            for number in 0..10 {
                let query = match number % 2 {
                    0 => String::new(),
                    _ => format!("?user=u{number}"),
                };
                let mut one = Speaker::at(server.address(), dialect, &query);
                join_showing(&mut one, room, json!(number));
                all.push(one);
            }
            let mut asks = Speaker::new(server, dialect);
            let (mut found, mut lens) = (Vec::new(), Vec::new());
            let mut cursor = Value::Null;
            loop {
                let asked = json!({"room": room, "limit": 3, "cursor": cursor});
                let page = asks.ask("presence", asked);
                assert_eq!(page["total"], 10, "{page}");
                let members = page["members"].as_array().expect("a list");
                lens.push(members.len());
                found.extend(members.iter().map(|member| member["data"].as_u64()));
                cursor = page["cursor"].clone();
                if cursor.is_null() {
                    break;
                }
                if lens.len() == 2 {
                    // Where a page begins need not be there any more.
                    let last = found.last().copied().flatten().expect("a number");
                    let gone = &mut all[last as usize];
                    gone.check("leave_room", json!({"room": room}), json!({"room": room}));
                    join_showing(gone, room, json!(last));
                }
            }
            assert_eq!(lens, [3, 3, 3, 1]);
            let each: BTreeSet<_> = found.iter().flatten().collect();
            assert_eq!((found.len(), each.len()), (10, 10), "{found:?}");
            for (limit, len, has_more) in [
                (json!(0), 0, false),
                (json!(9), 9, true),
                (json!(10), 10, false),
                (json!(4_000_000_000_u32), 10, false),
                (Value::Null, 10, false),
            ] {
                let page = asks.ask("presence", json!({"room": room, "limit": limit}));
                let members = page["members"].as_array().expect("a list");
                let more = page["cursor"].is_string();
                assert_eq!((members.len(), more), (len, has_more), "{limit}: {page}");
                assert_eq!(page["total"], 10);
            }
            for cursor in ["", "c", "u", "c0-1", "x0-1-2", &"u".repeat(257)] {
                let asked = json!({"room": room, "cursor": cursor});
                asks.check_refused("presence", asked, "bad_request");
            }
            asks.check(
                "presence",
                json!({"room": "team:none"}),
                json!({"room": "team:none", "total": 0, "members": []}),
            );
        },
    );
}

#[test]
fn a_page_is_cut_where_its_client_could_take_no_more() {
    const MEMBERS: u64 = 40;
    let small = |config: &mut shardcast_engine::Config| {
        config.listeners[0].message_bytes_max = 16 << 10;
        config.outbox_bytes_max = 32 << 10;
    };
    each_with(
        || teams(&[]),
        small,
        |server, _, dialect| {
            let mut all = Vec::new();
            for number in 0..MEMBERS {
                let mut one = Speaker::new(server, dialect);
                join_showing(&mut one, "team:a", json!(format!("{number:0>1000}")));
                one.pass_over();
                all.push(one);
                // Nobody is slow here.
                all.iter_mut().for_each(Speaker::pass_over);
            }
            let mut asks = Speaker::new(server, dialect);
            let (mut found, mut pages) = (BTreeSet::new(), 0);
            let mut cursor = Value::Null;
            loop {
                let page = asks.ask("presence", json!({"room": "team:a", "cursor": cursor}));
                assert_eq!(page["total"], MEMBERS);
                let members = page["members"].as_array().expect("a list");
                assert!((1..=16).contains(&members.len()), "{}", members.len());
                for member in members {
                    assert!(found.insert(member["data"].to_string()), "twice: {member}");
                }
                pages += 1;
                cursor = page["cursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
            assert_eq!(found.len() as u64, MEMBERS);
            assert!(pages >= 3, "{pages}");
        },
    );
}

/// What one dialect has shown is seen in every other, with the same meaning.
#[test]
fn data_is_seen_in_every_dialect() {
    for shards in SHARDS {
        let (server, _) = Server::of(teams(&[]), config(shards));
        let room = "team:a";
        let data = json!({"text": "größe 🦀", "numbers": [1, -2, 0.5]});
        let mut all: Vec<Speaker> = Vec::new();
        for dialect in Dialect::OWN {
            let mut one = Speaker::new(&server, dialect);
            join_showing(&mut one, room, data.clone());
            for earlier in &mut all {
                earlier.expect(&event(room, "join", one.id(), None, data.clone()));
            }
            all.push(one);
        }
        // Bytes, which JSON has not.
        let mut packs = Speaker::new(&server, Dialect::MessagePack);
        let keys = [
            ("type", Pack::from("join_room")),
            ("id", Pack::from(1)),
            ("room", Pack::from(room)),
            ("presence", Pack::Binary(vec![0, 255])),
        ];
        let keys = keys
            .into_iter()
            .map(|(key, value)| (Pack::from(key), value));
        packs.say_pack(&Pack::Map(keys.collect()));
        for one in &mut all {
            let shown = match one.dialect {
                Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                    unreachable!("it speaks another")
                }
                Dialect::MessagePack => json!({"bytes": [0, 255]}),
                Dialect::NativeJson | Dialect::JsonRpc => json!("AP8="),
            };
            one.expect(&event(room, "join", packs.id(), None, shown.clone()));
            let mut found = members(one, room);
            found.retain(|member| member["data"] != data);
            assert_eq!(
                found,
                [json!({"connection": packs.id(), "user": null, "data": shown})]
            );
            assert_eq!(members(one, room).len(), 4);
        }
    }
}

#[test]
fn what_has_no_use_is_refused() {
    let strict = |control_characters| Namespace {
        control_characters,
        ..telling(|_| {})
    };
    let users = Namespace {
        presence: Who::Users,
        ..telling(|_| {})
    };
    let app = || {
        teams(&[
            ("strip", strict(ControlPolicy::Strip)),
            ("reject", strict(ControlPolicy::Reject)),
            ("seen", users.clone()),
        ])
    };
    each(app, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        let named = |answer: &Value| {
            let message = answer["message"].as_str().unwrap_or_default().to_owned();
            assert!(message.contains("presence_events"), "{answer}");
        };
        // Lists without presence stay what they are, and take no cursor.
        one.join("plain:a");
        let listed = json!({"connection": one.id(), "user": null});
        one.check(
            "presence",
            json!({"room": "plain:a", "limit": 5}),
            json!({"room": "plain:a", "total": 1, "members": [listed]}),
        );
        let asked = json!({"room": "plain:a", "cursor": "c0-1-2"});
        named(&one.check_refused("presence", asked, "bad_request"));
        for rooms in [
            json!({"room": "plain:b"}),
            json!({"rooms": ["team:b", "plain:b"]}),
        ] {
            let mut asked = rooms;
            asked["presence"] = json!(1);
            named(&one.check_refused("join_room", asked.clone(), "bad_request"));
            // Nothing is what was there before the key was known.
            asked["presence"] = Value::Null;
            asked["since"] = Value::Null;
            assert_eq!(one.ask("join_room", asked.clone()).get("error"), None);
            asked.as_object_mut().expect("it is one").remove("presence");
            asked.as_object_mut().expect("it is one").remove("since");
            one.ask("leave_room", asked);
        }
        let long = json!({"room": "team:c", "presence": "x".repeat(1_024)});
        one.check_refused("join_room", long, "bad_request");
        let controls = json!({"room": "reject:a", "presence": {"a\u{1}": "b\u{0}"}});
        one.check_refused("join_room", controls, "bad_request");
        one.check("rooms", json!({}), json!({"rooms": ["plain:a"]}));
        join_showing(&mut one, "strip:a", json!({"a\u{1}": "b\u{0}"}));
        let found = members(&mut one, "strip:a");
        assert_eq!(found[0]["data"], json!({"a": "b"}));
        // Who may ask is asked first.
        for params in [
            json!({"room": "seen:a"}),
            json!({"room": "seen:a", "cursor": "no"}),
        ] {
            one.check_refused("presence", params, "unauthorized");
        }
        one.check_quiet();
    });
}

/// However a connection ends, and whenever: those who stay hear of each that came that it went, and
/// are alone then.
#[test]
fn whoever_is_killed_leaves_nothing_behind() {
    const ROUNDS: usize = 60;
    let brief = telling(|options| options.grace = Duration::from_millis(50));
    for shards in SHARDS {
        let app = teams(&[("brief", brief.clone())]);
        let (server, _) = Server::of(app, config(shards));
        let room = "brief:a";
        let mut stays = Speaker::at(server.address(), Dialect::NativeJson, "?user=ann");
        stays.join(room);
        let join = json!({"type": "join_room", "room": room, "presence": {"n": 1}}).to_string();
        for round in 0..ROUNDS {
            let dialect = Dialect::OWN[round % 3];
            let user = ["", "?user=bob", "?user=eve"][round % 5 % 3];
            let mut one = Speaker::at(server.address(), dialect, user);
            match round % 6 {
                // Its join is under way, or its leave is.
                0 => {
                    one.begin("join_room", json!({"room": room}));
                }
                1 => {
                    one.join(room);
                    one.begin("leave_room", json!({"room": room}));
                }
                2 => {
                    one.join(room);
                    one.client.leave();
                }
                // Reset, with a join under way and with none.
                3 | 4 => {
                    let mut raw = Raw::upgraded(&server);
                    raw.say(&join);
                    if round % 2 == 0 {
                        assert!(raw.hear().contains("welcome"));
                        assert!(raw.hear().contains("joined"));
                    }
                    raw.reset();
                }
                _ => {
                    one.join(room);
                }
            }
        }
        server.wait_until("everybody else is gone", |server| {
            server.sum(|shard| &shard.connections) == 1
        });
        server.wait_until("no member but one", |_| {
            members(&mut stays, room).len() == 1
        });
        stays.ask("publish", json!({"room": room, "data": "the end"}));
        assert_eq!(left_of(&mut stays), [] as [ToldMember; 0]);
        stays.client.leave();
        server.wait_until("no presence", |server| {
            server.sum(|shard| &shard.presences) == 0
        });
        server.wait_until_empty();
    }
}

/// A member that others were told of, with its user.
#[derive(Debug, PartialEq, Eq)]
struct ToldMember {
    id: String,
    user: Value,
    is_away: bool,
}

/// Who is there by what was told up to the next message.
#[track_caller]
fn left_of(hearer: &mut Speaker) -> Vec<ToldMember> {
    let mut told: Vec<ToldMember> = Vec::new();
    loop {
        let heard = hearer.hear();
        if heard["type"] == "message" {
            return told;
        }
        let user = heard["user"].clone();
        let id = heard["connection"].as_str().expect("an id").to_owned();
        let named = told.iter().position(|member| member.id == id);
        match (heard["event"].as_str(), named) {
            (Some("join"), None) => {}
            (Some("back"), None) => {
                // It stands for one of its user's that is away.
                let is_before = |member: &ToldMember| member.is_away && member.user == user;
                let before = told.iter().position(is_before);
                told.swap_remove(before.unwrap_or_else(|| panic!("{heard}: {told:?}")));
            }
            (Some("away"), Some(at)) if !told[at].is_away && !user.is_null() => {
                told[at].is_away = true;
                continue;
            }
            (Some("leave"), Some(at)) => {
                told.swap_remove(at);
                continue;
            }
            _ => panic!("{heard}: {told:?}"),
        }
        let is_away = false;
        told.push(ToldMember { id, user, is_away });
    }
}
