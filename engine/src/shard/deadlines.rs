//! Deadlines: one entry in the wheel per connection, whose meaning follows from the phase and from
//! what is unfinished.

use super::Shard;
use crate::application::Application;
use crate::connection::exchange::ExchangeStage;
use crate::connection::limits::ConnectionLimits;
use crate::connection::phase::Phase;
use crate::connection::slot::{ACTIVITY_MS, Cold, Connection, Flags};
use crate::driver::boundary::{Driver, Millis};
use crate::types::close_reason::CloseReason;
use crate::types::deadline::Deadline;
use crate::types::ticket::Ticket;
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::frame::OpCode;

/// Deadlines met per tick; the rest wait for the next.
const DEADLINES_PER_TICK: usize = 1024;
/// Who waits for a receive buffer may have said in time what nobody has heard yet: it is looked at
/// again after this, in milliseconds.
const UNRECEIVED_MS: Millis = 1_000;

impl<A: Application, D: Driver> Shard<A, D> {
    /// Removes what maps hold for longer than they may.
    #[inline]
    pub(super) fn remove_expired(&mut self) {
        if self.core.topics.keeps && self.core.topics.logs.has_expired() {
            let (topics, mut outlet) = self.core.home();
            topics.remove_expired(&mut outlet);
        }
    }

    /// In most ticks no step of the wheel has passed.
    #[inline]
    pub(super) fn meet_deadlines(&mut self) {
        let now = self.core.connections.now;
        if self.core.connections.timers.wheel.has_step(now) || !self.due.is_empty() {
            self.meet_due();
        }
    }

    #[inline(never)]
    fn meet_due(&mut self) {
        let mut slots = Vec::new();
        self.core
            .connections
            .timers
            .wheel
            .expire(self.core.connections.now, &mut slots);
        let connections = &self.core.connections.slots;
        self.due
            .extend(slots.into_iter().map(|slot| connections.ticket(slot)));
        for _ in 0..DEADLINES_PER_TICK {
            let Some(ticket) = self.due.pop_front() else {
                return;
            };
            self.meet(ticket);
        }
    }

    fn meet(&mut self, ticket: Ticket) {
        // It waited its turn, and the connection went on in the meantime: the new deadline counts.
        if self.core.connections.timers.wheel.is_scheduled(ticket.slot) {
            return;
        }
        match self.core.connections.slots.phase(ticket) {
            Phase::Free | Phase::Retiring => {}
            Phase::Upgrading => self.check_request(ticket),
            Phase::Authenticating => self.check_admission(ticket),
            Phase::Open => self.check_life(ticket),
            Phase::Closing | Phase::Flushing | Phase::Lingering => {
                // Who heard everything, and the FIN behind it, has missed nothing.
                let flags = self.core.connections.slots.at(ticket.slot).flags;
                if !flags.has(Flags::SHUT) {
                    self.count_deadline(Deadline::Close);
                }
                self.core.retire(ticket);
            }
        }
    }

    /// A drain has begun: a request has less time, no connection is kept for a next one, and who is
    /// late by that ends now. Whoever has just been accepted is still answered: its client cannot
    /// know that the listener is somebody else's by now.
    pub(super) fn hurry_requests(&mut self) {
        /// From its accept to the end of a request that had not come when the drain began.
        const LATE_MS: Millis = 1_000;
        let limits = &mut self.core.connections.limits;
        limits.handshake_ms = limits.handshake_ms.min(LATE_MS);
        (limits.keep_alive_ms, limits.live_kept_max) = (0, 0);
        let limits = *limits;
        let upgrading: Vec<Ticket> = self
            .core
            .connections
            .slots
            .in_phase(Phase::Upgrading)
            .collect();
        for ticket in upgrading {
            let (at, _) = request_due(self.core.connections.slots.at(ticket.slot), &limits);
            if at <= self.core.connections.now {
                self.core.abort_requests(ticket);
            } else {
                self.core.connections.timers.wheel.schedule(ticket.slot, at);
            }
        }
    }

