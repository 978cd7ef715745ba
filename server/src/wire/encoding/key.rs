//! Keys of maps. Each is text in every encoding: what the key is in JSON, numbers in digits and
//! bytes in base64.

use super::unfit::{Unfit, bytes_of};
use super::writer::{Unwritable, widened};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde::ser::{self, Impossible, Serialize, Serializer};
use shardcast_protocol::dialect::Encoding;
use std::borrow::Cow;

/// Writes a key where it stands.
pub(super) struct KeyWriter<'w> {
    pub(super) out: &'w mut Vec<u8>,
    pub(super) encoding: Encoding,
}

impl KeyWriter<'_> {
    fn text(self, text: &str) -> Result<(), Unwritable> {
        self.encoding.push_string(self.out, text);
        Ok(())
    }
}

/// Nothing but scalars has a text of its own.
fn none() -> Unwritable {
    ser::Error::custom("a map's key is neither text nor a number")
}

macro_rules! in_digits {
    ($($name:ident: $type:ty,)*) => {$(
        fn $name(self, number: $type) -> Result<(), Unwritable> {
            self.text(&number.to_string())
        }
    )*};
}

impl Serializer for KeyWriter<'_> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Impossible<(), Unwritable>;
    type SerializeTuple = Impossible<(), Unwritable>;
    type SerializeTupleStruct = Impossible<(), Unwritable>;
    type SerializeTupleVariant = Impossible<(), Unwritable>;
    type SerializeMap = Impossible<(), Unwritable>;
    type SerializeStruct = Impossible<(), Unwritable>;
    type SerializeStructVariant = Impossible<(), Unwritable>;

    in_digits! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
    }

    fn serialize_f32(self, number: f32) -> Result<(), Unwritable> {
        self.serialize_f64(widened(number))
    }

    fn serialize_f64(self, number: f64) -> Result<(), Unwritable> {
        let mut text = Vec::new();
        Encoding::Json.push_f64(&mut text, number);
        self.text(&String::from_utf8(text).map_err(ser::Error::custom)?)
    }

    fn serialize_str(self, text: &str) -> Result<(), Unwritable> {
        self.text(text)
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Unwritable> {
        let mut text = Vec::new();
        Encoding::Json.push_bytes(&mut text, bytes);
        let text = String::from_utf8(text).map_err(ser::Error::custom)?;
        self.text(text.trim_matches('"'))
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.text("null")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        self.text("null")
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Unwritable> {
        self.text("null")
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Unwritable> {
        self.text(variant)
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
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), Unwritable> {
        Err(none())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Self::SerializeSeq, Unwritable> {
        Err(none())
    }

    fn serialize_tuple(self, _len: usize) -> Result<Self::SerializeTuple, Unwritable> {
        Err(none())
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleStruct, Unwritable> {
        Err(none())
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant, Unwritable> {
        Err(none())
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap, Unwritable> {
        Err(none())
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStruct, Unwritable> {
        Err(none())
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant, Unwritable> {
        Err(none())
    }
}

/// Reads a key as what the application's type asks for.
pub(super) struct KeyReader<'b>(pub(super) Cow<'b, str>);

impl<'b> KeyReader<'b> {
    fn visit<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }
}

macro_rules! from_digits {
    ($($name:ident $visit:ident,)*) => {$(
        fn $name<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => self.visit(visitor),
            }
        }
    )*};
}

impl<'b> Deserializer<'b> for KeyReader<'b> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.visit(visitor)
    }

    from_digits! {
        deserialize_bool visit_bool,
        deserialize_i8 visit_i8,
        deserialize_i16 visit_i16,
        deserialize_i32 visit_i32,
        deserialize_i64 visit_i64,
        deserialize_i128 visit_i128,
        deserialize_u8 visit_u8,
        deserialize_u16 visit_u16,
        deserialize_u32 visit_u32,
        deserialize_u64 visit_u64,
        deserialize_u128 visit_u128,
        deserialize_f32 visit_f32,
        deserialize_f64 visit_f64,
    }

    fn deserialize_bytes<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_byte_buf(bytes_of(&self.0)?)
    }

    fn deserialize_byte_buf<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match &*self.0 {
            "null" => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match &*self.0 {
            "null" => visitor.visit_unit(),
            _ => self.visit(visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'b>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'b>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'b>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        <W: Visitor<'b>>
        char str string seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A key for a seed.
pub(super) fn key_for<'b, K: DeserializeSeed<'b>>(
    seed: K,
    key: Cow<'b, str>,
) -> Result<K::Value, Unfit> {
    seed.deserialize(KeyReader(key))
}
