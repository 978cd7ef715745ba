//! One map being written, in either encoding: so that every message has one description. Called by
//! `reply`, `event` and `json_rpc`.
//!
//! Invariant: JSON comes without white space, keys in the order written; MessagePack in its
//! shortest form. Keys are ours and need no escaping.

use super::id::Id;
use super::value::{Encoding, Value};
use crate::{json, pack};
use std::marker::PhantomData;

/// An encoding as a type, so that each message is compiled for each: nothing is decided at every
/// key.
pub(crate) trait Notation {
    const ENCODING: Encoding;
}

pub(crate) enum JsonNotation {}

impl Notation for JsonNotation {
    const ENCODING: Encoding = Encoding::Json;
}

pub(crate) enum PackNotation {}

impl Notation for PackNotation {
    const ENCODING: Encoding = Encoding::Pack;
}

/// A map that is open.
pub(crate) struct Map<'o, N> {
    out: &'o mut Vec<u8>,
    notation: PhantomData<N>,
    /// Where its first byte is.
    start: usize,
    /// Keys so far.
    count: u8,
}

/// The longest of our keys, in bytes.
const KEY_BYTES_MAX: usize = "max_message_bytes".len();
/// A fixmap's: its marker is one byte, which is written when the count is known.
const KEYS_MAX: u8 = 15;
const FIXMAP: u8 = 0x80;

impl<'o, N: Notation> Map<'o, N> {
    #[inline]
    pub(super) fn open(out: &'o mut Vec<u8>) -> Map<'o, N> {
        let start = out.len();
        match N::ENCODING {
            // The brace comes with the first key: one write less for each.
            Encoding::Json => {}
            Encoding::Pack => out.push(FIXMAP),
        }
        Map {
            out,
            notation: PhantomData,
            start,
            count: 0,
        }
    }

    #[inline]
    pub(super) fn close(self) {
        match N::ENCODING {
            Encoding::Json if self.count == 0 => self.out.extend_from_slice(b"{}"),
            Encoding::Json => self.out.push(b'}'),
            Encoding::Pack => {
                assert!(self.count <= KEYS_MAX, "our maps are small");
                self.out[self.start] = FIXMAP | self.count;
            }
        }
    }

    #[inline(always)] // Then the key is known, and is one write.
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        match N::ENCODING {
            Encoding::Json => {
                let mut text = [0; KEY_BYTES_MAX + 4];
                text[0] = if self.count == 0 { b'{' } else { b',' };
                text[1] = b'"';
                text[2..2 + key.len()].copy_from_slice(key.as_bytes());
                text[2 + key.len()] = b'"';
                text[3 + key.len()] = b':';
                self.out.extend_from_slice(&text[..4 + key.len()]);
            }
            Encoding::Pack => pack::push_string(self.out, key),
        }
        self.count += 1;
        self.out
    }

    #[inline]
    pub(super) fn string(&mut self, key: &str, text: &str) {
        self.key(key);
        self.push_string(text);
    }

    #[inline]
    pub(super) fn some_string(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.string(key, text);
        }
    }

    /// `null` when there is none.
    #[inline]
    pub(super) fn string_or_null(&mut self, key: &str, text: Option<&str>) {
        match text {
            Some(text) => self.string(key, text),
            None => self.null(key),
        }
    }

    #[inline]
    pub(super) fn number(&mut self, key: &str, number: u64) {
        let out = self.key(key);
        match N::ENCODING {
            Encoding::Json => json::push_u64(out, number),
            Encoding::Pack => pack::push_u64(out, number),
        }
    }

    #[inline]
    pub(super) fn some_number(&mut self, key: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    /// Of any sign.
    #[inline]
    pub(super) fn signed(&mut self, key: &str, number: i64) {
        let out = self.key(key);
        match N::ENCODING {
            Encoding::Json => json::push_i64(out, number),
            Encoding::Pack => pack::push_i64(out, number),
        }
    }

    #[inline]
    pub(super) fn boolean(&mut self, key: &str, flag: bool) {
        let out = self.key(key);
        match N::ENCODING {
            Encoding::Json => out.extend_from_slice(if flag { b"true" } else { b"false" }),
            Encoding::Pack => pack::push_bool(out, flag),
        }
    }

    #[inline]
    pub(super) fn null(&mut self, key: &str) {
        let out = self.key(key);
        match N::ENCODING {
            Encoding::Json => out.extend_from_slice(b"null"),
            Encoding::Pack => pack::push_nil(out),
        }
    }

    #[inline]
    pub(super) fn value(&mut self, key: &str, value: Value<'_>) {
        value.write(self.key(key), N::ENCODING);
    }

    #[inline]
    pub(super) fn some_value(&mut self, key: &str, value: Option<Value<'_>>) {
        if let Some(value) = value {
            self.value(key, value);
        }
    }

    /// `null` when there is none.
    #[inline]
    pub(super) fn value_or_null(&mut self, key: &str, value: Option<Value<'_>>) {
        match value {
            Some(value) => self.value(key, value),
            None => self.null(key),
        }
    }

    #[inline]
    pub(super) fn id(&mut self, id: Option<Id<'_>>) {
        if let Some(id) = id {
            id.push(self.key("id"), N::ENCODING);
        }
    }

    #[inline]
    pub(super) fn map<T>(&mut self, key: &str, fill: impl FnOnce(&mut Map<'_, N>) -> T) -> T {
        let mut inner = Map::<N>::open(self.key(key));
        let filled = fill(&mut inner);
        inner.close();
        filled
    }

    #[inline]
    pub(super) fn strings(&mut self, key: &str, texts: &[&str]) {
        self.array(key, texts, |map, text| map.push_string(text));
    }

    #[inline]
    pub(super) fn maps<T>(&mut self, key: &str, items: &[T], fill: impl Fn(&mut Map<'_, N>, &T)) {
        self.array(key, items, |map, item| {
            let mut inner = Map::<N>::open(map.out);
            fill(&mut inner, item);
            inner.close();
        });
    }

    fn array<T>(&mut self, key: &str, items: &[T], push: impl Fn(&mut Map<'_, N>, &T)) {
        self.key(key);
        match N::ENCODING {
            Encoding::Json => self.out.push(b'['),
            Encoding::Pack => pack::push_array_len(self.out, items.len()),
        }
        for (index, item) in items.iter().enumerate() {
            if index > 0 && N::ENCODING == Encoding::Json {
                self.out.push(b',');
            }
            push(self, item);
        }
        if N::ENCODING == Encoding::Json {
            self.out.push(b']');
        }
    }

    #[inline]
    fn push_string(&mut self, text: &str) {
        match N::ENCODING {
            Encoding::Json => json::push_string(self.out, text),
            Encoding::Pack => pack::push_string(self.out, text),
        }
    }
}
