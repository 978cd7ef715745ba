//! What an application says, written by serde in the encoding of a dialect: by one data model, so that it is the same whoever hears it.
//! `docs/protocol.md` has the model, `docs/embedding.md` what becomes of Rust's types.
//!
//! Invariant: what was written without an error is one whole valid value, nested so deep at most that it can be sent and translated.

use super::compound::{Compound, Fields, SERDE_JSON_TEXT, Shape};
use serde::ser::{self, Serialize, Serializer};
use shardcast_protocol::dialect::{DEPTH_MAX, Encoding};
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
    /// Set when bytes are written, which are the one thing that is text in JSON and more in MessagePack.
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

    /// Begins a container; `len` is what its type announces.
    fn open(self, shape: Shape, len: usize) -> Result<Compound<'w>, Unwritable> {
        if self.outer >= DEPTH_MAX {
            return Err(Unwritable::TooDeep);
        }
        let start = self.out.len();
        shape.open(self.encoding, self.out, len);
        let inner = Writer {
            outer: self.outer + 1,
            ..self
        };
        Ok(Compound::new(inner, shape, start, len))
    }

    /// Begins an enum's variant: a map with its name as the only key.
    fn open_variant(self, name: &str) -> Result<Writer<'w>, Unwritable> {
        let mut map = self.open(Shape::Map, 1)?;
        map.name(name);
        Ok(map.into_writer())
    }

    fn open_in_variant(
        self,
        name: &str,
        shape: Shape,
        len: usize,
    ) -> Result<Compound<'w>, Unwritable> {
        let compound = self.open_variant(name)?.open(shape, len)?;
        Ok(compound.in_variant())
    }

    /// A whole number of any size. One beyond 64 bits becomes text: read as a number, most clients would not see all of its digits.
    fn push_wide(self, number: impl Copy + TryInto<u64> + TryInto<i64> + Display) {
        let (unsigned, signed): (Option<u64>, Option<i64>) =
            (number.try_into().ok(), number.try_into().ok());
        match (unsigned, signed) {
            (Some(number), _) => self.encoding.push_u64(self.out, number),
            (None, Some(number)) => self.encoding.push_i64(self.out, number),
            (None, None) => self.encoding.push_string(self.out, &number.to_string()),
        }
    }
}

/// The float that a shorter one says: the nearest to its own shortest digits, so that 0.1 is 0.1 in every encoding.
pub(super) fn widened(number: f32) -> f64 {
    let digits = number.to_string().parse();
    digits
        .ok()
        .filter(|wide: &f64| *wide as f32 == number)
        .unwrap_or(number.into())
}

impl<'w> Serializer for Writer<'w> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Compound<'w>;
    type SerializeTuple = Compound<'w>;
    type SerializeTupleStruct = Compound<'w>;
    type SerializeTupleVariant = Compound<'w>;
    type SerializeMap = Compound<'w>;
    type SerializeStruct = Fields<'w>;
    type SerializeStructVariant = Compound<'w>;

    fn serialize_bool(self, flag: bool) -> Result<(), Unwritable> {
        self.encoding.push_bool(self.out, flag);
        Ok(())
    }

    fn serialize_i8(self, number: i8) -> Result<(), Unwritable> {
        self.serialize_i64(number.into())
    }

    fn serialize_i16(self, number: i16) -> Result<(), Unwritable> {
        self.serialize_i64(number.into())
    }

    fn serialize_i32(self, number: i32) -> Result<(), Unwritable> {
        self.serialize_i64(number.into())
    }

    fn serialize_i64(self, number: i64) -> Result<(), Unwritable> {
        self.encoding.push_i64(self.out, number);
        Ok(())
    }

    fn serialize_i128(self, number: i128) -> Result<(), Unwritable> {
        self.push_wide(number);
        Ok(())
    }

    fn serialize_u8(self, number: u8) -> Result<(), Unwritable> {
        self.serialize_u64(number.into())
    }

    fn serialize_u16(self, number: u16) -> Result<(), Unwritable> {
        self.serialize_u64(number.into())
    }

    fn serialize_u32(self, number: u32) -> Result<(), Unwritable> {
        self.serialize_u64(number.into())
    }

    fn serialize_u64(self, number: u64) -> Result<(), Unwritable> {
        self.encoding.push_u64(self.out, number);
        Ok(())
    }

    fn serialize_u128(self, number: u128) -> Result<(), Unwritable> {
        self.push_wide(number);
        Ok(())
    }

    fn serialize_f32(self, number: f32) -> Result<(), Unwritable> {
        self.serialize_f64(widened(number))
    }

    fn serialize_f64(self, number: f64) -> Result<(), Unwritable> {
        self.encoding.push_f64(self.out, number);
        Ok(())
    }

    fn serialize_char(self, character: char) -> Result<(), Unwritable> {
        self.serialize_str(character.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<(), Unwritable> {
        self.encoding.push_string(self.out, text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Unwritable> {
        self.has_bytes.set(true);
        self.encoding.push_bytes(self.out, bytes);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        self.encoding.push_null(self.out);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Unwritable> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        let mut inner = self.open_variant(variant)?;
        value.serialize(inner.reborrow())?;
        Shape::Map.close(inner.encoding, inner.out);
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'w>, Unwritable> {
        self.open(Shape::Array, len.unwrap_or(0))
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'w>, Unwritable> {
        self.open(Shape::Array, len)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        len: usize,
    ) -> Result<Compound<'w>, Unwritable> {
        self.open(Shape::Array, len)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'w>, Unwritable> {
        self.open_in_variant(variant, Shape::Array, len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'w>, Unwritable> {
        self.open(Shape::Map, len.unwrap_or(0))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields<'w>, Unwritable> {
        Ok(if name.starts_with(SERDE_JSON_TEXT) {
            Fields::Text(self)
        } else {
            Fields::Of(self.open(Shape::Map, len)?)
        })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'w>, Unwritable> {
        self.open_in_variant(variant, Shape::Map, len)
    }
}
