//! What the server says: one function per message, each appending one JSON object.
//!
//! Invariant: the output is valid JSON without white space, `type` first and `id`, when there is one, second.
//! Called by the server's native application, inside `Context::send_with` and `Frame::with`.

use crate::json::{Raw, push_string, string_bytes};
use crate::problem::Problem;

/// What a client is told first.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The connection's id; `from` in what it sends.
    pub connection: &'a str,
    /// Name and version.
    pub server: &'a str,
    /// Silence after which the server pings.
    pub heartbeat_ms: u64,
    /// Largest message that the client may send.
    pub message_bytes_max: usize,
}

/// The connection is open.
pub fn welcome(out: &mut Vec<u8>, welcome: &Welcome<'_>) {
    Object::open(out, "welcome", None)
        .string("connection", welcome.connection)
        .string("server", welcome.server)
        .number("heartbeat_ms", welcome.heartbeat_ms)
        .number("max_message_bytes", welcome.message_bytes_max as u64)
        .close();
}

/// Answers `ping`; without `data` if that had none.
pub fn pong(out: &mut Vec<u8>, id: Option<Raw<'_>>, data: Option<Raw<'_>>) {
    Object::open(out, "pong", id).some_raw("data", data).close();
}

/// Answers `echo`; without `data` if that had none.
pub fn echo(out: &mut Vec<u8>, id: Option<Raw<'_>>, data: Option<Raw<'_>>) {
    Object::open(out, "echo", id).some_raw("data", data).close();
}

/// Answers `join_room` with `room`.
pub fn joined(out: &mut Vec<u8>, id: Option<Raw<'_>>, room: &str, members: u32) {
    Object::open(out, "joined", id)
        .string("room", room)
        .number("members", members.into())
        .close();
}

/// Answers `join_room` with `rooms`: names and members, in the order asked.
pub fn joined_rooms<'a>(
    out: &mut Vec<u8>,
    id: Option<Raw<'_>>,
    rooms: impl Iterator<Item = (&'a str, u32)>,
) {
    Object::open(out, "joined", id)
        .array("rooms", rooms, |out, (room, members)| {
            Object::begin(out)
                .string("room", room)
                .number("members", members.into())
                .close();
        })
        .close();
}

/// Answers `leave_room` with `room`.
pub fn left(out: &mut Vec<u8>, id: Option<Raw<'_>>, room: &str) {
    Object::open(out, "left", id).string("room", room).close();
}

/// Answers `leave_room` with `rooms`, in the order asked.
pub fn left_rooms<'a>(
    out: &mut Vec<u8>,
    id: Option<Raw<'_>>,
    rooms: impl Iterator<Item = &'a str>,
) {
    Object::open(out, "left", id)
        .array("rooms", rooms, push_string)
        .close();
}

/// Answers `broadcast`.
pub fn ack(out: &mut Vec<u8>, id: Option<Raw<'_>>) {
    Object::open(out, "ack", id).close();
}

/// What became of a broadcast, in connections.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Handed to the kernel whole.
    pub delivered: u32,
    /// Waiting for a slow reader.
    pub queued: u32,
    /// Not sent: the connection was closing or had fallen too far behind.
    pub dropped: u32,
}

/// Answers `broadcast` with `"report":true`.
pub fn ack_report(out: &mut Vec<u8>, id: Option<Raw<'_>>, counts: Counts) {
    Object::open(out, "ack", id)
        .number("delivered", counts.delivered.into())
        .number("queued", counts.queued.into())
        .number("dropped", counts.dropped.into())
        .close();
}

/// Answers `rooms`.
pub fn rooms<'a>(out: &mut Vec<u8>, id: Option<Raw<'_>>, rooms: impl Iterator<Item = &'a str>) {
    Object::open(out, "rooms", id)
        .array("rooms", rooms, push_string)
        .close();
}

/// What a connection is told about itself.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    /// The connection's id.
    pub connection: &'a str,
    /// Who it is, if it said.
    pub user: Option<&'a str>,
    /// Time since it opened.
    pub connected_ms: u64,
    /// The shard that serves it.
    pub shard: u16,
}

/// Answers `status`.
pub fn status<'a>(
    out: &mut Vec<u8>,
    id: Option<Raw<'_>>,
    status: &Status<'_>,
    rooms: impl Iterator<Item = &'a str>,
) {
    let object = Object::open(out, "status", id).string("connection", status.connection);
    let object = match status.user {
        Some(user) => object.string("user", user),
        None => object.raw("user", "null"),
    };
    object
        .array("rooms", rooms, push_string)
        .number("connected_ms", status.connected_ms)
        .number("shard", status.shard.into())
        .close();
}

/// Answers what was refused.
pub fn error(out: &mut Vec<u8>, id: Option<Raw<'_>>, problem: &Problem) {
    let object = Object::open(out, "error", id)
        .string("code", problem.code.as_str())
        .string("message", &problem.message)
        .raw(
            "retryable",
            if problem.code.is_retryable() {
                "true"
            } else {
                "false"
            },
        );
    match problem.retry_after_ms {
        Some(after) => object.number("retry_after_ms", after.into()),
        None => object,
    }
    .close();
}

/// Delivers a broadcast: to a room's members, or without `room` to everyone. Absent `data` becomes `null`.
pub fn message(out: &mut Vec<u8>, room: Option<&str>, from: &str, data: Option<Raw<'_>>) {
    let object = Object::open(out, "message", None);
    match room {
        Some(room) => object.string("room", room),
        None => object,
    }
    .string("from", from)
    .raw("data", data.map_or("null", Raw::as_str))
    .close();
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
    Object::open(out, "closing", None)
        .string("reason", reason)
        .number("reconnect_ms", reconnect_ms)
        .close();
}

/// One object being written. Keys are ours and need no escaping.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// `{` before the first key, `,` before the others.
    lead: u8,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Object<'o> {
        Object { out, lead: b'{' }
    }

    fn open(out: &'o mut Vec<u8>, kind: &str, id: Option<Raw<'_>>) -> Object<'o> {
        Object::begin(out).string("type", kind).some_raw("id", id)
    }

    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(&[self.lead, b'"']);
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.lead = b',';
    }

    fn string(mut self, key: &str, text: &str) -> Object<'o> {
        self.key(key);
        push_string(self.out, text);
        self
    }

    fn number(mut self, key: &str, number: u64) -> Object<'o> {
        self.key(key);
        push_number(self.out, number);
        self
    }

    fn raw(mut self, key: &str, json: &str) -> Object<'o> {
        self.key(key);
        self.out.extend_from_slice(json.as_bytes());
        self
    }

    fn some_raw(self, key: &str, value: Option<Raw<'_>>) -> Object<'o> {
        match value {
            Some(value) => self.raw(key, value.as_str()),
            None => self,
        }
    }

    fn array<T>(
        mut self,
        key: &str,
        items: impl Iterator<Item = T>,
        mut push: impl FnMut(&mut Vec<u8>, T),
    ) -> Object<'o> {
        self.key(key);
        self.out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            push(self.out, item);
        }
        self.out.push(b']');
        self
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

/// Appends decimal digits, without the formatting machinery.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// `u64::MAX` has 20 digits.
const DIGITS_MAX: usize = 20;
