//! The whole tool against small servers: an honest server passes, and every fault is found, counted
//! and answered with the right exit code.

mod movement;
mod server;
mod tool;

use serde_json::{Value, json};
use server::{Dialect, Fault, serve};
use std::net::{SocketAddr, TcpStream};
use tool::{Outcome, run, tool};

fn load(arguments: &str, address: SocketAddr) -> Outcome {
    let url = format!("ws://{address}/ws");
    run(tool()
        .args(arguments.split(' '))
        .args(["--url", &url, "--json", "-"]))
}

const ECHO: &str = "echo --connections 3 --in-flight 4 --warmup 0s --duration 300ms --drain 1s";
const BROADCAST: &str =
    "broadcast --connections 3 --rate 100 --warmup 0s --duration 500ms --drain 1s";
const FAN_IN: &str =
    "fan-in --connections 20 --listeners 3 --rate 400 --warmup 0s --duration 500ms --drain 1s";

const SLOW: &str = "slow --connections 3 --rate 100 --stall-share 0.34 --stall-after 100ms --stall-for 300ms \
     --warmup 0s --duration 500ms --drain 2s";

const CHAT: &str = "chat --protocol native --connections 6 --rooms 3 --rooms-per-connection 2 --rate 400 --warmup 0s \
     --duration 500ms --drain 2s";

/// Runs against a server with one fault; `expected` counts what must be found.
fn check(arguments: &str, dialect: Dialect, fault: Fault, expected: &Value) {
    let outcome = load(arguments, serve(dialect, fault));
    let report = &outcome.report;
    let context = format!("{arguments}, {fault:?}: {} {report}", outcome.complaint);
    for name in [
        "lost",
        "duplicated",
        "out_of_order",
        "corrupted",
        "order_mismatches",
    ] {
        assert_eq!(
            report[name],
            *expected.get(name).unwrap_or(&json!(0)),
            "{name}: {context}"
        );
    }
    let faultless = expected.as_object().unwrap().is_empty();
    assert_eq!(
        outcome.code,
        Some(if faultless { 0 } else { 1 }),
        "{context}"
    );
    assert_eq!(report["errors"], json!({}), "{context}");
    assert!(report["sent"].as_u64() >= Some(10), "{context}");
    let arrived = report["received"].as_u64().unwrap() + report["lost"].as_u64().unwrap();
    assert_eq!(report["expected"], arrived, "{context}");
    assert!(
        report["latency_us"]["p50"].as_f64() > Some(0.0),
        "{context}"
    );
}

#[test]
fn an_honest_server_passes() {
    let own = format!("--server-pid {}", std::process::id());
    for arguments in [
        ECHO.to_owned(),
        format!("{ECHO} --workers 2 {own}"),
        format!("{ECHO} --payload 70000"),
        "echo --connections 3 --rate 200 --warmup 100ms --duration 300ms".into(),
        BROADCAST.into(),
        format!("{BROADCAST} --publishers 3 --burst 5 --workers 2 --sources 2 {own}"),
        "broadcast --connections 3 --publishers 2 --outstanding 4 --warmup 0s --duration 200ms --payload 32".into(),
    ] {
        check(&arguments, Dialect::Raw, Fault::None, &json!({}));
    }
    for arguments in [
        format!("{ECHO} --protocol native"),
        format!("{BROADCAST} --protocol native --rooms 2 --publishers 2 --workers 2"),
        "broadcast --protocol native --connections 4 --rooms 2 --outstanding 3 --warmup 0s --duration 200ms".into(),
    ] {
        check(&arguments, Dialect::Native, Fault::None, &json!({}));
    }
}

