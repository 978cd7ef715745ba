//! What a client sent, read by serde into an application's type: by one data model, so that it is
//! the same in whichever encoding it came. `docs/protocol.md` has the model, `docs/embedding.md`
//! what Rust's types take.

use super::key::key_for;
use super::unfit::{Unfit, bytes_of};
use super::writer::SERDE_JSON_TEXT;
use serde::de::value::{BorrowedStrDeserializer, MapDeserializer, StringDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use shardcast_protocol::dialect::{Encoding, Rest, Token, Tokens, Value};
use std::borrow::Cow;
use std::fmt;

/// A value that is read.
#[derive(Debug)]
pub(crate) struct Reader<'b>(Tokens<'b>);

impl<'b> Reader<'b> {
    pub(crate) fn new(value: Value<'b>) -> Reader<'b> {
        Reader(Tokens::new(value))
    }

    /// Shows the next value as what it is. Bytes are the text that they are in JSON.
    fn show<V: Visitor<'b>>(&mut self, token: Token<'b>, visitor: V) -> Result<V::Value, Unfit> {
        match token {
            Token::Null => visitor.visit_unit(),
            Token::Bool(flag) => visitor.visit_bool(flag),
            Token::Unsigned(number) => visitor.visit_u64(number),
            Token::Signed(number) => visitor.visit_i64(number),
            Token::Float(number) => visitor.visit_f64(number),
            Token::Digits(digits) => match digits.parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Unfit::custom("a number that is none")),
            },
            Token::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Token::Text(Cow::Owned(text)) => visitor.visit_string(text),
            Token::Bytes(bytes) => visitor.visit_string(base64_of(bytes)),
            Token::Extension(kind, content) => visitor.visit_map(Extension {
                kind: Some(kind),
                content: Some(content),
            }),
            Token::Array(rest) => {
                let mut elements = Elements { reader: self, rest };
                let value = visitor.visit_seq(&mut elements)?;
                elements.finish(value)
            }
            Token::Map(rest) => {
                let mut pairs = Elements { reader: self, rest };
                let value = visitor.visit_map(&mut pairs)?;
                pairs.finish(value)
            }
        }
    }
}

impl<'b> Deserializer<'b> for &mut Reader<'b> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let token = self.0.head();
        self.show(token, visitor)
    }

    fn deserialize_i128<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let token = self.0.head();
        match digits_of(&token) {
            Some(number) => visitor.visit_i128(number),
            None => self.show(token, visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let token = self.0.head();
        match digits_of(&token) {
            Some(number) => visitor.visit_u128(number),
            None => self.show(token, visitor),
        }
    }

    fn deserialize_bytes<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.0.head() {
            Token::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Token::Text(text) => visitor.visit_byte_buf(bytes_of(&text)?),
            token => self.show(token, visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if self.0.take_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'b>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        if name.starts_with(SERDE_JSON_TEXT) {
            // `serde_json::value::RawValue` takes a map of this name and the JSON.
            let mut text = Vec::new();
            self.0.value().write_json(&mut text);
            let text = String::from_utf8(text).map_err(Unfit::custom)?;
            return visitor.visit_map(MapDeserializer::new(std::iter::once((name, text))));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'b>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        match self.0.head() {
            Token::Text(text) => visitor.visit_enum(text.into_deserializer()),
            Token::Map(rest) => {
                let mut pairs = Elements { reader: self, rest };
                let value = visitor.visit_enum(&mut pairs)?;
                pairs.finish(value)
            }
            token => self.show(token, Name).map(|never| match never {}),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.0.value();
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <W: Visitor<'b>>
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string unit unit_struct seq tuple tuple_struct map
        struct identifier
    }
}

/// Names what an enum takes.
struct Name;

impl<'b> Visitor<'b> for Name {
    type Value = std::convert::Infallible;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VARIANT)
    }
}

