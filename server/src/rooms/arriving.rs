//! A session arrives at the connection that wants it: from a shard of this process, or as the copy
//! that the broker of a cluster has.
//!
//! Invariant: where the broker has copies, nobody goes on with a session before the broker has
//! granted it, once; only while the broker is away does the node decide by itself about its own.
//! Every request is answered. Called by `rooms/resume.rs`.

use crate::rooms::handing::{
    SessionArrival, SessionNotice, let_go, send, take_request, wait_again,
};
use crate::rooms::rejoin::{FormerConnection, WentOn, rejoin};
use crate::session::call::OwnedCall;
use crate::session::context::Context;
use crate::session::copies::{SessionVerdict, SessionWish};
use crate::session::identity::Identity;
use crate::session::metadata::Precedence;
use crate::session::origin::SessionOrigin;
use crate::session::record::SessionRecord;
use crate::session::resumable::{Taking, TakingStage};
use crate::session::shelf::ShelvedSession;
use crate::wire::failure::unavailable;
use shardcast_engine::{Address, Since};
use shardcast_protocol::dialect::{Code, Problem, Reply};
use std::collections::HashMap;
use std::time::Duration;

/// A request that a session answers.
struct ResumeRequest {
    call: OwnedCall,
    since: HashMap<String, Since>,
}

/// There is no such session, as the client is told.
pub(super) fn refused(cx: &Context<'_>) -> Problem {
    cx.shared.sessions.counts.refused();
    Problem::new(Code::NoSession, "there is no such session to go on with")
}

/// Whoever would have to be asked has too much to do.
pub(super) fn broker_is_busy() -> Problem {
    unavailable("too much waits for the broker")
}

/// A shard has answered the connection: with the session of `from`, or that there is none. Returns
/// what is to be answered now.
pub(super) fn given(
    cx: &mut Context<'_>,
    from: Address,
    given: Option<Box<SessionRecord>>,
) -> Option<WentOn> {
    let Some(mut taking) = take_request(cx) else {
        // It has ended its own session meanwhile.
        if let Some(record) = given {
            send(&mut cx.engine, from, SessionNotice::Back(record));
        }
        return None;
    };
    let shared = cx.shared;
    let Some(copies) = &shared.sessions.copies else {
        return arrived(cx, *taking, from, given);
    };
    let (wish, stage) = match given {
        Some(record) => {
            let keep = Duration::from_millis(shared.sessions.limits.keep_ms);
            let take = &taking.take;
            let session = ShelvedSession::of(take.session, take.digest, &record, keep);
            let Some(session) = session else {
                // The broker has no copies of such.
                return arrived(cx, *taking, from, Some(record));
            };
            let wish = SessionWish::Claim {
                by: take.by,
                session: Box::new(session),
            };
            (wish, TakingStage::Claiming { from, record })
        }
        None => (
            SessionWish::Take(taking.take.clone()),
            TakingStage::OfBroker,
        ),
    };
    taking.stage = stage;
    if copies.wish(wish).is_ok()
        && let Some(resumable) = cx.session.resumable_mut()
    {
        resumable.taking = Some(taking);
        return None;
    }
    let Taking { call, stage, .. } = *taking;
    if let TakingStage::Claiming { from, record } = stage {
        send(&mut cx.engine, from, SessionNotice::Back(record));
    }
    cx.answer_to(&call, &Reply::Error(&broker_is_busy()));
    None
}

/// What a shard has given is all that there is.
fn arrived(
    cx: &mut Context<'_>,
    taking: Taking,
    from: Address,
    given: Option<Box<SessionRecord>>,
) -> Option<WentOn> {
    let Taking { call, since, .. } = taking;
    let arrival = given.map(|record| SessionArrival {
        record,
        from: Some(from),
        copied: None,
    });
    go_on(cx, ResumeRequest { call, since }, arrival)
}

