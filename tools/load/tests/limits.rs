//! The search for the limit: its steps follow from each other, and its end from its steps.

#[expect(dead_code, reason = "the faults are for the verdicts")]
mod server;
mod tool;

use serde_json::{Value, json};
use server::{Dialect, FAULTY, Fault, serve};
use shardcast_patience::wait_until;
use tool::{Outcome, run, tool};

fn load(arguments: &str, fault: Fault) -> Outcome {
    let url = format!("ws://{}/ws", serve(Dialect::Raw, fault));
    run(tool()
        .args(arguments.split(' '))
        .args(["--url", &url, "--json", "-"]))
}

/// Whatever this machine can do just now: the steps follow from each other, and the limit from
/// them.
fn check(arguments: &str, fault: Fault, steps_max: usize) -> Value {
    let Outcome {
        code,
        report,
        complaint,
    } = load(arguments, fault);
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

/// Searches until the machine is quiet enough for the tool to be on time in every step.
fn check_undisturbed(arguments: &str, fault: Fault, steps_max: usize) -> Value {
    let mut found = Value::Null;
    wait_until("a search in which the tool is on time", || {
        let mut report = check(arguments, fault, steps_max);
        found = report["find_limit"].take();
        let steps = found["steps"].as_array().unwrap();
        steps.iter().all(|step| step["gave_out"] != "generator")
    });
    found
}

const STEPS: &str = "--connections 3 --rate 50 --warmup 0s --duration 200ms --drain 1s";

/// Nothing but time could stop this server at these rates, and there is time enough.
#[test]
fn a_server_without_a_limit_passes_every_step() {
    let pid = std::process::id();
    let found = check_undisturbed(
        &format!("echo {STEPS} --find-limit max<50s --find-limit-steps 3 --server-pid {pid}"),
        Fault::None,
        3,
    );
    assert_eq!(found["limit_per_s"], 200.0, "50, doubled twice: {found}");
}

#[test]
fn a_search_is_consistent_with_its_steps() {
    let arguments = format!("broadcast {STEPS} --find-limit p99.9<5ms --find-limit-steps 4");
    check(&arguments, Fault::None, 4);
}

/// The server loses what comes in a step after so many messages of a connection, so that counts
/// decide which steps pass, and no clock.
#[test]
fn the_limit_of_a_server_that_has_one_is_found() {
    let arguments = format!("echo {STEPS} --find-limit max<50s --find-limit-steps 4");
    let found = check_undisturbed(&arguments, Fault::Overload, 4);
    let steps = found["steps"].as_array().unwrap();
    let of = |key: &str| {
        steps
            .iter()
            .map(|step| step[key].clone())
            .collect::<Vec<_>>()
    };
    // Each connection is asked for 4, 7, 5 and 6 messages at most, and keeps 5.
    const _: () = assert!(FAULTY == 6);
    let rates = of("rate_per_s");
    let rates = rates.iter().map(|rate| rate.as_f64().unwrap() as u32);
    assert_eq!(rates.collect::<Vec<_>>(), [50, 100, 70, 84], "{found}");
    assert_eq!(of("passed"), [true, false, true, false], "{found}");
    for step in steps.iter().filter(|step| step["passed"] == false) {
        assert!(step["reason"].as_str().unwrap().contains("lost"), "{step}");
    }
    assert_eq!(found["limit_per_s"], steps[2]["rate_per_s"], "{found}");
}

#[test]
fn an_objective_that_nothing_can_reach_breaks_at_every_rate() {
    let report = check(
        &format!("echo {STEPS} --find-limit max<0.001us --find-limit-steps 3"),
        Fault::None,
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
        let Outcome {
            code, complaint, ..
        } = load(arguments, Fault::None);
        assert_eq!(code, Some(2), "{arguments}: {complaint}");
        assert!(complaint.contains(word), "{arguments}: {complaint}");
    }
}
