//! A shard: one thread's connections and its members of every topic, advanced tick by tick.
//!
//! A tick reaps, takes in, orders, collects, delivers, and hands everything over in one turn of the
//! driver. Every part of it is bounded, and whatever does not fit goes on in the next tick.

mod arrival;
mod bulk;
mod calling;
mod crowd;
mod deadlines;
mod deferred;
mod deliver;
mod drained;
mod draining;
mod first_message;
mod frames;
mod idleness;
mod inflate;
mod intake;
#[cfg(any(test, feature = "sim"))]
mod invariants;
mod large;
pub(crate) mod last_words;
mod losing;
mod mail;
mod notices;
mod pace;
mod pausing;
mod pieces;
mod quiet;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod traced;
mod turns;
mod wakes;

pub use crate::connection::admission::ProcessCounts;
pub use crate::connection::token::TokenKey;

use crate::activity::TickPhase;
use crate::application::Application;
use crate::config::Config;
use crate::connection::paged::Paged;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::connection::token::Streams;
use crate::core::Core;
use crate::counters::ShardCounters;
use crate::driver::Wait;
use crate::driver::boundary::{Completion, Driver, Millis, ShortSend};
use crate::driver::listen::ListenSocket;
use crate::egress::tls::sessions::Encrypted;
use crate::events::{self, Event, EventKind, Events};
use crate::message::lane::Mailbox;
use crate::shard::bulk::Bulk;
use crate::shard::crowd::Crowd;
use crate::shard::draining::Draining;
use crate::shard::idleness::Idleness;
use crate::shard::pace::Pace;
use crate::topic::log::journal::RestoredLog;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// One shard. Deterministic: completions and messages in, operations and messages out.
pub struct Shard<A: Application, D: Driver> {
    application: A,
    driver: D,
    core: Core,
    sessions: Paged<Option<A::Session>>,
    completions: Vec<Completion<D::Lease>>,
    short_sends: Vec<ShortSend>,
    /// Receive buffers whose bytes leave in this turn: they go back after it.
    lent: Vec<Rc<D::Lease>>,
    bulk: Bulk,
    /// Connections that are not read until a lane has room.
    parked: VecDeque<Ticket>,
    crowd: Crowd,
    /// The connection whose bytes were read last in this tick, and the count of requests with
    /// which its turn is over.
    reading: Option<Ticket>,
    requested_max: u64,
    /// Deadlines that have come.
    due: VecDeque<Ticket>,
    /// Connections whose application asked to be woken by now.
    woken: VecDeque<Ticket>,
    drain: Option<Draining>,
    idleness: Idleness,
    pace: Pace,
    /// The sockets that it accepts from, for whoever takes its place.
    spare_listeners: Vec<ListenSocket>,
}

/// What a shard is made of, besides its driver and its application.
#[derive(Debug)]
pub struct Setup<'a> {
    /// Checked configuration.
    pub config: &'a Config,
    /// The shard's lanes.
    pub mailbox: Mailbox,
    /// Shared by all shards of the process.
    pub admission: ProcessCounts,
    /// Signs the tokens of event streams; the same for all shards. Without it there are no event
    /// streams, whatever the configuration says.
    pub token_key: Option<TokenKey>,
    /// Where the shard counts.
    pub counters: Arc<ShardCounters>,
}

/// Transmits of one turn that did not leave completely.
#[derive(Clone, Copy, Debug, Default)]
struct Incomplete {
    short: u32,
    failed: u32,
}

