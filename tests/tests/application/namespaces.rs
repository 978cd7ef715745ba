//! Namespaces as clients meet them: who may do what where, what rooms may be called, and what is
//! not told.

use crate::speaker::{Speaker, pack_of};
use crate::{each, guests};
use rmpv::Value as Pack;
use serde_json::{Value, json};
use shardcast::App;
use shardcast::namespace::{
    Characters, ControlPolicy, NameRules, Namespace, Namespaces, Roles, Who,
};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Client, Served};

fn in_namespaces(default: Namespace, named: &[(&str, Namespace)]) -> App {
    let named = named.iter().map(|(name, space)| (*name, space.clone()));
    guests().namespaces(Namespaces::new(default, named).expect("they are good"))
}

fn staff() -> Who {
    Who::Roles(Roles::new(["staff", "admin"]).expect("names of roles"))
}

/// All three questions have this answer.
fn only(who: Who) -> Namespace {
    Namespace {
        join: who.clone(),
        publish: who.clone(),
        presence: who,
        ..Namespace::default()
    }
}

#[test]
fn who_may_do_what_is_asked_of_each_caller() {
    let app = || {
        let of = |join, publish, presence| Namespace {
            join,
            publish,
            presence,
            ..Namespace::default()
        };
        in_namespaces(
            Namespace::default(),
            &[
                ("open", Namespace::default()),
                ("users", only(Who::Users)),
                ("staff", only(staff())),
                ("nobody", only(Who::Nobody)),
                ("news", of(Who::Anyone, staff(), Who::Users)),
            ],
        )
    };
    each(app, |server, _, dialect| {
        let at = |query| Speaker::at(server.address(), dialect, query);
        let (mut nobody, mut user) = (at(""), at("?user=ann&roles=reader"));
        let mut staff = at("?user=eve&roles=x,staff");
        let (no, bad) = (Some("unauthorized"), Some("forbidden"));
        for (room, join, publish, presence) in [
            ("plain", [None; 3], [None; 3], [None; 3]),
            ("open:a", [None; 3], [None; 3], [None; 3]),
            (
                "users:a",
                [no, None, None],
                [no, None, None],
                [no, None, None],
            ),
            ("staff:a", [no, bad, None], [no, bad, None], [no, bad, None]),
            ("nobody:a", [bad; 3], [bad; 3], [bad; 3]),
            ("news:a:b", [None; 3], [no, bad, None], [no, None, None]),
        ] {
            for (kind, codes) in [
                ("join_room", join),
                ("publish", publish),
                ("broadcast", publish),
                ("presence", presence),
            ] {
                let callers = [&mut nobody, &mut user, &mut staff];
                for (caller, code) in callers.into_iter().zip(codes) {
                    let params = json!({"room": room});
                    match code {
                        Some(code) => drop(caller.check_refused(kind, params, code)),
                        None => {
                            let answer = caller.ask(kind, params);
                            assert!(answer.get("error").is_none(), "{kind} {room}: {answer}");
                        }
                    }
                }
            }
            // Several rooms are all refused when one is.
            let rooms = json!({"rooms": ["plain", room]});
            if let Some(code) = join[0] {
                nobody.check_refused("join_room", rooms.clone(), code);
            }
            if let Some(code) = publish[0] {
                nobody.check_refused("publish", rooms, code);
            }
        }
    });
}

#[test]
fn unknown_namespaces_and_bad_names_are_refused() {
    let short = Namespace {
        names: NameRules {
            bytes_max: 10,
            characters: Characters::Alphanumeric,
        },
        ..Namespace::default()
    };
    let ascii = Namespace {
        names: NameRules {
            characters: Characters::Ascii,
            ..NameRules::default()
        },
        ..Namespace::default()
    };
    let app = || {
        in_namespaces(
            Namespace::default(),
            &[("short", short.clone()), ("ascii", ascii.clone())],
        )
    };
    each(app, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        for (room, code) in [
            ("short:a_.-", None),
            ("short:abcd", None),
            ("short:abcde", Some("bad_request")),
            ("short:", Some("bad_request")),
            ("short:a b", Some("bad_request")),
            ("short:a:b", Some("bad_request")),
            ("short:é", Some("bad_request")),
            ("ascii:a b:~", None),
            ("ascii:é", Some("bad_request")),
            ("ascii:\u{7f}", Some("bad_request")),
            ("é 漢", None),
            ("", Some("bad_request")),
            ("a\u{9f}", Some("bad_request")),
            ("Short:a", Some("unknown_namespace")),
            ("other:a", Some("unknown_namespace")),
            (":a", Some("unknown_namespace")),
            ("é:a", Some("unknown_namespace")),
        ] {
            for kind in ["join_room", "publish", "presence"] {
                let params = json!({"room": room});
                match code {
                    Some(code) => drop(one.check_refused(kind, params, code)),
                    None => {
                        let answer = one.ask(kind, params);
                        assert!(answer.get("error").is_none(), "{kind} {room}: {answer}");
                    }
                }
            }
            if code.is_none() {
                one.hear();
            }
        }
        one.check_quiet();
    });
}

