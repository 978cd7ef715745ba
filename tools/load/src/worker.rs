//! A worker process: one thread, one epoll, its share of the connections, and the parent's commands
//! on standard input. Invariant: it ends when standard input ends. Started by `crew`; what it is
//! at, and until when, is `stage`'s, and how it goes on is `advance`'s.

mod advance;
mod stage;

use crate::chat::Sizes;
use crate::clock::now_ns;
use crate::control::{self, Event, Input};
use crate::deflate::{Inflater, Traffic};
use crate::dialect::{Dialect, Incoming};
use crate::errors::{Agreed, Errors};
use crate::handshake::Compression;
use crate::latencies::Latencies;
use crate::load::Load;
use crate::message::Body;
use crate::motion::Motion;
use crate::plan::Share;
use crate::sockets::{Happening, Phase, Read, Sockets};
use crate::websocket::{
    BINARY, CLOSE, Frame, PING, PONG, RESERVED, TEXT, Template, close_code, close_words, next_frame,
};
use stage::Stage;
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
        control::send(&Event::Failed(reason.clone()))?;
    }
    outcome
}

struct Worker {
    share: Share,
    dialect: Box<Dialect>,
    sockets: Sockets,
    /// Where messages may be compressed.
    inflater: Option<Box<Inflater>>,
    agreed: Agreed,
    load: Option<Load>,
    stage: Stage,
    /// Connections begun, and all that are there before the run.
    begun: usize,
    count: usize,
    connect_latencies: Latencies,
    errors: Errors,
    /// Errors that the parent knows of.
    errors_reported: u64,
    /// When to report how many are open, while connecting.
    report_ns: u64,
    /// Connections with more to read than one turn allows.
    unfinished: Vec<usize>,
    scratch: Vec<u8>,
}

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
        let slots = count + share.spare as usize;
        // Sends by the clock: without this the kernel adds up to 50 µs to each wait.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))
            .map_err(|error| format!("timer slack: {error}"))?;
        let encoding = plan.encoding;
        let body = match plan.chat.map(|chat| chat.sizes) {
            Some(Sizes::Mixed) => Body::mixed(encoding, plan.run),
            Some(Sizes::Payload) | None => Body::new(encoding, plan.run, plan.payload_bytes),
        };
        let rooms = if share.publishes { plan.rooms } else { 0 };
        let mut sockets = Sockets::new(slots, plan.payload_bytes, &plan.target, plan.sources)?;
        let inflater = match plan.target.handshake.compression() {
            Compression::None => None,
            Compression::Deflate => Some(Box::new(Inflater::new(sockets.buffer.len()))),
        };
        let load = Load::new(&share);
        load.prepare(&mut sockets);
        let mut dialect = plan.protocol.dialect(body, rooms, &plan.target.path);
        if let Motion::Storm(storm) = plan.motion
            && storm.recovers
            && share.cut
        {
            dialect.recover(count);
        }
        Ok(Worker {
            dialect,
            sockets,
            inflater,
            agreed: Agreed::default(),
            load: Some(load),
            stage: Stage::Waiting { is_prelude: true },
            begun: 0,
            count,
            connect_latencies: Latencies::new(),
            errors: Errors::default(),
            errors_reported: 0,
            report_ns: 0,
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
                self.run_command(command)?;
            }
            let deadline_ns = self.advance(now_ns())?;
            let busy = !self.unfinished.is_empty() || self.sockets.has_ended();
            let events = self.sockets.wait(if busy { 0 } else { deadline_ns })?;
            for index in std::mem::take(&mut self.unfinished) {
                self.read(index);
            }
            for which in 0..events {
                match self.sockets.event(which) {
                    Happening::Input => {
                        if !input.read()? {
                            return Ok(());
                        }
                    }
                    Happening::Connection {
                        index,
                        writable,
                        readable,
                    } => {
                        if writable {
                            self.sockets.writable(index);
                        }
                        if readable {
                            self.read(index);
                        }
                    }
                    Happening::Stale => {}
                }
            }
        }
    }

    /// Before the run a connection that ends by itself ends the run; later the load says what it
    /// means.
    fn note_ended(&mut self, now_ns: u64) -> Result<(), String> {
        for (index, reason) in self.sockets.take_ended() {
            match (&mut self.load, reason) {
                (_, Some(reason)) if self.stage.is_prelude() => return Err(reason),
                (Some(load), reason) => {
                    if let Some(words) = load.ended(index, reason, now_ns) {
                        self.errors.count(words);
                    }
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    fn read(&mut self, index: usize) {
        for _ in 0..READS_MAX {
            match self.sockets.read(index) {
                Read::Bytes { len, more } => {
                    self.consume(index, len);
                    // A read that did not fill the buffer emptied the socket; what comes later is a
                    // new event (epoll(7)).
                    if !more {
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
        let mut inflater = self.inflater.take();
        out.clear();
        let mut used = 0;
        let broken = loop {
            let rest = &buffer[used..len];
            match self.sockets.phase(index) {
                Phase::Upgrading => match self.share.plan.target.handshake.answer(rest) {
                    Ok(Some(head)) => {
                        used += head;
                        self.upgraded(index, now_ns, &mut out);
                    }
                    Ok(None) => break None,
                    Err(reason) => break Some(reason),
                },
                // What follows a close frame means nothing (RFC 6455 §5.5.1).
                Phase::Left => {
                    used = len;
                    break None;
                }
                Phase::Closed => break None,
                Phase::Unborn
                | Phase::Connecting
                | Phase::Greeting
                | Phase::Open
                | Phase::Leaving => match next_frame(rest, buffer.len()) {
                    Ok(Some(frame)) => {
                        used += frame.payload.end;
                        let taken = plain(&frame, rest, &mut inflater).and_then(|payload| {
                            self.receive(index, frame.opcode, payload, now_ns, &mut out)
                        });
                        if let Err(reason) = taken {
                            break Some(reason);
                        }
                    }
                    Ok(None) => break None,
                    Err(reason) => break Some(format!("the server sent {reason}")),
                },
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
        self.inflater = inflater;
    }

    fn upgraded(&mut self, index: usize, now_ns: u64, out: &mut Vec<u8>) {
        if let Some(words) = self.sockets.agreed(index) {
            self.agreed.count(words);
        }
        if let Some(load) = &self.load {
            let role = load.role(index);
            self.dialect.begin(index, role);
            self.dialect.append_greeting(out, role);
        }
        if self.dialect.has_welcome() {
            self.sockets.become_phase(index, Phase::Greeting);
        } else {
            self.opened(index, now_ns, out);
        }
    }

    /// What both directions carried, where messages may be compressed.
    fn traffic(&self) -> Option<Traffic> {
        let received = self.inflater.as_ref()?.seen();
        let sent = self.sockets.sent()?;
        Some(Traffic { sent, received })
    }

    fn opened(&mut self, index: usize, now_ns: u64, out: &mut Vec<u8>) {
        let since_ns = self.sockets.become_phase(index, Phase::Open);
        if let (Some(load), false) = (&mut self.load, self.stage.is_prelude()) {
            load.opened(index, now_ns, &*self.dialect, out);
        } else {
            self.connect_latencies
                .record(now_ns.saturating_sub(since_ns));
        }
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
        if self.sockets.phase(index) == Phase::Leaving {
            // What was under way when we left is nobody's any more.
            if opcode == CLOSE {
                self.sockets.become_phase(index, Phase::Left);
            }
            return Ok(());
        }
        match opcode {
            TEXT | BINARY => {}
            PING => {
                Template::new(PONG, payload).append(out, &[]);
                return Ok(());
            }
            PONG => return Ok(()),
            CLOSE => {
                if let Some(load) = &mut self.load {
                    load.closing(index, close_code(payload));
                }
                return Err(format!(
                    "closed by the server with {}",
                    close_words(payload)
                ));
            }
            _ => return Err(format!("the server sent a frame with opcode {opcode}")),
        }
        let mut rest = Some(payload);
        while let Some(incoming) = self.dialect.read(index, opcode, &mut rest, out)? {
            self.heed(index, incoming, now_ns, out)?;
        }
        Ok(())
    }

    /// One meaning; the error ends the connection.
    fn heed(
        &mut self,
        index: usize,
        incoming: Incoming,
        now_ns: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if let Incoming::Refused(words) = &incoming {
            if self.stage.is_prelude() {
                return Err(format!("the server says {words}"));
            }
            self.errors.count(format!("the server says {words}"));
        }
        if self.sockets.phase(index) == Phase::Greeting {
            return match incoming {
                Incoming::Welcome => {
                    self.opened(index, now_ns, out);
                    Ok(())
                }
                _ => Err("the server did not begin with a welcome".into()),
            };
        }
        if let Some(load) = &mut self.load {
            load.receive(index, &incoming, now_ns, &*self.dialect, out);
        }
        Ok(())
    }
}

/// A frame's payload as it is meant; `bytes` begin with the frame.
fn plain<'p>(
    frame: &Frame,
    bytes: &'p [u8],
    inflater: &'p mut Option<Box<Inflater>>,
) -> Result<&'p [u8], String> {
    let payload = &bytes[frame.payload.clone()];
    match (inflater, frame.is_compressed) {
        (None, false) => Ok(payload),
        (None, true) => Err(format!("the server sent {RESERVED}")),
        (Some(inflater), true) => inflater
            .inflate(payload)
            .map_err(|reason| format!("the server sent {reason}")),
        (Some(inflater), false) => {
            if matches!(frame.opcode, TEXT | BINARY) {
                inflater.note_plain(payload);
            }
            Ok(payload)
        }
    }
}
