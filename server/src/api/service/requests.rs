//! Requests of clients as they were decoded: each goes through its middleware to its handler, those
//! of a batch one after the other, and every one is answered. Called where a message has come.

use super::Service;
use crate::dispatch::debug;
use crate::dispatch::guard::{self, GuardPassage};
use crate::dispatch::recorded;
use crate::dispatch::task;
use crate::limits::check;
use crate::session::batch::Batch;
use crate::session::call::Call;
use crate::session::context::{Context, Session, TraceDecision};
use crate::session::guarded::{HeldMessage, RequestState};
use crate::session::limits::Limits;
use crate::session::muting::dialect_of;
use crate::session::shared::Shared;
use crate::wire::failure::too_many_waiting;
use shardcast_engine::{Answer, Context as Engine, confine};
use shardcast_protocol::dialect::centrifuge::Instruction;
use shardcast_protocol::dialect::{
    Code, Command, Decoded, Dialect, InvalidRequest, Item, Items, Payload, Problem, Reply,
    ReplyMode, Request,
};

impl Service {
    /// What follows from a membership that has begun or ended, whoever asked for it.
    pub(super) fn follow_membership(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        answer: &Answer,
    ) {
        match answer {
            Answer::Joined { room, .. } if self.shared.namespaces.get().change_maps() => {
                self.context(cx, session).joined_in_maps(room);
            }
            Answer::Left { room } => {
                self.context(cx, session).left_in_maps(room);
                if let Some(state) = session.some_mut().and_then(|more| more.centrifuge.as_mut()) {
                    state.widen(room);
                    session.shrink();
                }
            }
            _ => {}
        }
    }

    pub(super) fn take(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        item: Result<Item<'_>, InvalidRequest<'_>>,
        batch: Option<u32>,
    ) -> RequestState {
        match item {
            Ok(Item::Command(command)) => return self.command(cx, session, &command, batch),
            Ok(Item::Response(response)) => {
                let reverse = session.some_mut().map(|more| &mut more.reverse);
                // A response without a waiting call is late, or made up.
                let _ = reverse.is_some_and(|reverse| reverse.settle(&response));
                session.shrink();
            }
            Err(invalid) => {
                if self.shared.debugging.is_on() {
                    debug::misunderstood(&self.context(cx, session), &invalid.problem);
                }
                let call = Call {
                    id: invalid.id,
                    mode: invalid.reply,
                    batch,
                };
                call.answer(cx, session, &Reply::Error(&invalid.problem));
            }
        }
        RequestState::Done
    }

    /// As [`Service::take`], within the limits.
    #[cold]
    pub(super) fn take_limited(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        item: Result<Item<'_>, InvalidRequest<'_>>,
        bytes: usize,
    ) -> RequestState {
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
    ) -> RequestState {
        let call = match &item {
            Ok(Item::Response(_)) => return self.take(cx, session, item, batch),
            Ok(Item::Command(command)) if matches!(command.request, Request::Leave(_)) => {
                return self.take(cx, session, item, batch);
            }
            Ok(Item::Command(command)) => {
                if self.shared.debugging.is_on() {
                    debug::asked(&self.context(cx, session), command);
                }
                Call {
                    id: command.id,
                    mode: command.reply,
                    batch,
                }
            }
            Err(invalid) => Call {
                id: invalid.id,
                mode: invalid.reply,
                batch,
            },
        };
        self.answer(cx, session, call, &Reply::Error(problem));
        RequestState::Done
    }

    /// Answers what nobody handles.
    #[cold]
    fn answer(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        call: Call<'_>,
        reply: &Reply<'_>,
    ) {
        let (state, shared, call) = (&mut self.state, &self.shared, Some(call));
        Context::new(cx.reborrow(), session, state, shared, call).answer(reply);
    }

