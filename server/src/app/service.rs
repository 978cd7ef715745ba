//! The application on one shard: what clients say becomes commands, commands meet their handlers, and every one is answered.

use crate::app::arrival::{self, Decision, Outcome};
use crate::app::builtin;
use crate::app::call::{Batch, Call, dialect_of};
use crate::app::connect::{Connect, ConnectHook};
use crate::app::connection_id::ConnectionId;
use crate::app::context::{Context, too_many_waiting};
use crate::app::entrance::Chosen;
use crate::app::failure::HANDLER_FAILED;
use crate::app::handle::OnShard;
use crate::app::identity::Identity;
use crate::app::pending::Asker;
use crate::app::publication;
use crate::app::session::{Limits, Session};
use crate::app::shared::{Desk, Shared};
use crate::app::task;
use shardcast_engine::protocol::http;
use shardcast_engine::{
    Accepted, Address, Admission, Answer, Application, CloseReason, Context as Engine, EncodingId,
    Frame, Heartbeat, Message, Notice, Page, Position, Publication, Quiet, Refusal, Tag, allocator,
    confine,
};
use shardcast_protocol::dialect::{
    Code, Command, Decoded, Dialect, Event, InvalidRequest, Item, Items, Payload, Problem, Reply,
    ReplyMode, Welcome,
};
use std::sync::Arc;

/// One shard's part of an application.
#[derive(Debug)]
pub struct Service {
    desk: Desk,
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, shard: u16) -> Service {
        Service {
            desk: Desk::new(shared, shard),
        }
    }

    /// Background handlers under way for this shard's connections.
    #[doc(hidden)] // Looked at by the simulation.
    pub fn background_calls(&self) -> usize {
        self.desk.places.taken()
    }

    /// Admissions under way in the background for clients of this shard.
    #[doc(hidden)] // Looked at by the simulation.
    pub fn background_admissions(&self) -> usize {
        self.desk.arrivals.count()
    }
}

impl Application for Service {
    type Session = Session;

    fn connect(&mut self, cx: &mut Engine<'_>, request: &http::Request<'_>) -> Admission<Session> {
        let chosen = match self.desk.shared.entrances.choose(request) {
            Ok(chosen) => chosen,
            Err(refusal) => return Admission::Refuse(refusal),
        };
        match &self.desk.shared.hooks.connect {
            None => self.accept(cx, chosen, Identity::nobody(), http::Headers::new()),
            Some(ConnectHook::OnShard(hook)) => {
                let connect = Connect::new(cx, request, chosen.dialect);
                match hook(&connect) {
                    Ok(identity) => {
                        let headers = connect.into_headers();
                        self.accept(cx, chosen, identity, headers)
                    }
                    Err(refusal) => Admission::Refuse(refusal),
                }
            }
            // Where nobody may wait any more, the engine refuses, and nothing is begun for it.
            Some(ConnectHook::InBackground(_)) if !cx.may_defer() => Admission::Defer,
            Some(ConnectHook::InBackground(hook)) => {
                let hook = hook.clone();
                match arrival::begin(&mut self.desk, cx, request, chosen, &*hook) {
                    true => Admission::Defer,
                    false => Admission::Refuse(Refusal::new(503, "too many clients wait")),
                }
            }
        }
    }

    fn decide(&mut self, cx: &mut Engine<'_>, note: Notice) -> Admission<Session> {
        self.desk.arrivals.decided(cx.address());
        let Ok(decision) = note.downcast::<Decision>() else {
            return Admission::Refuse(Refusal::new(500, HANDLER_FAILED));
        };
        let headers = decision.take_headers();
        match decision.outcome {
            Outcome::Known(Ok(identity)) => self.accept(cx, decision.chosen, identity, headers),
            Outcome::Known(Err(refusal)) => Admission::Refuse(refusal),
            Outcome::Panic => {
                cx.count_panic();
                Admission::Refuse(Refusal::new(500, HANDLER_FAILED))
            }
            Outcome::Dropped => {
                tracing::warn!("the decision about a client was dropped: its runtime ended");
                Admission::Refuse(Refusal::new(503, "the server stops"))
            }
        }
    }

    fn abandoned(&mut self, who: Address) {
        self.desk.arrivals.abandoned(who);
    }

