//! Deferred admissions: a client waits while the application finds out who it is, and is let in,
//! refused, or told that nobody decided.
//!
//! Invariant: a connection waits exactly while its phase is `Authenticating`. It has one deadline,
//! which nothing that its client sends postpones; who sends more than a request head's limit before
//! the decision is not read on; and a shard has a limit of those who wait. Whoever leaves the phase
//! undecided is reported to the application once. Called by the request phase, by commands and by
//! deadlines.

use super::Shard;
use super::first_message::AskedToOpen;
use crate::application::{Admission, Application, Refusal};
use crate::confine::discard;
use crate::connection::exchange::Deferred;
use crate::connection::input::Need;
use crate::connection::phase::{Phase, Step};
use crate::connection::slot::Flags;
use crate::driver::boundary::Driver;
use crate::types::answer::Notice;
use crate::types::deadline::Deadline;
use crate::types::ticket::Ticket;
use shardcast_protocol::deflate::Agreement;

impl<A: Application, D: Driver> Shard<A, D> {
    /// The application decides later about a complete request.
    #[cold]
    pub(super) fn defer(
        &mut self,
        ticket: Ticket,
        asked: AskedToOpen<'_>,
        agreement: Option<Agreement>,
    ) {
        let AskedToOpen {
            key,
            framing,
            first,
        } = asked;
        if self.drain.is_some() {
            self.core.connections.pending_work.abandoned.push(ticket);
            return self.refuse_client(ticket, key, Refusal::new(503, "the server stops"));
        }
        if !self.core.connections.admissions.may_defer() {
            self.core.counters.refused_waiting.add(1);
            self.core.connections.pending_work.abandoned.push(ticket);
            let refusal = self.busy("too many clients wait, try again later");
            return self.refuse_client(ticket, key, refusal);
        }
        let due = self.core.connections.now + self.core.connections.limits.admission_ms;
        self.core.counters.admissions_deferred.add(1);
        self.core.connections.admissions.begin_wait();
        self.core
            .connections
            .timers
            .wheel
            .schedule(ticket.slot, due);
        let connection = self.core.connections.slots.at(ticket.slot);
        connection.phase = connection
            .phase
            .after(Step::Defer)
            .expect("only an upgrading connection waits");
        connection.cold().exchange().deferred = Some(Box::new(Deferred {
            key: key.map(Into::into),
            framing,
            first,
            agreement,
            due,
        }));
    }

    /// What a client says before it is let in waits, or is dropped behind a request for an event
    /// stream; `bytes` are there.
    #[cold]
    pub(super) fn take_early(&mut self, ticket: Ticket, bytes: usize) -> Result<usize, Need> {
        let connection = self.core.connections.slots.at(ticket.slot);
        let deferred = connection
            .exchange()
            .and_then(|exchange| exchange.deferred.as_ref());
        if deferred.is_some_and(|deferred| deferred.key.is_none()) {
            return Ok(bytes);
        }
        if bytes > self.core.connections.limits.head.head_bytes_max
            && !connection.flags.has(Flags::PARKED)
        {
            // Not in the queue of those who are parked: it is the decision that it waits for.
            connection.flags.set(Flags::PARKED);
            connection.cold().parked_since = self.core.connections.now;
            self.core.counters.parked.add(1);
            self.core.connections.pending_work.park.push(ticket);
        }
        Err(Need::Any)
    }

    /// What a deferred admission waited for is there.
    pub(super) fn decide(&mut self, ticket: Ticket, notice: Notice) {
        if self.core.connections.slots.phase(ticket) != Phase::Authenticating {
            if discard(notice).is_err() {
                self.core.count_panic(None);
            }
            return;
        }
        let decision = self.shielded(ticket, |application, context| {
            application.decide(context, notice)
        });
        let decision =
            decision.unwrap_or_else(|| Admission::Refuse(Refusal::new(500, "handler failed")));
        if !matches!(decision, Admission::Defer) {
            self.apply_decision(ticket, decision);
        }
        self.after_call();
    }

    fn apply_decision(&mut self, ticket: Ticket, decision: Admission<A::Session>) {
        let exchange = self
            .core
            .connections
            .slots
            .at(ticket.slot)
            .cold()
            .exchange();
        let Some(deferred) = exchange.deferred.take() else {
            return;
        };
        match decision {
            Admission::Accept(accepted) => {
                let Deferred {
                    framing,
                    first,
                    agreement,
                    ref key,
                    ..
                } = *deferred;
                let asked = AskedToOpen {
                    key: key.as_deref(),
                    framing,
                    first,
                };
                self.open(ticket, asked, agreement, accepted);
            }
            Admission::Refuse(refusal) => {
                self.refuse_by_application(ticket, deferred.key.as_deref(), refusal);
            }
            Admission::Defer => {}
        }
        self.read_early(ticket);
    }

    /// Goes on with a client that was not read, or that has said something early: when those who
    /// are parked are read.
    fn read_early(&mut self, ticket: Ticket) {
        let now = self.core.connections.now;
        let Some(connection) = self.core.connections.slots.get(ticket) else {
            return;
        };
        if !connection.flags.has(Flags::PARKED) && !connection.has_input() {
            return;
        }
        connection.flags.set(Flags::PARKED);
        // The time of a frame begins with the decision.
        let cold = connection.cold();
        (cold.parked_since, cold.input_since) = (now, now);
        self.listen_again(ticket);
    }

    /// The application did not decide in time.
    pub(super) fn check_admission(&mut self, ticket: Ticket) {
        let connection = self.core.connections.slots.at(ticket.slot);
        let exchange = connection.exchange();
        let deferred = exchange.and_then(|exchange| exchange.deferred.as_ref());
        let Some((due, key)) = deferred.map(|deferred| (deferred.due, deferred.key.clone())) else {
            return;
        };
        if due > self.core.connections.now {
            self.core
                .connections
                .timers
                .wheel
                .schedule(ticket.slot, due);
            return;
        }
        self.count_deadline(Deadline::Admission);
        let refusal = Refusal::new(504, Deadline::Admission.text());
        self.refuse_client(ticket, key.as_deref(), refusal);
        self.read_early(ticket);
    }
}
