//! Requests that clients of the Centrifuge protocol make in a form of their own: membership with
//! recovery, its end, and how many are in a channel. Called by the dispatch.
//!
//! Invariant: a subscribe is replied to before anything of its channel is sent, and an unsubscribe
//! holds for the next command, whichever shard has to hear of it.

use crate::auth::check;
use crate::auth::claims::{Purpose, RoomClaims, Verified};
use crate::auth::fault::TokenFault;
use crate::auth::grants::RoomAction;
use crate::centrifuge::answers;
use crate::centrifuge::map;
use crate::centrifuge::reading::read_for;
use crate::centrifuge::recovery::{FoundPage, RecoveryMode, ToldPage};
use crate::centrifuge::server_side;
use crate::centrifuge::wish::{
    NO_FILTERS, Wish, begin_entering, is_entering, is_given_up, narrow, set_term,
};
use crate::limits::check as check_limits;
use crate::rooms::entering::RoomToJoin;
use crate::rooms::kept::KeptPage;
use crate::rooms::membership;
use crate::rooms::{members, presence};
use crate::session::call::OwnedCall;
use crate::session::context::{Context, Continuation};
use crate::session::pending::{JoinedRoom, Outcome, Requester, Shape};
use crate::wire::filtering::filter_of;
use crate::wire::position::{epoch_text, since_of};
use crate::wire::publication::deltas_of;
use shardcast_engine::{PresenceQuery, Recovery};
use shardcast_protocol::dialect::centrifuge::{
    CentrifugeReply, CentrifugeRequest, Deltas, FilterFault, IfLost, Recovering, Refusal,
    Subscribe, Subscribed, Unsubscribed,
};
use shardcast_protocol::dialect::{Code, Event, Problem, Reply};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

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

/// What a client is told whose filter there is not.
pub(crate) fn problem_of(fault: FilterFault) -> Problem {
    match fault {
        FilterFault::Malformed => Problem::new(Code::BadRequest, "tf is no filter"),
        FilterFault::WithDeltas => {
            Problem::new(Code::BadRequest, "there are no deltas with a filter")
        }
        FilterFault::TooLarge => Problem::new(Code::TooLarge, "tf is too large"),
    }
}

fn subscribe(cx: &mut Context<'_>, asked: &Subscribe<'_>) -> Result<(), Problem> {
    let room = cx.shared.resolve(&asked.channel)?;
    if cx.is_in(room.name()) || is_entering(cx, room.name()) {
        refuse(cx, Refusal::AlreadySubscribed);
        return Ok(());
    }
    if asked.filter.is_some() && !room.namespace().tag_filters {
        return Err(Problem::new(Code::BadRequest, NO_FILTERS));
    }
    let wish = Wish {
        channel: room.name().into(),
        since: asked.recover.as_ref().map(since_of),
        if_lost: asked.if_lost,
        deltas: match room.namespace().deltas {
            true => asked.deltas,
            false => Deltas::Off,
        },
        filter: asked.filter.as_ref().map(filter_of),
        is_narrowed: false,
        info: None,
        term: None,
        map: asked.map.as_ref().map(map::wish_of).transpose()?,
    };
    if !asked.token.is_empty() && cx.shared.gate.is_some() {
        check_limits::join(cx, 1)?;
        subscribe_with_token(cx, wish, &asked.token);
        return Ok(());
    }
    cx.may(RoomAction::Join, &room)?;
    check_limits::join(cx, 1)?;
    let Some(call) = cx.defer() else {
        return Ok(());
    };
    if let Err(problem) = enter(cx, &call, wish) {
        cx.answer_to(&call, &Reply::Error(&problem));
    }
    Ok(())
}

/// Enters a channel that the token lets the client into.
fn subscribe_with_token(cx: &mut Context<'_>, wish: Wish, token: &str) {
    let Some(call) = cx.defer() else { return };
    let serial = begin_entering(cx, &wish.channel);
    let waiting = call.clone();
    let begun = check::start(cx, token, Purpose::Room, move |cx, outcome| {
        if is_given_up(cx, &waiting, serial) {
            return;
        }
        match permitted(cx, &wish.channel, outcome) {
            Ok(claims) => {
                let wish = Wish {
                    info: claims.info().map(Into::into),
                    term: term_of(cx, &claims),
                    ..wish
                };
                let wish = wish.narrowed(claims.filter());
                if let Err(problem) = wish.and_then(|wish| enter(cx, &waiting, wish)) {
                    cx.answer_to(&waiting, &Reply::Error(&problem));
                }
            }
            Err(refused) => answer_refused_token(cx, &waiting, &refused),
        }
    });
    if let Err(problem) = begun {
        answers::state(cx.session).take_entering(serial);
        cx.session.shrink();
        cx.answer_to(&call, &Reply::Error(&problem));
    }
}

