//! What a run says: whether the server did anything wrong, and what set the limit if it was not the
//! server. Called by `line`, `summary` and `main`.

use crate::conduct::Findings;
use crate::report::Report;
use crate::tally::Faults;

/// What set the limit, other than the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Nothing that we know of.
    None,
    /// The tool itself; why.
    Generator(String),
    /// The machine was busy with something else; with what.
    Host(String),
}

impl Limit {
    /// In one word.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Limit::None => "none",
            Limit::Generator(_) => "generator",
            Limit::Host(_) => "host",
        }
    }

    /// In words.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Limit::None => None,
            Limit::Generator(reason) | Limit::Host(reason) => Some(reason),
        }
    }
}

/// A generator busier than this share of a core, or later than this, measures itself.
pub(crate) const CPU_SHARE_MAX: f64 = 0.9;
const LATENESS_US_MAX: f64 = 10_000.0;
/// A machine of which others have more than this share, or the hypervisor more than that, is not
/// ours to measure on.
const OTHERS_SHARE_MAX: f64 = 0.1;
const STEAL_SHARE_MAX: f64 = 0.02;

impl Report<'_> {
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
            (self.errors.total(), "errors"),
        ];
        let wrong: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let silent = self.plan.scenario.has_window() && self.expected == 0;
        match (wrong.is_empty(), silent) {
            (false, _) => Some(wrong.join(", ")),
            (true, true) => Some("nothing was sent".into()),
            (true, false) => None,
        }
    }

    /// The generator before the host: figures about the tool are never taken for the server's.
    pub(crate) fn limit(&self) -> Limit {
        if !self.plan.scenario.has_window() {
            return Limit::None;
        }
        let busy = self.busy_host();
        let also = busy
            .as_ref()
            .map_or(String::new(), |reason| format!("; {reason}"));
        let lateness_us = self.lateness.quantile_us(0.99);
        let percent = self.client.cpu_share * 100.0;
        if self.client.cpu_share > CPU_SHARE_MAX {
            Limit::Generator(format!("the generator used {percent:.0} % of a core{also}"))
        } else if lateness_us > LATENESS_US_MAX {
            let late_ms = lateness_us / 1e3;
            Limit::Generator(format!(
                "p99 of the departures was {late_ms:.1} ms late{also}"
            ))
        } else {
            busy.map_or(Limit::None, Limit::Host)
        }
    }

    /// With what else the machine was busy, if it was. Needs the server's process: its CPU is not
    /// "something else".
    fn busy_host(&self) -> Option<String> {
        let Findings {
            cpu: Some((cpu, seconds)),
            server,
            ..
        } = self.findings
        else {
            return None;
        };
        let all_s = seconds * self.host.cores as f64;
        let percent = |part_s: f64| part_s / all_s * 100.0;
        let server_s = server.as_ref().map(|server| server.cpu);
        let others_s = match server_s {
            Some(Some(server_cpu)) => {
                cpu.processes_s - server_cpu.share * seconds - self.client.cpu_s
            }
            Some(None) | None => 0.0,
        };
        let stolen = (cpu.steal_s > STEAL_SHARE_MAX * all_s).then(|| {
            let stolen = percent(cpu.steal_s);
            format!("the hypervisor gave {stolen:.0} % of the machine's time to others")
        });
        stolen.or_else(|| {
            (others_s > OTHERS_SHARE_MAX * all_s).then(|| {
                let others = percent(others_s);
                format!("other processes used {others:.0} % of the machine's time")
            })
        })
    }
}
