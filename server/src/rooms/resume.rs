//! Going on with a session: what the connection that wants it, the shard that has it, and the
//! connection that has it still say to each other.
//!
//! Invariant: a session has one holder. The shard of its connection gives it away once, lends it
//! until it hears that it has arrived, and takes it back from a connection that went meanwhile; a
//! connection whose session was given away is closed first, so that its leaves are on their way
//! before the other one joins. Every request is answered: with what came of it, or with
//! `no_session`. Called by the dispatch and by the service.

use crate::rooms::rejoin::{FormerConnection, WentOn, rejoin};
use crate::session::context::{Context, Session};
use crate::session::identity::Identity;
use crate::session::limits::Limits;
use crate::session::metadata::Precedence;
use crate::session::record::SessionRecord;
use crate::session::records::{Take, TakeOutcome};
use crate::session::resumable::Taking;
use crate::session::shard_state::ShardState;
use crate::session::shared::Shared;
use crate::session::token::{Secret, SessionToken};
use crate::wire::failure::{too_many_waiting, unavailable};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{Address, CloseReason, Context as Engine, Notice, Since};
use shardcast_protocol::dialect::{Code, Problem, Reply};
use std::collections::HashMap;
use std::sync::Arc;

/// From one shard to another, or to itself.
enum SessionNotice {
    /// To the connection whose session it is or was.
    Take(Take),
    /// To the connection that wants it: the session of this connection; `None`: there is none.
    Given(Address, Option<Box<SessionRecord>>),
    /// To the connection whose session it was: it has arrived.
    Settled,
    /// To the same: nobody is there to have it.
    Back(Box<SessionRecord>),
}

/// The connection opens with a session that may outlive it, where there are such: its token, and
/// for how many milliseconds it does.
pub(crate) fn begin(
    engine: &Engine<'_>,
    shared: &Shared,
    session: &mut Session,
) -> Option<(String, u64)> {
    let rules = &shared.sessions;
    let (resume_ms, key) = (rules.resume_ms?, rules.key.as_ref()?);
    session.outlive();
    Some((key.token(engine.address()).to_string(), resume_ms))
}

/// The secret of a connection's session, if that may outlive it.
fn secret_of(shared: &Shared, session: &Session, connection: Address) -> Option<Secret> {
    let key = shared.sessions.key.as_ref()?;
    session.outlives().then(|| key.secret(connection))
}

/// A client wants to go on with a session, from these places in its rooms.
pub(crate) fn ask(
    cx: &mut Context<'_>,
    token: &str,
    since: HashMap<String, Since>,
) -> Result<(), Problem> {
    if !cx.session.outlives() {
        return Err(refused(cx));
    }
    let resumable = cx.session.resumable();
    if resumable.is_some_and(|resumable| resumable.taking.is_some()) {
        return Err(Problem::new(Code::BadRequest, ONE_AT_A_TIME));
    }
    if !cx.session.has_space(Limits::REQUESTS_PER_CONNECTION_MAX) {
        return Err(too_many_waiting());
    }
    let me = cx.engine.address();
    let token = SessionToken::parse(token);
    let own = secret_of(cx.shared, cx.session, me);
    let token = token.filter(|token| token.connection != me || Some(token.secret) != own);
    let Some(token) = token else {
        return Err(refused(cx));
    };
    // An earlier process may have had more shards.
    let shard = usize::from(token.connection.shard) % cx.engine.shards();
    let holder = Address {
        shard: shard as u16,
        ..token.connection
    };
    let take = Take {
        session: token.connection,
        secret: token.secret,
        by: me,
        user: cx.user().map(Arc::from),
    };
    let notice = Box::new(SessionNotice::Take(take));
    if cx.engine.notify(holder, notice).is_err() {
        return Err(unavailable("too much waits for other shards"));
    }
    // Whatever comes is answered under this call, by a later notice.
    if let (Some(call), Some(resumable)) = (cx.defer(), cx.session.resumable_mut()) {
        resumable.taking = Some(Box::new(Taking { call, since }));
    }
    Ok(())
}

const ONE_AT_A_TIME: &str = "an earlier resume of this connection is not answered yet";

