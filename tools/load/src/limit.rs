//! The search for the highest rate at which an objective holds and nothing is lost: first by
//! doubling, then by halving the gap. Invariant: a rate at which the generator or the host gave out
//! is never called the server's limit. Called by `main`.

use crate::conduct::Findings;
use crate::objective::Objective;
use crate::plan::Plan;
use crate::report::Report;
use crate::verdict::{CPU_SHARE_MAX, Limit};
use serde::Serialize;

/// Each step of the doubling.
const FACTOR: f64 = 2.0;
/// A gap of this ratio is closed.
const PRECISION: f64 = 1.05;
/// Of the machine's time: busier, there was no CPU left.
const HOST_BUSY_MAX: f64 = 0.97;

/// What gave out in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cause {
    /// The server used up a core.
    Server,
    /// The tool did, or was late.
    Generator,
    /// The machine was busy, with others or altogether.
    Host,
    /// Nothing that we can see: the objective alone broke, or messages were lost.
    Objective,
}

/// One rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Step {
    /// Offered.
    pub(crate) rate_per_s: f64,
    pub(crate) received_per_s: f64,
    /// What the objective looks at; `None`: nothing arrived.
    pub(crate) objective_us: Option<f64>,
    pub(crate) passed: bool,
    /// `None`: nothing did.
    pub(crate) gave_out: Option<Cause>,
    /// In words.
    pub(crate) reason: Option<String>,
    pub(crate) server_cpu_share: Option<f64>,
    pub(crate) client_cpu_share: f64,
}

impl Step {
    /// What a run at this rate showed.
    pub(crate) fn judge(rate_per_s: f64, report: &Report, objective: &Objective) -> Step {
        let objective_us = objective.value_us(report.latencies());
        let met = objective_us.is_some_and(|us| objective.is_met_by(us));
        let verdict = report.verdict();
        // A late generator did not offer the rate that it was to offer.
        let late = matches!(report.limit(), Limit::Generator(_));
        let passed = met && verdict.is_none() && !late;
        let missed = match (verdict, objective_us) {
            (Some(words), _) => words,
            (None, Some(us)) if !met => format!("{objective} broke at {:.3} ms", us / 1e3),
            (None, _) => String::new(),
        };
        let (gave_out, reason) = if passed {
            (None, None)
        } else {
            let (cause, why) = cause(report);
            let words = [missed, why.unwrap_or_default()];
            let words: Vec<&str> = words
                .iter()
                .map(String::as_str)
                .filter(|words| !words.is_empty())
                .collect();
            (Some(cause), Some(words.join("; ")))
        };
        let server = report.findings.server.as_ref();
        Step {
            rate_per_s,
            received_per_s: report.rate_per_s(),
            objective_us,
            passed,
            gave_out,
            reason,
            server_cpu_share: server.and_then(|server| Some(server.cpu?.share)),
            client_cpu_share: report.client.cpu_share,
        }
    }

    /// Whose report is worth more: the highest rate that passed, else the lowest that failed.
    fn is_better_than(&self, other: &Step) -> bool {
        match (self.passed, other.passed) {
            (true, true) => self.rate_per_s > other.rate_per_s,
            (false, false) => self.rate_per_s < other.rate_per_s,
            (passed, _) => passed,
        }
    }
}

/// Why a step failed.
fn cause(report: &Report) -> (Cause, Option<String>) {
    let limit = report.limit();
    let reason = limit.reason().map(str::to_owned);
    match limit {
        Limit::Generator(_) => return (Cause::Generator, reason),
        Limit::Host(_) => return (Cause::Host, reason),
        Limit::None => {}
    }
    let Findings { server, cpu, .. } = report.findings;
    let busiest = server
        .as_ref()
        .and_then(|server| Some(server.cpu?.busiest_share));
    // A thread is a shard: on the kernel's work for it (softirq) it is not charged, so that it may
    // seem less than whole.
    if let Some(share) = busiest.filter(|share| *share > CPU_SHARE_MAX) {
        let percent = share * 100.0;
        let words = format!("the server's busiest thread used {percent:.0} % of a core");
        return (Cause::Server, Some(words));
    }
    if let Some((cpu, seconds)) = cpu {
        let all_s = seconds * report.host.cores as f64;
        let idle = cpu.idle_s / all_s;
        if idle < 1.0 - HOST_BUSY_MAX {
            let interrupts = cpu.interrupts_s / all_s * 100.0;
            return (
                Cause::Host,
                Some(format!(
                    "no core was idle, {interrupts:.0} % of the machine's time went to interrupts"
                )),
            );
        }
    }
    (Cause::Objective, None)
}

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) account: LimitAccount,
    /// The best run: of the highest rate that passed, else of the lowest that failed.
    pub(crate) plan: Plan,
    pub(crate) findings: Findings,
    /// Why it ended early.
    pub(crate) cut: Option<String>,
}

