//! Channels that a client is in from the start: those that its token names, and its personal one.
//!
//! Invariant: the reply to the first command stands before anything of a channel, and no
//! publication of one that keeps something is missed: it is read first, and joined, behind the
//! reply, where the reading ends. What keeps nothing is joined before the reply. If one cannot be
//! joined the connection ends, for its client would wait in vain. Called by `connection`.

use crate::auth::grants::RoomAction;
use crate::centrifuge::answers;
use crate::centrifuge::recovery::{FoundPage, RecoveryMode, ToldPage};
use crate::centrifuge::wish::{NO_FILTERS, both, narrow};
use crate::namespace::resolved::ResolvedRoom;
use crate::namespace::{Denied, Who};
use crate::rooms::entering::RoomToJoin;
use crate::rooms::membership;
use crate::rooms::{history, presence};
use crate::session::call::OwnedCall;
use crate::session::context::{Context, Continuation};
use crate::session::pending::{JoinedRoom, Outcome, Requester};
use crate::wire::failure::problem_of_room;
use crate::wire::filtering::filter_of;
use crate::wire::position::epoch_text;
use shardcast_engine::{Filter, JoinDeltas, OwnedData, Recovery, RoomError, Since};
use shardcast_protocol::dialect::centrifuge::{
    Deltas, Disconnect, Recovering, Subscribed, TagFilter,
};
use shardcast_protocol::dialect::{Code, Problem, Value};
use shardcast_protocol::json::Raw;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// What a client wants of a channel, if it is put into that.
pub(super) struct WantedOfClient {
    pub(super) channel: Box<str>,
    /// What it has had, if it wants the rest.
    pub(super) since: Option<Since>,
    /// What it wants to be sent. `None`: everything.
    pub(super) filter: Option<TagFilter>,
}

/// The channels of one connection while its first command is under way.
struct Channels {
    call: OwnedCall,
    channels: Vec<Channel>,
    /// Answers that are awaited before the reply.
    missing: usize,
    /// What the reply may still bring of publications.
    bytes_left: usize,
}

struct Channel {
    name: Arc<str>,
    mode: RecoveryMode,
    /// What the client has had, if it wants the rest.
    since: Option<Since>,
    shown: Option<OwnedData>,
    /// It is sent what passes.
    filter: Option<Filter>,
    /// Its token says so.
    is_narrowed: bool,
    found: Option<FoundPage>,
}

/// What waits for the answers has it.
type SharedChannels = Rc<RefCell<Channels>>;

/// Puts the connection into its channels, and answers its first command when it is.
pub(super) fn begin(cx: &mut Context<'_>, call: OwnedCall, had: &[WantedOfClient]) {
    let channels = match channels_of(cx, had) {
        Ok(channels) if channels.is_empty() => return answers::connected(cx, &call, &[]),
        Ok(channels) => channels,
        Err(problem) => return give_up(cx, &problem),
    };
    let count = channels.len();
    let channels = Rc::new(RefCell::new(Channels {
        call,
        channels,
        missing: count,
        bytes_left: cx.shared.page_bytes_max,
    }));
    for index in 0..count {
        let mode = channels.borrow().channels[index].mode;
        let begun = match mode {
            RecoveryMode::Off => join_first(cx, &channels, index),
            _ => read_first(cx, &channels, index),
        };
        if let Err(problem) = begun {
            return give_up(cx, &problem);
        }
    }
}

/// The connection ends, with the code that the problem has.
fn give_up(cx: &mut Context<'_>, problem: &Problem) {
    cx.disconnect(problem.code.close_code(), &problem.message);
}

fn channels_of(cx: &Context<'_>, had: &[WantedOfClient]) -> Result<Vec<Channel>, Problem> {
    let identity = cx.identity().clone();
    let granted = identity
        .claims()
        .map_or(&[][..], |claims| claims.channels());
    let admitted = cx.session.some().and_then(|more| more.admitted.as_ref());
    let given: Vec<Box<str>> = admitted.map_or(Vec::new(), |admitted| admitted.rooms.clone());
    let given = given.iter().map(|room| (&**room, None, None));
    let personal = cx.shared.centrifuge.personal_channel_of(identity.name());
    let names = granted.iter().map(|channel| {
        (
            &*channel.name,
            channel.info.as_deref(),
            channel.filter.as_ref(),
        )
    });
    let personal = personal.as_deref().map(|name| (name, None, None));
    let wanted: HashMap<&str, &WantedOfClient> = had.iter().map(|it| (&*it.channel, it)).collect();
    let mut channels: Vec<Channel> = Vec::new();
    for (name, info, granted) in names.chain(given).chain(personal) {
        if channels.iter().any(|channel| *channel.name == *name) {
            continue;
        }
        if channels.len() == cx.shared.rooms_per_connection_max {
            return Err(problem_of_room(RoomError::TooMany));
        }
        let room = cx.shared.resolve(name)?;
        if room.namespace().join == Who::Nobody {
            return Err(cx.denied(RoomAction::Join, name, Denied::Forbidden));
        }
        let shown = info.filter(|_| room.presence().is_some());
        let shown = shown.map(|info| presence::shown_in(&room, json(info)));
        let wanted = wanted.get(name);
        let own = wanted.and_then(|wanted| wanted.filter.as_ref());
        channels.push(Channel {
            name: name.into(),
            mode: RecoveryMode::of(cx, &room),
            since: wanted.and_then(|wanted| wanted.since),
            shown: shown.transpose()?,
            filter: filter_in(&room, granted, own)?,
            is_narrowed: granted.is_some(),
            found: None,
        });
    }
    Ok(channels)
}

