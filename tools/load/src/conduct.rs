//! A run from the first connection to the account, as the parent conducts it. Invariant: once it
//! runs, whatever happens, what was measured is in the findings. Called by `main` and `limit`.

use crate::clock::{NS_PER_MS, now_ns};
use crate::control::{Event, Outcome, WorkerCommand};
use crate::crew::{Crew, Received};
use crate::gauge::{Segments, Server, ThreadTimes};
use crate::host::{CpuTimes, kernel_kib};
use crate::interrupt::Interrupt;
use crate::interval::Ruler;
use crate::latencies::Latencies;
use crate::pace::Pace;
use crate::plan::{Plan, Scenario};
use crate::progress::{Progress, View};
use crate::series::{Sample, Series, Totals};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Findings {
    /// Of the workers that came to the end.
    pub(crate) outcomes: Vec<Outcome>,
    /// What the other workers reported before they failed.
    pub(crate) failed: Vec<Totals>,
    pub(crate) connect: Connects,
    pub(crate) server: Option<ServerFindings>,
    /// Length of the measured window.
    pub(crate) window: Duration,
    /// Sent in the window by the whole host.
    pub(crate) segments: Option<Segments>,
    /// What the machine's CPUs did in the window, and how long we looked, in seconds.
    pub(crate) cpu: Option<(CpuTimes, f64)>,
    pub(crate) series: Series,
    /// When it began.
    pub(crate) began: SystemTime,
    /// Why it ended early.
    pub(crate) cut: Option<String>,
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
    pub(crate) cpu: Option<ServerCpu>,
    /// Before the first connection.
    pub(crate) before: Memory,
    /// With all connections subscribed (idle: after the hold).
    pub(crate) after: Memory,
    /// In the end, with the connections that are left; `None`: it died.
    pub(crate) rss_kib_end: Option<u64>,
}

/// In the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerCpu {
    /// All threads, scaled to the window's exact length, in microseconds.
    pub(crate) total_us: f64,
    /// Cores that all threads used.
    pub(crate) share: f64,
    /// Of a core, that the busiest thread used.
    pub(crate) busiest_share: f64,
}

/// What the server's process holds, and the kernel of the whole host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) rss_kib: u64,
    pub(crate) kernel_kib: Option<u64>,
}

/// What the workers said when they had stopped.
#[derive(Debug, Default)]
struct Last {
    /// Messages by each talker of the whole run.
    published: Vec<u64>,
    /// When all that a storm cut off were back.
    calm_ns: u64,
}

/// Lead before a run, so that every worker knows of it in time.
const LEAD_NS: u64 = 20 * NS_PER_MS;
/// A broadcast to everyone may take this long to arrive.
const ONCE_DRAIN: Duration = Duration::from_secs(30);
/// How long a run that was cut short waits for what is under way.
const CUT_DRAIN: Duration = Duration::from_secs(2);
/// How often the parent looks up while it waits.
const LOOK_NS: u64 = 50 * NS_PER_MS;

