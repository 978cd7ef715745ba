//! A worker process: one thread, one epoll, its share of the connections, and the parent's commands on standard input.
//! Invariant: it ends when standard input ends, and every stage has a deadline. Started by `crew`.

use crate::clock::{NS_PER_MS, NS_PER_S, now_ns};
use crate::control::{Command, Event, Outcome, Share};
use crate::dialect::{Dialect, Incoming};
use crate::echo::EchoLoad;
use crate::fanout::Fanout;
use crate::message::Body;
use crate::meter::Latencies;
use crate::plan::Scenario;
use crate::sockets::{Phase, Read, Sockets};
use crate::websocket::{BINARY, CLOSE, PING, PONG, TEXT, Template, next_frame, upgrade_answer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::io::Write;
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

#[derive(Debug)]
enum Load {
    Echo(EchoLoad),
    Fanout(Fanout),
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
    errors: BTreeMap<String, u64>,
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
/// Kinds of errors told apart.
const ERROR_KINDS_MAX: usize = 50;
/// Files besides the connections.
const OTHER_FILES: u64 = 32;

impl Worker {
    fn new(share: Share) -> Result<Worker, String> {
        let plan = &share.plan;
        let publishers = if share.publishes {
            plan.publishers as usize
        } else {
            0
        };
        let count = share.count as usize + publishers;
        allow_files(count as u64 + OTHER_FILES)?;
        // Departures by the clock: without this the kernel adds up to 50 µs to each wait.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))
            .map_err(|error| format!("timer slack: {error}"))?;
        let body = Body::new(plan.protocol.encoding(), plan.run, plan.payload_bytes);
        let rooms = if share.publishes { plan.rooms } else { 0 };
        let target = (plan.address, &*plan.host, &*plan.path);
        let load = match plan.scenario {
            Scenario::Echo => Load::Echo(EchoLoad::new(
                share.first,
                share.count,
                plan.connections,
                plan.pace,
            )),
            Scenario::Broadcast | Scenario::Idle => Load::Fanout(Fanout::new(&share)),
        };
        Ok(Worker {
            dialect: Dialect::new(plan.protocol, body, rooms),
            sockets: Sockets::new(count, plan.payload_bytes, target, plan.sources)?,
            load: Some(load),
            stage: Stage::Waiting,
            begun: 0,
            count,
            connect_latencies: Latencies::new(),
            errors: BTreeMap::new(),
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
        let load = self.load.as_mut().ok_or("a command after the end")?;
        match (command, load) {
            (Command::Connect, _) => {
                let more_ns = self.count as u64 * NS_PER_S / CONNECTS_PER_S_MIN;
                self.stage = Stage::Connecting {
                    until_ns: now_ns + CONNECT_NS + more_ns,
                };
            }
            (Command::Subscribe, load) => {
                if let Load::Fanout(fanout) = load {
                    fanout.subscribe(&self.dialect, &mut self.sockets);
                }
                let more_ns = self.count as u64 * NS_PER_S / CONNECTS_PER_S_MIN;
                self.stage = Stage::Subscribing {
                    until_ns: now_ns + CONNECT_NS + more_ns,
                };
            }
            (Command::Probe, _) => {
                let until_ns = now_ns + PROBE_NS + 4 * self.probe_interval_ns();
                self.stage = Stage::Probing {
                    until_ns,
                    next_ns: now_ns,
                    told: false,
                };
            }
            (
                Command::Run {
                    start_ns,
                    window_start_ns,
                    window_end_ns,
                },
                load,
            ) => {
                match load {
                    Load::Echo(echo) => echo.run(start_ns, window_start_ns, window_end_ns),
                    Load::Fanout(fanout) => fanout.run(start_ns, window_start_ns, window_end_ns),
                }
                self.stage = Stage::Running {
                    until_ns: window_end_ns,
                };
            }
            (
                Command::Drain {
                    published,
                    until_ns,
                },
                load,
            ) => {
                if let Load::Fanout(fanout) = load {
                    fanout.drain(published);
                }
                self.stage = Stage::Draining {
                    until_ns,
                    check_ns: now_ns,
                    settled_ns: None,
                };
            }
        }
        Ok(())
    }

    /// Does what time or events made due. Returns when there is something to do again.
    fn advance(&mut self, now_ns: u64) -> Result<u64, String> {
        self.note_broken()?;
        let Some(load) = &mut self.load else {
            return Ok(u64::MAX);
        };
        match (&mut self.stage, load) {
            (Stage::Waiting, _) => Ok(u64::MAX),
            (Stage::Connecting { until_ns }, _) => {
                let until_ns = *until_ns;
                self.connect(until_ns, now_ns)
            }
            (Stage::Subscribing { until_ns }, load) => {
                if matches!(load, Load::Fanout(fanout) if !fanout.is_subscribed()) {
                    return in_time(*until_ns, now_ns, "not every subscription was answered");
                }
                self.proceed(Event::Subscribed)
            }
            (Stage::Probing { .. }, Load::Echo(_)) => self.proceed(Event::Probed),
            (Stage::Probing { .. }, Load::Fanout(_)) => self.probe(now_ns),
            (Stage::Running { until_ns }, load) => {
                let until_ns = *until_ns;
                let deadline_ns = match load {
                    Load::Echo(echo) => echo.tick(now_ns, &self.dialect, &mut self.sockets),
                    Load::Fanout(fanout) => fanout.tick(now_ns, &self.dialect, &mut self.sockets),
                };
                if now_ns < until_ns && self.sockets.open() > 0 {
                    return Ok(deadline_ns.min(until_ns));
                }
                let published = match load {
                    Load::Echo(echo) => {
                        echo.stop();
                        Vec::new()
                    }
                    Load::Fanout(fanout) => fanout.stop(),
                };
                self.proceed(Event::Stopped(published))
            }
            (Stage::Draining { .. }, _) => self.drain(now_ns),
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

    fn probe(&mut self, now_ns: u64) -> Result<u64, String> {
        let interval_ns = self.probe_interval_ns();
        let (
            Stage::Probing {
                until_ns,
                next_ns,
                told,
            },
            Some(Load::Fanout(fanout)),
        ) = (&mut self.stage, &mut self.load)
        else {
            return Ok(u64::MAX);
        };
        if fanout.is_probed() && !*told {
            *told = true;
            tell(&Event::Probed)?;
        }
        // Another worker's subscribers may still wait for a probe; its own deadline guards that.
        if now_ns >= *next_ns && now_ns < *until_ns {
            fanout.probe(&self.dialect, &mut self.sockets);
            *next_ns = now_ns + interval_ns;
        }
        let next_ns = *next_ns;
        if *told {
            Ok(next_ns)
        } else {
            in_time(
                *until_ns,
                now_ns,
                "the probes did not reach every subscriber",
            )
            .map(|until| until.min(next_ns))
        }
    }

    fn probe_interval_ns(&self) -> u64 {
        let plan = &self.share.plan;
        PROBE_INTERVAL_NS
            .max(PROBE_DELIVERY_NS * u64::from(plan.connections) * u64::from(plan.publishers))
    }

    fn drain(&mut self, now_ns: u64) -> Result<u64, String> {
        let (
            Stage::Draining {
                until_ns,
                check_ns,
                settled_ns,
            },
            Some(load),
        ) = (&mut self.stage, &self.load)
        else {
            return Ok(u64::MAX);
        };
        if settled_ns.is_none() && now_ns >= *check_ns {
            let settled = match load {
                Load::Echo(echo) => echo.is_settled(&self.sockets),
                Load::Fanout(fanout) => fanout.is_settled(&self.sockets),
            };
            *settled_ns = settled.then_some(now_ns);
            *check_ns = now_ns + DRAIN_CHECK_NS;
        }
        let end_ns = settled_ns.map_or(*until_ns, |settled_ns| settled_ns + DRAIN_GRACE_NS);
        if now_ns < end_ns {
            return Ok(end_ns.min(if settled_ns.is_some() {
                u64::MAX
            } else {
                *check_ns
            }));
        }
        let outcome = match self.load.take() {
            Some(Load::Echo(echo)) => echo.finish(),
            Some(Load::Fanout(fanout)) => fanout.finish(),
            None => return Ok(u64::MAX),
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
            self.count_error(reason);
        }
        Ok(())
    }

    fn count_error(&mut self, reason: String) {
        let known = self.errors.contains_key(&reason);
        let reason = if known || self.errors.len() < ERROR_KINDS_MAX {
            reason
        } else {
            "others".into()
        };
        *self.errors.entry(reason).or_default() += 1;
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
            self.count_error(format!("the server says {words}"));
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
        match &mut self.load {
            Some(Load::Echo(echo)) => echo.receive(index, &incoming, now_ns, &self.dialect, out),
            Some(Load::Fanout(fanout)) => fanout.receive(index, &incoming, now_ns),
            None => {}
        }
        Ok(())
    }
}

/// Lines from the parent.
#[derive(Default)]
struct Input(Vec<u8>);

impl Input {
    /// Blocks if nothing is there; `false` at the end.
    fn read(&mut self) -> Result<bool, String> {
        let mut bytes = [0; 16 * 1024];
        let count =
            rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut bytes))
                .map_err(|error| format!("standard input: {error}"))?;
        self.0.extend_from_slice(&bytes[..count]);
        Ok(count > 0)
    }

    fn line(&mut self) -> Option<String> {
        let end = self.0.iter().position(|&byte| byte == b'\n')?;
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).into_owned())
    }
}

fn tell(event: &Event) -> Result<(), String> {
    let line = serde_json::to_string(event).map_err(|error| error.to_string())?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .map_err(|error| format!("standard output: {error}"))
}

fn in_time(until_ns: u64, now_ns: u64, complaint: &str) -> Result<u64, String> {
    if now_ns < until_ns {
        Ok(until_ns)
    } else {
        Err(format!("{complaint} in time"))
    }
}

/// Raises the soft limit of open files if it must.
fn allow_files(needed: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let refusal = format!(
        "a worker needs {needed} open files and may have {:?}: use more --workers or raise `ulimit -n`",
        limit.maximum
    );
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(refusal);
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .map_err(|_| refusal)
}