#[test]
fn every_listener_hears_every_publisher() {
    let closed =
        "fan-in --connections 20 --listeners 2 --outstanding 2 --warmup 0s --duration 200ms";
    for (arguments, dialect) in [
        (FAN_IN.to_owned(), Dialect::Raw),
        (format!("{FAN_IN} --workers 3"), Dialect::Raw),
        (format!("{FAN_IN} --protocol native"), Dialect::Native),
        (closed.to_owned(), Dialect::Raw),
    ] {
        check(&arguments, dialect, Fault::None, &json!({}));
    }
    let report = load(FAN_IN, serve(Dialect::Raw, Fault::None)).report;
    assert_eq!(report["scenario"], "fan-in");
    assert_eq!(
        report["fan_in"],
        json!({"publishers": 20, "listeners": 3}),
        "{report}"
    );
    let [sent, expected] = ["sent", "expected"].map(|name| report[name].as_u64());
    assert_eq!((sent, expected), (Some(200), Some(600)), "{report}");
}

#[test]
fn every_fault_is_found_in_fan_in() {
    for (fault, expected) in [
        (Fault::Drop, json!({"lost": 1, "order_mismatches": 1})),
        (
            Fault::Duplicate,
            json!({"duplicated": 1, "order_mismatches": 1}),
        ),
        (
            Fault::Damage,
            json!({"lost": 1, "corrupted": 1, "order_mismatches": 1}),
        ),
        (Fault::DelayBehindAnother, json!({"order_mismatches": 1})),
        (
            Fault::DelayBehindOwn,
            json!({"out_of_order": 1, "order_mismatches": 1}),
        ),
    ] {
        check(FAN_IN, Dialect::Raw, fault, &expected);
    }
}

#[test]
fn a_stalled_reader_of_a_server_that_waits_catches_up() {
    for arguments in [SLOW.to_owned(), format!("{SLOW} --workers 2 --burst 5")] {
        check(&arguments, Dialect::Raw, Fault::None, &json!({}));
    }
    let report = load(SLOW, serve(Dialect::Raw, Fault::None)).report;
    let slow = &report["slow"];
    let [stalled, caught_up, lost, missed] =
        ["stalled", "caught_up", "lost", "missed"].map(|name| slow[name].as_u64().unwrap());
    assert_eq!((stalled, caught_up, lost, missed), (1, 1, 0, 0), "{slow}");
    assert_eq!(slow["closed"], json!({}), "{slow}");
    check_stall(&report);
    assert_eq!(slow["others_latency_us"], report["latency_us"], "{report}");
}

/// The first message of the stall waits for its end. The stall begins at most as late as the tool
/// itself is: then its departures are as late, which the report says.
fn check_stall(report: &Value) {
    const STALL_US: f64 = 300_000.0;
    const BETWEEN_MESSAGES_US: f64 = 10_000.0;
    let late_us = report["lateness_us"]["max"].as_f64().unwrap();
    let waited_us = report["slow"]["stalled_latency_us"]["max"].as_f64();
    let least_us = STALL_US - 2.0 * BETWEEN_MESSAGES_US - late_us;
    assert!(waited_us > Some(least_us), "{least_us} µs: {report}");
}

#[test]
fn every_fault_is_found_beside_a_stall() {
    for (fault, expected) in [
        (Fault::Drop, json!({"lost": 1, "order_mismatches": 1})),
        (
            Fault::Duplicate,
            json!({"duplicated": 1, "order_mismatches": 1}),
        ),
        (
            Fault::Delay,
            json!({"out_of_order": 1, "order_mismatches": 1}),
        ),
        (
            Fault::Damage,
            json!({"lost": 1, "corrupted": 1, "order_mismatches": 1}),
        ),
    ] {
        check(SLOW, Dialect::Raw, fault, &expected);
    }
}

