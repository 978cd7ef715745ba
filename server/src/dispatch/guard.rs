//! Decisions about joins and publishes of clients that are made in the background, before the
//! request goes its way: what a guard sees, its future, and the decision's way back to the shard.
//!
//! Invariant: a connection has one request at a guard at most, and is not read meanwhile, so what
//! it asks for is done in the order in which it asks. Each such request is decided once, whatever
//! becomes of the future: the shard keeps the deadline, and a future that is dropped without a
//! decision brings one all the same. What a connection has sent behind it waits with its session,
//! and is bounded by the length of a message.

use crate::auth::grants::RoomAction;
use crate::limits::check;
use crate::session::background::Background;
use crate::session::context::{Context, Session, TraceDecision};
use crate::session::guarded::{GuardAsked, Guarded, Verdict};
use crate::session::handle::Handle;
use crate::session::limits::Limits;
use crate::session::permits::Permit;
use crate::traces::tracer::RequestTrace;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::{Failure, HANDLER_FAILED, RETRY_AFTER_MS};
use futures_util::FutureExt;
use shardcast_engine::{Panicked, SpanKind, confine, discard};
use shardcast_protocol::dialect::centrifuge::{CentrifugeRequest, KeyChange};
use shardcast_protocol::dialect::{
    Code, Command, Method, Problem, PublishTarget, Request, Rooms, Value, ValueBox,
};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A request of a client that waits for a decision: a join or a publish.
#[derive(Debug)]
pub struct Attempt {
    connection: Background,
    rooms: Vec<Box<str>>,
    recipients: AttemptTarget,
    key: Option<Box<str>>,
    change: KeyChange,
    data: Option<ValueBox>,
}

/// Whom a publish is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum AttemptTarget {
    Rooms,
    User(Box<str>),
    Everyone,
}

impl Attempt {
    /// The connection.
    pub fn connection(&self) -> &Background {
        &self.connection
    }

    /// The rooms that are to be joined, or published to; none of a publish to others. Their names
    /// are not checked.
    pub fn rooms(&self) -> &[Box<str>] {
        &self.rooms
    }

    /// The user that is published to.
    pub fn to_user(&self) -> Option<&str> {
        match &self.recipients {
            AttemptTarget::User(user) => Some(user),
            AttemptTarget::Rooms | AttemptTarget::Everyone => None,
        }
    }

    /// Whether it is published to all connections of the server.
    pub fn is_to_everyone(&self) -> bool {
        self.recipients == AttemptTarget::Everyone
    }

    /// The conflation key that the client publishes with, which is not checked: in a room that is a
    /// map it is set or removed, unless the map has keys of its own for clients
    /// ([`crate::namespace::ClientKey`]).
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Whether a key of a map is removed, rather than set.
    pub fn is_removal(&self) -> bool {
        self.change == KeyChange::Remove
    }

    /// What is published.
    pub fn data(&self) -> Option<Value<'_>> {
        self.data.as_ref().map(ValueBox::as_value)
    }

    /// Of a request that is one; `None`: it is neither a join nor a publish.
    fn of(connection: Background, command: &Command<'_>) -> Option<Attempt> {
        let names = |rooms: &Rooms<'_>| match rooms {
            Rooms::One(room) => vec![room.as_ref().into()],
            Rooms::Many(rooms) => rooms.names().map(|room| room.as_ref().into()).collect(),
        };
        let (rooms, recipients) = match &command.request {
            Request::Join(asked) => (names(&asked.rooms), AttemptTarget::Rooms),
            Request::Centrifuge(CentrifugeRequest::Subscribe(asked)) => {
                (vec![asked.channel.as_ref().into()], AttemptTarget::Rooms)
            }
            Request::Broadcast(asked) | Request::Publish(asked) => match &asked.target {
                PublishTarget::Rooms(rooms) => (names(rooms), AttemptTarget::Rooms),
                PublishTarget::User(user) => {
                    (Vec::new(), AttemptTarget::User(user.as_ref().into()))
                }
                PublishTarget::Everyone => (Vec::new(), AttemptTarget::Everyone),
            },
            _ => return None,
        };
        let keys = match &command.request {
            Request::Broadcast(asked) | Request::Publish(asked) => asked.keys.as_deref(),
            _ => None,
        };
        let key = keys.and_then(|keys| keys.conflation.as_deref());
        Some(Attempt {
            connection,
            rooms,
            recipients,
            key: key.map(Into::into),
            change: keys.and_then(|keys| keys.change).unwrap_or_default(),
            data: command.data.map(Value::to_boxed),
        })
    }
}

/// Decides about requests of one type, within a time.
#[derive(Clone)]
pub(crate) struct RequestGuard {
    pub(crate) decide: Arc<GuardFn>,
    pub(crate) timeout: Duration,
}

