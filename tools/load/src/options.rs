//! The options that every scenario takes, as they were typed. Part of each scenario's own; `plan`
//! says what they come to.

use crate::content::Content;
use crate::dialect::Protocol;
use crate::objective::Objective;
use crate::progress::Manner;
use crate::target::Door;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Steps of `--find-limit` unless it is said.
const STEPS: u32 = 12;
/// More would be a day's work.
const STEPS_MAX: u32 = 100;

/// What every scenario takes.
#[derive(Debug, Args)]
pub(crate) struct CommonOptions {
    /// The server, as ws://HOST:PORT/PATH, or wss:// for TLS.
    #[arg(long)]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) door: Door,
    /// How to speak to it.
    #[arg(long, value_enum, default_value = "raw")]
    pub(crate) protocol: Protocol,
    /// Connections (in broadcast and slow: subscribers; in fan-in: publishers).
    #[arg(long)]
    pub(crate) connections: u32,
    /// Bytes of each message's body, at least 32, in protocols of text 64.
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub(crate) payload: usize,
    /// What bodies say: a pattern, or JSON with varying numbers, which compresses as real traffic
    /// does (raw and echo; at least 202 bytes).
    #[arg(long, value_enum, default_value = "pattern")]
    pub(crate) content: Content,
    /// How long to measure.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How long each step before the run may take: connecting, subscribing, probing (2 ms more for
    /// each connection).
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) setup: Duration,
    /// How long to run before measuring.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// How long to wait at the end for what has not arrived.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub(crate) drain: Duration,
    /// Length of the intervals of the time series and of --hlog. Default: 1s, more in runs of
    /// hours.
    #[arg(long, value_parser = duration)]
    pub(crate) interval: Option<Duration>,
    /// Raise the rate step by step, from --rate on, until this breaks (p99<10ms, p99.9<500us,
    /// max<1s) or something is lost; each step is a run of its own. The report is of the highest
    /// rate that passed.
    #[arg(long, value_name = "OBJECTIVE")]
    pub(crate) find_limit: Option<Objective>,
    /// Steps of --find-limit.
    #[arg(long, value_name = "N", default_value_t = STEPS, value_parser = clap::value_parser!(u32).range(2..=i64::from(STEPS_MAX)), requires = "find_limit")]
    pub(crate) find_limit_steps: u32,
    /// Process whose CPU and memory to measure.
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// Local addresses to connect from (loopback servers only). Default: one per 12,000
    /// connections.
    #[arg(long)]
    pub(crate) sources: Option<u32>,
    /// Worker processes. Default: one per 15,000 connections.
    #[arg(long)]
    pub(crate) workers: Option<u32>,
    /// CPU to run on, all of the tool.
    #[arg(long, value_name = "CPU")]
    pub(crate) pin: Option<usize>,
    /// How to show progress, on standard error.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) progress: Manner,
    /// File to append one JSON line to (`-`: standard output, instead of the table).
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// File for the latencies as HdrHistogram's percentile text, in milliseconds.
    #[arg(long, value_name = "FILE")]
    pub(crate) hgrm: Option<PathBuf>,
    /// File for the latencies of each interval as HdrHistogram's log, V1.3, in nanoseconds.
    #[arg(long, value_name = "FILE")]
    pub(crate) hlog: Option<PathBuf>,
}

/// `500ms`, `5s`, `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("a duration has a unit: 500ms, 5s, 2m".into()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{number}` is not a number"))?;
    match number * seconds {
        total @ 0.0..=86_400.0 => Ok(Duration::from_secs_f64(total)),
        _ => Err("at most a day".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ms) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["5", "", "s", "5h", "-1s", "1.2.3s", "100000s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
