//! Lines of the log about connections and rooms that an operator debugs: what was asked, and what
//! became of it. Called where requests come and connections end, while anything is debugged.

use crate::session::context::Context;
use crate::session::debugging::TARGET;
use shardcast_engine::CloseReason;
use shardcast_protocol::dialect::{Command, Problem, PublishTarget, Request, Rooms};

/// A client asks for something.
#[cold]
pub(crate) fn asked(cx: &Context<'_>, command: &Command<'_>) {
    let room = debugged_room(cx, command);
    if room.is_some() || cx.shared.debugging.has_connection(cx.connection()) {
        let room = room.as_deref().or(command.room.as_deref());
        let bytes = command.data.map_or(0, |data| data.as_bytes().len());
        log_asked(cx, command.request.name(), room, bytes);
    }
}

/// A client of the Centrifuge protocol brings another token: of a channel, or its own.
pub(crate) fn refreshes(cx: &Context<'_>, channel: Option<&str>, token: &str) {
    let debugging = &cx.shared.debugging;
    if !debugging.is_on() {
        return;
    }
    let is_room = channel.is_some_and(|channel| debugging.has_room(channel));
    if is_room || debugging.has_connection(cx.connection()) {
        let request = match channel {
            Some(_) => "sub_refresh",
            None => "refresh",
        };
        log_asked(cx, request, channel, token.len());
    }
}

fn log_asked(cx: &Context<'_>, request: &str, room: Option<&str>, bytes: usize) {
    if cx.shared.debugging.may_log() {
        tracing::info!(target: TARGET,
            connection = %cx.connection(),
            user = cx.user(),
            request = shortened(request),
            room = room.map(shortened),
            bytes,
            "debugged"
        );
    }
}

/// A message of a client is no request.
#[cold]
pub(crate) fn misunderstood(cx: &Context<'_>, problem: &Problem) {
    if is_logged(cx) {
        let (connection, code) = (cx.connection(), problem.code.as_str());
        tracing::info!(target: TARGET, %connection, user = cx.user(), refused = code, "debugged");
    }
}

/// A connection misses messages of a room.
#[cold]
pub(crate) fn missed(cx: &Context<'_>, room: Option<&str>, count: u64) {
    let debugging = &cx.shared.debugging;
    let is_room = room.is_some_and(|room| debugging.has_room(room));
    if (is_room || debugging.has_connection(cx.connection())) && debugging.may_log() {
        let (connection, room) = (cx.connection(), room.map(shortened));
        tracing::info!(target: TARGET, %connection, user = cx.user(), room, missed = count, "debugged");
    }
}

/// A connection has ended.
#[cold]
pub(crate) fn ended(cx: &Context<'_>, reason: CloseReason) {
    if is_logged(cx) {
        let connection = cx.connection();
        tracing::info!(target: TARGET, %connection, user = cx.user(), ended = ?reason, "debugged");
    }
}

fn is_logged(cx: &Context<'_>) -> bool {
    let debugging = &cx.shared.debugging;
    debugging.has_connection(cx.connection()) && debugging.may_log()
}

/// The debugged room that a request is about, if it is about one.
fn debugged_room(cx: &Context<'_>, command: &Command<'_>) -> Option<String> {
    let debugging = &cx.shared.debugging;
    let is_debugged = |room: &&str| debugging.has_room(room);
    if let Some(room) = command.room.as_deref().filter(is_debugged) {
        return Some(room.to_owned());
    }
    let rooms = match &command.request {
        Request::Join(asked) => Some(&asked.rooms),
        Request::Leave(rooms) => Some(rooms),
        Request::Broadcast(asked) | Request::Publish(asked) => match &asked.target {
            PublishTarget::Rooms(rooms) => Some(rooms),
            PublishTarget::User(_) | PublishTarget::Everyone => None,
        },
        _ => None,
    };
    match rooms? {
        Rooms::One(_) => None,
        Rooms::Many(rooms) => {
            let mut names = rooms.names();
            names.find(|name| debugging.has_room(name)).map(Into::into)
        }
    }
}

/// Names that a client chose are not logged at any length.
fn shortened(name: &str) -> &str {
    const BYTES_MAX: usize = 256;
    &name[..name.floor_char_boundary(BYTES_MAX)]
}
