//! What a user may say, and what is answered.

mod limits;
mod namespaces;

use super::auth::TokenKeySettings;
use super::group::{self, Group};
use super::keys::KEYS;
use super::place::Place;
use super::problem::Problem;
use super::tls::Files;
use super::value::{OwnSize, ShardCount};
use super::*;
use crate::auth::algorithm::TokenAlgorithm;
use crate::auth::options::{TokenMode, TokenSource};
use crate::namespace::{NameRules, Namespaces};
use shardcast_engine::{Compression, Pinning, TlsVersion};
use std::ffi::OsString;
use std::time::Duration;

/// Everything a user can give.
#[derive(Clone, Copy, Default)]
struct Inputs<'a> {
    flags: &'a [(&'a str, &'a str)],
    set: &'a [&'a str],
    environment: &'a [(&'a str, &'a str)],
    file: &'a str,
}

impl Inputs<'_> {
    fn given(&self) -> Given {
        let mut given = Given::default();
        for (name, text) in self.flags {
            given.flag(name, text);
        }
        for assignment in self.set {
            given.set(assignment);
        }
        given.environment(
            self.environment
                .iter()
                .map(|(name, text)| (OsString::from(name), OsString::from(text))),
        );
        given.toml("s.toml", self.file);
        given
    }
}

/// The settings, as changes to the defaults, or every problem in order.
type Want<'a> = Result<&'a dyn Fn(&mut Settings), &'a [&'a str]>;

/// Asserts the settings, or every problem in order.
fn check_inputs(inputs: Inputs<'_>, want: Want<'_>) {
    let got = check(&inputs.given())
        .map_err(|problems| problems.iter().map(Problem::to_string).collect::<Vec<_>>());
    let want = want
        .map(|change| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings
        })
        .map_err(|problems| {
            problems
                .iter()
                .map(|problem| (*problem).to_owned())
                .collect::<Vec<_>>()
        });
    assert_eq!(got, want);
}

fn check_file(file: &str, want: Want<'_>) {
    check_inputs(
        Inputs {
            file,
            ..Inputs::default()
        },
        want,
    );
}

/// Of a process that was given no sockets.
fn engine_of(settings: &Settings) -> shardcast_engine::Config {
    let engine = settings.engine(None, |key, name| Err(format!("{key}: {name}")));
    engine.unwrap()
}

#[test]
fn nothing_said_gives_the_defaults() {
    check_inputs(Inputs::default(), Ok(&|_| ()));
    check_inputs(
        Inputs {
            environment: &[("PATH", "/bin"), ("SHARDCASTER", "x")],
            file: "[server]\n",
            ..Inputs::default()
        },
        Ok(&|_| ()),
    );
    let settings = Settings::default();
    assert_eq!(
        (
            engine_of(&settings).listeners[0].source.to_string(),
            settings.admin().to_string()
        ),
        ("127.0.0.1:8000".into(), "127.0.0.1:8001".into())
    );
}

#[test]
fn every_kind_of_value_is_read() {
    check_file(
        "[server]\nlisten = '[::1]:0'\nadmin = '127.0.0.2:9'\nshards = 2\npin = [0, 2]\ndrain_timeout = '500ms'\ninsecure = true\n\
         [limits]\nmax_connections = 5_000\nmax_message_bytes = '1MiB'\noutbox_bytes = 0x400000\n[timeouts]\nidle = '2h'\n[fallback]\nenabled = false\n[log]\nlevel = 'debug'\nformat = 'json'\n",
        Ok(&|settings| {
            settings.fallback = false;
            settings.listen = Place::Address("[::1]:0".parse().unwrap());
            settings.admin = "127.0.0.2:9".parse().unwrap();
            settings.shards = ShardCount::Exactly(2);
            settings.engine.pinning = Pinning::Cores(vec![0, 2]);
            settings.drain_timeout = Duration::from_millis(500);
            settings.insecure = true;
            settings.engine.connections_max = 5_000;
            settings.message_bytes_max = 1 << 20;
            settings.engine.outbox_bytes_max = 4 << 20;
            settings.engine.idle_timeout = Duration::from_secs(7_200);
            settings.log_level = tracing::Level::DEBUG;
            settings.log_format = LogFormat::Json;
        }),
    );
    check_file(
        "server.shards = 'auto'\nserver.pin = 'none'",
        Ok(&|settings| settings.engine.pinning = Pinning::None),
    );
}