/// Why a channel's token is not taken.
enum RefusedToken {
    /// It was good once.
    Expired,
    Other(Problem),
}

/// What the token of a channel claims, if it lets the connection in.
fn permitted(
    cx: &Context<'_>,
    channel: &str,
    outcome: Result<Verified, TokenFault>,
) -> Result<Arc<RoomClaims>, RefusedToken> {
    let verified = match outcome {
        Ok(verified) => verified,
        Err(TokenFault::Expired) => return Err(RefusedToken::Expired),
        Err(fault) if fault.is_transient() => return Err(RefusedToken::Other(fault.problem())),
        Err(fault) => {
            let problem = Problem::new(Code::Forbidden, fault.to_string());
            return Err(RefusedToken::Other(problem));
        }
    };
    let room = cx.shared.resolve(channel).map_err(Problem::from);
    let admitted = room.and_then(|room| check::admit(cx, &room, &verified));
    admitted.map_err(|problem| {
        RefusedToken::Other(match problem.code {
            Code::Unauthorized => Problem::new(Code::Forbidden, problem.message),
            _ => problem,
        })
    })
}

fn answer_refused_token(cx: &mut Context<'_>, call: &OwnedCall, refused: &RefusedToken) {
    match refused {
        RefusedToken::Expired => answers::answer_refusal(cx, call, Refusal::TokenExpired),
        RefusedToken::Other(problem) => cx.answer_to(call, &Reply::Error(problem)),
    }
}

fn term_of(cx: &Context<'_>, claims: &RoomClaims) -> Option<Duration> {
    cx.shared.gate.as_ref()?.left(claims.issue())
}

/// Reads what the client has missed of the channel, if it wishes to have that, and joins.
fn enter(cx: &mut Context<'_>, call: &OwnedCall, wish: Wish) -> Result<(), Problem> {
    let shared = cx.shared;
    let channel = Arc::clone(&wish.channel);
    let room = shared.resolve(&channel)?;
    if room.map().is_some() != wish.map.is_some() {
        return Err(map::kind_problem(room.map().map(|map| map.of)));
    }
    if let Some(asked) = wish.map.clone() {
        return map::enter(cx, call, (wish, asked), room);
    }
    let mode = RecoveryMode::of(cx, &room);
    let is_read = match mode {
        RecoveryMode::Off => false,
        RecoveryMode::Cache => true,
        RecoveryMode::Stream | RecoveryMode::StreamByKey => wish.since.is_some(),
    };
    if !is_read {
        return join(cx, call, wish, mode, None);
    }
    let since = wish.since;
    let query = mode.query(since, wish.filter.as_ref());
    read_for(cx, call, room, query, move |cx, call, history| {
        let mut bytes_left = cx.shared.page_bytes_max;
        let told = ToldPage {
            room: &wish.channel,
            deltas: wish.deltas,
            filter: wish.filter.as_ref(),
        };
        let found = FoundPage::new(cx, told, (mode, since), history, &mut bytes_left);
        match (found.recovering, wish.if_lost) {
            (Recovering::Lost, IfLost::Refuse) => {
                answers::answer_refusal(cx, call, Refusal::UnrecoverablePosition);
                Ok(())
            }
            (Recovering::Lost, IfLost::Begin) => join(cx, call, wish, mode, None),
            (Recovering::Recovered | Recovering::No, _) => join(cx, call, wish, mode, Some(found)),
        }
    })
}

/// Joins, where what was found of the channel ends.
fn join(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    wish: Wish,
    mode: RecoveryMode,
    found: Option<FoundPage>,
) -> Result<(), Problem> {
    let shared = cx.shared;
    let channel = Arc::clone(&wish.channel);
    let room = shared.resolve(&channel)?;
    let info = wish.info.as_deref().filter(|_| room.presence().is_some());
    let shown = info.map(|info| presence::shown_in(&room, server_side::json(info)));
    let asked = RoomToJoin {
        room,
        since: found.as_ref().and_then(FoundPage::since),
        shown: shown.transpose()?,
        before: None,
        deltas: deltas_of(wish.deltas),
        filter: wish.filter.clone(),
    };
    let call = call.clone();
    membership::join_one(cx, asked, move |cx, joined| match joined {
        Ok(joined) => {
            if wish.is_narrowed {
                narrow(cx, &joined.room);
            }
            answer_subscribe(cx, &call, &wish, (mode, found), &joined);
        }
        Err(problem) => cx.answer_to(&call, &Reply::Error(&problem)),
    })
}