/// Carries the plan out.
///
/// # Errors
/// Nothing could be measured; the text says why.
pub(crate) fn conduct(
    plan: &Plan,
    server_pid: Option<u32>,
    progress: &mut Progress,
    interrupt: &Interrupt,
) -> Result<Findings, String> {
    let server = server_pid.map(|pid| Server { pid });
    let kernel_kib_before = kernel_kib();
    let before = server.map(memory).transpose()?;
    let mut conductor = Conductor {
        plan,
        server,
        crew: Crew::start(&plan.shares())?,
        progress,
        interrupt,
        series: Series::new(now_ns(), plan.interval.as_nanos() as u64, 0),
        kernel_kib_before,
        opened: vec![0; plan.workers as usize],
        ruler: None,
        sample_ns: u64::MAX,
        cut: None,
        is_draining: false,
    };
    let began = SystemTime::now();
    let connect = conductor.connect()?;
    conductor.subscribe()?;
    if plan.scenario == Scenario::Idle {
        conductor.hold()?;
    }
    let after = server.map(memory).transpose()?;
    let (ruler, last) = conductor.run()?;
    let outcomes = conductor.drain(last)?;
    let rss_kib_end = server.and_then(|server| server.resident_kib().ok());
    let survivors: Vec<usize> = conductor.crew.living().collect();
    let Conductor { series, cut, .. } = conductor;
    let window_end_ns = ruler.window_end_ns;
    let measured = (ruler.window_start_ns, window_end_ns);
    Ok(Findings {
        failed: (0..plan.workers as usize)
            .filter(|place| !survivors.contains(place))
            .map(|place| series.totals(place))
            .collect(),
        outcomes,
        connect,
        server: server
            .zip(before)
            .zip(after)
            .map(|((server, before), after)| ServerFindings {
                pid: server.pid,
                cpu: server_cpu(&series, measured),
                before,
                after,
                rss_kib_end,
            }),
        window: Duration::from_nanos(window_end_ns.saturating_sub(ruler.window_start_ns)),
        segments: series
            .span(measured.0, measured.1, |sample| sample.segments)
            .map(|(start, end, _)| Segments {
                out: end.out.saturating_sub(start.out),
                data: end.data.saturating_sub(start.data),
            }),
        cpu: series
            .span(measured.0, measured.1, |sample| sample.cpu)
            .map(|(start, end, ns)| (end.since(&start), ns as f64 / 1e9)),
        series,
        began,
        cut,
    })
}

fn memory(server: Server) -> Result<Memory, String> {
    Ok(Memory {
        rss_kib: server.resident_kib()?,
        kernel_kib: kernel_kib(),
    })
}

fn server_cpu(series: &Series, (start_ns, end_ns): (u64, u64)) -> Option<ServerCpu> {
    let (start, end, ns) = series.span(start_ns, end_ns, |sample| sample.server_cpu.as_ref())?;
    // We woke a little late at both ends: what we saw belongs to our own interval, what workers
    // counted to the window.
    let share = end.since_ns(start) as f64 / ns as f64;
    Some(ServerCpu {
        total_us: share * (end_ns - start_ns) as f64 / 1e3,
        share,
        busiest_share: end.busiest_since_ns(start) as f64 / ns as f64,
    })
}

struct Conductor<'c> {
    plan: &'c Plan,
    server: Option<Server>,
    crew: Crew,
    progress: &'c mut Progress,
    interrupt: &'c Interrupt,
    series: Series,
    /// Before the first connection.
    kernel_kib_before: Option<u64>,
    /// Connections open by worker, while connecting.
    opened: Vec<u64>,
    /// Once there are intervals.
    ruler: Option<Ruler>,
    /// The boundary to be sampled next.
    sample_ns: u64,
    cut: Option<String>,
    is_draining: bool,
}