/// A whole number beyond 64 bits: as digits, or as rmp-serde writes it.
fn digits_of<N: std::str::FromStr + Wide>(token: &Token<'_>) -> Option<N> {
    match token {
        Token::Digits(digits) => digits.parse().ok(),
        Token::Text(digits) => digits.parse().ok(),
        Token::Bytes(bytes) => Some(N::of_bytes((*bytes).try_into().ok()?)),
        _ => None,
    }
}

trait Wide {
    fn of_bytes(bytes: [u8; 16]) -> Self;
}

impl Wide for u128 {
    fn of_bytes(bytes: [u8; 16]) -> u128 {
        u128::from_be_bytes(bytes)
    }
}

impl Wide for i128 {
    fn of_bytes(bytes: [u8; 16]) -> i128 {
        i128::from_be_bytes(bytes)
    }
}

fn base64_of(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    Encoding::Json.push_bytes(&mut text, bytes);
    String::from_utf8_lossy(&text).trim_matches('"').to_owned()
}

/// The elements of an array or the pairs of a map.
struct Elements<'r, 'b> {
    reader: &'r mut Reader<'b>,
    rest: Rest,
}

impl Elements<'_, '_> {
    /// The complete value, if nothing is left.
    fn finish<T>(&mut self, value: T) -> Result<T, Unfit> {
        if self.reader.0.more(&mut self.rest) {
            Err(Unfit::custom("there is more than fits"))
        } else {
            Ok(value)
        }
    }
}

impl<'b> SeqAccess<'b> for &mut Elements<'_, 'b> {
    type Error = Unfit;

    fn next_element_seed<T: DeserializeSeed<'b>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unfit> {
        if self.reader.0.more(&mut self.rest) {
            seed.deserialize(&mut *self.reader).map(Some)
        } else {
            Ok(None)
        }
    }

    fn size_hint(&self) -> Option<usize> {
        self.rest.count()
    }
}

impl<'b> MapAccess<'b> for &mut Elements<'_, 'b> {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'b>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        if self.reader.0.more(&mut self.rest) {
            key_for(seed, self.reader.0.key()).map(Some)
        } else {
            Ok(None)
        }
    }

    fn next_value_seed<V: DeserializeSeed<'b>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        self.rest.count()
    }
}

impl<'b> EnumAccess<'b> for &mut Elements<'_, 'b> {
    type Error = Unfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'b>>(self, seed: V) -> Result<(V::Value, Self), Unfit> {
        if !self.reader.0.more(&mut self.rest) {
            return Err(Unfit::invalid_type(Unexpected::Map, &VARIANT));
        }
        let variant = key_for(seed, self.reader.0.key())?;
        Ok((variant, self))
    }
}

impl<'b> VariantAccess<'b> for &mut Elements<'_, 'b> {
    type Error = Unfit;

    fn unit_variant(self) -> Result<(), Unfit> {
        de::Deserialize::deserialize(&mut *self.reader)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'b>>(self, seed: T) -> Result<T::Value, Unfit> {
        seed.deserialize(&mut *self.reader)
    }

    fn tuple_variant<V: Visitor<'b>>(self, _len: usize, visitor: V) -> Result<V::Value, Unfit> {
        self.reader.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'b>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.reader.deserialize_any(visitor)
    }
}

/// What an enum takes.
const VARIANT: &str = "the name of a variant, or an object with it as its only key";

/// An extension as the object that it is in JSON.
struct Extension<'b> {
    kind: Option<i8>,
    content: Option<&'b [u8]>,
}

impl<'b> MapAccess<'b> for Extension<'b> {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'b>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        let key = match (self.kind, self.content) {
            (Some(_), _) => "ext",
            (None, Some(_)) => "data",
            (None, None) => return Ok(None),
        };
        seed.deserialize(BorrowedStrDeserializer::new(key))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'b>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        match self.kind.take() {
            Some(kind) => seed.deserialize(kind.into_deserializer()),
            None => {
                let content = self.content.take().unwrap_or_default();
                seed.deserialize(StringDeserializer::new(base64_of(content)))
            }
        }
    }
}
