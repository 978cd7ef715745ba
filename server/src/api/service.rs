//! The application on one shard, as the engine calls it: requests meet their handlers, and every
//! one is answered.

mod requests;

use crate::access::gate::{AccessRules, Gate};
use crate::admission::arrival::Arrivals;
use crate::admission::entrance::Entrances;
use crate::admission::streams;
use crate::api::hooks::Hooks;
use crate::centrifuge::answers::end;
use crate::centrifuge::closing;
use crate::centrifuge::connection::{await_connect, connect_due, is_centrifuge};
use crate::centrifuge::requests as channels;
use crate::dispatch::debug;
use crate::dispatch::guard::{self, Guarding};
use crate::dispatch::registry::{Registry, ShardTable};
use crate::dispatch::task::{self, Finished};
use crate::dispatch::{late, resuming};
use crate::limits::limiter::{ShardLimiter, slot_of};
use crate::rooms::rejoin::WentOn;
use crate::rooms::{entry, resume};
use crate::session::context::{Context, Session};
use crate::session::guarded::RequestState;
use crate::session::handle::ShardTask;
use crate::session::muting::{dialect_of, dialect_of_encoding};
use crate::session::pending::{Outcome, Requester};
use crate::session::resuming::Resumed;
use crate::session::shard_state::ShardState;
use crate::session::shared::Shared;
use crate::wire::connection_id::ConnectionId;
use crate::wire::filtering;
use crate::wire::position::missed_reason;
use crate::wire::publication;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{
    Address, Admission, Answer, Application, CloseReason, Content, Context as Engine, EncodingId,
    Filter, FirstMessage, Frame, Message, Missed, Notice, Page, Peer, Position, PostedMessage,
    Publication, Quiet, Refusal, Tag, TopicName, allocator,
};
use shardcast_protocol::dialect::centrifuge::Disconnect;
use shardcast_protocol::dialect::{
    Code, Decoded, Event, Payload, Problem, Value, Welcome, WelcomeSession,
};
use shardcast_protocol::frame::Kind;
use shardcast_protocol::http::HttpRequest;
use shardcast_protocol::json::Raw;
use std::fmt;
use std::sync::Arc;

/// One shard's part of an application.
#[derive(Debug)]
pub struct Service {
    pub(super) shared: Arc<Shared>,
    pub(super) code: Arc<ApplicationCode>,
    pub(super) state: ShardState,
    pub(super) table: ShardTable,
    /// Clients whose admission is decided in the background.
    pub(super) arrivals: Arrivals,
    pub(super) gate: Gate,
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
            state: ShardState::new(&shared, shard, limiter),
            shared,
            code,
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

    /// Sessions of this shard whose connections are gone, those on their way to another included.
    #[doc(hidden)] // Looked at by the simulation.
    pub fn waiting_sessions(&self) -> usize {
        self.state.waiting.count()
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
        self.code.access.proxies.get().trusts(proxy)
    }

    fn arrived(&mut self, cx: &mut Engine<'_>) -> Result<(), Refusal> {
        self.gate.arrived(&self.code.access, cx.peer())
    }

    fn connect(&mut self, cx: &mut Engine<'_>, request: &HttpRequest<'_>) -> Admission<Session> {
        let admission = self.judge(cx, request);
        self.settle(cx, request, &admission);
        admission
    }

    fn stream_request(
        &mut self,
        cx: &mut Engine<'_>,
        request: &HttpRequest<'_>,
    ) -> Result<(), Refusal> {
        let tokens = self.shared.gate.as_deref();
        self.gate
            .asks_streams(&self.code.access, tokens, cx, request)
    }

    fn first_message(
        &mut self,
        request: &HttpRequest<'_>,
        body: &[u8],
    ) -> Result<Option<FirstMessage>, Refusal> {
        match self.code.entrances.stream_at(request.path()) {
            Some(entrance) => entrance.first_message(request, body),
            None => Ok(None),
        }
    }

