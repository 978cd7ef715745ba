//! A comparison: every work, round by round, the servers in turns, so that what disturbs one
//! disturbs its neighbours too. Results are written run by run; a run that fails is reported and
//! leaves a gap. Called by the binary.

use crate::host::Host;
use crate::journal::Journal;
use crate::load::Load;
use crate::plan::{Entry, Plan};
use crate::record::{Absence, Line, Record};
use crate::run::Runner;
use crate::server::Server;
use crate::work::Work;
use std::io;

/// Runs what the journal does not have yet.
///
/// # Errors
/// The results cannot be written. A run's failure is none: it is written to standard error, and
/// recorded.
pub fn compare(
    plan: &Plan,
    runner: &mut Runner,
    host: &Host,
    journal: &mut Journal,
) -> io::Result<()> {
    for entry in &plan.entries {
        for round in 1..=plan.rounds {
            if journal.has_round(plan, entry, round) {
                eprintln!(
                    "{:20} round {round}/{} is done",
                    entry.work.name, plan.rounds
                );
                continue;
            }
            run_round(plan, entry, round, runner, host, journal)?;
        }
    }
    Ok(())
}

fn run_round(
    plan: &Plan,
    entry: &Entry,
    round: u32,
    runner: &mut Runner,
    host: &Host,
    journal: &mut Journal,
) -> io::Result<()> {
    let work = entry.work;
    for &server in &entry.servers {
        eprint!(
            "{:20} round {round}/{} {:28}",
            work.name, plan.rounds, server.name
        );
        let line = match runner.run(server, work, plan.seconds) {
            Ok(load) => {
                eprintln!("{}", summary(work, &load));
                record(plan, host, work, server, round, load)
            }
            Err(error) => {
                eprintln!("failed: {error}");
                let reason = error.to_string();
                let first = reason.lines().next().unwrap_or_default().to_owned();
                Line::Absence(Absence {
                    run: Some((work.name.to_owned(), round)),
                    ..Absence::of_server(server.name, plan.setting, first)
                })
            }
        };
        journal.append(&line)?;
    }
    Ok(())
}

fn record(
    plan: &Plan,
    host: &Host,
    work: &Work,
    server: Server,
    round: u32,
    mut load: Load,
) -> Line {
    load.slim();
    Line::Record(Box::new(Record {
        host: host.clone(),
        work: work.name.to_owned(),
        server: server.name.to_owned(),
        setting: plan.setting,
        round,
        seconds: plan.seconds,
        load,
    }))
}

fn summary(work: &Work, load: &Load) -> String {
    let figures = work.figures.iter().map(|figure| {
        let digits = figure.digits();
        let value = load.figure(*figure);
        value.map_or_else(
            || format!("no {}", figure.title()),
            |value| format!("{value:.digits$} {}", figure.unit()),
        )
    });
    let mut words: Vec<String> = figures.collect();
    if let Some(merged) = load.messages_per_segment() {
        words.push(format!("{merged:.2} m/seg"));
    }
    match load.faults() {
        0 => {}
        faults => words.push(format!("{faults} faults")),
    }
    if load.is_limited_by_load() {
        words.push("limited by the load generator".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::find;
    use crate::load::tests::REPORT;

    #[test]
    fn a_run_is_summed_up_in_a_line() {
        let mut load: Load = serde_json::from_str(REPORT).expect("a report");
        let echo = find("echo-open").expect("a work");
        assert_eq!(summary(echo, &load), "4.50 µs, 200 µs, 1.25 m/seg");
        load.tcp_data_segments = None;
        load.latency_us = None;
        load.lost = 3;
        load.limited_by = Some("generator".into());
        assert_eq!(
            summary(echo, &load),
            "4.50 µs, no p99 latency, 3 faults, limited by the load generator"
        );
    }
}
