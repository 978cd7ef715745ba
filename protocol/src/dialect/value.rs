//! A value as its sender encoded it, and how it is transcoded.

use super::transcode;
use crate::json::{Raw, RawBox};
use crate::pack::{self, Pack, PackBox};
use thiserror::Error;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// RFC 8259.
    Json,
    /// MessagePack.
    Pack,
}

/// A value as its sender encoded it: one complete valid value, or bytes, which every encoding has a
/// value for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'b> {
    /// From a dialect that speaks JSON.
    Json(Raw<'b>),
    /// From one that speaks MessagePack.
    Pack(Pack<'b>),
    /// Bytes that are no value of any encoding, from one that carries them as they are.
    Bytes(&'b [u8]),
}

/// Why a dialect cannot encode an event. Every dialect can encode every value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unencodable {
    /// A call's params are an object or an array (JSON-RPC 2.0 §4.2).
    #[error("params are neither an object nor an array")]
    Params,
    /// The dialect has no such message.
    #[error("this dialect has no such message")]
    Message,
    /// What it changes is not shorter than all of it, or the dialect has no deltas.
    #[error("there is no delta of this")]
    Change,
}

impl<'b> Value<'b> {
    /// Whether it is JSON's `null`, or MessagePack's nil or `undefined`.
    pub fn is_null(self) -> bool {
        match self {
            Value::Json(raw) => raw.is_null(),
            Value::Pack(pack) => pack.is_null(),
            Value::Bytes(_) => false,
        }
    }

    /// As it was sent.
    pub fn as_bytes(self) -> &'b [u8] {
        match self {
            Value::Json(raw) => raw.as_str().as_bytes(),
            Value::Pack(pack) => pack.as_bytes(),
            Value::Bytes(bytes) => bytes,
        }
    }

    /// Whether it is an object, a map or an array.
    pub fn is_container(self) -> bool {
        let first = self.as_bytes().first();
        match self {
            Value::Json(_) => matches!(first, Some(b'{' | b'[')),
            Value::Pack(_) => matches!(first, Some(0x80..=0x9f | 0xdc..=0xdf)),
            Value::Bytes(_) => false,
        }
    }

    /// Appends it as JSON: JSON byte for byte, MessagePack transcoded. Appends at most
    /// [`Value::JSON_GROWTH_MAX`] bytes for each of its own.
    ///
    /// - Bytes (`bin`) become a string in base64 with padding (RFC 4648 §4).
    /// - A float whose value is an integer below 2^53 becomes that integer, but for `-0.0`. Every
    ///   other one becomes the shortest text that reads as the same 64-bit float, with a point or
    ///   an exponent. NaN and the infinities become `null`, as in JavaScript's `JSON.stringify`.
    /// - A timestamp (`ext` of type -1) becomes a string as RFC 3339 has it, in UTC, with 3, 6 or 9
    ///   digits of the second: what JavaScript's `Date` is in JSON. `undefined` of npm msgpackr
    ///   becomes `null`. Any other `ext`, and a timestamp outside of the years 0 to 9999, becomes
    ///   an object: `{"ext":5,"data":"AQ=="}`, with its type and its bytes in base64.
    /// - Keys that are no strings become the text that the value has in JSON; bytes their base64.
    ///   Duplicate keys stay duplicate.
    pub fn write_json(self, out: &mut Vec<u8>) {
        match self {
            Value::Json(raw) => out.extend_from_slice(raw.as_str().as_bytes()),
            Value::Pack(pack) => transcode::json_of_pack(out, pack),
            Value::Bytes(bytes) => transcode::push_base64(out, bytes),
        }
    }

    /// Bytes of JSON for each byte of MessagePack, at most: an `ext` of three bytes in an array.
    pub const JSON_GROWTH_MAX: usize = 9;

    /// Appends it as MessagePack: MessagePack byte for byte, JSON transcoded, everything in its
    /// shortest form. Appends at most [`Value::PACK_GROWTH_MAX`] bytes for each of its own and as
    /// many more.
    ///
    /// - A number with a whole value becomes an integer if it fits 64 bits, with or without sign;
    ///   with a point or an exponent if it is below 2^53. Every other one, and `-0`, becomes a
    ///   64-bit float, the nearest.
    /// - Duplicate keys stay duplicate.
    pub fn write_pack(self, out: &mut Vec<u8>) {
        match self {
            Value::Json(raw) => transcode::pack_of_json(out, raw),
            Value::Pack(pack) => out.extend_from_slice(pack.as_bytes()),
            Value::Bytes(bytes) => pack::push_bytes(out, bytes),
        }
    }

    /// Bytes of MessagePack for each byte of JSON, at most: `-0,` is a float of nine.
    pub const PACK_GROWTH_MAX: usize = 3;

    /// Appends it in an encoding.
    pub fn write(self, out: &mut Vec<u8>, encoding: Encoding) {
        match encoding {
            Encoding::Json => self.write_json(out),
            Encoding::Pack => self.write_pack(out),
        }
    }

    /// Bytes that it has in an encoding, at most: in its own, exactly.
    pub fn bytes_max(self, encoding: Encoding) -> usize {
        let bytes = self.as_bytes().len();
        match (self, encoding) {
            (Value::Json(_), Encoding::Json) | (Value::Pack(_), Encoding::Pack) => bytes,
            (Value::Json(_), Encoding::Pack) => Value::PACK_GROWTH_MAX * (bytes + 1),
            (Value::Pack(_), Encoding::Json) => Value::JSON_GROWTH_MAX * bytes,
            (Value::Bytes(_), Encoding::Json) => 2 + bytes.div_ceil(3) * 4,
            (Value::Bytes(_), Encoding::Pack) => 5 + bytes,
        }
    }

    /// A copy that outlives the message.
    pub fn to_boxed(self) -> ValueBox {
        match self {
            Value::Json(raw) => ValueBox::Json(raw.to_boxed()),
            Value::Pack(pack) => ValueBox::Pack(pack.to_boxed()),
            Value::Bytes(bytes) => ValueBox::Bytes(bytes.into()),
        }
    }
}

/// An owned [`Value`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueBox {
    /// From a dialect that speaks JSON.
    Json(RawBox),
    /// From one that speaks MessagePack.
    Pack(PackBox),
    /// Bytes.
    Bytes(Box<[u8]>),
}

impl ValueBox {
    /// The value.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            ValueBox::Json(raw) => Value::Json(raw.as_raw()),
            ValueBox::Pack(pack) => Value::Pack(pack.as_pack()),
            ValueBox::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}
