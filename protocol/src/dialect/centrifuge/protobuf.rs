//! Protobuf as clients send it: messages behind their lengths, and the fields of one. Written from
//! the public description of the encoding; there is no schema compiler.
//!
//! Invariant: a length is believed only as far as there are bytes, so it costs nothing to lie, and
//! nothing is allocated. Fields that a schema does not name are passed over. Read by `commands` and
//! `record`.

use super::record::{FieldValue, Record};
use super::schema::Field;
use crate::dialect::fields::Wrong;
use crate::dialect::id::Id;
use crate::dialect::value::Value;
use crate::json::Raw;
use std::borrow::Cow;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire<'b> {
    /// A number, and the bytes that it is written in.
    Varint(u64, &'b [u8]),
    /// A text, bytes, or a message.
    Bytes(&'b [u8]),
    /// Four or eight bytes: no field here is such.
    Fixed,
}

/// What is left of some bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'b>(&'b [u8]);

/// Bytes of the longest number: 64 bits in groups of seven.
const VARINT_BYTES_MAX: usize = 10;

const CUT: Wrong = "a message is cut off, or a length is wrong";
const NO_VARINT: Wrong = "a number has more than 64 bits, or is cut off";

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader(bytes)
    }

    /// What was not taken.
    pub(super) fn rest(self) -> &'b [u8] {
        self.0
    }

    /// Takes a number, with the bytes that it is written in.
    fn varint(&mut self) -> Result<(u64, &'b [u8]), Wrong> {
        let mut number = 0_u64;
        for (at, byte) in self.0.iter().take(VARINT_BYTES_MAX).enumerate() {
            let group = u64::from(byte & 0x7f);
            // Of the tenth byte there is room for one bit.
            if at == VARINT_BYTES_MAX - 1 && group > 1 {
                return Err(NO_VARINT);
            }
            number |= group << (7 * at);
            if byte & 0x80 == 0 {
                let (taken, rest) = self.0.split_at(at + 1);
                self.0 = rest;
                return Ok((number, taken));
            }
        }
        Err(NO_VARINT)
    }

    /// Takes what stands behind its length.
    pub(super) fn delimited(&mut self) -> Result<&'b [u8], Wrong> {
        let (len, _) = self.varint()?;
        self.take(usize::try_from(len).map_err(|_| CUT)?)
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], Wrong> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a field: its tag, and its value.
    pub(super) fn field(&mut self) -> Result<(u64, Wire<'b>), Wrong> {
        let (key, _) = self.varint()?;
        let value = match key & 7 {
            0 => {
                let (number, bytes) = self.varint()?;
                Wire::Varint(number, bytes)
            }
            1 => self.take(8).map(|_| Wire::Fixed)?,
            2 => self.delimited().map(Wire::Bytes)?,
            5 => self.take(4).map(|_| Wire::Fixed)?,
            _ => return Err("a field is written in a way that there is not"),
        };
        Ok((key >> 3, value))
    }
}

impl<'b> Record<Wire<'b>> {
    /// The fields of a message.
    pub(super) fn of_bytes(
        bytes: &'b [u8],
        schema: &'static [Field],
    ) -> Result<Record<Wire<'b>>, Wrong> {
        let mut reader = Reader::new(bytes);
        let mut record = Record::EMPTY;
        while !reader.0.is_empty() {
            let (tag, value) = reader.field()?;
            if let Some(field) = schema.iter().find(|field| u64::from(field.tag) == tag) {
                record.put(*field, value);
            }
        }
        Ok(record)
    }
}

impl<'b> FieldValue<'b> for Wire<'b> {
    fn text(self) -> Option<Cow<'b, str>> {
        match self {
            Wire::Bytes(bytes) => simdutf8::basic::from_utf8(bytes).ok().map(Cow::Borrowed),
            Wire::Varint(..) | Wire::Fixed => None,
        }
    }

    fn unsigned(self) -> Option<u64> {
        match self {
            Wire::Varint(number, _) => Some(number),
            Wire::Bytes(_) | Wire::Fixed => None,
        }
    }

    fn signed(self) -> Option<i64> {
        self.unsigned().map(u64::cast_signed)
    }

    fn boolean(self) -> Option<bool> {
        self.unsigned().map(|number| number != 0)
    }

    fn id(self) -> Option<Id<'b>> {
        match self {
            Wire::Varint(number, bytes) if (1..=u32::MAX.into()).contains(&number) => {
                Some(Id::checked(Value::Bytes(bytes)))
            }
            Wire::Varint(..) | Wire::Bytes(_) | Wire::Fixed => None,
        }
    }

    /// What is JSON counts as it: so clients of both encodings understand each other. Anything else
    /// is bytes.
    fn data(self, outer: u32) -> Option<Value<'b>> {
        let Wire::Bytes(bytes) = self else {
            return None;
        };
        let text = simdutf8::basic::from_utf8(bytes).ok();
        let json = text.and_then(|text| Raw::parse_inside(text, outer.max(1)));
        // White space around it would be lost.
        let json = json.filter(|json| json.as_str().len() == bytes.len());
        Some(json.map_or(Value::Bytes(bytes), Value::Json))
    }

    fn record(self, schema: &'static [Field]) -> Result<Record<Wire<'b>>, Wrong> {
        match self {
            Wire::Bytes(bytes) => Record::of_bytes(bytes, schema),
            Wire::Varint(..) | Wire::Fixed => Err("a field is not of its type"),
        }
    }

    fn is_null(self) -> bool {
        false
    }
}
