//! What an application sends, written by serde in the encoding of a dialect: by one data model, so
//! that every client gets the same value. `docs/protocol.md` has the model, `docs/embedding.md`
//! what becomes of Rust's types.
//!
//! Invariant: what was written without an error is one complete valid value, and its depth is at
//! most what every dialect can send.

use super::compound::{Compound, Fields};
use super::writer::{Container, SERDE_JSON_TEXT, Unwritable, Writer, widened};
use serde::ser::{Serialize, Serializer};
use shardcast_protocol::dialect::DEPTH_MAX;

impl<'w> Writer<'w> {
    /// Begins a container; `len` is what its type announces.
    fn open(self, container: Container, len: usize) -> Result<Compound<'w>, Unwritable> {
        if self.outer >= DEPTH_MAX {
            return Err(Unwritable::TooDeep);
        }
        let start = self.out.len();
        container.open(self.encoding, self.out, len);
        let inner = Writer {
            outer: self.outer + 1,
            ..self
        };
        Ok(Compound::new(inner, container, start, len))
    }

    /// Begins an enum's variant: a map with its name as the only key.
    fn open_variant(self, name: &str) -> Result<Writer<'w>, Unwritable> {
        let mut map = self.open(Container::Map, 1)?;
        map.name(name);
        Ok(map.into_writer())
    }

    fn open_in_variant(
        self,
        name: &str,
        container: Container,
        len: usize,
    ) -> Result<Compound<'w>, Unwritable> {
        let compound = self.open_variant(name)?.open(container, len)?;
        Ok(compound.in_variant())
    }
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
        Container::Map.close(inner.encoding, inner.out);
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'w>, Unwritable> {
        self.open(Container::Array, len.unwrap_or(0))
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'w>, Unwritable> {
        self.open(Container::Array, len)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        len: usize,
    ) -> Result<Compound<'w>, Unwritable> {
        self.open(Container::Array, len)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'w>, Unwritable> {
        self.open_in_variant(variant, Container::Array, len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'w>, Unwritable> {
        self.open(Container::Map, len.unwrap_or(0))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields<'w>, Unwritable> {
        Ok(if name.starts_with(SERDE_JSON_TEXT) {
            Fields::Text(self)
        } else {
            Fields::Of(self.open(Container::Map, len)?)
        })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'w>, Unwritable> {
        self.open_in_variant(variant, Container::Map, len)
    }
}
