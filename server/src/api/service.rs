//! The application on one shard, as the engine calls it: requests meet their handlers, and every
//! one is answered.

use crate::access::gate::{AccessRules, Gate};
use crate::admission::arrival::Arrivals;
use crate::admission::entrance::Entrances;
use crate::api::hooks::Hooks;
use crate::dispatch::late;
use crate::dispatch::registry::{Registry, ShardTable};
use crate::dispatch::task::{self, Finished};
use crate::limits::check;
use crate::limits::limiter::{ShardLimiter, slot_of};
use crate::session::batch::Batch;
use crate::session::call::{Call, dialect_of};
use crate::session::context::{Context, Session};
use crate::session::handle::ShardTask;
use crate::session::limits::Limits;
use crate::session::pending::Requester;
use crate::session::shard_state::ShardState;
use crate::session::shared::Shared;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::too_many_waiting;
use crate::wire::position::missed_reason;
use crate::wire::publication;
use shardcast_engine::{
    Address, Admission, Answer, Application, CloseReason, Context as Engine, EncodingId, Frame,
    Message, Missed, Notice, Page, Peer, Position, Publication, Quiet, Refusal, Tag, allocator,
    confine,
};
use shardcast_protocol::dialect::{
    Code, Command, Decoded, Event, InvalidRequest, Item, Items, Payload, Problem, Reply, ReplyMode,
    Request, Welcome,
};
use shardcast_protocol::http::HttpRequest;
use std::fmt;
use std::sync::Arc;

/// One shard's part of an application.
#[derive(Debug)]
pub struct Service {
    pub(super) shared: Arc<Shared>,
    pub(super) code: Arc<ApplicationCode>,
    pub(super) state: ShardState,
    table: ShardTable,
    /// Clients whose admission is decided in the background.
    pub(super) arrivals: Arrivals,
    gate: Gate,
}

/// What an application runs, and where clients meet it: the same for all shards.
pub(crate) struct ApplicationCode {
    pub(crate) entrances: Entrances,
    pub(crate) access: AccessRules,
    pub(crate) registry: Arc<Registry>,
    pub(crate) hooks: Hooks,
}

impl fmt::Debug for ApplicationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplicationCode")
            .field("entrances", &self.entrances)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, code: Arc<ApplicationCode>, shard: u16) -> Service {
        let limiter = shared.limiter.clone().map(ShardLimiter::new);
        Service {
            table: ShardTable::new(code.registry.clone()),
            gate: Gate::new(&code.access),
            shared,
            code,
            state: ShardState::new(shard, limiter),
            arrivals: Arrivals::default(),
        }
    }

    /// A call on the shard that answers no request.
    pub(super) fn context<'c>(
        &'c mut self,
        cx: &'c mut Engine<'_>,
        session: &'c mut Session,
    ) -> Context<'c> {
        Context::new(cx.reborrow(), session, &mut self.state, &self.shared, None)
    }

    /// Background handlers under way for this shard's connections.
    #[doc(hidden)] // Looked at by the simulation.
    pub fn background_calls(&self) -> usize {
        self.state.tasks.taken()
    }

    /// Admissions under way in the background for clients of this shard.
    #[doc(hidden)] // Looked at by the simulation.
    pub fn background_admissions(&self) -> usize {
        self.arrivals.count()
    }
}

impl Application for Service {
    type Session = Session;

    fn trusts_proxy(&mut self, proxy: Peer) -> bool {
        self.code.access.proxies.trusts(proxy)
    }

    fn arrived(&mut self, cx: &mut Engine<'_>) -> Result<(), Refusal> {
        self.gate.arrived(&self.code.access, cx.peer())
    }

    fn connect(&mut self, cx: &mut Engine<'_>, request: &HttpRequest<'_>) -> Admission<Session> {
        if let Err(refusal) = self.gate.connects(&self.code.access, cx, request) {
            return Admission::Refuse(refusal);
        }
        let slot = slot_of(cx);
        if let Some(limiter) = &mut self.state.limiter
            && let Err(excess) = limiter.connects(slot, cx.peer())
        {
            return Admission::Refuse(excess.into());
        }
        let admission = self.find_out(cx, request);
        self.settle(cx, admission)
    }

    fn stream_request(
        &mut self,
        cx: &mut Engine<'_>,
        request: &HttpRequest<'_>,
    ) -> Result<(), Refusal> {
        self.gate.asks_streams(&self.code.access, cx, request)
    }

    fn decide(&mut self, cx: &mut Engine<'_>, notice: Notice) -> Admission<Session> {
        self.arrivals.decided(cx.address());
        let admission = self.apply_decision(cx, notice);
        self.settle(cx, admission)
    }

    fn abandoned(&mut self, who: Address) {
        self.arrivals.abandoned(who);
        if let Some(limiter) = &mut self.state.limiter {
            limiter.abandons(who.ticket.slot);
        }
    }