    /// The complete request has its time, and from its first byte on the head has its own.
    fn check_request(&mut self, ticket: Ticket) {
        let connection = self.core.connections.slots.at(ticket.slot);
        let (at, deadline) = request_due(connection, &self.core.connections.limits);
        if at > self.core.connections.now {
            self.core.connections.timers.wheel.schedule(ticket.slot, at);
            return;
        }
        let exchange = connection.exchange();
        let is_awaiting = exchange.is_some_and(|it| matches!(it.stage, ExchangeStage::Awaiting(_)));
        let is_silent = match exchange {
            Some(exchange) => exchange.stage == ExchangeStage::Introduction,
            None => !connection.has_input(),
        };
        if !is_awaiting && self.is_unreceived(ticket) {
            return;
        }
        let Some(deadline) = deadline else {
            // Nobody waits for an answer: a connection kept alive just ends, and was not late with
            // anything.
            return self.core.abort_requests(ticket);
        };
        self.count_deadline(deadline);
        if is_silent {
            // It asked for nothing, and may be one that a browser opened to have it at hand: there
            // is nothing to answer (RFC 9110 §15.5.9). Nor is there where a proxy said nothing.
            self.core.retire(ticket);
        } else if is_awaiting {
            self.core.refuse(ticket, 503, "the session's shard is busy");
        } else {
            self.core.refuse(ticket, 408, deadline.text());
        }
    }

    /// Silence: first a ping, then the end. Any byte from the peer counts as a sign of life. Who is
    /// parked cannot be heard, but can read.
    fn check_life(&mut self, ticket: Ticket) {
        let limits = self.core.connections.limits;
        let connection = self.core.connections.slots.at(ticket.slot);
        let progress = progress_due(connection, &limits);
        if progress.is_some_and(|(at, _)| at <= self.core.connections.now) {
            return self.give_up(ticket, Deadline::Progress);
        }
        if connection.flags.has(Flags::PARKED) {
            let at = self.core.connections.now + limits.heartbeat_ms;
            let at = progress.map_or(at, |(due, _)| at.min(due));
            self.core.connections.timers.wheel.schedule(ticket.slot, at);
            return;
        }
        if connection.flags.has(Flags::STREAM) {
            return self.keep_awake(ticket);
        }
        let unfinished = unfinished_due(connection.cold.as_deref(), &limits);
        let unfinished = unfinished
            .into_iter()
            .chain(progress)
            .min_by_key(|(at, _)| *at);
        if let Some((at, deadline)) = unfinished
            && at <= self.core.connections.now
        {
            return self.give_up(ticket, deadline);
        }
        let last_activity = Millis::from(connection.last_activity) * ACTIVITY_MS;
        let silence = self.core.connections.now.saturating_sub(last_activity);
        if silence >= limits.idle_ms {
            return self.give_up(ticket, Deadline::Idle);
        }
        let pinged = connection.flags.has(Flags::PINGED);
        let at = if self
            .core
            .connections
            .timers
            .heartbeats
            .get_mut(ticket.slot)
            .is_some()
        {
            match self.beat(ticket) {
                Some(at) => at.min(last_activity + limits.idle_ms),
                None => return self.give_up(ticket, Deadline::Pong),
            }
        } else if pinged {
            return self.give_up(ticket, Deadline::Pong);
        } else if silence >= limits.heartbeat_ms {
            self.core
                .connections
                .slots
                .at(ticket.slot)
                .flags
                .set(Flags::PINGED);
            self.core.control(ticket, OpCode::Ping, b"");
            (self.core.connections.now + limits.pong_ms).min(last_activity + limits.idle_ms)
        } else {
            last_activity + limits.heartbeat_ms.min(limits.idle_ms)
        };
        // The ping may have found the outbox full and ended it all.
        if self.core.connections.slots.phase(ticket) == Phase::Open {
            let at = unfinished.map_or(at, |(due, _)| at.min(due));
            self.core.connections.timers.wheel.schedule(ticket.slot, at);
        }
    }