#[test]
fn the_number_of_shards_reaches_the_engine() {
    let settings = check(
        &Inputs {
            flags: &[("server.shards", "7")],
            ..Inputs::default()
        }
        .given(),
    )
    .unwrap();
    assert_eq!(engine_of(&settings).shards, 7);
    // An engine compresses only if it is told to; the server does so by itself.
    let defaults = shardcast_engine::Config {
        compression: Some(Compression::default()),
        event_streams: Some("/sse".into()),
        ..shardcast_engine::Config::default()
    };
    assert_eq!(engine_of(&Settings::default()), defaults);
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let file = "[limits]\nmax_connections = 1\noutbox_frames = 100\nmax_room_name_bytes = 10\n";
    let environment = &[
        ("SHARDCAST_LIMITS_MAX_CONNECTIONS", "2"),
        ("SHARDCAST_LIMITS_OUTBOX_FRAMES", "200"),
    ];
    check_inputs(
        Inputs {
            set: &["limits.max_connections=3"],
            environment,
            file,
            ..Inputs::default()
        },
        Ok(&|settings| {
            settings.engine.connections_max = 3;
            settings.engine.outbox_frames_max = 200;
            settings.engine.room_name_bytes_max = 10;
        }),
    );
    // A flag of its own and `--set` are both flags; a wrong value that is overruled is no one's
    // problem.
    let environment = &[("SHARDCAST_SERVER_SHARDS", "many")];
    check_inputs(
        Inputs {
            flags: &[("server.shards", "2")],
            set: &["server.shards=4"],
            environment,
            ..Inputs::default()
        },
        Ok(&|settings| settings.shards = ShardCount::Exactly(2)),
    );
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    check_file(
        "\n[limits]\nmax_conections = 1\n\n[timeout]\nidle = '1s'\n",
        Err(&[
            "unknown key limits.max_conections (from s.toml, line 3); the nearest known one is limits.max_connections",
            "unknown section [timeout] (from s.toml, line 5); the nearest known one is [timeouts]",
        ]),
    );
    check_file(
        "listen = '127.0.0.1:1'\n",
        Err(&["unknown key listen (from s.toml, line 1); the nearest known one is server.listen"]),
    );
    check_inputs(
        Inputs {
            environment: &[("SHARDCAST_LIMIT_MAX_CONNECTIONS", "1")],
            ..Inputs::default()
        },
        Err(&[
            "unknown variable SHARDCAST_LIMIT_MAX_CONNECTIONS (from the environment); the nearest known one is SHARDCAST_LIMITS_MAX_CONNECTIONS",
        ]),
    );
    check_inputs(
        Inputs {
            set: &["server.pins=auto", "shards"],
            ..Inputs::default()
        },
        Err(&[
            "unknown key server.pins (from --set); the nearest known one is server.pin",
            "from --set: \"shards\" is not KEY=VALUE",
        ]),
    );
}

