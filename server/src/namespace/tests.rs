//! What is found, who may do what, and what refusals tell.

use super::*;
use crate::auth::grants::RoomAction;
use std::cell::Cell;
use std::time::Duration;

/// A caller with roles; no user if the name is empty.
#[derive(Clone, Copy)]
struct Someone(&'static str, &'static [&'static str]);

impl Caller for Someone {
    fn user(&self) -> Option<&str> {
        Some(self.0).filter(|user| !user.is_empty())
    }

    fn has_role(&self, role: &str) -> bool {
        self.1.contains(&role)
    }
}

const STRANGER: Someone = Someone("", &[]);
const ANN: Someone = Someone("ann", &["member"]);
/// A service that was let in by a token without a user.
const SERVICE: Someone = Someone("", &["moderator"]);

/// A namespace that can be told from the others.
fn with_members(members_max: u32) -> Namespace {
    Namespace {
        members_max,
        ..Namespace::default()
    }
}

fn roles(names: &[&str]) -> Who {
    Who::Roles(Roles::new(names).unwrap())
}

fn named(names: &[(&str, Namespace)]) -> Namespaces {
    Namespaces::new(with_members(1), names.iter().cloned()).unwrap()
}

/// Rooms with the number of members of the namespace that they are found in, or why there is none.
fn check_found(namespaces: &Namespaces, rows: &[(&str, Result<u32, Denied>)]) {
    for (room, want) in rows {
        let found = namespaces.find(room);
        assert_eq!(
            found.map(|namespace| namespace.members_max),
            *want,
            "{room:?}"
        );
    }
}

const BAD: Result<u32, Denied> = Err(Denied::BadName(Characters::Any));
const UNKNOWN: Result<u32, Denied> = Err(Denied::UnknownNamespace);

#[test]
fn without_names_every_room_is_in_the_default_namespace() {
    let longest = "ä".repeat(127) + "x";
    let longer = "ä".repeat(128);
    check_found(
        &named(&[]),
        &[
            ("lobby", Ok(1)),
            ("chat:lobby", Ok(1)),
            (":", Ok(1)),
            ("chat:", Ok(1)),
            ("größe 🦀", Ok(1)),
            (&longest, Ok(1)),
            (&longer, BAD),
            ("", BAD),
            ("a\0b", BAD),
            ("a\u{85}", BAD),
        ],
    );
    assert_eq!(Namespaces::default().find("a"), Ok(&Namespace::default()));
}

#[test]
fn a_room_is_in_the_namespace_that_stands_before_its_first_colon() {
    let prefix = "p".repeat(64);
    let rooms = [format!("{prefix}:x"), format!("{prefix}p:x")];
    check_found(
        &named(&[
            ("chat", with_members(2)),
            ("chat-2", with_members(3)),
            ("default", with_members(4)),
            (&prefix, with_members(5)),
        ]),
        &[
            ("lobby", Ok(1)),
            ("chat", Ok(1)),
            ("chat:lobby", Ok(2)),
            ("chat:lobby:2", Ok(2)),
            ("chat::", Ok(2)),
            ("chat-2:lobby", Ok(3)),
            ("default:lobby", Ok(4)),
            (&rooms[0], Ok(5)),
            (&rooms[1], UNKNOWN),
            ("Chat:lobby", UNKNOWN),
            (" chat:lobby", UNKNOWN),
            ("cha:lobby", UNKNOWN),
            (":lobby", UNKNOWN),
            (":", UNKNOWN),
            ("a\0b:lobby", UNKNOWN),
            ("chat:", BAD),
            ("chat:\n", BAD),
            ("", BAD),
        ],
    );
}

#[test]
fn names_obey_the_rules_of_their_namespace() {
    let ruled = |bytes_max, characters| Namespace {
        names: NameRules {
            bytes_max,
            characters,
        },
        ..with_members(2)
    };
    let bad = |characters| Err(Denied::BadName(characters));
    check_found(
        &named(&[
            ("ascii", ruled(10, Characters::Ascii)),
            ("alnum", ruled(255, Characters::Alphanumeric)),
            ("short", ruled(7, Characters::Any)),
        ]),
        &[
            ("ascii: ~:!", Ok(2)),
            ("ascii:1234", Ok(2)),
            ("ascii:12345", bad(Characters::Ascii)),
            ("ascii:ä", bad(Characters::Ascii)),
            ("ascii:\u{7f}", bad(Characters::Ascii)),
            ("ascii:", bad(Characters::Ascii)),
            ("alnum:aZ09_.-", Ok(2)),
            ("alnum:a:b", bad(Characters::Alphanumeric)),
            ("alnum:a b", bad(Characters::Alphanumeric)),
            ("alnum:ä", bad(Characters::Alphanumeric)),
            ("short:x", Ok(2)),
            ("short:ä", bad(Characters::Any)),
            ("short:xx", bad(Characters::Any)),
        ],
    );
    // In the default namespace a colon is a character like others.
    let strict = Namespaces::new(
        ruled(255, Characters::Alphanumeric),
        std::iter::empty::<(&str, _)>(),
    );
    check_found(
        &strict.unwrap(),
        &[("a", Ok(2)), ("a:b", bad(Characters::Alphanumeric))],
    );
}

type May = fn(&Namespace, &Someone) -> Result<(), Denied>;

/// What each question is answered for a caller, in a namespace where everything is for `who`.
fn check_may(who: &Who, caller: Someone, want: Result<(), Denied>) {
    let nobody = Namespace {
        join: Who::Nobody,
        publish: Who::Nobody,
        presence: Who::Nobody,
        history_read: Who::Nobody,
        history: Some(History::default()),
        ..Namespace::default()
    };
    let who = who.clone();
    let questions: [(Namespace, May); 5] = [
        (
            Namespace {
                join: who.clone(),
                ..nobody.clone()
            },
            Namespace::may_join,
        ),
        (
            Namespace {
                publish: who.clone(),
                ..nobody.clone()
            },
            Namespace::may_publish,
        ),
        (
            Namespace {
                presence: who.clone(),
                ..nobody.clone()
            },
            Namespace::may_see,
        ),
        (
            Namespace {
                history_read: who.clone(),
                ..nobody.clone()
            },
            |namespace, caller| namespace.may_read(caller, Standing::Member),
        ),
        // A stranger must be one who may join, besides.
        (
            Namespace {
                join: who.clone(),
                history_read: who.clone(),
                ..nobody
            },
            |namespace, caller| namespace.may_read(caller, Standing::Stranger),
        ),
    ];
    for (namespace, may) in &questions {
        assert_eq!(may(namespace, &caller), want, "{who:?} {:?}", caller.0);
        // A secret one says the same, in one word.
        let secret = Namespace {
            secret: true,
            ..namespace.clone()
        };
        let want = want.map_err(|_| Denied::Forbidden);
        assert_eq!(may(&secret, &caller), want, "{who:?} {:?}", caller.0);
    }
}

#[test]
fn each_who_includes_whom_it_says() {
    let (unauthorized, forbidden) = (Err(Denied::Unauthorized), Err(Denied::Forbidden));
    for (who, stranger, ann, service) in [
        (Who::Anyone, Ok(()), Ok(()), Ok(())),
        (Who::Users, unauthorized, Ok(()), unauthorized),
        (roles(&["member"]), unauthorized, Ok(()), unauthorized),
        (roles(&["moderator"]), unauthorized, forbidden, Ok(())),
        (
            roles(&["moderator", "member"]),
            unauthorized,
            Ok(()),
            Ok(()),
        ),
        (roles(&["ann"]), unauthorized, forbidden, unauthorized),
        (Who::Nobody, forbidden, forbidden, forbidden),
    ] {
        check_may(&who, STRANGER, stranger);
        check_may(&who, ANN, ann);
        check_may(&who, SERVICE, service);
    }
}

#[test]
fn what_is_kept_is_for_who_is_in_or_may_join() {
    use Standing::{Member, Stranger};
    let (unauthorized, forbidden) = (Err(Denied::Unauthorized), Err(Denied::Forbidden));
    let users = [Who::Users, Who::Anyone];
    for (join, history_read, standing, stranger, ann) in [
        (&users[0], &users[1], Stranger, unauthorized, Ok(())),
        (&users[0], &users[1], Member, Ok(()), Ok(())),
        (&users[1], &users[0], Stranger, unauthorized, Ok(())),
        (&users[1], &users[0], Member, unauthorized, Ok(())),
        (&Who::Nobody, &users[1], Stranger, forbidden, forbidden),
        (&Who::Nobody, &users[0], Member, unauthorized, Ok(())),
        (&users[1], &Who::Nobody, Member, forbidden, forbidden),
    ] {
        // Whether there is something to read is another question, unless it is secret.
        for history in [Some(History::default()), None] {
            let namespace = Namespace {
                join: join.clone(),
                history_read: history_read.clone(),
                history,
                ..Namespace::default()
            };
            assert_eq!(namespace.may_read(&STRANGER, standing), stranger);
            assert_eq!(namespace.may_read(&ANN, standing), ann);
            let secret = Namespace {
                secret: true,
                ..namespace
            };
            for (caller, open) in [(&STRANGER, stranger), (&ANN, ann)] {
                let want = match history {
                    Some(_) => open.map_err(|_| Denied::Forbidden),
                    None => forbidden,
                };
                assert_eq!(secret.may_read(caller, standing), want);
            }
        }
    }
}

#[test]
fn rooms_that_keep_the_same_share_a_class() {
    let keeps = |publications_max, slow_reader| Namespace {
        history: Some(History {
            publications_max,
            ..History::default()
        }),
        slow_reader,
        ..Namespace::default()
    };
    let kept_for_slow = |slow_reader| Namespace {
        slow_reader,
        ..Namespace::default()
    };
    let namespaces = named(&[
        ("a", keeps(5, SlowReader::Disconnect)),
        ("b", keeps(5, SlowReader::CatchUp)),
        ("c", keeps(5, SlowReader::Disconnect)),
        ("d", kept_for_slow(SlowReader::CatchUp)),
        ("e", kept_for_slow(SlowReader::CatchUp)),
        ("f", kept_for_slow(SlowReader::Disconnect)),
    ]);
    let log = |room| namespaces.class(room).unwrap().log;
    assert_eq!([log("lobby"), log("f:x")], [None, None]);
    assert_eq!((log("a:x"), log("d:x")), (log("c:x"), log("e:x")));
    let mut classes = [log("a:x"), log("b:x"), log("d:x")].map(|class| format!("{class:?}"));
    classes.sort_unstable();
    assert!(
        classes.windows(2).all(|pair| pair[0] != pair[1]),
        "{classes:?}"
    );
    let logs = namespaces.logs(64 << 10);
    assert_eq!(logs.len(), 3);
    for (room, publications_max, bytes_max) in [("a:x", 5, 1 << 20), ("d:x", 256, 256 << 10)] {
        let class = log(room).unwrap();
        let at = (0..3).find(|index| LogClass::new(*index) == class).unwrap();
        let options = &logs[usize::from(at)];
        assert_eq!(
            (options.publications_max, options.bytes_max),
            (publications_max, bytes_max)
        );
    }
    // What nobody has configured takes the largest message.
    let bytes: Vec<_> = namespaces
        .logs(1 << 20)
        .iter()
        .map(|log| log.bytes_max)
        .collect();
    assert_eq!(bytes.iter().max(), Some(&((1 << 20) + 1024)));
}

#[test]
fn rooms_that_tell_the_same_share_a_class() {
    let tells = |of| Namespace {
        presence_events: Some(PresenceOptions {
            of,
            ..PresenceOptions::default()
        }),
        ..Namespace::default()
    };
    let namespaces = named(&[
        ("a", tells(PresenceOf::Users)),
        ("b", tells(PresenceOf::Connections)),
        ("c", tells(PresenceOf::Users)),
        ("d", Namespace::default()),
    ]);
    let class = |room| namespaces.class(room).unwrap().presence;
    assert_eq!([class("lobby"), class("d:x")], [None, None]);
    assert_eq!(class("a:x"), class("c:x"));
    let all = namespaces.presence();
    assert_eq!(all.len(), 2);
    for (room, of) in [("a:x", PresenceOf::Users), ("b:x", PresenceOf::Connections)] {
        let class = class(room).unwrap();
        assert_eq!(all[class.index()].of, of, "{room}");
    }
}

#[test]
fn nobody_signed_in_is_a_caller_too() {
    let users = Namespace {
        join: Who::Users,
        ..Namespace::default()
    };
    assert_eq!(users.may_join(&Some(&ANN)), Ok(()));
    assert_eq!(users.may_join(&None::<Someone>), Err(Denied::Unauthorized));
    assert!(!roles(&["member"]).includes(&None::<&Someone>));
}

/// Everything that a caller can see of a room: what finding it says, and then what each question
/// says.
fn seen(namespaces: &Namespaces, room: &str, caller: Someone) -> [Result<(), Denied>; 5] {
    let found = namespaces.find(room);
    let ask = |may: May| found.and_then(|namespace| may(namespace, &caller));
    [
        found.map(|_| ()),
        ask(Namespace::may_join),
        ask(Namespace::may_publish),
        ask(Namespace::may_see),
        ask(|namespace, caller| namespace.may_read(caller, Standing::Stranger)),
    ]
}

#[test]
fn a_secret_namespace_cannot_be_told_from_one_that_does_not_exist() {
    let only = |who: Who| Namespace {
        join: who.clone(),
        publish: who.clone(),
        presence: who,
        history: Some(History::default()),
        secret: true,
        names: NameRules {
            bytes_max: 40,
            characters: Characters::Ascii,
        },
        ..Namespace::default()
    };
    let namespaces = named(&[
        ("users", only(Who::Users)),
        ("staff", only(roles(&["staff", "root"]))),
        ("server", only(Who::Nobody)),
        (
            "silent",
            Namespace {
                history: None,
                ..only(Who::Users)
            },
        ),
        ("open", Namespace::default()),
    ]);
    let long = "x".repeat(300);
    let denied = Err(Denied::Forbidden);
    for prefix in ["users", "staff", "server", "silent", "nowhere", "", &long] {
        for own in ["x", "", "\0", "ä", ":", &long] {
            let room = format!("{prefix}:{own}");
            let seen = seen(&namespaces, &room, STRANGER);
            assert_eq!(seen, [Ok(()), denied, denied, denied, denied], "{room:?}");
        }
    }
    // Whoever is let in is let in; the others hear what they are to put right, unless it is secret.
    assert_eq!(seen(&namespaces, "users:x", ANN), [Ok(()); 5]);
    assert_eq!(
        seen(&namespaces, "users:ä", ANN),
        [Ok(()), denied, denied, denied, denied]
    );
    assert_eq!(seen(&namespaces, "open:x", STRANGER), [Ok(()); 5]);
    check_found(&namespaces, &[("open:", BAD), ("", BAD), ("lobby", Ok(1))]);
    // A secret default namespace hides which others there are.
    let default = Namespace {
        names: NameRules::default(),
        ..only(Who::Users)
    };
    let namespaces = Namespaces::new(default, [("open", Namespace::default())]).unwrap();
    for room in ["nowhere:x", "x", "", "\0"] {
        let seen = seen(&namespaces, room, STRANGER);
        assert_eq!(seen, [Ok(()), denied, denied, denied, denied], "{room:?}");
    }
    assert_eq!(seen(&namespaces, "x", ANN), [Ok(()); 5]);
    assert_eq!(seen(&namespaces, "open:x", STRANGER), [Ok(()); 5]);
}

#[test]
fn operators_hear_of_what_there_is_not() {
    let hidden = Namespace {
        join: Who::Users,
        secret: true,
        ..Namespace::default()
    };
    let namespaces = named(&[("hidden", hidden)]);
    for (room, want) in [
        ("hidden:x", Ok(())),
        ("lobby", Ok(())),
        ("nowhere:x", Err(Denied::UnknownNamespace)),
        ("hidden:", Err(Denied::BadName(Characters::Any))),
        ("", Err(Denied::BadName(Characters::Any))),
    ] {
        let found = namespaces.resolve_for_operator(room, 255);
        assert_eq!(found.map(|_| ()), want, "{room:?}");
    }
    let seen = namespaces.resolve("nowhere:x", 255).map(|_| ());
    assert_eq!(seen, Ok(()), "clients are told nothing");
    let long = "x".repeat(9);
    let found = namespaces.resolve_for_operator(&long, 8).map(|_| ());
    assert_eq!(found, Err(Denied::BadName(Characters::Any)));
}

#[test]
fn refusals_have_a_code_and_a_text() {
    for (denied, code, message) in [
        (
            Denied::BadName(Characters::Any),
            "bad_request",
            "a room's name is empty, too long or has control characters",
        ),
        (
            Denied::BadName(Characters::Ascii),
            "bad_request",
            "a room's name is empty, too long or has other characters than printable ASCII",
        ),
        (
            Denied::BadName(Characters::Alphanumeric),
            "bad_request",
            "a room's name is empty, too long or has other characters than A-Z, a-z, 0-9, _, . and -",
        ),
        (
            Denied::UnknownNamespace,
            "unknown_namespace",
            "no namespace is called as the room's name begins, before the colon",
        ),
        (
            Denied::Unauthorized,
            "unauthorized",
            "this takes a user: sign in first",
        ),
        (
            Denied::Forbidden,
            "forbidden",
            "this is not allowed to this connection, or there is no such thing",
        ),
    ] {
        assert_eq!((denied.code(), denied.message()), (code, message));
    }
}

fn with_bytes(bytes_max: usize) -> Namespace {
    Namespace {
        names: NameRules {
            bytes_max,
            ..NameRules::default()
        },
        ..Namespace::default()
    }
}

/// What is wrong with a default namespace and others.
fn check_refused(default: Namespace, named: &[(&str, Namespace)], want: &str) {
    let refused = Namespaces::new(default, named.iter().cloned()).unwrap_err();
    assert_eq!(refused.to_string(), want);
}

#[test]
fn what_breaks_a_limit_is_no_namespace() {
    let good = Namespace::default;
    for name in ["a b", "", "a:b", "ä", &"p".repeat(65)] {
        let want = format!(
            "namespace {name:?} must be called by 1 to 64 characters of A-Z, a-z, 0-9, _ and -"
        );
        check_refused(good(), &[(name, good())], &want);
    }
    check_refused(
        good(),
        &[("a", good()), ("b", good()), ("a", good())],
        "there are two namespaces \"a\"",
    );
    let want = "members_max of the default namespace must be from 1 to 10000000";
    check_refused(with_members(0), &[], want);
    let want = "members_max of namespace \"a\" must be from 1 to 10000000";
    check_refused(good(), &[("a", with_members(10_000_001))], want);
    let history = |change: fn(&mut History)| {
        let mut history = History::default();
        change(&mut history);
        Namespace {
            history: Some(history),
            ..Namespace::default()
        }
    };
    for (change, want) in [
        (
            (|history| history.publications_max = 0) as fn(&mut History),
            "publications_max of namespace \"a\" must be from 1 to 100000",
        ),
        (
            |history| history.bytes_max = 1023,
            "bytes_max of namespace \"a\" must be from 1 KiB to 1 GiB",
        ),
        (
            |history| history.ttl = Duration::from_millis(999),
            "ttl of namespace \"a\" must be from 1 s to 365 days",
        ),
        (
            |history| history.epoch_ttl = Duration::from_secs(365 * 86_400 + 1),
            "epoch_ttl of namespace \"a\" must be from 1 s to 365 days",
        ),
        (
            |history| history.idempotency = Some(Duration::ZERO),
            "idempotency of namespace \"a\" must be from 1 s to 1 day",
        ),
    ] {
        check_refused(
            good(),
            &[("a", history(change))],
            &format!("history.{want}"),
        );
    }
    let want = "names.bytes_max of the default namespace must be from 1 to 4096";
    check_refused(with_bytes(0), &[], want);
    let want = "names.bytes_max of namespace \"chat\" must be from 6 to 4096";
    check_refused(good(), &[("chat", with_bytes(5))], want);
    check_refused(good(), &[("chat", with_bytes(4_097))], want);
    for (default, name, of) in [
        (with_members(1), "a", with_members(10_000_000)),
        (with_bytes(1), "chat", with_bytes(6)),
        (with_bytes(4_096), "chat", with_bytes(4_096)),
    ] {
        assert!(Namespaces::new(default, [(name, of)]).is_ok());
    }
}

#[test]
fn what_is_told_of_members_has_limits() {
    let told = |grace: Duration, events_members_max: u32| Namespace {
        presence_events: Some(PresenceOptions {
            grace,
            events_members_max,
            ..PresenceOptions::default()
        }),
        ..Namespace::default()
    };
    let most = (PresenceOptions::GRACE_MAX, 1_000_000);
    check_refused(
        Namespace::default(),
        &[("a", told(most.0 + Duration::from_millis(1), 0))],
        "presence_events.grace of namespace \"a\" must be up to 1 h",
    );
    check_refused(
        told(Duration::ZERO, most.1 + 1),
        &[],
        "presence_events.events_members_max of the default namespace must be up to 1000000",
    );
    assert!(Namespaces::only(told(most.0, most.1)).is_ok());
}

#[test]
fn a_server_has_so_many_namespaces() {
    let count = |count: usize| {
        let names = (0..count).map(|index| (format!("n{index}"), with_members(2)));
        Namespaces::new(Namespace::default(), names)
    };
    check_found(&count(1_000).unwrap(), &[("n999:x", Ok(2))]);
    assert_eq!(count(1_001), Err(NamespaceError::TooMany));
    assert_eq!(
        NamespaceError::TooMany.to_string(),
        "a server may have 1000 namespaces beside the default one"
    );
}

#[test]
fn roles_are_few_and_plainly_named() {
    let (longest, longer) = ("r".repeat(64), "r".repeat(65));
    let many: Vec<String> = (0..33).map(|number| format!("r{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (names, good) in [
        (vec!["member"], true),
        (vec!["a", "b:c", "https://x/y_z-1.2"], true),
        (vec![&*longest], true),
        (many[..32].to_vec(), true),
        (many[..].to_vec(), false),
        (vec!["a", "b", "a"], false),
        (vec![&*longer], false),
        (vec![], false),
        (vec![""], false),
        (vec!["a", "b c"], false),
        (vec!["a,b"], false),
        (vec!["ä"], false),
    ] {
        assert_eq!(Roles::new(&names).is_some(), good, "{names:?}");
    }
    let read: Vec<String> = Roles::new(["b", "a"])
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(read, ["b", "a"]);
}

/// The engine has this limit, too.
#[test]
fn the_default_rules_are_those_of_the_engine() {
    let engine = shardcast_engine::Config::default();
    assert_eq!(engine.room_name_bytes_max, NameRules::BYTES_MAX_DEFAULT);
    let namespaces = Namespaces::default();
    let longest = "x".repeat(255);
    let longer = "x".repeat(256);
    for room in [
        "", "a", "a:b", "\0", "\u{9f}", "\u{a0}", "ä", &longest, &longer,
    ] {
        let fits = (1..=engine.room_name_bytes_max).contains(&room.len());
        let is_name = fits && !room.chars().any(char::is_control);
        assert_eq!(namespaces.find(room).is_ok(), is_name, "{room:?}");
    }
}

/// A caller that counts what it is asked.
#[derive(Default)]
struct Counting {
    users: Cell<u32>,
    roles: Cell<u32>,
    grants: Cell<u32>,
}

impl Caller for Counting {
    fn user(&self) -> Option<&str> {
        self.users.set(self.users.get() + 1);
        Some("ann")
    }

    fn has_role(&self, _role: &str) -> bool {
        self.roles.set(self.roles.get() + 1);
        false
    }

    fn is_granted(&self, _action: RoomAction, _room: &str) -> bool {
        self.grants.set(self.grants.get() + 1);
        false
    }
}

/// What is missing and what is forbidden take the same way: the same questions, but for those for
/// roles, of which a namespace that does not exist has none.
#[test]
fn a_refusal_does_the_same_work_whether_a_secret_namespace_exists_or_not() {
    let hidden = Namespace {
        join: roles(&["staff"]),
        publish: roles(&["staff"]),
        presence: roles(&["staff"]),
        history_read: roles(&["staff"]),
        history: Some(History::default()),
        secret: true,
        ..Namespace::default()
    };
    let namespaces = named(&[("hidden", hidden)]);
    for action in RoomAction::ALL {
        let mut work = Vec::new();
        for name in ["hidden:room", "missing:room", "hidden:", "hidden:\n"] {
            let caller = Counting::default();
            let room = namespaces.resolve(name, 255).unwrap();
            assert_eq!(room.may(action, &caller), Err(Denied::Forbidden), "{name}");
            work.push((caller.users.get(), caller.grants.get()));
            assert!(caller.roles.get() <= 1, "{name}");
        }
        assert!(
            work.iter().all(|done| *done == work[0]),
            "{action:?}: {work:?}"
        );
        assert_eq!(work[0].1, 1, "grants are looked at once");
    }
}

#[test]
fn what_somebody_owns_is_told_by_its_name() {
    for (owners, name, want) in [
        (Owners::Nobody, "bob", Ok(())),
        (Owners::Name, "ann", Ok(())),
        (Owners::Name, "bob", Err(Denied::Forbidden)),
        (Owners::Name, "ann,bob", Err(Denied::Forbidden)),
        (Owners::List, "ann", Ok(())),
        (Owners::List, "bob,ann", Ok(())),
        (Owners::List, "bob,anna", Err(Denied::Forbidden)),
        (Owners::List, "bob, ann", Err(Denied::Forbidden)),
        (Owners::ListBehindHash, "1#bob,ann", Ok(())),
        (Owners::ListBehindHash, "#ann", Ok(())),
        (Owners::ListBehindHash, "1#bob", Err(Denied::Forbidden)),
        (Owners::ListBehindHash, "#", Err(Denied::Forbidden)),
        (Owners::ListBehindHash, "1#bob#ann", Err(Denied::Forbidden)),
    ] {
        let owned = Namespace {
            owners,
            ..Namespace::default()
        };
        // The prefix is not part of the name, and the default namespace has none.
        let inbox = named(&[("inbox", owned.clone())]);
        let only = Namespaces::only(owned).unwrap();
        let full = format!("inbox:{name}");
        for (namespaces, name) in [(&inbox, &*full), (&only, name)] {
            let room = namespaces.resolve(name, 255).unwrap();
            for action in RoomAction::ALL {
                assert_eq!(room.may(action, &ANN), want, "{name} {action:?}");
            }
            let stranger = room.may(RoomAction::Join, &STRANGER);
            let closed = Err(Denied::Unauthorized);
            let open = if owners == Owners::Nobody {
                Ok(())
            } else {
                closed
            };
            assert_eq!(stranger, open, "{name}");
        }
    }
}

/// Maps of who is in a room are where rooms of such maps are.
#[test]
fn presence_maps_lead_to_maps_of_their_kind() {
    let map_of = |of| Namespace {
        history: Some(History::default()),
        map: Some(RoomMap {
            of,
            ..RoomMap::default()
        }),
        ..Namespace::default()
    };
    let told = |connections: Option<&str>, users: Option<&str>| Namespace {
        presence_maps: PresenceMaps {
            connections: connections.map(str::to_owned),
            users: users.map(str::to_owned),
        },
        ..Namespace::default()
    };
    let all = |game: Namespace| {
        let named = [
            ("game", game),
            ("clients", map_of(MapOf::Connections)),
            ("users", map_of(MapOf::Users)),
            ("map", map_of(MapOf::Published)),
        ];
        Namespaces::new(Namespace::default(), named)
    };
    let good = all(told(Some("clients:"), Some("users:here/"))).expect("they lead there");
    assert!(good.change_maps() && good.have_maps());
    for (connections, users, field) in [
        (Some("users:"), None, "connections"),
        (None, Some("clients:"), "users"),
        (Some("map:"), None, "connections"),
        (Some("none:"), None, "connections"),
        (Some("plain"), None, "connections"),
    ] {
        let refused = all(told(connections, users)).expect_err("no such maps");
        let NamespaceError::PresenceMap(of, found, _) = &refused else {
            panic!("{refused}");
        };
        assert_eq!((&**of, *found), ("game", field));
        assert!(refused.to_string().starts_with("presence_maps."));
    }
    let none = Namespaces::only(Namespace::default()).expect("it fits");
    assert!(!none.change_maps() && !none.have_maps());
    for (map, field) in [
        (
            RoomMap {
                remove_left: true,
                ..RoomMap::default()
            },
            "remove_left",
        ),
        (
            RoomMap {
                of: MapOf::Users,
                key_ttl: Some(Duration::from_secs(60)),
                ..RoomMap::default()
            },
            "key_ttl",
        ),
    ] {
        let namespace = Namespace {
            map: Some(map),
            ..map_of(MapOf::Published)
        };
        match Namespaces::only(namespace) {
            Err(NamespaceError::Map(_, found, _)) => assert_eq!(found, field),
            other => panic!("{other:?}"),
        }
    }
}