impl Conductor<'_> {
    fn connect(&mut self) -> Result<Connects, String> {
        self.progress.phase("connecting");
        let cpu_ns = |server: Option<Server>| server.map(Server::cpu).transpose();
        let (start_ns, cpu_before) = (now_ns(), cpu_ns(self.server)?);
        self.crew.send(&WorkerCommand::Connect)?;
        let mut latencies = Latencies::new();
        for event in self.receive()?.into_values() {
            if let Event::Connected(more) = event {
                latencies.merge(&more);
            }
        }
        let cpu_after = cpu_ns(self.server)?;
        self.opened.fill(0);
        self.opened[0] = u64::from(self.plan.connections + self.plan.publishers);
        let elapsed_ns = now_ns() - start_ns;
        let all = f64::from(self.plan.connections + self.plan.publishers);
        Ok(Connects {
            per_s: all * 1e9 / elapsed_ns as f64,
            latencies,
            server_cpu_us: cpu_before
                .zip(cpu_after)
                .map(|(before, after)| after.since_ns(&before) as f64 / 1e3 / all),
        })
    }

    fn subscribe(&mut self) -> Result<(), String> {
        self.progress.phase("subscribing");
        self.crew.send(&WorkerCommand::Subscribe)?;
        self.receive()?;
        if self.plan.scenario != Scenario::Idle && self.plan.probe_deliveries() > 0 {
            self.progress.phase("probing");
            self.crew.send(&WorkerCommand::Probe)?;
            self.receive()?;
        }
        Ok(())
    }

    /// Intervals begin; their first sample is taken.
    fn begin(&mut self, start_ns: u64, ruler: Ruler) -> Result<(), String> {
        if self.ruler.replace(ruler).is_none() {
            let interval_ns = self.plan.interval.as_nanos() as u64;
            self.series = Series::new(start_ns, interval_ns, self.plan.workers as usize);
        }
        self.sample_ns = start_ns;
        self.look()
    }

    fn hold(&mut self) -> Result<(), String> {
        self.progress.phase("holding");
        let start_ns = now_ns();
        let end_ns = start_ns + self.plan.hold.as_nanos() as u64;
        self.crew.send(&WorkerCommand::Hold { start_ns, end_ns })?;
        let ruler = Ruler {
            window_start_ns: end_ns,
            window_end_ns: end_ns,
            interval_ns: self.plan.interval.as_nanos() as u64,
        };
        self.begin(start_ns, ruler)?;
        while now_ns() < end_ns && self.cut.is_none() {
            self.wait(end_ns)?;
        }
        self.look()
    }

    /// Returns where the window was, and what the workers said in the end.
    fn run(&mut self) -> Result<(Ruler, Last), String> {
        self.progress.phase("running");
        let start_ns = now_ns() + LEAD_NS;
        let (warmup, length) = if self.plan.scenario.has_window() {
            (self.plan.warmup, self.plan.duration)
        } else {
            (Duration::ZERO, Duration::from_millis(1))
        };
        let window_start_ns = start_ns + warmup.as_nanos() as u64;
        let window_end_ns = window_start_ns + length.as_nanos() as u64;
        let ruler = Ruler {
            window_start_ns,
            window_end_ns,
            interval_ns: self.plan.interval.as_nanos() as u64,
        };
        if self.cut.is_some() {
            let none = Ruler {
                window_end_ns: window_start_ns,
                ..ruler
            };
            return Ok((none, Last::default()));
        }
        self.crew.send(&WorkerCommand::Run {
            start_ns,
            window_start_ns,
            window_end_ns,
        })?;
        self.begin(start_ns, ruler)?;
        let answers = self.receive()?;
        self.look()?;
        let now_ns = now_ns();
        if now_ns < window_end_ns && self.cut.is_none() {
            self.cut = Some("no connection was left".into());
        }
        let mut last = Last::default();
        for event in answers.into_values() {
            if let Event::Stopped { published, calm_ns } = event {
                // Talkers are numbered worker by worker.
                last.published.extend(published);
                last.calm_ns = last.calm_ns.max(calm_ns);
            }
        }
        if self.crew.living().count() < self.plan.workers as usize {
            // Without one of the workers, nobody knows what is missing.
            last.published.clear();
        }
        if self.cut.is_some() {
            self.take_sample(now_ns)?;
        }
        let ended = Ruler {
            window_end_ns: window_end_ns.min(now_ns).max(window_start_ns),
            ..ruler
        };
        Ok((ended, last))
    }

    fn drain(&mut self, last: Last) -> Result<Vec<Outcome>, String> {
        self.progress.phase("draining");
        self.is_draining = true;
        let time = match (&self.cut, self.plan.pace) {
            (Some(_), _) => self.plan.drain.min(CUT_DRAIN),
            (None, Pace::Once) => self.plan.drain.max(ONCE_DRAIN),
            (None, _) => self.plan.drain,
        };
        self.crew.send(&WorkerCommand::Drain {
            published: last.published,
            calm_ns: last.calm_ns,
            until_ns: now_ns() + time.as_nanos() as u64,
        })?;
        let finished = self.receive()?.into_values().map(|event| match event {
            Event::Finished(outcome) => Ok(*outcome),
            other => Err(format!("a worker ended with {other:?}")),
        });
        let outcomes = finished.collect();
        self.progress.clear();
        outcomes
    }

    /// An answer of every worker that lives, by place.
    ///
    /// # Errors
    /// One failed or we were interrupted, before the run.
    fn receive(&mut self) -> Result<BTreeMap<usize, Event>, String> {
        let mut answers = BTreeMap::new();
        while !self.crew.living().all(|place| answers.contains_key(&place)) {
            if let Some((from, answer)) = self.wait(u64::MAX)? {
                answers.insert(from, answer);
            }
        }
        Ok(answers)
    }

    /// Looks, and waits a little for a worker's answer.
    fn wait(&mut self, until_ns: u64) -> Result<Option<(usize, Event)>, String> {
        self.look()?;
        let until_ns = until_ns.min(self.sample_ns).min(now_ns() + LOOK_NS);
        let Some(Received { from, event }) = self.crew.receive(until_ns) else {
            return Ok(None);
        };
        match event {
            Ok(Event::Interval(interval)) => self.series.add(from, &interval),
            Ok(Event::Opened(count)) => self.opened[from] = count,
            Ok(answer) => return Ok(Some((from, answer))),
            Err(reason) => self.end_early(reason)?,
        }
        Ok(None)
    }

    /// Notices what the time brings: samples, signals, something to show.
    fn look(&mut self) -> Result<(), String> {
        if self.interrupt.is_asked() && self.cut.is_none() {
            self.end_early("interrupted".into())?;
            self.crew.send(&WorkerCommand::Stop)?;
        }
        while self.sample_ns <= now_ns() {
            let boundary_ns = self.sample_ns;
            self.sample_ns = self
                .ruler
                .map_or(u64::MAX, |ruler| ruler.after(boundary_ns));
            self.take_sample(boundary_ns)?;
        }
        let latest = self.series.latest();
        let totals = self.series.total();
        self.progress.show(&View {
            open: if latest.is_some() {
                totals.open
            } else {
                self.opened.iter().sum()
            },
            elapsed: Duration::from_nanos(now_ns().saturating_sub(self.series.start_ns)),
            rate_per_s: latest.as_ref().map(|point| point.counts.rate_per_s),
            latencies: self.series.measured(),
            errors: totals.errors,
            server_cpu_share: latest.and_then(|point| point.server_cpu_share),
        });
        Ok(())
    }

    fn take_sample(&mut self, boundary_ns: u64) -> Result<(), String> {
        let server_cpu: Option<Result<ThreadTimes, String>> = self.server.map(Server::cpu);
        let gone = match &server_cpu {
            Some(Err(reason)) => Some(reason.clone()),
            Some(Ok(_)) | None => None,
        };
        let sample = Sample {
            time_ns: now_ns(),
            server_cpu: server_cpu.and_then(Result::ok),
            server_rss_kib: self.server.and_then(Server::resident_kib_roughly),
            kernel_kib: kernel_kib()
                .zip(self.kernel_kib_before)
                .map(|(now, before)| now as i64 - before as i64),
            cpu: CpuTimes::read(),
            segments: Segments::read(),
        };
        self.series.sample(boundary_ns, sample);
        gone.map_or(Ok(()), |reason| self.end_early(reason))
    }

    /// What was measured is kept.
    ///
    /// # Errors
    /// Nothing was.
    fn end_early(&mut self, reason: String) -> Result<(), String> {
        if self.ruler.is_none() {
            return Err(reason);
        }
        self.cut.get_or_insert(reason);
        // Without one of us the others still wait for what is under way.
        if self.is_draining {
            Ok(())
        } else {
            self.crew.send(&WorkerCommand::Stop)
        }
    }
}