    fn plain(&mut self, request: &HttpRequest<'_>) -> Page {
        let entrances = &self.code.entrances;
        match request.path() {
            "/" => {
                let (server, entrances) = (&self.shared.server, entrances.all());
                Page::text(200, format!("{server}\n{entrances}.\n"))
            }
            "/health" => Page {
                content_type: "application/json",
                ..Page::text(200, r#"{"status":"ok"}"#)
            },
            path if entrances.has(path) => Page::text(426, "this is a WebSocket endpoint"),
            _ => Page::text(404, entrances.elsewhere()),
        }
    }

    fn opened(&mut self, cx: &mut Engine<'_>, session: &mut Session) {
        self.shared
            .encodings
            .get_or_init(|| cx.encodings_present().clone());
        session.open(cx.now_ms());
        let connection = ConnectionId(cx.address()).text();
        let welcome = Welcome {
            connection: connection.as_str(),
            server: &self.shared.server,
            heartbeat_ms: self.shared.heartbeat_ms,
            message_bytes_max: cx.message_bytes_max(),
        };
        if let Some(greeting) = dialect_of(cx).greeting(welcome) {
            send_event(cx, &greeting);
        }
        if session.identity().name().is_some() {
            // The connection has made no other request yet, so no limit is reached.
            let identified = cx.identify(session.identity().name());
            debug_assert!(identified.is_ok());
        }
        let mut context = self.context(cx, session);
        context.begin_validity();
        if !context.is_awaited() {
            self.greet(cx, session);
        }
    }

    fn message(&mut self, cx: &mut Engine<'_>, session: &mut Session, message: Message<'_>) {
        let payload = match message {
            Message::Text(text) => Payload::Text(text),
            Message::Binary(bytes) => Payload::Binary(bytes),
        };
        let rules = self.shared.rules;
        match dialect_of(cx).read(payload, &rules) {
            Decoded::One(item) if self.state.limiter.is_none() => {
                self.take(cx, session, item, None);
            }
            Decoded::One(item) => self.take_limited(cx, session, item, message.bytes().len()),
            Decoded::Many(items) => self.take_all(cx, session, items, message.bytes().len()),
        }
    }

    fn answered(&mut self, cx: &mut Engine<'_>, session: &mut Session, tag: Tag, answer: Answer) {
        let Some(pending) = session.settle(tag, answer) else {
            return;
        };
        let (requester, outcome) = pending.into_parts();
        let mut context = self.context(cx, session);
        match requester {
            Requester::Client(call) => late::answer(&mut context, &call, outcome),
            Requester::Code(then) => then.run(&mut context, outcome),
        }
    }

    fn notified(&mut self, cx: &mut Engine<'_>, session: &mut Session, notice: Notice) {
        let notice = match notice.downcast::<ShardTask>() {
            Ok(task) => {
                let mut context = self.context(cx, session);
                let was_awaited = context.is_awaited();
                context.shield(task.0);
                return self.greet_late(cx, session, was_awaited);
            }
            Err(notice) => notice,
        };
        if let Ok(finished) = notice.downcast::<Finished>() {
            let table = self.table.current();
            let mut context = self.context(cx, session);
            context.shield(|cx| task::finish(cx, &table, *finished));
        }
    }

    fn due(&mut self, cx: &mut Engine<'_>, session: &mut Session) -> Option<u64> {
        let now_ms = cx.now_ms();
        if self.context(cx, session).act_on_validity() {
            return None;
        }
        session.some_mut()?.reverse.time_out(now_ms);
        let table = self.table.current();
        task::time_out(&mut self.context(cx, session), &table, now_ms);
        session.shrink();
        session.some()?.next_due()
    }

    fn missed(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        room: &Arc<str>,
        missed: Missed,
    ) {
        let event = Event::Missed {
            room,
            count: missed.count,
            reason: missed_reason(missed.reason),
        };
        send_event(cx, &event);
        if let Some(hook) = self.code.hooks.missed.clone() {
            hook(&mut self.context(cx, session), room, missed);
        }
    }

    fn draining(&mut self, cx: &mut Engine<'_>, _session: &mut Session) {
        let window_ms = self.shared.reconnect_window_ms;
        let closing = Event::Closing {
            reason: "draining",
            reconnect_ms: self.state.random.u64(0..=window_ms),
        };
        send_event(cx, &closing);
    }

    fn quiet(&mut self, quiet: Quiet) {
        self.state.release_memory();
        allocator::release(quiet);
    }

    fn closed(&mut self, cx: &mut Engine<'_>, mut session: Session, reason: CloseReason) {
        if let Some(limiter) = &mut self.state.limiter {
            limiter.leaves(slot_of(cx), session.identity());
        }
        if let Some(hook) = self.code.hooks.disconnect.clone() {
            hook(&mut self.context(cx, &mut session), reason);
        }
    }

    fn encode(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        publication::encode(encoding, publication, position)
    }
}

impl Service {
    fn take(
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
    fn take_limited(
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

    fn take_all(
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
    fn command(
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

/// Sends an event in the connection's dialect.
fn send_event(cx: &mut Engine<'_>, event: &Event<'_>) {
    let dialect = dialect_of(cx);
    cx.send_with(dialect.kind(), |out| {
        let written = dialect.write_event(out, event);
        debug_assert!(
            written.is_ok(),
            "events without data can be said in every dialect"
        );
    });
}
