//! The search for the limit: its steps follow from each other, and its end from its steps.

#[expect(dead_code, reason = "the faults are for the verdicts")]
mod server;

use serde_json::{Value, json};
use server::{Dialect, Fault, serve};
use std::process::Command;

fn load(arguments: &str) -> (Option<i32>, Value, String) {
    let address = serve(Dialect::Raw, Fault::None);
    let output = Command::new(env!("CARGO_BIN_EXE_shardcast-load"))
        .args(arguments.split(' '))
        .args(["--url", &format!("ws://{address}/ws"), "--json", "-"])
        .output()
        .unwrap();
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Whatever this machine can do just now: what is said of it is consistent.
fn check(arguments: &str, steps_max: usize) -> Value {
    let (code, report, complaint) = load(arguments);
    let found = &report["find_limit"];
    let context = format!("{arguments}: {found} {complaint}");
    let steps = found["steps"].as_array().expect(&context);
    assert!((1..=steps_max).contains(&steps.len()), "{context}");
    let rate = |step: &Value| step["rate_per_s"].as_f64().unwrap();
    let passed = |step: &&Value| step["passed"] == true;
    assert_eq!(rate(&steps[0]), 50.0, "{context}");
    for pair in steps.windows(2) {
        let below = steps
            .iter()
            .filter(passed)
            .any(|step| rate(step) <= rate(&pair[0]));
        let raised = rate(&pair[1]) > rate(&pair[0]);
        assert!(raised == passed(&&pair[0]) || below, "{context}");
    }
    for step in steps {
        assert_eq!(passed(&step), step["gave_out"].is_null(), "{context}");
        assert_eq!(passed(&step), step["reason"].is_null(), "{context}");
    }
    let best = steps.iter().filter(passed).map(rate).max_by(f64::total_cmp);
    assert_eq!(found["limit_per_s"].as_f64(), best, "{context}");
    assert_eq!(code, Some(if best.is_some() { 0 } else { 1 }), "{context}");
    if let Some(best) = best {
        assert_eq!(report["pace"]["rate"]["per_s"], best, "{context}");
        assert_eq!(report["lost"], 0, "{context}");
    }
    report
}

const STEPS: &str = "--connections 3 --rate 50 --warmup 0s --duration 200ms --drain 1s";

#[test]
fn a_search_is_consistent_with_its_steps() {
    let pid = std::process::id();
    check(
        &format!("echo {STEPS} --find-limit max<50s --find-limit-steps 3 --server-pid {pid}"),
        3,
    );
    check(
        &format!("broadcast {STEPS} --find-limit p99.9<5ms --find-limit-steps 4"),
        4,
    );
}

#[test]
fn an_objective_that_nothing_can_reach_breaks_at_every_rate() {
    let report = check(
        &format!("echo {STEPS} --find-limit max<0.001us --find-limit-steps 3"),
        3,
    );
    let found = &report["find_limit"];
    assert_eq!(found["limit_per_s"], Value::Null);
    let rates = found["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| &step["rate_per_s"]);
    assert_eq!(
        rates.collect::<Vec<_>>(),
        [&json!(50.0), &json!(25.0), &json!(12.5)]
    );
    assert_eq!(found["objective"], "max<0.001us");
    assert_ne!(found["gave_out"], "server", "no server process was watched");
}

#[test]
fn what_cannot_be_searched_is_refused() {
    for (arguments, word) in [
        (
            "echo --connections 1 --rate 5 --find-limit p99>5ms",
            "no objective",
        ),
        ("echo --connections 1 --rate 5 --find-limit p99", "p99<10ms"),
        (
            "echo --connections 1 --find-limit p99<5ms",
            "needs a --rate",
        ),
        (
            "idle --connections 1 --find-limit p99<5ms",
            "needs a --rate",
        ),
        (
            "echo --connections 1 --rate 5 --find-limit-steps 5",
            "--find-limit",
        ),
        (
            "echo --connections 1 --rate 5 --find-limit p99<5ms --find-limit-steps 1",
            "2..=",
        ),
    ] {
        let (code, _, complaint) = load(arguments);
        assert_eq!(code, Some(2), "{arguments}: {complaint}");
        assert!(complaint.contains(word), "{arguments}: {complaint}");
    }
}
