//! The end of a shard that has panicked: what its clients and its application still hear, what it
//! leaves to the shard that takes its place, and what it gives back to the process.
//!
//! Its state is not trusted. Its lanes are taken from it first, so nothing that it does from here
//! on reaches another shard; each step is confined, so a step that panics costs what it is about;
//! and the time is bounded. What cannot be said is left unsaid: a client whose close frame cannot
//! leave finds its socket closed. Called by `run/supervision.rs`.

use super::Shard;
use super::idleness::QuietStage;
use super::intake::SCRATCH_BYTES_MAX;
use crate::activity::TickPhase;
use crate::application::Application;
use crate::confine::{Panicked, confine};
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::driver::Wait;
use crate::driver::boundary::{Completion, Driver, Millis, StopAccept};
use crate::driver::listen::ListenSocket;
use crate::events::{Event, EventKind, EventSink};
use crate::message::lane::{Mailbox, Reunion};
use crate::query::gather::Queries;
use crate::types::close_reason::CloseReason;
use crate::types::ticket::Ticket;
use shardcast_protocol::close::CloseCode;

/// How long clients have to take their last frame and to close, in milliseconds.
const FAREWELL_MS: Millis = 250;
/// Between two looks at them, in milliseconds.
const LOOK_MS: Millis = 10;
/// Turns of the driver for that, however quick they are.
const TURNS_MAX: usize = 10_000;
/// Connections about which a step may panic. After so many, nothing more is said.
const PANICS_MAX: usize = 64;
/// What clients are told.
const TEXT: &str = "a part of the server failed";

/// What a shard leaves behind.
#[derive(Debug)]
pub struct Legacy {
    pub(crate) mailbox: Mailbox,
    pub(crate) reunion: Reunion,
    /// The sockets that it accepted from; none where it had given them up.
    pub(crate) listeners: Vec<ListenSocket>,
    pub(crate) inheritance: Inheritance,
}

/// What the shard goes on with that takes its place.
#[derive(Debug)]
pub struct Inheritance {
    events: EventSink,
    /// With numbers that no answer under way has.
    queries: Queries,
    /// Epochs of logs that were given out.
    epochs_made: u64,
    /// By page of slots: no generation up to there is given out again.
    generations: Vec<u32>,
    was_draining: bool,
}

impl<A: Application, D: Driver> Shard<A, D> {
    /// The sockets that whoever takes the shard's place would accept from.
    pub fn keep_listeners(&mut self, listeners: Vec<ListenSocket>) {
        self.spare_listeners = listeners;
    }

    /// Goes on where a shard has ended. Before the first tick, with that one's mailbox.
    pub fn inherit(&mut self, inheritance: Inheritance) {
        let Inheritance {
            events,
            queries,
            epochs_made,
            generations,
            was_draining,
        } = inheritance;
        self.core.topics.logs.made = epochs_made;
        self.core.events = events;
        self.core.queries = queries;
        self.core.connections.slots.begin_above(generations);
        if was_draining {
            self.start_drain(StopAccept::Release);
        }
    }

    /// The shard has panicked in a tick: it ends.
    ///
    /// # Errors
    /// Not even its sockets could be given up: the process cannot go on.
    pub fn end(mut self) -> Result<Legacy, Panicked> {
        let phase = self.core.counters.activity.phase();
        self.core.counters.activity.enter(TickPhase::Restarting);
        let nowhere = self.core.mail.leading_nowhere();
        let mut mailbox = std::mem::replace(&mut self.core.mail, nowhere);
        let reunion = mailbox.begin_anew();
        // What a turn hands over is borrowed until it has ended: where it was cut off, the memory
        // stays where it is for as long as the driver lives.
        let outgoing = std::mem::take(&mut self.core.egress.outgoing);
        confine(|| self.driver.stop_accepting(StopAccept::HandOver))?;
        // Such a turn may have sent a part of a frame, too, behind which nothing may follow.
        if !matches!(phase, TickPhase::Turning | TickPhase::Waiting) {
            self.say_last_words();
            self.see_off();
        }
        let _panicked = confine(|| self.end_topics());
        let _panicked = confine(|| self.end_sessions());
        let _panicked = confine(|| self.give_back());
        let core = &mut self.core;
        let given_up = core.queries.give_up();
        let _panicked = confine(move || drop(given_up));
        let inheritance = Inheritance {
            events: std::mem::take(&mut core.events),
            queries: std::mem::take(&mut core.queries),
            epochs_made: core.topics.logs.made,
            generations: core.connections.slots.highest_generations(),
            was_draining: self.drain.is_some(),
        };
        core.counters.clear_gauges();
        let listeners = std::mem::take(&mut self.spare_listeners);
        let _panicked = confine(move || drop(self));
        let _panicked = confine(move || drop(outgoing));
        Ok(Legacy {
            mailbox,
            reunion,
            listeners,
            inheritance,
        })
    }

