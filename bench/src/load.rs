//! The load generator's report: the fields that tables use, and the rest as it came. What is
//! missing was not measured. Part of every record.

use crate::work::Figure;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What `shardcast-load` wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// What was done: `echo`, `broadcast`, `idle`.
    #[serde(deserialize_with = "default_of_null")]
    pub scenario: String,
    /// Connections; in a broadcast the subscribers.
    #[serde(deserialize_with = "default_of_null")]
    pub connections: u64,
    /// Rooms that they are spread over; 1 where there are none.
    pub rooms: Option<u64>,
    /// Measured time, in seconds.
    #[serde(deserialize_with = "default_of_null")]
    pub duration_s: f64,
    /// Arrivals in the measured time, per second: round trips, or deliveries to all together.
    #[serde(deserialize_with = "default_of_null")]
    pub rate_per_s: f64,
    /// Messages that did not arrive.
    #[serde(deserialize_with = "default_of_null")]
    pub lost: u64,
    /// Messages that arrived again.
    #[serde(deserialize_with = "default_of_null")]
    pub duplicated: u64,
    /// Messages that overtook another of their sender.
    #[serde(deserialize_with = "default_of_null")]
    pub out_of_order: u64,
    /// Messages that arrived changed.
    #[serde(deserialize_with = "default_of_null")]
    pub corrupted: u64,
    /// Subscribers that saw another order than the rest of their room.
    #[serde(deserialize_with = "default_of_null")]
    pub order_mismatches: u64,
    /// What else went wrong, and how often.
    #[serde(deserialize_with = "default_of_null")]
    pub errors: BTreeMap<String, u64>,
    /// The run was cut short.
    #[serde(deserialize_with = "default_of_null")]
    pub partial: bool,
    /// What set the pace, if not the server: one of [`LIMITED_BY_LOAD`].
    pub limited_by: Option<String>,
    /// From the intended time of sending, in µs.
    pub latency_us: Option<Latency>,
    /// Making the connections.
    #[serde(deserialize_with = "default_of_null")]
    pub connect: Connect,
    /// The server's process.
    #[serde(deserialize_with = "default_of_null")]
    pub server: ServerUse,
    /// What measuring cost.
    #[serde(deserialize_with = "default_of_null")]
    pub client: Client,
    /// TCP segments with data that the host sent in the measured time.
    pub tcp_data_segments: Option<u64>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What was not measured may be `null` as well as missing.
fn default_of_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// How the load generator says that it, or the host, was the limit.
const LIMITED_BY_LOAD: [&str; 2] = ["generator", "host"];
/// Parts of a report that would make a comparison's file large: a point per second, and what the
/// record says already.
const NOT_KEPT: [&str; 2] = ["series", "host"];
/// Options of the load generator's command line, each with a value, that say nothing about the
/// work.
const OPTIONS_NOT_KEPT: [&str; 2] = ["--json", "--server-pid"];
/// Percentiles that are kept in any case; of the others, to draw a curve, not more than
/// [`PERCENTILES_BETWEEN_MAX`].
const PERCENTILES: [f64; 13] = [
    0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99995, 0.99999, 1.0,
];
const PERCENTILES_BETWEEN_MAX: usize = 25;

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

/// What connecting cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// CPU of the server, in µs per connection.
    pub server_cpu_us: Option<f64>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
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
    pub rest: Map<String, Value>,
}