    fn plain(&mut self, request: &http::Request<'_>) -> Page {
        let shared = &*self.desk.shared;
        match request.path() {
            "/" => {
                let (server, entrances) = (&shared.server, shared.entrances.all());
                Page::text(200, format!("{server}\n{entrances}.\n"))
            }
            "/health" => Page {
                content_type: "application/json",
                ..Page::text(200, r#"{"status":"ok"}"#)
            },
            path if shared.entrances.has(path) => Page::text(426, "this is a WebSocket endpoint"),
            _ => Page::text(404, shared.entrances.elsewhere()),
        }
    }

    fn opened(&mut self, cx: &mut Engine<'_>, session: &mut Session) {
        self.desk.shared.spoken.add(dialect_of(cx));
        session.open(cx.now_ms());
        let connection = ConnectionId(cx.address()).text();
        let shared = self.desk.shared.clone();
        let welcome = Welcome {
            connection: connection.as_str(),
            server: &shared.server,
            heartbeat_ms: shared.heartbeat_ms,
            message_bytes_max: cx.message_bytes_max(),
        };
        if let Some(greeting) = dialect_of(cx).greeting(welcome) {
            say(cx, &greeting);
        }
        if session.identity().name().is_some() {
            // It asked for nothing else yet, so nothing is full.
            let identified = cx.identify(session.identity().name());
            debug_assert!(identified.is_ok());
        }
        let Some(hook) = &shared.hooks.opened else {
            return;
        };
        let mut context = Context::new(cx.reborrow(), session, &mut self.desk, None);
        if let Err(failure) = hook(&mut context) {
            let problem = failure.into_problem("opened");
            context.disconnect(problem.code.close_code(), &problem.message);
        }
    }

    fn message(&mut self, cx: &mut Engine<'_>, session: &mut Session, message: Message<'_>) {
        let payload = match message {
            Message::Text(text) => Payload::Text(text),
            Message::Binary(bytes) => Payload::Binary(bytes),
        };
        let rules = self.desk.shared.rules;
        match dialect_of(cx).read(payload, &rules) {
            Decoded::One(item) => self.take(cx, session, item, None),
            Decoded::Many(items) => self.take_all(cx, session, items),
        }
    }

    fn answered(&mut self, cx: &mut Engine<'_>, session: &mut Session, tag: Tag, answer: Answer) {
        let Some(pending) = session.settle(tag, answer) else {
            return;
        };
        let (asker, outcome) = pending.into_parts();
        let mut context = Context::new(cx.reborrow(), session, &mut self.desk, None);
        match asker {
            Asker::Client(call) => builtin::answer_late(&mut context, &call, outcome),
            Asker::Code(then) => context.shield(|cx| then(cx, outcome)),
        }
    }

    fn notified(&mut self, cx: &mut Engine<'_>, session: &mut Session, note: Notice) {
        if let Ok(act) = note.downcast::<OnShard>() {
            let mut context = Context::new(cx.reborrow(), session, &mut self.desk, None);
            context.shield(act.0);
        }
    }

    fn due(&mut self, cx: &mut Engine<'_>, session: &mut Session) -> Option<u64> {
        let now_ms = cx.now_ms();
        session.some_mut()?.reverse.time_out(now_ms);
        let mut context = Context::new(cx.reborrow(), session, &mut self.desk, None);
        task::time_out(&mut context, now_ms);
        session.shed();
        session.some()?.next_due()
    }

    fn draining(&mut self, cx: &mut Engine<'_>, _session: &mut Session) {
        let window_ms = self.desk.shared.reconnect_window_ms;
        let closing = Event::Closing {
            reason: "draining",
            reconnect_ms: self.desk.random.u64(0..=window_ms),
        };
        say(cx, &closing);
    }

    fn quiet(&mut self, quiet: Quiet) {
        self.desk.release_memory();
        allocator::release(quiet);
    }

    fn closed(&mut self, cx: &mut Engine<'_>, mut session: Session, reason: CloseReason) {
        let shared = self.desk.shared.clone();
        shared.spoken.remove(dialect_of(cx));
        if let Some(hook) = &shared.hooks.disconnect {
            let mut context = Context::new(cx.reborrow(), &mut session, &mut self.desk, None);
            hook(&mut context, reason);
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
    fn accept(
        &self,
        cx: &Engine<'_>,
        chosen: Chosen,
        identity: Identity,
        headers: http::Headers,
    ) -> Admission<Session> {
        Admission::Accept(Accepted {
            subprotocol: chosen.subprotocol,
            encoding: EncodingId::new(chosen.dialect.index()),
            headers,
            heartbeat: heartbeat_of(chosen.dialect),
            ..Session::new(cx.now_ms(), identity).into()
        })
    }

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
                // One that nobody waits for is late, or made up.
                let _ = reverse.is_some_and(|reverse| reverse.settle(&response));
                session.shed();
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

    fn take_all(&mut self, cx: &mut Engine<'_>, session: &mut Session, items: Items<'_>) {
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
            // Two of a connection's batches have not the same number before four thousand million others came between.
            let number = self.desk.take_serial() as u32;
            batches.push(Batch::new(number, missing, items.replies()));
            key = Some(number);
        }
        for item in items {
            // As with messages one by one: whom a handler has closed is not heard any more.
            if !cx.is_open() {
                return;
            }
            self.take(cx, session, item, key);
        }
    }

    /// Runs a command's middleware and handler; whatever happens there happens to this command alone.
    fn command(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        command: &Command<'_>,
        batch: Option<u32>,
    ) {
        let table = self.desk.table();
        let call = Call {
            id: command.id,
            mode: command.reply,
            batch,
        };
        let mut context = Context::new(cx.reborrow(), session, &mut self.desk, Some(call));
        let Some(entry) = table.find(&command.request) else {
            let problem = Problem::new(Code::UnknownType, "no such type of request");
            return context.answer(&Reply::Error(&problem));
        };
        let run = confine(|| entry.run(&mut context, command));
        entry.conclude(&mut context, command.request.name(), run);
    }
}

/// How a dialect keeps its connections alive.
fn heartbeat_of(dialect: Dialect) -> Heartbeat {
    match dialect {
        Dialect::NativeJson | Dialect::JsonRpc | Dialect::MessagePack => Heartbeat::WebSocketPing,
    }
}

/// Says something unasked, in the connection's dialect.
fn say(cx: &mut Engine<'_>, event: &Event<'_>) {
    let dialect = dialect_of(cx);
    cx.send_with(dialect.kind(), |out| {
        let written = dialect.write_event(out, event);
        debug_assert!(
            written.is_ok(),
            "events without data can be said in every dialect"
        );
    });
}
