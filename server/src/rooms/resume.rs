//! Going on with a session: what the connection that wants it, the shard that has it, and the
//! connection that has it still say to each other.
//!
//! Invariant: a session has one holder. The shard of its connection gives it away once, lends it
//! until it hears that it has arrived, and takes it back from a connection that went meanwhile; a
//! connection whose session was given away is closed first, so that its leaves are on their way
//! before the other one joins. Every request is answered: with what came of it, or with
//! `no_session`. Called by the dispatch and by the service.

use crate::rooms::arriving::{broker_is_busy, given, judged, refused};
use crate::rooms::handing::{SessionNotice, let_go, send, wait_again};
use crate::rooms::rejoin::WentOn;
use crate::session::changed::{session_now, tell_changed};
use crate::session::context::{Context, Session};
use crate::session::copies::{
    BridgeNotice, SessionChange, SessionNow, SessionVerdict, SessionWish,
};
use crate::session::limits::Limits;
use crate::session::record::SessionRecord;
use crate::session::records::TakeOutcome;
use crate::session::resumable::{Taking, TakingStage};
use crate::session::shard_state::ShardState;
use crate::session::shared::Shared;
use crate::session::take::Take;
use crate::session::token::{Secret, SecretDigest, SessionToken};
use crate::wire::failure::{too_many_waiting, unavailable};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{Address, CloseReason, Context as Engine, Notice, Since};
use shardcast_protocol::dialect::{Code, Problem};
use std::collections::HashMap;
use std::sync::Arc;

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
    let me = engine.address();
    let node = rules.copies.as_ref().map(|copies| &*copies.node);
    tell_changed(engine, shared, session);
    Some((key.token(me, node).to_string(), resume_ms))
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
    let take = Take {
        session: token.connection,
        digest: token.secret.digest(),
        by: me,
        user: cx.user().map(Arc::from),
    };
    let stage = match is_elsewhere(cx.shared, &token) {
        true => ask_broker(cx, take.clone())?,
        false => ask_shard(cx, take.clone())?,
    };
    // Whatever comes is answered under this call, by a later notice.
    if let (Some(call), Some(resumable)) = (cx.defer(), cx.session.resumable_mut()) {
        resumable.taking = Some(Box::new(Taking {
            call,
            since,
            take,
            stage,
        }));
    }
    Ok(())
}

const ONE_AT_A_TIME: &str = "an earlier resume of this connection is not answered yet";

/// Whether a token names another node.
fn is_elsewhere(shared: &Shared, token: &SessionToken<'_>) -> bool {
    let copies = shared.sessions.copies.as_ref();
    token
        .node
        .is_some_and(|node| copies.is_none_or(|copies| *copies.node != *node))
}

fn ask_broker(cx: &Context<'_>, take: Take) -> Result<TakingStage, Problem> {
    let Some(copies) = &cx.shared.sessions.copies else {
        return Err(refused(cx));
    };
    let wished = copies.wish(SessionWish::Take(take));
    wished.map_err(|_| broker_is_busy())?;
    Ok(TakingStage::OfBroker)
}

fn ask_shard(cx: &mut Context<'_>, take: Take) -> Result<TakingStage, Problem> {
    // An earlier process may have had more shards.
    let shard = usize::from(take.session.shard) % cx.engine.shards();
    let holder = Address {
        shard: shard as u16,
        ..take.session
    };
    let notice = Box::new(SessionNotice::Take(take));
    match cx.engine.notify(holder, notice) {
        Ok(()) => Ok(TakingStage::OfShard),
        Err(_) => Err(unavailable("too much waits for other shards")),
    }
}