/// Runs at one rate after the other, with the number of the step from 1, on `cores` cores.
///
/// # Errors
/// Nothing could be measured.
pub(crate) fn search(
    first_per_s: f64,
    objective: &Objective,
    steps_max: usize,
    cores: usize,
    mut run: impl FnMut(f64, usize) -> Result<(Plan, Findings), String>,
) -> Result<Found, String> {
    let mut search = Search::default();
    let mut steps: Vec<Step> = Vec::new();
    let mut best: Option<(Step, Plan, Findings)> = None;
    let mut cut = None;
    while let Some(rate_per_s) = search.next(first_per_s)
        && steps.len() < steps_max
        && cut.is_none()
    {
        match run(rate_per_s, steps.len() + 1) {
            Ok((plan, mut findings)) => {
                cut = findings.cut.take();
                let step =
                    Step::judge(rate_per_s, &Report::new(&plan, &findings, cores), objective);
                // A run that was cut short says nothing about its rate.
                if cut.is_none() {
                    search.learn(rate_per_s, step.passed);
                    steps.push(step.clone());
                }
                if best
                    .as_ref()
                    .is_none_or(|(best, ..)| cut.is_none() && step.is_better_than(best))
                {
                    best = Some((step, plan, findings));
                }
            }
            Err(reason) if best.is_none() => return Err(reason),
            Err(reason) => cut = Some(reason),
        }
    }
    let Some((_, plan, findings)) = best else {
        return Err("no step was made".into());
    };
    Ok(Found {
        account: LimitAccount::new(objective, steps),
        plan,
        findings,
        cut,
    })
}

/// The search: which rate to try next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    /// Highest that passed below all that failed.
    passed: Option<f64>,
    /// Lowest that failed.
    failed: Option<f64>,
}

impl Search {
    /// Learns of a step. A rate below one that passed may fail later: noise; then the lower counts.
    pub(crate) fn learn(&mut self, rate_per_s: f64, passed: bool) {
        if passed {
            self.passed = Some(self.passed.map_or(rate_per_s, |best| best.max(rate_per_s)));
        } else {
            self.failed = Some(
                self.failed
                    .map_or(rate_per_s, |least| least.min(rate_per_s)),
            );
        }
    }

    /// `None`: the gap is closed.
    pub(crate) fn next(&self, first_per_s: f64) -> Option<f64> {
        match (self.passed, self.failed) {
            (None, None) => Some(first_per_s),
            (Some(passed), None) => Some(passed * FACTOR).filter(|rate| *rate <= RATE_PER_S_MAX),
            (None, Some(failed)) => Some(failed / FACTOR).filter(|rate| *rate >= RATE_PER_S_MIN),
            (Some(passed), Some(failed)) => {
                (failed / passed > PRECISION).then(|| (passed * failed).sqrt())
            }
        }
    }
}

/// What `--rate` may be, and below which nothing arrives in a window.
const RATE_PER_S_MAX: f64 = 1e8;
const RATE_PER_S_MIN: f64 = 1.0;

/// What the steps of a search come to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LimitAccount {
    pub(crate) objective: String,
    /// Highest rate that passed; `None`: none did.
    pub(crate) limit_per_s: Option<f64>,
    /// At the lowest rate that failed; `None`: none did.
    pub(crate) gave_out: Option<Cause>,
    pub(crate) reason: Option<String>,
    /// In the order they were tried.
    pub(crate) steps: Vec<Step>,
}

