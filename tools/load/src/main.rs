//! `shardcast-load`: measures WebSocket servers from outside and verifies every message. It shares
//! no code with the engine. Exit codes: 0 all arrived; 1 something was lost, repeated, reordered or
//! damaged, or connections broke (but for stalled readers); 2 bad arguments; 3 nothing could be
//! measured; 4 the run was cut short (the server or a worker died, or a signal came) and the report
//! is of what was measured until then.
#![forbid(unsafe_code)]

mod arguments;
mod audience;
mod chat;
mod churn;
mod clock;
mod conduct;
mod content;
mod control;
mod crew;
mod deflate;
mod dialect;
mod echo;
mod entrance;
mod epochs;
mod errors;
mod fanout;
mod files;
mod gauge;
mod handshake;
mod hdr;
mod host;
mod interrupt;
mod interval;
mod latencies;
mod layout;
mod limit;
mod line;
mod load;
mod message;
mod meter;
mod motion;
mod movement;
mod objective;
mod options;
mod outputs;
mod pace;
mod particulars;
mod plan;
mod progress;
mod report;
mod rows;
mod scenario;
mod series;
mod sockets;
mod stall;
mod storm;
mod stream;
mod summary;
mod talkers;
mod tally;
mod target;
mod tickets;
mod tls;
mod verdict;
mod websocket;
mod worker;

use arguments::Arguments;
use clap::Parser;
use interrupt::Interrupt;
use options::CommonOptions;
use outputs::Outputs;
use plan::Plan;
use progress::Progress;
use report::Report;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(common) = arguments.command.common() else {
        // The parent hears of an error through the pipe.
        return worker::run().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    };
    let plan = match arguments.command.plan() {
        Ok(plan) => plan,
        Err(reason) => return complain(2, &reason),
    };
    let outputs = match Outputs::open(common) {
        Ok(outputs) => outputs,
        Err(reason) => return complain(2, &reason),
    };
    match measure(&plan, common, outputs) {
        Ok(Ending::Whole(None)) => ExitCode::SUCCESS,
        Ok(Ending::Whole(Some(verdict))) => complain(1, &verdict),
        Ok(Ending::Partial(reason)) => complain(
            4,
            &format!("{reason}: the report is of what was measured until then"),
        ),
        Err(reason) => complain(3, &reason),
    }
}

/// How a run that could be measured ended.
enum Ending {
    /// As planned; with what the server did wrong.
    Whole(Option<String>),
    /// Early, and why.
    Partial(String),
}

fn complain(code: u8, reason: &str) -> ExitCode {
    eprintln!("shardcast-load: {reason}");
    ExitCode::from(code)
}

fn measure(plan: &Plan, common: &CommonOptions, outputs: Outputs) -> Result<Ending, String> {
    if let Some(cpu) = common.pin {
        pin(cpu)?;
    }
    // Counts what pinning left.
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let interrupt = Interrupt::watch()?;
    let mut progress = Progress::new(common.progress);
    let mut run = |plan: &Plan, step: String| {
        progress.step(step);
        conduct::conduct(plan, common.server_pid, &mut progress, &interrupt)
    };
    if let Some(objective) = &common.find_limit {
        let first_per_s = plan.rate_per_s()?;
        let steps_max = common.find_limit_steps as usize;
        let found = limit::search(
            first_per_s,
            objective,
            steps_max,
            cores,
            |rate_per_s, step| {
                let plan = plan.at_rate(rate_per_s);
                let step = format!("step {step}, {rate_per_s:.0}/s, ");
                run(&plan, step).map(|findings| (plan, findings))
            },
        )?;
        let report = Report::new(&found.plan, &found.findings, cores);
        let mut line = report.to_json();
        line["find_limit"] = serde_json::to_value(&found.account).map_err(|e| e.to_string())?;
        line["partial"] = found.cut.is_some().into();
        line["partial_reason"] = found.cut.clone().into();
        outputs.write(&report, &line, &found.account.to_text())?;
        let broken = found.account.limit_per_s.is_none();
        let verdict = broken.then(|| format!("{objective} broke at every rate that was tried"));
        return Ok(found.cut.map_or(Ending::Whole(verdict), Ending::Partial));
    }
    let findings = run(plan, String::new())?;
    let report = Report::new(plan, &findings, cores);
    outputs.write(&report, &report.to_json(), "")?;
    let verdict = report.verdict();
    Ok(findings.cut.map_or(Ending::Whole(verdict), Ending::Partial))
}

/// Workers inherit it.
fn pin(cpu: usize) -> Result<(), String> {
    let mut set = rustix::thread::CpuSet::new();
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        return Err(format!("--pin {cpu}: no such CPU"));
    }
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).map_err(|error| format!("--pin {cpu}: {error}"))
}