/// What a run cost the load generator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Client {
    /// Share of its core.
    pub cpu_share: Option<f64>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Load {
    /// The figure, if the run has it.
    pub fn figure(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::CpuPerMessage => self.server.cpu_us_per_message,
            Figure::BytesPerConnection => self.server.bytes_per_connection,
            Figure::CpuPerConnect => self.connect.server_cpu_us,
            Figure::P99 => self.latency_us.map(|latency| latency.p99),
        }
    }

    /// Messages per TCP segment with data, both directions together: above 1 the server merged.
    /// None where nothing was measured.
    pub fn messages_per_segment(&self) -> Option<f64> {
        let segments = self.tcp_data_segments.filter(|segments| *segments > 0)? as f64;
        let arrived = self.rate_per_s * self.duration_s;
        let messages = match self.scenario.as_str() {
            "echo" => 2.0 * arrived,
            "broadcast" => {
                let listeners = self.connections as f64 / self.rooms.unwrap_or(1).max(1) as f64;
                arrived + arrived / listeners.max(1.0)
            }
            _ => return None,
        };
        Some(messages / segments)
    }

    /// The load generator or the host, not the server, set the pace.
    pub fn is_limited_by_load(&self) -> bool {
        let limit = self.limited_by.as_deref();
        limit.is_some_and(|limit| LIMITED_BY_LOAD.contains(&limit))
    }

    /// Besides, so many connects a second were answered. With fewer than `least` the run had no
    /// storm, and its figures are those of a host that makes none.
    pub(crate) fn count_storm(&mut self, per_s: f64, least: f64) {
        let name = "storm_per_s".to_owned();
        self.rest.insert(name, Value::from(per_s.round()));
        if per_s < least {
            self.limited_by = Some(LIMITED_BY_LOAD[0].to_owned());
        }
    }

    /// What went wrong; above 0 the figures do not count.
    pub fn faults(&self) -> u64 {
        let messages = [
            self.lost,
            self.duplicated,
            self.out_of_order,
            self.corrupted,
            self.order_mismatches,
            u64::from(self.partial),
        ];
        messages.iter().sum::<u64>() + self.errors.values().sum::<u64>()
    }

    /// Without what a comparison does not keep.
    pub fn slim(&mut self) {
        for name in NOT_KEPT {
            self.rest.remove(name);
        }
        if let Some(Value::Array(points)) = self.rest.get_mut("percentiles") {
            thin(points);
        }
        if let Some(Value::Array(arguments)) = self.rest.get_mut("arguments") {
            *arguments = without_places(arguments);
        }
    }
}

fn thin(points: &mut Vec<Value>) {
    let every = points.len().div_ceil(PERCENTILES_BETWEEN_MAX).max(1);
    let mut index = 0;
    points.retain(|point| {
        let quantile = point.get(0).and_then(Value::as_f64);
        let is_named = quantile.is_some_and(|quantile| PERCENTILES.contains(&quantile));
        index += 1;
        is_named || (index - 1) % every == 0
    });
}

