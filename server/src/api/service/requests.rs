//! Requests of clients as they were decoded: each goes through its middleware to its handler, those
//! of a batch one after the other, and every one is answered. Called where a message has come.

use super::Service;
use crate::limits::check;
use crate::session::batch::Batch;
use crate::session::call::Call;
use crate::session::context::{Context, Session};
use crate::session::limits::Limits;
use crate::wire::failure::too_many_waiting;
use shardcast_engine::{Context as Engine, confine};
use shardcast_protocol::dialect::{
    Code, Command, InvalidRequest, Item, Items, Problem, Reply, ReplyMode, Request,
};

impl Service {
    pub(super) fn take(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        item: Result<Item<'_>, InvalidRequest<'_>>,
        batch: Option<u32>,
    ) {
        match item {
            Ok(Item::Command(command)) => self.command(cx, session, &command, batch),
            Ok(Item::Response(response)) => {
                let reverse = session.some_mut().map(|more| &mut more.reverse);
                // A response without a waiting call is late, or made up.
                let _ = reverse.is_some_and(|reverse| reverse.settle(&response));
                session.shrink();
            }
            Err(invalid) => {
                let call = Call {
                    id: invalid.id,
                    mode: invalid.reply,
                    batch,
                };
                call.answer(cx, session, &Reply::Error(&invalid.problem));
            }
        }
    }

    /// As [`Service::take`], within the limits.
    #[cold]
    pub(super) fn take_limited(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        item: Result<Item<'_>, InvalidRequest<'_>>,
        bytes: usize,
    ) {
        let limited = check::message(&mut self.context(cx, session), 1, bytes);
        match limited {
            Ok(()) => self.take(cx, session, item, None),
            Err(problem) => self.refuse(cx, session, item, None, &problem),
        }
    }

    /// Answers what is too much; a leave is done, and what a client answers is heard.
    #[cold]
    fn refuse(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        item: Result<Item<'_>, InvalidRequest<'_>>,
        batch: Option<u32>,
        problem: &Problem,
    ) {
        let call = match &item {
            Ok(Item::Response(_)) => return self.take(cx, session, item, batch),
            Ok(Item::Command(command)) if matches!(command.request, Request::Leave(_)) => {
                return self.take(cx, session, item, batch);
            }
            Ok(Item::Command(command)) => Call {
                id: command.id,
                mode: command.reply,
                batch,
            },
            Err(invalid) => Call {
                id: invalid.id,
                mode: invalid.reply,
                batch,
            },
        };
        call.answer(cx, session, &Reply::Error(problem));
    }

    pub(super) fn take_all(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        items: Items<'_>,
        bytes: usize,
    ) {
        let limited = check::message(&mut self.context(cx, session), items.count(), bytes);
        let missing = items.replies_due();
        let mut key = None;
        if missing > 0 {
            let batches = &mut session.more().batches;
            if batches.len() >= Limits::BATCHES_PER_CONNECTION_MAX {
                let call = Call {
                    id: None,
                    mode: ReplyMode::Always,
                    batch: None,
                };
                return call.answer(cx, session, &Reply::Error(&too_many_waiting()));
            }
            // Two batches of a connection have the same number only after four thousand million
            // others.
            let number = self.state.take_serial() as u32;
            batches.push(Batch::new(number, missing, items.replies()));
            key = Some(number);
        }
        for item in items {
            // A handler may have closed the connection: then the rest of the batch is dropped, as
            // later messages are.
            if !cx.is_open() {
                return;
            }
            match &limited {
                Ok(()) => self.take(cx, session, item, key),
                Err(problem) => self.refuse(cx, session, item, key, problem),
            }
        }
    }

    /// Runs a command's middleware and handler. A panic there concerns this command alone.
    pub(in crate::api) fn command(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        command: &Command<'_>,
        batch: Option<u32>,
    ) {
        let table = self.table.current();
        let call = Call {
            id: command.id,
            mode: command.reply,
            batch,
        };
        let mut context = Context::new(
            cx.reborrow(),
            session,
            &mut self.state,
            &self.shared,
            Some(call),
        );
        let was_awaited = context.is_awaited();
        if was_awaited && !matches!(command.request, Request::Auth(_)) {
            let problem = Problem::new(Code::Unauthorized, UNAUTHENTICATED);
            return context.answer(&Reply::Error(&problem));
        }
        let Some(entry) = table.find(&command.request) else {
            let problem = Problem::new(Code::UnknownType, "no such type of request");
            return context.answer(&Reply::Error(&problem));
        };
        if let Err(problem) = check::in_flight(&mut context, &command.request) {
            return context.answer(&Reply::Error(&problem));
        }
        let run = confine(|| entry.run(&mut context, command));
        entry.conclude(&mut context, command.request.name(), run);
        if was_awaited {
            self.greet_late(cx, session, was_awaited);
        }
    }
}

/// The answer to whatever a connection asks for that must say first who it is.
const UNAUTHENTICATED: &str = "authenticate first: send auth with a token";
