//! Values of an application on their way out and in: written and read by serde, in the encoding of
//! a dialect, by one data model.

mod compound;
mod key;
mod reader;
mod serializer;
mod unfit;
mod writer;

use crate::wire::failure::Failure;
pub(crate) use reader::Reader;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shardcast_protocol::dialect::{Code, DEPTH_MAX, Encoding, Problem, Value};
use shardcast_protocol::json::Raw;
use shardcast_protocol::pack::Pack;
use std::cell::Cell;
pub(crate) use unfit::Unfit;
use writer::{Unwritable, Writer};

/// What a value stands in, by the number of containers around it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Nesting {
    /// An answer, or the parameters of a call: the message.
    Answer = 1,
    /// An event: the message, and in JSON-RPC its `params`.
    Event = 2,
}

/// Appends a value, which [`written`] reads back.
///
/// # Errors
/// The value's own `Serialize` failed, or no encoding has such a value (a map whose keys are
/// containers, or more containers, one in the other, than clients read). The appended bytes are of
/// no use then.
pub(crate) fn write(
    encoding: Encoding,
    nesting: Nesting,
    out: &mut Vec<u8>,
    value: &impl Serialize,
) -> Result<Wrote, Failure> {
    let has_bytes = Cell::new(false);
    let written = value.serialize(Writer {
        out,
        encoding,
        outer: nesting as u32,
        has_bytes: &has_bytes,
    });
    match written {
        Ok(()) if has_bytes.get() => Ok(Wrote::Bytes),
        Ok(()) => Ok(Wrote::NoBytes),
        Err(Unwritable::TooDeep) => Err(too_deep(nesting).into()),
        Err(error @ Unwritable::Other(_)) => Err(error.into()),
    }
}

/// What whoever had it said hears of a value that nests too deeply.
#[cold]
fn too_deep(nesting: Nesting) -> Problem {
    match nesting {
        Nesting::Answer => Problem::new(Code::HandlerFailed, Unwritable::TooDeep.to_string()),
        Nesting::Event => Problem::new(Code::BadRequest, EVENT_TOO_DEEP),
    }
}

const EVENT_TOO_DEEP: &str =
    "data nests too deeply: at most 125 arrays and objects may stand one in the other";
const _: () = assert!(DEPTH_MAX - Nesting::Event as u32 == 125);

/// Whether there are bytes in what was written. JSON has text for them, which stays text when it is
/// translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    Bytes,
    NoBytes,
}

/// What [`write()`] wrote, as a value.
///
/// # Panics
/// If the bytes are not from [`write()`].
pub(crate) fn written(encoding: Encoding, bytes: &[u8]) -> Value<'_> {
    match encoding {
        Encoding::Json => {
            let text = str::from_utf8(bytes).expect("the writer appends whole strings");
            Value::Json(Raw::of_serializer(text))
        }
        Encoding::Pack => Value::Pack(Pack::of_serializer(bytes)),
    }
}

/// Reads a value as an application's type.
///
/// # Errors
/// The value is not of the type.
pub(crate) fn read<T: DeserializeOwned>(value: Value<'_>) -> Result<T, Unfit> {
    T::deserialize(&mut Reader::new(value))
}
