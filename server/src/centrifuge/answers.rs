//! How commands of the Centrifuge protocol are answered, and connections of it end. Used by all
//! that serves them.

use crate::session::call::{Call, OwnedCall};
use crate::session::centrifuge::{CentrifugeState, ConnectStage};
use crate::session::context::{Context, Session};
use shardcast_engine::Context as Engine;
use shardcast_protocol::dialect::centrifuge::{
    CentrifugeReply, Connected, Disconnect, Refusal, Subscribed, Transport,
};
use shardcast_protocol::dialect::{Id, Reply, ReplyMode, Value};
use shardcast_protocol::json::Raw;
use std::num::NonZeroU32;

/// The state of what only the protocol has, to be shrunk afterwards.
pub(crate) fn state(session: &mut Session) -> &mut CentrifugeState {
    session.more().centrifuge.get_or_insert_default()
}

/// Answers the first command; what was held is done next.
pub(super) fn connected(cx: &mut Context<'_>, call: &OwnedCall, subs: &[(&str, Subscribed<'_>)]) {
    state(cx.session).stage = ConnectStage::Connected;
    answer_connected(cx, call, ProvedBy::First, subs);
    cx.session.more().admitted = None;
    cx.session.shrink();
}

/// Which command has proved who the client is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ProvedBy {
    First,
    Refresh,
}

/// Says who the client is.
pub(super) fn answer_connected(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    proof: ProvedBy,
    subs: &[(&str, Subscribed<'_>)],
) {
    let client = cx.connection().text();
    let shared = cx.shared;
    let form = cx.engine.form();
    let is_asked = form.is_some_and(|form| !form.is_unidirectional());
    let session = is_asked.then(|| cx.engine.stream_token()).flatten();
    let admitted = cx.session.some().and_then(|more| more.admitted.as_ref());
    let data = admitted.and_then(|admitted| admitted.data.clone());
    let connected = Connected {
        client: client.as_str(),
        version: &shared.server,
        ping_s: match cx.engine.is_sent_heartbeats() {
            true => shared.centrifuge.ping_s,
            // Its WebSocket has pings of its own.
            false => 0,
        },
        transport: match (form, &session) {
            (None, _) => Transport::Connection,
            (Some(_), Some(session)) => Transport::Stream { session },
            (Some(_), None) => Transport::Unidirectional,
        },
        // Where the application is asked, it is asked without the client.
        ttl_s: match cx.shared.refresh {
            Some(_) => None,
            None => cx.remaining_ms().map(|left_ms| ttl_s(cx, left_ms)),
        },
        data: data
            .as_ref()
            .map(|data| Value::Json(Raw::of_serializer(data.get()))),
        subs,
    };
    let reply = match proof {
        ProvedBy::First => CentrifugeReply::Connected(connected),
        ProvedBy::Refresh => CentrifugeReply::Refreshed(connected),
    };
    cx.answer_to(call, &Reply::Centrifuge(reply));
}

/// After how many seconds a client brings another token, of one that ends in so many milliseconds:
/// as long before as native clients are told that it ends.
pub(super) fn ttl_s(cx: &Context<'_>, left_ms: u64) -> NonZeroU32 {
    let early = cx.shared.gate.as_ref().map(|gate| gate.expiring());
    let early_ms = early.map_or(0, |early| early.as_millis());
    let early_ms = u64::try_from(early_ms).unwrap_or(u64::MAX);
    let ttl_ms = match left_ms.checked_sub(early_ms) {
        Some(ttl_ms) if ttl_ms > early_ms => ttl_ms,
        Some(_) | None => left_ms / 2,
    };
    let ttl_s = u32::try_from(ttl_ms / 1_000).unwrap_or(u32::MAX);
    NonZeroU32::new(ttl_s).unwrap_or(NonZeroU32::MIN)
}

/// Refuses a command that was deferred.
pub(super) fn answer_refusal(cx: &mut Context<'_>, call: &OwnedCall, refusal: Refusal) {
    cx.answer_to(call, &Reply::Centrifuge(CentrifugeReply::Refused(refusal)));
}

/// A command that is replied to.
pub(crate) fn call(id: Id<'_>) -> Call<'_> {
    Call {
        id: Some(id),
        mode: ReplyMode::Always,
        batch: None,
    }
}

/// Ends the connection.
pub(crate) fn end(cx: &mut Engine<'_>, disconnect: Disconnect) {
    cx.close(disconnect.code(), disconnect.reason());
}

/// Ends the connection, and says why in other words, if there are some.
pub(super) fn end_with(cx: &mut Context<'_>, disconnect: Disconnect, text: &str) {
    let text = match text {
        "" => disconnect.reason(),
        text => text,
    };
    cx.disconnect(disconnect.code(), text);
}