fn refused(cx: &Context<'_>) -> Problem {
    cx.shared.sessions.counts.refused();
    Problem::new(Code::NoSession, "there is no such session to go on with")
}

/// A notice came for an open connection, perhaps one of sessions. Returns what is to be answered
/// now, for there is nothing to wait for.
pub(crate) fn notified(cx: &mut Context<'_>, notice: Notice) -> Option<WentOn> {
    match *notice.downcast::<SessionNotice>().ok()? {
        SessionNotice::Take(take) => {
            give_away(cx, &take);
            None
        }
        SessionNotice::Given(from, given) => go_on(cx, from, given),
        SessionNotice::Back(record) => {
            // A connection has the place of another process's by chance. Nobody waits for it there.
            let (me, now_ms) = (cx.engine.address(), cx.engine.now_ms());
            cx.state.waiting.give_back(me.ticket, record, now_ms);
            None
        }
        // It is for a connection whose session was given away, which is closed.
        SessionNotice::Settled => None,
    }
}

/// Another connection goes on with the session of this one, which was thought to be gone.
fn give_away(cx: &mut Context<'_>, take: &Take) {
    let (now_ms, me) = (cx.engine.now_ms(), cx.engine.address());
    let secret = secret_of(cx.shared, cx.session, me);
    let secret = secret.filter(|secret| take.may_have(*secret, cx.user()));
    let given = secret.map(|secret| {
        let record = record_of(cx.session, me, cx.engine.rooms());
        let due_ms = cx.state.waiting.lend(me.ticket, secret, now_ms);
        cx.engine.wake_shard_at(due_ms);
        cx.disconnect(CloseCode::RESUMED, GIVEN_AWAY);
        record
    });
    let given = given.or_else(|| cx.state.waiting.take_earlier(take, now_ms));
    send(&mut cx.engine, take.by, SessionNotice::Given(me, given));
}

const GIVEN_AWAY: &str = "another connection goes on with this session";

/// What outlives the connection, which has it no more.
fn record_of(
    session: &mut Session,
    connection: Address,
    rooms: Vec<Arc<str>>,
) -> Box<SessionRecord> {
    let (identity, began) = (session.identity().clone(), session.began(connection));
    let resumable = session.end_with_connection().unwrap_or_default();
    let metadata = session
        .some_mut()
        .map(|more| std::mem::take(&mut more.metadata));
    Box::new(SessionRecord {
        identity,
        metadata: metadata.unwrap_or_default(),
        rooms: resumable.into_rooms(rooms),
        began,
        origin: None,
    })
}

/// The connection has what it wanted, or hears that there is nothing.
fn go_on(cx: &mut Context<'_>, from: Address, given: Option<Box<SessionRecord>>) -> Option<WentOn> {
    let more = cx.session.some_mut();
    let resumable = more.and_then(|more| more.resumable.as_mut());
    let taking = resumable.and_then(|resumable| resumable.taking.take());
    let Some(taking) = taking else {
        // It has ended its own session meanwhile.
        give_back(cx, from, given);
        return None;
    };
    let Taking { call, since } = *taking;
    let record = match take_on(cx, given) {
        Ok(record) => record,
        Err((given, problem)) => {
            give_back(cx, from, given);
            cx.answer_to(&call, &Reply::Error(&problem));
            return None;
        }
    };
    cx.shared.sessions.counts.resumed();
    let SessionRecord {
        metadata,
        rooms,
        began,
        origin,
        ..
    } = *record;
    let before = match origin {
        None => {
            send(&mut cx.engine, from, SessionNotice::Settled);
            FormerConnection::Here(from)
        }
        Some(origin) => FormerConnection::EarlierProcess(origin.connection),
    };
    let own = cx.session.began(cx.engine.address());
    // What the older session has counts, in whatever order they come.
    let precedence = match began < own {
        true => Precedence::Other,
        false => Precedence::Own,
    };
    if cx.session.outlives() {
        if !metadata.is_empty() {
            cx.session.more().metadata.merge(metadata, precedence);
        }
        if let Some(resumable) = cx.session.resumable_mut() {
            resumable.began = Some(began.min(own));
        }
    }
    rejoin(cx, before, rooms, since, call)
}

