//! Members that do not read, under every policy of their room: they cost bytes, not messages; what
//! they miss is counted to them; and what is said to them alone arrives all the same.

use serde_json::Value;
use shardcast::App;
use shardcast::namespace::{History, Namespace, Namespaces, SlowReader};
use shardcast_tests::{Honest, Raw, Server, config};
use std::collections::BTreeMap;

const MESSAGE_BYTES: usize = 32 << 10;
/// 16 MiB: more than all socket buffers on the way hold.
const MESSAGES: u64 = 512;
/// Conflation keys, which take turns.
const KEYS: u64 = 10;

/// Every room has this policy.
fn server(slow_reader: SlowReader, history: Option<History>) -> Server {
    let rooms = Namespace {
        slow_reader,
        history,
        ..Namespace::default()
    };
    let app = App::new().namespaces(Namespaces::only(rooms).expect("it is good"));
    Server::of(app, config(2)).0
}

fn history(publications_max: u32, bytes_max: usize) -> Option<History> {
    Some(History {
        publications_max,
        bytes_max,
        ..History::default()
    })
}

/// What a member hears that did not read while everything was published.
#[derive(Debug, Default)]
struct Heard {
    /// Offsets or, without history, numbers, as they came.
    numbers: Vec<u64>,
    /// Counts of gaps by reason.
    missed: BTreeMap<String, u64>,
    /// Each gap, with the number of messages that came before.
    gaps: Vec<(usize, u64)>,
    /// Answers to what the member asked.
    answers: Vec<Value>,
}

