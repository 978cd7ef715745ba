//! A run from the first connection to the account, as the parent conducts it. Called by `main`.

use crate::clock::{NS_PER_MS, NS_PER_S, now_ns};
use crate::control::{Command, Event, Outcome};
use crate::crew::Crew;
use crate::gauge::{Segments, Server};
use crate::meter::Latencies;
use crate::pace::Pace;
use crate::plan::{Plan, Scenario};
use std::time::Duration;

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) connect: Connects,
    pub(crate) server: Option<ServerFindings>,
    /// Length of the measured window.
    pub(crate) window: Duration,
    /// Sent in the window by the whole host.
    pub(crate) segments: Option<Segments>,
    /// What went wrong besides the messages.
    pub(crate) complaints: Vec<String>,
}

/// The connect phase.
#[derive(Debug)]
pub(crate) struct Connects {
    pub(crate) per_s: f64,
    pub(crate) latencies: Latencies,
    pub(crate) server_cpu_us: Option<f64>,
}

/// The server's process.
#[derive(Debug)]
pub(crate) struct ServerFindings {
    pub(crate) pid: u32,
    /// In the window, scaled to its exact length; `None`: it died.
    pub(crate) cpu_us: Option<f64>,
    /// Before the first connection.
    pub(crate) rss_kib_before: u64,
    /// With all connections subscribed (idle: after the hold).
    pub(crate) rss_kib_after: u64,
    /// In the end, with the connections that are left; `None`: it died.
    pub(crate) rss_kib_end: Option<u64>,
}

/// Lead before a run, so that every worker knows of it in time.
const LEAD_NS: u64 = 20 * NS_PER_MS;
/// A broadcast to everyone may take this long to arrive.
const ONCE_DRAIN: Duration = Duration::from_secs(30);

/// Carries the plan out.
///
/// # Errors
/// It could not be measured; the text says why.
pub(crate) fn conduct(plan: &Plan, server_pid: Option<u32>) -> Result<Findings, String> {
    let server = server_pid.map(|pid| Server { pid });
    let rss_kib_before = server.map(Server::resident_kib).transpose()?;
    let mut crew = Crew::start(&plan.shares())?;
    let connect = connect(plan, &mut crew, server)?;
    crew.tell(&Command::Subscribe)?;
    crew.hear()?;
    if plan.scenario == Scenario::Idle {
        sleep_until(now_ns() + plan.hold.as_nanos() as u64);
    } else if plan.probe_deliveries() > 0 {
        crew.tell(&Command::Probe)?;
        crew.hear()?;
    }
    let rss_kib_after = server.map(Server::resident_kib).transpose()?;
    let window = run(plan, &mut crew, server)?;
    let outcomes = drain(plan, &mut crew)?;
    let rss_kib_end = server.and_then(|server| server.resident_kib().ok());
    Ok(Findings {
        outcomes,
        connect,
        server: server
            .zip(rss_kib_before)
            .zip(rss_kib_after)
            .map(|((server, before), after)| ServerFindings {
                pid: server.pid,
                cpu_us: window.server_cpu_us,
                rss_kib_before: before,
                rss_kib_after: after,
                rss_kib_end,
            }),
        window: window.length,
        segments: window.segments,
        complaints: window.complaints,
    })
}

fn connect(plan: &Plan, crew: &mut Crew, server: Option<Server>) -> Result<Connects, String> {
    let (start_ns, cpu_before) = (now_ns(), server.map(Server::cpu_ns).transpose()?);
    crew.tell(&Command::Connect)?;
    let mut latencies = Latencies::new();
    for event in crew.hear()? {
        if let Event::Connected(more) = event {
            latencies.merge(&more);
        }
    }
    let cpu_after = server.map(Server::cpu_ns).transpose()?;
    let elapsed_ns = now_ns() - start_ns;
    let all = f64::from(plan.connections + plan.publishers);
    Ok(Connects {
        per_s: all * 1e9 / elapsed_ns as f64,
        latencies,
        server_cpu_us: cpu_before
            .zip(cpu_after)
            .map(|(before, after)| after.saturating_sub(before) as f64 / 1e3 / all),
    })
}

struct Window {
    length: Duration,
    server_cpu_us: Option<f64>,
    segments: Option<Segments>,
    complaints: Vec<String>,
}

fn run(plan: &Plan, crew: &mut Crew, server: Option<Server>) -> Result<Window, String> {
    let start_ns = now_ns() + LEAD_NS;
    let (warmup, length) = if plan.scenario.has_window() {
        (plan.warmup, plan.duration)
    } else {
        (Duration::ZERO, Duration::from_millis(1))
    };
    let window_start_ns = start_ns + warmup.as_nanos() as u64;
    let window_end_ns = window_start_ns + length.as_nanos() as u64;
    crew.tell(&Command::Run {
        start_ns,
        window_start_ns,
        window_end_ns,
    })?;
    let mut complaints = Vec::new();
    let mut sample = |time_ns: u64| {
        sleep_until(time_ns);
        let cpu_ns = server
            .map(Server::cpu_ns)
            .transpose()
            .unwrap_or_else(|complaint| {
                complaints.push(complaint);
                None
            });
        (now_ns(), cpu_ns, Segments::read())
    };
    let (start_ns, start_cpu_ns, start_segments) = sample(window_start_ns);
    let (end_ns, end_cpu_ns, end_segments) = sample(window_end_ns);
    // We woke a little late at both ends: what we saw belongs to our own interval, what workers counted to the window.
    let scale = length.as_nanos() as f64 / (end_ns - start_ns).max(1) as f64;
    Ok(Window {
        length,
        server_cpu_us: start_cpu_ns
            .zip(end_cpu_ns)
            .map(|(start, end)| end.saturating_sub(start) as f64 / 1e3 * scale),
        segments: start_segments
            .zip(end_segments)
            .map(|(start, end)| Segments {
                out: end.out.saturating_sub(start.out),
                data: end.data.saturating_sub(start.data),
            }),
        complaints,
    })
}

fn drain(plan: &Plan, crew: &mut Crew) -> Result<Vec<Outcome>, String> {
    let mut published = Vec::new();
    let mut calm_ns = 0;
    for event in crew.hear()? {
        if let Event::Stopped {
            published: more,
            calm_ns: calm_there_ns,
        } = event
        {
            // Talkers are numbered worker by worker.
            published.extend(more);
            calm_ns = calm_there_ns.max(calm_ns);
        }
    }
    let time = if plan.pace == Pace::Once {
        plan.drain.max(ONCE_DRAIN)
    } else {
        plan.drain
    };
    crew.tell(&Command::Drain {
        published,
        calm_ns,
        until_ns: now_ns() + time.as_nanos() as u64,
    })?;
    crew.hear()?
        .into_iter()
        .map(|event| match event {
            Event::Finished(outcome) => Ok(*outcome),
            other => Err(format!("a worker ended with {other:?}")),
        })
        .collect()
}

fn sleep_until(time_ns: u64) {
    std::thread::sleep(Duration::from_nanos(
        time_ns.saturating_sub(now_ns()).min(NS_PER_S * 86_400),
    ));
}
