//! Requests that clients of the Centrifuge protocol make in a form of their own: membership with
//! recovery, its end, and how many are in a channel. Called by the dispatch.
//!
//! Invariant: a subscribe is replied to before anything of its channel is sent, and an unsubscribe
//! holds for the next command, whichever shard has to hear of it.

use crate::auth::grants::RoomAction;
use crate::limits::check;
use crate::namespace::Standing;
use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::membership::{self, RoomToJoin};
use crate::rooms::{members, presence};
use crate::session::call::OwnedCall;
use crate::session::context::{Context, Continuation};
use crate::session::pending::{JoinedRoom, Outcome, Requester, Shape};
use crate::wire::position::{epoch_text, since_of};
use shardcast_engine::{PresenceQuery, Recovery, Since};
use shardcast_protocol::dialect::centrifuge::{
    CentrifugeReply, CentrifugeRequest, IfLost, Recovering, Refusal, Subscribe, Subscribed,
};
use shardcast_protocol::dialect::{Problem, Reply};
use std::collections::HashSet;

/// Serves a request: answers it now, or when other shards have answered.
pub(crate) fn run(cx: &mut Context<'_>, request: &CentrifugeRequest<'_>) -> Result<(), Problem> {
    match request {
        CentrifugeRequest::Subscribe(asked) => subscribe(cx, asked),
        CentrifugeRequest::Unsubscribe { channel } => unsubscribe(cx, channel),
        CentrifugeRequest::PresenceStats { channel } => presence_stats(cx, channel),
    }
}

/// Refuses the request at hand with a number of the protocol's own.
pub(crate) fn refuse(cx: &mut Context<'_>, refusal: Refusal) {
    cx.answer(&Reply::Centrifuge(CentrifugeReply::Refused(refusal)));
}

/// What a client wished to have of what it has missed.
#[derive(Clone, Copy)]
struct Wish {
    /// What it has had. `None`: nothing is wished for.
    since: Option<Since>,
    if_lost: IfLost,
    readable: Readable,
}

/// Whether the client may name places in the channel's log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readable {
    No,
    Yes,
}

fn subscribe(cx: &mut Context<'_>, asked: &Subscribe<'_>) -> Result<(), Problem> {
    let room = cx.shared.resolve(&asked.channel)?;
    if cx.is_in(room.name()) {
        refuse(cx, Refusal::AlreadySubscribed);
        return Ok(());
    }
    cx.may(RoomAction::Join, &room)?;
    check::join(cx, 1)?;
    let wish = Wish {
        since: asked.recover.as_ref().map(since_of),
        if_lost: asked.if_lost,
        readable: readable(cx, &room),
    };
    let join = RoomToJoin {
        room,
        since: wish.since.filter(|_| wish.readable == Readable::Yes),
        shown: None,
        before: None,
    };
    let requester = |cx: &mut Context<'_>| {
        then(cx, move |cx, call, outcome| {
            if let Outcome::Joined(joining) = outcome {
                let joined = membership::conclude(cx, joining);
                answer_subscribe(cx, call, wish, joined);
            }
        })
    };
    membership::join(cx, requester, Shape::Room, &[join])
}

fn readable(cx: &Context<'_>, room: &ResolvedRoom<'_>) -> Readable {
    match room.history() {
        Some(_) if cx.may_read(room, Standing::Member).is_ok() => Readable::Yes,
        Some(_) | None => Readable::No,
    }
}

fn answer_subscribe(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    wish: Wish,
    joined: Result<Vec<JoinedRoom>, Problem>,
) {
    let room = match joined.as_deref() {
        Ok([room]) => room,
        Ok(_) => unreachable!("one room was joined"),
        Err(problem) => return cx.answer_to(call, &Reply::Error(problem)),
    };
    let log = room.log.filter(|_| wish.readable == Readable::Yes);
    let recovered = log.and_then(|log| log.recovery) == Some(Recovery::Recovered);
    let recovery = match wish.since {
        None => Recovering::No,
        Some(_) if recovered => Recovering::Recovered,
        Some(_) => Recovering::Lost,
    };
    if recovery == Recovering::Lost && wish.if_lost == IfLost::Refuse {
        let tag = cx.state.take_tags(1);
        // Fails where the client has left in the meantime; the answer is dropped.
        let _ = cx.engine.leave(&room.room, tag);
        let refused = CentrifugeReply::Refused(Refusal::UnrecoverablePosition);
        return cx.answer_to(call, &Reply::Centrifuge(refused));
    }
    let epoch = log.map(|log| epoch_text(log.position));
    let position = epoch.as_ref().zip(log).map(|(epoch, log)| {
        // A client that recovers goes on from where it was: each message moves it.
        let from = wish.since.filter(|_| recovered);
        epoch.at(from.map_or(log.position.offset, |since| since.offset))
    });
    let subscribed = CentrifugeReply::Subscribed(Subscribed { position, recovery });
    cx.answer_to(call, &Reply::Centrifuge(subscribed));
}

/// Who is in no channel of this name has left it already.
fn unsubscribe(cx: &mut Context<'_>, channel: &str) -> Result<(), Problem> {
    let room = cx.shared.resolve(channel)?;
    if !cx.is_in(room.name()) {
        cx.answer(&Reply::Left { room: room.name() });
        return Ok(());
    }
    membership::leave(cx, |cx| cx.requester(), Shape::Room, &[room])
}

fn presence_stats(cx: &mut Context<'_>, channel: &str) -> Result<(), Problem> {
    let room = cx.shared.resolve(channel)?;
    cx.may(RoomAction::Presence, &room)?;
    let requester = |cx: &mut Context<'_>| {
        then(cx, move |cx, call, outcome| {
            let (clients, users) = match &outcome {
                Outcome::Listed { listing, .. } => {
                    let users = listing.members.iter().map(|member| member.user.as_deref());
                    (listing.total, distinct(users))
                }
                Outcome::Present { page, .. } => {
                    let users = page.page.iter().map(|member| member.user.as_deref());
                    (page.members, distinct(users))
                }
                _ => return,
            };
            let stats = CentrifugeReply::PresenceStats { clients, users };
            cx.answer_to(call, &Reply::Centrifuge(stats));
        })
    };
    if room.presence().is_none() {
        return members::list(cx, requester, room, None);
    }
    let limit = PresenceQuery::LIMIT_MAX;
    let query = PresenceQuery { after: None, limit };
    presence::read(cx, requester, room, query)
}

/// Of users that are named; all who are nobody are one.
fn distinct<'m>(users: impl Iterator<Item = Option<&'m str>>) -> u32 {
    let users: HashSet<Option<&str>> = users.collect();
    u32::try_from(users.len()).unwrap_or(u32::MAX)
}

/// Answers the request at hand when its outcome is known, unless it was answered before.
fn then(
    cx: &mut Context<'_>,
    act: impl FnOnce(&mut Context<'_>, &OwnedCall, Outcome) + 'static,
) -> Requester<Continuation> {
    let call = cx.defer();
    Requester::Code(Continuation::new(move |cx, outcome| {
        if let Some(call) = &call {
            act(cx, call, outcome);
        }
    }))
}
