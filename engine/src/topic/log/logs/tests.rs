//! Which logs exist, and what they hold together.

use super::*;
use crate::topic::log::entry::LogEntry;
use crate::topic::publication::{Content, Data, DataEncoding, Publication, PublicationKind};
use std::time::Duration;

const CLASS: LogClass = LogClass::new(0);

fn logs(options: LogOptions) -> Logs {
    let config = Config {
        logs: vec![options],
        logs_max: 16,
        logs_bytes_max: 1 << 20,
        shards: 1,
        ..Config::default()
    };
    config.check().expect("it is within its limits");
    Logs::new(&config, 1, 0)
}

fn key(name: &str) -> TopicKey {
    TopicKey::new(Topic::Room(name))
}

/// Publishes so many bytes.
fn publish(logs: &mut Logs, name: &str, bytes: usize, now: Millis) {
    let text = "x".repeat(bytes);
    let publication = Publication {
        topic: None,
        kind: PublicationKind::Event { name: "e" },
        data: Data::Text(&text),
        data_encoding: DataEncoding::default(),
    };
    let content = Content::data(&publication, None);
    logs.open(&key(name), CLASS, now, |log, options| {
        let entry = LogEntry::new(&content, Topic::Room(name), now, std::iter::empty());
        log.append(entry, options);
    });
    logs.keep_within_bounds(now);
    logs.check(|topic| topic.name() == "joined");
}

fn epoch(logs: &mut Logs, name: &str, now: Millis) -> Option<u64> {
    logs.get(Topic::Room(name), now, |log, _| log.epoch)
}

#[test]
fn strangers_names_cost_a_bounded_number_of_logs() {
    let mut logs = logs(LogOptions::default());
    logs.open(&key("joined"), CLASS, 0, |_, _| ());
    logs.count_members(Topic::Room("joined"), 1, 0);
    publish(&mut logs, "filled", 10, 0);
    let used: Vec<_> = ["joined", "filled"]
        .map(|name| epoch(&mut logs, name, 0))
        .into();
    assert!(used[0] != used[1] && used.iter().all(Option::is_some));
    for number in 0..1_000 {
        logs.open(&key(&format!("stranger-{number}")), CLASS, 0, |_, _| ());
        logs.check(|topic| topic.name() == "joined");
    }
    assert_eq!(logs.count(), 2 + 16);
    assert_eq!(
        epoch(&mut logs, "stranger-983", 0),
        None,
        "the longest unused went"
    );
    assert!(epoch(&mut logs, "stranger-984", 0).is_some());
    for (name, before) in ["joined", "filled"].into_iter().zip(used) {
        assert_eq!(epoch(&mut logs, name, 0), before, "{name} is in use");
    }
    // With its last member it is as the others.
    logs.count_members(Topic::Room("joined"), 0, 0);
    logs.check(|_| false);
    assert_eq!(logs.count(), 1 + 16);
    assert!(epoch(&mut logs, "joined", 0).is_some());
}

#[test]
fn an_unused_log_keeps_its_epoch_for_its_time() {
    let mut logs = logs(LogOptions {
        ttl: Duration::from_secs(1),
        epoch_ttl: Duration::from_secs(10),
        ..LogOptions::default()
    });
    publish(&mut logs, "a", 10, 0);
    let before = epoch(&mut logs, "a", 0);
    let mut now = 0;
    let mut look = |logs: &mut Logs, until: Millis| {
        while now < until {
            now += 500;
            logs.look(now);
            logs.check(|_| false);
        }
    };
    look(&mut logs, 2_500);
    assert_eq!(
        (logs.count(), logs.bytes()),
        (1, 0),
        "empty, and still there"
    );
    look(&mut logs, 9_500);
    assert_eq!(epoch(&mut logs, "a", 9_500), before);
    look(&mut logs, 13_000);
    assert_eq!(logs.count(), 0);
    publish(&mut logs, "a", 10, 13_000);
    assert_ne!(epoch(&mut logs, "a", 13_000), before, "another log");
}

#[test]
fn all_logs_together_hold_what_they_may() {
    let mut logs = logs(LogOptions {
        bytes_max: 1 << 30,
        publications_max: 100_000,
        ..LogOptions::default()
    });
    // One is greedy.
    for _ in 0..100 {
        publish(&mut logs, "greedy", 20_000, 0);
    }
    assert!(logs.bytes() <= 1 << 20);
    for number in 0..50 {
        publish(&mut logs, &format!("modest-{number}"), 1_000, 0);
        assert!(logs.bytes() <= 1 << 20);
    }
    let mut first = |name: &str| logs.get(Topic::Room(name), 0, |log, _| log.first());
    assert!(first("greedy") > Some(50));
    let kept = (0..50).filter(|number| first(&format!("modest-{number}")) == Some(1));
    assert!(kept.count() > 40, "the large one pays first");
    // Many small ones cannot pass the bound together, either.
    for number in 0..5_000 {
        publish(&mut logs, &format!("small-{number}"), 400, 0);
        assert!(logs.bytes() <= 1 << 20);
    }
}
