//! What a run found whose connections came and went: the objects `churn` and `storm` of the JSON
//! line, and their rows of the table. Invariant: a time that not enough connections reached is
//! `null`. Called by `particulars`.

use crate::conduct::{Findings, ServerFindings};
use crate::entrance::Turnover;
use crate::epochs::Epochs;
use crate::latencies::Latencies;
use crate::line::{quantiles, rounded};
use crate::motion::{ChurnPlan, Motion, StormPlan};
use crate::particulars::Particulars;
use crate::report::WINDOW_MIN;
use crate::tally::Faults;
use serde_json::{Value, json};

/// All workers' comings and goings.
#[derive(Debug)]
pub(crate) struct Movement {
    motion: Motion,
    turnover: Turnover,
    epochs: Option<Epochs>,
    /// Of those whose connections stayed.
    others: Faults,
    reached_per_s: f64,
    /// Of churn: from the intended connect to the first echo's answer.
    ready: Latencies,
    /// In the window.
    server_cpu_us_per_cycle: Option<f64>,
    /// From all connected to the end.
    server_growth_kib: Option<i64>,
}

/// A row of the table: its name and what it says.
type Row = (&'static str, String);

impl Movement {
    /// Adds the workers up.
    pub(crate) fn new(motion: Motion, findings: &Findings) -> Movement {
        let mut movement = Movement {
            motion,
            turnover: Turnover::new(),
            epochs: None,
            others: Faults::default(),
            reached_per_s: 0.0,
            ready: findings.series.measured().clone(),
            server_cpu_us_per_cycle: None,
            server_growth_kib: findings.server.as_ref().and_then(growth_kib),
        };
        let mut cycles = 0;
        for outcome in &findings.outcomes {
            if let Some(turnover) = &outcome.turnover {
                movement.turnover.merge(turnover);
                cycles += outcome.meter.received_in_window;
            } else {
                movement.others.lost += outcome.faults.lost;
                movement.others.duplicated += outcome.faults.duplicated;
                movement.others.out_of_order += outcome.faults.out_of_order;
                movement.others.corrupted += outcome.faults.corrupted;
            }
            match (&mut movement.epochs, &outcome.meter.epochs) {
                (Some(all), Some(more)) => all.merge(more),
                (all @ None, more) => all.clone_from(more),
                (Some(_), None) => {}
            }
        }
        movement.reached_per_s = cycles as f64 / findings.window.max(WINDOW_MIN).as_secs_f64();
        let server = findings.server.as_ref();
        let cpu_us = server.and_then(|server| Some(server.cpu?.total_us));
        movement.server_cpu_us_per_cycle =
            cpu_us.filter(|_| cycles > 0).map(|us| us / cycles as f64);
        movement
    }

    /// `None`: all stayed.
    pub(crate) fn particulars(&self) -> Option<Particulars> {
        match self.motion {
            Motion::Still => None,
            Motion::Churn(plan) => Some(Particulars {
                name: "churn",
                line: self.churn(plan),
                rows: self.churn_rows(plan),
            }),
            Motion::Storm(plan) => Some(Particulars {
                name: "storm",
                line: self.storm(plan),
                rows: self.storm_rows(plan),
            }),
        }
    }

    fn churn(&self, plan: ChurnPlan) -> Value {
        let turnover = &self.turnover;
        json!({
            "rate_per_s": plan.per_s,
            "reset_share": plan.reset_share,
            "reached_per_s": rounded(self.reached_per_s),
            "attempts": turnover.attempts,
            "entered": turnover.entered,
            "waited": turnover.waited,
            "closed": turnover.left,
            "reset": turnover.reset,
            "missing": turnover.missing,
            "connect_us": quantiles(&turnover.connect),
            "ready_us": quantiles(&self.ready),
            "broken": turnover.broken,
            "failed": turnover.failures.total(),
            "failures": turnover.failures.0,
            "server_cpu_us_per_cycle": self.server_cpu_us_per_cycle.map(rounded),
            "server_rss_growth_kib": self.server_growth_kib,
        })
    }

    fn storm(&self, plan: StormPlan) -> Value {
        let turnover = &self.turnover;
        let [p50, p90, p99, all] = BACK_QUANTILES.map(|quantile| self.back_ms(plan.cut, quantile));
        let epochs = |choose: fn(&Epochs) -> &Latencies| {
            self.epochs
                .as_ref()
                .map_or(Value::Null, |epochs| quantiles(choose(epochs)))
        };
        json!({
            "cut": plan.cut,
            "at_s": plan.at.as_secs_f64(),
            "away_s": plan.away.as_secs_f64(),
            "recovers": plan.recovers,
            "spread_s": plan.spread.as_secs_f64(),
            "connecting_max": plan.connecting,
            "back": turnover.entered,
            "missing": turnover.missing,
            "back_ms": { "p50": p50, "p90": p90, "p99": p99, "all": all },
            "connect_us": quantiles(&turnover.connect),
            "attempts": turnover.attempts,
            "retries": turnover.retries,
            "connect_failures": turnover.failures.total() - turnover.broken,
            "broken": turnover.broken,
            "failures": turnover.failures.0,
            "others_latency_us": {
                "before": epochs(|epochs| &epochs.before),
                "during": epochs(|epochs| &epochs.during),
                "after": epochs(|epochs| &epochs.after),
            },
            "others": self.others,
        })
    }

    /// From the cut until this part of all that were cut off had the answer to their first echo;
    /// `None`: they never were so many.
    fn back_ms(&self, cut: u32, quantile: f64) -> Option<f64> {
        let back = &self.turnover.back;
        let wanted = (f64::from(cut) * quantile).ceil();
        let reached = back.count() as f64;
        (wanted <= reached && reached > 0.0)
            .then(|| rounded(back.quantile_us(wanted / reached) / 1e3))
    }

    fn churn_rows(&self, plan: ChurnPlan) -> Vec<Row> {
        let turnover = &self.turnover;
        let (reached, wanted) = (self.reached_per_s, plan.per_s);
        let Turnover {
            entered,
            attempts,
            left,
            reset,
            waited,
            missing,
            ..
        } = turnover;
        let failed = turnover.failures.total();
        let mut rows = vec![
            (
                "churn",
                format!(
                    "{reached:.0} connects a second of {wanted:.0}: {entered} of {attempts} came in, {waited} had to wait for others to leave"
                ),
            ),
            (
                "left",
                format!(
                    "{left} by a close handshake, {reset} by a reset; {failed} failures, {missing} missing in the end"
                ),
            ),
        ];
        rows.extend(spread("open", &turnover.connect));
        rows.extend(spread("echoed", &self.ready));
        if let Some(us) = self.server_cpu_us_per_cycle {
            rows.push((
                "cycle",
                format!("server CPU {us:.1} µs for a connection's coming and going"),
            ));
        }
        if let Some(kib) = self.server_growth_kib {
            rows.push(("growth", format!("server memory {kib:+} KiB by the churn")));
        }
        rows
    }

    fn storm_rows(&self, plan: StormPlan) -> Vec<Row> {
        let turnover = &self.turnover;
        let [half, most, nearly, all] = BACK_QUANTILES.map(|quantile| {
            self.back_ms(plan.cut, quantile)
                .map_or("never".to_owned(), |ms| format!("{ms:.1} ms"))
        });
        let (cut, retries, broken) = (plan.cut, turnover.retries, turnover.broken);
        let (failed, missing) = (turnover.failures.total() - broken, turnover.missing);
        let mut rows = vec![
            (
                "back",
                format!("of {cut}: half after {half}, 90 % {most}, 99 % {nearly}, all {all}"),
            ),
            (
                "attempts",
                format!(
                    "{} of which {retries} again; {failed} failures; {broken} broke later, {missing} missing in the end",
                    turnover.attempts
                ),
            ),
        ];
        rows.extend(spread("connect", &turnover.connect));
        if let Some(epochs) = &self.epochs {
            rows.extend(spread("before", &epochs.before));
            rows.extend(spread("during", &epochs.during));
            rows.extend(spread("after", &epochs.after));
        }
        rows
    }
}

const BACK_QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];

fn growth_kib(server: &ServerFindings) -> Option<i64> {
    Some(server.rss_kib_end?.cast_signed() - server.after.rss_kib.cast_signed())
}

/// `None`: nothing was recorded.
fn spread(name: &'static str, latencies: &Latencies) -> Option<Row> {
    let [p50, p99] = [0.5, 0.99].map(|quantile| latencies.quantile_us(quantile));
    let (max, count) = (latencies.max_us(), latencies.count());
    (!latencies.is_empty()).then(|| {
        (
            name,
            format!("p50 {p50:.0} µs, p99 {p99:.0}, max {max:.0} ({count})"),
        )
    })
}
