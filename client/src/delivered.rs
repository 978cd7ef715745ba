//! What the server's messages become: items for subscriptions, answers for requests, errors.
//!
//! Invariant: no message of the server panics; what cannot be read becomes what says the least.
//! Used by the core.

use crate::encoding::{Encoding, read};
use crate::entry::{Answer, Entry, KeyOrigin, Purpose, Wants};
use crate::error::Error;
use crate::keyed::KeyedRooms;
use crate::message::{
    Delivery, ErrorAnswer, Extras, JoinAnswer, JoinedRooms, Message, Origin, Received,
};
use crate::rooms::TakesKeys;
use shardcast_protocol::dialect::{ServerMessage, Unread};
use std::sync::Arc;
use std::time::Duration;

/// A published message, in one piece of memory of its own.
pub(crate) fn message(
    said: &ServerMessage<'_>,
    room: Option<Arc<str>>,
    encoding: Encoding,
    scratch: &mut Scratch,
) -> Message {
    let (sender, origin) = match (&said.event, &said.from) {
        (Some(event), _) => (&**event, Origin::Application),
        (None, Some(from)) => (&**from, Origin::Connection),
        (None, None) => ("", Origin::Connection),
    };
    let held = match said.data.unwrap_or(nothing(encoding)) {
        Unread::Json(text) => {
            scratch.text.clear();
            scratch.text.shrink_to(SCRATCH_BYTES_KEPT);
            scratch.text.push_str(sender);
            scratch.text.push_str(text);
            Received::Json(Arc::from(&*scratch.text))
        }
        Unread::Pack(bytes) => {
            scratch.bytes.clear();
            scratch.bytes.shrink_to(SCRATCH_BYTES_KEPT);
            scratch.bytes.extend_from_slice(sender.as_bytes());
            scratch.bytes.extend_from_slice(bytes);
            Received::Pack(Arc::from(&*scratch.bytes))
        }
    };
    let trace = said
        .traceparent
        .as_deref()
        .and_then(|text| text.parse().ok());
    let extras = (trace.is_some() || said.redelivered).then(|| {
        let redelivery = match said.redelivered {
            true => Delivery::Again,
            false => Delivery::First,
        };
        Box::new(Extras { trace, redelivery })
    });
    Message {
        room,
        held,
        sender_bytes: u32::try_from(sender.len()).unwrap_or(0),
        origin,
        offset: said.offset,
        extras,
    }
}

/// Where a message is put together.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    text: String,
    bytes: Vec<u8>,
}

/// What of it stays after a large message.
const SCRATCH_BYTES_KEPT: usize = 64 << 10;

fn nothing(encoding: Encoding) -> Unread<'static> {
    match encoding {
        Encoding::Json => Unread::Json("null"),
        Encoding::MessagePack => Unread::Pack(&[0xc0]),
    }
}

/// What of an answer its request wants.
pub(crate) fn answer(
    encoding: Encoding,
    entry: &mut Entry,
    message: &ServerMessage<'_>,
    whole: Unread<'_>,
) -> Answer {
    let wanted = match entry.purpose {
        Purpose::User(_, Wants::Data) => message.data.unwrap_or(nothing(encoding)),
        _ => whole,
    };
    Answer::keep(wanted, &mut entry.body)
}

/// The server's refusal.
pub(crate) fn error(whole: Unread<'_>) -> Error {
    match read::<ErrorAnswer>(whole) {
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
pub(crate) fn joins(message: &ServerMessage<'_>, whole: Unread<'_>) -> Vec<JoinAnswer> {
    match message.room {
        Some(_) => read::<JoinAnswer>(whole).into_iter().collect(),
        None => read::<JoinedRooms>(whole).map_or_else(|_| Vec::new(), |joined| joined.rooms),
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
