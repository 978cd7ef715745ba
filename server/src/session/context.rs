//! The connection at hand and its server, for the length of one call on the shard: what handlers,
//! middleware and hooks can see and do.

use crate::limits::limiter::slot_of;
use crate::session::call::{Call, OwnedCall};
use crate::session::debugging::TARGET;
use crate::session::identity::Identity;
use crate::session::muting::{dialect_of, is_muted, muted};
use crate::session::pending::{Outcome, Requester};
use crate::session::shard_state::ShardState;
use crate::session::shared::Shared;
use crate::session::state::SessionState;
use crate::session::validity::Validity;
use crate::traces::tracer::{BegunStep, RequestTrace, TraceContext};
use crate::wire::connection_id::ConnectionId;
use crate::wire::encoding::{self, Nesting};
use crate::wire::failure::{Failure, problem_of_room};
use serde::Serialize;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{Context as Engine, EncodingId, Peer, SpanKind, confine};
use shardcast_protocol::dialect::centrifuge::CentrifugeReply;
use shardcast_protocol::dialect::{Code, Dialect, Event, Problem, Reply};
use shardcast_protocol::trace_parent::TraceParent;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One call on the shard. It must not block: while it runs, no other connection of the shard is
/// served.
#[derive(Debug)]
pub struct Context<'c> {
    pub(crate) engine: Engine<'c>,
    pub(crate) session: &'c mut Session,
    pub(crate) state: &'c mut ShardState,
    /// A reference of its own, so that what it refers to can be held while the connection changes.
    pub(crate) shared: &'c Arc<Shared>,
    /// The request that is being handled, until it is answered.
    call: Option<Call<'c>>,
    /// Whether it is recorded.
    pub(crate) trace: TraceDecision<'c>,
}

