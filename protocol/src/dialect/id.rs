//! What ties an answer to its request, as the client wrote it.

use super::value::{Encoding, Value, ValueBox};
use crate::json::Raw;

/// Longest `id` in bytes as sent: in JSON its quotes and escapes included, in MessagePack its
/// marker.
pub const ID_BYTES_MAX: usize = 128;

/// A request's `id`: in JSON and MessagePack a string or a finite number, in JSON-RPC also `null`.
/// Echoed byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id<'b>(Value<'b>);

impl<'b> Id<'b> {
    /// An `id` of a JSON dialect. `None` if it is none, or too long.
    pub fn from_json(raw: Raw<'b>) -> Option<Id<'b>> {
        let is_id = matches!(raw.as_str().as_bytes()[0], b'"' | b'-' | b'0'..=b'9' | b'n');
        (is_id && raw.as_str().len() <= ID_BYTES_MAX).then_some(Id(Value::Json(raw)))
    }

    /// `value` is one of those that an id may be.
    pub(crate) fn checked(value: Value<'b>) -> Id<'b> {
        Id(value)
    }

    /// As it was sent.
    pub fn value(self) -> Value<'b> {
        self.0
    }

    /// A copy that outlives the message.
    pub fn to_boxed(self) -> IdBox {
        IdBox(self.0.to_boxed())
    }

    /// Appends it. In the encoding that it came in, byte for byte.
    pub(super) fn push(self, out: &mut Vec<u8>, encoding: Encoding) {
        self.0.write(out, encoding);
    }
}

/// An owned [`Id`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdBox(ValueBox);

impl IdBox {
    /// The id.
    pub fn as_id(&self) -> Id<'_> {
        Id(self.0.as_value())
    }
}
