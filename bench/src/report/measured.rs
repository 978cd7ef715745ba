//! What `shardcast-load` wrote about one run, as far as the page shows it. A field that is missing
//! or `null` was not measured; one of another kind is an error. Made by `reading`, asked by
//! everything that shows figures.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One line of `shardcast-load --json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Measured {
    pub(crate) scenario: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) connections: Option<f64>,
    pub(crate) publishers: Option<f64>,
    pub(crate) rooms: Option<f64>,
    pub(crate) pace: Value,
    pub(crate) payload_bytes: Value,
    pub(crate) received: Option<f64>,
    lost: Option<f64>,
    duplicated: Option<f64>,
    out_of_order: Option<f64>,
    corrupted: Option<f64>,
    order_mismatches: Option<f64>,
    errors: Option<BTreeMap<String, f64>>,
    rate_per_s: Option<f64>,
    latency_us: Option<Quantiles>,
    percentiles: Option<Vec<(f64, f64)>>,
    pub(crate) series: Option<Series>,
    server: Option<MeasuredServer>,
    connect: Option<MeasuredConnect>,
    limited_by: Option<String>,
    pub(crate) limit_reason: Option<String>,
    partial: Option<bool>,
    pub(crate) partial_reason: Option<String>,
    pub(crate) host: Option<Machine>,
    pub(crate) date: Option<String>,
    pub(crate) commit: Option<String>,
    pub(crate) arguments: Value,
}

/// Where it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    pub(crate) kernel: Option<String>,
    pub(crate) processor: Option<String>,
    pub(crate) cores: Option<u64>,
}

/// Latencies, in µs.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Quantiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p99_9: Option<f64>,
    pub(crate) p99_99: Option<f64>,
    pub(crate) max: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct MeasuredServer {
    cpu_us_per_message: Option<f64>,
    bytes_per_connection: Option<f64>,
    kernel_kib_before: Option<f64>,
    kernel_kib_after: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct MeasuredConnect {
    server_cpu_us: Option<f64>,
}

/// What was seen as the run went on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Series {
    pub(crate) interval_s: Option<f64>,
    pub(crate) points: Vec<Point>,
}

/// One interval.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Point {
    /// Its end, in seconds since the warm-up began.
    pub(crate) t_s: Option<f64>,
    pub(crate) open: Option<f64>,
    pub(crate) errors: Option<f64>,
    pub(crate) rate_per_s: Option<f64>,
    pub(crate) latency_us: Option<Quantiles>,
    /// Cores in use.
    pub(crate) server_cpu_share: Option<f64>,
    pub(crate) server_rss_kib: Option<f64>,
    pub(crate) kernel_kib: Option<f64>,
    /// Cores in use.
    pub(crate) client_cpu_share: Option<f64>,
}

impl Measured {
    /// Quantiles and their latencies in µs, both rising; as many as there are.
    pub(crate) fn percentiles(&self) -> Vec<(f64, f64)> {
        let recorded = match &self.percentiles {
            Some(recorded) if !recorded.is_empty() => recorded.clone(),
            _ => self.few(),
        };
        let mut kept: Vec<(f64, f64)> = recorded
            .into_iter()
            .filter(|(quantile, us)| (0.0..=1.0).contains(quantile) && *us >= 0.0)
            .collect();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        kept.dedup_by_key(|(quantile, _)| *quantile);
        kept
    }

    /// Whether the whole distribution was kept, not only a few quantiles.
    pub(crate) fn has_distribution(&self) -> bool {
        self.percentiles.as_ref().is_some_and(|all| !all.is_empty())
    }

    fn few(&self) -> Vec<(f64, f64)> {
        let few = self.latency_us.unwrap_or_default();
        let named = [
            (0.5, few.p50),
            (0.9, few.p90),
            (0.99, few.p99),
            (0.999, few.p99_9),
            (0.9999, few.p99_99),
            (1.0, few.max),
        ];
        named
            .into_iter()
            .filter_map(|(quantile, us)| Some((quantile, us?)))
            .collect()
    }

    /// The latency at a quantile that was recorded, in µs.
    pub(crate) fn latency_us(&self, quantile: f64) -> Option<f64> {
        let near = |(recorded, _): &&(f64, f64)| (recorded - quantile).abs() < 1e-9;
        let few = self.few();
        let all = self.percentiles.as_deref().unwrap_or_default();
        few.iter()
            .find(near)
            .or_else(|| all.iter().find(near))
            .map(|&(_, us)| us)
    }

    /// `None` where nothing was sent: an idle run has no rate.
    pub(crate) fn messages(&self) -> Option<f64> {
        self.received.filter(|&received| received > 0.0)
    }

    /// Messages that arrived in a second of the window.
    pub(crate) fn rate_per_s(&self) -> Option<f64> {
        self.rate_per_s.filter(|&rate| rate > 0.0)
    }

    /// The server's, user and system, all threads, in µs.
    pub(crate) fn cpu_us_per_message(&self) -> Option<f64> {
        self.server?.cpu_us_per_message
    }

