//! Findings as one verdict, one JSON line and one table. Called by `main`.

use crate::conduct::Findings;
use crate::control::Errors;
use crate::meter::Latencies;
use crate::plan::{Plan, Scenario};
use crate::tally::Faults;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What all workers together found.
#[derive(Debug)]
pub(crate) struct Report<'f> {
    pub(crate) plan: &'f Plan,
    pub(crate) findings: &'f Findings,
    sent: u64,
    received: u64,
    expected: u64,
    received_in_window: u64,
    faults: Faults,
    order_mismatches: u64,
    errors: Errors,
    latencies: Latencies,
    lateness: Latencies,
    client: Client,
}

/// What measuring cost.
#[derive(Debug)]
struct Client {
    cpu_s: f64,
    /// Of the busiest worker's core, or of all cores that they had.
    cpu_share: f64,
}

/// A generator busier than this share of a core, or later than this, measures itself.
const CPU_SHARE_MAX: f64 = 0.9;
const LATENESS_US_MAX: f64 = 10_000.0;

impl<'f> Report<'f> {
    /// Adds the workers up, which had `cores` cores between them.
    pub(crate) fn new(plan: &'f Plan, findings: &'f Findings, cores: usize) -> Report<'f> {
        let mut report = Report {
            plan,
            findings,
            sent: 0,
            received: 0,
            expected: 0,
            received_in_window: 0,
            faults: Faults::default(),
            order_mismatches: 0,
            errors: Errors::default(),
            latencies: Latencies::new(),
            lateness: Latencies::new(),
            client: Client {
                cpu_s: 0.0,
                cpu_share: 0.0,
            },
        };
        let window_s = findings.window.as_secs_f64();
        let mut orders: BTreeMap<u32, BTreeMap<u64, u64>> = BTreeMap::new();
        for outcome in &findings.outcomes {
            report.sent += outcome.sent;
            report.received += outcome.received;
            report.expected += outcome.expected;
            report.received_in_window += outcome.meter.received_in_window;
            report.faults.lost += outcome.faults.lost;
            report.faults.duplicated += outcome.faults.duplicated;
            report.faults.out_of_order += outcome.faults.out_of_order;
            report.faults.corrupted += outcome.faults.corrupted;
            report.latencies.merge(&outcome.meter.latencies);
            report.lateness.merge(&outcome.meter.lateness);
            report.errors.merge(&outcome.errors);
            for &(room, hash, count) in &outcome.orders {
                *orders.entry(room).or_default().entry(hash).or_default() += count;
            }
            let cpu_s = outcome.meter.cpu_ns as f64 / 1e9;
            report.client.cpu_s += cpu_s;
            report.client.cpu_share = report.client.cpu_share.max(cpu_s / window_s);
        }
        let cores = cores.clamp(1, findings.outcomes.len().max(1)) as f64;
        report.client.cpu_share = report
            .client
            .cpu_share
            .max(report.client.cpu_s / window_s / cores);
        findings
            .complaints
            .iter()
            .for_each(|complaint| report.errors.count(complaint.clone()));
        // The order that most saw is the room's; the others differ from it.
        report.order_mismatches = orders
            .values()
            .map(|seen| seen.values().sum::<u64>() - seen.values().max().unwrap_or(&0))
            .sum();
        report
    }

    /// What the server did wrong, in words; `None`: nothing.
    pub(crate) fn verdict(&self) -> Option<String> {
        let Faults {
            lost,
            duplicated,
            out_of_order,
            corrupted,
        } = self.faults;
        let counts = [
            (lost, "lost"),
            (duplicated, "duplicated"),
            (out_of_order, "out of order"),
            (corrupted, "corrupted"),
            (
                self.order_mismatches,
                "subscribers with another order than the rest of their room",
            ),
            (self.errors.0.values().sum(), "errors"),
        ];
        let wrong: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let silent = self.plan.scenario != Scenario::Idle && self.expected == 0;
        match (wrong.is_empty(), silent) {
            (false, _) => Some(wrong.join(", ")),
            (true, true) => Some("nothing was sent".into()),
            (true, false) => None,
        }
    }

    fn limited_by(&self) -> (&'static str, Option<String>) {
        let lateness = self.lateness.quantile_us(0.99);
        if self.plan.scenario == Scenario::Idle {
            ("none", None)
        } else if self.client.cpu_share > CPU_SHARE_MAX {
            (
                "generator",
                Some(format!(
                    "the generator used {:.0} % of a core",
                    self.client.cpu_share * 100.0
                )),
            )
        } else if lateness > LATENESS_US_MAX {
            (
                "generator",
                Some(format!(
                    "p99 of the departures was {:.1} ms late",
                    lateness / 1e3
                )),
            )
        } else {
            ("none", None)
        }
    }

    /// Of an idle run 0: it has no window to speak of.
    fn rate_per_s(&self) -> f64 {
        if self.plan.scenario.has_window() {
            self.received_in_window as f64 / self.findings.window.as_secs_f64()
        } else {
            0.0
        }
    }

    /// `None` without a server process or without messages.
    fn cpu_us_per_message(&self) -> Option<f64> {
        let measured = self.plan.scenario != Scenario::Idle && self.received_in_window > 0;
        let cpu_us = self.findings.server.as_ref()?.cpu_us?;
        measured.then(|| cpu_us / self.received_in_window as f64)
    }

    fn bytes_per_connection(&self) -> Option<f64> {
        let server = self.findings.server.as_ref()?;
        let grown = server.rss_kib_after as f64 - server.rss_kib_before as f64;
        Some(grown * 1024.0 / f64::from(self.plan.connections + self.plan.publishers))
    }

    /// One line.
    pub(crate) fn to_json(&self) -> Value {
        let (plan, findings) = (self.plan, self.findings);
        let (limited_by, limit_reason) = self.limited_by();
        let idle = plan.scenario == Scenario::Idle;
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
            "duration_s": if idle { plan.hold } else { findings.window }.as_secs_f64(),
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
            "latency_us": quantiles(&self.latencies),
            "lateness_us": quantiles(&self.lateness),
            "connect": {
                "per_s": rounded(findings.connect.per_s),
                "server_cpu_us": findings.connect.server_cpu_us.map(rounded),
                "p99_ms": rounded(findings.connect.latencies.quantile_us(0.99) / 1e3),
            },
            "server": findings.server.as_ref().map(|server| json!({
                "pid": server.pid,
                "cpu_us_total": server.cpu_us.map(rounded),
                "cpu_us_per_message": self.cpu_us_per_message().map(|us| (us * 1e4).round() / 1e4),
                "rss_kb_before": server.rss_kib_before,
                "rss_kb_after": server.rss_kib_after,
                "bytes_per_connection": self.bytes_per_connection().map(rounded),
            })),
            "client": {
                "cpu_s": rounded(self.client.cpu_s),
                "cpu_share": rounded(self.client.cpu_share),
                "workers": plan.workers,
            },
            "limited_by": limited_by,
            "limit_reason": limit_reason,
            "tcp_out_segments": findings.segments.map(|segments| segments.out),
            "tcp_data_segments": findings.segments.map(|segments| segments.data),
        });
        if let Some(particulars) = self.particulars() {
            line[particulars.name] = particulars.line;
        }
        line
    }

    /// For people.
    pub(crate) fn to_table(&self) -> String {
        let plan = self.plan;
        let mut table = format!(
            "{:?}, {} connections, {:?} protocol, {} bytes, {}\n",
            plan.scenario, plan.connections, plan.protocol, plan.payload_bytes, plan.url
        );
        let own = self.particulars().map_or(Vec::new(), |own| own.rows);
        let rows = [self.message_rows(), own, self.time_rows(), self.cost_rows()].concat();
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

    fn time_rows(&self) -> Vec<(&'static str, String)> {
        let named = [("latency", &self.latencies), ("lateness", &self.lateness)];
        let recorded = named
            .into_iter()
            .filter(|(_, latencies)| !latencies.is_empty());
        recorded
            .map(|(name, latencies)| {
                let [p50, p90, p99, p99_9] = [0.5, 0.9, 0.99, 0.999].map(|quantile| latencies.quantile_us(quantile));
                let max = latencies.max_us();
                (name, format!("p50 {p50:.0} µs, p90 {p90:.0}, p99 {p99:.0}, p99.9 {p99_9:.0}, max {max:.0}"))
            })
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
            let (before, after) = (server.rss_kib_before, server.rss_kib_after);
            let each = self.bytes_per_connection().unwrap_or_default();
            rows.push((
                "server",
                format!("{cpu}memory {before} KiB, then {after} KiB: {each:.0} bytes a connection"),
            ));
        }
        let (limited_by, reason) = self.limited_by();
        let reason = reason.map_or(String::new(), |reason| format!(" ({reason})"));
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

/// To three decimals.
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
