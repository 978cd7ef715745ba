//! The keys of requests in the native dialects, and what each has to be. Read by the dialects'
//! readers.

use crate::dialect::fields::Wrong;

/// The keys of a request that mean something. All others are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Type,
    Id,
    Room,
    Data,
    Rooms,
    User,
    Echo,
    Report,
    Limit,
    Since,
    Reverse,
    Idempotency,
    Conflate,
    Presence,
    Cursor,
    Token,
    Offset,
    Traceparent,
}

impl Key {
    /// The first of them are in nearly every request.
    pub(super) const COMMON: usize = 4;
    pub(super) const RARE: usize = 14;

    pub(crate) fn of_name(name: &[u8]) -> Option<usize> {
        // By length first: then each comparison is one of words.
        let key = match name.len() {
            2 if name == b"id" => Key::Id,
            3 if name == b"key" => Key::Idempotency,
            4 => match name {
                b"type" => Key::Type,
                b"data" => Key::Data,
                b"room" => Key::Room,
                b"user" => Key::User,
                b"echo" => Key::Echo,
                _ => return None,
            },
            5 => match name {
                b"rooms" => Key::Rooms,
                b"limit" => Key::Limit,
                b"since" => Key::Since,
                b"token" => Key::Token,
                _ => return None,
            },
            6 => match name {
                b"report" => Key::Report,
                b"cursor" => Key::Cursor,
                b"offset" => Key::Offset,
                _ => return None,
            },
            7 if name == b"reverse" => Key::Reverse,
            8 => match name {
                b"conflate" => Key::Conflate,
                b"presence" => Key::Presence,
                _ => return None,
            },
            11 if name == b"traceparent" => Key::Traceparent,
            _ => return None,
        };
        Some(key as usize)
    }

    /// The bits of the keys of [`Optional`].
    pub(super) const OPTIONAL: u32 = Key::Room.bit()
        | Key::Rooms.bit()
        | Key::User.bit()
        | Key::Echo.bit()
        | Key::Report.bit()
        | Key::Limit.bit();

    /// Among the bits of several keys.
    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// What its value has to be.
    pub(super) fn wrong(self) -> Wrong {
        match self {
            Key::Type => "type must be a string",
            Key::Id => "id must be a string or a number",
            Key::Room => "room must be a string",
            Key::Rooms => "rooms must be an array of strings",
            Key::User => "user must be a string",
            Key::Data => "data must be a value",
            Key::Echo => "echo must be true or false",
            Key::Report => "report must be true or false",
            Key::Limit => "limit must be a whole number below 4294967296",
            Key::Since => "since must be an object",
            Key::Reverse => "reverse must be true or false",
            Key::Idempotency => "key must be a string of 1 to 128 bytes",
            Key::Conflate => "conflate must be a string of 1 to 128 bytes",
            Key::Presence => "presence must be a value of at most 1024 bytes",
            Key::Cursor => "cursor must be a string",
            Key::Token => "token must be a string",
            Key::Offset => "offset must be a whole number",
            Key::Traceparent => "traceparent must be a string",
        }
    }
}