fn answer_subscribe(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    wish: &Wish,
    (mode, found): (RecoveryMode, Option<FoundPage>),
    joined: &JoinedRoom,
) {
    let log = joined.log.filter(|_| mode != RecoveryMode::Off);
    // Trimmed since it was read.
    let is_lost = matches!(log.and_then(|log| log.recovery), Some(Recovery::Lost(_)));
    let found = found.filter(|_| !is_lost);
    let recovery = match (&found, wish.since) {
        (Some(found), _) => found.recovering,
        (None, Some(_)) => Recovering::Lost,
        (None, None) => Recovering::No,
    };
    if recovery == Recovering::Lost && wish.if_lost == IfLost::Refuse {
        let tag = cx.state.take_tags(1);
        // Fails where the client has left in the meantime; the answer is dropped.
        let _ = cx.engine.leave(&joined.room, tag);
        return answers::answer_refusal(cx, call, Refusal::UnrecoverablePosition);
    }
    let ttl_s = set_term(cx, &joined.room, wish.term);
    let position = match &found {
        Some(found) => Some(found.position()),
        None => log.map(|log| log.position),
    };
    let kept = found.as_ref().map(|found| found.kept(&joined.room));
    let publications = kept.as_ref().map(KeptPage::messages);
    let epoch = position.map(epoch_text);
    let subscribed = Subscribed {
        position: epoch
            .as_ref()
            .zip(position)
            .map(|(epoch, position)| epoch.at(position.offset)),
        recovery,
        publications: publications.as_deref().unwrap_or(&[]),
        deltas: wish.deltas,
        ttl_s,
    };
    cx.answer_to(
        call,
        &Reply::Centrifuge(CentrifugeReply::Subscribed(subscribed)),
    );
}

/// `sub_refresh`, which is the request at hand: another token of the same channel.
pub(crate) fn refresh(cx: &mut Context<'_>, channel: &str, token: &str) {
    let Some(call) = cx.defer() else { return };
    if cx.shared.gate.is_none() {
        return answers::answer_refusal(cx, &call, Refusal::NotAvailable);
    }
    let (waiting, name) = (call.clone(), Arc::<str>::from(channel));
    let begun = check::start(
        cx,
        token,
        Purpose::Room,
        move |cx, outcome| match permitted(cx, &name, outcome) {
            Ok(_) if !cx.is_in(&name) => {
                let problem = Problem::new(Code::NotJoined, "the connection is not in the channel");
                cx.answer_to(&waiting, &Reply::Error(&problem));
            }
            Ok(claims) => {
                let term = term_of(cx, &claims);
                let ttl_s = set_term(cx, &name, term);
                let refreshed = CentrifugeReply::SubRefreshed { ttl_s };
                cx.answer_to(&waiting, &Reply::Centrifuge(refreshed));
            }
            Err(refused) => answer_refused_token(cx, &waiting, &refused),
        },
    );
    if let Err(problem) = begun {
        cx.answer_to(&call, &Reply::Error(&problem));
    }
}

/// Ends memberships whose time is over by now: their clients may come back with other tokens.
pub(crate) fn expire(cx: &mut Context<'_>) {
    let now_ms = cx.engine.now_ms();
    loop {
        let state = cx
            .session
            .some_mut()
            .and_then(|more| more.centrifuge.as_mut());
        let Some(channel) = state.and_then(|state| state.take_over(now_ms)) else {
            return cx.session.shrink();
        };
        let tag = cx.state.take_tags(1);
        // Fails where the client has left it by itself.
        if cx.engine.leave(&channel, tag).is_ok() {
            cx.send_event(&Event::Unsubscribed {
                room: &channel,
                why: Unsubscribed::Expired,
            });
        }
    }
}

/// Who is in no channel of this name has left it already.
fn unsubscribe(cx: &mut Context<'_>, channel: &str) -> Result<(), Problem> {
    let room = cx.shared.resolve(channel)?;
    if let Some(state) = cx
        .session
        .some_mut()
        .and_then(|more| more.centrifuge.as_mut())
    {
        state.give_up(channel);
        state.set_term(channel, None);
        cx.session.shrink();
    }
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