/// One member stalls while others hear everything; then it reads up to the last message.
fn stall(server: &Server) -> Heard {
    let mut slow = Raw::narrow(server);
    slow.join("r");
    let mut fast = Honest::of(server);
    fast.join("r");
    let publisher = Honest::of(server);
    for number in 1..=MESSAGES {
        let key = format!("k{}", number % KEYS);
        let publish = publisher.publishing("r", &padded(number));
        publisher.say(publish.conflate(&key));
        let heard: String = fast.hear("r").read().expect("a text");
        assert_eq!(heard.parse(), Ok(number));
    }
    server.wait_until("one that is behind", |server| {
        server.sum(|shard| &shard.fell_behind) >= 1
    });
    // Asked while nothing moves: the answer is no message of the room.
    slow.say(r#"{"type":"ping","id":"behind"}"#);
    let mut heard = Heard::default();
    while heard.numbers.last() != Some(&MESSAGES) || heard.answers.is_empty() {
        let text = slow.hear();
        if let Some(number) = number_in(&text) {
            heard.numbers.push(number);
            continue;
        }
        let event: Value = serde_json::from_str(&text).expect("JSON");
        if event["type"] == "missed" {
            assert_eq!(event["room"], "r");
            let count = event["count"].as_u64().expect("a count");
            let reason = event["reason"].as_str().expect("a reason");
            assert!(count > 0);
            *heard.missed.entry(reason.to_owned()).or_default() += count;
            heard.gaps.push((heard.numbers.len(), count));
        } else {
            heard.answers.push(event);
        }
    }
    check_live(server, &mut slow, &mut fast, &publisher);
    heard
}

/// From here on it is as fast as the others, and lost nothing that was said to it alone.
fn check_live(server: &Server, slow: &mut Raw, fast: &mut Honest, publisher: &Honest) {
    server.wait_until("everything delivered", |server| {
        server.sum(|shard| &shard.cursors) + server.sum(|shard| &shard.outbox_bytes) == 0
    });
    let report = publisher.say(publisher.publishing("r", &"live").with_report());
    let counts = (report.delivered, report.queued, report.catching_up);
    assert_eq!(counts, (Some(2), Some(0), Some(0)), "{report:?}");
    let heard: String = fast.hear("r").read().expect("a text");
    assert_eq!(heard, "live");
    assert!(slow.hear().contains("\"live\""));
    slow.say(r#"{"type":"ping","id":"after"}"#);
    assert_eq!(slow.hear(), r#"{"type":"pong","id":"after"}"#);
    assert_eq!(server.sum(|shard| &shard.closed_slow), 0);
}

/// The data of a large message.
fn padded(number: u64) -> String {
    format!("{number:0>MESSAGE_BYTES$}")
}

/// The number of a large message, which is padded with zeros.
fn number_in(text: &str) -> Option<u64> {
    let (_, data) = text.split_once(r#""data":"0"#)?;
    data.trim_end_matches(['"', '}']).parse().ok()
}

/// Every number is heard or was counted as missed, and what is heard stands in order.
#[track_caller]
fn check_complete(heard: &Heard, reason: Option<&str>) {
    assert!(
        heard.numbers.is_sorted_by(|a, b| a < b),
        "{:?}",
        heard.numbers
    );
    let missed: u64 = heard.missed.values().sum();
    assert_eq!(heard.numbers.len() as u64 + missed, MESSAGES, "{heard:?}");
    let reasons: Vec<&str> = heard.missed.keys().map(String::as_str).collect();
    assert_eq!(reasons, reason.into_iter().collect::<Vec<_>>());
    assert_eq!(heard.answers.len(), 1, "{:?}", heard.answers);
    assert_eq!(heard.answers[0]["id"], "behind");
}

/// Each gap stands right before the message behind it, and counts what is missing there.
#[track_caller]
fn check_gaps(heard: &Heard) {
    let mut expected = 1;
    let mut gaps = heard.gaps.iter().peekable();
    for (index, number) in heard.numbers.iter().enumerate() {
        while let Some((_, count)) = gaps.next_if(|(before, _)| *before == index) {
            expected += count;
        }
        assert_eq!(*number, expected, "{:?}", heard.gaps);
        expected += 1;
    }
}

#[test]
fn who_catches_up_hears_everything_that_is_kept() {
    let server = server(SlowReader::CatchUp, history(1_000, 64 << 20));
    let heard = stall(&server);
    check_complete(&heard, None);
    assert_eq!(server.sum(|shard| &shard.missed_trimmed_by_size), 0);
    assert!(server.sum(|shard| &shard.caught_up) > 0);
}

#[test]
fn who_falls_out_of_the_log_is_told_how_much() {
    for (history, trimmed_by_bytes) in [
        (history(20, 64 << 20), false),
        (history(1_000, 1 << 20), true),
        // A room without history keeps a little for those who are slow.
        (None, true),
    ] {
        let server = server(SlowReader::CatchUp, history);
        let heard = stall(&server);
        check_complete(&heard, Some("trimmed_by_size"));
        check_gaps(&heard);
        let missed: u64 = heard.missed.values().sum();
        assert_eq!(server.sum(|shard| &shard.missed_trimmed_by_size), missed);
        let (_, last_gap) = heard.gaps[heard.gaps.len() - 1];
        assert!(
            last_gap > 0 && (missed < MESSAGES - 4),
            "{trimmed_by_bytes}"
        );
    }
}

#[test]
fn who_is_dropped_for_goes_on_with_the_newest() {
    for history in [history(1_000, 64 << 20), None] {
        let server = server(SlowReader::DropOldest, history);
        let heard = stall(&server);
        check_complete(&heard, Some("dropped"));
        check_gaps(&heard);
        let missed: u64 = heard.missed.values().sum();
        assert_eq!(server.sum(|shard| &shard.missed_dropped), missed);
    }
}

/// Nothing of what was published while it did not read follows, so the last thing that it hears is
/// what comes then.
#[test]
fn what_comes_too_fast_is_dropped_for_who_keeps_what_it_has() {
    let server = server(SlowReader::DropNewest, history(1_000, 64 << 20));
    let mut slow = Raw::narrow(&server);
    slow.join("r");
    let publisher = Honest::of(&server);
    for number in 1..=MESSAGES {
        publish(&publisher, number);
    }
    server.wait_until("one that is behind", |server| {
        server.sum(|shard| &shard.fell_behind) >= 1
    });
    let report = publisher.say(publisher.publishing("r", &1).with_report());
    let counts = (report.delivered, report.queued);
    assert_eq!(counts, (Some(0), Some(0)), "{report:?}");
    let (mut last, mut missed) = (0, 0);
    slow.say(r#"{"type":"ping","id":"behind"}"#);
    let mut answered = false;
    let mut live = false;
    while !live {
        let text = slow.hear();
        if let Some(number) = number_in(&text) {
            last += 1;
            assert_eq!(number, last, "what it has is in order");
            continue;
        }
        if text == r#"{"type":"pong","id":"behind"}"# {
            answered = true;
            server.wait_until("its cursor to end", |server| {
                server.sum(|shard| &shard.cursors) == 0
            });
            publisher.say(publisher.publishing("r", &"live"));
            continue;
        }
        let event: Value = serde_json::from_str(&text).expect("JSON");
        match event["type"].as_str() {
            Some("missed") => {
                assert_eq!(event["reason"], "dropped");
                missed += event["count"].as_u64().expect("a count");
            }
            _ => live = event["data"] == "live",
        }
    }
    assert!(answered && last > 0 && missed > 0, "{last} {missed}");
    assert_eq!(last + missed, MESSAGES + 1);
    assert_eq!(server.sum(|shard| &shard.closed_slow), 0);
}

/// Publishes the message with this number, which gets its place.
#[track_caller]
fn publish(publisher: &Honest, number: u64) {
    let receipt = publisher.say(publisher.publishing("r", &padded(number)));
    assert_eq!(receipt.offset, Some(number), "{receipt:?}");
}

#[test]
fn who_is_conflated_for_hears_the_newest_of_each_key() {
    for history in [history(1_000, 64 << 20), None] {
        let kept_all = history.is_some();
        let server = server(SlowReader::Conflate, history);
        let heard = stall(&server);
        let missed: u64 = heard.missed.values().sum();
        assert!(
            heard.numbers.is_sorted_by(|a, b| a < b),
            "{:?}",
            heard.numbers
        );
        assert_eq!(heard.numbers.len() as u64 + missed, MESSAGES, "{heard:?}");
        assert_eq!(heard.answers.len(), 1);
        if kept_all {
            let newest: Vec<u64> = (MESSAGES - KEYS + 1..=MESSAGES).collect();
            assert!(heard.numbers.ends_with(&newest), "{:?}", heard.numbers);
            assert_eq!(heard.missed.keys().collect::<Vec<_>>(), ["conflated"]);
            assert_eq!(server.sum(|shard| &shard.missed_conflated), missed);
        }
    }
}

/// However much is published, a stalled member costs its outbox and nothing more.
#[test]
fn a_stalled_member_costs_no_messages() {
    let server = server(SlowReader::CatchUp, history(100, 4 << 20));
    let mut slow = Raw::narrow(&server);
    slow.join("r");
    let publisher = Honest::of(&server);
    let mut most = 0;
    for number in 1..=MESSAGES {
        publish(&publisher, number);
        most = most.max(server.sum(|shard| &shard.outbox_bytes));
    }
    assert!(server.sum(|shard| &shard.fell_behind) >= 1);
    assert!(most <= 256 << 10, "{most} bytes waited");
    assert!(server.sum(|shard| &shard.log_bytes) <= 5 << 20);
}
