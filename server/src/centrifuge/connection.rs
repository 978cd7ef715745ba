//! A connection of the Centrifuge protocol before and at its first command: nothing is taken before
//! it, and it comes in time.
//!
//! Invariant: a connection that has not connected waits in the allocated part of its session, so
//! one that has costs nothing. Called by the service.

use crate::session::call::{Call, dialect_of};
use crate::session::context::Session;
use crate::session::identity::Identity;
use crate::session::shared::Shared;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::Context as Engine;
use shardcast_protocol::dialect::centrifuge::{
    CentrifugeReply, ConnectCommand, Connected, Disconnect, Refusal,
};
use shardcast_protocol::dialect::{Dialect, Id, Reply, ReplyMode};

/// Whether the connection speaks the protocol.
pub(crate) fn is_centrifuge(cx: &Engine<'_>) -> bool {
    is_dialect(dialect_of(cx))
}

/// Whether it is the protocol, in either encoding.
pub(crate) fn is_dialect(dialect: Dialect) -> bool {
    match dialect {
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => true,
        Dialect::NativeJson | Dialect::JsonRpc | Dialect::MessagePack => false,
    }
}

/// The connection is open, and its first command is awaited.
pub(crate) fn await_connect(cx: &mut Engine<'_>, session: &mut Session, shared: &Shared) {
    session.more().awaits_connect = true;
    cx.wake_at(cx.now_ms().saturating_add(shared.centrifuge.connect_ms));
}

/// Whether the first command has come.
pub(crate) fn is_connected(session: &Session) -> bool {
    session.some().is_none_or(|more| !more.awaits_connect)
}

/// By when a first command must come that has not; `None`: it has.
pub(crate) fn connect_due(session: &Session, shared: &Shared) -> Option<u64> {
    let due_ms = session
        .opened_ms()
        .saturating_add(shared.centrifuge.connect_ms);
    (!is_connected(session)).then_some(due_ms)
}

/// The first command. Where tokens count, one that comes only here is refused, for nobody looks at
/// it: a client that says who it is must not be taken for nobody.
pub(crate) fn connect(
    cx: &mut Engine<'_>,
    session: &mut Session,
    shared: &Shared,
    id: Id<'_>,
    asked: &ConnectCommand<'_>,
) {
    let is_known = session.identity() != &Identity::nobody();
    if shared.gate.is_some() && !asked.token.is_empty() && !is_known {
        return end(cx, Disconnect::INVALID_TOKEN);
    }
    session.more().awaits_connect = false;
    session.shrink();
    let client = ConnectionId(cx.address()).text();
    let connected = Connected {
        client: client.as_str(),
        version: &shared.server,
        ping_s: shared.centrifuge.ping_s,
    };
    let reply = Reply::Centrifuge(CentrifugeReply::Connected(connected));
    call(id).answer(cx, session, &reply);
}

/// Refuses a command.
pub(crate) fn refuse(cx: &mut Engine<'_>, session: &mut Session, id: Id<'_>, refusal: Refusal) {
    let reply = Reply::Centrifuge(CentrifugeReply::Refused(refusal));
    call(id).answer(cx, session, &reply);
}

/// Answers a command at once.
pub(crate) fn answer(cx: &mut Engine<'_>, session: &mut Session, id: Id<'_>, reply: &Reply<'_>) {
    call(id).answer(cx, session, reply);
}

fn call(id: Id<'_>) -> Call<'_> {
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
