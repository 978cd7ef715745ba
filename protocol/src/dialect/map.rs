//! One map being written, in either encoding: so that every message has one description. Called by `reply`, `event` and `json_rpc`.
//!
//! Invariant: JSON comes without white space, keys in the order written; MessagePack in its shortest form. Keys are ours and
//! need no escaping.

use super::id::Id;
use super::value::{Encoding, Untranslatable, Value};
use crate::{json, pack};

/// A map that is open.
pub(super) struct Map<'o> {
    out: &'o mut Vec<u8>,
    encoding: Encoding,
    /// Where its first byte is.
    start: usize,
    /// Keys so far.
    count: u8,
}

/// A fixmap's: its marker is one byte, which is written when the count is known.
const KEYS_MAX: u8 = 15;
const FIXMAP: u8 = 0x80;

impl<'o> Map<'o> {
    pub(super) fn open(out: &'o mut Vec<u8>, encoding: Encoding) -> Map<'o> {
        let start = out.len();
        out.push(match encoding {
            Encoding::Json => b'{',
            Encoding::Pack => FIXMAP,
        });
        Map {
            out,
            encoding,
            start,
            count: 0,
        }
    }

    pub(super) fn close(self) {
        match self.encoding {
            Encoding::Json => self.out.push(b'}'),
            Encoding::Pack => self.out[self.start] = FIXMAP | self.count,
        }
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        match self.encoding {
            Encoding::Json => {
                if self.count > 0 {
                    self.out.push(b',');
                }
                self.out.push(b'"');
                self.out.extend_from_slice(key.as_bytes());
                self.out.extend_from_slice(b"\":");
            }
            Encoding::Pack => pack::push_string(self.out, key),
        }
        self.count += 1;
        assert!(self.count <= KEYS_MAX, "our maps are small");
        self.out
    }

    pub(super) fn string(&mut self, key: &str, text: &str) {
        self.key(key);
        self.push_string(text);
    }

    pub(super) fn some_string(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.string(key, text);
        }
    }

    pub(super) fn number(&mut self, key: &str, number: u64) {
        let encoding = self.encoding;
        let out = self.key(key);
        match encoding {
            Encoding::Json => json::push_u64(out, number),
            Encoding::Pack => pack::push_u64(out, number),
        }
    }

    /// Of any sign.
    pub(super) fn signed(&mut self, key: &str, number: i64) {
        let encoding = self.encoding;
        let out = self.key(key);
        match encoding {
            Encoding::Json => json::push_i64(out, number),
            Encoding::Pack => pack::push_i64(out, number),
        }
    }

    pub(super) fn boolean(&mut self, key: &str, flag: bool) {
        let encoding = self.encoding;
        let out = self.key(key);
        match encoding {
            Encoding::Json => out.extend_from_slice(if flag { b"true" } else { b"false" }),
            Encoding::Pack => pack::push_bool(out, flag),
        }
    }

    pub(super) fn null(&mut self, key: &str) {
        let encoding = self.encoding;
        let out = self.key(key);
        match encoding {
            Encoding::Json => out.extend_from_slice(b"null"),
            Encoding::Pack => pack::push_nil(out),
        }
    }

    pub(super) fn value(&mut self, key: &str, value: Value<'_>) -> Result<(), Untranslatable> {
        let encoding = self.encoding;
        value.write(self.key(key), encoding)
    }

    pub(super) fn some_value(
        &mut self,
        key: &str,
        value: Option<Value<'_>>,
    ) -> Result<(), Untranslatable> {
        value.map_or(Ok(()), |value| self.value(key, value))
    }

    /// `null` when there is none.
    pub(super) fn value_or_null(
        &mut self,
        key: &str,
        value: Option<Value<'_>>,
    ) -> Result<(), Untranslatable> {
        match value {
            Some(value) => self.value(key, value),
            None => {
                self.null(key);
                Ok(())
            }
        }
    }

    pub(super) fn id(&mut self, id: Option<Id<'_>>) {
        if let Some(id) = id {
            let encoding = self.encoding;
            id.push(self.key("id"), encoding);
        }
    }

    pub(super) fn map<T>(&mut self, key: &str, fill: impl FnOnce(&mut Map<'_>) -> T) -> T {
        let encoding = self.encoding;
        let mut inner = Map::open(self.key(key), encoding);
        let filled = fill(&mut inner);
        inner.close();
        filled
    }

    pub(super) fn strings(&mut self, key: &str, texts: &[&str]) {
        self.array(key, texts, |map, text| map.push_string(text));
    }

    pub(super) fn maps<T>(&mut self, key: &str, items: &[T], fill: impl Fn(&mut Map<'_>, &T)) {
        self.array(key, items, |map, item| {
            let mut inner = Map::open(map.out, map.encoding);
            fill(&mut inner, item);
            inner.close();
        });
    }

    fn array<T>(&mut self, key: &str, items: &[T], push: impl Fn(&mut Map<'_>, &T)) {
        self.key(key);
        match self.encoding {
            Encoding::Json => self.out.push(b'['),
            Encoding::Pack => pack::push_array_len(self.out, items.len()),
        }
        for (index, item) in items.iter().enumerate() {
            if index > 0 && self.encoding == Encoding::Json {
                self.out.push(b',');
            }
            push(self, item);
        }
        if self.encoding == Encoding::Json {
            self.out.push(b']');
        }
    }

    fn push_string(&mut self, text: &str) {
        match self.encoding {
            Encoding::Json => json::push_string(self.out, text),
            Encoding::Pack => pack::push_string(self.out, text),
        }
    }
}