    /// Every client that can still be told is told to return.
    fn say_last_words(&mut self) {
        let slots = &self.core.connections.slots;
        let open = slots.in_phase(Phase::Open);
        let waiting = slots.in_phase(Phase::Authenticating);
        let tickets: Vec<Ticket> = open.chain(waiting).collect();
        let mut panics = 0;
        for ticket in tickets {
            panics += usize::from(confine(|| self.say_last_word(ticket)).is_err());
            if panics > PANICS_MAX {
                return;
            }
        }
    }

    fn say_last_word(&mut self, ticket: Ticket) {
        let core = &mut self.core;
        match core.connections.slots.phase(ticket) {
            Phase::Open => {
                let (code, reason) = (CloseCode::INTERNAL, failed());
                core.close_at_once(ticket, code, TEXT, reason);
            }
            Phase::Authenticating => core.refuse(ticket, 503, TEXT),
            Phase::Free
            | Phase::Upgrading
            | Phase::Closing
            | Phase::Flushing
            | Phase::Lingering
            | Phase::Retiring => {}
        }
        self.report_ended();
        if self.core.egress.outgoing.pending_bytes() > SCRATCH_BYTES_MAX {
            self.flush();
        }
    }

    /// What was said leaves, for as long as there is time and nothing panics.
    fn see_off(&mut self) {
        let until = self.driver.now() + FAREWELL_MS;
        for _ in 0..TURNS_MAX {
            let seen_off = confine(|| self.last_turn());
            let is_left = self.core.connections.slots.live() > 0;
            if seen_off.is_err() || !is_left || self.driver.now() >= until {
                return;
            }
        }
    }

    /// A turn in which nobody is read.
    fn last_turn(&mut self) {
        self.flush();
        self.carry_out();
        self.turn(Wait::Until(self.core.connections.now + LOOK_MS));
        let mut completions = std::mem::take(&mut self.completions);
        self.driver.reap(&mut completions);
        self.core.connections.now = self.driver.now();
        for completion in completions.drain(..) {
            let core = &mut self.core;
            match completion {
                Completion::Received { lease, .. } => self.driver.give_back(lease),
                // It closes with the ring.
                Completion::Accepted { .. } => {}
                Completion::ReceiveEnded { ticket, .. } => {
                    if let Some(connection) = core.connections.slots.get(ticket) {
                        connection.flags.clear(Flags::RECEIVING);
                        core.retire(ticket);
                    }
                }
                Completion::Sent {
                    ticket,
                    count,
                    failed,
                } => core.sent(ticket, count, failed),
                Completion::Closed { ticket } => core.release(ticket),
            }
        }
        self.completions = completions;
        self.report_ended();
    }

    /// Nobody is a member any more of what it was home to.
    fn end_topics(&mut self) {
        let core = &mut self.core;
        for (topic, _) in core.topics.homes.by_name() {
            core.events.emit(EventKind::TopicIdle, || {
                let topic = topic.to_name();
                Event::TopicIdle { topic }
            });
        }
    }

    /// The application hears of those whose end it has not heard of.
    fn end_sessions(&mut self) {
        let sessions = self.sessions.iter();
        let left = sessions.filter(|(_, session)| session.is_some());
        let slots: Vec<u32> = left.map(|(slot, _)| slot).collect();
        for slot in slots {
            let session = self.sessions.get_mut(slot).and_then(Option::take);
            let Some(session) = session else { continue };
            let ticket = self.core.connections.slots.ticket(slot);
            self.shielded(ticket, |application, context| {
                application.closed(context, session, failed())
            });
        }
    }

    /// What the shard counts for in the process, it counts for no more.
    fn give_back(&mut self) {
        let core = &mut self.core;
        if matches!(
            self.idleness.stage,
            QuietStage::Busy | QuietStage::Sweeping { .. }
        ) {
            core.connections.admissions.process.discount_busy();
        }
        core.topics.greed.end();
        core.connections.give_back();
        for ticket in core.connections.slots.live_tickets() {
            core.egress.end_agreement(&core.connections, ticket);
        }
    }
}

fn failed() -> CloseReason {
    CloseReason::Application(CloseCode::INTERNAL)
}
