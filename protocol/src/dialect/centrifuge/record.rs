//! A message of a client as its fields, in either encoding: found in one pass, their types looked
//! at afterwards. Read by `command`.
//!
//! Invariant: nothing is allocated for a length that a client announces: a value is a part of the
//! message that has come. A field that is `null` in JSON is absent, but for data, whose value it
//! is.

use super::schema::{Field, TAG_MAX};
use crate::dialect::fields::{Fields, Span, Wrong};
use crate::dialect::id::Id;
use crate::dialect::value::Value;
use crate::json::Raw;
use std::borrow::Cow;

/// The value of a field.
pub(super) trait FieldValue<'b>: Copy {
    /// A text.
    fn text(self) -> Option<Cow<'b, str>>;
    /// A whole number.
    fn unsigned(self) -> Option<u64>;
    /// A whole number of any sign.
    fn signed(self) -> Option<i64>;
    /// True or false.
    fn boolean(self) -> Option<bool>;
    /// A number that names a command: 1 to 4294967295.
    fn id(self) -> Option<Id<'b>>;
    /// What applications say, in data that nests so many containers less than the most.
    fn data(self, outer: u32) -> Option<Value<'b>>;
    /// A message of its own.
    fn record(self, schema: &'static [Field]) -> Result<Record<Self>, Wrong>;
    /// Stands for nothing.
    fn is_null(self) -> bool;
}

/// The fields of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<S> {
    /// By tag.
    values: [Option<S>; TAG_MAX as usize + 1],
}

impl<S: Copy> Record<S> {
    pub(super) const EMPTY: Record<S> = Record {
        values: [None; TAG_MAX as usize + 1],
    };

    /// A value of a field; a later one takes its place.
    pub(super) fn put(&mut self, field: Field, value: S) {
        self.values[usize::from(field.tag)] = Some(value);
    }

    /// Whether no field is there.
    pub(super) fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }
}

impl<'b, S: FieldValue<'b>> Record<S> {
    /// A field that is there, whatever its type.
    pub(super) fn get(&self, field: Field) -> Option<S> {
        self.values[usize::from(field.tag)].filter(|value| !value.is_null())
    }

    /// A text; empty if there is none.
    pub(super) fn text(&self, field: Field) -> Result<Cow<'b, str>, Wrong> {
        let text = self.typed(field, FieldValue::text)?;
        Ok(text.unwrap_or(Cow::Borrowed("")))
    }

    /// The name of a channel.
    pub(super) fn channel(&self, field: Field) -> Result<Cow<'b, str>, Wrong> {
        let name = self.text(field)?;
        match &*name {
            "" => Err("channel is missing"),
            _ => Ok(name),
        }
    }

    /// A whole number; 0 if there is none.
    pub(super) fn unsigned(&self, field: Field) -> Result<u64, Wrong> {
        Ok(self.typed(field, FieldValue::unsigned)?.unwrap_or(0))
    }

    /// A whole number of any sign; 0 if there is none.
    pub(super) fn signed(&self, field: Field) -> Result<i64, Wrong> {
        Ok(self.typed(field, FieldValue::signed)?.unwrap_or(0))
    }

    /// True, or not.
    pub(super) fn boolean(&self, field: Field) -> Result<bool, Wrong> {
        Ok(self.typed(field, FieldValue::boolean)?.unwrap_or(false))
    }

    /// What an application says. JSON's `null` is a value here.
    pub(super) fn data(&self, field: Field, outer: u32) -> Result<Option<Value<'b>>, Wrong> {
        let value = self.values[usize::from(field.tag)];
        let data = value.map(|value| value.data(outer).ok_or(WRONG_TYPE));
        data.transpose()
    }

    /// A message of its own.
    pub(super) fn record(
        &self,
        field: Field,
        schema: &'static [Field],
    ) -> Result<Option<Record<S>>, Wrong> {
        let record = self.get(field).map(|value| value.record(schema));
        record.transpose()
    }

    /// The number that names a command, if there is one.
    pub(super) fn id(&self, field: Field) -> Result<Option<Id<'b>>, Wrong> {
        match self.get(field) {
            None => Ok(None),
            Some(value) if value.unsigned() == Some(0) => Ok(None),
            Some(value) => Ok(Some(value.id().ok_or("id is not from 1 to 4294967295")?)),
        }
    }

    fn typed<T>(&self, field: Field, read: impl Fn(S) -> Option<T>) -> Result<Option<T>, Wrong> {
        let value = self.get(field).map(|value| read(value).ok_or(WRONG_TYPE));
        value.transpose()
    }
}

const WRONG_TYPE: Wrong = "a field is not of its type";

impl<'b> Record<Raw<'b>> {
    /// A line: one object, inside of `outer` containers.
    pub(super) fn of_line(
        line: &'b str,
        outer: u32,
        schema: &'static [Field],
    ) -> Result<Record<Raw<'b>>, Wrong> {
        let key_of = |name: &[u8]| {
            let field = schema.iter().find(|field| field.name.as_bytes() == name);
            field.map(|field| usize::from(field.tag))
        };
        const COUNT: usize = TAG_MAX as usize + 1;
        let mut fields = Fields::<Raw<'b>, COUNT, 0>::NONE;
        let read = fields.read_json(line, outer, key_of, NO_OBJECT);
        read.map_err(|_| "a command is not valid JSON")?;
        if let Some(wrong) = fields.wrong {
            return Err(wrong);
        }
        let mut record = Record::EMPTY;
        for field in schema {
            if let Some(value) = fields.get(usize::from(field.tag)) {
                record.put(*field, value);
            }
        }
        Ok(record)
    }
}

const NO_OBJECT: Wrong = "a command, and each message in it, is an object";

impl<'b> FieldValue<'b> for Raw<'b> {
    fn text(self) -> Option<Cow<'b, str>> {
        Span::text(self)
    }

    fn unsigned(self) -> Option<u64> {
        Span::unsigned(self)
    }

    fn signed(self) -> Option<i64> {
        self.as_str().parse().ok()
    }

    fn boolean(self) -> Option<bool> {
        Span::boolean(self)
    }

    fn id(self) -> Option<Id<'b>> {
        let digits = self.as_str();
        let is_id = digits.parse::<u32>().is_ok_and(|number| number > 0);
        is_id.then_some(Id::checked(Value::Json(self)))
    }

    fn data(self, _outer: u32) -> Option<Value<'b>> {
        // The line was checked as a whole.
        Some(Value::Json(self))
    }

    fn record(self, schema: &'static [Field]) -> Result<Record<Raw<'b>>, Wrong> {
        Record::of_line(self.as_str(), 0, schema)
    }

    fn is_null(self) -> bool {
        Raw::is_null(self)
    }
}