/// A notice came for an open connection, perhaps one of sessions. Returns what is to be answered
/// now, for there is nothing to wait for.
pub(crate) fn notified(cx: &mut Context<'_>, notice: Notice) -> Option<WentOn> {
    let notice = match notice.downcast::<SessionNotice>() {
        Ok(notice) => *notice,
        Err(notice) => return asked(cx, *notice.downcast::<BridgeNotice>().ok()?),
    };
    match notice {
        SessionNotice::Take(take) => {
            give_away(cx, &take);
            None
        }
        SessionNotice::Given(from, record) => given(cx, from, record),
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

/// The bridge says something to an open connection.
fn asked(cx: &mut Context<'_>, notice: BridgeNotice) -> Option<WentOn> {
    let me = cx.engine.address();
    let secret = secret_of(cx.shared, cx.session, me);
    match notice {
        BridgeNotice::Show => {
            let now = session_now(&cx.engine, cx.shared, cx.session, secret);
            show(cx.shared, me, now);
            None
        }
        BridgeNotice::Moved(digest) => {
            if secret.is_some_and(|secret| secret.digest() == digest) {
                let_go(&mut cx.engine, cx.session);
                cx.session.end_with_connection();
                cx.disconnect(CloseCode::RESUMED, GIVEN_AWAY);
            } else {
                move_away(&cx.engine, cx.state, me, digest);
            }
            None
        }
        BridgeNotice::Verdict(verdict) => judged(cx, verdict),
    }
}

/// What a session is, as the bridge has asked. It asks again after a while if it hears nothing.
fn show(shared: &Shared, connection: Address, now: SessionNow) {
    if let Some(copies) = &shared.sessions.copies {
        let _heard = copies.tell(SessionChange::Is(connection, now));
    }
}

fn move_away(engine: &Engine<'_>, state: &mut ShardState, who: Address, digest: SecretDigest) {
    let now_ms = engine.now_ms();
    state.waiting.move_away(who.ticket, digest, now_ms);
}

/// Another connection goes on with the session of this one, which was thought to be gone.
fn give_away(cx: &mut Context<'_>, take: &Take) {
    let (now_ms, me) = (cx.engine.now_ms(), cx.engine.address());
    let secret = secret_of(cx.shared, cx.session, me);
    let secret = secret.filter(|secret| take.may_have(*secret, cx.user()));
    let given = secret.map(|secret| {
        let_go(&mut cx.engine, cx.session);
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

/// A notice came for a connection that is not open, perhaps one of sessions.
pub(crate) fn unreached(
    engine: &mut Engine<'_>,
    state: &mut ShardState,
    shared: &Shared,
    notice: Notice,
) {
    match notice.downcast::<SessionNotice>() {
        Ok(notice) => of_one_gone(engine, state, *notice),
        Err(notice) => {
            if let Ok(notice) = notice.downcast::<BridgeNotice>() {
                asked_of_one_gone(engine, state, shared, *notice);
            }
        }
    }
    if let Some(due_ms) = state.waiting.expire(engine.now_ms()) {
        engine.wake_shard_at(due_ms);
    }
}

fn of_one_gone(engine: &mut Engine<'_>, state: &mut ShardState, notice: SessionNotice) {
    let (who, now_ms) = (engine.address(), engine.now_ms());
    let waiting = &mut state.waiting;
    match notice {
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
}

/// The bridge says something to a connection that is gone.
fn asked_of_one_gone(
    engine: &Engine<'_>,
    state: &mut ShardState,
    shared: &Shared,
    notice: BridgeNotice,
) {
    let who = engine.address();
    match notice {
        BridgeNotice::Show => {
            let now = state.waiting.now(who, engine.now_ms());
            show(shared, who, now);
        }
        BridgeNotice::Moved(digest) => move_away(engine, state, who, digest),
        // Whoever wanted it is gone, and what a shard had given is back there.
        BridgeNotice::Verdict(SessionVerdict::Granted(Some(copied))) => wait_again(shared, copied),
        BridgeNotice::Verdict(_) => {}
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
    let_go(engine, session);
    tell_changed(engine, shared, session);
    if !reason.may_return() {
        return;
    }
    if let Some(secret) = secret_of(shared, session, who) {
        let record = record_of(session, who, engine.rooms());
        let due_ms = state.waiting.keep(who.ticket, secret, record, now_ms);
        engine.wake_shard_at(due_ms);
    }
}