#[test]
fn a_colon_means_nothing_without_namespaces() {
    each(App::new, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        for room in ["any:thing", ":", "a:", ":a"] {
            assert_eq!(one.join(room), 1);
        }
    });
}

#[test]
fn echo_and_the_number_of_members_are_the_namespaces() {
    let app = || {
        let quiet = Namespace {
            echo: false,
            ..Namespace::default()
        };
        let small = Namespace {
            members_max: 2,
            ..Namespace::default()
        };
        in_namespaces(Namespace::default(), &[("quiet", quiet), ("small", small)])
    };
    each(app, |server, _, dialect| {
        let mut all = [(); 3].map(|()| Speaker::new(server, dialect));
        all[0].join("quiet:a");
        all[1].join("quiet:a");
        all[0].check("publish", json!({"room": "quiet:a", "data": 1}), json!({}));
        all[0].check_quiet();
        assert_eq!(all[1].hear()["data"], 1);
        let echo = json!({"room": "quiet:a", "data": 2, "echo": true});
        all[0].check("publish", echo, json!({}));
        assert_eq!(all[0].hear()["data"], 2);
        assert_eq!(all[1].hear()["data"], 2);

        all[0].join("small:a");
        assert_eq!(all[1].join("small:a"), 2);
        let full = all[2].check_refused("join_room", json!({"room": "small:a"}), "room_full");
        assert_eq!(full["retryable"], true);
        // Of several rooms none is joined when one is full; who is in may join once more.
        all[2].check_refused("join_room", json!({"rooms": ["b", "small:a"]}), "room_full");
        all[2].check("rooms", Value::Null, json!({"rooms": []}));
        let nobody = json!({"room": "b", "total": 0, "members": []});
        all[2].check("presence", json!({"room": "b"}), nobody);
        assert_eq!(all[1].join("small:a"), 2);
        all[1].ask("leave_room", json!({"room": "small:a"}));
        assert_eq!(all[2].join("small:a"), 2);
    });
}

#[test]
fn control_characters_are_allowed_stripped_or_rejected() {
    let of = |policy| Namespace {
        control_characters: policy,
        ..Namespace::default()
    };
    let app = || {
        in_namespaces(
            Namespace::default(),
            &[
                ("allow", of(ControlPolicy::Allow)),
                ("strip", of(ControlPolicy::Strip)),
                ("reject", of(ControlPolicy::Reject)),
            ],
        )
    };
    let dirty = json!({"a\u{0}b": ["x\u{1b}[31m\u{85}y", "\t\n\r é", "\u{8}\u{c}\u{7f}"]});
    let clean = json!({"ab": ["x[31my", "\t\n\r é", ""]});
    each(app, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        for (room, heard) in [
            ("allow:a", Some(&dirty)),
            ("strip:a", Some(&clean)),
            ("reject:a", None),
        ] {
            one.join(room);
            let params = json!({"room": room, "data": dirty});
            match heard {
                Some(data) => {
                    one.check("publish", params, json!({}));
                    assert_eq!(one.hear()["data"], *data, "{room}");
                }
                None => drop(one.check_refused("publish", params, "bad_request")),
            }
            one.check("publish", json!({"room": room, "data": clean}), json!({}));
            assert_eq!(one.hear()["data"], clean, "{room}");
        }
        if dialect == Dialect::MessagePack {
            // Bytes are no text.
            for room in ["strip:a", "reject:a"] {
                let request = json!({"type": "publish", "room": room});
                let Pack::Map(mut request) = pack_of(&request) else {
                    unreachable!("it is a map");
                };
                request.push((Pack::from("data"), Pack::Binary(vec![0, 27])));
                one.say_pack(&Pack::Map(request));
                assert_eq!(one.hear()["data"], json!({"bytes": [0, 27]}));
            }
        }
        one.check_quiet();
    });
}