/// A command line without where its program and its files were on this machine.
fn without_places(arguments: &[Value]) -> Vec<Value> {
    let mut kept = Vec::new();
    let mut words = arguments.iter();
    if let Some(program) = words.next().and_then(Value::as_str) {
        let name = program.rsplit('/').next().unwrap_or(program);
        kept.push(Value::from(name));
    }
    while let Some(word) = words.next() {
        if word
            .as_str()
            .is_some_and(|word| OPTIONS_NOT_KEPT.contains(&word))
        {
            words.next();
        } else {
            kept.push(word.clone());
        }
    }
    kept
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report as the load generator writes it.
    pub(crate) const REPORT: &str = r#"{"scenario":"echo","protocol":"raw","connections":100,"payload_bytes":64,"received":1000,"lost":0,"duplicated":0,"errors":{},
        "duration_s":2.0,"rate_per_s":500.0,"tcp_data_segments":1600,
        "latency_us":{"p50":100,"p99":200.5,"p99_9":300,"max":400},
        "server":{"cpu_us_per_message":4.5,"rss_kb_before":1000,"rss_kb_after":2000,"bytes_per_connection":65.0},
        "client":{"cpu_share":0.5,"workers":1},"connect":{"server_cpu_us":16,"per_s":9},"limited_by":"none"}"#;

    fn report() -> Load {
        serde_json::from_str(REPORT).expect("a report")
    }

    #[test]
    fn a_report_is_read_and_nothing_of_it_is_lost() {
        let load = report();
        let figures = [
            (Figure::CpuPerMessage, 4.5),
            (Figure::BytesPerConnection, 65.0),
            (Figure::CpuPerConnect, 16.0),
            (Figure::P99, 200.5),
        ];
        for (figure, value) in figures {
            assert_eq!(load.figure(figure), Some(value), "{figure:?}");
        }
        assert!(!load.is_limited_by_load());
        let again = serde_json::to_value(&load).expect("JSON");
        let original: Value = serde_json::from_str(REPORT).expect("JSON");
        for key in [
            "scenario",
            "received",
            "client",
            "payload_bytes",
            "tcp_data_segments",
        ] {
            assert_eq!(again[key], original[key]);
        }
        assert_eq!(again["server"]["rss_kb_after"], 2000);
        assert_eq!(again["connect"]["per_s"], 9);
    }

    #[test]
    fn what_a_scenario_does_not_measure_may_be_missing() {
        let text = r#"{"scenario":"idle","latency_us":null,"server":{"bytes_per_connection":1.0},
            "lost":1,"errors":{"reset":2},"limited_by":"host","partial":true,"client":null,"rate_per_s":null}"#;
        let load: Load = serde_json::from_str(text).expect("a report");
        let figures = (
            load.latency_us,
            load.figure(Figure::CpuPerMessage),
            load.figure(Figure::P99),
        );
        assert_eq!((load.faults(), figures), (4, (None, None, None)));
        assert!(load.is_limited_by_load());
        assert_eq!(load.messages_per_segment(), None);
    }

    #[test]
    fn too_few_connects_are_no_storm() {
        let mut load = report();
        load.count_storm(1_950.4, 1_900.0);
        assert!(!load.is_limited_by_load());
        assert_eq!(load.rest["storm_per_s"], 1_950.0);
        load.count_storm(1_899.0, 1_900.0);
        assert!(load.is_limited_by_load());
    }

    #[test]
    fn merged_messages_show_in_segments() {
        let mut load = report();
        // 1,000 there and 1,000 back.
        assert_eq!(load.messages_per_segment(), Some(1.25));
        // 10 publishes that 100 hear.
        load.scenario = "broadcast".into();
        load.tcp_data_segments = Some(202);
        assert_eq!(load.messages_per_segment(), Some(5.0));
        // 20 publishes, each to one of two rooms of 50.
        load.rooms = Some(2);
        load.tcp_data_segments = Some(1020);
        assert_eq!(load.messages_per_segment(), Some(1.0));
        load.tcp_data_segments = Some(0);
        assert_eq!(load.messages_per_segment(), None);
    }

    #[test]
    fn what_is_kept_is_small() {
        let mut load = report();
        let points: Vec<Value> = (0..=200)
            .map(|n| serde_json::json!([f64::from(n) / 200.0, n]))
            .collect();
        load.rest.insert("percentiles".into(), Value::Array(points));
        load.rest
            .insert("series".into(), serde_json::json!({"points": [1, 2, 3]}));
        let arguments = [
            "/some/where/shardcast-load",
            "echo",
            "--server-pid",
            "7",
            "--payload",
            "64",
            "--json",
            "/tmp/x",
        ];
        load.rest
            .insert("arguments".into(), arguments.into_iter().collect());
        load.slim();
        assert!(!load.rest.contains_key("series"));
        let kept = load.rest["percentiles"].as_array().expect("points");
        let quantiles: Vec<f64> = kept
            .iter()
            .map(|point| point[0].as_f64().expect("a number"))
            .collect();
        // Every ninth of 201, two of them named, and five named ones between.
        assert_eq!(quantiles[..3], [0.0, 0.045, 0.09]);
        for named in [0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 1.0] {
            assert!(quantiles.contains(&named), "{named}");
        }
        assert_eq!(quantiles.len(), 23 + 5);
        let expected = serde_json::json!(["shardcast-load", "echo", "--payload", "64"]);
        assert_eq!(load.rest["arguments"], expected);
    }
}
