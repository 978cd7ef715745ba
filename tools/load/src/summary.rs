//! The report as a table, for people. Called by `main`.

use crate::deflate::{Carried, Traffic};
use crate::latencies::Latencies;
use crate::report::Report;
use std::fmt::Write;

impl Report<'_> {
    /// For people.
    pub(crate) fn to_table(&self) -> String {
        let plan = self.plan;
        let mut table = format!(
            "{:?}, {} connections, {:?} protocol, {} bytes, {}\n",
            plan.scenario, plan.connections, plan.protocol, plan.payload_bytes, plan.url
        );
        let own = self.particulars().map_or(Vec::new(), |own| own.rows);
        let rows = [
            self.message_rows(),
            own,
            self.wire_rows(),
            self.time_rows(),
            self.cost_rows(),
        ]
        .concat();
        for (name, value) in rows {
            let _ = writeln!(table, "  {name:<10} {value}");
        }
        table
    }

    fn message_rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        if self.expected > 0 {
            let (sent, received, expected) = (self.sent, self.received, self.expected);
            let rate = if self.plan.scenario.has_window() {
                format!(", {:.0} a second in the window", self.rate_per_s())
            } else {
                String::new()
            };
            rows.push((
                "messages",
                format!("{sent} sent, {received} of {expected} received{rate}"),
            ));
        }
        if let Some(reason) = &self.findings.cut {
            let seconds = self.findings.window.as_secs_f64();
            rows.push((
                "partial",
                format!("{reason}, {seconds:.1} s into the window"),
            ));
        }
        let verdict = self.verdict();
        rows.push((
            "verdict",
            verdict.unwrap_or_else(|| "nothing lost, duplicated, reordered or damaged".into()),
        ));
        rows.extend(
            self.errors
                .0
                .iter()
                .map(|(error, count)| ("error", format!("{count} × {error}"))),
        );
        rows
    }

    /// What is between the messages and TCP.
    fn wire_rows(&self) -> Vec<(&'static str, String)> {
        let mut rows: Vec<(&'static str, String)> = self
            .agreed
            .0
            .iter()
            .map(|(words, count)| ("TLS", format!("{count} × {words}")))
            .collect();
        if let Some(Traffic { sent, received }) = &self.traffic {
            for (name, way) in [("sent", sent), ("received", received)] {
                rows.push(("deflate", in_bytes(name, way)));
            }
        }
        rows
    }

    fn time_rows(&self) -> Vec<(&'static str, String)> {
        let named = [("latency", self.latencies()), ("lateness", &self.lateness)];
        let recorded = named
            .into_iter()
            .filter(|(_, latencies)| !latencies.is_empty());
        recorded
            .map(|(name, latencies)| (name, in_words(latencies)))
            .collect()
    }

    fn cost_rows(&self) -> Vec<(&'static str, String)> {
        let connect = &self.findings.connect;
        let (per_s, p99_ms) = (connect.per_s, connect.latencies.quantile_us(0.99) / 1e3);
        let cpu = connect
            .server_cpu_us
            .map_or(String::new(), |us| format!(", server CPU {us:.1} µs each"));
        let mut rows = vec![(
            "connecting",
            format!("{per_s:.0} a second, p99 {p99_ms:.1} ms{cpu}"),
        )];
        if let Some(server) = &self.findings.server {
            let cpu = self
                .cpu_us_per_message()
                .map_or(String::new(), |us| format!("CPU {us:.3} µs a message, "));
            let (before, after) = (server.before.rss_kib, server.after.rss_kib);
            let each = self.bytes_per_connection().unwrap_or_default();
            rows.push((
                "server",
                format!("{cpu}memory {before} KiB, then {after} KiB: {each:.0} bytes a connection"),
            ));
        }
        let limit = self.limit();
        let limited_by = limit.name();
        let reason = limit
            .reason()
            .map_or(String::new(), |reason| format!(" ({reason})"));
        let (percent, workers) = (self.client.cpu_share * 100.0, self.plan.workers);
        rows.push((
            "generator",
            format!(
                "{percent:.0} % of a core, {workers} worker(s), limited by: {limited_by}{reason}"
            ),
        ));
        rows
    }
}

fn in_bytes(name: &str, way: &Carried) -> String {
    let Carried {
        messages,
        compressed,
        payload_bytes,
        wire_bytes,
    } = way;
    let ratio = way
        .ratio()
        .map_or(String::new(), |ratio| format!(", ratio {ratio:.2}"));
    format!(
        "{name} {compressed} of {messages} compressed: {payload_bytes} bytes in {wire_bytes}{ratio}"
    )
}

/// Latencies as one line.
pub(crate) fn in_words(latencies: &Latencies) -> String {
    let [p50, p90, p99, p99_9] =
        [0.5, 0.9, 0.99, 0.999].map(|quantile| latencies.quantile_us(quantile));
    let max = latencies.max_us();
    format!("p50 {p50:.0} µs, p90 {p90:.0}, p99 {p99:.0}, p99.9 {p99_9:.0}, max {max:.0}")
}
