//! One message of the server being written, in either encoding: so that each has one description.
//! Called by `reply` and `push`.
//!
//! Invariant: what is empty, zero or false is left out, as the protocol has it, and a JSON message
//! has no line feed: that ends it. Protobuf's lengths are those of what stands behind them.

use super::form::DataForm;
use super::schema::Field;
use super::schema::received::entry;
use crate::dialect::id::Id;
use crate::dialect::tagged::tags_in;
use crate::dialect::value::{Encoding, Value};
use crate::json::{self, Raw};
use crate::pack::{Head, PackScanner};
use std::borrow::Cow;
use std::marker::PhantomData;

/// An encoding as a type: nothing is decided at every field.
pub(crate) trait WireNotation {
    const IS_JSON: bool;
}

/// JSON lines.
pub(crate) enum JsonLines {}

impl WireNotation for JsonLines {
    const IS_JSON: bool = true;
}

/// Protobuf, each message behind its length.
pub(crate) enum Delimited {}

impl WireNotation for Delimited {
    const IS_JSON: bool = false;
}

/// A message that is open.
pub(super) struct MessageBody<'o, N> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
    notation: PhantomData<N>,
}

/// Appends a message of about `hint` bytes, complete as it leaves.
pub(super) fn message<N: WireNotation>(
    out: &mut Vec<u8>,
    hint: usize,
    fill: impl FnOnce(&mut MessageBody<'_, N>),
) {
    if N::IS_JSON {
        object(out, fill);
    } else {
        delimited(out, hint, |out| fill(&mut MessageBody::<N>::open(out)));
    }
}

fn object<N: WireNotation>(out: &mut Vec<u8>, fill: impl FnOnce(&mut MessageBody<'_, N>)) {
    out.push(b'{');
    fill(&mut MessageBody::open(out));
    out.push(b'}');
}

/// What `fill` appends, behind its length. Where `hint` has the length of as many digits, nothing
/// is moved.
fn delimited(out: &mut Vec<u8>, hint: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let reserved = varint_bytes(hint as u64);
    out.resize(start + reserved, 0);
    fill(out);
    let len = out.len() - start - reserved;
    let mut digits = [0; VARINT_BYTES_MAX];
    let digits = varint(&mut digits, len as u64);
    if digits.len() == reserved {
        out[start..start + reserved].copy_from_slice(digits);
    } else {
        out.splice(start..start + reserved, digits.iter().copied());
    }
}

const VARINT_BYTES_MAX: usize = 10;

fn varint_bytes(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn varint(digits: &mut [u8; VARINT_BYTES_MAX], mut number: u64) -> &[u8] {
    let mut len = 0;
    loop {
        let group = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            digits[len] = group;
            return &digits[..=len];
        }
        digits[len] = group | 0x80;
        len += 1;
    }
}

fn push_varint(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(varint(&mut [0; VARINT_BYTES_MAX], number));
}

/// How a Protobuf value is written.
#[derive(Clone, Copy)]
enum WireType {
    Varint = 0,
    Bytes = 2,
}

impl<'o, N: WireNotation> MessageBody<'o, N> {
    fn open(out: &'o mut Vec<u8>) -> MessageBody<'o, N> {
        MessageBody {
            out,
            is_empty: true,
            notation: PhantomData,
        }
    }

    fn key(&mut self, field: Field, wire_type: WireType) {
        if N::IS_JSON {
            self.name(field.name);
        } else {
            push_varint(self.out, u64::from(field.tag) << 3 | wire_type as u64);
        }
    }

    /// Of a JSON object.
    fn name(&mut self, name: &str) {
        self.comma();
        json::push_string(self.out, name);
        self.out.push(b':');
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
    }

    pub(super) fn text(&mut self, field: Field, text: &str) {
        if text.is_empty() {
            return;
        }
        self.key(field, WireType::Bytes);
        if N::IS_JSON {
            json::push_string(self.out, text);
        } else {
            push_varint(self.out, text.len() as u64);
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    pub(super) fn unsigned(&mut self, field: Field, number: u64) {
        if number == 0 {
            return;
        }
        self.key(field, WireType::Varint);
        if N::IS_JSON {
            json::push_u64(self.out, number);
        } else {
            push_varint(self.out, number);
        }
    }

    pub(super) fn boolean(&mut self, field: Field, flag: bool) {
        if !flag {
            return;
        }
        self.key(field, WireType::Varint);
        self.out
            .extend_from_slice(if N::IS_JSON { b"true" } else { b"\x01" });
    }

    /// The number of a command, as it was written.
    pub(super) fn id(&mut self, field: Field, id: Option<Id<'_>>) {
        match id.map(Id::value) {
            None => {}
            Some(Value::Bytes(digits)) if !N::IS_JSON => {
                self.key(field, WireType::Varint);
                self.out.extend_from_slice(digits);
            }
            Some(value) => {
                self.key(field, WireType::Varint);
                value.write(self.out, Encoding::Json);
            }
        }
    }

    /// What an application says; `null`, too.
    pub(super) fn data(&mut self, field: Field, value: Value<'_>) {
        self.key(field, WireType::Bytes);
        if N::IS_JSON {
            push_line(self.out, value);
        } else {
            let bytes = bytes_of(value);
            push_varint(self.out, bytes.len() as u64);
            self.out.extend_from_slice(&bytes);
        }
    }

    /// The same in the form that a subscription has.
    pub(super) fn data_in(&mut self, field: Field, value: Value<'_>, form: &DataForm) {
        let content = match form {
            DataForm::Plain => return self.data(field, value),
            DataForm::Whole => content_of::<N>(value),
            DataForm::Delta(delta) => Cow::Borrowed(&delta[..]),
        };
        self.key(field, WireType::Bytes);
        if N::IS_JSON {
            let text = str::from_utf8(&content).expect("JSON is text, and so are deltas of it");
            json::push_string(self.out, text);
        } else {
            push_varint(self.out, content.len() as u64);
            self.out.extend_from_slice(&content);
        }
    }

    pub(super) fn some_data(&mut self, field: Field, value: Option<Value<'_>>) {
        if let Some(value) = value {
            self.data(field, value);
        }
    }

    /// A message inside, of about `hint` bytes; an empty one, too.
    pub(super) fn message(
        &mut self,
        field: Field,
        hint: usize,
        fill: impl FnOnce(&mut MessageBody<'_, N>),
    ) {
        self.key(field, WireType::Bytes);
        message(self.out, hint, fill);
    }

    /// Several.
    pub(super) fn messages<T>(
        &mut self,
        field: Field,
        items: &[T],
        fill: impl Fn(&mut MessageBody<'_, N>, &T),
    ) {
        if items.is_empty() {
            return;
        }
        if N::IS_JSON {
            self.name(field.name);
        }
        for (index, item) in items.iter().enumerate() {
            if N::IS_JSON {
                self.out.push(if index == 0 { b'[' } else { b',' });
                object(self.out, |body| fill(body, item));
            } else {
                self.message(field, 0, |body| fill(body, item));
            }
        }
        if N::IS_JSON {
            self.out.push(b']');
        }
    }

    /// A message under each key.
    pub(super) fn map<T>(
        &mut self,
        field: Field,
        items: &[T],
        key: impl Fn(&T) -> &str,
        fill: impl Fn(&mut MessageBody<'_, N>, &T),
    ) {
        if N::IS_JSON {
            self.key(field, WireType::Bytes);
            object::<N>(self.out, |body| {
                for item in items {
                    body.name(key(item));
                    object(body.out, |body| fill(body, item));
                }
            });
            return;
        }
        for item in items {
            self.message(field, 0, |body| {
                body.text(entry::KEY, key(item));
                body.message(entry::VALUE, 0, |body| fill(body, item));
            });
        }
    }

    /// Texts under their keys.
    pub(super) fn tags(&mut self, field: Field, tags: Raw<'_>) {
        if N::IS_JSON {
            return self.data(field, Value::Json(tags));
        }
        for (key, text) in tags_in(tags) {
            self.message(field, key.len() + text.len() + 4, |body| {
                body.text(entry::KEY, &key);
                body.text(entry::VALUE, &text);
            });
        }
    }

    /// One text under its key.
    pub(super) fn tag(&mut self, field: Field, key: &str, text: &str) {
        if N::IS_JSON {
            self.key(field, WireType::Bytes);
            object::<N>(self.out, |body| {
                body.name(key);
                json::push_string(body.out, text);
            });
        } else {
            self.message(field, key.len() + text.len() + 4, |body| {
                body.text(entry::KEY, key);
                body.text(entry::VALUE, text);
            });
        }
    }
}

/// Appends a value as JSON in one line. Between the parts of a value a line feed is white space,
/// and in a string none stands (RFC 8259 §7), so a space does as well.
fn push_line(out: &mut Vec<u8>, value: Value<'_>) {
    let start = out.len();
    value.write_json(out);
    let mut at = start;
    while let Some(found) = memchr::memchr(b'\n', &out[at..]) {
        at += found;
        out[at] = b' ';
    }
}

/// What clients have of a value.
pub(super) fn content_of<N: WireNotation>(value: Value<'_>) -> Cow<'_, [u8]> {
    match (value, N::IS_JSON) {
        (Value::Json(raw), _) => Cow::Borrowed(raw.as_str().as_bytes()),
        (_, true) => {
            let mut json = Vec::new();
            value.write_json(&mut json);
            Cow::Owned(json)
        }
        (_, false) => bytes_of(value),
    }
}

/// What a client that speaks Protobuf is sent of a value: the bytes that somebody sent as such, or
/// JSON.
fn bytes_of(value: Value<'_>) -> Cow<'_, [u8]> {
    match value {
        Value::Json(raw) => Cow::Borrowed(raw.as_str().as_bytes()),
        Value::Bytes(bytes) => Cow::Borrowed(bytes),
        Value::Pack(pack) => {
            let mut scanner = PackScanner::new(pack.as_bytes());
            if let Ok(Head::Bin(len)) = scanner.head()
                && let Ok(content) = scanner.content(len as usize)
            {
                return Cow::Borrowed(content);
            }
            let mut json = Vec::new();
            value.write_json(&mut json);
            Cow::Owned(json)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_as_many_digits_as_they_need() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, u64::MAX] {
            let mut digits = [0; VARINT_BYTES_MAX];
            assert_eq!(varint(&mut digits, number).len(), varint_bytes(number));
        }
        for (hint, bytes) in [(0, 0), (0, 127), (0, 200), (200, 3), (20_000, 20_000)] {
            let mut out = vec![7];
            delimited(&mut out, hint, |out| out.resize(out.len() + bytes, 9));
            let mut expected = vec![7];
            push_varint(&mut expected, bytes as u64);
            expected.resize(expected.len() + bytes, 9);
            assert_eq!(out, expected);
        }
    }
}
