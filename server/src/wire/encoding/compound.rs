//! Containers that are being written: elements, keys and their number. Opened by the serializer.

use super::key::KeyWriter;
use super::writer::{Container, Unwritable, Writer};
use serde::de::IgnoredAny;
use serde::ser::{self, Serialize};
use shardcast_protocol::dialect::{Encoding, Value};
use shardcast_protocol::json::Raw;

/// An open container.
#[derive(Debug)]
pub(crate) struct Compound<'w> {
    /// Where the elements go.
    writer: Writer<'w>,
    container: Container,
    /// Where it begins.
    start: usize,
    announced: usize,
    count: usize,
    /// It is the only value of a map.
    in_variant: bool,
}

impl<'w> Compound<'w> {
    /// A container that was opened; `announced` is the length that its type announced.
    pub(super) fn new(
        writer: Writer<'w>,
        container: Container,
        start: usize,
        announced: usize,
    ) -> Self {
        Compound {
            writer,
            container,
            start,
            announced,
            count: 0,
            in_variant: false,
        }
    }

    /// Closes the map around it, too.
    pub(super) fn in_variant(self) -> Self {
        Compound {
            in_variant: true,
            ..self
        }
    }

    /// Where its next value goes.
    pub(super) fn into_writer(self) -> Writer<'w> {
        self.writer
    }

    /// Writes a key that is text.
    pub(super) fn name(&mut self, name: &str) {
        let Writer { out, encoding, .. } = &mut self.writer;
        encoding.push_key(out, name, self.count);
        self.count += 1;
    }

    fn separate(&mut self) {
        if self.count > 0 && self.writer.encoding == Encoding::Json {
            self.writer.out.push(b',');
        }
        self.count += 1;
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.separate();
        value.serialize(self.writer.reborrow())
    }

    /// Every key is text, for which JSON has no alternative and most clients of MessagePack no
    /// other use.
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        self.separate();
        let Writer { out, encoding, .. } = &mut self.writer;
        key.serialize(KeyWriter {
            out,
            encoding: *encoding,
        })?;
        if *encoding == Encoding::Json {
            out.push(b':');
        }
        Ok(())
    }

    fn pair<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Unwritable> {
        self.name(key);
        value.serialize(self.writer.reborrow())
    }

    fn close(self) -> Result<(), Unwritable> {
        let Writer { out, encoding, .. } = self.writer;
        if encoding == Encoding::Pack && self.count != self.announced {
            // MessagePack writes the number of elements first, and a type may not know it, or
            // announce a wrong one.
            let (mut announced, mut counted) = (Vec::new(), Vec::new());
            self.container
                .open(encoding, &mut announced, self.announced);
            self.container.open(encoding, &mut counted, self.count);
            out.splice(self.start..self.start + announced.len(), counted);
        }
        self.container.close(encoding, out);
        if self.in_variant {
            Container::Map.close(encoding, out);
        }
        Ok(())
    }
}

impl ser::SerializeSeq for Compound<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.element(value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close()
    }
}

impl ser::SerializeTuple for Compound<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.element(value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Compound<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.element(value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close()
    }
}

impl ser::SerializeTupleVariant for Compound<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.element(value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close()
    }
}

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self.writer.reborrow())
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close()
    }
}

impl ser::SerializeStructVariant for Compound<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.pair(key, value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close()
    }
}

/// Why a text is no value where it stands.
#[cold]
fn why_not(text: &str) -> Unwritable {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Unwritable::TooDeep,
        Err(error) => ser::Error::custom(error),
    }
}

/// A struct's.
#[derive(Debug)]
pub(crate) enum Fields<'w> {
    Of(Compound<'w>),
    /// The only one is JSON, see [`super::writer::SERDE_JSON_TEXT`].
    Text(Writer<'w>),
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        match self {
            Fields::Of(compound) => compound.pair(key, value),
            Fields::Text(writer) => {
                let text = serde_json::to_value(value).map_err(ser::Error::custom)?;
                let text = text.as_str().unwrap_or_default();
                let raw = Raw::parse_inside(text, writer.outer);
                let raw = raw.ok_or_else(|| why_not(text))?;
                Value::Json(raw).write(writer.out, writer.encoding);
                Ok(())
            }
        }
    }

    fn end(self) -> Result<(), Unwritable> {
        match self {
            Fields::Of(compound) => compound.close(),
            Fields::Text(_) => Ok(()),
        }
    }
}