#[test]
fn a_stalled_reader_may_be_closed_but_not_deceived() {
    let arguments = "slow --connections 3 --rate 1000 --payload 1024 --stall-share 0.34 --stall-after 0s --warmup 0s --duration 2s";
    let closed = load(arguments, serve(Dialect::Raw, Fault::CloseSlow));
    let (report, slow) = (&closed.report, &closed.report["slow"]);
    assert_eq!(closed.code, Some(0), "{} {report}", closed.complaint);
    assert_eq!(slow["closed"], json!({"1008": 1}), "{slow}");
    assert_eq!((&slow["caught_up"], &slow["lost"]), (&json!(0), &json!(0)));
    let missed = slow["missed"].as_u64().unwrap();
    let [sent, received, expected] =
        ["sent", "received", "expected"].map(|name| report[name].as_u64().unwrap());
    assert_eq!((sent, received + missed), (2_000, 6_000), "{report}");
    assert!(missed > 0 && expected == received, "{report}");
    assert_eq!(report["errors"], json!({}), "{report}");

    let skipped = load(arguments, serve(Dialect::Raw, Fault::SkipSlow));
    let (report, slow) = (&skipped.report, &skipped.report["slow"]);
    assert_eq!(skipped.code, Some(1), "{report}");
    assert_eq!(slow["closed"], json!({}), "{slow}");
    assert!(slow["lost"].as_u64() > Some(0), "{slow}");
    assert_eq!(slow["lost"], report["lost"], "{report}");
    assert_eq!(
        (&slow["stalled"], &slow["caught_up"]),
        (&json!(1), &json!(0))
    );
}

#[test]
fn everyone_gets_every_message_of_each_of_its_rooms() {
    for arguments in [
        CHAT.to_owned(),
        format!("{CHAT} --workers 2 --seed 7"),
        format!("{CHAT} --sizes payload --payload 200"),
        "chat --protocol native --connections 40 --rooms 9 --rate 300 --warmup 0s --duration 500ms"
            .to_owned(),
    ] {
        check(&arguments, Dialect::Native, Fault::None, &json!({}));
    }
    let report = load(CHAT, serve(Dialect::Native, Fault::None)).report;
    // 12 seats in 3 rooms: 6.5, 3.3 and 2.2 of them by rank.
    let expected = json!({
        "rooms": 3, "rooms_per_connection": 2, "largest_room": 6, "median_room": 4, "smallest_room": 2,
        "talkers_per_room_max": 256, "sizes": "mixed", "payload_bytes_mean": 303.36, "seed": 1,
    });
    assert_eq!(report["chat"], expected, "{report}");
    assert_eq!(report["sent"], 200, "{report}");
    let raw = load(
        "chat --connections 6 --rooms 3 --rate 1",
        serve(Dialect::Raw, Fault::None),
    );
    assert_eq!(raw.code, Some(2));
    assert!(
        raw.complaint.contains("--protocol native"),
        "{}",
        raw.complaint
    );
}

#[test]
fn every_fault_is_found_in_chats() {
    for (fault, expected) in [
        (Fault::Drop, json!({"lost": 1, "order_mismatches": 1})),
        (
            Fault::Duplicate,
            json!({"duplicated": 1, "order_mismatches": 1}),
        ),
        (
            Fault::Damage,
            json!({"lost": 1, "corrupted": 1, "order_mismatches": 1}),
        ),
        (Fault::DelayBehindAnother, json!({"order_mismatches": 1})),
        (
            Fault::DelayBehindOwn,
            json!({"out_of_order": 1, "order_mismatches": 1}),
        ),
    ] {
        check(CHAT, Dialect::Native, fault, &expected);
    }
}

#[test]
fn every_fault_is_found_in_echoes() {
    for (fault, expected) in [
        (Fault::Drop, json!({"lost": 1})),
        (Fault::Duplicate, json!({"duplicated": 1})),
        (Fault::Delay, json!({"out_of_order": 1})),
        (Fault::Damage, json!({"lost": 1, "corrupted": 1})),
    ] {
        check(ECHO, Dialect::Raw, fault, &expected);
    }
    check(
        &format!("{ECHO} --protocol native"),
        Dialect::Native,
        Fault::Duplicate,
        &json!({"duplicated": 1}),
    );
}