/// A session, or the lack of one.
type Arrived = Option<Box<SessionRecord>>;

/// The connection becomes who the session is, if it is nobody.
fn take_on(cx: &mut Context<'_>, given: Arrived) -> Result<Box<SessionRecord>, (Arrived, Problem)> {
    let Some(record) = given else {
        return Err((None, refused(cx)));
    };
    let user = record.identity.name();
    if cx.user().is_some() {
        // It was nobody, or the same user, when it asked.
        return match cx.user() == user {
            true => Ok(record),
            false => Err((Some(record), refused(cx))),
        };
    }
    // Whoever a token proved it to be has to prove it again when the token is over.
    if is_over(cx, &record.identity) {
        return Err((Some(record), refused(cx)));
    }
    match cx.become_user(record.identity.clone()) {
        Ok(()) => {
            cx.begin_validity();
            Ok(record)
        }
        Err(problem) => Err((Some(record), problem)),
    }
}

/// Whether the token that proved who somebody is has expired.
fn is_over(cx: &Context<'_>, identity: &Identity) -> bool {
    let gate = cx.shared.gate.as_ref();
    let remaining = gate.and_then(|gate| gate.remaining(identity.claims()?));
    remaining.is_some_and(|remaining| remaining.is_zero())
}

fn give_back(cx: &mut Context<'_>, from: Address, given: Arrived) {
    if let Some(record) = given {
        send(&mut cx.engine, from, SessionNotice::Back(record));
    }
}

fn send(engine: &mut Engine<'_>, to: Address, notice: SessionNotice) {
    engine.answer_notice(to, Box::new(notice));
}

/// A notice came for a connection that is not open, perhaps one of sessions.
pub(crate) fn unreached(engine: &mut Engine<'_>, state: &mut ShardState, notice: Notice) {
    let Ok(notice) = notice.downcast::<SessionNotice>() else {
        return;
    };
    let (who, now_ms) = (engine.address(), engine.now_ms());
    let waiting = &mut state.waiting;
    match *notice {
        SessionNotice::Take(take) => {
            let by = take.by;
            let taken = waiting.take(who.ticket, take, now_ms);
            give(engine, who, by, taken);
        }
        // Whoever wanted it is gone: its shard has it back.
        SessionNotice::Given(from, Some(record)) => {
            send(engine, from, SessionNotice::Back(record));
        }
        SessionNotice::Given(_, None) => {}
        SessionNotice::Settled => {
            if let Some(waited) = waiting.settle(who.ticket) {
                give(engine, who, waited.by, TakeOutcome::None);
            }
        }
        SessionNotice::Back(record) => {
            if let Some((waited, taken)) = waiting.give_back(who.ticket, record, now_ms) {
                give(engine, who, waited.by, taken);
            }
        }
    }
    if let Some(due_ms) = state.waiting.expire(now_ms) {
        engine.wake_shard_at(due_ms);
    }
}

fn give(engine: &mut Engine<'_>, from: Address, to: Address, taken: TakeOutcome) {
    let given = match taken {
        TakeOutcome::Session(record) => Some(record),
        TakeOutcome::None => None,
        TakeOutcome::Later => return,
    };
    send(engine, to, SessionNotice::Given(from, given));
}

/// The connection has closed: its session waits for its client, if that may come back.
pub(crate) fn closed(
    engine: &mut Engine<'_>,
    state: &mut ShardState,
    shared: &Shared,
    session: &mut Session,
    reason: CloseReason,
) {
    let (who, now_ms) = (engine.address(), engine.now_ms());
    if !reason.may_return() {
        return;
    }
    if let Some(secret) = secret_of(shared, session, who) {
        let record = record_of(session, who, engine.rooms());
        let due_ms = state.waiting.keep(who.ticket, secret, record, now_ms);
        engine.wake_shard_at(due_ms);
    }
}

impl Context<'_> {
    /// Ends the session of this connection without ending the connection: its token is worth
    /// nothing from now on, and whoever comes back begins anew. Does nothing where sessions do not
    /// outlive connections ([`crate::App::sessions`]).
    pub fn end_session(&mut self) {
        self.session.end_with_connection();
        self.session.shrink();
    }
}
