//! What the server says in native JSON: one function per message, each appending one JSON object.
//!
//! Invariant: the output is valid JSON without white space, `type` first and `id`, when there is one, second. The messages
//! themselves are described once for all dialects, in [`crate::dialect`]. Called where there is only this dialect.

pub use crate::dialect::{Counts, Status, Welcome};
use crate::dialect::{Dialect, Event, Id, Joined, Reply, Value};
use crate::json::{Raw, string_bytes};
use crate::problem::Problem;

/// The connection is open.
pub fn welcome(out: &mut Vec<u8>, welcome: &Welcome<'_>) {
    event(out, &Event::Welcome(*welcome));
}

/// Answers `ping`; without `data` if that had none.
pub fn pong(out: &mut Vec<u8>, id: Option<Raw<'_>>, data: Option<Raw<'_>>) {
    let data = data.map(Value::Json);
    reply(out, id, &Reply::Pong { data });
}

/// Answers `echo`; without `data` if that had none.
pub fn echo(out: &mut Vec<u8>, id: Option<Raw<'_>>, data: Option<Raw<'_>>) {
    let data = data.map(Value::Json);
    reply(out, id, &Reply::Echo { data });
}

/// Answers `join_room` with `room`.
pub fn joined(out: &mut Vec<u8>, id: Option<Raw<'_>>, room: &str, members: u32) {
    reply(out, id, &Reply::Joined(Joined { room, members }));
}

/// Answers `join_room` with `rooms`: names and members, in the order asked.
pub fn joined_rooms<'a>(
    out: &mut Vec<u8>,
    id: Option<Raw<'_>>,
    rooms: impl Iterator<Item = (&'a str, u32)>,
) {
    let rooms = rooms.map(|(room, members)| Joined { room, members });
    reply(out, id, &Reply::JoinedRooms(&rooms.collect::<Vec<_>>()));
}

/// Answers `leave_room` with `room`.
pub fn left(out: &mut Vec<u8>, id: Option<Raw<'_>>, room: &str) {
    reply(out, id, &Reply::Left { room });
}

/// Answers `leave_room` with `rooms`, in the order asked.
pub fn left_rooms<'a>(
    out: &mut Vec<u8>,
    id: Option<Raw<'_>>,
    rooms: impl Iterator<Item = &'a str>,
) {
    reply(out, id, &Reply::LeftRooms(&rooms.collect::<Vec<_>>()));
}

/// Answers `broadcast`.
pub fn ack(out: &mut Vec<u8>, id: Option<Raw<'_>>) {
    reply(out, id, &Reply::Ack);
}

/// Answers `broadcast` with `"report":true`.
pub fn ack_report(out: &mut Vec<u8>, id: Option<Raw<'_>>, counts: Counts) {
    reply(out, id, &Reply::Report(counts));
}

/// Answers `rooms`.
pub fn rooms<'a>(out: &mut Vec<u8>, id: Option<Raw<'_>>, rooms: impl Iterator<Item = &'a str>) {
    reply(out, id, &Reply::Rooms(&rooms.collect::<Vec<_>>()));
}

/// Answers `status`.
pub fn status<'a>(
    out: &mut Vec<u8>,
    id: Option<Raw<'_>>,
    status: &Status<'_>,
    rooms: impl Iterator<Item = &'a str>,
) {
    let rooms: Vec<&str> = rooms.collect();
    let (status, rooms) = (*status, &*rooms);
    reply(out, id, &Reply::Status { status, rooms });
}

/// Answers what was refused.
pub fn error(out: &mut Vec<u8>, id: Option<Raw<'_>>, problem: &Problem) {
    reply(out, id, &Reply::Error(problem));
}

/// Delivers a broadcast: to a room's members, or without `room` to everyone. Absent `data` becomes `null`.
pub fn message(out: &mut Vec<u8>, room: Option<&str>, from: &str, data: Option<Raw<'_>>) {
    let data = data.map(Value::Json);
    event(out, &Event::Message { room, from, data });
}

/// What [`message`] appends, in bytes.
pub fn message_bytes(room: Option<&str>, from: &str, data: Option<Raw<'_>>) -> usize {
    const KEYS_BYTES: usize = r#"{"type":"message","from":,"data":}"#.len();
    const ROOM_KEY_BYTES: usize = r#""room":,"#.len();
    let room_bytes = room.map_or(0, |room| ROOM_KEY_BYTES + string_bytes(room));
    let data_bytes = data.map_or("null", Raw::as_str).len();
    KEYS_BYTES + room_bytes + string_bytes(from) + data_bytes
}

/// The server is about to close this connection.
pub fn closing(out: &mut Vec<u8>, reason: &str, reconnect_ms: u64) {
    let closing = Event::Closing {
        reason,
        reconnect_ms,
    };
    event(out, &closing);
}

fn reply(out: &mut Vec<u8>, id: Option<Raw<'_>>, reply: &Reply<'_>) {
    let id = id.map(|id| Id::checked(Value::Json(id)));
    Dialect::NativeJson.write_reply(out, id, reply);
}

fn event(out: &mut Vec<u8>, event: &Event<'_>) {
    Dialect::NativeJson.write_event(out, event).expect(ALWAYS);
}

const ALWAYS: &str = "all of these are events of the dialect";
