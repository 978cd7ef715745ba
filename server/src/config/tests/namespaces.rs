//! What a user may say of namespaces, what is answered, and what the documentation says of them.

use super::*;
use crate::namespace::{
    AckOptions, Characters, ControlPolicy, History, MapOf, Namespace, Newcomers, Owners,
    PresenceMaps, PresenceOf, PresenceOptions, Roles, RoomMap, RoomOrder, SlowReader, Who,
};

/// The default namespace and the others.
type Classes<'a> = (Namespace, &'a [(&'a str, Namespace)]);

/// Asserts the namespaces of a file, or every problem in order.
fn check_namespaces(file: &str, want: Result<Classes<'_>, &[&str]>) {
    let inputs = Inputs {
        file,
        ..Inputs::default()
    };
    let got = check(&inputs.given())
        .map(|settings| settings.namespaces())
        .map_err(|problems| problems.iter().map(Problem::to_string).collect::<Vec<_>>());
    let want = want
        .map(|(default, named)| Namespaces::new(default, named.iter().cloned()).unwrap())
        .map_err(|problems| problems.iter().map(|text| (*text).to_owned()).collect());
    assert_eq!(got, want, "{file}");
}

fn roles(names: &[&str]) -> Who {
    Who::Roles(Roles::new(names).unwrap())
}

/// The namespaces of the example in `docs/configuration.md`.
fn documented() -> (Namespace, [(&'static str, Namespace); 2]) {
    let default = Namespace {
        publish: Who::Nobody,
        ..Namespace::default()
    };
    let chat = Namespace {
        join: Who::Users,
        publish: roles(&["moderator", "member"]),
        presence: roles(&["moderator"]),
        owners: Owners::Nobody,
        echo: false,
        members_max: 500,
        names: NameRules {
            bytes_max: 64,
            characters: Characters::Alphanumeric,
        },
        control_characters: ControlPolicy::Strip,
        secret: false,
        history_read: roles(&["moderator", "member"]),
        history: Some(History {
            publications_max: 500,
            bytes_max: 4 << 20,
            ttl: Duration::from_secs(86_400),
            epoch_ttl: Duration::from_secs(7 * 86_400),
            idempotency: Some(Duration::from_secs(600)),
            last: Newcomers::Newest,
            acks: Some(AckOptions {
                timeout: Duration::from_secs(30),
                attempts_max: 3,
            }),
            order: RoomOrder::Fast,
        }),
        slow_reader: SlowReader::CatchUp,
        presence_events: Some(PresenceOptions {
            of: PresenceOf::Users,
            grace: Duration::from_secs(60),
            events_members_max: 50,
        }),
        deltas: false,
        tag_filters: false,
        map: None,
        presence_maps: PresenceMaps::default(),
    };
    let incident_room = Namespace {
        join: roles(&["staff"]),
        publish: roles(&["staff"]),
        presence: roles(&["staff"]),
        secret: true,
        ..Namespace::default()
    };
    (default, [("chat", chat), ("incident-room", incident_room)])
}

#[test]
fn namespaces_are_read() {
    let default = Namespace::default;
    check_namespaces("", Ok((default(), &[])));
    check_namespaces("[namespaces]", Ok((default(), &[])));
    // Each begins with the defaults, whatever `[rooms]` says.
    let quiet = Namespace {
        echo: false,
        ..default()
    };
    check_namespaces(
        "rooms.echo = false\n[namespaces.default]\n[namespaces.a-Z_9]",
        Ok((quiet, &[("default", default()), ("a-Z_9", default())])),
    );
    let short = |bytes_max| Namespace {
        names: NameRules {
            bytes_max,
            ..NameRules::default()
        },
        ..default()
    };
    check_namespaces(
        "limits.max_room_name_bytes = 20\nnamespaces.a.max_name_bytes = 10\n[namespaces.b]",
        Ok((short(20), &[("a", short(10)), ("b", short(20))])),
    );
    for (text, want) in [
        ("'anyone'", Who::Anyone),
        ("'users'", Who::Users),
        ("'nobody'", Who::Nobody),
        ("['a']", roles(&["a"])),
        ("[ 'a', 'b:c/1.2_-' ]", roles(&["a", "b:c/1.2_-"])),
        ("'[a, b]'", roles(&["a", "b"])),
    ] {
        let namespace = Namespace {
            join: want,
            ..default()
        };
        let file = format!("namespaces.chat.join = {text}");
        check_namespaces(&file, Ok((default(), &[("chat", namespace)])));
    }
    let most: String = (0..1_000)
        .map(|index| format!("[namespaces.n{index}]\n"))
        .collect();
    let named: Vec<String> = (0..1_000).map(|index| format!("n{index}")).collect();
    let named: Vec<_> = named.iter().map(|name| (&**name, default())).collect();
    check_namespaces(&most, Ok((default(), &named)));
}

#[test]
fn the_default_namespace_has_keys_like_others() {
    check_inputs(
        Inputs {
            set: &["rooms.join=[staff, root]"],
            environment: &[
                ("SHARDCAST_ROOMS_JOIN", "users"),
                ("SHARDCAST_ROOMS_ECHO", "false"),
            ],
            file: "[rooms]\necho = true\nname_characters = 'ascii'",
            ..Inputs::default()
        },
        Ok(&|settings| {
            let all = "[rooms]\njoin = ['staff', 'root']\necho = false\nname_characters = 'ascii'";
            let given = Inputs {
                file: all,
                ..Inputs::default()
            };
            settings.rooms = check(&given.given()).unwrap().rooms;
        }),
    );
}

const WHO: &str = "must be anyone, users, nobody or a list of 1 to 32 roles, such as [moderator,member], each another word of 1 to 64 characters of A-Z, a-z, 0-9 and _.:/-";

/// Asserts the one problem of a file in which the namespace `chat` has these options in its second
/// line.
fn check_option(text: &str, problem: &str) {
    check_namespaces(&format!("[namespaces.chat]\n{text}"), Err(&[problem]));
}

#[test]
fn unknown_options_are_answered_with_the_nearest() {
    for (text, option, nearest) in [
        ("publsh = 'users'", "publsh", "publish"),
        ("members_max = 1", "members_max", "max_members"),
        (
            "[namespaces.chat.retention]\nsize = 1",
            "retention",
            "presence_of",
        ),
        ("histroy = 1", "histroy", "history"),
        ("history_size = 1", "history_size", "history_bytes"),
        ("slow_readers = 'conflate'", "slow_readers", "slow_reader"),
    ] {
        check_option(
            text,
            &format!(
                "unknown key namespaces.chat.{option} (from s.toml, line 2); the nearest known one is namespaces.chat.{nearest}"
            ),
        );
    }
    check_namespaces(
        "[namespace.chat]",
        Err(&[
            "unknown section [namespace] (from s.toml, line 1); the nearest known one is [namespaces]",
        ]),
    );
}

#[test]
fn a_wrong_option_is_answered_with_its_rule() {
    for (option, text, shown, rule) in [
        ("max_members", "0", "0", "a whole number from 1 to 10000000"),
        (
            "max_members",
            "'5k'",
            "5k",
            "a whole number from 1 to 10000000",
        ),
        ("echo", "'yes'", "yes", "true or false"),
        ("secret", "{}", "table", "true or false"),
        (
            "max_name_bytes",
            "'5KiB'",
            "5KiB",
            "same, or bytes, or a number with KiB, MiB or GiB, from 1 to 4KiB",
        ),
        (
            "name_characters",
            "'latin'",
            "latin",
            "any, ascii or alphanumeric",
        ),
        (
            "control_characters",
            "true",
            "true",
            "allow, strip or reject",
        ),
    ] {
        check_wrong(option, text, shown, rule);
    }
}

#[test]
fn what_cannot_be_kept_is_answered_with_its_rule() {
    for (option, text, shown, rule) in [
        (
            "history",
            "'off'",
            "off",
            "none, or a whole number from 1 to 100000",
        ),
        (
            "history_bytes",
            "'1GB'",
            "1GB",
            "bytes, or a number with KiB, MiB or GiB, from 1KiB to 1GiB",
        ),
        (
            "history_ttl",
            "60",
            "60",
            "a number with ms, s, m, h or d, from 1s to 365d",
        ),
        (
            "epoch_ttl",
            "'none'",
            "none",
            "a number with ms, s, m, h or d, from 1s to 365d",
        ),
        (
            "idempotency",
            "'0s'",
            "0s",
            "none, or a number with ms, s, m, h or d, from 1s to 1d",
        ),
        ("last", "true", "true", "none, newest or newest_by_key"),
        (
            "slow_reader",
            "'drop'",
            "drop",
            "disconnect, drop_oldest, drop_newest, conflate or catch_up",
        ),
        ("presence_events", "'on'", "on", "true or false"),
        (
            "presence_grace",
            "'61m'",
            "61m",
            "a number with ms, s, m, h or d, from 0ms to 1h",
        ),
        (
            "presence_grace",
            "0",
            "0",
            "a number with ms, s, m, h or d, from 0ms to 1h",
        ),
        (
            "presence_events_max_members",
            "1000001",
            "1000001",
            "a whole number from 0 to 1000000",
        ),
        ("presence_of", "'user'", "user", "connections or users"),
    ] {
        check_wrong(option, text, shown, rule);
    }
}

/// Asserts the answer to one option of the namespace `chat` that breaks its own rule.
fn check_wrong(option: &str, text: &str, shown: &str, rule: &str) {
    check_option(
        &format!("{option} = {text}"),
        &format!("namespaces.chat.{option} = {shown:?} (from s.toml, line 2) must be {rule}"),
    );
}

#[test]
fn who_is_a_word_or_a_list_of_roles() {
    let long = "n".repeat(65);
    let many: Vec<String> = (0..33).map(|index| format!("r{index}")).collect();
    let many = many.join("','");
    for (text, shown) in [
        ("'user'", "user"),
        ("'moderator,member'", "moderator,member"),
        ("true", "true"),
        ("[]", "[]"),
        ("['a', '']", "[a,]"),
        ("['a b']", "[a b]"),
        ("['users', 'staff']", "[users,staff]"),
        ("['a,b']", "array"),
        ("['a', 1]", "array"),
        ("[['a']]", "array"),
        (&format!("['{long}']"), &format!("[{long}]")),
        (
            &format!("['{many}']"),
            &format!("[{}]", many.replace('\'', "")),
        ),
    ] {
        for option in ["join", "publish", "presence", "history_read"] {
            check_option(
                &format!("{option} = {text}"),
                &format!("namespaces.chat.{option} = {shown:?} (from s.toml, line 2) {WHO}"),
            );
        }
    }
    check_namespaces(
        "rooms.join = 'user'",
        Err(&[&format!(
            "rooms.join = \"user\" (from s.toml, line 1) {WHO}"
        )]),
    );
}

#[test]
fn what_is_no_namespace_is_answered_with_its_rule() {
    let long = "n".repeat(65);
    let called = "must be called by 1 to 64 characters of A-Z, a-z, 0-9, _ and -";
    let tables = "from s.toml, line 1: namespaces must be tables, such as [namespaces.chat]";
    for (file, want) in [
        (
            "[namespaces.'a b']",
            &*format!("namespace \"a b\" (from s.toml, line 1) {called}"),
        ),
        (
            "[namespaces.'']",
            &format!("namespace \"\" (from s.toml, line 1) {called}"),
        ),
        (
            &format!("[namespaces.{long}]"),
            &format!("namespace {long:?} (from s.toml, line 1) {called}"),
        ),
        (
            "[namespaces]\npublish = 'users'",
            "namespace \"publish\" (from s.toml, line 2) must be a table of options, such as [namespaces.chat]",
        ),
        ("namespaces = 'chat'", tables),
        ("[[namespaces]]", tables),
    ] {
        check_namespaces(file, Err(&[want]));
    }
    let many = (0..1_001).map(|index| format!("[namespaces.n{index:04}]\n"));
    check_namespaces(
        &many.collect::<String>(),
        Err(&["namespace \"n1000\" (from s.toml, line 1001) is one too many: 1000 may be"]),
    );
}

#[test]
fn names_of_rooms_must_fit() {
    check_namespaces(
        "[rooms]\nmax_name_bytes = 256\n[namespaces.chat]\nmax_name_bytes = '1KiB'\n[namespaces.letter]\nmax_name_bytes = 7",
        Err(&[
            "rooms.max_name_bytes = \"256\" (from s.toml, line 2) must be at most limits.max_room_name_bytes (255)",
            "namespaces.chat.max_name_bytes = \"1KiB\" (from s.toml, line 4) must be at most limits.max_room_name_bytes (255)",
            "namespaces.letter.max_name_bytes = \"7\" (from s.toml, line 6) must be at least 8, for the prefix, the colon and a name (limits.max_room_name_bytes is 255)",
        ]),
    );
    check_namespaces(
        "limits.max_room_name_bytes = 5\n[namespaces.chat]",
        Err(&[
            "namespaces.chat.max_name_bytes = \"same\" (the default) must be at least 6, for the prefix, the colon and a name (limits.max_room_name_bytes is 5)",
        ]),
    );
}

#[test]
fn what_is_kept_is_read() {
    let chat = |namespace: Namespace| (Namespace::default(), [("chat", namespace)]);
    for (text, history, slow_reader) in [
        (
            "history = 7",
            Some(History {
                publications_max: 7,
                ..History::default()
            }),
            SlowReader::Disconnect,
        ),
        (
            "history = 1\nlast = 'newest_by_key'\nidempotency = 'none'\nslow_reader = 'conflate'",
            Some(History {
                publications_max: 1,
                last: Newcomers::NewestByKey,
                idempotency: None,
                ..History::default()
            }),
            SlowReader::Conflate,
        ),
        // What concerns a history says nothing without one.
        (
            "history_ttl = '1h'\nslow_reader = 'drop_oldest'",
            None,
            SlowReader::DropOldest,
        ),
        (
            "history = 'none'\nslow_reader = 'drop_newest'",
            None,
            SlowReader::DropNewest,
        ),
    ] {
        let (default, named) = chat(Namespace {
            history,
            slow_reader,
            ..Namespace::default()
        });
        let file = format!("[namespaces.chat]\n{text}");
        check_namespaces(&file, Ok((default, &named)));
    }
    check_namespaces(
        "[rooms]\nhistory = 2",
        Ok((
            Namespace {
                history: Some(History {
                    publications_max: 2,
                    ..History::default()
                }),
                ..Namespace::default()
            },
            &[],
        )),
    );
}

#[test]
fn what_is_kept_must_fit() {
    check_namespaces(
        "[rooms]\nhistory = 1\nhistory_bytes = '64KiB'\n[namespaces.chat]\nhistory = 5\nhistory_bytes = 66559\n[namespaces.none]\nhistory_bytes = '1KiB'",
        Err(&[
            "rooms.history_bytes = \"64KiB\" (from s.toml, line 3) must be at least 65KiB, or a large message would not be kept: limits.max_message_bytes (64KiB), which may be lowered, and 1KiB more",
            "namespaces.chat.history_bytes = \"66559\" (from s.toml, line 6) must be at least 65KiB, or a large message would not be kept: limits.max_message_bytes (64KiB), which may be lowered, and 1KiB more",
        ]),
    );
    check_namespaces(
        "[limits]\nmax_message_bytes = '2MiB'\noutbox_bytes = '4MiB'\n[namespaces.chat]\nhistory = 5",
        Err(&[
            "namespaces.chat.history_bytes = \"1MiB\" (the default) must be at least 2049KiB, or a large message would not be kept: limits.max_message_bytes (2MiB), which may be lowered, and 1KiB more",
        ]),
    );
    check_namespaces(
        "[server]\nshards = 4\npin = 'none'\n[limits]\nlog_bytes = '16MiB'\n[namespaces.chat]\nhistory = 5\nhistory_bytes = '5MiB'\n[namespaces.none]\nhistory_bytes = '5MiB'",
        Err(&[
            "namespaces.chat.history_bytes = \"5MiB\" (from s.toml, line 8) must be at most 4MiB: a shard's share of limits.log_bytes (16MiB), which may be raised (server.shards is 4)",
        ]),
    );
    check_namespaces(
        "[server]\nshards = 4\npin = 'none'\n[limits]\nlog_bytes = '3MiB'",
        Err(&[
            "limits.log_bytes = \"3MiB\" (from s.toml, line 5) must be at least 4MiB: 1MiB for each shard (server.shards is 4)",
        ]),
    );
    check_namespaces(
        "[rooms]\nlast = 'newest'\n[namespaces.chat]\nlast = 'newest_by_key'",
        Err(&[
            "rooms.last = \"newest\" (from s.toml, line 2) must be none unless history says how many publications are kept",
            "namespaces.chat.last = \"newest_by_key\" (from s.toml, line 4) must be none unless history says how many publications are kept",
        ]),
    );
}

/// Only where there is a broker it is asked to order rooms, and only those that keep a history.
#[test]
fn rooms_are_ordered_by_a_broker_that_can() {
    const RULE: &str = "must be fast unless history says how many publications are kept, and cluster.broker is redis or nats, which orders rooms";
    let cluster =
        |broker: &str| format!("[cluster]\nbroker = '{broker}'\nurl = '{broker}://127.0.0.1:1'\n");
    let ordered = "[namespaces.chat]\nhistory = 5\norder = 'broker'";
    for (file, line) in [
        (ordered.to_owned(), 3),
        (cluster("redis") + "[namespaces.chat]\norder = 'broker'", 5),
        (cluster("nats") + "[namespaces.chat]\norder = 'broker'", 5),
    ] {
        let problem =
            format!("namespaces.chat.order = \"broker\" (from s.toml, line {line}) {RULE}");
        check_namespaces(&file, Err(&[&problem]));
    }
    let history = Some(History {
        publications_max: 5,
        order: RoomOrder::Broker,
        ..History::default()
    });
    let chat = Namespace {
        history,
        ..Namespace::default()
    };
    let rooms = [("chat", chat)];
    for broker in ["redis", "nats"] {
        let read = Ok((Namespace::default(), &rooms[..]));
        check_namespaces(&(cluster(broker) + ordered), read);
    }
}

/// The engine is told what rooms keep, once for all that keep the same.
#[test]
fn what_is_kept_is_what_the_engine_takes() {
    let file = "limits.logs = 70\nlimits.log_bytes = '512GiB'\n[rooms]\nhistory = 1\n[namespaces.a]\nhistory = 100000\nhistory_bytes = '1GiB'\nhistory_ttl = '365d'\nepoch_ttl = '365d'\nidempotency = '1d'\n\
         [namespaces.b]\nslow_reader = 'catch_up'\n[namespaces.c]\nslow_reader = 'catch_up'\njoin = 'users'\n[namespaces.d]\nhistory = 1\n[namespaces.e]\nhistory = 1\nhistory_bytes = '65KiB'\nhistory_ttl = '1s'\nepoch_ttl = '1s'\nidempotency = '1s'";
    let inputs = Inputs {
        file,
        ..Inputs::default()
    };
    let settings = check(&inputs.given()).unwrap();
    let mut engine = engine_of(&settings);
    engine.logs = settings.namespaces().logs(engine.message_bytes_max());
    assert_eq!(engine.logs_max, 70);
    assert_eq!(engine.check(), Ok(()));
    let kept = engine.logs.iter();
    let kept: Vec<_> = kept
        .map(|log| (log.publications_max, log.bytes_max))
        .collect();
    assert_eq!(
        kept,
        [
            (1, 1 << 20),
            (100_000, 1 << 30),
            (256, 256 << 10),
            (1, 65 << 10)
        ]
    );
}

#[test]
fn what_is_told_of_members_is_read() {
    let options = PresenceOptions::default();
    for (text, want) in [
        ("presence_events = true", Some(options)),
        (
            "presence_events = true\npresence_grace = '0s'\npresence_events_max_members = 0",
            Some(PresenceOptions {
                grace: Duration::ZERO,
                events_members_max: 0,
                ..options
            }),
        ),
        (
            "presence_events = true\npresence_grace = '1h'\npresence_events_max_members = 1000000\npresence_of = 'users'",
            Some(PresenceOptions {
                of: PresenceOf::Users,
                grace: Duration::from_secs(3_600),
                events_members_max: 1_000_000,
            }),
        ),
        // What concerns the events says nothing without them.
        (
            "presence_grace = '1s'\npresence_events_max_members = 7",
            None,
        ),
        ("presence_events = false", None),
    ] {
        let namespace = Namespace {
            presence_events: want,
            ..Namespace::default()
        };
        let file = format!("[namespaces.chat]\n{text}");
        check_namespaces(&file, Ok((Namespace::default(), &[("chat", namespace)])));
    }
    check_namespaces(
        "[rooms]\npresence_of = 'users'\n[namespaces.chat]\npresence_of = 'users'",
        Err(&[
            "rooms.presence_of = \"users\" (from s.toml, line 2) must be connections unless presence_events is true",
            "namespaces.chat.presence_of = \"users\" (from s.toml, line 4) must be connections unless presence_events is true",
        ]),
    );
}

#[test]
fn ranges_of_what_is_told_of_members_are_exact_at_both_ends() {
    check_range("rooms.presence_grace", ["0s", "1h"], ["0", "61m"]);
    let members = "rooms.presence_events_max_members";
    check_range(members, ["0", "1000000"], ["-1", "1000001"]);
}

/// The engine is told how rooms know their members, once for all that do it alike.
#[test]
fn what_is_told_of_members_is_what_the_engine_takes() {
    let file = "[rooms]\npresence_events = true\n[namespaces.a]\npresence_events = true\njoin = 'users'\n[namespaces.b]\n\
         [namespaces.c]\npresence_events = true\npresence_of = 'users'\npresence_grace = '1h'\npresence_events_max_members = 1000000";
    let inputs = Inputs {
        file,
        ..Inputs::default()
    };
    let settings = check(&inputs.given()).unwrap();
    let mut engine = engine_of(&settings);
    engine.presence = settings.namespaces().presence();
    assert_eq!(engine.check(), Ok(()));
    let mut told = engine.presence;
    told.sort_by_key(|options| options.grace);
    let most = PresenceOptions {
        of: PresenceOf::Users,
        grace: PresenceOptions::GRACE_MAX,
        events_members_max: *PresenceOptions::EVENTS_MEMBERS.end(),
    };
    assert_eq!(told, [PresenceOptions::default(), most]);
}

#[test]
fn namespaces_come_from_the_file_only() {
    check_inputs(
        Inputs {
            set: &["namespaces.chat.join=users"],
            environment: &[("SHARDCAST_NAMESPACES_CHAT_JOIN", "users")],
            ..Inputs::default()
        },
        Err(&[
            "from --set: namespaces.chat.join cannot be set here: namespaces stand in the configuration file",
            "from the environment: SHARDCAST_NAMESPACES_CHAT_JOIN cannot be set here: namespaces stand in the configuration file",
        ]),
    );
}

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// The files of the page.
fn files() -> impl Iterator<Item = &'static str> {
    let blocks = PAGE.split("```toml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap())
}

/// The one with namespaces.
fn example() -> &'static str {
    files().find(|file| file.contains("[namespaces.")).unwrap()
}

#[test]
fn the_documented_files_can_be_used() {
    for file in files() {
        let inputs = Inputs {
            file,
            ..Inputs::default()
        };
        assert_eq!(check(&inputs.given()).map(|_| ()), Ok(()), "{file}");
    }
    let (default, named) = documented();
    check_namespaces(example(), Ok((default, &named)));
}

#[test]
fn every_option_of_a_namespace_is_explained() {
    let section = PAGE
        .split("\n## ")
        .find(|section| section.starts_with("Namespaces\n"))
        .unwrap();
    for key in group::NAMESPACES.keys() {
        let (_, option) = key.parts();
        let row = format!(
            "\n| `{option}` | `{}` | ",
            key.show_toml(&Settings::default())
        );
        assert!(section.contains(&row), "{row}");
        assert!(
            section.contains(&format!("\n{option} = ")),
            "the example lacks {option}"
        );
    }
}

/// The end of the page of the documented example.
const EFFECTIVE: &str = "
[namespaces.chat]
join = \"users\" # from s.toml, line 7
publish = [\"moderator\", \"member\"] # from s.toml, line 8
presence = [\"moderator\"] # from s.toml, line 9
owned_by = \"nobody\" # from s.toml, line 10
echo = false # from s.toml, line 11
max_members = 500 # from s.toml, line 12
max_name_bytes = 64 # from s.toml, line 13
name_characters = \"alphanumeric\" # from s.toml, line 14
control_characters = \"strip\" # from s.toml, line 15
secret = false
history = 500 # from s.toml, line 16
history_bytes = \"4MiB\" # from s.toml, line 17
history_ttl = \"1d\" # from s.toml, line 18
history_read = [\"moderator\", \"member\"] # from s.toml, line 19
last = \"newest\" # from s.toml, line 20
idempotency = \"10m\" # from s.toml, line 21
epoch_ttl = \"7d\" # from s.toml, line 22
slow_reader = \"catch_up\" # from s.toml, line 23
order = \"fast\" # from s.toml, line 33
acks = true # from s.toml, line 24
ack_timeout = \"30s\" # from s.toml, line 25
ack_attempts = 3 # from s.toml, line 26
presence_events = true # from s.toml, line 27
presence_grace = \"1m\" # from s.toml, line 28
presence_events_max_members = 50 # from s.toml, line 29
presence_of = \"users\" # from s.toml, line 30
deltas = false # from s.toml, line 31
tag_filters = false # from s.toml, line 32
map = false # from s.toml, line 34
map_keys = 1000 # from s.toml, line 35
map_bytes = \"1MiB\" # from s.toml, line 36
map_key_ttl = \"1h\" # from s.toml, line 37
map_client_key = \"user\" # from s.toml, line 38
map_remove_left = false # from s.toml, line 39
map_recovery = \"changes\" # from s.toml, line 40
map_of = \"published\" # from s.toml, line 41
presence_connections = \"none\" # from s.toml, line 42
presence_users = \"none\" # from s.toml, line 43

[namespaces.incident-room]
join = [\"staff\"] # from s.toml, line 47
publish = [\"staff\"] # from s.toml, line 48
presence = [\"staff\"] # from s.toml, line 49
owned_by = \"nobody\"
echo = true
max_members = 1000000
max_name_bytes = \"same\"
name_characters = \"any\"
control_characters = \"allow\"
secret = true # from s.toml, line 50
history = \"none\"
history_bytes = \"1MiB\"
history_ttl = \"5m\"
history_read = \"anyone\"
last = \"none\"
idempotency = \"5m\"
epoch_ttl = \"30d\"
slow_reader = \"disconnect\"
order = \"fast\"
acks = false
ack_timeout = \"10s\"
ack_attempts = 5
presence_events = false
presence_grace = \"30s\"
presence_events_max_members = 200
presence_of = \"connections\"
deltas = true
tag_filters = true
map = false
map_keys = 10000
map_bytes = \"4MiB\"
map_key_ttl = \"none\"
map_client_key = \"any\"
map_remove_left = false
map_recovery = \"changes\"
map_of = \"published\"
presence_connections = \"none\"
presence_users = \"none\"
";

#[test]
fn the_effective_page_shows_namespaces_with_their_sources() {
    let inputs = Inputs {
        file: example(),
        ..Inputs::default()
    };
    let given = inputs.given();
    let settings = check(&given).unwrap();
    let page = effective_page(&settings, &given);
    assert!(page.ends_with(EFFECTIVE), "{page}");
    let again = Inputs {
        file: &page,
        ..Inputs::default()
    };
    assert_eq!(check(&again.given()), Ok(settings));
}

#[test]
fn the_namespace_in_the_default_page_is_one() {
    let page = default_page();
    let (_, example) = page.split_once("# [namespaces.chat]\n").unwrap();
    let file = format!("[namespaces.chat]\n{}", example.replace("# ", ""));
    let chat = Namespace {
        join: Who::Users,
        publish: roles(&["moderator", "member"]),
        ..Namespace::default()
    };
    check_namespaces(&file, Ok((Namespace::default(), &[("chat", chat)])));
}

/// Maps are possible where they hold what they say, and those of who is in a room lead to such.
#[test]
fn maps_are_where_they_may_be() {
    let kept = "map = true\nhistory = 10\n";
    let clients = format!("[namespaces.clients]\n{kept}map_of = 'connections'\n");
    let map = RoomMap {
        of: MapOf::Connections,
        ..RoomMap::default()
    };
    let of_clients = Namespace {
        history: Some(History {
            publications_max: 10,
            ..History::default()
        }),
        map: Some(map),
        ..Namespace::default()
    };
    let told = Namespace {
        presence_maps: PresenceMaps {
            connections: Some("clients:".to_owned()),
            users: None,
        },
        ..Namespace::default()
    };
    check_namespaces(
        &format!("rooms.presence_connections = 'clients:'\n{clients}"),
        Ok((told, &[("clients", of_clients)])),
    );
    let (not_there, of_clients) = (
        "presence_connections = 'none:'",
        "presence_users = 'clients:'",
    );
    for (text, problem) in [
        (
            format!("[namespaces.a]\n{not_there}"),
            "namespaces.a.presence_connections = \"none:\" (from s.toml, line 2) must be none, or how rooms of a namespace begin whose map_of is connections",
        ),
        (
            format!("[rooms]\n{of_clients}\n{clients}"),
            "rooms.presence_users = \"clients:\" (from s.toml, line 2) must be none, or how rooms of a namespace begin whose map_of is users",
        ),
        (
            "[rooms]\nmap_of = 'users'".to_owned(),
            "rooms.map_of = \"users\" (from s.toml, line 2) must be published unless map is true",
        ),
        (
            format!("{clients}map_key_ttl = '1m'"),
            "namespaces.clients.map_key_ttl = \"1m\" (from s.toml, line 5) must be none unless map_of is published: a key stays as long as who it is of",
        ),
        (
            format!("[rooms]\n{kept}map_remove_left = true"),
            "rooms.map_remove_left = \"true\" (from s.toml, line 4) must be false unless map_client_key is connection",
        ),
        (
            "[rooms]\nmap = true".to_owned(),
            "rooms.map = \"true\" (from s.toml, line 2) must be false unless history says how many publications are kept, order is fast, and slow_reader is disconnect, conflate or catch_up",
        ),
        (
            format!("cluster.broker = 'nats'\ncluster.url = 'nats://127.0.0.1:1'\n[rooms]\n{kept}"),
            "rooms.map = \"true\" (from s.toml, line 4) must be false in a cluster (cluster.broker): each node would hold a map of its own, without what was published before it heard the room",
        ),
    ] {
        check_namespaces(&text, Err(&[problem]));
    }
}

/// An operator who stores what rooms keep is told that maps are not.
#[test]
fn maps_are_in_memory_and_that_is_told() {
    let file = "persistence.path = '/nowhere'\n[rooms]\nhistory = 1\n[namespaces.a]\nmap = true\nhistory = 1\n[namespaces.b]";
    for (file, count) in [(file, 1), (&file[file.find('\n').expect("lines")..], 0)] {
        let inputs = Inputs {
            file,
            ..Inputs::default()
        };
        let settings = check(&inputs.given()).expect("it serves");
        let told = warnings(&settings);
        assert_eq!(told.len(), count, "{told:?}");
        assert!(
            told.iter()
                .all(|told| told.starts_with("namespaces.a.map: "))
        );
    }
}
