//! The report as one JSON line, for programs. Invariant: units end the names, and what was not
//! measured is `null`. Called by `main`.

use crate::deflate::{Carried, Traffic};
use crate::host::date;
use crate::latencies::Latencies;
use crate::report::Report;
use crate::series::{Point, Quantiles};
use crate::target::without_secrets;
use serde_json::{Value, json};

impl Report<'_> {
    /// One line.
    pub(crate) fn to_json(&self) -> Value {
        let (plan, findings) = (self.plan, self.findings);
        let limit = self.limit();
        let has_window = plan.scenario.has_window();
        let mut line = json!({
            "tool": "shardcast-load",
            "version": env!("CARGO_PKG_VERSION"),
            "scenario": plan.scenario,
            "protocol": plan.protocol,
            "url": plan.url,
            "connections": plan.connections,
            "publishers": plan.publishers,
            "rooms": plan.rooms,
            "pace": plan.pace,
            "payload_bytes": plan.payload_bytes,
            "content": plan.content,
            "duration_s": if has_window { findings.window } else { plan.hold }.as_secs_f64(),
            "sent": self.sent,
            "received": self.received,
            "expected": self.expected,
            "lost": self.faults.lost,
            "duplicated": self.faults.duplicated,
            "out_of_order": self.faults.out_of_order,
            "corrupted": self.faults.corrupted,
            "order_mismatches": self.order_mismatches,
            "errors": self.errors.0,
            "rate_per_s": rounded(self.rate_per_s()),
            "latency_us": quantiles(self.latencies()),
            "lateness_us": quantiles(&self.lateness),
            "connect": {
                "per_s": rounded(findings.connect.per_s),
                "server_cpu_us": findings.connect.server_cpu_us.map(rounded),
                "p99_ms": rounded(findings.connect.latencies.quantile_us(0.99) / 1e3),
            },
            "server": self.server_line(),
            "client": {
                "cpu_s": rounded(self.client.cpu_s),
                "cpu_share": rounded(self.client.cpu_share),
                "workers": plan.workers,
            },
            "tls": self.agreed.0,
            "compressed": self.traffic.as_ref().map(traffic_line),
            "limited_by": limit.name(),
            "limit_reason": limit.reason(),
            "tcp_out_segments": findings.segments.map(|segments| segments.out),
            "tcp_data_segments": findings.segments.map(|segments| segments.data),
            "percentiles": percentiles(self.latencies()),
            "series": self.series_line(),
            "host": self.host,
            "date": date(findings.began),
            "arguments": command_line(),
            "partial": findings.cut.is_some(),
            "partial_reason": findings.cut,
        });
        if let Some(particulars) = self.particulars() {
            line[particulars.name] = particulars.line;
        }
        line
    }

    fn server_line(&self) -> Option<Value> {
        self.findings.server.as_ref().map(|server| {
            json!({
                "pid": server.pid,
                "cpu_us_total": server.cpu.map(|cpu| rounded(cpu.total_us)),
                "cpu_share": server.cpu.map(|cpu| rounded(cpu.share)),
                "busiest_thread_share": server.cpu.map(|cpu| rounded(cpu.busiest_share)),
                "cpu_us_per_message": self.cpu_us_per_message().map(|us| (us * 1e4).round() / 1e4),
                "rss_kb_before": server.before.rss_kib,
                "rss_kb_after": server.after.rss_kib,
                "kernel_kib_before": server.before.kernel_kib,
                "kernel_kib_after": server.after.kernel_kib,
                "bytes_per_connection": self.bytes_per_connection().map(rounded),
            })
        })
    }

    fn series_line(&self) -> Value {
        let series = &self.findings.series;
        let points = series.points();
        let points: Vec<Value> = points
            .iter()
            .map(|point| point_line(point, series.start_ns))
            .collect();
        json!({"interval_s": self.plan.interval.as_secs_f64(), "points": points})
    }
}