/// The bridge has answered the connection. Returns what is to be answered now.
pub(super) fn judged(cx: &mut Context<'_>, verdict: SessionVerdict) -> Option<WentOn> {
    let shared = cx.shared;
    let copied = match verdict {
        SessionVerdict::Granted(copied) => Ok(copied),
        SessionVerdict::Denied => Err(None),
        SessionVerdict::Unavailable => Err(Some(unavailable("the broker is away"))),
    };
    let Some(taking) = take_request(cx) else {
        // It has ended its own session meanwhile.
        if let Ok(Some(copied)) = copied {
            wait_again(shared, copied);
        }
        return None;
    };
    let Taking {
        call, since, stage, ..
    } = *taking;
    let request = ResumeRequest { call, since };
    let arrival = match (stage, copied) {
        (TakingStage::Claiming { from, record }, Ok(copied)) => Some(SessionArrival {
            record,
            from: Some(from),
            copied,
        }),
        (TakingStage::OfBroker | TakingStage::OfShard, Ok(Some(copied))) => Some(SessionArrival {
            record: record_of_copy(&copied.session),
            from: None,
            copied: Some(copied),
        }),
        (TakingStage::Claiming { from, record }, Err(None)) => {
            if record.origin.is_none() {
                send(&mut cx.engine, from, SessionNotice::Settled);
            }
            None
        }
        (TakingStage::OfBroker | TakingStage::OfShard, Ok(None) | Err(None)) => None,
        (stage, Err(Some(problem))) => {
            if let TakingStage::Claiming { from, record } = stage {
                send(&mut cx.engine, from, SessionNotice::Back(record));
            }
            cx.answer_to(&request.call, &Reply::Error(&problem));
            return None;
        }
    };
    go_on(cx, request, arrival)
}

/// A copy, as a session of another process.
fn record_of_copy(session: &ShelvedSession) -> Box<SessionRecord> {
    Box::new(SessionRecord {
        identity: session.identity.clone(),
        rooms: session.rooms.clone(),
        origin: Some(Box::new(SessionOrigin {
            connection: session.connection,
            digest: session.digest,
            proof: session.proof,
            // It waits nowhere in this process.
            due_ms: 0,
        })),
        ..SessionRecord::default()
    })
}

/// The connection has what it wanted, or hears that there is nothing.
fn go_on(
    cx: &mut Context<'_>,
    request: ResumeRequest,
    arrival: Option<SessionArrival>,
) -> Option<WentOn> {
    let ResumeRequest { call, since } = request;
    let Some(arrival) = arrival else {
        let problem = refused(cx);
        cx.answer_to(&call, &Reply::Error(&problem));
        return None;
    };
    if let Err(problem) = take_on(cx, &arrival.record) {
        let shared = cx.shared;
        arrival.give_back(&mut cx.engine, shared);
        cx.answer_to(&call, &Reply::Error(&problem));
        return None;
    }
    cx.shared.sessions.counts.resumed();
    let SessionRecord {
        metadata,
        rooms,
        began,
        origin,
        ..
    } = *arrival.record;
    let before = match (origin, arrival.from) {
        (Some(origin), _) => FormerConnection::EarlierProcess(origin.connection),
        (None, Some(from)) => {
            send(&mut cx.engine, from, SessionNotice::Settled);
            FormerConnection::Here(from)
        }
        // A copy has an origin.
        (None, None) => FormerConnection::EarlierProcess(cx.engine.address()),
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

/// The connection becomes who the session is, if it is nobody.
///
/// # Errors
/// It does not have the session.
fn take_on(cx: &mut Context<'_>, record: &SessionRecord) -> Result<(), Problem> {
    let user = record.identity.name();
    if cx.user().is_some() {
        // It was nobody, or the same user, when it asked.
        return match cx.user() == user {
            true => Ok(()),
            false => Err(refused(cx)),
        };
    }
    // Whoever a token proved it to be has to prove it again when the token is over.
    if is_over(cx, &record.identity) {
        return Err(refused(cx));
    }
    cx.become_user(record.identity.clone())?;
    cx.begin_validity();
    Ok(())
}

/// Whether the time is over of who somebody is: that of the token that proved it, or its own.
fn is_over(cx: &Context<'_>, identity: &Identity) -> bool {
    let remaining = identity.lasts().or_else(|| {
        let gate = cx.shared.gate.as_ref()?;
        gate.remaining(identity.claims()?)
    });
    remaining.is_some_and(|remaining| remaining.is_zero())
}

impl Context<'_> {
    /// Ends the session of this connection without ending the connection: its token is worth
    /// nothing from now on, and whoever comes back begins anew. Does nothing where sessions do not
    /// outlive connections ([`crate::App::sessions`]).
    pub fn end_session(&mut self) {
        let_go(&mut self.engine, self.session);
        self.session_changed();
        self.session.end_with_connection();
        self.session.shrink();
    }
}