    /// The server's, from accept to ready, in µs.
    pub(crate) fn cpu_us_per_connect(&self) -> Option<f64> {
        self.connect?.server_cpu_us
    }

    /// The process' growth.
    pub(crate) fn bytes_per_connection(&self) -> Option<f64> {
        self.server?.bytes_per_connection
    }

    /// The growth of what the kernel holds for sockets; host-wide, so with the generator's ends.
    pub(crate) fn kernel_bytes_per_connection(&self) -> Option<f64> {
        let server = self.server?;
        let grown_kib = server.kernel_kib_after? - server.kernel_kib_before?;
        let ends = self.connections? + self.publishers.unwrap_or(0.0);
        (ends > 0.0).then(|| grown_kib * 1024.0 / ends)
    }

    /// Who, if not the server, was the limit.
    pub(crate) fn limited_by(&self) -> Option<&str> {
        self.limited_by.as_deref().filter(|who| *who != "none")
    }

    /// It was cut short.
    pub(crate) fn is_partial(&self) -> bool {
        self.partial == Some(true)
    }

    /// Nothing went wrong that anyone saw.
    pub(crate) fn is_sound(&self) -> bool {
        !self.is_partial() && self.faults().is_none_or(|faults| faults.is_empty())
    }

    /// What went wrong and how often, without what did not; `None`: nobody looked.
    pub(crate) fn faults(&self) -> Option<Vec<(String, f64)>> {
        let counts = [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("out of order", self.out_of_order),
            ("corrupted", self.corrupted),
            ("in another order than their room", self.order_mismatches),
        ];
        if counts.iter().all(|(_, count)| count.is_none()) && self.errors.is_none() {
            return None;
        }
        let counted = counts
            .into_iter()
            .filter_map(|(what, count)| Some((what.to_owned(), count?)));
        let errors = self.errors.clone().unwrap_or_default();
        let errors = errors
            .into_iter()
            .map(|(what, count)| (format!("errors ({what})"), count));
        Some(
            counted
                .chain(errors)
                .filter(|(_, count)| *count > 0.0)
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(text: &str) -> Measured {
        serde_json::from_str(text).expect("a line")
    }

    #[test]
    fn what_is_missing_or_null_was_not_measured() {
        for text in [
            "{}",
            r#"{"latency_us":null,"percentiles":null,"server":null,"series":null,"errors":null,"limited_by":null,"received":0,"rate_per_s":0}"#,
        ] {
            let line = measured(text);
            assert_eq!(line.percentiles(), []);
            assert!(!line.has_distribution());
            assert_eq!(line.messages(), None);
            assert_eq!(line.rate_per_s(), None);
            assert_eq!(line.cpu_us_per_message(), None);
            assert_eq!(line.bytes_per_connection(), None);
            assert_eq!(line.kernel_bytes_per_connection(), None);
            assert_eq!(line.limited_by(), None);
            assert_eq!(line.faults(), None);
        }
    }

    #[test]
    fn the_distribution_is_put_in_order_and_the_few_stand_in_for_it() {
        let whole = measured(
            r#"{"percentiles":[[1,9],[0.5,2],[0.5,2],[0.999,7.5],[1.5,1],[0.2,-1]],"latency_us":{"p50":2.1}}"#,
        );
        assert_eq!(whole.percentiles(), [(0.5, 2.0), (0.999, 7.5), (1.0, 9.0)]);
        assert_eq!(whole.latency_us(0.5), Some(2.1));
        assert_eq!(whole.latency_us(0.999), Some(7.5));
        assert_eq!(whole.latency_us(0.99), None);
        let few = measured(r#"{"latency_us":{"p50":1,"p99":2,"p99_9":3,"max":4}}"#);
        assert!(!few.has_distribution());
        assert_eq!(
            few.percentiles(),
            [(0.5, 1.0), (0.99, 2.0), (0.999, 3.0), (1.0, 4.0)]
        );
    }

    #[test]
    fn the_kernel_and_the_faults_are_counted() {
        let line = measured(
            r#"{"connections":90,"publishers":10,"server":{"kernel_kib_before":100,"kernel_kib_after":300},
            "lost":2,"corrupted":0,"errors":{"reset":3,"other":0},"limited_by":"generator","partial":true}"#,
        );
        assert_eq!(line.kernel_bytes_per_connection(), Some(2048.0));
        assert_eq!(
            line.faults(),
            Some(vec![
                ("lost".to_owned(), 2.0),
                ("errors (reset)".to_owned(), 3.0)
            ])
        );
        assert_eq!(line.limited_by(), Some("generator"));
        assert!(line.is_partial() && !line.is_sound());
        assert!(measured(r#"{"lost":0}"#).is_sound() && measured("{}").is_sound());
        assert!(!measured(r#"{"lost":1}"#).is_sound());
        assert_eq!(measured(r#"{"lost":0}"#).faults(), Some(vec![]));
    }
}