impl<A: Application, D: Driver> Shard<A, D> {
    /// A shard without connections.
    pub fn new(setup: Setup<'_>, application: A, driver: D) -> Shard<A, D> {
        let Setup {
            config,
            mailbox,
            admission,
            token_key,
            counters,
        } = setup;
        let meaning = calling::meaning_of::<A>();
        let mut core = Core::new(config, mailbox, admission, counters, meaning);
        core.streams = Streams::of(config, token_key);
        Shard {
            application,
            driver,
            core,
            sessions: Paged::default(),
            completions: Vec::new(),
            short_sends: Vec::new(),
            lent: Vec::new(),
            bulk: Bulk::default(),
            parked: VecDeque::new(),
            crowd: Crowd::default(),
            reading: None,
            requested_max: 0,
            due: VecDeque::new(),
            woken: VecDeque::new(),
            drain: None,
            idleness: Idleness::default(),
            pace: Pace::FULL,
            spare_listeners: Vec::new(),
        }
    }

    /// Takes over logs that a store had, of topics that this shard is home to. Before the first
    /// tick.
    pub fn restore(&mut self, logs: Vec<RestoredLog>) {
        let now = self.driver.now();
        for log in logs {
            self.core.topics.logs.restore(log, now);
        }
    }

    /// One tick: reap, intake, own requests, mail, deliveries, deadlines, then everything out in
    /// one turn that may wait.
    pub fn tick(&mut self) {
        self.core.mail.awake();
        self.core.counters.activity.begin_tick();
        self.core.egress.tls.begin_tick();
        self.rest();
        self.enter(TickPhase::Reading);
        self.begin_turns();
        self.take_in();
        self.enter(TickPhase::ShakingHands);
        self.shake_hands();
        self.enter(TickPhase::Commands);
        self.run_commands();
        self.enter(TickPhase::Unparking);
        self.core.mail.unspill();
        self.unpark();
        let core = &mut self.core;
        let slots = &core.connections.slots;
        core.topics.ask_for_ranges(slots, &mut core.mail);
        self.enter(TickPhase::Ordering);
        self.take_requests();
        self.enter(TickPhase::Delivering);
        self.take_deliveries();
        self.enter(TickPhase::FanningOut);
        self.fan_out();
        self.enter(TickPhase::Deadlines);
        self.meet_deadlines();
        self.wake_some();
        self.core.topics.look_at_kept(self.core.connections.now);
        self.remove_expired();
        self.send_again();
        self.enter(TickPhase::Ending);
        self.drain_some();
        self.report_ended();
        self.enter(TickPhase::Weighing);
        self.gauge();
        self.core.weigh(self.application.held_bytes());
        self.turn_and_wait();
    }

    /// A part of the tick begins.
    #[inline]
    fn enter(&self, phase: TickPhase) {
        self.core.counters.activity.enter(phase);
    }

    /// Subscribes to events of this shard alone, from now on.
    pub fn subscribe(&mut self, kinds: &[EventKind], waiting_max: usize) -> Events {
        let (subscriber, events) = events::subscription(kinds, waiting_max);
        self.core.events.add(subscriber);
        events
    }

    /// The driver (the simulation inspects it).
    pub fn driver(&mut self) -> &mut D {
        &mut self.driver
    }

    /// The application.
    pub fn application(&mut self) -> &mut A {
        &mut self.application
    }

    /// Hands over what is pending and settles it, without waiting.
    fn flush(&mut self) -> Incomplete {
        self.carry_out();
        let incomplete = self.turn(Wait::No);
        self.finish();
        incomplete
    }

    /// The last act of a tick. Waits only when nothing is left that could be done now.
    fn turn_and_wait(&mut self) {
        self.core.mail.unspill();
        if !self.core.connections.pending_work.finish.is_empty() {
            self.flush();
        }
        self.carry_out();
        let wait = self.wait();
        self.turn(wait);
        self.carry_out();
    }

