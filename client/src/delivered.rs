//! What the server's messages become: items for subscriptions, answers for requests, errors.
//!
//! Invariant: no message of the server panics; what cannot be read becomes what says the least.
//! Used by the core.

use crate::encoding::Encoding;
use crate::entry::{Answer, Entry, KeyOrigin, Purpose, Wants};
use crate::error::Error;
use crate::keyed::KeyedRooms;
use crate::message::{Delivery, ErrorAnswer, Extras, JoinAnswer, JoinedRooms, Message, Origin};
use crate::rooms::TakesKeys;
use shardcast_protocol::dialect::ServerMessage;
use std::sync::Arc;
use std::time::Duration;

/// A published message, in one piece of memory of its own.
pub(crate) fn message(
    read: &ServerMessage<'_>,
    room: Option<Arc<str>>,
    encoding: Encoding,
    scratch: &mut Vec<u8>,
) -> Message {
    let (sender, origin) = match (&read.event, &read.from) {
        (Some(event), _) => (&**event, Origin::Application),
        (None, Some(from)) => (&**from, Origin::Connection),
        (None, None) => ("", Origin::Connection),
    };
    let nothing: &[u8] = match encoding {
        Encoding::Json => b"null",
        Encoding::MessagePack => &[0xc0],
    };
    scratch.clear();
    scratch.extend_from_slice(sender.as_bytes());
    scratch.extend_from_slice(read.data.map_or(nothing, |data| data.as_bytes()));
    let trace = read
        .traceparent
        .as_deref()
        .and_then(|text| text.parse().ok());
    let extras = (trace.is_some() || read.redelivered).then(|| {
        let redelivery = match read.redelivered {
            true => Delivery::Again,
            false => Delivery::First,
        };
        Box::new(Extras { trace, redelivery })
    });
    Message {
        room,
        bytes: Arc::from(&scratch[..]),
        sender_bytes: u32::try_from(sender.len()).unwrap_or(0),
        origin,
        encoding,
        offset: read.offset,
        extras,
    }
}

/// What of an answer its request wants.
pub(crate) fn answer(
    encoding: Encoding,
    entry: &Entry,
    message: &ServerMessage<'_>,
    bytes: &[u8],
) -> Answer {
    let wanted = match (&entry.purpose, message.data) {
        (Purpose::User(_, Wants::Data), Some(data)) => data.as_bytes(),
        (Purpose::User(_, Wants::Data), None) => match encoding {
            Encoding::Json => b"null",
            Encoding::MessagePack => &[0xc0][..],
        },
        _ => bytes,
    };
    Answer {
        encoding,
        bytes: wanted.into(),
    }
}

/// The server's refusal.
pub(crate) fn error(encoding: Encoding, bytes: &[u8]) -> Error {
    match encoding.read::<ErrorAnswer>(bytes) {
        Err(error) => error,
        Ok(answer) => {
            let after = answer.retry_after_ms.map(Duration::from_millis);
            Error::refused(answer.code, answer.message)
                .with_retry(answer.retryable, after)
                .with_field(answer.field)
        }
    }
}

/// The rooms of `joined`.
pub(crate) fn joins(
    encoding: Encoding,
    message: &ServerMessage<'_>,
    bytes: &[u8],
) -> Vec<JoinAnswer> {
    match message.room {
        Some(_) => encoding.read::<JoinAnswer>(bytes).into_iter().collect(),
        None => encoding
            .read::<JoinedRooms>(bytes)
            .map_or_else(|_| Vec::new(), |joined| joined.rooms),
    }
}

/// A publish with a key was answered: its room takes keys.
pub(crate) fn learn(entry: &Entry, message: &ServerMessage<'_>, keyed: &mut KeyedRooms) {
    if let Some(key) = &entry.key
        && key.key.is_some()
        && key.origin == KeyOrigin::Automatic
        && message.kind == b"ack"
    {
        keyed.learn(&key.room, TakesKeys::Yes);
    }
}

/// Whether a room refused an automatic key. Then the publish goes once more without; nothing of the
/// same room was sent behind it.
pub(crate) fn takes_no_key(entry: &mut Entry, error: &Error, keyed: &mut KeyedRooms) -> bool {
    let Some(key) = &mut entry.key else {
        return false;
    };
    let refused =
        key.key.is_some() && key.origin == KeyOrigin::Automatic && error.code() == "bad_request";
    if refused {
        keyed.learn(&key.room, TakesKeys::No);
        key.key = None;
    }
    refused
}