/// The guards of an application; each is optional.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards {
    pub(crate) join: Option<RequestGuard>,
    pub(crate) publish: Option<RequestGuard>,
}

impl Guards {
    /// Who decides about requests of this method.
    pub(crate) fn of(&self, method: Method) -> Option<RequestGuard> {
        match method {
            Method::JoinRoom => self.join.clone(),
            Method::Broadcast | Method::Publish => self.publish.clone(),
            _ => None,
        }
    }
}

impl fmt::Debug for RequestGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestGuard(within {:?})", self.timeout)
    }
}

pub(crate) type GuardFn = dyn Fn(Attempt) -> GuardFuture + Send + Sync;

/// The future of a guard.
pub(crate) type GuardFuture = Pin<Box<dyn Future<Output = Result<Verdict, Failure>> + Send>>;

/// A guard's decision, on its way to the shard.
pub(crate) struct Guarding {
    serial: u64,
    decided: Result<Verdict, GuardEnd>,
    /// Taken until the shard has the decision.
    _permit: Permit,
}

/// How a guard ended without a verdict.
enum GuardEnd {
    Problem(Problem),
    Panic,
    /// Its future was dropped before its end.
    Dropped,
}

/// Goes with a guard's future, and posts a decision to the shard when it is dropped, however that
/// comes about.
struct GuardPost {
    handle: Handle,
    connection: ConnectionId,
    guarding: Option<Guarding>,
}

impl Drop for GuardPost {
    fn drop(&mut self) {
        if let Some(mut guarding) = self.guarding.take() {
            if std::thread::panicking() && matches!(guarding.decided, Err(GuardEnd::Dropped)) {
                guarding.decided = Err(GuardEnd::Panic);
            }
            self.handle.post_later(self.connection, guarding);
        }
    }
}

/// Whether a request may go on.
pub(crate) enum GuardPassage {
    /// It was decided.
    Decided(Verdict),
    /// It waits, and what comes behind it does, too.
    Held,
}

/// Asks the guard, unless it has decided about the request at hand by now.
///
/// # Errors
/// What the guard says against it, or too many wait.
pub(crate) fn pass(
    cx: &mut Context<'_>,
    guard: &RequestGuard,
    command: &Command<'_>,
) -> Result<GuardPassage, Problem> {
    if let Some((decided, trace)) = take_decided(cx) {
        cx.trace = TraceDecision::Decided(trace);
        return decided.map(GuardPassage::Decided);
    }
    check::in_flight(cx, &command.request)?;
    if is_vain(cx, &command.request) {
        return Ok(GuardPassage::Decided(Verdict::Accept));
    }
    if cx.state.tasks.taken() >= Limits::TASKS_PER_SHARD_MAX {
        let text = "too many requests are being decided";
        return Err(Problem::rate_limited(text, RETRY_AFTER_MS));
    }
    let serial = cx.state.take_serial();
    let kind: Arc<str> = command.request.name().into();
    let mut trace = cx.decide_trace(step_of(&command.request));
    if let Some(step) = &mut trace.step {
        // Until it is decided: whoever asks may be gone before.
        step.fail("abandoned");
    }
    let background = Background {
        trace: trace.context,
        ..cx.background(kind, serial)
    };
    let handle = background.handle.clone();
    let Some(attempt) = Attempt::of(background, command) else {
        return Ok(GuardPassage::Decided(Verdict::Accept));
    };
    let decide = Arc::clone(&guard.decide);
    let post = GuardPost {
        handle,
        connection: cx.connection(),
        guarding: Some(Guarding {
            serial,
            decided: Err(GuardEnd::Dropped),
            _permit: cx.state.tasks.take(),
        }),
    };
    let run = async move {
        let mut post = post;
        let decided = decided_by(&*decide, attempt).await;
        if let Some(guarding) = &mut post.guarding {
            guarding.decided = decided;
        }
    };
    let task = cx.shared.runtime.spawn(run);
    let asked = GuardAsked {
        serial,
        due_ms: cx.due_after(guard.timeout),
        abort: task.abort_handle(),
        trace: trace.context.is_some().then(|| Box::new(trace)),
    };
    cx.session.more().guarded = Some(Box::new(Guarded::Asked(asked)));
    cx.engine.hold();
    Ok(GuardPassage::Held)
}

/// Whether the request is refused whatever the guard says: then nobody is asked, and the server
/// refuses it in its own words.
fn is_vain(cx: &Context<'_>, request: &Request<'_>) -> bool {
    let (rooms, action) = match request {
        // A room's own token may let its bearer in.
        Request::Join(asked) if asked.token.is_some() => return false,
        Request::Join(asked) => (&asked.rooms, RoomAction::Join),
        Request::Broadcast(asked) | Request::Publish(asked) => match &asked.target {
            PublishTarget::Rooms(rooms) => (rooms, RoomAction::Publish),
            PublishTarget::User(_) | PublishTarget::Everyone => return false,
        },
        _ => return false,
    };
    let is_refused = |room: &str| {
        let room = cx.shared.resolve(room);
        room.is_err() || room.is_ok_and(|room| room.may(action, cx.identity()).is_err())
    };
    match rooms {
        Rooms::One(room) => is_refused(room),
        Rooms::Many(rooms) if rooms.count() > cx.shared.rooms_per_connection_max => true,
        Rooms::Many(rooms) => rooms.names().any(|room| is_refused(&room)),
    }
}