    fn wait(&mut self) -> Wait {
        let core = &mut self.core;
        let late = !self.due.is_empty() || !self.woken.is_empty();
        let busy = !core.topics.fan_outs.is_empty() || core.topics.delayed.has_ready() || late;
        let awaits = |ticket: &Ticket| {
            core.topics.awaited && core.topics.awaits_turn(&core.connections.slots, *ticket)
        };
        let parked =
            !self.parked.is_empty() && !core.mail.is_congested() && !self.parked.iter().all(awaits);
        let next_close = self.drain.as_ref().and_then(Draining::due);
        let draining = next_close.is_some_and(|due| due <= core.connections.now);
        let handshakes = core.egress.tls.has_waiting() || self.crowd.is_waiting();
        let pending_work = !core.connections.pending_work.finish.is_empty()
            || !core.connections.pending_work.kick.is_empty();
        let keeps = core.topics.keeps && core.topics.has_kept_work(&mut core.mail);
        if keeps || busy || parked || draining || handshakes || pending_work {
            core.counters.lane_depth.set(core.mail.depth() as u64);
            return Self::LOOK;
        }
        core.mail.announce_sleep();
        let stuck = core.mail.is_waiting() || !core.mail.can_deliver();
        // Without a place for what commands ask for, they wait for an outcome, which is a message.
        let depth = core.mail.depth();
        core.counters.lane_depth.set(depth as u64);
        let waiting = match core.queries.is_full_outside() {
            true => core.mail.messages(),
            false => depth,
        };
        if waiting > 0 && !stuck {
            return Self::LOOK;
        }
        // A full lane has no bell for its emptying, nor has a congested topic: look again soon. Who
        // empties it is awake.
        let look_soon = stuck || core.topics.awaited;
        let latest = core.connections.now + if look_soon { 1 } else { Self::SLEEP_MS_MAX };
        let sooner = |until: Millis, next: Option<Millis>| next.map_or(until, |at| at.min(until));
        let until = sooner(latest, core.connections.timers.next_deadline());
        let until = sooner(until, core.topics.next_look());
        let until = sooner(until, core.connections.pauses.next_end());
        let until = sooner(until, next_close);
        Wait::Until(sooner(until, self.idleness.next_look()))
    }

    /// A deadline that has passed: take what is there and go on.
    const LOOK: Wait = Wait::Until(0);
    /// Even a shard without timers looks up once in a while.
    const SLEEP_MS_MAX: u64 = 60_000;

    fn turn(&mut self, wait: Wait) -> Incomplete {
        let activity = &self.core.counters.activity;
        let before = activity.word();
        activity.enter(match wait {
            Wait::No => TickPhase::Turning,
            Wait::Until(_) => TickPhase::Waiting,
        });
        self.core.encrypt_transmits();
        self.core.mail.rings(|shard| self.driver.wake(shard));
        self.core
            .counters
            .sends
            .add(self.core.egress.outgoing.sends() as u64);
        self.idleness.moved(self.core.egress.outgoing.len());
        self.driver
            .turn(&self.core.egress.outgoing, wait, &mut self.short_sends);
        let mut short_sends = std::mem::take(&mut self.short_sends);
        let mut incomplete = Incomplete::default();
        for short_send in short_sends.drain(..) {
            *if short_send.failed {
                &mut incomplete.failed
            } else {
                &mut incomplete.short
            } += 1;
            self.core.queue_rest(short_send);
        }
        self.short_sends = short_sends;
        self.core.egress.outgoing.clear();
        if !self.lent.is_empty() {
            self.take_back();
        }
        self.core.counters.activity.return_to(before);
        self.report_ended();
        incomplete
    }

    /// Turns the pending work into operations. In most ticks it is empty.
    #[inline]
    fn carry_out(&mut self) {
        if self.core.connections.pending_work.has_operations() {
            self.carry_out_all();
        }
    }

    #[inline(never)]
    fn carry_out_all(&mut self) {
        let pending_work = &mut self.core.connections.pending_work;
        for ticket in pending_work.arm.drain(..) {
            if let Some(connection) = self.core.connections.slots.get(ticket)
                && connection.phase != Phase::Retiring
                && !connection.flags.has(Flags::RECEIVING)
            {
                connection.flags.set(Flags::RECEIVING);
                self.driver.arm_receive(ticket);
            }
        }
        for ticket in pending_work.park.drain(..) {
            if self
                .core
                .connections
                .slots
                .get(ticket)
                .is_some_and(|connection| connection.phase != Phase::Retiring)
            {
                self.driver.stop_receive(ticket);
            }
        }
        self.send_outboxes();
        for ticket in self.core.connections.pending_work.retire.drain(..) {
            self.driver.close(ticket);
        }
    }