/// What a client is sent of a channel: what passes its own filter, where there may be one, and that
/// of its token.
fn filter_in(
    room: &ResolvedRoom<'_>,
    granted: Option<&TagFilter>,
    own: Option<&TagFilter>,
) -> Result<Option<Filter>, Problem> {
    if own.is_some() && !room.namespace().tag_filters {
        return Err(Problem::new(Code::BadRequest, NO_FILTERS));
    }
    let both = match granted {
        Some(granted) => Some(both(granted, own)?),
        None => own.cloned(),
    };
    Ok(both.as_ref().map(filter_of))
}

/// What a claim says, which was written by us.
pub(super) fn json(claim: &str) -> Value<'_> {
    Value::Json(Raw::of_serializer(claim))
}

/// Joins a channel of which nothing can be missed.
fn join_first(
    cx: &mut Context<'_>,
    channels: &SharedChannels,
    index: usize,
) -> Result<(), Problem> {
    let waiting = Rc::clone(channels);
    join(cx, channels, index, None, move |cx, joined| match joined {
        Ok(_) => go_on(cx, &waiting),
        Err(problem) => give_up(cx, &problem),
    })
}

/// Reads what the client has missed, or where the channel is.
fn read_first(
    cx: &mut Context<'_>,
    channels: &SharedChannels,
    index: usize,
) -> Result<(), Problem> {
    let (name, mode, since, filter) = {
        let channel = &channels.borrow().channels[index];
        let name = Arc::clone(&channel.name);
        (name, channel.mode, channel.since, channel.filter.clone())
    };
    let query = mode.query(since, filter.as_ref());
    let waiting = Rc::clone(channels);
    let then = move |cx: &mut Context<'_>, outcome| {
        let Outcome::Read {
            history: Some(history),
            ..
        } = outcome
        else {
            return;
        };
        {
            let all = &mut *waiting.borrow_mut();
            let (name, wish) = (Arc::clone(&all.channels[index].name), (mode, since));
            let told = ToldPage {
                filter: filter.as_ref(),
                ..ToldPage::plain(&name)
            };
            let found = FoundPage::new(cx, told, wish, history, &mut all.bytes_left);
            all.channels[index].found = Some(found);
        }
        go_on(cx, &waiting);
    };
    let shared = cx.shared;
    let requester = |_: &mut Context<'_>| Requester::Code(Continuation::new(then));
    history::read(cx, requester, shared.resolve(&name)?, query)
}

/// One more answer has come.
fn go_on(cx: &mut Context<'_>, channels: &SharedChannels) {
    let is_last = {
        let all = &mut *channels.borrow_mut();
        all.missing -= 1;
        all.missing == 0
    };
    if !is_last || !cx.engine.is_open() {
        return;
    }
    reply(cx, &channels.borrow());
    let count = channels.borrow().channels.len();
    for index in 0..count {
        let since = channels.borrow().channels[index]
            .found
            .as_ref()
            .map(FoundPage::since);
        let Some(since) = since else { continue };
        let joined = join(cx, channels, index, since, |cx, joined| match joined {
            Ok(room) if room.log.and_then(|log| log.recovery).is_some_and(is_lost) => {
                answers::end_with(cx, Disconnect::INSUFFICIENT_STATE, "");
            }
            Ok(_) => {}
            Err(problem) => give_up(cx, &problem),
        });
        if let Err(problem) = joined {
            return give_up(cx, &problem);
        }
    }
}

fn is_lost(recovery: Recovery) -> bool {
    recovery != Recovery::Recovered
}

fn reply(cx: &mut Context<'_>, all: &Channels) {
    let texts = all.channels.iter().map(|channel| {
        let found = channel.found.as_ref()?;
        Some((found.kept(&channel.name), epoch_text(found.position())))
    });
    let texts: Vec<_> = texts.collect();
    let messages = texts
        .iter()
        .map(|text| text.as_ref().map(|(kept, _)| kept.messages()));
    let messages: Vec<_> = messages.collect();
    let told = all.channels.iter().zip(&texts).zip(&messages);
    let subs = told.map(|((channel, text), messages)| {
        let found = channel.found.as_ref();
        let position = found
            .zip(text.as_ref())
            .map(|(found, (_, epoch))| epoch.at(found.position().offset));
        let subscribed = Subscribed {
            position,
            recovery: match (found, channel.since) {
                (Some(found), _) => found.recovering,
                (None, Some(_)) => Recovering::Lost,
                (None, None) => Recovering::No,
            },
            publications: messages.as_deref().unwrap_or(&[]),
            deltas: Deltas::Off,
            ttl_s: None,
        };
        (&*channel.name, subscribed)
    });
    let subs: Vec<(&str, Subscribed<'_>)> = subs.collect();
    answers::connected(cx, &all.call, &subs);
}

fn join(
    cx: &mut Context<'_>,
    channels: &SharedChannels,
    index: usize,
    since: Option<Since>,
    then: impl FnOnce(&mut Context<'_>, Result<JoinedRoom, Problem>) + 'static,
) -> Result<(), Problem> {
    let (name, shown, filter, is_narrowed) = {
        let channel = &mut channels.borrow_mut().channels[index];
        let name = Arc::clone(&channel.name);
        let shown = channel.shown.take();
        (name, shown, channel.filter.clone(), channel.is_narrowed)
    };
    let shared = cx.shared;
    let asked = RoomToJoin {
        room: shared.resolve(&name)?,
        since,
        shown,
        before: None,
        deltas: JoinDeltas::Never,
        filter,
    };
    membership::join_one(cx, asked, move |cx, joined| {
        if let (true, Ok(joined)) = (is_narrowed, &joined) {
            narrow(cx, &joined.room);
        }
        then(cx, joined);
    })
}
