//! Calls of the application: each confined, so that a panic ends with the call that it is in.

use super::Shard;
use crate::application::Application;
use crate::confine::{Panicked, confine};
use crate::connection::pending::Ended;
use crate::connection::phase::Phase;
use crate::context::Context;
use crate::core::meaning::Meaning;
use crate::driver::boundary::Driver;
use crate::egress::encoder::EncodeCalls;
use crate::events::{Event, EventKind};
use crate::query::gather::Requester;
use crate::topic::joining::Answered;
use crate::types::answer::Answer;
use crate::types::close_reason::CloseReason;
use crate::types::frame::Message;
use crate::types::ticket::Ticket;
use shardcast_protocol::close::CloseCode;

/// What of the application has no state.
pub(super) fn meaning_of<A: Application>() -> Meaning {
    Meaning {
        calls: EncodeCalls {
            encode: A::encode,
            encode_again: A::encode_again,
            encode_delta: A::encode_delta,
            sift: A::sift,
            removal: A::removal,
        },
        closing: A::closing,
    }
}

impl<A: Application, D: Driver> Shard<A, D> {
    /// Calls the application for one connection; a panic is confined to this call.
    pub(super) fn call<R>(
        &mut self,
        ticket: Ticket,
        message: Option<Message<'_>>,
        run: impl FnOnce(&mut A, &mut Context<'_>, &mut A::Session) -> R,
    ) -> Option<R> {
        let session = self.sessions.get_mut(ticket.slot)?.as_mut()?;
        let mut context = Context::new(&mut self.core, ticket);
        // The application's own state may be half-changed after a panic; that is the application's
        // to bear.
        match confine(|| run(&mut self.application, &mut context, session)) {
            Ok(result) => Some(result),
            Err(Panicked) => {
                self.core.count_panic(Some(ticket));
                let mut context = Context::new(&mut self.core, ticket);
                let answer = || self.application.panicked(&mut context, session, message);
                if confine(answer).is_err() {
                    let code = CloseCode::INTERNAL;
                    self.core.close(
                        ticket,
                        code,
                        "handler failed",
                        CloseReason::Application(code),
                    );
                }
                None
            }
        }
    }

    pub(super) fn answer(&mut self, answer: Answered) {
        let Some((ticket, tag, answer)) = answer else {
            return;
        };
        if self.core.connections.slots.phase(ticket) == Phase::Open {
            self.call(ticket, None, |application, context, session| {
                application.answered(context, session, tag, answer)
            });
        }
    }

    /// Tells whoever asked what became of it.
    pub(super) fn answer_requester(&mut self, requester: Requester, answer: Answer) {
        match requester {
            Requester::Connection(ticket, tag) => self.answer(Some((ticket, tag, answer))),
            Requester::Outside(reply) => {
                if confine(|| reply(answer)).is_err() {
                    self.core.count_panic(None);
                }
            }
        }
    }

    /// Calls the application where there is no session; `None` if it panicked.
    pub(super) fn shielded<R>(
        &mut self,
        ticket: Ticket,
        run: impl FnOnce(&mut A, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let mut context = Context::new(&mut self.core, ticket);
        let result = confine(|| run(&mut self.application, &mut context));
        if result.is_err() {
            self.core.count_panic(Some(ticket));
        }
        result.ok()
    }

    /// Tells the application, once each, which connections left the open state. Nearly always none.
    #[inline]
    pub(super) fn report_ended(&mut self) {
        if self.core.connections.pending_work.has_ends() {
            self.report_all_ended();
        }
    }

    #[cold]
    fn report_all_ended(&mut self) {
        while let Some(ended) = self.core.connections.pending_work.ended.pop() {
            let Ended { ticket, reason, .. } = ended;
            let session = self.sessions.get_mut(ticket.slot).and_then(Option::take);
            let Some(session) = session else { continue };
            let connection = self.core.address(ticket);
            let closed = || Event::Closed { connection, reason };
            self.core.events.emit(EventKind::Closed, closed);
            self.core.connections.left = ended.rooms;
            self.shielded(ticket, |application, context| {
                application.closed(context, session, reason)
            });
            self.core.connections.left = Vec::new();
        }
        while let Some(ticket) = self.core.connections.pending_work.abandoned.pop() {
            let who = self.core.address(ticket);
            if confine(|| self.application.abandoned(who)).is_err() {
                self.core.count_panic(Some(ticket));
            }
        }
    }
}
