//! A worker process: one thread, one epoll, its share of the connections, and the parent's commands on standard input.
//! Invariant: it ends when standard input ends, and every stage has a deadline. Started by `crew`.

use crate::clock::{NS_PER_MS, NS_PER_S, now_ns};
use crate::control::{Command, Errors, Event, Input, Outcome, Share, tell};
use crate::dialect::{Dialect, Incoming};
use crate::load::Load;
use crate::message::Body;
use crate::meter::Latencies;
use crate::sockets::{Phase, Read, Sockets};
use crate::websocket::{BINARY, CLOSE, PING, PONG, TEXT, Template, next_frame, upgrade_answer};
use std::num::NonZeroU64;

/// Runs until standard input ends.
pub(crate) fn run() -> Result<(), String> {
    let mut input = Input::default();
    let share = loop {
        match input.line() {
            Some(line) => {
                break serde_json::from_str(&line)
                    .map_err(|error| format!("the share: {error}"))?;
            }
            None if input.read()? => {}
            None => return Ok(()),
        }
    };
    let outcome = Worker::new(share).and_then(|worker| worker.run(input));
    if let Err(reason) = &outcome {
        tell(&Event::Failed(reason.clone()))?;
    }
    outcome
}

/// What the worker is at; times are CLOCK_MONOTONIC nanoseconds.
#[derive(Debug)]
enum Stage {
    /// Awaits a command.
    Waiting,
    Connecting {
        until_ns: u64,
    },
    Subscribing {
        until_ns: u64,
    },
    /// All probes have come: told the parent, and goes on until told to run.
    Probing {
        until_ns: u64,
        next_ns: u64,
        told: bool,
    },
    Running {
        until_ns: u64,
    },
    /// `settled_ns`: when everything had arrived.
    Draining {
        until_ns: u64,
        check_ns: u64,
        settled_ns: Option<u64>,
    },
}

struct Worker {
    share: Share,
    dialect: Dialect,
    sockets: Sockets,
    load: Option<Load>,
    stage: Stage,
    /// Connections begun, and all there are.
    begun: usize,
    count: usize,
    connect_latencies: Latencies,
    errors: Errors,
    /// Connections with more to read than one turn allows.
    unfinished: Vec<usize>,
    scratch: Vec<u8>,
}

/// Connects under way at once: below any usual listen backlog.
const CONNECTING_MAX: usize = 128;
/// Base of the time allowed for connecting; with so many connections a second on top.
const CONNECT_NS: u64 = 30 * NS_PER_S;
const CONNECTS_PER_S_MIN: u64 = 500;
/// Time for the first probe to reach everyone, and the pause between two; more with many deliveries.
const PROBE_NS: u64 = 10 * NS_PER_S;
const PROBE_INTERVAL_NS: u64 = 50 * NS_PER_MS;
const PROBE_DELIVERY_NS: u64 = 20_000;
/// How often a draining worker looks whether everything came, and how long it then waits for what must not come.
const DRAIN_CHECK_NS: u64 = 5 * NS_PER_MS;
const DRAIN_GRACE_NS: u64 = 50 * NS_PER_MS;
/// Reads of one connection in one turn.
const READS_MAX: usize = 16;

impl Worker {
    fn new(share: Share) -> Result<Worker, String> {
        let plan = &share.plan;
        let publishers = if share.publishes {
            plan.publishers as usize
        } else {
            0
        };
        let count = share.count as usize + publishers;
        // Departures by the clock: without this the kernel adds up to 50 µs to each wait.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))
            .map_err(|error| format!("timer slack: {error}"))?;
        let body = Body::new(plan.protocol.encoding(), plan.run, plan.payload_bytes);
        let rooms = if share.publishes { plan.rooms } else { 0 };
        let target = (plan.address, &*plan.host, &*plan.path);
        Ok(Worker {
            dialect: Dialect::new(plan.protocol, body, rooms),
            sockets: Sockets::new(count, plan.payload_bytes, target, plan.sources)?,
            load: Some(Load::new(&share)),
            stage: Stage::Waiting,
            begun: 0,
            count,
            connect_latencies: Latencies::new(),
            errors: Errors::default(),
            unfinished: Vec::new(),
            scratch: Vec::new(),
            share,
        })
    }