impl<'c> Context<'c> {
    pub(crate) fn new(
        engine: Engine<'c>,
        session: &'c mut Session,
        state: &'c mut ShardState,
        shared: &'c Arc<Shared>,
        call: Option<Call<'c>>,
    ) -> Context<'c> {
        Context {
            engine,
            session,
            state,
            shared,
            call,
            trace: TraceDecision::Asked(None),
        }
    }

    /// Decides whether the request at hand is recorded, as this step, unless it was decided before.
    #[inline]
    pub(crate) fn decide_trace(&mut self, step: (&'static str, SpanKind)) -> RequestTrace {
        let decided = TraceDecision::Decided(None);
        match (
            std::mem::replace(&mut self.trace, decided),
            &self.shared.tracer,
        ) {
            (TraceDecision::Decided(trace), _) => trace.map(|trace| *trace).unwrap_or_default(),
            (TraceDecision::Asked(asked), None) => RequestTrace::passed_on(asked),
            (TraceDecision::Asked(asked), Some(tracer)) => {
                tracer.decide(asked, step, || self.state.random.u64(..))
            }
        }
    }

    /// The trace that the request at hand belongs to: the client's, until it is decided.
    pub(crate) fn asked_trace(&self) -> Option<TraceContext> {
        match &self.trace {
            TraceDecision::Asked(asked) => asked.copied().map(TraceContext::PassedOn),
            TraceDecision::Decided(trace) => trace.as_ref()?.context,
        }
    }

    /// The step of the request at hand, if it was decided to record it and nobody has taken it.
    #[inline]
    pub(crate) fn step_left(&mut self) -> Option<&mut BegunStep> {
        match &mut self.trace {
            TraceDecision::Decided(Some(trace)) => trace.step.as_deref_mut(),
            TraceDecision::Decided(None) | TraceDecision::Asked(_) => None,
        }
    }

    /// The connection at hand.
    pub fn connection(&self) -> ConnectionId {
        ConnectionId(self.engine.address())
    }

    /// The identity of the connection.
    pub fn identity(&self) -> &Identity {
        self.session.identity()
    }

    /// The user's name, if the connection has one.
    pub fn user(&self) -> Option<&str> {
        self.identity().name()
    }

    /// Replaces (or clears) the connection's identity. Messages to the old user stop and those to
    /// the new one begin at one place in the order of each.
    ///
    /// # Errors
    /// `rate_limited`: the identity has changed too often in a moment, and stays.
    pub fn identify(&mut self, identity: Identity) -> Result<(), Failure> {
        Ok(self.become_user(identity)?)
    }

    /// The same, with the problem that a client would hear.
    pub(crate) fn become_user(&mut self, identity: Identity) -> Result<(), Problem> {
        let banned = identity
            .name()
            .and_then(|user| self.shared.bans.of_user(user));
        if banned.is_some() {
            return Err(Problem::new(Code::Forbidden, "this user is banned"));
        }
        let is_other = identity.name() != self.user();
        let is_awaited = self.is_awaited();
        let slot = slot_of(&self.engine);
        if let Some(limiter) = &mut self.state.limiter {
            let counted = limiter.becomes(slot, self.session.identity(), &identity);
            counted.map_err(Problem::from)?;
        }
        if is_awaited {
            self.unmute();
        }
        if is_other && let Err(error) = self.engine.identify(identity.name()) {
            if let Some(limiter) = &mut self.state.limiter {
                // It was counted as the same user a moment ago.
                let _ = limiter.becomes(slot, &identity, self.session.identity());
            }
            if is_awaited {
                self.mute();
            }
            return Err(problem_of_room(error));
        }
        self.session.set_identity(identity);
        self.session_changed();
        if is_other {
            self.identified_in_maps();
        }
        if is_awaited {
            self.begin_validity();
        }
        Ok(())
    }

    /// Whether the connection must say who it is before anything else, or speaks the Centrifuge
    /// protocol and has not connected.
    pub(crate) fn is_awaited(&self) -> bool {
        is_muted(self.engine.encoding())
    }

    /// Whether it must prove who it is.
    pub(crate) fn must_prove(&self) -> bool {
        let validity = self.session.some().and_then(|more| more.validity);
        matches!(validity, Some(Validity::Awaited { .. }))
    }

    /// The connection, which is a member nowhere, is sent nothing that others publish.
    pub(crate) fn mute(&mut self) {
        let dialect = self.dialect();
        if self.engine.set_encoding(muted(dialect)) && !dialect.is_centrifuge() {
            self.session.more().muted = Some(dialect);
        }
    }

    /// It is again.
    pub(crate) fn unmute(&mut self) {
        if !self.is_awaited() {
            return;
        }
        let encoding = EncodingId::new(self.dialect().index());
        if self.engine.set_encoding(encoding)
            && let Some(more) = self.session.some_mut()
        {
            more.muted = None;
            self.session.shrink();
        }
    }

    /// Sends an event in the connection's dialect, if that has it.
    pub(crate) fn send_event(&mut self, event: &Event<'_>) {
        let dialect = self.dialect();
        if !dialect.has(event) {
            return;
        }
        self.engine.send_with(dialect.kind(), |out| {
            let written = dialect.write_event(out, event);
            debug_assert!(written.is_ok(), "an event without data can always be said");
        });
    }

    /// Where the client connects from.
    pub fn remote_address(&self) -> Peer {
        self.engine.peer()
    }

    /// The connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.engine.is_secure()
    }

    /// How long the connection has been open, in steps of a tick.
    pub fn connected(&self) -> Duration {
        Duration::from_millis(
            self.engine
                .now_ms()
                .saturating_sub(self.session.opened_ms()),
        )
    }

    /// When the connection opened, by the host's clock.
    pub fn connected_at(&self) -> std::time::SystemTime {
        std::time::SystemTime::now() - self.connected()
    }

    /// The dialect of the connection.
    pub fn dialect(&self) -> Dialect {
        dialect_of(&self.engine, self.session)
    }

    /// The value of this type that the application keeps with the connection.
    pub fn metadata<T: 'static>(&self) -> Option<&T> {
        self.session.some()?.metadata.get()
    }

    /// The value of this type, to be changed.
    pub fn metadata_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.session.some_mut()?.metadata.get_mut()
    }

    /// Keeps one value of this type as long as the connection lives, or its session, where sessions
    /// outlive connections ([`crate::App::sessions`]); and returns the former one. `Send`: the next
    /// connection of the session may be another shard's.
    pub fn set_metadata<T: Send + 'static>(&mut self, value: T) -> Option<T> {
        self.session.more().metadata.set(value)
    }

    /// Removes the value of this type.
    pub fn take_metadata<T: 'static>(&mut self) -> Option<T> {
        let value = self.session.some_mut()?.metadata.take();
        self.session.shrink();
        value
    }

    /// Answers the request at hand, now. A request is answered once: the value that the handler
    /// returns afterwards is not sent.
    ///
    /// # Errors
    /// No request waits for an answer here, or the value cannot be written.
    pub fn reply<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let Some(call) = self.call else {
            return Err(NothingToAnswer.into());
        };
        let encoding = self.dialect().encoding();
        let mut scratch = self.state.take_scratch();
        let sent = encoding::write(encoding, Nesting::Answer, &mut scratch, value).map(|_| {
            let reply = Reply::Result(Some(encoding::written(encoding, &scratch)));
            if self.shared.debugging.is_on() {
                self.log_answer(&reply);
            }
            call.answer(&mut self.engine, self.session, &reply);
        });
        self.state.put_scratch_back(scratch);
        sent?;
        self.call = None;
        Ok(())
    }

    /// The request at hand was answered, or there is none.
    pub fn is_answered(&self) -> bool {
        self.call.is_none()
    }

    /// Answers the request at hand with a reply of the server's own.
    pub(crate) fn answer(&mut self, reply: &Reply<'_>) {
        if self.shared.debugging.is_on() {
            self.log_answer(reply);
        }
        if let Some(call) = self.call.take() {
            call.answer(&mut self.engine, self.session, reply);
        }
    }

    /// What a debugged connection is answered.
    #[cold]
    fn log_answer(&self, reply: &Reply<'_>) {
        let debugging = &self.shared.debugging;
        if debugging.has_connection(self.connection()) && debugging.may_log() {
            let answer = match reply {
                Reply::Error(problem) => problem.code.as_str(),
                Reply::Centrifuge(CentrifugeReply::Refused(refusal)) => refusal.text(),
                _ => "done",
            };
            let connection = self.connection();
            tracing::info!(target: TARGET, %connection, user = self.user(), answer, "debugged");
        }
    }

    /// Takes the request at hand, to be answered later.
    pub(crate) fn defer(&mut self) -> Option<OwnedCall> {
        self.call.take().map(Call::to_owned)
    }

    /// Answers a request that was deferred.
    pub(crate) fn answer_to(&mut self, call: &OwnedCall, reply: &Reply<'_>) {
        if self.shared.debugging.is_on() {
            self.log_answer(reply);
        }
        call.as_call().answer(&mut self.engine, self.session, reply);
    }

    /// The requester of the request at hand: its client, unless the request was answered already.
    pub(crate) fn requester(&mut self) -> Requester<Continuation> {
        match self.defer() {
            Some(call) => Requester::Client(call),
            None => Requester::Code(Continuation::new(|_, _| {})),
        }
    }

    /// The end of `within` by the engine's clock. The connection's deadlines are checked then.
    pub(crate) fn due_after(&mut self, within: Duration) -> u64 {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let due_ms = self.engine.now_ms().saturating_add(within_ms);
        self.engine.wake_at(due_ms);
        due_ms
    }

    /// Runs code of the application whose request is answered already. Its panic is counted, and
    /// goes no further.
    pub(crate) fn shield(&mut self, act: impl FnOnce(&mut Context<'_>)) {
        if confine(|| act(self)).is_err() {
            self.engine.count_panic();
        }
    }

    /// Closes the connection: what was sent before leaves first. `reason`: at most 123 bytes, the
    /// rest is cut off.
    pub fn disconnect(&mut self, code: CloseCode, reason: &str) {
        self.engine.close(code, reason);
    }
}

/// Whether the request at hand is recorded.
#[derive(Debug)]
pub(crate) enum TraceDecision<'c> {
    /// It is to be decided; the trace that the client has it belong to.
    Asked(Option<&'c TraceParent>),
    /// It was. `None`: it is not, and belongs to no trace.
    Decided(Option<Box<RequestTrace>>),
}

/// There is no request, or it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no request waits for an answer here")]
pub struct NothingToAnswer;

/// The server's state of one connection, as the engine keeps it.
pub type Session = SessionState<Continuation>;

/// What code of the application does with the outcome of a request, on the shard.
pub struct Continuation(Box<Then>);

type Then = dyn FnOnce(&mut Context<'_>, Outcome);

impl Continuation {
    pub(crate) fn new(run: impl FnOnce(&mut Context<'_>, Outcome) + 'static) -> Continuation {
        Continuation(Box::new(run))
    }

    /// Runs the continuation. Its panic is counted, and goes no further.
    pub(crate) fn run(self, cx: &mut Context<'_>, outcome: Outcome) {
        cx.shield(|cx| (self.0)(cx, outcome));
    }
}

impl fmt::Debug for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Continuation")
    }
}
