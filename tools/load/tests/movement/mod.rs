//! Connections that come and go, against small servers: an honest one passes, and each way of
//! failing them is found, named and counted.

use crate::load;
use crate::server::{Dialect, Door, Fault, serve, serve_with_door};
use serde_json::{Value, json};
use std::ops::Range;

/// Twenty connects, the first of them after the five connections that are there.
const CHURN: &str = "churn --connections 5 --rate 20 --warmup 0s --duration 1s --drain 5s";
/// Four who talk and six who are cut off: connections 10 to 15 come back.
const STORM: &str = "storm --connections 10 --storm-share 0.6 --rate 100 --storm-at 200ms --warmup 0s --duration 1500ms --drain 5s";

/// Runs against a server that fails the connections with these numbers; `expected` is part of the
/// report's object of that name.
fn check(
    arguments: &str,
    (door, numbers): (Door, Range<usize>),
    (name, expected): (&str, &Value),
    errors: &Value,
) {
    let dialect = if arguments.contains("native") {
        Dialect::Native
    } else {
        Dialect::Raw
    };
    // Only where patience is to end: elsewhere a busy host must not end it.
    let patience = match door {
        Door::Silent | Door::Deaf | Door::Clinging | Door::Lingering => " --patience 500ms",
        Door::Open | Door::Refuse | Door::CloseEarly | Door::CloseLate | Door::Curt => "",
    };
    let address = serve_with_door(dialect, Fault::None, (door, numbers));
    let outcome = load(&format!("{arguments}{patience}"), address);
    let report = &outcome.report;
    let context = format!("{arguments}, {door:?}: {} {report}", outcome.complaint);
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(report[name][field], *value, "{field}: {context}");
    }
    assert_eq!(report["errors"], *errors, "{context}");
    assert_eq!(report[name]["failures"], *errors, "{context}");
    let faultless = errors.as_object().unwrap().is_empty();
    assert_eq!(
        outcome.code,
        Some(if faultless { 0 } else { 1 }),
        "{context}"
    );
    for fault in ["duplicated", "out_of_order", "corrupted"] {
        assert_eq!(report[fault], 0, "{fault}: {context}");
    }
    let arrived = report["received"].as_u64().unwrap() + report["lost"].as_u64().unwrap();
    assert_eq!(report["expected"], arrived, "{context}");
}

#[test]
fn an_honest_server_passes_the_churn() {
    let own = format!("--server-pid {}", std::process::id());
    for (arguments, closed, reset) in [
        (CHURN.to_owned(), 20, 0),
        (format!("{CHURN} --reset-share 0.5 --rooms 1 {own}"), 10, 10),
        (format!("{CHURN} --reset-share 1 --workers 2"), 0, 20),
        (format!("{CHURN} --protocol native --rooms 3"), 20, 0),
    ] {
        let expected = json!({
            "attempts": 20, "entered": 20, "closed": closed, "reset": reset, "missing": 0, "failed": 0, "rate_per_s": 20.0,
        });
        check(
            &arguments,
            (Door::Open, 0..0),
            ("churn", &expected),
            &json!({}),
        );
    }
}

#[test]
fn every_way_of_failing_who_comes_is_named() {
    for (door, words) in [
        (
            Door::Refuse,
            "the server refused the upgrade: HTTP/1.1 503 Service Unavailable, while connecting",
        ),
        (Door::Silent, "not open within 500ms"),
        (Door::Deaf, "no echo within 500ms"),
        (
            Door::CloseEarly,
            "closed by the server with 1008 enough, before its first echo",
        ),
    ] {
        // Who did not come in does not leave, and another comes in its place.
        let expected = json!({"attempts": 20, "entered": 17, "closed": 17, "missing": 0});
        check(
            CHURN,
            (door, 7..10),
            ("churn", &expected),
            &json!({words: 3}),
        );
    }
    let expected = json!({"attempts": 20, "entered": 20, "closed": 17, "missing": 0, "broken": 3, "failed": 3});
    check(
        CHURN,
        (Door::CloseLate, 7..10),
        ("churn", &expected),
        &json!({"closed by the server with 1008 enough, while it stayed": 3}),
    );
    let expected = json!({"attempts": 20, "entered": 17, "closed": 17, "missing": 0});
    check(
        &format!("{CHURN} --rooms 1"),
        (Door::Deaf, 7..10),
        ("churn", &expected),
        &json!({"not joined within 500ms": 3}),
    );
}

#[test]
fn every_way_of_failing_who_leaves_is_named() {
    for (door, words) in [
        (Door::Clinging, "the close was not answered within 500ms"),
        (
            Door::Lingering,
            "not hung up after the close handshake within 500ms",
        ),
        (
            Door::Curt,
            "the server hung up without answering the close, while leaving",
        ),
    ] {
        let expected = json!({"attempts": 20, "entered": 20, "closed": 17, "missing": 0});
        check(
            CHURN,
            (door, 1..4),
            ("churn", &expected),
            &json!({words: 3}),
        );
    }
}

