//! The tool as users call it: what it prints, and how it ends. A tool that hangs fails its test
//! after the patience of `shardcast-patience`, and ends with it. Used by every test here.

use serde_json::Value;
use shardcast_patience::Program;
use std::process::Command;

/// What a run came to.
pub(crate) struct Outcome {
    /// The exit code. None: a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed; `null` where it printed no report.
    pub(crate) report: Value,
    /// All of standard error.
    pub(crate) complaint: String,
}

/// The tool, before its arguments.
pub(crate) fn tool() -> Command {
    Command::new(env!("CARGO_BIN_EXE_shardcast-load"))
}

/// Runs the tool to its end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let ended = Program::start(command).end();
    Outcome {
        code: ended.code,
        report: serde_json::from_str(&ended.printed).unwrap_or(Value::Null),
        complaint: ended.errors,
    }
}