#[test]
fn every_fault_is_found_in_broadcasts() {
    let several = format!("{BROADCAST} --publishers 2");
    let native = format!("{BROADCAST} --protocol native --rooms 1");
    for (arguments, dialect, fault, expected) in [
        (
            BROADCAST,
            Dialect::Raw,
            Fault::Drop,
            json!({"lost": 1, "order_mismatches": 1}),
        ),
        (
            BROADCAST,
            Dialect::Raw,
            Fault::Duplicate,
            json!({"duplicated": 1, "order_mismatches": 1}),
        ),
        (
            BROADCAST,
            Dialect::Raw,
            Fault::Delay,
            json!({"out_of_order": 1, "order_mismatches": 1}),
        ),
        (
            BROADCAST,
            Dialect::Raw,
            Fault::Damage,
            json!({"lost": 1, "corrupted": 1, "order_mismatches": 1}),
        ),
        (
            &several,
            Dialect::Raw,
            Fault::DelayBehindAnother,
            json!({"order_mismatches": 1}),
        ),
        (&native, Dialect::Native, Fault::None, json!({})),
    ] {
        check(arguments, dialect, fault, &expected);
    }
}

#[test]
fn a_connection_that_is_closed_early_is_an_error() {
    for arguments in [ECHO, BROADCAST] {
        let outcome = load(arguments, serve(Dialect::Raw, Fault::Close));
        assert_eq!(outcome.code, Some(1), "{}", outcome.complaint);
        assert_eq!(
            outcome.report["errors"],
            json!({"closed by the server with 1008 enough": 1})
        );
        assert!(
            outcome.report["lost"].as_u64() > Some(0),
            "{}",
            outcome.report
        );
        assert!(outcome.complaint.contains("lost"), "{}", outcome.complaint);
    }
}

#[test]
fn idle_connections_are_held_and_each_gets_both_broadcasts_once() {
    let quiet = load(
        "idle --connections 5 --hold 100ms",
        serve(Dialect::Raw, Fault::None),
    );
    assert_eq!(
        (quiet.code, &quiet.report["expected"]),
        (Some(0), &json!(0)),
        "{}",
        quiet.complaint
    );
    let once = "idle --connections 7 --protocol native --rooms 3 --hold 100ms --broadcast-once --workers 2";
    let good = load(once, serve(Dialect::Native, Fault::None));
    assert_eq!(
        (good.code, &good.report["received"]),
        (Some(0), &json!(14)),
        "{}",
        good.complaint
    );
    assert_eq!(good.report["sent"], 4);
}

#[test]
fn what_cannot_be_measured_has_its_own_exit_code() {
    // The port of a client's socket: held as long as the test goes on, and nobody listens on it.
    let client = TcpStream::connect(serve(Dialect::Native, Fault::None)).unwrap();
    let closed = client.local_addr().unwrap();
    let refused = load(ECHO, closed);
    assert_eq!((refused.code, refused.report), (Some(3), Value::Null));
    assert!(
        refused.complaint.contains("refused the connection"),
        "{}",
        refused.complaint
    );

    let native = load(ECHO, serve(Dialect::Native, Fault::None));
    assert_eq!((native.code, native.report), (Some(3), Value::Null));
    assert!(
        native.complaint.contains("try --protocol native"),
        "{}",
        native.complaint
    );

    let gone = load(
        &format!("{ECHO} --server-pid 4294967295"),
        serve(Dialect::Raw, Fault::None),
    );
    assert_eq!(gone.code, Some(3));
    assert!(
        gone.complaint.contains("4294967295 is gone"),
        "{}",
        gone.complaint
    );

    let unknown = load("echo --connections 0", closed);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.complaint.contains("--connections is 1 to"),
        "{}",
        unknown.complaint
    );
    assert_eq!(
        load("echo --connections 1 --nonsense", closed).code,
        Some(2)
    );
}
