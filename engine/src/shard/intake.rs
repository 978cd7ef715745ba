//! Completions to bytes, and whose they are: frames become messages in [`super::frames`].

use super::Shard;
use crate::application::Application;
use crate::connection::input::Need;
use crate::connection::peer::Peer;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::driver::boundary::{Completion, Driver, ReceiveEnd};
use crate::egress::outgoing::Outgoing;
use crate::types::ticket::Ticket;
use shardcast_protocol::reader::Assembly;
use shardcast_protocol::unfinished;

/// Receive completions between two turns: replies leave and buffers come back while they are warm.
const RECEIVES_PER_TURN: usize = 64;
/// Requests to homes among them from which on that turn is left out: who publishes to a room of its
/// own hears the answer and the message in one send, which is cheaper than a warm answer.
const REQUESTS_OF_TURN: u64 = RECEIVES_PER_TURN as u64 / 2;
/// Replies that may stand in the scratch before they leave, in bytes.
pub(super) const SCRATCH_BYTES_MAX: usize = Outgoing::SCRATCH_BYTES_MAX;
/// How often one connection may fill the scratch before others have their turn: what small requests
/// with large answers may take of a tick.
const FLUSHES_PER_READ: u32 = 2;
/// Requests that one connection may post to homes, this shard's included, before others have their
/// turn: once as its bytes come, and once more where parked connections are read.
const REQUESTS_PER_READ: u64 = 256;
/// What parked connections are answered in one tick, in bytes: as much as eight of them may take.
/// The others go on in the next tick.
const PARKED_BYTES_PER_TICK: u64 = 8 * FLUSHES_PER_READ as u64 * SCRATCH_BYTES_MAX as u64;

impl<A: Application, D: Driver> Shard<A, D> {
    pub(super) fn take_in(&mut self) {
        let mut completions = std::mem::take(&mut self.completions);
        self.driver.reap(&mut completions);
        self.core.connections.now = self.driver.now();
        self.idleness.moved(completions.len());
        self.reading = None;
        let (mut received, mut requested) = (0, self.core.mail.requested());
        for completion in completions.drain(..) {
            match completion {
                Completion::Received { ticket, lease } => {
                    self.received(ticket, lease);
                    received += 1;
                    let mut is_due = false;
                    if received % RECEIVES_PER_TURN == 0 {
                        let before = std::mem::replace(&mut requested, self.core.mail.requested());
                        is_due = requested - before < REQUESTS_OF_TURN;
                    }
                    if is_due || self.core.egress.outgoing.pending_bytes() > SCRATCH_BYTES_MAX {
                        self.flush();
                    }
                }
                Completion::Accepted {
                    slot,
                    listener,
                    peer,
                } => self.accepted(slot, listener, peer),
                Completion::ReceiveEnded { ticket, why } => self.receive_over(ticket, why),
                Completion::Sent {
                    ticket,
                    count,
                    failed,
                } => self.core.sent(ticket, count, failed),
                Completion::Closed { ticket } => self.core.release(ticket),
            }
            self.report_ended();
        }
        self.completions = completions;
    }

    fn accepted(&mut self, slot: u32, listener: u8, peer: Peer) {
        let last_activity = self.core.connections.activity_now();
        let ticket = self
            .core
            .connections
            .slots
            .accept(slot, listener, peer, last_activity);
        let now = self.core.connections.now;
        self.core.connections.arrivals.begin(slot, now);
        let connection = self.core.address(ticket);
        tracing::trace!(%connection, %peer, listener, "accepted");
        if self.core.egress.tls.covers(listener) {
            self.core.connections.slots.at(slot).flags.set(Flags::TLS);
        }
        self.core.counters.accepts.add(1);
        self.core.counters.connections.add(1);
        self.core.connections.timers.wheel.schedule(
            slot,
            self.core.connections.now + self.core.connections.limits.handshake_ms,
        );
        self.core.connections.pending_work.arm.push(ticket);
        self.arrive(ticket);
    }