    /// The heartbeat that the application has chosen for a WebSocket: when to look again; `None`:
    /// the client's answer is overdue.
    #[cold]
    fn beat(&mut self, ticket: Ticket) -> Option<Millis> {
        let (now, limits) = (self.core.connections.now, self.core.connections.limits);
        let flags = &mut self.core.connections.slots.at(ticket.slot).flags;
        let Some(beat) = self.core.connections.timers.heartbeats.get_mut(ticket.slot) else {
            return Some(now + limits.heartbeat_ms);
        };
        let Some(message) = beat.message.clone() else {
            return Some(Millis::MAX);
        };
        if flags.has(Flags::PINGED) && beat.asked + message.answer_ms() <= now {
            return None;
        }
        let is_due = beat.sent + message.every_ms() <= now;
        if is_due {
            beat.sent = now;
            beat.count();
            if !flags.has(Flags::PINGED) {
                flags.set(Flags::PINGED);
                beat.asked = now;
            }
        }
        let next = beat.sent + message.every_ms();
        let next = match flags.has(Flags::PINGED) {
            true => next.min(beat.asked + message.answer_ms()),
            false => next,
        };
        if is_due {
            let bytes = message.frame.bytes();
            self.core
                .write_frame(ticket, |out| out.extend_from_slice(bytes));
        }
        Some(next)
    }

    /// An event stream has no pong, and its client may have nothing to say for hours. The comment
    /// keeps the proxies between awake; that nobody is there any more, TCP finds out by it.
    fn keep_awake(&mut self, ticket: Ticket) {
        let mut at = self.core.connections.now + self.core.connections.limits.heartbeat_ms;
        match self.core.connections.timers.heartbeats.get_mut(ticket.slot) {
            None => self.core.control(ticket, OpCode::Ping, b""),
            Some(beat) => {
                if let Some(message) = beat.message.clone() {
                    at = self.core.connections.now + message.every_ms();
                    let bytes = message.frame.bytes();
                    self.core
                        .write_frame(ticket, |out| out.extend_from_slice(bytes));
                }
            }
        }
        if self.core.connections.slots.phase(ticket) == Phase::Open {
            let connection = self.core.connections.slots.at(ticket.slot);
            let progress = progress_due(connection, &self.core.connections.limits);
            let at = progress.map_or(at, |(due, _)| at.min(due));
            self.core.connections.timers.wheel.schedule(ticket.slot, at);
        }
    }

    fn give_up(&mut self, ticket: Ticket, deadline: Deadline) {
        let last_activity = matches!(deadline, Deadline::Message | Deadline::Progress);
        if !last_activity && self.is_unreceived(ticket) {
            return;
        }
        self.count_deadline(deadline);
        let (code, text) = (CloseCode::POLICY, deadline.text());
        let reason = CloseReason::TimedOut(deadline);
        let connection = self.core.connections.slots.at(ticket.slot);
        // Its close frame would stand behind the end of the frame that is late: nobody would read
        // it.
        if connection.cold.as_deref().is_some_and(Cold::is_in_frame) {
            self.core.close_at_once(ticket, code, text, reason);
        } else {
            self.core.close(ticket, code, text, reason);
        }
    }

    /// Whether the receive of a connection that is late waits for a buffer: then it is looked at
    /// again soon.
    fn is_unreceived(&mut self, ticket: Ticket) -> bool {
        let unheard = self.driver.awaits_buffer(ticket);
        if unheard {
            let at = self.core.connections.now + UNRECEIVED_MS;
            self.core.connections.timers.wheel.schedule(ticket.slot, at);
        }
        unheard
    }

    pub(super) fn count_deadline(&self, deadline: Deadline) {
        deadline.counter(&self.core.counters).add(1);
    }

