//! Every known attack at full speed against `shardcast serve`, while 1,000 honest clients keep
//! talking: they lose nothing, the attacker is ended as documented, memory and CPU stay within what
//! the attack's row allows. CONTRIBUTING.md says how one is added.

#![forbid(unsafe_code)]

mod admissions;
mod attack;
mod crowd;
mod deflate;
mod fair;
mod flood;
mod heads;
mod rooms;
mod slow;
mod storms;
mod tls;
mod unread;

use attack::{Attack, Scene};
use crowd::{CLIENTS, Crowd, Places, ROOM};
use shardcast_tests::{Certificates, Served};

/// As users configure it, with timeouts that make the test short.
const SERVER: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
[limits]
max_connections = 8000
outbox_bytes = "256KiB"
[timeouts]
handshake = "3s"
header = "2s"
frame = "3s"
message = "3s"
heartbeat = "2s"
pong = "6s"
close = "1s"
[compression]
enabled = true
threshold = 64
[log]
level = "warn"
"#;

/// Checks tokens, none of which anybody can sign: the private key was thrown away.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESkTrPki3l1xNdQZOOURVlqLPyt6O\n\
    Qwmabwkoa0qPl0KgWYtfd3l4P27Wdb0IyMWawZZcJKPqmkKD/eJ3dpj3Qg==\n\
    -----END PUBLIC KEY-----\n";

/// Words in the names of the attacks that are run, each by itself; without it all are.
const ONLY: &str = "SHARDCAST_ATTACK";

/// What runs at the same time; one after the other.
const WAVES: &[&[Attack]] = &[
    slow::ATTACKS,
    flood::ATTACKS,
    deflate::ATTACKS,
    heads::ATTACKS,
    rooms::ATTACKS,
    tls::ATTACKS,
    unread::ATTACKS,
    storms::ATTACKS,
];

#[test]
fn honest_clients_lose_nothing_and_attackers_end() {
    let certificates = Certificates::make();
    let key = certificates.file("tokens.pem");
    std::fs::write(&key, PUBLIC_KEY).expect("a temporary file");
    let tokens = format!(
        "[auth]\ntokens = \"optional\"\n[auth.keys.main]\nalgorithm = \"ES256\"\npublic_key = \"{key}\"\n"
    );
    let toml = format!("{SERVER}{}{tokens}", certificates.toml());
    let served = Served::start(env!("CARGO_BIN_EXE_served"), &toml);
    let places = Places::of(&served, &certificates);
    let crowd = Crowd::gather(&places);
    let mut scene = Scene::new(served, places, crowd);
    match std::env::var(ONLY) {
        Err(_) => {
            for attacks in WAVES {
                scene.check(&attacks.iter().collect::<Vec<_>>());
            }
        }
        Ok(words) => {
            let attacks = WAVES.iter().flat_map(|attacks| attacks.iter());
            let chosen = attacks.filter(|attack| attack.name.contains(&words));
            let chosen: Vec<&Attack> = chosen.collect();
            assert!(
                !chosen.is_empty(),
                "{ONLY}: no attack has {words:?} in its name"
            );
            for attack in chosen {
                scene.check(&[attack]);
            }
        }
    }
    let Scene { served, crowd, .. } = scene;
    let expected = crowd.rounds() * (CLIENTS * ROOM) as u64;
    assert_eq!(
        crowd.leave(),
        expected,
        "every message to every member, once"
    );
    served.terminate();
    let (code, log) = served.end();
    assert_eq!(code, Some(0));
    assert_eq!(log, "", "nothing that a peer does is a warning");
}
