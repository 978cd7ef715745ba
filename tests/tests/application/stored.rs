//! What outlives the process, with the program as users run it: restarts, kills at any point,
//! damaged files, and a disk that takes nothing more.

use crate::users::Choices;
use serde_json::{Value, json};
use shardcast_tests::{Client, PATIENCE, Served, is_reached_within};
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_served");

/// A directory of its own, which goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-stored-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary directory");
        Directory(path)
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn file(&self) -> PathBuf {
        self.store().join("logs.redb")
    }

    fn toml(&self, shards: usize) -> String {
        format!(
            "[server]\nlisten = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\nshards = {shards}\n\
             [persistence]\npath = '{}'\nsync = '10ms'\n\
             [offline]\nmessages = 100\n\
             [sessions]\nresume = '60s'\n\
             [namespaces.chat]\nhistory = 100000\nhistory_bytes = '64MiB'\nhistory_ttl = '1h'\n",
            self.store().display()
        )
    }

    #[track_caller]
    fn serve(&self, shards: usize) -> Served {
        Served::start(PROGRAM, &self.toml(shards))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

/// A client that asks, one thing at a time.
struct Asker {
    client: Client,
    asked: u64,
    /// Messages of rooms that came before an answer.
    early: VecDeque<Value>,
}

impl Asker {
    #[track_caller]
    fn at(served: &Served) -> Asker {
        let client = Client::native_at(served.address("ws"));
        Asker {
            client,
            asked: 0,
            early: VecDeque::new(),
        }
    }

    #[track_caller]
    fn hear(&mut self) -> Value {
        let early = self.early.pop_front();
        early.unwrap_or_else(|| self.hear_next())
    }

    #[track_caller]
    fn hear_next(&mut self) -> Value {
        serde_json::from_str(&self.client.hear()).expect("JSON")
    }

    #[track_caller]
    fn ask(&mut self, mut request: Value) -> Value {
        self.asked += 1;
        request["id"] = self.asked.into();
        self.client.say(&request.to_string());
        loop {
            let answer = self.hear_next();
            if answer["type"] != "message" {
                assert_eq!(answer["id"], self.asked, "{answer}");
                return answer;
            }
            self.early.push_back(answer);
        }
    }

    #[track_caller]
    fn publish(&mut self, room: &str, number: u64) -> (String, u64) {
        let request = json!({"type": "publish", "room": room, "data": number});
        let answer = self.ask(request);
        let epoch = answer["epoch"].as_str().expect("an epoch");
        (
            epoch.to_owned(),
            answer["offset"].as_u64().expect("an offset"),
        )
    }

    /// All that a room keeps: its epoch, and the numbers by offset, from 1 on.
    #[track_caller]
    fn history(&mut self, room: &str) -> (String, Vec<u64>) {
        let mut numbers = Vec::new();
        loop {
            let since = json!({"epoch": "", "offset": numbers.len()});
            let request = json!({"type": "history", "room": room, "since": since});
            let answer = self.ask(request);
            let messages = answer["messages"].as_array().expect("a list");
            for message in messages {
                assert_eq!(message["offset"], numbers.len() as u64 + 1, "{answer}");
                numbers.push(message["data"].as_u64().expect("a number"));
            }
            if answer["offset"] == numbers.len() as u64 {
                let epoch = answer["epoch"].as_str().expect("an epoch");
                return (epoch.to_owned(), numbers);
            }
        }
    }
}

#[track_caller]
fn stop(served: Served) {
    served.terminate();
    let (code, errors) = served.end();
    assert_eq!(code, Some(0), "{errors}");
}

/// At once, whatever it does.
#[track_caller]
fn kill(served: Served) {
    let killed = Command::new("kill")
        .args(["-9", &served.id().to_string()])
        .status();
    assert!(killed.expect("kill runs").success());
    drop(served);
}

#[track_caller]
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
fn wait_for_records(served: &Served, records: u64) {
    wait_for("all is written", || {
        served.metric("store_records_total") >= records
    });
}

/// What a client shows to go on with the session of its connection.
#[track_caller]
fn token_of(asker: &Asker) -> String {
    let welcome: Value = serde_json::from_str(asker.client.welcome()).expect("JSON");
    welcome["resume"].as_str().expect("a token").to_owned()
}

#[test]
fn sessions_go_on_after_a_restart_in_order_and_end_with_a_crash() {
    let directory = Directory::new();
    let mut served = directory.serve(3);
    let mut askers: Vec<Asker> = (0..8).map(|_| Asker::at(&served)).collect();
    for (number, asker) in askers.iter_mut().enumerate() {
        let own = format!("own-{number}");
        let rooms = json!(["chat:all", own]);
        asker.ask(json!({"type": "join_room", "rooms": rooms}));
    }
    let (epoch, _) = Asker::at(&served).publish("chat:all", 1);
    let tokens: Vec<String> = askers.iter().map(token_of).collect();
    stop(served);
    drop(askers);
    // The first process's shards had other numbers, and its connections may have the addresses
    // of others now.
    served = directory.serve(2);
    // The port is open before each shard has taken its own.
    wait_for("all wait, the publisher's too", || {
        served.metric("sessions_waiting") == 9
    });
    Asker::at(&served).publish("chat:all", 2);
    let mut back: Vec<Asker> = (0..8).map(|_| Asker::at(&served)).collect();
    let others = back.iter().map(token_of).collect::<Vec<_>>();
    for (number, (asker, token)) in back.iter_mut().zip(&tokens).enumerate().take(4) {
        let since = json!({"chat:all": {"epoch": epoch, "offset": 1}});
        let resumed = asker.ask(json!({"type": "resume", "token": token, "since": since}));
        let mut rooms: Vec<(&str, bool)> = resumed["rooms"]
            .as_array()
            .expect("rooms")
            .iter()
            .map(|room| {
                (
                    room["room"].as_str().expect("a name"),
                    room["recovered"] == true,
                )
            })
            .collect();
        rooms.sort_unstable();
        let own = format!("own-{number}");
        assert_eq!(rooms, [("chat:all", true), (&*own, false)], "{resumed}");
        assert_eq!(asker.hear()["data"], 2);
        let again = asker.ask(json!({"type": "resume", "token": token}));
        assert_eq!(again["code"], "no_session", "it is good once");
    }
    // Two restarts later the others' are there still, and those that went on have new tokens.
    stop(served);
    drop(back);
    served = directory.serve(1);
    let mut last = Asker::at(&served);
    for token in tokens[4..].iter().chain(&others) {
        let resumed = last.ask(json!({"type": "resume", "token": token}));
        assert_eq!(resumed["type"], "resumed", "{resumed}");
    }
    let token = token_of(&last);
    kill(served);
    served = directory.serve(1);
    let mut late = Asker::at(&served);
    for token in tokens.iter().chain(&others).chain([&token]) {
        let refused = late.ask(json!({"type": "resume", "token": token}));
        assert_eq!(refused["code"], "no_session", "{refused}");
    }
    stop(served);
}

#[test]
fn a_restart_changes_nothing() {
    let directory = Directory::new();
    let served = directory.serve(2);
    let mut bob = Asker::at(&served);
    let rooms = ["chat:a", "chat:b", "chat:c"];
    let mut epochs = Vec::new();
    for room in rooms {
        for number in 1..=50 {
            let (epoch, offset) = bob.publish(room, number);
            assert_eq!(offset, number);
            if number == 50 {
                epochs.push(epoch);
            }
        }
    }
    let keyed = json!({"type": "publish", "room": "chat:a", "data": 51, "key": "once"});
    assert_eq!(bob.ask(keyed.clone())["offset"], 51);
    stop(served);
    // With another number of shards, so that rooms have other homes.
    let served = directory.serve(3);
    assert_eq!(served.metric("store_restored_logs"), 3);
    let mut ann = Asker::at(&served);
    for (room, epoch) in rooms.into_iter().zip(&epochs) {
        let since = json!({"epoch": epoch, "offset": 20});
        let joined = ann.ask(json!({"type": "join_room", "room": room, "since": since}));
        assert_eq!(joined["recovered"], true, "{joined}");
        assert_eq!(joined["epoch"], **epoch);
        for offset in 21..=joined["offset"].as_u64().expect("an offset") {
            let message = ann.hear();
            assert_eq!(
                (&message["offset"], &message["data"]),
                (&json!(offset), &json!(offset))
            );
        }
    }
    let again = ann.ask(keyed);
    assert_eq!(
        (&again["offset"], &again["duplicate"]),
        (&json!(51), &json!(true))
    );
    let (epoch, offset) = ann.publish("chat:b", 51);
    assert_eq!((&epoch, offset), (&epochs[1], 51));
    assert_eq!(ann.hear()["offset"], 51);
    stop(served);
}

/// A hundred kills: after each the room has a beginning of what it had, with all that had been
/// written; a client recovers exactly that, or is told that it knows more than there is.
#[test]
fn a_kill_at_any_point_leaves_a_beginning() {
    const ROOM: &str = "chat:killed";
    let directory = Directory::new();
    let mut choices = Choices(13);
    // What the room had, by the last process; what of it must be there; and where a client is.
    let (mut had, mut written, mut place): (Vec<u64>, usize, Option<(String, usize)>) =
        (Vec::new(), 0, None);
    let mut number = 0;
    let (mut whole, mut cut) = (0, 0);
    for round in 0..100 {
        let served = directory.serve(1 + round % 2);
        let mut bob = Asker::at(&served);
        let (epoch, has) = bob.history(ROOM);
        assert!(has.len() >= written, "{round}: {} of {written}", has.len());
        assert!(
            had.starts_with(&has),
            "{round}: {has:?} is no beginning of {had:?}"
        );
        *if has.len() == had.len() {
            &mut whole
        } else {
            &mut cut
        } += 1;
        if let Some((known, offset)) = place {
            let mut ann = Asker::at(&served);
            let since = json!({"epoch": known, "offset": offset});
            let joined = ann.ask(json!({"type": "join_room", "room": ROOM, "since": since}));
            assert_eq!(joined["epoch"], *epoch);
            if offset <= has.len() && !has.is_empty() {
                assert_eq!(joined["recovered"], true, "{round}: {joined}");
                for (index, data) in has.iter().enumerate().skip(offset) {
                    let message = ann.hear();
                    let heard = (&message["offset"], &message["data"]);
                    assert_eq!(heard, (&json!(index + 1), &json!(data)), "{round}");
                }
            } else {
                assert_eq!(joined["reason"], "epoch_changed", "{round}: {joined}");
            }
        }
        had = has;
        let mut published = 0;
        for _ in 0..choices.below(40) {
            number += 1;
            let (at, offset) = bob.publish(ROOM, number);
            assert_eq!((&at, offset), (&epoch, had.len() as u64 + 1), "{round}");
            had.push(number);
            published += 1;
            if choices.below(20) == 0 {
                wait_for_records(&served, published);
                written = had.len();
            }
        }
        place = match had.len() {
            0 => None,
            len => Some((epoch, choices.below(len + 1))),
        };
        written = written.min(had.len());
        kill(served);
    }
    assert!(whole > 0 && cut > 0, "{whole} whole, {cut} cut");
}

/// What waits for nobody's connection waits on the disk, too. Who is who is not known here, so
/// nobody takes it.
#[test]
fn what_waits_for_a_user_outlives_the_process() {
    let directory = Directory::new();
    let served = directory.serve(2);
    let mut bob = Asker::at(&served);
    for number in 0..10 {
        let request = json!({"type": "broadcast", "user": "ann", "data": number, "report": true});
        assert_eq!(bob.ask(request)["queued"], 1);
    }
    stop(served);
    let served = directory.serve(1);
    assert_eq!(served.metric("store_restored_logs"), 1);
    assert_eq!(served.metric("store_restored_publications"), 10);
    stop(served);
}

#[test]
fn a_damaged_file_is_set_aside() {
    for spoil in [
        |whole: &[u8]| whole[..whole.len() / 3].to_vec(),
        |_: &[u8]| b"this is no store".to_vec(),
        |whole: &[u8]| vec![0xa5; whole.len()],
    ] as [fn(&[u8]) -> Vec<u8>; 3]
    {
        let directory = Directory::new();
        let served = directory.serve(1);
        let mut bob = Asker::at(&served);
        let (epoch, _) = bob.publish("chat:a", 1);
        stop(served);
        let whole = fs::read(directory.file()).expect("it was stored");
        fs::write(directory.file(), spoil(&whole)).expect("it can be written");
        let served = directory.serve(1);
        assert_eq!(served.metric("store_set_aside_total"), 1);
        assert!(
            served.log().contains("the store's file is damaged"),
            "{}",
            served.log()
        );
        let files = fs::read_dir(directory.store()).expect("it is there");
        let names: Vec<_> = files
            .map(|file| {
                file.expect("a file")
                    .file_name()
                    .into_string()
                    .expect("a name")
            })
            .collect();
        let aside = names
            .iter()
            .filter(|name| name.starts_with("logs.damaged-"));
        assert_eq!(aside.count(), 1, "{names:?}");
        let mut ann = Asker::at(&served);
        let since = json!({"epoch": epoch, "offset": 1});
        let joined = ann.ask(json!({"type": "join_room", "room": "chat:a", "since": since}));
        assert_eq!(joined["reason"], "epoch_changed", "{joined}");
        assert_eq!(ann.publish("chat:a", 1).1, 1);
        stop(served);
        // What was stored since is there.
        let served = directory.serve(1);
        assert_eq!(Asker::at(&served).history("chat:a").1, [1]);
        stop(served);
    }
}

/// The file may not grow: rooms go on without the store, which goes on when it may again.
#[test]
fn a_full_disk_stops_nothing_but_the_store() {
    let directory = Directory::new();
    stop(directory.serve(1));
    let bytes = fs::metadata(directory.file()).expect("it is there").len();
    let wrapper = directory.0.join("limited");
    // In blocks of 512 bytes; what is written beyond fails, as on a full disk.
    let script = format!(
        "#!/bin/sh\ntrap '' XFSZ\nulimit -S -f {}\nexec '{PROGRAM}' \"$@\"\n",
        bytes / 512 + 16_384
    );
    fs::write(&wrapper, script).expect("a script");
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("it can be run");
    let limited = path_text(&wrapper);
    let served = Served::start(&limited, &directory.toml(1));
    let mut bob = Asker::at(&served);
    let mut count = 0;
    let padding = "x".repeat(30_000);
    // The admin port answers so many requests a second, and no more.
    while count % 32 != 0 || served.metric("store_failing") == 0 {
        count += 1;
        let request = json!({"type": "publish", "room": "chat:a", "data": padding});
        assert_eq!(bob.ask(request)["offset"], count);
        assert!(count < 10_000, "the disk is never full");
    }
    for _ in 0..5 {
        count += 1;
        let request = json!({"type": "publish", "room": "chat:a", "data": padding});
        assert_eq!(bob.ask(request)["offset"], count);
    }
    assert!(
        served.log().contains("the store cannot write"),
        "{}",
        served.log()
    );
    let raised = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &served.id().to_string()])
        .status();
    assert!(raised.expect("prlimit runs").success());
    let counted = || served.metric("store_records_total");
    let written = is_reached_within(PATIENCE, || counted() >= count);
    assert!(written, "{} of {count}: {}", counted(), served.log());
    assert_eq!(served.metric("store_failing"), 0);
    kill(served);
    let served = directory.serve(1);
    let mut ann = Asker::at(&served);
    let request = json!({"type": "history", "room": "chat:a", "limit": 0});
    assert_eq!(ann.ask(request)["offset"], count);
    stop(served);
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("temporary paths are text").to_owned()
}