#[test]
fn a_wrong_value_is_answered_with_its_key_source_and_rule() {
    for (file, want) in [
        (
            "server.listen = 'localhost'",
            "server.listen = \"localhost\" (from s.toml, line 1) must be none, an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000, unix:PATH with up to 107 bytes of path, or inherited:NAME",
        ),
        (
            "server.listen = 8000",
            "server.listen = \"8000\" (from s.toml, line 1) must be none, an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000, unix:PATH with up to 107 bytes of path, or inherited:NAME",
        ),
        (
            "server.shards = 0",
            "server.shards = \"0\" (from s.toml, line 1) must be auto or a whole number from 1 to 256",
        ),
        (
            "server.insecure = 'yes'",
            "server.insecure = \"yes\" (from s.toml, line 1) must be true or false",
        ),
        (
            "server.admin = {}",
            "server.admin = \"table\" (from s.toml, line 1) must be an IP address and a port, such as 127.0.0.1:8001 or [::1]:8001",
        ),
        (
            "\nlimits.max_connections = -1",
            "limits.max_connections = \"-1\" (from s.toml, line 2) must be a whole number from 1 to 10000000",
        ),
        (
            "limits.max_connections = 1.5",
            "limits.max_connections = \"1.5\" (from s.toml, line 1) must be a whole number from 1 to 10000000",
        ),
        (
            "limits.max_message_bytes = '64KB'",
            "limits.max_message_bytes = \"64KB\" (from s.toml, line 1) must be bytes, or a number with KiB, MiB or GiB, from 125 to 64MiB",
        ),
        (
            "limits.max_message_bytes = 124",
            "limits.max_message_bytes = \"124\" (from s.toml, line 1) must be bytes, or a number with KiB, MiB or GiB, from 125 to 64MiB",
        ),
        (
            "timeouts.idle = 25",
            "timeouts.idle = \"25\" (from s.toml, line 1) must be a number with ms, s, m, h or d, from 1s to 1d",
        ),
        (
            "timeouts.idle = '0s'",
            "timeouts.idle = \"0s\" (from s.toml, line 1) must be a number with ms, s, m, h or d, from 1s to 1d",
        ),
        (
            "log.level = 'loud'",
            "log.level = \"loud\" (from s.toml, line 1) must be error, warn, info, debug or trace",
        ),
        (
            "log.format = 'xml'",
            "log.format = \"xml\" (from s.toml, line 1) must be text or json",
        ),
    ] {
        check_file(file, Err(&[want]));
    }
    check_inputs(
        Inputs {
            flags: &[("server.shards", "x")],
            environment: &[("SHARDCAST_LOG_LEVEL", "")],
            ..Inputs::default()
        },
        Err(&[
            "server.shards = \"x\" (from --shards) must be auto or a whole number from 1 to 256",
            "log.level = \"\" (from SHARDCAST_LOG_LEVEL) must be error, warn, info, debug or trace",
        ]),
    );
}

#[test]
fn ranges_are_exact_at_both_ends_and_within_those_of_the_engine() {
    for (name, inside, outside) in [
        (
            "limits.max_connections",
            ["1", "10000000"],
            ["0", "10000001"],
        ),
        (
            "limits.max_message_bytes",
            ["125", "1023KiB"],
            ["124", "65537KiB"],
        ),
        ("limits.max_depth", ["1", "127"], ["0", "128"]),
        (
            "limits.max_rooms_per_connection",
            ["1", "16384"],
            ["0", "16385"],
        ),
        ("limits.max_room_name_bytes", ["1", "4096"], ["0", "4097"]),
        (
            "limits.max_head_bytes",
            ["8KiB", "256KiB"],
            ["8191", "257KiB"],
        ),
        ("limits.max_headers", ["16", "1000"], ["15", "1001"]),
        ("compression.threshold", ["64", "64MiB"], ["63", "65537KiB"]),
        ("compression.windows", ["0", "1024GiB"], ["-1", "1025GiB"]),
        ("compression.max_ratio", ["10", "1032"], ["9", "1033"]),
        ("limits.outbox_frames", ["16", "1048576"], ["15", "1048577"]),
        ("timeouts.close", ["100ms", "24h"], ["99ms", "25h"]),
        ("timeouts.handshake", ["100ms", "24h"], ["99ms", "25h"]),
        ("timeouts.header", ["100ms", "24h"], ["99ms", "25h"]),
        ("timeouts.keep_alive", ["100ms", "24h"], ["99ms", "25h"]),
        ("timeouts.message", ["100ms", "24h"], ["99ms", "25h"]),
        (
            "limits.reassembly_bytes",
            ["256MiB", "1024GiB"],
            ["1023KiB", "1025GiB"],
        ),
        ("timeouts.frame", ["100ms", "24h"], ["99ms", "25h"]),
        ("timeouts.heartbeat", ["100ms", "119s"], ["99ms", "25h"]),
        ("timeouts.pong", ["100ms", "24h"], ["99ms", "25h"]),
        ("timeouts.progress", ["100ms", "24h"], ["99ms", "25h"]),
        ("timeouts.idle", ["26s", "24h"], ["999ms", "25h"]),
        ("centrifuge.ping_interval", ["1s", "24h"], ["999ms", "25h"]),
        ("centrifuge.pong_timeout", ["100ms", "24h"], ["99ms", "25h"]),
        (
            "centrifuge.connect_timeout",
            ["100ms", "24h"],
            ["99ms", "25h"],
        ),
        (
            "limits.outbox_bytes",
            ["65KiB", "1GiB"],
            ["1148", "1025MiB"],
        ),
        (
            "tls.max_message_bytes",
            ["125", "same"],
            ["124", "65537KiB"],
        ),
        ("server.lame_duck", ["0s", "1h"], ["1ns", "61m"]),
        ("server.drain_rate", ["1", "1000000"], ["0", "1000001"]),
        ("server.drain_timeout", ["100ms", "1h"], ["99ms", "61m"]),
        ("server.shards", ["1", "256"], ["0", "257"]),
    ] {
        check_range(name, inside, outside);
    }
}

