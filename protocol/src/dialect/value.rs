//! A value as its sender encoded it, and its translation.

use super::transcode;
use crate::json::{Raw, RawBox};
use crate::pack::{Pack, PackBox};
use thiserror::Error;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// RFC 8259.
    Json,
    /// MessagePack.
    Pack,
}

/// A value as its sender encoded it: one whole valid value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'b> {
    /// From a dialect that speaks JSON.
    Json(Raw<'b>),
    /// From one that speaks MessagePack.
    Pack(Pack<'b>),
}

/// Why something cannot be said in another dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Untranslatable {
    /// MessagePack's extension types mean what an application made of them; JSON has no place for them.
    #[error("a MessagePack extension has no JSON")]
    Extension,
    /// A map's key that is neither a string nor an integer.
    #[error("a key that is neither a string nor an integer has no JSON")]
    Key,
    /// A call's params are an object or an array (JSON-RPC 2.0 §4.2).
    #[error("params are neither an object nor an array")]
    Params,
    /// The dialect has no such message.
    #[error("this dialect has no such message")]
    Message,
}

impl<'b> Value<'b> {
    /// How it is written.
    pub fn encoding(self) -> Encoding {
        match self {
            Value::Json(_) => Encoding::Json,
            Value::Pack(_) => Encoding::Pack,
        }
    }

    /// As it was sent.
    pub fn as_bytes(self) -> &'b [u8] {
        match self {
            Value::Json(raw) => raw.as_str().as_bytes(),
            Value::Pack(pack) => pack.as_bytes(),
        }
    }

    /// Whether it is an object, a map or an array.
    pub fn is_container(self) -> bool {
        let first = self.as_bytes()[0];
        match self {
            Value::Json(_) => matches!(first, b'{' | b'['),
            Value::Pack(_) => matches!(first, 0x80..=0x9f | 0xdc..=0xdf),
        }
    }

    /// Appends it as JSON: JSON byte for byte, MessagePack translated. Appends at most 6 bytes for each of its own.
    ///
    /// - Bytes (`bin`) become a string in base64 with padding (RFC 4648 §4).
    /// - NaN and the infinities become `null`, as in JavaScript's `JSON.stringify`. Other floats become the shortest text that reads as
    ///   the same 64-bit float, and always have a point or an exponent.
    /// - Integer keys become their decimal text. Duplicate keys stay duplicate.
    ///
    /// # Errors
    /// There is an extension, or a key that is neither a string nor an integer. Nothing was appended.
    pub fn write_json(self, out: &mut Vec<u8>) -> Result<(), Untranslatable> {
        match self {
            Value::Json(raw) => {
                out.extend_from_slice(raw.as_str().as_bytes());
                Ok(())
            }
            Value::Pack(pack) => super::whole(out, |out| transcode::json_of_pack(out, pack)),
        }
    }

    /// Appends it as MessagePack: MessagePack byte for byte, JSON translated, everything in its shortest form. Appends at most 3 bytes
    /// for each of its own and 3 more.
    ///
    /// - A number without point and exponent becomes an integer if it fits 64 bits, with or without sign. Every other one, and `-0`,
    ///   becomes a 64-bit float, the nearest.
    /// - Duplicate keys stay duplicate.
    ///
    /// # Errors
    /// None: all JSON can be said. The type is that of [`Value::write_json`].
    pub fn write_pack(self, out: &mut Vec<u8>) -> Result<(), Untranslatable> {
        match self {
            Value::Json(raw) => transcode::pack_of_json(out, raw),
            Value::Pack(pack) => out.extend_from_slice(pack.as_bytes()),
        }
        Ok(())
    }

    /// Appends it in an encoding.
    ///
    /// # Errors
    /// See [`Value::write_json`].
    pub fn write(self, out: &mut Vec<u8>, encoding: Encoding) -> Result<(), Untranslatable> {
        match encoding {
            Encoding::Json => self.write_json(out),
            Encoding::Pack => self.write_pack(out),
        }
    }

    /// A copy that outlives the message.
    pub fn to_boxed(self) -> ValueBox {
        match self {
            Value::Json(raw) => ValueBox::Json(raw.to_boxed()),
            Value::Pack(pack) => ValueBox::Pack(pack.to_boxed()),
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
}

impl ValueBox {
    /// The value.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            ValueBox::Json(raw) => Value::Json(raw.as_raw()),
            ValueBox::Pack(pack) => Value::Pack(pack.as_pack()),
        }
    }
}