    pub(super) fn take_all(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        items: Items<'_>,
        bytes: &[u8],
    ) {
        let limited = check::message(&mut self.context(cx, session), items.count(), bytes.len());
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
                return self.answer(cx, session, call, &Reply::Error(&too_many_waiting()));
            }
            // Two batches of a connection have the same number only after four thousand million
            // others.
            let number = self.state.take_serial() as u32;
            batches.push(Batch::new(number, missing, items.replies()));
            key = Some(number);
        }
        self.take_items(cx, session, items, (0, key), limited.as_ref().err(), bytes);
    }

    /// Those that are not done yet, or all refused with this problem.
    fn take_items(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        items: Items<'_>,
        (done, batch): (usize, Option<u32>),
        problem: Option<&Problem>,
        bytes: &[u8],
    ) {
        for (index, item) in items.into_iter().enumerate().skip(done) {
            // A handler may have closed the connection: then the rest of the batch is dropped, as
            // later messages are.
            if !cx.is_open() {
                return;
            }
            let taken = match problem {
                None => self.take(cx, session, item, batch),
                Some(problem) => self.refuse(cx, session, item, batch, problem),
            };
            if taken == RequestState::Held {
                return session.keep(&self.state.held_bytes, bytes, index, batch);
            }
        }
    }

    /// Goes on with a message whose request has been decided about by now, and reads on if it is
    /// done.
    #[cold]
    pub(super) fn take_up(&mut self, cx: &mut Engine<'_>, session: &mut Session) {
        let Some(held) = session.take_kept() else {
            return;
        };
        if let Some(decoded) = decoded(cx, session, &held, &self.shared) {
            let HeldMessage {
                bytes, done, batch, ..
            } = &*held;
            match decoded {
                Decoded::One(item) => {
                    let taken = self.take(cx, session, item, *batch);
                    debug_assert_eq!(taken, RequestState::Done, "it was decided");
                }
                Decoded::Many(items) => {
                    self.take_items(cx, session, items, (*done, *batch), None, bytes);
                }
                Decoded::Commands(commands) => self.take_commands(cx, session, commands, 0),
            }
        }
        if session.some().is_none_or(|more| more.held.is_none()) {
            session.shrink();
            cx.read_on();
        }
    }

    /// Answers what waits for somebody outside of the shards, and asks for nothing more.
    #[cold]
    pub(super) fn stop_waiting(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        problem: &Problem,
    ) {
        let table = self.table.current();
        let mut context = self.context(cx, session);
        task::give_up(&mut context, &table, problem);
        if !guard::give_up(&mut context, None, problem.clone()) {
            return;
        }
        let Some(held) = session.take_kept() else {
            return;
        };
        match decoded(cx, session, &held, &self.shared) {
            Some(Decoded::One(item)) => drop(self.take(cx, session, item, held.batch)),
            Some(Decoded::Many(items)) => {
                let place = (held.done, held.batch);
                self.take_items(cx, session, items, place, Some(problem), &held.bytes);
            }
            // Of what stands behind the first, nobody has heard.
            Some(Decoded::Commands(mut commands)) => {
                if let Some(Ok(Instruction::Command(command))) = commands.next() {
                    let _done = self.command(cx, session, &command, None);
                }
            }
            None => {}
        }
    }

    /// Runs a command's middleware and handler. A panic there concerns this command alone.
    pub(in crate::api) fn command(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        command: &Command<'_>,
        batch: Option<u32>,
    ) -> RequestState {
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
        context.trace = TraceDecision::Asked(command.trace.as_deref());
        if context.shared.debugging.is_on() {
            debug::asked(&context, command);
        }
        let was_awaited = context.is_awaited();
        if was_awaited && !matches!(command.request, Request::Auth(_)) {
            let problem = Problem::new(Code::Unauthorized, UNAUTHENTICATED);
            context.answer(&Reply::Error(&problem));
            return RequestState::Done;
        }
        let Some(entry) = table.find(&command.request) else {
            let problem = Problem::new(Code::UnknownType, "no such type of request");
            context.answer(&Reply::Error(&problem));
            return RequestState::Done;
        };
        let run = match &entry.guard {
            None => {
                if let Err(problem) = check::in_flight(&mut context, &command.request) {
                    context.answer(&Reply::Error(&problem));
                    return RequestState::Done;
                }
                confine(|| entry.run(&mut context, command))
            }
            Some(guard) => match guard::pass(&mut context, guard, command) {
                Ok(GuardPassage::Held) => return RequestState::Held,
                Ok(GuardPassage::Decided(verdict)) => {
                    confine(|| entry.run_decided(&mut context, command, &verdict))
                }
                Err(problem) => Ok(Err(problem.into())),
            },
        };
        entry.conclude(&mut context, command.request.name(), run);
        if context.step_left().is_some() {
            recorded::end_left(&mut context, command);
        }
        if was_awaited {
            self.greet_late(cx, session, was_awaited);
        }
        RequestState::Done
    }
}

/// The message once more, as it was read before.
fn decoded<'b>(
    cx: &Engine<'_>,
    session: &Session,
    held: &'b HeldMessage,
    shared: &Shared,
) -> Option<Decoded<'b>> {
    let dialect = dialect_of(cx, session);
    let payload = match dialect {
        Dialect::NativeJson | Dialect::JsonRpc | Dialect::CentrifugeJson => {
            Payload::Text(str::from_utf8(&held.bytes).ok()?)
        }
        Dialect::MessagePack | Dialect::CentrifugeProtobuf => Payload::Binary(&held.bytes),
    };
    Some(dialect.read(payload, &shared.rules))
}

/// The answer to whatever a connection asks for that must say first who it is.
const UNAUTHENTICATED: &str = "authenticate first: send auth with a token";