#[test]
fn ranges_of_what_rooms_keep_are_exact_at_both_ends() {
    for (name, inside, outside) in [
        ("rooms.max_name_bytes", ["1", "255"], ["0", "256"]),
        ("rooms.max_members", ["1", "10000000"], ["0", "10000001"]),
        ("limits.logs", ["16", "10000000"], ["15", "10000001"]),
        (
            "limits.log_bytes",
            ["256MiB", "1024GiB"],
            ["1023KiB", "1025GiB"],
        ),
        ("rooms.history", ["1", "100000"], ["0", "100001"]),
        ("rooms.history", ["none", "2"], ["0", "all"]),
        ("rooms.history_bytes", ["1KiB", "1GiB"], ["1023", "1025MiB"]),
        ("rooms.history_ttl", ["1s", "365d"], ["999ms", "366d"]),
        ("rooms.epoch_ttl", ["1s", "365d"], ["999ms", "366d"]),
        ("rooms.idempotency", ["1s", "1d"], ["999ms", "2d"]),
        ("rooms.idempotency", ["none", "5m"], ["0s", "off"]),
    ] {
        check_range(name, inside, outside);
    }
}

#[track_caller]
fn check_range(name: &str, inside: [&str; 2], outside: [&str; 2]) {
    let checked = |text: &str| {
        let assignment = format!("{name}={text}");
        let set = &[assignment.as_str()];
        check(
            &Inputs {
                set,
                ..Inputs::default()
            }
            .given(),
        )
    };
    for text in inside {
        let settings = checked(text).unwrap_or_else(|_| panic!("{name}={text}"));
        assert_eq!(engine_of(&settings).check(), Ok(()), "{name}={text}");
    }
    for text in outside {
        assert!(checked(text).is_err(), "{name}={text}");
    }
}

#[test]
fn values_must_fit_together() {
    check_file(
        "[limits]\nmax_message_bytes = '2MiB'\n[timeouts]\nheartbeat = '2m'\n",
        Err(&[
            "limits.outbox_bytes = \"1MiB\" (the default) must be at least 2049KiB: limits.max_message_bytes (2MiB) and 1KiB more",
            "timeouts.idle = \"2m\" (the default) must be longer than timeouts.heartbeat (2m), or no silent client is ever pinged",
        ]),
    );
    check_file(
        "[server]\nshards = 3\npin = 'none'\n[limits]\nmax_message_bytes = '1MiB'\noutbox_bytes = '2MiB'\nreassembly_bytes = '5MiB'\n",
        Err(&[
            "limits.reassembly_bytes = \"5MiB\" (from s.toml, line 7) must be at least 6MiB: for each shard (server.shards is 3) 1MiB and twice limits.max_message_bytes (1MiB)",
        ]),
    );
    check_file(
        "[server]\nshards = 3\npin = '4-5'\n",
        Err(&[
            "server.pin = \"4,5\" (from s.toml, line 3) must name at least one core for each shard (server.shards is 3)",
        ]),
    );
    check_file(
        "server.listen = '127.0.0.1:8001'",
        Err(&[
            "server.admin = \"127.0.0.1:8001\" (the default) must not be the address where clients connect (server.listen)",
        ]),
    );
    check_inputs(
        Inputs {
            set: &["server.listen=127.0.0.1:0", "server.admin=127.0.0.1:0"],
            ..Inputs::default()
        },
        Ok(&|settings| {
            settings.listen = Place::Address("127.0.0.1:0".parse().unwrap());
            settings.admin.set_port(0);
        }),
    );
}

