//! The admin API as its OpenAPI document promises it: schemathesis makes requests of the document,
//! good and bad ones, and compares statuses, media types and bodies of the answers.
//!
//! Bounded: so many requests for each call, from a seed. `POST /api/drain` would end the server.

use crate::installed::python_script;
use shardcast_patience::Program;
use shardcast_tests::Served;
use std::time::Duration;

const TOML: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
[namespaces.kept]
history = 100
idempotency = "1m"
"#;

#[test]
fn every_call_answers_as_its_document_says() {
    let served = Served::start(env!("CARGO_BIN_EXE_served"), TOML);
    let document = format!("http://{}/openapi.json", served.address("http"));
    // A batch answers 200 for what is wrong in one of its calls, and what fits the document may
    // still name two of what excludes each other.
    for (paths, excluded) in [
        (
            [
                "--exclude-path",
                "/api/drain",
                "--exclude-path",
                "/api/batch",
            ],
            "positive_data_acceptance",
        ),
        (
            [
                "--include-path",
                "/api/batch",
                "--exclude-path",
                "/api/drain",
            ],
            "positive_data_acceptance,negative_data_rejection",
        ),
    ] {
        let mut command = python_script("schemathesis-python", "run.py");
        command.args(["run", &document]).args(paths);
        command.args([
            "--exclude-checks",
            excluded,
            "--seed",
            "1",
            "--max-examples",
            "10",
        ]);
        command.args([
            "--no-color",
            "--suppress-health-check",
            "all",
            "--request-timeout",
            "30",
        ]);
        let ended = Program::start(&mut command).end_within(Duration::from_secs(100));
        assert_eq!(ended.code, Some(0), "{}{}", ended.printed, ended.errors);
        let tested = ended.printed.contains(" generated, ") && ended.printed.contains("Fuzzing");
        assert!(tested, "{}", ended.printed);
    }
    assert_eq!(served.ask("/health").0, 200);
}
