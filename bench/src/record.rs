//! One run's result, one JSON object per line: the circumstances and the load generator's whole report. Written by `compare`, read by the tables.

use crate::host::Host;
use crate::statistics::Rounds;
use crate::work::{Figure, Server, Work};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Circumstances.
    #[serde(flatten)]
    pub host: Host,
    /// [`Work::name`].
    pub work: String,
    /// [`Server::name`].
    pub server: String,
    /// From 1; runs of one round stand next to each other in time.
    pub round: u32,
    /// Measured time, in seconds.
    pub seconds: u32,
    /// What `shardcast-load` wrote.
    pub load: Load,
}

/// The load generator's report: the fields that tables use, and the rest as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// Messages that did not arrive.
    pub lost: u64,
    /// Messages that arrived again.
    pub duplicated: u64,
    /// Messages that overtook another of their sender.
    pub out_of_order: u64,
    /// Messages that arrived changed.
    pub corrupted: u64,
    /// Subscribers that saw another order than the rest of their room.
    pub order_mismatches: u64,
    /// What else went wrong, and how often.
    pub errors: BTreeMap<String, u64>,
    /// [`LIMITED_BY_LOAD`] when the load generator, not the server, set the pace.
    pub limited_by: Option<String>,
    /// From the intended time of sending, in µs.
    pub latency_us: Option<Latency>,
    /// The server's process.
    pub server: ServerUse,
    /// Everything else.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// How the load generator says that it was the limit.
const LIMITED_BY_LOAD: &str = "generator";

/// Latencies in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p99_9: f64,
    /// Worst.
    pub max: f64,
}

/// What a run cost the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerUse {
    /// CPU, user and system, all threads, in µs per message.
    pub cpu_us_per_message: Option<f64>,
    /// Growth of the resident memory over the connections, in bytes each.
    pub bytes_per_connection: Option<f64>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

impl Load {
    /// The figure, if the run has it.
    pub fn figure(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::CpuPerMessage => self.server.cpu_us_per_message,
            Figure::BytesPerConnection => self.server.bytes_per_connection,
        }
    }

    /// The load generator, not the server, set the pace.
    pub fn is_limited_by_load(&self) -> bool {
        self.limited_by.as_deref() == Some(LIMITED_BY_LOAD)
    }

    /// What the server did wrong; above 0 the figures do not count.
    pub fn faults(&self) -> u64 {
        let messages = [
            self.lost,
            self.duplicated,
            self.out_of_order,
            self.corrupted,
        ];
        messages.iter().sum::<u64>() + self.order_mismatches + self.errors.values().sum::<u64>()
    }
}

/// Reads records, one per line.
///
/// # Errors
/// A line that is no record, with its number.
pub fn parse(text: &str) -> io::Result<Vec<Record>> {
    let numbered = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let parsed = numbered.map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("line {}: {error}", index + 1),
            )
        })
    });
    parsed.collect()
}

/// The runs of one server at one work.
pub fn runs<'r>(
    records: &'r [Record],
    work: &Work,
    server: Server,
) -> impl Iterator<Item = &'r Record> {
    let (work, server) = (work.name, server.name());
    records
        .iter()
        .filter(move |record| record.work == work && record.server == server)
}

/// The work's figure of one server, by round.
pub fn figures(records: &[Record], work: &Work, server: Server) -> Rounds {
    let of = |record: &Record| Some((record.round, record.load.figure(work.figure)?));
    runs(records, work, server).filter_map(of).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report as the load generator writes it.
    pub(crate) const REPORT: &str = r#"{"scenario":"echo","protocol":"raw","connections":100,"payload_bytes":64,"received":1000,"lost":0,"duplicated":0,"errors":{},
        "latency_us":{"p50":100,"p99":200.5,"p99_9":300,"max":400},
        "server":{"cpu_us_per_message":4.5,"rss_kb_before":1000,"rss_kb_after":2000,"bytes_per_connection":65.0},
        "client":{"cpu_share":0.5},"connect":{"server_cpu_us":16},"limited_by":"none"}"#;

    pub(crate) fn record(work: &str, server: Server, round: u32, cpu_us: f64) -> Record {
        let mut load: Load = serde_json::from_str(REPORT).expect("a report");
        load.server.cpu_us_per_message = Some(cpu_us);
        let host = Host {
            date: "2026-01-02T03:04:05Z".into(),
            commit: "abc1234".into(),
            kernel: "6.18".into(),
            processor: "CPU".into(),
            cores: 2,
        };
        Record {
            host,
            work: work.into(),
            server: server.name().into(),
            round,
            seconds: 5,
            load,
        }
    }

    #[test]
    fn a_report_is_read_and_nothing_of_it_is_lost() {
        let load: Load = serde_json::from_str(REPORT).expect("a report");
        assert_eq!(load.figure(Figure::CpuPerMessage), Some(4.5));
        assert_eq!(load.figure(Figure::BytesPerConnection), Some(65.0));
        assert_eq!(
            load.latency_us,
            Some(Latency {
                p50: 100.0,
                p99: 200.5,
                p99_9: 300.0,
                max: 400.0
            })
        );
        assert!(!load.is_limited_by_load());
        let (again, original) = (
            serde_json::to_value(&load).expect("JSON"),
            serde_json::from_str::<serde_json::Value>(REPORT).expect("JSON"),
        );
        for key in ["scenario", "received", "client", "connect"] {
            assert_eq!(again[key], original[key]);
        }
        assert_eq!(again["server"]["rss_kb_after"], 2000);
    }

    #[test]
    fn what_a_scenario_does_not_measure_may_be_missing() {
        let text = r#"{"scenario":"idle","latency_us":null,"server":{"bytes_per_connection":1.0},
            "lost":1,"errors":{"reset":2},"limited_by":"generator"}"#;
        let load: Load = serde_json::from_str(text).expect("a report");
        assert_eq!(
            (
                load.faults(),
                load.latency_us,
                load.figure(Figure::CpuPerMessage)
            ),
            (3, None, None)
        );
        assert!(load.is_limited_by_load());
    }

    #[test]
    fn records_survive_a_file() {
        let records = vec![
            record("echo-100", Server::Raw, 1, 4.0),
            record("echo-100", Server::Floor, 1, 4.1),
        ];
        let lines: Vec<String> = records
            .iter()
            .map(|record| serde_json::to_string(record).expect("JSON"))
            .collect();
        assert_eq!(parse(&lines.join("\n")).expect("two records"), records);
        let error = parse(&format!("{}\n\n{{}}\n", lines[0]))
            .expect_err("no record")
            .to_string();
        assert!(error.starts_with("line 3: missing field"), "{error}");
    }
}