#[test]
fn addresses_that_others_reach_need_insecure() {
    for address in [
        "0.0.0.0:8000",
        "[::]:8000",
        "192.0.2.1:8000",
        "[2001:db8::1]:8000",
        "[::ffff:192.0.2.1]:8000",
    ] {
        let problem = format!(
            "server.listen = {address:?} (from --listen) is reachable from other hosts, and without authentication everyone there could read and publish \
             everything; use a loopback address such as 127.0.0.1:8000, require tokens (auth.tokens = \"required\"), or pass --insecure \
             (server.insecure = true) where the network itself keeps strangers out"
        );
        check_inputs(
            Inputs {
                flags: &[("server.listen", address)],
                ..Inputs::default()
            },
            Err(&[&problem]),
        );
        check_inputs(
            Inputs {
                flags: &[("server.listen", address), ("server.insecure", "true")],
                ..Inputs::default()
            },
            Ok(&|settings| {
                settings.listen = Place::Address(address.parse().unwrap());
                settings.insecure = true;
            }),
        );
    }
    for address in [
        "127.0.0.1:1",
        "127.9.9.9:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ] {
        let flags = &[("server.listen", address)];
        check_inputs(
            Inputs {
                flags,
                ..Inputs::default()
            },
            Ok(&|settings| settings.listen = Place::Address(address.parse().unwrap())),
        );
    }
    let problem = "server.admin = \"0.0.0.0:9\" (from s.toml, line 1) is reachable from other hosts, and without authentication everyone there could \
                   disconnect and ban clients as an operator does; use a loopback address such as 127.0.0.1:9, name a token (admin.token_file) or who \
                   issues certificates of operators (admin.client_ca), or pass --insecure (server.insecure = true) where the network itself keeps strangers out";
    check_file("server.admin = '0.0.0.0:9'", Err(&[problem]));
    check_file(
        "server.admin = '0.0.0.0:9'\nadmin.token_file = '/t'",
        Ok(&|settings| {
            settings.admin = "0.0.0.0:9".parse().unwrap();
            settings.operators.token_file.0 = Some("/t".into());
        }),
    );
}

#[test]
fn operators_prove_who_they_are_in_ways_that_fit_together() {
    let twice = "admin.token_env = \"T\" (from s.toml, line 2) must be none where admin.token_file names a file";
    check_file(
        "admin.token_file = '/t'\nadmin.token_env = 'T'",
        Err(&[twice]),
    );
    let ours = "admin.token_env = \"SHARDCAST_T\" (from s.toml, line 1) must be none or the name of an environment variable that does not begin with SHARDCAST_";
    check_file("admin.token_env = 'SHARDCAST_T'", Err(&[ours]));
    let half = "admin.key = \"none\" (the default) must name a file if, and only if, admin.certificate does: the two are one identity";
    check_file("admin.certificate = '/c'", Err(&[half]));
    let plain = "admin.client_ca = \"/a\" (from s.toml, line 1) must be none unless admin.certificate names a file: operators show certificates over TLS";
    check_file("admin.client_ca = '/a'", Err(&[plain]));
    check_file(
        "server.admin = '0.0.0.0:9'\nadmin.certificate = '/c'\nadmin.key = '/k'\nadmin.client_ca = '/a'",
        Ok(&|settings| {
            settings.admin = "0.0.0.0:9".parse().unwrap();
            settings.operators.certificate.0 = Some("/c".into());
            settings.operators.key.0 = Some("/k".into());
            settings.operators.client_ca.0 = Some("/a".into());
        }),
    );
    // What proves operators to be some proves nothing of clients.
    let strangers = "server.listen = \"0.0.0.0:9\" (from s.toml, line 1) is reachable from other hosts, and without authentication everyone there could \
                     read and publish everything; use a loopback address such as 127.0.0.1:9, require tokens (auth.tokens = \"required\"), or pass \
                     --insecure (server.insecure = true) where the network itself keeps strangers out";
    check_file(
        "server.listen = '0.0.0.0:9'\nadmin.token_file = '/t'",
        Err(&[strangers]),
    );
}

#[test]
fn files_that_cannot_be_read() {
    for (file, want) in [
        (
            "[server]\nlisten = \n",
            "from s.toml, line 2: not valid TOML: ",
        ),
        (
            "[server]\nshards = 1\nshards = 2\n",
            "from s.toml, line 3: not valid TOML: duplicate key",
        ),
    ] {
        let problems = check(
            &Inputs {
                file,
                ..Inputs::default()
            }
            .given(),
        )
        .unwrap_err();
        assert!(problems[0].to_string().starts_with(want), "{}", problems[0]);
    }
    let mut given = Given::default();
    given.file(std::path::Path::new("absent.toml"));
    let problems = check(&given).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "absent.toml: cannot read the configuration file: No such file or directory (os error 2)"
    );
}