impl LimitAccount {
    /// Of these steps.
    pub(crate) fn new(objective: &Objective, steps: Vec<Step>) -> LimitAccount {
        let rate = |step: &&Step| step.rate_per_s;
        let passed = steps.iter().filter(|step| step.passed);
        let limit_per_s = passed.map(|step| step.rate_per_s).max_by(f64::total_cmp);
        let failed = steps.iter().filter(|step| !step.passed);
        let failed = failed.min_by(|one, other| rate(one).total_cmp(&rate(other)));
        LimitAccount {
            objective: objective.to_string(),
            limit_per_s,
            gave_out: failed.and_then(|step| step.gave_out),
            reason: failed.and_then(|step| step.reason.clone()),
            steps,
        }
    }

    /// For people: a line for each step, and what came of it.
    pub(crate) fn to_text(&self) -> String {
        use std::fmt::Write;
        let mut text = format!("Highest rate with {} and nothing lost\n", self.objective);
        for step in &self.steps {
            let value = step
                .objective_us
                .map_or("-".into(), |us| format!("{:.3} ms", us / 1e3));
            let server = step
                .server_cpu_share
                .map_or(String::new(), |share| format!(", server {share:.2} cores"));
            let reason = step.reason.as_deref().unwrap_or("passed");
            let _ = writeln!(
                text,
                "  {:>12.1}/s  {value}{server}, generator {:.0} %: {reason}",
                step.rate_per_s,
                step.client_cpu_share * 100.0
            );
        }
        let _ = match (self.limit_per_s, self.gave_out) {
            (Some(limit), Some(cause)) => {
                writeln!(text, "  limit      {limit:.1}/s; then gave out: {cause:?}")
            }
            (Some(limit), None) => writeln!(
                text,
                "  limit      above {limit:.1}/s: nothing gave out in these steps"
            ),
            (None, _) => writeln!(text, "  limit      below all rates that were tried"),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates tried against a server that breaks at `limit`, at most 20.
    fn tried(first: f64, limit: f64) -> (Vec<f64>, Search) {
        let mut search = Search::default();
        let mut rates = Vec::new();
        while let Some(rate) = search.next(first).filter(|_| rates.len() < 20) {
            rates.push(rate);
            search.learn(rate, rate < limit);
        }
        (rates, search)
    }

    #[test]
    fn the_search_closes_in_from_both_sides() {
        for (first, limit) in [
            (100.0, 1_000.0),
            (1_000.0, 100.0),
            (500.0, 501.0),
            (70.0, 1e4),
        ] {
            let (rates, search) = tried(first, limit);
            let (passed, failed) = (search.passed.unwrap(), search.failed.unwrap());
            assert!(passed < limit && limit <= failed, "{rates:?}");
            assert!(failed / passed <= PRECISION, "{rates:?}");
            assert!(rates.len() < 20, "{rates:?}");
        }
        assert_eq!(
            tried(100.0, 1_000.0).0[..6],
            [100.0, 200.0, 400.0, 800.0, 1_600.0, 1_131.370_849_898_476]
        );
        assert_eq!(tried(4.0, 0.0).0, [4.0, 2.0, 1.0]);
        assert_eq!(tried(4e7, 1e9).0, [4e7, 8e7]);
    }

    #[test]
    fn the_account_names_what_gave_out_first() {
        let step = |rate_per_s: f64, gave_out: Option<Cause>| Step {
            rate_per_s,
            received_per_s: rate_per_s,
            objective_us: Some(5.0),
            passed: gave_out.is_none(),
            gave_out,
            reason: gave_out.map(|cause| format!("{cause:?}")),
            server_cpu_share: None,
            client_cpu_share: 0.5,
        };
        let objective: Objective = "p99<10ms".parse().unwrap();
        let steps = vec![
            step(100.0, None),
            step(200.0, None),
            step(400.0, Some(Cause::Generator)),
            step(280.0, Some(Cause::Server)),
        ];
        let account = LimitAccount::new(&objective, steps);
        assert_eq!(
            (account.limit_per_s, account.gave_out),
            (Some(200.0), Some(Cause::Server))
        );
        assert!(
            account
                .to_text()
                .contains("limit      200.0/s; then gave out: Server")
        );
        let never = LimitAccount::new(&objective, vec![step(100.0, None)]);
        assert!(never.to_text().contains("above 100.0/s"));
        let below = LimitAccount::new(&objective, vec![step(100.0, Some(Cause::Host))]);
        assert_eq!(
            (below.limit_per_s, below.gave_out),
            (None, Some(Cause::Host))
        );
    }
}
