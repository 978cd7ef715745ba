//! All workers' findings added up. Called by `main` and `limit`; shown by `line` and `summary`,
//! judged by `verdict`.

mod by_scenario;

use crate::conduct::Findings;
use crate::deflate::Traffic;
use crate::errors::{Agreed, Errors};
use crate::host::Host;
use crate::latencies::Latencies;
use crate::plan::Plan;
use crate::tally::Faults;
use std::collections::BTreeMap;
use std::time::Duration;

/// What all workers together found.
#[derive(Debug)]
pub(crate) struct Report<'f> {
    pub(crate) plan: &'f Plan,
    pub(crate) findings: &'f Findings,
    pub(crate) host: Host,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) expected: u64,
    pub(crate) received_in_window: u64,
    pub(crate) faults: Faults,
    pub(crate) order_mismatches: u64,
    pub(crate) errors: Errors,
    /// Of the workers that came to the end.
    pub(crate) agreed: Agreed,
    /// Where messages may be compressed.
    pub(crate) traffic: Option<Traffic>,
    pub(crate) lateness: Latencies,
    pub(crate) client: Client,
}

/// What measuring cost.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) cpu_s: f64,
    /// Of the busiest worker's core, or of all cores that they had.
    pub(crate) cpu_share: f64,
}

/// Shares of shorter windows say nothing.
pub(crate) const WINDOW_MIN: Duration = Duration::from_millis(10);
/// How errors of workers that failed are called: their words are lost with them.
const FAILED_WORKER: &str = "in a worker that failed";

impl<'f> Report<'f> {
    /// Adds the workers up, which had `cores` cores between them.
    pub(crate) fn new(plan: &'f Plan, findings: &'f Findings, cores: usize) -> Report<'f> {
        let mut report = Report {
            plan,
            findings,
            host: Host::observe(),
            sent: 0,
            received: 0,
            expected: 0,
            received_in_window: 0,
            faults: Faults::default(),
            order_mismatches: 0,
            errors: Errors::default(),
            agreed: Agreed::default(),
            traffic: None,
            lateness: Latencies::new(),
            client: Client {
                cpu_s: 0.0,
                cpu_share: 0.0,
            },
        };
        // CPU of a window that was cut to nothing is no share of it.
        let window_s = findings.window.max(WINDOW_MIN).as_secs_f64();
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
            report.lateness.merge(&outcome.meter.lateness);
            report.errors.merge(&outcome.errors);
            report.agreed.merge(&outcome.agreed);
            if let Some(traffic) = &outcome.traffic {
                report.traffic.get_or_insert_default().merge(traffic);
            }
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
        for totals in &findings.failed {
            report.sent += totals.sent;
            report.received += totals.received;
            // What it still was to get is not known.
            report.expected += totals.received;
            report.errors.add(FAILED_WORKER, totals.errors);
        }
        // Without all workers it is not known how much the rest was to get.
        if !findings.failed.is_empty() {
            report.expected = report.expected.max(report.received + report.faults.lost);
        }
        // The order that most saw is the room's; the others differ from it.
        report.order_mismatches = orders
            .values()
            .map(|seen| seen.values().sum::<u64>() - seen.values().max().unwrap_or(&0))
            .sum();
        report
    }

    /// Measured latencies of all workers, those that failed too.
    pub(crate) fn latencies(&self) -> &Latencies {
        self.findings.series.measured()
    }

    /// Of an idle run 0: it has no window to speak of.
    pub(crate) fn rate_per_s(&self) -> f64 {
        let window_s = self.findings.window.as_secs_f64();
        if self.plan.scenario.has_window() && window_s > 0.0 {
            self.received_in_window as f64 / window_s
        } else {
            0.0
        }
    }

    /// `None` without a server process or without messages.
    pub(crate) fn cpu_us_per_message(&self) -> Option<f64> {
        let measured = self.plan.scenario.has_window() && self.received_in_window > 0;
        let cpu_us = self.findings.server.as_ref()?.cpu?.total_us;
        measured.then(|| cpu_us / self.received_in_window as f64)
    }

    pub(crate) fn bytes_per_connection(&self) -> Option<f64> {
        let server = self.findings.server.as_ref()?;
        let grown = server.after.rss_kib as f64 - server.before.rss_kib as f64;
        Some(grown * 1024.0 / f64::from(self.plan.connections + self.plan.publishers))
    }
}
