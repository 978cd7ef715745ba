//! A worker on its way from stage to stage: what the parent's commands begin, what time and events
//! bring on, and what is reported. Called by `worker`.

use super::Worker;
use super::stage::Stage;
use crate::clock::{NS_PER_MS, NS_PER_S, now_ns};
use crate::control::{self, Event, Outcome, WorkerCommand};
use crate::epochs::Epochs;
use crate::latencies::Latencies;
use crate::load::Load;
use crate::motion::Motion;

/// Connects under way at once, all workers together: below any usual listen backlog (4,096 unless
/// set otherwise). What does not fit for seconds the kernel gives up, and its data are answered
/// with a reset.
const CONNECTING_MAX: usize = 2_048;
/// The same for one worker.
const CONNECTING_WORKER_MAX: usize = 128;
/// Connecting and subscribing may take longer for many: so many connections a second.
const CONNECTS_PER_S_MIN: u64 = 500;
/// Pause between two probes; more with many deliveries.
const PROBE_INTERVAL_NS: u64 = 50 * NS_PER_MS;
const PROBE_DELIVERY_NS: u64 = 20_000;
/// How often a draining worker looks whether everything came, and how long it then waits for what
/// must not come.
const DRAIN_CHECK_NS: u64 = 5 * NS_PER_MS;
const DRAIN_GRACE_NS: u64 = 50 * NS_PER_MS;
/// How often the parent is sent how many connections are open.
const OPENED_INTERVAL_NS: u64 = NS_PER_S / 2;

impl Worker {
    pub(super) fn run_command(&mut self, command: WorkerCommand) -> Result<(), String> {
        let now_ns = now_ns();
        let crowd_ns = self.count as u64 * NS_PER_S / CONNECTS_PER_S_MIN;
        let setup_ns = self.share.plan.setup.as_nanos() as u64;
        let probe_ns = setup_ns + 4 * self.probe_interval_ns();
        if let (Stage::Holding, WorkerCommand::Run { .. }) = (&self.stage, &command) {
            self.send_interval(now_ns)?;
        }
        let load = self.load.as_mut().ok_or("a command after the end")?;
        self.stage = match command {
            WorkerCommand::Connect => Stage::Connecting {
                until_ns: now_ns + setup_ns + crowd_ns,
            },
            WorkerCommand::Subscribe => {
                load.subscribe(&*self.dialect, &mut self.sockets);
                Stage::Subscribing {
                    until_ns: now_ns + setup_ns + crowd_ns,
                }
            }
            WorkerCommand::Probe => Stage::Probing {
                until_ns: now_ns + probe_ns,
                next_ns: now_ns,
                reported: false,
            },
            WorkerCommand::Hold { start_ns, end_ns } => {
                let meter = load.meter_mut();
                meter.open(end_ns, end_ns);
                meter.begin(start_ns, self.share.plan.interval.as_nanos() as u64);
                Stage::Holding
            }
            WorkerCommand::Run {
                start_ns,
                window_start_ns,
                window_end_ns,
            } => {
                load.run(start_ns, window_start_ns, window_end_ns);
                let interval_ns = self.share.plan.interval.as_nanos() as u64;
                load.meter_mut().begin(start_ns, interval_ns);
                if let Motion::Storm(storm) = self.share.plan.motion {
                    let storm_ns = window_start_ns + storm.at.as_nanos() as u64;
                    load.meter_mut().epochs = Some(Epochs::new(storm_ns));
                }
                Stage::Running {
                    start_ns,
                    until_ns: window_end_ns,
                }
            }
            WorkerCommand::Stop => return self.stop_early(now_ns),
            WorkerCommand::Drain {
                published,
                calm_ns,
                until_ns,
            } => {
                load.drain(published);
                if let Some(epochs) = &mut load.meter_mut().epochs {
                    epochs.settle(calm_ns);
                }
                Stage::Draining {
                    until_ns,
                    check_ns: now_ns,
                    settled_ns: None,
                }
            }
        };
        Ok(())
    }

    fn stop_early(&mut self, now_ns: u64) -> Result<(), String> {
        match (&mut self.stage, &mut self.load) {
            (Stage::Running { until_ns, .. }, Some(load)) => {
                load.meter_mut().cut(now_ns);
                *until_ns = now_ns;
            }
            (Stage::Draining { until_ns, .. }, _) => *until_ns = now_ns,
            _ => {}
        }
        Ok(())
    }

    /// Does what time or events made due. Returns when there is something to do again.
    pub(super) fn advance(&mut self, now_ns: u64) -> Result<u64, String> {
        self.note_ended(now_ns)?;
        let interval_end_ns = self.report_interval(now_ns)?;
        let Some(load) = &mut self.load else {
            return Ok(u64::MAX);
        };
        match self.stage {
            Stage::Waiting { .. } => Ok(u64::MAX),
            Stage::Connecting { until_ns } => self.connect(until_ns, now_ns),
            Stage::Subscribing { .. } if load.is_subscribed() => self.proceed(Event::Subscribed),
            Stage::Subscribing { until_ns } => {
                in_time(until_ns, now_ns, "not every subscription was answered")
            }
            Stage::Probing {
                until_ns,
                next_ns,
                reported,
            } => self.probe(now_ns, until_ns, next_ns, reported),
            Stage::Holding => Ok(interval_end_ns),
            Stage::Running { start_ns, until_ns } if now_ns < start_ns.min(until_ns) => {
                Ok(start_ns)
            }
            Stage::Running { until_ns, .. } => {
                let deadline_ns = load.tick(now_ns, &*self.dialect, &mut self.sockets);
                if now_ns < until_ns && (self.sockets.open() > 0 || load.brings()) {
                    return Ok(deadline_ns.min(until_ns).min(interval_end_ns));
                }
                let (published, calm_ns) = load.stop();
                self.proceed(Event::Stopped { published, calm_ns })
            }
            Stage::Draining {
                until_ns,
                check_ns,
                settled_ns,
            } => self.drain(now_ns, until_ns, check_ns, settled_ns),
        }
    }

