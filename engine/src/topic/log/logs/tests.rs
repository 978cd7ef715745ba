//! Which logs exist, and what they hold together.

use super::*;
use crate::topic::data::{Data, DataEncoding};
use crate::topic::log::entry::LogEntry;
use crate::topic::log::journal::JournalReader;
use crate::topic::log::topic_log::Missing;
use crate::topic::publication::{Content, Position, Publication, PublicationKind};
use crate::types::history::{Loss, Since};
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

/// Whom the log does not know.
fn nobody() -> Address {
    let ticket = crate::types::ticket::Ticket {
        slot: 0,
        generation: 1,
    };
    Address { shard: 0, ticket }
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

fn stored(publications_max: u32) -> LogOptions {
    LogOptions {
        publications_max,
        durability: Durability::Stored,
        ..LogOptions::default()
    }
}

/// Logs whose store reads only when the test does.
fn with_journal(options: LogOptions) -> (Logs, JournalReader) {
    let (journal, reader) = Journal::new(Vec::new());
    let config = Config {
        logs: vec![options],
        journal: Some(journal),
        ..Config::default()
    };
    (Logs::new(&config, 1, 0), reader)
}

/// What the store has by its records, as `server/src/store/file.rs` has it: offsets without a hole.
fn read_all(reader: &JournalReader, has: &mut Vec<u64>) {
    while let Ok(Some(record)) = reader.next(Duration::ZERO) {
        match record {
            LogRecord::Kept {
                publication, left, ..
            } => {
                let offset = publication.kept.offset;
                if has.last().is_some_and(|last| last + 1 != offset) {
                    has.clear();
                }
                has.push(offset);
                has.retain(|offset| *offset >= left.first);
            }
            LogRecord::Trimmed { left, .. } => has.retain(|offset| *offset >= left.first),
            LogRecord::Gone { .. } => has.clear(),
        }
    }
}

#[test]
fn a_store_is_told_of_every_change() {
    let (mut logs, reader) = with_journal(stored(3));
    let mut has = Vec::new();
    for _ in 0..5 {
        publish(&mut logs, "a", 10, 0);
    }
    read_all(&reader, &mut has);
    assert_eq!(has, [3, 4, 5]);
    logs.get(Topic::Room("a"), 0, |log, _| log.take_until(nobody(), 4));
    read_all(&reader, &mut has);
    assert_eq!(has, [5]);
    let ttl = LogOptions::default().ttl.as_millis() as Millis;
    logs.look(ttl);
    read_all(&reader, &mut has);
    assert!(has.is_empty());
    // Nothing changes, nothing is told.
    logs.get(Topic::Room("a"), ttl, |_, _| ());
    assert!(reader.is_empty());
    publish(&mut logs, "a", 10, ttl);
    logs.get(Topic::Room("a"), ttl, |log, _| log.take_until(nobody(), 6));
    logs.get(Topic::Room("a"), ttl, |log, _| assert!(log.is_taken()));
    read_all(&reader, &mut has);
    assert!(has.is_empty());
}

/// The store is slow: what waits for it is bounded, and it has what the log has in the end.
#[test]
fn a_slow_store_goes_on_from_the_log() {
    let (mut logs, reader) = with_journal(stored(100));
    let (mut has, mut now) = (Vec::new(), 0);
    for _ in 0..Journal::RECORDS_MAX + 1_000 {
        publish(&mut logs, "a", 10, 0);
    }
    assert_eq!(reader.len(), Journal::RECORDS_MAX);
    assert!(logs.is_store_behind());
    let last = Journal::RECORDS_MAX as u64 + 1_000;
    while has.last() != Some(&last) {
        read_all(&reader, &mut has);
        now += 1_000;
        logs.look(now);
    }
    assert_eq!(has, (last - 99..=last).collect::<Vec<u64>>());
    now += 1_000;
    logs.look(now);
    assert!(!logs.is_store_behind() && reader.is_empty());
    // So are its bytes.
    let mut count = 0;
    while !logs.is_store_behind() {
        publish(&mut logs, "b", 60_000, now);
        count += 1;
    }
    assert!(count * 60_000 < 2 * Journal::BYTES_MAX, "{count}");
}

#[test]
fn a_restored_log_goes_on() {
    let (mut logs, reader) = with_journal(stored(4));
    for _ in 0..5 {
        publish(&mut logs, "a", 10, 0);
    }
    let epoch = epoch(&mut logs, "a", 0).expect("it exists");
    let mut publications = Vec::new();
    while let Ok(Some(LogRecord::Kept { publication, .. })) = reader.next(Duration::ZERO) {
        publications.push(publication);
    }
    // A process with less room, and after a crash.
    let (mut logs, reader) = with_journal(stored(2));
    let former = Position { epoch, offset: 5 };
    logs.restore(
        RestoredLog {
            topic: TopicName::Room("a".into()),
            class: CLASS,
            epoch: 77,
            former: vec![former],
            next: 6,
            taken: 0,
            publications: publications.split_off(1),
        },
        0,
    );
    let mut has = vec![2, 3, 4, 5];
    read_all(&reader, &mut has);
    assert_eq!(has, [4, 5], "what does not fit goes from the store, too");
    let missing = |logs: &mut Logs, epoch, offset| {
        let since = Since {
            epoch: Some(epoch),
            offset,
        };
        logs.get(Topic::Room("a"), 0, |log, _| log.missing(since))
            .expect("it exists")
    };
    for (epoch, offset, expected) in [
        (epoch, 3, Missing::From(4)),
        (epoch, 5, Missing::Nothing),
        (epoch, 6, Missing::Lost(Loss::EpochChanged)),
        (epoch, 2, Missing::Lost(Loss::TrimmedBySize)),
        (77, 4, Missing::From(5)),
        (78, 4, Missing::Lost(Loss::EpochChanged)),
    ] {
        assert_eq!(
            missing(&mut logs, epoch, offset),
            expected,
            "{epoch} {offset}"
        );
    }
    publish(&mut logs, "a", 10, 0);
    read_all(&reader, &mut has);
    assert_eq!(has, [5, 6]);
    assert_eq!(
        missing(&mut logs, epoch, 6),
        Missing::Lost(Loss::EpochChanged)
    );
    assert_eq!(missing(&mut logs, 77, 5), Missing::From(6));
}
