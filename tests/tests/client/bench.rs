//! The bench of clients, tiny: it runs, every work with every client, and prints its table.

use shardcast_patience::Program;
use std::process::Command;
use std::time::Duration;

/// It may have to be built.
const PATIENCE: Duration = Duration::from_secs(600);

#[test]
fn the_bench_of_clients_runs() {
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "run",
        "--quiet",
        "--package",
        "shardcast-bench-client",
        "--",
    ]);
    command.args(["--tiny", "--rounds", "1", "--seconds", "1"]);
    command.args(["--server", env!("CARGO_BIN_EXE_served")]);
    let ended = Program::start(&mut command).end_within(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let rows: Vec<&str> = ended.printed.lines().skip(2).collect();
    for (row, work) in rows.iter().zip(["round-trip", "subscriptions", "idle"]) {
        assert!(row.starts_with(&format!("| {work} |")), "{row}");
        assert!(!row.contains("NaN") && !row.contains("inf"), "{row}");
    }
    assert_eq!(rows.len(), 3, "{}", ended.printed);
}