    fn run(mut self, mut input: Input) -> Result<(), String> {
        self.sockets.watch(rustix::stdio::stdin())?;
        loop {
            while let Some(line) = input.line() {
                let command =
                    serde_json::from_str(&line).map_err(|error| format!("a command: {error}"))?;
                self.obey(command)?;
            }
            let deadline_ns = self.advance(now_ns())?;
            let events = self.sockets.wait(if self.unfinished.is_empty() {
                deadline_ns
            } else {
                0
            })?;
            for index in std::mem::take(&mut self.unfinished) {
                self.read(index);
            }
            for which in 0..events {
                let (index, writable, readable) = self.sockets.event(which);
                let Some(index) = index else {
                    if !input.read()? {
                        return Ok(());
                    }
                    continue;
                };
                if writable {
                    self.sockets.writable(index);
                }
                if readable {
                    self.read(index);
                }
            }
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), String> {
        let now_ns = now_ns();
        let crowd_ns = self.count as u64 * NS_PER_S / CONNECTS_PER_S_MIN;
        let probe_ns = PROBE_NS + 4 * self.probe_interval_ns();
        let load = self.load.as_mut().ok_or("a command after the end")?;
        self.stage = match command {
            Command::Connect => Stage::Connecting {
                until_ns: now_ns + CONNECT_NS + crowd_ns,
            },
            Command::Subscribe => {
                load.subscribe(&self.dialect, &mut self.sockets);
                Stage::Subscribing {
                    until_ns: now_ns + CONNECT_NS + crowd_ns,
                }
            }
            Command::Probe => Stage::Probing {
                until_ns: now_ns + probe_ns,
                next_ns: now_ns,
                told: false,
            },
            Command::Run {
                start_ns,
                window_start_ns,
                window_end_ns,
            } => {
                load.run(start_ns, window_start_ns, window_end_ns);
                Stage::Running {
                    until_ns: window_end_ns,
                }
            }
            Command::Drain {
                published,
                until_ns,
            } => {
                load.drain(published);
                Stage::Draining {
                    until_ns,
                    check_ns: now_ns,
                    settled_ns: None,
                }
            }
        };
        Ok(())
    }

    /// Does what time or events made due. Returns when there is something to do again.
    fn advance(&mut self, now_ns: u64) -> Result<u64, String> {
        self.note_broken()?;
        let Some(load) = &mut self.load else {
            return Ok(u64::MAX);
        };
        match self.stage {
            Stage::Waiting => Ok(u64::MAX),
            Stage::Connecting { until_ns } => self.connect(until_ns, now_ns),
            Stage::Subscribing { .. } if load.is_subscribed() => self.proceed(Event::Subscribed),
            Stage::Subscribing { until_ns } => {
                in_time(until_ns, now_ns, "not every subscription was answered")
            }
            Stage::Probing {
                until_ns,
                next_ns,
                told,
            } => self.probe(now_ns, until_ns, next_ns, told),
            Stage::Running { until_ns } => {
                let deadline_ns = load.tick(now_ns, &self.dialect, &mut self.sockets);
                if now_ns < until_ns && self.sockets.open() > 0 {
                    return Ok(deadline_ns.min(until_ns));
                }
                let published = load.stop();
                self.proceed(Event::Stopped(published))
            }
            Stage::Draining {
                until_ns,
                check_ns,
                settled_ns,
            } => self.drain(now_ns, until_ns, check_ns, settled_ns),
        }
    }

    fn connect(&mut self, until_ns: u64, now_ns: u64) -> Result<u64, String> {
        while self.begun < self.count && self.begun - self.sockets.open() < CONNECTING_MAX {
            // Publishers come from the sources in turn, like the rest.
            let number = self.share.first + self.begun as u32;
            self.sockets.connect(self.begun, number)?;
            self.begun += 1;
        }
        if self.sockets.open() == self.count {
            let latencies = std::mem::replace(&mut self.connect_latencies, Latencies::new());
            return self.proceed(Event::Connected(latencies));
        }
        in_time(
            until_ns,
            now_ns,
            "not every connection was accepted and upgraded",
        )
    }

    fn probe(
        &mut self,
        now_ns: u64,
        until_ns: u64,
        mut next_ns: u64,
        mut told: bool,
    ) -> Result<u64, String> {
        let interval_ns = self.probe_interval_ns();
        let Some(load) = &mut self.load else {
            return Ok(u64::MAX);
        };
        if load.is_probed() && !told {
            told = true;
            tell(&Event::Probed)?;
        }
        // Another worker's subscribers may still wait for a probe; its own deadline guards that.
        if now_ns >= next_ns && now_ns < until_ns {
            load.probe(&self.dialect, &mut self.sockets);
            next_ns = now_ns + interval_ns;
        }
        self.stage = Stage::Probing {
            until_ns,
            next_ns,
            told,
        };
        if told {
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
        let plan = &self.share.plan;
        PROBE_INTERVAL_NS
            .max(PROBE_DELIVERY_NS * u64::from(plan.connections) * u64::from(plan.publishers))
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
        let Some(outcome) = self.load.take().map(Load::finish) else {
            return Ok(u64::MAX);
        };
        let errors = std::mem::take(&mut self.errors);
        self.proceed(Event::Finished(Box::new(Outcome { errors, ..outcome })))
    }

    fn proceed(&mut self, event: Event) -> Result<u64, String> {
        self.stage = Stage::Waiting;
        tell(&event)?;
        Ok(u64::MAX)
    }

    /// Before the run a broken connection ends it; later it is counted.
    fn note_broken(&mut self) -> Result<(), String> {
        for reason in std::mem::take(&mut self.sockets.broken) {
            if matches!(
                self.stage,
                Stage::Connecting { .. } | Stage::Subscribing { .. } | Stage::Probing { .. }
            ) {
                return Err(reason);
            }
            self.errors.count(reason);
        }
        Ok(())
    }

    fn read(&mut self, index: usize) {
        for _ in 0..READS_MAX {
            match self.sockets.read(index) {
                Read::Bytes { len, full } => {
                    self.consume(index, len);
                    // A read that did not fill the buffer emptied the socket; what comes later is a new event (epoll(7)).
                    if !full {
                        return;
                    }
                }
                Read::Nothing => return,
            }
        }
        self.unfinished.push(index);
    }

    /// Takes `len` bytes of the buffer apart and sends what answers them in one write.
    fn consume(&mut self, index: usize, len: usize) {
        let now_ns = now_ns();
        let buffer = std::mem::take(&mut self.sockets.buffer);
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let mut used = 0;
        let broken = loop {
            let rest = &buffer[used..len];
            match self.sockets.phase(index) {
                Phase::Upgrading => match upgrade_answer(rest) {
                    Ok(Some(head)) => {
                        used += head;
                        self.upgraded(index, now_ns);
                    }
                    Ok(None) => break None,
                    Err(reason) => break Some(reason),
                },
                Phase::Closed => break None,
                Phase::Unborn | Phase::Connecting | Phase::Greeting | Phase::Open => {
                    match next_frame(rest, buffer.len()) {
                        Ok(Some(frame)) => {
                            let payload = &rest[frame.payload.clone()];
                            used += frame.payload.end;
                            if let Err(reason) =
                                self.receive(index, frame.opcode, payload, now_ns, &mut out)
                            {
                                break Some(reason);
                            }
                        }
                        Ok(None) => break None,
                        Err(reason) => break Some(format!("the server sent {reason}")),
                    }
                }
            }
        };
        match broken {
            Some(reason) => self.sockets.fail(index, reason),
            None => {
                self.sockets.keep(index, &buffer[used..len]);
                if !out.is_empty() {
                    self.sockets.send(index, &out);
                }
            }
        }
        self.sockets.buffer = buffer;
        self.scratch = out;
    }

    fn upgraded(&mut self, index: usize, now_ns: u64) {
        if self.dialect.has_welcome() {
            self.sockets.become_phase(index, Phase::Greeting);
        } else {
            self.opened(index, now_ns);
        }
    }

    fn opened(&mut self, index: usize, now_ns: u64) {
        let since_ns = self.sockets.become_phase(index, Phase::Open);
        self.connect_latencies
            .record(now_ns.saturating_sub(since_ns));
    }

    /// One frame; the error ends the connection.
    fn receive(
        &mut self,
        index: usize,
        opcode: u8,
        payload: &[u8],
        now_ns: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match opcode {
            TEXT | BINARY => {}
            PING => {
                Template::new(PONG, payload).append(out, &[]);
                return Ok(());
            }
            PONG => return Ok(()),
            CLOSE => {
                let code = payload
                    .first_chunk::<2>()
                    .map_or(1005, |code| u16::from_be_bytes(*code));
                let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                return Err(format!("closed by the server with {code} {reason}")
                    .trim_end()
                    .to_owned());
            }
            _ => return Err(format!("the server sent a frame with opcode {opcode}")),
        }
        let incoming = self.dialect.read(opcode, payload);
        if let Incoming::Refused(words) = &incoming {
            if !matches!(self.stage, Stage::Running { .. } | Stage::Draining { .. }) {
                return Err(format!("the server says {words}"));
            }
            self.errors.count(format!("the server says {words}"));
        }
        if self.sockets.phase(index) == Phase::Greeting {
            return match incoming {
                Incoming::Welcome => {
                    self.opened(index, now_ns);
                    Ok(())
                }
                _ => Err("the server did not begin with a welcome".into()),
            };
        }
        if let Some(load) = &mut self.load {
            load.receive(index, &incoming, now_ns, &self.dialect, out);
        }
        Ok(())
    }
}

fn in_time(until_ns: u64, now_ns: u64, complaint: &str) -> Result<u64, String> {
    if now_ns < until_ns {
        Ok(until_ns)
    } else {
        Err(format!("{complaint} in time"))
    }
}
