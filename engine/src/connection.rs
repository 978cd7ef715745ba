//! The connections of one shard: their slots, their times, what they may take, and what is still
//! to be done about them. Each part below owns one thing, by slot or in one connection, and knows
//! neither the shard nor the topics.
//!
//! Invariant: a connection changes its phase in [`Connections::step`] alone.

pub(crate) mod admission;
pub(crate) mod admissions;
pub(crate) mod arrival_times;
pub(crate) mod budget;
pub(crate) mod exchange;
pub(crate) mod heartbeat;
pub(crate) mod input;
pub(crate) mod limits;
pub(crate) mod membership;
pub(crate) mod outbox;
pub(crate) mod paged;
pub(crate) mod pauses;
pub(crate) mod peer;
pub(crate) mod pending;
pub(crate) mod phase;
pub(crate) mod pressure;
pub(crate) mod slot;
pub(crate) mod timers;
pub(crate) mod token;
pub(crate) mod wheel;

use crate::config::Config;
use crate::connection::admission::ProcessCounts;
use crate::connection::admissions::Admissions;
use crate::connection::arrival_times::ArrivalTimes;
use crate::connection::budget::{InputBudget, OverBudget};
use crate::connection::input::SpareBuffers;
use crate::connection::limits::ConnectionLimits;
use crate::connection::pauses::Pauses;
use crate::connection::pending::PendingWork;
use crate::connection::phase::{Phase, Step};
use crate::connection::pressure::MemoryPressure;
use crate::connection::slot::{ACTIVITY_MS, Slots};
use crate::connection::timers::Timers;
use crate::counters::ShardCounters;
use crate::driver::boundary::Millis;
use crate::types::encoding::EncodingId;
use crate::types::ticket::Ticket;
use shardcast_protocol::http::Persistence;
use shardcast_protocol::pieces::Pieces;
use std::sync::Arc;

/// The connections of one shard.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) limits: ConnectionLimits,
    /// The time; the same within a tick.
    pub(crate) now: Millis,
    pub(crate) slots: Slots,
    pub(crate) timers: Timers,
    pub(crate) pauses: Pauses,
    pub(crate) admissions: Admissions,
    /// Of unfinished input.
    pub(crate) budget: InputBudget,
    pub(crate) spare: SpareBuffers,
    pub(crate) pending_work: PendingWork,
    /// Since when those are waited for that have not opened yet, by slot.
    pub(crate) arrivals: ArrivalTimes,
    /// The rooms of the connection of whose end the application is being called; empty at all other
    /// times.
    pub(crate) left: Vec<Arc<str>>,
    /// Bytes that the shard has reported to hold.
    held_bytes: u64,
    counters: Arc<ShardCounters>,
}

/// From which phase into which a connection has stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stepped {
    pub(crate) before: Phase,
    pub(crate) now: Phase,
}

impl Connections {
    /// What a connection takes that is open and idle, besides the application's session: hot slot,
    /// peer address (6 over IPv4), memberships, deadline, driver's slot, one place among the
    /// subscribers of a topic (with the slack of a growing list).
    pub(crate) const BYTES_EACH: u64 = 24 + 22 + 16 + 12 + 4 + 16;

    pub(crate) fn new(
        config: &Config,
        process: ProcessCounts,
        counters: Arc<ShardCounters>,
    ) -> Connections {
        Connections {
            limits: ConnectionLimits::of(config),
            now: 0,
            slots: Slots::default(),
            timers: Timers::new(),
            pauses: Pauses::default(),
            admissions: Admissions::new(process, config.deferred_max / config.shards),
            budget: InputBudget::of(config),
            spare: SpareBuffers::default(),
            pending_work: PendingWork::default(),
            arrivals: ArrivalTimes::default(),
            left: Vec::new(),
            held_bytes: 0,
            counters,
        }
    }

    /// Whether the application does not want the connection to be read yet.
    #[inline]
    pub(crate) fn is_paused(&self, ticket: Ticket) -> bool {
        !self.pauses.is_empty() && self.pauses.holds(ticket, self.now)
    }

    /// The time in the unit of [`crate::connection::slot::Connection::last_activity`].
    pub(crate) fn activity_now(&self) -> u32 {
        (self.now / ACTIVITY_MS) as u32
    }

    /// What becomes of a connection that the client would keep: none waits for a next request where
    /// a shard's share of all connections is taken, or the `room` that its driver has, so that
    /// those who come have a place.
    pub(crate) fn persistence(&self, wanted: Persistence, room: usize) -> Persistence {
        if self.slots.live() > self.limits.live_kept_max.min(room) {
            return Persistence::Close;
        }
        wanted
    }

    /// Gives an open connection another encoding, unless it is a member somewhere.
    pub(crate) fn set_encoding(&mut self, ticket: Ticket, encoding: EncodingId) -> bool {
        let is_open = self.slots.phase(ticket) == Phase::Open;
        let is_member = !self.slots.memberships_ref(ticket.slot).is_empty();
        if !is_open || is_member {
            return false;
        }
        let encodings = &self.admissions.process.encodings;
        encodings.add(encoding);
        encodings.remove(self.slots.encoding(ticket.slot));
        self.slots.at(ticket.slot).flags.set_encoding(encoding);
        true
    }