/// What a secret refuses, what does not exist, and names that break its rules: one answer for all
/// of them, but for the id.
#[test]
fn denials_of_secrets_are_the_same_to_the_byte() {
    let app = || {
        let secret = Namespace {
            secret: true,
            names: NameRules {
                bytes_max: 20,
                characters: Characters::Alphanumeric,
            },
            ..only(staff())
        };
        in_namespaces(
            Namespace::default(),
            &[("secret", secret), ("open", Namespace::default())],
        )
    };
    let rooms = [
        "secret:a",
        "secret:b",
        "secret:",
        "secret:é",
        "secret:much-too-long-a-name",
        "unknown:a",
        "unknown:",
        ":",
    ];
    each(app, |server, _, dialect| {
        let at = |query| Speaker::at(server.address(), dialect, query);
        let mut staff = at("?user=eve&roles=staff");
        staff.join("secret:a");
        for query in ["", "?user=ann", "?user=ann&roles=reader"] {
            let mut one = at(query);
            for kind in ["join_room", "publish", "broadcast", "presence"] {
                let mut first: Option<Vec<u8>> = None;
                for room in rooms {
                    for params in [json!({"room": room}), json!({"rooms": ["open:a", room]})] {
                        if kind == "presence" && params.get("rooms").is_some() {
                            continue;
                        }
                        let request = one.request(kind, Some(7), params);
                        one.say(&request);
                        let answer = one.client.hear_any().into_data().to_vec();
                        let first = first.get_or_insert_with(|| answer.clone());
                        assert_eq!(
                            String::from_utf8_lossy(&answer),
                            String::from_utf8_lossy(first),
                            "{kind} {room}"
                        );
                        assert!(String::from_utf8_lossy(&answer).contains("forbidden"));
                    }
                }
            }
            one.check("rooms", Value::Null, json!({"rooms": []}));
            // What is open stays open.
            one.join("open:a");
        }
        // Also for those who are let in.
        staff.check_refused("join_room", json!({"room": "unknown:a"}), "forbidden");
        assert_eq!(staff.join("secret:a"), 1);
    });
}

/// The same from a configuration file, in the program that users run; and how deep messages may
/// nest.
#[test]
fn the_program_takes_namespaces_and_rules_from_its_file() {
    let toml = r#"
[server]
listen = "127.0.0.1:0"
shards = 2

[limits]
max_depth = 8

[rooms]
publish = "nobody"

[namespaces.chat]
max_members = 1
echo = false
name_characters = "alphanumeric"
control_characters = "strip"

[namespaces.members]
join = "users"

[namespaces.hidden]
join = ["staff"]
secret = true
"#;
    let served = Served::start(env!("CARGO_BIN_EXE_served"), toml);
    for dialect in Dialect::OWN {
        let at = || Speaker::at(served.address("ws"), dialect, "");
        let (mut one, mut other) = (at(), at());
        one.check_refused("publish", json!({"room": "plain"}), "forbidden");
        one.check_refused("broadcast", json!({}), "forbidden");
        let room = format!("chat:{}", dialect.index());
        assert_eq!(one.join(&room), 1);
        other.check_refused("join_room", json!({"room": room}), "room_full");
        other.check_refused("join_room", json!({"room": "chat:é"}), "bad_request");
        other.check_refused("join_room", json!({"room": "members:a"}), "unauthorized");
        other.check_refused("join_room", json!({"room": "hidden:a"}), "forbidden");
        other.check_refused("join_room", json!({"room": "unknown:a"}), "forbidden");
        let params = json!({"room": room, "data": "a\u{0}b"});
        one.check("publish", params.clone(), json!({}));
        one.check_quiet();
        other.check("publish", params, json!({}));
        assert_eq!(one.hear()["data"], "ab");
    }
    // Without a subprotocol, as before there were dialects.
    let mut client = Client::native_at(served.address("ws"));
    client.check_quiet();
    let nested = |depth| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"type":"echo","data":{open}{close}}}"#)
    };
    // The message's own object is one of the eight.
    client.check(&nested(7), &nested(7));
    assert!(client.ask(&nested(8)).contains(r#""code":"bad_json""#));
}
