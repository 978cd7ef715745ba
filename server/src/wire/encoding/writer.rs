//! Where a value is written, and how containers begin and end there. Used by the serializer, its
//! containers and its keys.

use serde::ser;
use shardcast_protocol::dialect::Encoding;
use std::cell::Cell;
use std::fmt::{Debug, Display};

/// Why a value could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwritable {
    #[error("the value nests too deeply")]
    TooDeep,
    #[error("{0}")]
    Other(String),
}

impl ser::Error for Unwritable {
    fn custom<T: Display>(message: T) -> Unwritable {
        Unwritable::Other(message.to_string())
    }
}

/// A place for one value.
#[derive(Debug)]
pub(crate) struct Writer<'w> {
    pub(crate) out: &'w mut Vec<u8>,
    pub(crate) encoding: Encoding,
    /// Containers around the value, those of its message included.
    pub(crate) outer: u32,
    /// Set when bytes are written, which are the one thing that is text in JSON and more in
    /// MessagePack.
    pub(crate) has_bytes: &'w Cell<bool>,
}

impl<'w> Writer<'w> {
    /// The same place, for one of several values.
    pub(super) fn reborrow(&mut self) -> Writer<'_> {
        Writer {
            out: self.out,
            encoding: self.encoding,
            outer: self.outer,
            has_bytes: self.has_bytes,
        }
    }

    /// A whole number of any size. One beyond 64 bits becomes text: read as a number, most clients
    /// would not see all of its digits.
    pub(super) fn push_wide(self, number: impl Copy + TryInto<u64> + TryInto<i64> + Display) {
        let (unsigned, signed): (Option<u64>, Option<i64>) =
            (number.try_into().ok(), number.try_into().ok());
        match (unsigned, signed) {
            (Some(number), _) => self.encoding.push_u64(self.out, number),
            (None, Some(number)) => self.encoding.push_i64(self.out, number),
            (None, None) => self.encoding.push_string(self.out, &number.to_string()),
        }
    }
}

/// A shorter float as the nearest to its own shortest digits, so that 0.1 is 0.1 in every encoding.
pub(super) fn widened(number: f32) -> f64 {
    let digits = number.to_string().parse();
    digits
        .ok()
        .filter(|wide: &f64| *wide as f32 == number)
        .unwrap_or(number.into())
}

/// How `serde_json::value::RawValue`, and its `Number` with arbitrary precision, say that their
/// only field is JSON.
pub(super) const SERDE_JSON_TEXT: &str = "$serde_json::private::";

/// A value with values in it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Container {
    Array,
    Map,
}

impl Container {
    pub(super) fn open(self, encoding: Encoding, out: &mut Vec<u8>, len: usize) {
        match self {
            Container::Array => encoding.open_array(out, len),
            Container::Map => encoding.open_map(out, len),
        }
    }

    pub(super) fn close(self, encoding: Encoding, out: &mut Vec<u8>) {
        match (encoding, self) {
            (Encoding::Pack, _) => {}
            (Encoding::Json, Container::Array) => out.push(b']'),
            (Encoding::Json, Container::Map) => out.push(b'}'),
        }
    }
}