    /// Takes a step if the phase allows it, with what follows for the connection alone. What it was
    /// to others is the caller's to clean up, on the step out of the open state.
    pub(crate) fn step(&mut self, ticket: Ticket, step: Step) -> Option<Stepped> {
        let connection = self.slots.get(ticket)?;
        let now = connection.phase.after(step)?;
        let before = std::mem::replace(&mut connection.phase, now);
        let exchange = connection.exchange();
        let is_undecided = exchange.is_some_and(|exchange| exchange.deferred.is_some());
        self.admissions.leave_phase(before);
        // A decision takes what was deferred out of there before it ends the wait.
        if before == Phase::Authenticating && is_undecided {
            self.pending_work.abandoned.push(ticket);
        }
        if before == Phase::Open {
            let encodings = &self.admissions.process.encodings;
            encodings.remove(self.slots.encoding(ticket.slot));
        }
        if matches!(now, Phase::Flushing | Phase::Lingering) {
            self.drop_input(ticket);
        }
        if matches!(now, Phase::Closing | Phase::Flushing | Phase::Lingering) {
            let at = self.now + self.limits.close_ms;
            self.timers.wheel.schedule(ticket.slot, at);
        }
        Some(Stepped { before, now })
    }

    /// Counts what the connection's unfinished messages take by now, and gives its cold part back
    /// when nothing is left in it. Memory is counted, not bytes that arrived, and right after the
    /// connection was read: so one connection's growth exceeds the budget for the length of one
    /// call at most.
    ///
    /// # Errors
    /// It asks for more than the shard's budget has left, and is to be turned away; the others keep
    /// what they hold.
    pub(crate) fn account_input(&mut self, ticket: Ticket) -> Result<(), OverBudget> {
        let Some(connection) = self.slots.get(ticket) else {
            return Ok(());
        };
        let Some(cold) = connection.cold.as_mut() else {
            return Ok(());
        };
        let now = cold.buffered_bytes();
        let counted = self.budget.resize_input(&mut cold.counted_bytes, now);
        self.counters.reassembly_bytes.set(self.budget.used());
        connection.release_cold(&mut self.spare);
        counted
    }

    /// Nothing more is read from the connection: its input, and what is unfinished, goes.
    fn drop_input(&mut self, ticket: Ticket) {
        let connection = self.slots.at(ticket.slot);
        if let Some(cold) = connection.cold.as_mut() {
            self.spare.put(std::mem::take(&mut cold.input));
            cold.assembly = None;
            cold.pieces = Pieces::default();
            let counted = self.account_input(ticket);
            debug_assert_eq!(counted, Ok(()), "it holds less than before");
        }
    }

    /// The shard holds so many bytes. A change that is small is not reported.
    pub(crate) fn report_held(&mut self, held_bytes: u64) {
        if self.held_bytes.abs_diff(held_bytes) >= MemoryPressure::STEP_BYTES {
            let memory = &self.admissions.process.memory;
            memory.report(self.held_bytes, held_bytes);
            self.held_bytes = held_bytes;
            self.counters.held_bytes.set(held_bytes);
        }
    }

    /// The connection has stepped to its end: what it held of this shard goes, besides
    /// `record_bytes` of its TLS session.
    pub(crate) fn let_go(&mut self, ticket: Ticket, record_bytes: usize) {
        self.timers.cancel(ticket);
        let mut held_bytes = record_bytes;
        let connection = self.slots.at(ticket.slot);
        if let Some(cold) = connection.cold.take() {
            self.counters.outbox_bytes.sub(cold.outbox.bytes() as u64);
            held_bytes += cold.counted_bytes;
        }
        self.budget.release(held_bytes);
        self.counters.reassembly_bytes.set(self.budget.used());
        if connection.flags.has(slot::Flags::BACKLOG) {
            connection.flags.clear(slot::Flags::BACKLOG);
            self.counters.outboxes.sub(1);
        }
        self.pending_work.retire.push(ticket);
    }

    /// The driver closed the socket: the slot is free again.
    pub(crate) fn release(&mut self, ticket: Ticket) {
        self.admissions.leave(self.slots.ref_at(ticket.slot).flags);
        self.arrivals.forget(ticket.slot);
        self.slots.release(ticket.slot);
        self.counters.connections.sub(1);
    }

    /// The shard ends with connections that are left: what they count for in the process, they
    /// count for no more.
    pub(crate) fn give_back(&mut self) {
        let process = &self.admissions.process;
        for ticket in self.slots.in_phase(Phase::Open) {
            process.encodings.remove(self.slots.encoding(ticket.slot));
        }
        process.memory.report(self.held_bytes, 0);
        self.held_bytes = 0;
        self.admissions.give_back();
    }

    /// Gives a page of slots back if none of them is in use; false if one is.
    pub(crate) fn release_page(&mut self, page: usize) -> bool {
        let released = self.slots.release_page(page);
        if released {
            self.timers.drop_page(page);
        }
        released
    }

    /// Keeps no more than what is in use, between two ticks.
    pub(crate) fn release_memory(&mut self) {
        self.spare.release_memory();
        self.arrivals.release_memory();
        self.timers.release_memory();
        self.pending_work.release_memory();
    }
}