    fn received(&mut self, ticket: Ticket, mut lease: D::Lease) {
        let bytes = lease.as_mut();
        self.core.counters.activity.about(ticket.slot);
        self.core.counters.bytes_in.add(bytes.len() as u64);
        let now = self.core.connections.activity_now();
        if let Some(connection) = self.core.connections.slots.get(ticket) {
            let reads = match connection.phase {
                Phase::Open => {
                    connection.record_activity(now);
                    true
                }
                Phase::Upgrading | Phase::Authenticating | Phase::Closing => true,
                Phase::Free | Phase::Flushing | Phase::Lingering | Phase::Retiring => false,
            };
            if reads && connection.flags.has(Flags::UNREADABLE) {
                self.received_aside(ticket, bytes);
            } else if reads && bytes.len() >= Assembly::LARGE_BYTES {
                return self.received_large(ticket, lease);
            } else if reads {
                self.take_bytes(ticket, bytes);
            }
        }
        self.driver.give_back(lease);
    }

    /// Bytes that are no frames yet, or never will be.
    #[inline(never)]
    fn received_aside(&mut self, ticket: Ticket, bytes: &mut [u8]) {
        let flags = self.core.connections.slots.at(ticket.slot).flags;
        if flags.has(Flags::TLS) && self.awaits_introduction(ticket) {
            self.introduction_before_tls(ticket, bytes);
        } else if flags.has(Flags::TLS) {
            self.received_records(ticket, bytes);
        }
        // Nothing more is read from the peer of an event stream.
    }

    /// Reads what arrived on a live connection, in plain: first what was begun before, then
    /// everything else where it is.
    #[inline(always)] // Once per receive.
    pub(super) fn take_bytes(&mut self, ticket: Ticket, bytes: &mut [u8]) {
        let taken = match self.core.connections.slots.at(ticket.slot).cold {
            Some(_) => self.complete(ticket, bytes),
            None => 0,
        };
        let bytes = &mut bytes[taken..];
        if !bytes.is_empty() {
            let (used, need) = self.consume(ticket, bytes);
            if used < bytes.len() {
                self.stash(ticket, &bytes[used..], need);
            }
        }
        // A slot is not used again before the driver says that it is closed, so this is still the
        // same connection's.
        if self.core.connections.slots.at(ticket.slot).cold.is_some() {
            self.check_unfinished(ticket);
            self.core.account_input(ticket);
        }
    }

    /// Text in a frame that is not complete yet is refused as soon as it is none (RFC 6455 §8.1),
    /// not when the rest of the frame comes.
    #[inline(never)]
    fn check_unfinished(&mut self, ticket: Ticket) {
        let connection = self.core.connections.slots.get(ticket);
        let connection = connection.filter(|connection| {
            connection.phase == Phase::Open && !connection.flags.has(Flags::PARKED)
        });
        let Some(cold) = connection.and_then(|connection| connection.cold.as_mut()) else {
            return;
        };
        let assembly = cold.assembly.as_deref();
        let Some((bytes, checked)) = cold.input.unfinished() else {
            return;
        };
        if let Err(error) = unfinished::check(bytes, checked, assembly) {
            self.core.close_for_error(ticket, error);
        }
    }

