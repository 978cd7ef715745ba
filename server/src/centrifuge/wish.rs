//! A channel that a client enters: what it asks for, what is known while its request goes on
//! elsewhere, and for how long it may stay.

use crate::centrifuge::answers;
use crate::centrifuge::map_cursor::MapCursor;
use crate::namespace::MapOf;
use crate::session::call::OwnedCall;
use crate::session::context::Context;
use crate::wire::filtering::filter_of;
use shardcast_engine::{Filter, Since};
use shardcast_protocol::dialect::centrifuge::{Deltas, IfLost, MapPhase, TagFilter};
use shardcast_protocol::dialect::{Code, Problem, Reply};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// A channel that a client enters, kept while a token is checked and the channel is read.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) channel: Arc<str>,
    /// What the client has had. `None`: nothing is wished for.
    pub(super) since: Option<Since>,
    pub(super) if_lost: IfLost,
    pub(super) deltas: Deltas,
    /// It is sent what passes.
    pub(super) filter: Option<Filter>,
    /// Its token says so.
    pub(super) is_narrowed: bool,
    /// What its token says of it.
    pub(super) info: Option<Box<str>>,
    /// How long its token lets it stay. `None`: as long as it likes.
    pub(super) term: Option<Duration>,
    /// The channel is a map, and this is what the client asks for.
    pub(super) map: Option<MapWish>,
}

/// What a client asks for of a map.
#[derive(Clone)]
pub(super) struct MapWish {
    pub(super) phase: MapPhase,
    /// What it takes the keys for.
    pub(super) of: MapOf,
    /// Where the page begins; `None`: at the beginning.
    pub(super) cursor: Option<MapCursor>,
    /// Keys of a page.
    pub(super) limit: u32,
    /// What the client has had of the channel.
    pub(super) position: Since,
}

impl Wish {
    /// The same with the filter of a token, which lets no more through than the client's own.
    pub(super) fn narrowed(self, granted: Option<&TagFilter>) -> Result<Wish, Problem> {
        let Some(granted) = granted else {
            return Ok(self);
        };
        let own = self.filter.as_ref();
        let own = own.and_then(|own| TagFilter::of_bytes(own.bytes()));
        Ok(Wish {
            filter: Some(filter_of(&both(granted, own.as_ref())?)),
            is_narrowed: true,
            // They build on what may have been left out.
            deltas: Deltas::Off,
            ..self
        })
    }
}

/// What is answered where a client's own filter is none of a channel's.
pub(super) const NO_FILTERS: &str = "there are no filters in this channel";

/// What passes the filter of a token, and that of a client if it has one.
///
/// # Errors
/// `too_large`: both together are larger than a filter may be.
pub(super) fn both(granted: &TagFilter, own: Option<&TagFilter>) -> Result<TagFilter, Problem> {
    let both = own.map_or_else(|| Ok(granted.clone()), |own| granted.and(own));
    both.map_err(|_| Problem::new(Code::TooLarge, "tf is too large beside that of the token"))
}

/// The client is in a channel of which its token lets it hear only some.
pub(super) fn narrow(cx: &mut Context<'_>, channel: &Arc<str>) {
    answers::state(cx.session).narrow(channel);
}

pub(super) fn is_entering(cx: &Context<'_>, channel: &str) -> bool {
    let state = cx.session.some().and_then(|more| more.centrifuge.as_ref());
    state.is_some_and(|state| state.enters(channel))
}

/// A subscribe goes on elsewhere before the engine knows the channel: until
/// [`is_given_up`] is asked.
pub(super) fn begin_entering(cx: &mut Context<'_>, channel: &Arc<str>) -> u64 {
    let serial = cx.state.take_serial();
    answers::state(cx.session).enter(Arc::clone(channel), serial);
    serial
}

/// Whether the client has unsubscribed meanwhile. It is replied to all the same.
pub(super) fn is_given_up(cx: &mut Context<'_>, call: &OwnedCall, serial: u64) -> bool {
    let is_there = answers::state(cx.session).take_entering(serial);
    cx.session.shrink();
    if !is_there {
        let problem = Problem::new(Code::NotJoined, "unsubscribed meanwhile");
        cx.answer_to(call, &Reply::Error(&problem));
    }
    !is_there
}

/// How long the connection may be in the channel from now on; what its client is told of it.
pub(super) fn set_term(
    cx: &mut Context<'_>,
    channel: &str,
    term: Option<Duration>,
) -> Option<NonZeroU32> {
    let has_state = cx
        .session
        .some()
        .is_some_and(|more| more.centrifuge.is_some());
    if term.is_none() && !has_state {
        return None;
    }
    let until_ms = term.map(|term| cx.due_after(term));
    answers::state(cx.session).set_term(channel, until_ms);
    cx.session.shrink();
    let left_ms = until_ms?.saturating_sub(cx.engine.now_ms());
    Some(answers::ttl_s(cx, left_ms))
}