#[test]
fn an_honest_server_passes_the_storm() {
    for arguments in [
        STORM.to_owned(),
        format!("{STORM} --spread 200ms --workers 4 --connecting 2"),
        format!("{STORM} --talk broadcast"),
        format!("{STORM} --talk broadcast --protocol native --rooms 3"),
    ] {
        let expected = json!({
            "cut": 6, "back": 6, "attempts": 6, "retries": 0, "missing": 0, "connect_failures": 0,
        });
        check(
            &arguments,
            (Door::Open, 0..0),
            ("storm", &expected),
            &json!({}),
        );
    }
}

#[test]
fn a_storm_tells_how_long_it_took_and_what_the_others_felt() {
    let outcome = load(STORM, serve(Dialect::Raw, Fault::None));
    let storm = &outcome.report["storm"];
    let back = |name: &str| storm["back_ms"][name].as_f64().unwrap();
    assert!(0.0 < back("p50") && back("p50") <= back("p99"), "{storm}");
    assert!(back("p99") <= back("all"), "{storm}");
    assert!(storm["connect_us"]["p50"].as_f64() > Some(0.0), "{storm}");
    for epoch in ["before", "after"] {
        let latency = &storm["others_latency_us"][epoch]["p50"];
        assert!(latency.as_f64() > Some(0.0), "{epoch}: {storm}");
    }
}

#[test]
fn who_is_failed_tries_again_and_is_back() {
    for (door, words) in [
        (
            Door::Refuse,
            "the server refused the upgrade: HTTP/1.1 503 Service Unavailable, while connecting",
        ),
        (Door::Silent, "not open within 500ms"),
        (Door::Deaf, "no echo within 500ms"),
        (
            Door::CloseEarly,
            "closed by the server with 1008 enough, before its first echo",
        ),
    ] {
        let expected = json!({
            "cut": 6, "back": 6, "attempts": 8, "retries": 2, "missing": 0, "connect_failures": 2,
        });
        check(
            STORM,
            (door, 10..12),
            ("storm", &expected),
            &json!({words: 2}),
        );
    }
}

#[test]
fn who_never_comes_back_is_missed() {
    let refusal =
        "the server refused the upgrade: HTTP/1.1 503 Service Unavailable, while connecting";
    let outcome = load(
        STORM,
        serve_with_door(Dialect::Raw, Fault::None, (Door::Refuse, 12..usize::MAX)),
    );
    let (report, storm) = (&outcome.report, &outcome.report["storm"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.complaint);
    assert_eq!(
        (&storm["back"], &storm["missing"]),
        (&json!(2), &json!(4)),
        "{report}"
    );
    assert_eq!(storm["back_ms"]["all"], Value::Null, "{report}");
    assert_eq!(storm["back_ms"]["p50"], Value::Null, "{report}");
    assert!(report["errors"][refusal].as_u64() >= Some(4), "{report}");
    assert_eq!(storm["others_latency_us"]["after"], Value::Null, "{report}");
    assert_eq!(report["lost"], 0, "{report}");

    let expected =
        json!({"back": 6, "missing": 2, "connect_failures": 0, "broken": 2, "retries": 0});
    check(
        STORM,
        (Door::CloseLate, 10..12),
        ("storm", &expected),
        &json!({"closed by the server with 1008 enough, while it stayed": 2}),
    );
}

#[test]
fn what_the_others_lose_is_told() {
    for (fault, expected) in [
        (Fault::Drop, json!({"lost": 1})),
        (Fault::Duplicate, json!({"duplicated": 1})),
        (Fault::Delay, json!({"out_of_order": 1})),
        (Fault::Damage, json!({"lost": 1, "corrupted": 1})),
    ] {
        let outcome = load(STORM, serve(Dialect::Raw, fault));
        let others = &outcome.report["storm"]["others"];
        assert_eq!(outcome.code, Some(1), "{fault:?}: {}", outcome.complaint);
        for name in ["lost", "duplicated", "out_of_order", "corrupted"] {
            let count = expected.get(name).unwrap_or(&json!(0)).clone();
            assert_eq!(others[name], count, "{fault:?} {name}: {}", outcome.report);
            assert_eq!(outcome.report[name], count, "{fault:?} {name}");
        }
        assert_eq!(outcome.report["storm"]["missing"], 0, "{}", outcome.report);
    }
    // Whoever it hits, cut off later or not: a hole is a loss.
    let broadcast = format!("{STORM} --talk broadcast");
    let outcome = load(&broadcast, serve(Dialect::Raw, Fault::Drop));
    assert_eq!(outcome.report["lost"], 1, "{}", outcome.report);
}