    fn connect(&mut self, until_ns: u64, now_ns: u64) -> Result<u64, String> {
        let Some(load) = &self.load else {
            return Ok(u64::MAX);
        };
        let workers = self.share.plan.workers as usize;
        let under_way_max = (CONNECTING_MAX / workers).clamp(1, CONNECTING_WORKER_MAX);
        while self.begun < self.count && self.begun - self.sockets.open() < under_way_max {
            // Publishers come from the sources in turn, like the rest.
            let number = self.share.first + self.begun as u32;
            let path = self.dialect.path(load.role(self.begun));
            self.sockets.connect(self.begun, number, &path)?;
            self.begun += 1;
        }
        if self.sockets.open() == self.count {
            let latencies = std::mem::replace(&mut self.connect_latencies, Latencies::new());
            return self.proceed(Event::Connected(latencies));
        }
        if now_ns >= self.report_ns {
            self.report_ns = now_ns + OPENED_INTERVAL_NS;
            control::send(&Event::Opened(self.sockets.open() as u64))?;
        }
        in_time(
            until_ns,
            now_ns,
            "not every connection was accepted and upgraded",
        )
        .map(|until_ns| until_ns.min(self.report_ns))
    }

    fn probe(
        &mut self,
        now_ns: u64,
        until_ns: u64,
        mut next_ns: u64,
        mut reported: bool,
    ) -> Result<u64, String> {
        let interval_ns = self.probe_interval_ns();
        let Some(load) = &mut self.load else {
            return Ok(u64::MAX);
        };
        if load.is_probed() && !reported {
            reported = true;
            control::send(&Event::Probed)?;
        }
        // Another worker's subscribers may still wait for a probe; its own deadline guards that.
        if now_ns >= next_ns && now_ns < until_ns {
            load.probe(&*self.dialect, &mut self.sockets);
            next_ns = now_ns + interval_ns;
        }
        self.stage = Stage::Probing {
            until_ns,
            next_ns,
            reported,
        };
        if reported {
            return Ok(if next_ns < until_ns {
                next_ns
            } else {
                u64::MAX
            });
        }
        in_time(
            until_ns,
            now_ns,
            "the probes did not reach every subscriber",
        )
        .map(|until_ns| until_ns.min(next_ns))
    }

    fn probe_interval_ns(&self) -> u64 {
        PROBE_INTERVAL_NS.max(PROBE_DELIVERY_NS * self.share.plan.probe_deliveries())
    }

    fn drain(
        &mut self,
        now_ns: u64,
        until_ns: u64,
        mut check_ns: u64,
        mut settled_ns: Option<u64>,
    ) -> Result<u64, String> {
        let Some(load) = &self.load else {
            return Ok(u64::MAX);
        };
        if settled_ns.is_none() && now_ns >= check_ns {
            settled_ns = load.is_settled(&self.sockets).then_some(now_ns);
            check_ns = now_ns + DRAIN_CHECK_NS;
        }
        let end_ns = settled_ns.map_or(until_ns, |settled_ns| settled_ns + DRAIN_GRACE_NS);
        if now_ns < end_ns {
            self.stage = Stage::Draining {
                until_ns,
                check_ns,
                settled_ns,
            };
            return Ok(if settled_ns.is_some() {
                end_ns
            } else {
                end_ns.min(check_ns)
            });
        }
        self.send_interval(now_ns)?;
        let Some(outcome) = self.load.take().map(Load::finish) else {
            return Ok(u64::MAX);
        };
        let mut errors = std::mem::take(&mut self.errors);
        errors.merge(&outcome.errors);
        let (agreed, traffic) = (std::mem::take(&mut self.agreed), self.traffic());
        self.proceed(Event::Finished(Box::new(Outcome {
            errors,
            agreed,
            traffic,
            ..outcome
        })))
    }

    /// While holding, running and draining: sends what happened, at every boundary. Returns the
    /// next.
    fn report_interval(&mut self, now_ns: u64) -> Result<u64, String> {
        let (Stage::Holding | Stage::Running { .. } | Stage::Draining { .. }, Some(load)) =
            (&self.stage, &mut self.load)
        else {
            return Ok(u64::MAX);
        };
        if now_ns >= load.meter_mut().interval_end_ns() {
            self.send_interval(now_ns)?;
        }
        let load = self.load.as_mut();
        Ok(load.map_or(u64::MAX, |load| load.meter_mut().interval_end_ns()))
    }

    fn send_interval(&mut self, now_ns: u64) -> Result<(), String> {
        let Some(load) = &mut self.load else {
            return Ok(());
        };
        let mut interval = load.meter_mut().take_interval(now_ns);
        let errors = self.errors.total() + load.failures();
        interval.open = self.sockets.open() as u64;
        interval.errors = errors - std::mem::replace(&mut self.errors_reported, errors);
        control::send(&Event::Interval(Box::new(interval)))
    }

    fn proceed(&mut self, event: Event) -> Result<u64, String> {
        self.stage = Stage::Waiting {
            is_prelude: self.stage.is_prelude(),
        };
        control::send(&event)?;
        Ok(u64::MAX)
    }
}

fn in_time(until_ns: u64, now_ns: u64, complaint: &str) -> Result<u64, String> {
    if now_ns < until_ns {
        Ok(until_ns)
    } else {
        Err(format!("{complaint} in time"))
    }
}