#[test]
fn the_default_page_reads_back_as_the_defaults_and_names_every_key() {
    let page = default_page();
    let given = Inputs {
        file: &page,
        ..Inputs::default()
    }
    .given();
    assert_eq!(check(&given), Ok(Settings::default()));
    for key in KEYS {
        assert!(given.value(key).is_some(), "{}", key.name);
        assert!(page.contains(&format!("# {}\n", key.what)), "{}", key.name);
        assert!(page.contains(&key.variable()), "{}", key.name);
    }
}

#[test]
fn the_effective_page_reads_back_and_bears_its_sources() {
    let inputs = Inputs {
        flags: &[("server.shards", "2")],
        file: "[limits]\nmax_message_bytes = 131072\n",
        ..Inputs::default()
    };
    let given = inputs.given();
    let settings = check(&given).unwrap();
    let page = effective_page(&settings, &given);
    assert!(page.starts_with("[server]\nlisten = \"127.0.0.1:8000\"\nadmin = \"127.0.0.1:8001\"\nshards = 2 # from --shards\n"), "{page}");
    assert!(page.contains("\n[limits]\nmax_connections = 100000\nmax_message_bytes = \"128KiB\" # from s.toml, line 2\n"), "{page}");
    assert_eq!(
        check(
            &Inputs {
                file: &page,
                ..Inputs::default()
            }
            .given()
        ),
        Ok(settings)
    );
}