    /// An incomplete head or frame has begun, or goes on behind one that ended: it has its time.
    pub(super) fn watch_input(&mut self, ticket: Ticket) {
        let (now, limits) = (self.core.connections.now, self.core.connections.limits);
        let connection = self.core.connections.slots.at(ticket.slot);
        let limit = match connection.phase {
            Phase::Upgrading => limits.header_ms,
            Phase::Open => limits.frame_ms,
            Phase::Free
            | Phase::Authenticating
            | Phase::Closing
            | Phase::Flushing
            | Phase::Lingering
            | Phase::Retiring => return,
        };
        connection.cold().input_since = now;
        self.core
            .connections
            .timers
            .wheel
            .advance(ticket.slot, now + limit);
    }

    /// A message in fragments has begun: neither more of them nor control frames give it more time.
    pub(super) fn watch_message(&mut self, ticket: Ticket) {
        let now = self.core.connections.now;
        let connection = self.core.connections.slots.at(ticket.slot);
        connection.cold().message_since = now;
        if connection.phase == Phase::Open {
            let at = now + self.core.connections.limits.message_ms;
            self.core.connections.timers.wheel.advance(ticket.slot, at);
        }
    }

    /// It was we who did not listen while it was parked: neither its silence nor what it did not
    /// finish meanwhile counts.
    pub(super) fn forgive(&mut self, ticket: Ticket) {
        let (now, last_activity) = (
            self.core.connections.now,
            self.core.connections.activity_now(),
        );
        let connection = self.core.connections.slots.at(ticket.slot);
        connection.record_activity(last_activity);
        let cold = connection.cold();
        let parked = now - cold.parked_since;
        cold.input_since += parked;
        cold.message_since += parked;
        if let Some((at, _)) = unfinished_due(Some(cold), &self.core.connections.limits) {
            self.core.connections.timers.wheel.advance(ticket.slot, at);
        }
    }
}

/// When a connection that has not upgraded is late, and for what; `None`: it was kept alive for its
/// next request, which did not come.
fn request_due(connection: &Connection, limits: &ConnectionLimits) -> (Millis, Option<Deadline>) {
    let since = Millis::from(connection.last_activity) * ACTIVITY_MS;
    let exchange = connection.exchange();
    if let Some(ExchangeStage::Posting(_) | ExchangeStage::Awaiting(_)) =
        exchange.map(|exchange| exchange.stage)
    {
        return (since + limits.frame_ms, Some(Deadline::Frame));
    }
    let is_kept = exchange.is_some_and(|it| it.answered > 0 && it.stage == ExchangeStage::Head);
    let head = connection.cold.as_ref();
    let begun = head.filter(|cold| !cold.input.is_empty());
    let head_at = begun.map(|cold| cold.input_since + limits.header_ms);
    let handshake_at = since + limits.handshake_ms;
    match (is_kept, head_at) {
        (true, None) => (since + limits.keep_alive_ms, None),
        (true, Some(at)) => (at, Some(Deadline::Header)),
        (false, Some(at)) if at < handshake_at => (at, Some(Deadline::Header)),
        (false, Some(_) | None) => (handshake_at, Some(Deadline::Handshake)),
    }
}

/// When an open connection is late with reading what waits for it.
fn progress_due(connection: &Connection, limits: &ConnectionLimits) -> Option<(Millis, Deadline)> {
    let cold = connection.cold.as_ref();
    let backlog = cold.filter(|_| connection.flags.has(Flags::BACKLOG))?;
    Some((backlog.moved_at + limits.progress_ms, Deadline::Progress))
}

/// When an open connection is late with what it began, and with what.
fn unfinished_due(cold: Option<&Cold>, limits: &ConnectionLimits) -> Option<(Millis, Deadline)> {
    let cold = cold?;
    let frame = cold
        .is_in_frame()
        .then_some((cold.input_since + limits.frame_ms, Deadline::Frame));
    let message = cold
        .is_in_message()
        .then_some((cold.message_since + limits.message_ms, Deadline::Message));
    frame.into_iter().chain(message).min_by_key(|(at, _)| *at)
}