    /// Starts the sends that may be started. Those for which the tick has encrypted enough keep
    /// their places for the next.
    fn send_outboxes(&mut self) {
        if self.core.connections.pending_work.kick.is_empty() {
            return;
        }
        let mut segments = Vec::new();
        let mut kick = std::mem::take(&mut self.core.connections.pending_work.kick);
        self.core.egress.tls.begin_pass();
        kick.retain(|ticket| self.send_outbox(*ticket, &mut segments) == Encrypted::Later);
        debug_assert!(
            self.core.connections.pending_work.kick.is_empty(),
            "sends kick nobody"
        );
        self.core.connections.pending_work.kick = kick;
    }

    fn send_outbox(&mut self, ticket: Ticket, segments: &mut Vec<Bytes>) -> Encrypted {
        let Some(connection) = self.core.connections.slots.get(ticket) else {
            return Encrypted::Done;
        };
        if connection.flags.has(Flags::TLS) && self.core.encrypt_outbox(ticket) == Encrypted::Later
        {
            return Encrypted::Later;
        }
        let connection = self.core.connections.slots.at(ticket.slot);
        let started = connection
            .cold
            .as_mut()
            .is_some_and(|cold| cold.outbox.start_send(segments));
        if started {
            self.core.counters.sends.add(1);
            self.driver.send_tracked(ticket, segments);
            segments.clear();
        }
        Encrypted::Done
    }

    /// After a turn: connections that have nothing left to flush take their last step.
    fn finish(&mut self) {
        for ticket in std::mem::take(&mut self.core.connections.pending_work.finish) {
            let Some(connection) = self.core.connections.slots.get(ticket) else {
                continue;
            };
            if connection.flags.has(Flags::BACKLOG)
                || connection.flags.has(Flags::TLS) && self.sends_close_notify(ticket)
            {
                continue;
            }
            let Some(connection) = self.core.connections.slots.get(ticket) else {
                continue;
            };
            match connection.phase {
                Phase::Flushing => self.core.retire(ticket),
                Phase::Lingering if !connection.flags.has(Flags::RECEIVING) => {
                    self.core.retire(ticket)
                }
                Phase::Lingering if !connection.flags.has(Flags::SHUT) => {
                    connection.flags.set(Flags::SHUT);
                    self.driver.shut_down(ticket);
                    let at = self.core.connections.now + Phase::LINGER_MS;
                    self.core.connections.timers.wheel.advance(ticket.slot, at);
                }
                Phase::Lingering
                | Phase::Free
                | Phase::Upgrading
                | Phase::Authenticating
                | Phase::Open
                | Phase::Closing
                | Phase::Retiring => {}
            }
        }
    }

    fn gauge(&mut self) {
        if self.is_drained() && self.core.counters.drained.get() == 0 {
            self.core.counters.drained.set(1);
            let shard = self.core.mail.shard();
            let drained = || Event::Drained { shard };
            self.core.events.emit(EventKind::Drained, drained);
        }
        let counters = &self.core.counters;
        let now = self.core.connections.now;
        self.core.topics.busiest.roll(now, &counters.busiest);
        counters.rooms.set(self.core.topics.local.rooms() as u64);
        counters.users.set(self.core.topics.local.users() as u64);
        counters
            .admissions_waiting
            .set(self.core.connections.admissions.deferred() as u64);
        if self.core.topics.keeps {
            self.core.topics.gauge_kept(counters);
        }
        counters
            .rooms_home
            .set(self.core.topics.homes.rooms() as u64);
        counters
            .users_home
            .set(self.core.topics.homes.users() as u64);
    }
}

impl<A: Application, D: Driver> fmt::Debug for Shard<A, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}