/// The reference page in the documentation carries the table of keys word for word.
#[test]
fn the_documentation_lists_every_key() {
    let defaults = Settings::default();
    let mut table = String::from("| key | default | value | meaning |\n|---|---|---|---|\n");
    for key in KEYS {
        let row = format!(
            "| `{}` | `{}` | {} | {} |\n",
            key.name,
            key.show_toml(&defaults),
            key.rule(),
            key.what
        );
        table.push_str(&row);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(path).expect("docs/configuration.md");
    assert!(
        page.contains(&table),
        "docs/configuration.md should hold this table:\n{table}"
    );
    for flag in KEYS.iter().filter_map(|key| key.flag) {
        assert!(page.contains(&format!("`{flag}")), "{flag}");
    }
}

/// The reference page has the table of a group's options word for word, too.
#[track_caller]
fn check_options(group: &Group) {
    let mut table = String::from("| option | default | value | meaning |\n|---|---|---|---|\n");
    for key in group.keys() {
        let (_, option) = key.parts();
        let (default, rule) = (key.show_toml(&Settings::default()), key.rule());
        table += &format!("| `{option}` | `{default}` | {rule} | {} |\n", key.what);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(path).expect("docs/configuration.md");
    assert!(
        page.contains(&table),
        "docs/configuration.md should hold:\n{table}"
    );
}

/// So it has the options of a key of tokens.
#[test]
fn the_documentation_lists_every_option_of_a_key() {
    check_options(&group::TOKEN_KEYS);
}

/// And those of a set of keys, which is in one place.
#[test]
fn the_documentation_lists_every_option_of_a_set_of_keys() {
    check_options(&group::KEY_SETS);
    for (table, url) in [("", "none"), ("url = 'https://a'\nfile = 'b'", "https://a")] {
        let want = format!(
            "auth.jwks.main.url = {url:?} ({}) must be a URL unless file names a file: a set is in one place",
            if table.is_empty() {
                "the default"
            } else {
                "from s.toml, line 2"
            }
        );
        check_file(&format!("[auth.jwks.main]\n{table}"), Err(&[&want]));
    }
}

#[test]
fn the_auth_section_is_read() {
    let file = "[auth]\ntokens = 'required'\nsources = ['cookie', 'header']\nissuer = 'us'\naudience = ['a', 'b']\nleeway = '1m'\n\
                require_exp = false\nmax_token_bytes = '1KiB'\n[auth.keys.main]\nsecret_file = 's'\n\
                [auth.keys.old]\nalgorithm = 'PS384'\nkid = 'k'\npublic_key = 'p.pem'\nprevious_public_key = 'q.pem'\nprevious_until = 2027-01-31\n";
    check_file(
        file,
        Ok(&|settings| {
            let auth = &mut settings.auth;
            auth.tokens = TokenMode::Required;
            auth.sources.0 = vec![TokenSource::Cookie, TokenSource::Header];
            auth.issuers.0 = vec!["us".into()];
            auth.audiences.0 = vec!["a".into(), "b".into()];
            auth.leeway = Duration::from_secs(60);
            auth.require_exp = false;
            auth.token_bytes_max = 1024;
            let mut main = TokenKeySettings::default();
            main.current.secret_file.0 = Some("s".into());
            auth.keys.insert("main".into(), main);
            let mut old = TokenKeySettings {
                algorithm: TokenAlgorithm::Ps384,
                ..TokenKeySettings::default()
            };
            old.key_id.0 = Some("k".into());
            old.current.public_key.0 = Some("p.pem".into());
            old.previous.public_key.0 = Some("q.pem".into());
            old.previous_until.0 = Some("2027-01-31".parse().unwrap());
            auth.keys.insert("old".into(), old);
        }),
    );
    for (file, want) in [
        (
            "[auth.keys.'a b']\nsecret_file = 's'",
            "key \"a b\" (from s.toml, line 1) must be called by 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
        ),
        (
            "[auth]\nkeys = 1",
            "from s.toml, line 2: keys of tokens must be tables, such as [auth.keys.main]",
        ),
        (
            "[auth.keys.main]\nsecretfile = 's'",
            "unknown key auth.keys.main.secretfile (from s.toml, line 2); the nearest known one is auth.keys.main.secret_file",
        ),
        (
            "[auth]\nsources = ['header', 'header']",
            "auth.sources = \"header,header\" (from s.toml, line 2) must be one or more of header, query, subprotocol, cookie and message, separated by commas",
        ),
    ] {
        check_file(file, Err(&[want]));
    }
    // Strangers are let in where all must bring tokens.
    check_file(
        "server.listen = '0.0.0.0:8000'\n[auth]\ntokens = 'required'\n[auth.keys.main]\nsecret_file = 's'\n",
        Ok(&|settings| {
            settings.listen = Place::Address("0.0.0.0:8000".parse().unwrap());
            settings.auth.tokens = TokenMode::Required;
            let mut main = TokenKeySettings::default();
            main.current.secret_file.0 = Some("s".into());
            settings.auth.keys.insert("main".into(), main);
        }),
    );
}

/// A file with section `[tls]`, and what it says.
const TLS: &str = "[tls]\nlisten = '127.0.0.1:8443'\ncertificates = ['a.pem', 'b.pem']\nkeys = ['a.key', 'b.key']\n";

fn secured(settings: &mut Settings) {
    settings.tls.listen = Place::Address("127.0.0.1:8443".parse().unwrap());
    settings.tls.certificates = Files(vec!["a.pem".into(), "b.pem".into()]);
    settings.tls.keys = Files(vec!["a.key".into(), "b.key".into()]);
}

#[test]
fn the_tls_section_is_read() {
    check_file(TLS, Ok(&secured));
    let all = format!(
        "{TLS}minimum = '1.3'\nclient_certificates = 'required'\nclient_ca = 'ca.pem'\nmax_message_bytes = '1KiB'\n"
    );
    check_inputs(
        Inputs {
            set: &["server.listen=none", "tls.certificates= a.pem , b.pem"],
            file: &all,
            ..Inputs::default()
        },
        Ok(&|settings| {
            secured(settings);
            settings.listen = Place::Nowhere;
            settings.tls.minimum = TlsVersion::V1_3;
            settings.tls.client_certificates = ClientAuth::Required;
            settings.tls.client_ca = Files(vec!["ca.pem".into()]);
            settings.tls.message_bytes_max = OwnSize::Bytes(1024);
        }),
    );
}

#[test]
fn the_listeners_are_those_that_are_wanted() {
    let listeners = |file: &str| {
        let given = Inputs {
            file,
            ..Inputs::default()
        };
        let listeners = engine_of(&check(&given.given()).unwrap()).listeners;
        listeners
            .iter()
            .map(|listener| format!("{} {}", listener.source, listener.message_bytes_max))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let plain = "[limits]\nmax_message_bytes = '1KiB'\n";
    for (file, want) in [
        (plain.to_owned(), "127.0.0.1:8000 1024"),
        (
            format!("{plain}{TLS}"),
            "127.0.0.1:8000 1024, 127.0.0.1:8443 1024",
        ),
        (
            format!("{TLS}max_message_bytes = 200"),
            "127.0.0.1:8000 65536, 127.0.0.1:8443 200",
        ),
        (
            format!("server.listen = 'none'\n{TLS}"),
            "127.0.0.1:8443 65536",
        ),
    ] {
        assert_eq!(listeners(&file), want, "{file}");
    }
}

#[test]
fn tls_must_fit_together() {
    let only_listen = "[tls]\nlisten = '127.0.0.1:1'\n";
    for (file, want) in [
        (
            "server.listen = 'none'".to_owned(),
            "server.listen = \"none\" (from s.toml, line 1) must be an address unless tls.listen is one, or nobody can connect",
        ),
        (
            only_listen.to_owned(),
            "tls.certificates = \"none\" (the default) must name a file: nobody can be met at tls.listen without a certificate",
        ),
        (
            format!("{only_listen}certificates = 'a.pem'\n"),
            "tls.keys = \"none\" (the default) must name one file for each of tls.certificates, in the same order (1)",
        ),
        (
            "[tls]\ncertificates = 'a.pem'\nkeys = 'a.key'".to_owned(),
            "tls.listen = \"none\" (the default) must be an address, or nobody uses tls.certificates and tls.keys",
        ),
        (
            format!("{TLS}client_ca = 'ca.pem'"),
            "tls.client_certificates = \"none\" (the default) must be optional or required, or nobody uses tls.client_ca",
        ),
        (
            format!("{TLS}client_certificates = 'optional'"),
            "tls.client_ca = \"none\" (the default) must name one file: client certificates are checked against what is in it",
        ),
        (
            format!("{TLS}client_certificates = 'optional'\nclient_ca = 'a,b'"),
            "tls.client_ca = \"a,b\" (from s.toml, line 6) must name one file: client certificates are checked against what is in it",
        ),
        (
            format!("server.listen = '127.0.0.1:8443'\n{TLS}"),
            "tls.listen = \"127.0.0.1:8443\" (from s.toml, line 3) must not be the address where clients connect without TLS (server.listen)",
        ),
        (
            format!("server.admin = '127.0.0.1:8443'\n{TLS}"),
            "server.admin = \"127.0.0.1:8443\" (from s.toml, line 1) must not be the address where clients connect (tls.listen)",
        ),
        (
            format!("{TLS}max_message_bytes = '1MiB'"),
            "limits.outbox_bytes = \"1MiB\" (the default) must be at least 1025KiB: tls.max_message_bytes (1MiB) and 1KiB more",
        ),
        (
            format!("{TLS}keys.x = 1").replace("keys = ['a.key', 'b.key']\n", ""),
            "tls.keys = \"table\" (from s.toml, line 4) must be none or the paths of up to 64 files, separated by commas, without quotes, backslashes and control characters",
        ),
        (
            TLS.replace("'b.key'", "'b\"key'"),
            "tls.keys = \"a.key,b\\\"key\" (from s.toml, line 4) must be none or the paths of up to 64 files, separated by commas, without quotes, backslashes and control characters",
        ),
        (
            TLS.replace("'b.key'", "''"),
            "tls.keys = \"a.key,\" (from s.toml, line 4) must be none or the paths of up to 64 files, separated by commas, without quotes, backslashes and control characters",
        ),
        (
            format!("{TLS}minimum = 1.1"),
            "tls.minimum = \"1.1\" (from s.toml, line 5) must be 1.2 or 1.3",
        ),
        (
            TLS.replace("127.0.0.1", "0.0.0.0"),
            "tls.listen = \"0.0.0.0:8443\" (from s.toml, line 2) is reachable from other hosts, and without authentication everyone there could \
             read and publish everything; use a loopback address such as 127.0.0.1:8443, require tokens (auth.tokens = \"required\"), or pass \
             --insecure (server.insecure = true) where the network itself keeps strangers out",
        ),
    ] {
        check_file(&file, Err(&[want]));
    }
}