    fn posted(kind: Kind, body: &[u8]) -> Result<PostedMessage, &'static str> {
        streams::posted(kind, body)
    }

    fn decide(&mut self, cx: &mut Engine<'_>, notice: Notice) -> Admission<Session> {
        self.arrivals.decided(cx.address());
        self.apply_decision(cx, notice)
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
        let token = resume::begin(cx, &self.shared, session);
        let admitted = match is_centrifuge(cx) {
            // It is answered with that when it connects.
            true => None,
            false => session.some_mut().and_then(|more| more.admitted.take()),
        };
        let rooms: Vec<&str> = admitted
            .iter()
            .flat_map(|admitted| admitted.rooms.iter().map(|room| &**room))
            .collect();
        let data = admitted
            .as_ref()
            .and_then(|admitted| admitted.data.as_deref());
        let welcome = Welcome {
            connection: connection.as_str(),
            server: &self.shared.server,
            heartbeat_ms: self.shared.heartbeat_ms,
            message_bytes_max: cx.message_bytes_max(),
            session: token.as_ref().map(|(token, resume_ms)| WelcomeSession {
                token,
                resume_ms: *resume_ms,
            }),
            rooms: &rooms,
            data: data.map(|data| Value::Json(Raw::of_serializer(data.get()))),
        };
        if let Some(greeting) = dialect_of(cx, session).greeting(welcome) {
            send_event(cx, session, &greeting);
        }
        if is_centrifuge(cx) {
            await_connect(cx, session, &self.shared);
        }
        if session.identity().name().is_some() {
            // The connection has made no other request yet, so no limit is reached.
            let identified = cx.identify(session.identity().name());
            debug_assert!(identified.is_ok());
        }
        let mut context = self.context(cx, session);
        context.begin_validity();
        if !rooms.is_empty() {
            context.begin_in(&rooms);
        }
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
        match dialect_of(cx, session).read(payload, &rules) {
            Decoded::One(item) => {
                let taken = match self.state.limiter.is_none() {
                    true => self.take(cx, session, item, None),
                    false => self.take_limited(cx, session, item, message.bytes().len()),
                };
                if taken == RequestState::Held {
                    session.keep(&self.state.held_bytes, message.bytes(), 0, None);
                }
            }
            Decoded::Many(items) => self.take_all(cx, session, items, message.bytes()),
            Decoded::Commands(commands) => {
                self.take_commands(cx, session, commands, message.bytes().len());
            }
        }
    }

    fn answered(&mut self, cx: &mut Engine<'_>, session: &mut Session, tag: Tag, answer: Answer) {
        self.follow_membership(cx, session, &answer);
        let Some(pending) = session.settle(tag, answer) else {
            return;
        };
        let (requester, outcome) = pending.into_parts();
        let resumed = match &outcome {
            Outcome::Resumed(resuming) => Some(resuming.told()),
            _ => None,
        };
        let mut context = self.context(cx, session);
        if outcome.changes_rooms() {
            context.session_changed();
        }
        match requester {
            Requester::Client(call) => late::answer(&mut context, &call, outcome),
            Requester::Code(then) => then.run(&mut context, outcome),
        }
        if let Some(resumed) = resumed {
            self.resumed(cx, session, &resumed);
        }
        self.take_held(cx, session);
    }

    fn notified(&mut self, cx: &mut Engine<'_>, session: &mut Session, notice: Notice) {
        let notice = match notice.downcast::<ShardTask>() {
            Ok(task) => {
                let mut context = self.context(cx, session);
                let was_awaited = context.is_awaited();
                context.shield(task.0);
                self.greet_late(cx, session, was_awaited);
                return self.take_held(cx, session);
            }
            Err(notice) => notice,
        };
        let notice = match notice.downcast::<Finished>() {
            Ok(finished) => {
                let table = self.table.current();
                let mut context = self.context(cx, session);
                return context.shield(|cx| task::finish(cx, &table, *finished));
            }
            Err(notice) => notice,
        };
        let notice = match notice.downcast::<Guarding>() {
            Ok(guarding) => {
                if guard::decided(&mut self.context(cx, session), *guarding) {
                    self.take_up(cx, session);
                }
                return;
            }
            Err(notice) => notice,
        };
        let mut context = self.context(cx, session);
        if let Some(WentOn { call, resuming }) = resume::notified(&mut context, notice) {
            resuming::answer(&mut context, &call, &resuming);
            self.resumed(cx, session, &resuming.told());
        }
    }

    fn unreached(&mut self, cx: &mut Engine<'_>, notice: Notice) {
        resume::unreached(cx, &mut self.state, &self.shared, notice);
    }

    fn shard_due(&mut self, now_ms: u64) -> Option<u64> {
        self.state.waiting.expire(now_ms)
    }

    fn due(&mut self, cx: &mut Engine<'_>, session: &mut Session) -> Option<u64> {
        let now_ms = cx.now_ms();
        if self.context(cx, session).act_on_validity() {
            return None;
        }
        if connect_due(session, &self.shared).is_some_and(|due_ms| due_ms <= now_ms) {
            end(cx, Disconnect::STALE);
            return None;
        }
        if is_centrifuge(cx) {
            channels::expire(&mut self.context(cx, session));
        }
        session.some_mut()?.reverse.time_out(now_ms);
        let table = self.table.current();
        let mut context = self.context(cx, session);
        task::time_out(&mut context, &table, now_ms);
        let late = Problem::new(Code::Timeout, "the request took too long");
        if guard::give_up(&mut context, Some(now_ms), late) {
            self.take_up(cx, session);
        }
        session.shrink();
        let next = session.some()?.next_due();
        next.into_iter()
            .chain(connect_due(session, &self.shared))
            .min()
    }

    fn missed(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        topic: &TopicName,
        missed: Missed,
    ) {
        let room = match topic {
            TopicName::Room(room) => Some(&**room),
            TopicName::User(_) => None,
        };
        if let Some(room) = room
            && is_centrifuge(cx)
            && missed_reason(missed.reason).is_a_loss()
        {
            // Its client hears that it must subscribe again, so it may.
            let _ = cx.leave(room, self.state.take_tags(1));
        }
        if self.shared.debugging.is_on() {
            debug::missed(&self.context(cx, session), room, missed.count);
        }
        let event = Event::Missed {
            room,
            count: missed.count,
            reason: missed_reason(missed.reason),
        };
        send_event(cx, session, &event);
        if let Some(hook) = self.code.hooks.missed.clone() {
            hook(&mut self.context(cx, session), topic.topic(), missed);
        }
    }

    fn draining(&mut self, cx: &mut Engine<'_>, session: &mut Session) {
        let stops = "the server stops; whether the request took effect is unknown";
        self.stop_waiting(cx, session, &Problem::new(Code::Unavailable, stops));
        let window_ms = self.shared.reconnect_window_ms;
        let closing = Event::Closing {
            reason: "draining",
            reconnect_ms: self.state.random.u64(0..=window_ms),
        };
        send_event(cx, session, &closing);
    }

    fn held_bytes(&self) -> u64 {
        self.state.waiting.bytes() as u64 + self.state.held_bytes.total()
    }

    fn quiet(&mut self, quiet: Quiet) {
        self.state.release_memory();
        allocator::release(quiet);
    }

    fn closed(&mut self, cx: &mut Engine<'_>, mut session: Session, reason: CloseReason) {
        if let Some(limiter) = &mut self.state.limiter {
            limiter.leaves(slot_of(cx), session.identity());
        }
        if self.shared.debugging.is_on() {
            debug::ended(&self.context(cx, &mut session), reason);
        }
        if let Some(hook) = self.code.hooks.disconnect.clone() {
            hook(&mut self.context(cx, &mut session), reason);
        }
        self.context(cx, &mut session).closed_in_maps();
        resume::closed(cx, &mut self.state, &self.shared, &mut session, reason);
    }

    fn closing(
        encoding: EncodingId,
        reason: CloseReason,
        code: CloseCode,
        text: &str,
    ) -> (CloseCode, &str) {
        match dialect_of_encoding(encoding) {
            Some(dialect) => closing::closing(dialect, reason, code, text),
            None => (code, text),
        }
    }

    fn encode(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        publication::encode(encoding, publication, position)
    }

    fn encode_again(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Position,
    ) -> Option<Frame> {
        publication::encode_again(encoding, publication, position)
    }

    fn sift(publication: &Publication<'_>, filters: &[Filter], passes: &mut [bool]) {
        filtering::sift(publication, filters, passes);
    }

    fn removal(last: &Publication<'_>) -> Option<Content> {
        entry::removal(last)
    }

    fn encode_delta(
        encoding: EncodingId,
        base: Option<&Publication<'_>>,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        publication::encode_delta(encoding, base, publication, position)
    }
}

impl Service {
    /// A session has gone on: the application hears of it after the client.
    fn resumed(&mut self, cx: &mut Engine<'_>, session: &mut Session, resumed: &Resumed) {
        if let Some(hook) = self.code.hooks.resumed.clone() {
            hook(&mut self.context(cx, session), resumed);
        }
    }
}

/// Sends an event in the connection's dialect.
fn send_event(cx: &mut Engine<'_>, session: &Session, event: &Event<'_>) {
    let dialect = dialect_of(cx, session);
    if !dialect.has(event) {
        return;
    }
    cx.send_with(dialect.kind(), |out| {
        let written = dialect.write_event(out, event);
        debug_assert!(
            written.is_ok(),
            "events without data can be said in every dialect"
        );
    });
}