/// What was decided, and the request's trace.
type DecidedRequest = (Result<Verdict, Problem>, Option<Box<RequestTrace>>);

/// What such a request is called where it is recorded.
fn step_of(request: &Request<'_>) -> (&'static str, SpanKind) {
    let name = match request {
        Request::Broadcast(_) | Request::Publish(_) => "publish",
        _ => "join",
    };
    (name, SpanKind::Server)
}

/// The decision about the request at hand, if there is one.
fn take_decided(cx: &mut Context<'_>) -> Option<DecidedRequest> {
    let guarded = &mut cx.session.some_mut()?.guarded;
    match guarded.as_deref() {
        Some(Guarded::Decided(..)) => match *guarded.take()? {
            Guarded::Decided(decided, trace) => Some((decided, trace)),
            Guarded::Asked(_) => None,
        },
        Some(Guarded::Asked(_)) | None => None,
    }
}

async fn decided_by(decide: &GuardFn, attempt: Attempt) -> Result<Verdict, GuardEnd> {
    let kind = Arc::clone(&attempt.connection.kind);
    let Ok(mut work) = confine(|| decide(attempt)) else {
        return Err(GuardEnd::Panic);
    };
    let ended = AssertUnwindSafe(&mut work).catch_unwind().await;
    // The guard's values are dropped here; their destructors may panic.
    let dropped = discard(work);
    let decided = match ended {
        Ok(Ok(verdict)) => Ok(Ok(verdict)),
        Ok(Err(failure)) => confine(|| Err(GuardEnd::Problem(failure.into_problem(&kind)))),
        Err(payload) => {
            let _ignored = discard(payload);
            Err(Panicked)
        }
    };
    match (decided, dropped) {
        (Ok(decided), Ok(())) => decided,
        (Err(Panicked), _) | (_, Err(Panicked)) => Err(GuardEnd::Panic),
    }
}

/// A decision has come. False: nobody waits for it any more.
pub(crate) fn decided(cx: &mut Context<'_>, guarding: Guarding) -> bool {
    let is_awaited = matches!(
        asked(cx),
        Some(asked) if asked.serial == guarding.serial
    );
    if !is_awaited {
        return false;
    }
    let failed = || Problem::new(Code::HandlerFailed, HANDLER_FAILED);
    let decided = guarding.decided.map_err(|end| match end {
        GuardEnd::Problem(problem) => problem,
        GuardEnd::Panic => {
            cx.engine.count_panic();
            failed()
        }
        GuardEnd::Dropped => {
            tracing::warn!("a decision was dropped: its runtime ended");
            failed()
        }
    });
    settle(cx, decided);
    true
}

/// Ends what waits and is late by now, or what waits at all (`None`), with this problem. False:
/// nothing does.
pub(crate) fn give_up(cx: &mut Context<'_>, now_ms: Option<u64>, problem: Problem) -> bool {
    let is_over = |asked: &GuardAsked| now_ms.is_none_or(|now_ms| asked.due_ms <= now_ms);
    let Some(asked) = asked(cx).filter(|asked| is_over(asked)) else {
        return false;
    };
    asked.abort.abort();
    settle(cx, Err(problem));
    true
}

/// The request that waits was decided about.
fn settle(cx: &mut Context<'_>, decided: Result<Verdict, Problem>) {
    let more = cx.session.more();
    let mut trace = match more.guarded.as_deref_mut() {
        Some(Guarded::Asked(asked)) => asked.trace.take(),
        Some(Guarded::Decided(..)) | None => None,
    };
    if let Some(step) = trace.as_mut().and_then(|trace| trace.step.as_mut()) {
        match &decided {
            Ok(_) => step.succeed(),
            Err(problem) => step.fail(problem.code.as_str()),
        }
    }
    more.guarded = Some(Box::new(Guarded::Decided(decided, trace)));
}

/// Whether the request at hand has been decided about.
pub(crate) fn is_decided(session: &Session) -> bool {
    let guarded = session.some().and_then(|more| more.guarded.as_deref());
    matches!(guarded, Some(Guarded::Decided(..)))
}

fn asked<'c>(cx: &'c Context<'_>) -> Option<&'c GuardAsked> {
    match cx.session.some()?.guarded.as_deref()? {
        Guarded::Asked(asked) => Some(asked),
        Guarded::Decided(..) => None,
    }
}