fn traffic_line(traffic: &Traffic) -> Value {
    let way = |way: &Carried| {
        json!({
            "messages": way.messages,
            "compressed": way.compressed,
            "payload_bytes": way.payload_bytes,
            "wire_bytes": way.wire_bytes,
            "ratio": way.ratio().map(rounded),
        })
    };
    json!({"sent": way(&traffic.sent), "received": way(&traffic.received)})
}

fn point_line(point: &Point, start_ns: u64) -> Value {
    let counts = &point.counts;
    let t_ns = point.end_ns.saturating_sub(start_ns);
    json!({
        "t_s": rounded(t_ns as f64 / 1e9),
        "open": counts.open,
        "sent": counts.sent,
        "received": counts.received,
        "errors": counts.errors,
        "rate_per_s": rounded(counts.rate_per_s),
        "latency_us": point.quantiles.map(|Quantiles { p50, p90, p99, p99_9, max }| json!({
            "p50": rounded(p50), "p90": rounded(p90), "p99": rounded(p99), "p99_9": rounded(p99_9), "max": rounded(max),
        })),
        "server_cpu_share": point.server_cpu_share.map(rounded),
        "server_rss_kib": point.server_rss_kib,
        "kernel_kib": point.kernel_kib,
        "client_cpu_share": rounded(counts.client_cpu_share),
    })
}

/// As it was typed, but for secrets.
fn command_line() -> Vec<String> {
    without_secrets(std::env::args_os().map(|word| word.to_string_lossy().into_owned()))
}

/// Tenths of the rest to 1 that a percentile leaves, for each power of ten.
const RESTS: [f64; 10] = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.5, 2.0, 1.5];
/// The percentiles go to 1 - 10^-5.
const NINES_MAX: i32 = 5;

/// Pairs of quantile and microseconds, rising from 0 to 1; empty when nothing was recorded.
fn percentiles(latencies: &Latencies) -> Vec<(f64, f64)> {
    if latencies.is_empty() {
        return Vec::new();
    }
    let rests = (0..NINES_MAX)
        .flat_map(|nines| {
            [10.0]
                .iter()
                .chain(&RESTS)
                .map(move |rest| rest * 10f64.powi(-nines - 1))
        })
        .chain([10f64.powi(-NINES_MAX)]);
    // 1 - rest is no short decimal: rounded, it is one.
    let mut quantiles: Vec<f64> = rests
        .map(|rest| ((1.0 - rest) * 1e7).round() / 1e7)
        .collect();
    quantiles.push(1.0);
    quantiles
        .into_iter()
        .map(|quantile| (quantile, rounded(latencies.quantile_us(quantile))))
        .collect()
}

pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// `null` when nothing was recorded.
pub(crate) fn quantiles(latencies: &Latencies) -> Value {
    if latencies.is_empty() {
        return Value::Null;
    }
    let at = |quantile| rounded(latencies.quantile_us(quantile));
    json!({
        "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p99_9": at(0.999), "p99_99": at(0.9999),
        "max": rounded(latencies.max_us()), "mean": rounded(latencies.mean_us()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_rise_from_the_least_to_the_most() {
        let mut latencies = Latencies::new();
        assert!(percentiles(&latencies).is_empty());
        (1..=1_000).for_each(|us| latencies.record(us * 1_000));
        let percentiles = percentiles(&latencies);
        assert!(
            percentiles.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1),
            "{percentiles:?}"
        );
        let quantiles: Vec<f64> = percentiles.iter().map(|(quantile, _)| *quantile).collect();
        for quantile in [
            0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99995, 0.99999, 1.0,
        ] {
            assert!(quantiles.contains(&quantile), "{quantile}: {quantiles:?}");
        }
        let at = |wanted: f64| percentiles.iter().find(|(quantile, _)| *quantile == wanted);
        assert_eq!(at(0.5).map(|(_, us)| us.round()), Some(500.0));
        assert_eq!(at(1.0).map(|(_, us)| us.round()), Some(1_000.0));
    }
}