    /// Adds bytes to the input, no more than another try needs, and tries. Returns how many;
    /// the input is empty if there are more.
    fn complete(&mut self, ticket: Ticket, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let Some(connection) = self.core.connections.slots.get(ticket) else {
                return at;
            };
            let parked = connection.flags.has(Flags::PARKED);
            let input = connection.cold.as_mut().map(|cold| &mut cold.input);
            let Some(input) = input.filter(|input| !input.is_empty()) else {
                return at;
            };
            let wanted = input.wants(bytes.len() - at);
            input.push(&bytes[at..at + wanted]);
            at += wanted;
            if !parked && input.is_ripe() {
                self.read_input(ticket);
            }
        }
        at
    }

    /// Reads on in the input, now that there is more of it or a lane has room.
    fn read_input(&mut self, ticket: Ticket) {
        let connection = self.core.connections.slots.get(ticket);
        let Some(cold) = connection.and_then(|connection| connection.cold.as_mut()) else {
            return;
        };
        let mut input = std::mem::take(&mut cold.input);
        let (since, unfinished) = (cold.input_since, input.unfinished().is_some());
        let (used, need) = self.consume(ticket, input.bytes());
        if unfinished {
            self.keep_time(ticket, since);
        }
        if used == input.len() {
            self.core.connections.spare.put(input);
            return;
        }
        input.read(used, need);
        let cold = self.core.connections.slots.at(ticket.slot).cold();
        // What was posted to an event stream meanwhile comes behind.
        let mut posted = std::mem::replace(&mut cold.input, input);
        if !posted.is_empty() {
            cold.input.push(posted.bytes());
        }
        if used > 0 {
            self.watch_input(ticket);
        }
    }

    /// Keeps the beginning of an incomplete head or frame, or what a parked connection has not been
    /// asked yet.
    #[inline(never)]
    fn stash(&mut self, ticket: Ticket, rest: &[u8], need: Need) {
        let input = self.core.connections.spare.take(rest, need);
        self.core.connections.slots.at(ticket.slot).cold().input = input;
        self.watch_input(ticket);
    }

    /// What was read of a connection just now counts, too.
    #[inline(always)] // Once per receive.
    pub(super) fn begin_reading(&mut self, ticket: Ticket) {
        if self.reading != Some(ticket) {
            self.reading = Some(ticket);
            self.requested_max = self.core.mail.requested() + REQUESTS_PER_READ;
        }
    }

    /// Reads as many requests and frames as are complete. Returns the bytes that are done with, and
    /// what the rest needs, if there is any.
    fn consume(&mut self, ticket: Ticket, bytes: &mut [u8]) -> (usize, Need) {
        let (mut at, mut flushes) = (0, 0);
        self.begin_reading(ticket);
        while at < bytes.len() {
            let used = match self.core.connections.slots.phase(ticket) {
                Phase::Upgrading => self.request(ticket, &bytes[at..]),
                Phase::Authenticating => self.take_early(ticket, bytes.len() - at),
                Phase::Open if self.core.connections.is_paused(ticket) => {
                    self.hold(ticket);
                    Err(Need::Any)
                }
                Phase::Open
                    if flushes >= FLUSHES_PER_READ
                        || self.core.mail.requested() >= self.requested_max
                        || self.is_stuck(ticket)
                        || self
                            .core
                            .topics
                            .must_await_topic(&self.core.connections.slots, ticket) =>
                {
                    self.park(ticket);
                    Err(Need::Any)
                }
                Phase::Open | Phase::Closing => self.frame(ticket, &mut bytes[at..]),
                Phase::Free | Phase::Flushing | Phase::Lingering | Phase::Retiring => {
                    return (bytes.len(), Need::Any);
                }
            };
            match used {
                Ok(used) => at += used,
                Err(need) => return (at, need),
            }
            self.report_ended();
            // Small requests may have large answers: a socket that is full is to be known before
            // there are more of them.
            if self.core.egress.outgoing.pending_bytes() > SCRATCH_BYTES_MAX {
                self.flush();
                flushes += 1;
            }
        }
        (at, Need::Any)
    }

    /// A lane is full, and taking the shard's own messages does not make room.
    #[inline]
    fn is_stuck(&mut self, ticket: Ticket) -> bool {
        self.core.mail.is_congested() && self.stays_stuck(ticket)
    }

    #[cold]
    fn stays_stuck(&mut self, ticket: Ticket) -> bool {
        self.take_requests();
        self.take_deliveries();
        self.core.mail.is_congested() && self.core.connections.slots.phase(ticket) == Phase::Open
    }

    /// The connection is not read further in this tick, nor as long as a lane is full or the topic
    /// congested that it asked for more of.
    pub(super) fn park(&mut self, ticket: Ticket) {
        let connection = self.core.connections.slots.at(ticket.slot);
        if connection.flags.has(Flags::PARKED) {
            return;
        }
        self.core.counters.parked.add(1);
        connection.flags.set(Flags::PARKED);
        connection.cold().parked_since = self.core.connections.now;
        self.core.connections.pending_work.park.push(ticket);
        self.parked.push_back(ticket);
    }

    /// Reads on where parked connections stopped, while there is room.
    #[inline]
    pub(super) fn unpark(&mut self) {
        if !self.core.connections.pauses.is_empty() {
            self.end_pauses();
        }
        if self.parked.is_empty() {
            self.core.topics.awaited = false;
        } else {
            self.unpark_all();
        }
    }

    #[inline(never)]
    fn unpark_all(&mut self) {
        let bytes_max = self.core.counters.bytes_out.get() + PARKED_BYTES_PER_TICK;
        let topics_awaited = std::mem::take(&mut self.core.topics.awaited);
        for _ in 0..self.parked.len() {
            if self.core.mail.is_congested() || self.core.counters.bytes_out.get() > bytes_max {
                self.core.topics.awaited |= topics_awaited;
                return;
            }
            let Some(ticket) = self.parked.pop_front() else {
                return;
            };
            if topics_awaited
                && self
                    .core
                    .topics
                    .awaits_turn(&self.core.connections.slots, ticket)
            {
                self.core.topics.awaited = true;
                self.parked.push_back(ticket);
                continue;
            }
            self.read_again(ticket);
        }
    }

    /// Reads on where a connection stopped: first what had come by then, then what comes.
    pub(super) fn read_again(&mut self, ticket: Ticket) {
        let Some(connection) = self.core.connections.slots.get(ticket) else {
            return;
        };
        connection.flags.clear(Flags::PARKED);
        self.reading = None;
        if connection.phase == Phase::Open {
            self.core.connections.slots.take_turn(ticket);
            self.forgive(ticket);
        }
        self.read_input(ticket);
        self.check_unfinished(ticket);
        self.core.account_input(ticket);
        self.report_ended();
        let Some(connection) = self.core.connections.slots.get(ticket) else {
            return;
        };
        if connection.flags.has(Flags::PARKED) || connection.flags.has(Flags::RECEIVING) {
            return;
        }
        if connection.flags.has(Flags::ENDED) {
            self.stream_over(ticket);
        } else {
            self.core.connections.pending_work.arm.push(ticket);
        }
    }

    pub(super) fn receive_ended(&mut self, ticket: Ticket, why: ReceiveEnd) {
        let Some(connection) = self.core.connections.slots.get(ticket) else {
            return;
        };
        connection.flags.clear(Flags::RECEIVING);
        match why {
            ReceiveEnd::Stopped if connection.flags.has(Flags::PARKED) => {}
            ReceiveEnd::Stopped => self.core.connections.pending_work.arm.push(ticket),
            ReceiveEnd::Failed => self.core.retire(ticket),
            ReceiveEnd::Eof if connection.flags.has(Flags::PARKED) => {
                connection.flags.set(Flags::ENDED)
            }
            ReceiveEnd::Eof => self.stream_over(ticket),
        }
    }

    /// The peer sends no more. What is still pending for it after a complete close handshake, or
    /// after a refusal, leaves first.
    pub(super) fn stream_over(&mut self, ticket: Ticket) {
        match self.core.connections.slots.phase(ticket) {
            Phase::Upgrading => self.core.abort_requests(ticket),
            Phase::Authenticating | Phase::Open | Phase::Closing => self.core.retire(ticket),
            Phase::Flushing | Phase::Lingering => {
                self.core.connections.pending_work.finish.push(ticket)
            }
            Phase::Free | Phase::Retiring => {}
        }
    }
}
