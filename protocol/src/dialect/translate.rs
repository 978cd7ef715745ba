//! A published message of one dialect said in another.

use super::fields::{Fields, Span};
use super::value::{Encoding, Value};
use super::{Dialect, Event};
use crate::json::Raw;
use crate::pack::Pack;
use std::borrow::Cow;

/// Says a published [`Event::Message`] or [`Event::Event`] of one dialect in another. Linear in time; what it may grow by says
/// [`Dialect::said_bytes_max`].
///
/// `None` if the payload is neither of the two, or if it would nest deeper in JSON-RPC than a reader may take ([`super::DEPTH_MAX`]): its
/// `params` are one container more. Neither is what a reader has let through, or a [`Raw`] or [`Pack`] that was parsed.
pub fn translate(from: Dialect, to: Dialect, payload: &[u8]) -> Option<Vec<u8>> {
    let outer = u32::from(to == Dialect::JsonRpc && from != Dialect::JsonRpc);
    let published = match from {
        Dialect::NativeJson => native_json(text(payload)?, outer)?,
        Dialect::JsonRpc => json_rpc(text(payload)?)?,
        Dialect::MessagePack => messagepack(payload, outer)?,
    };
    let event = published.event()?;
    let mut out = Vec::with_capacity(event.bytes_hint());
    to.write_event(&mut out, &event).ok()?;
    Some(out)
}

impl Dialect {
    /// Bytes that [`translate`] makes of a payload of so many at most.
    pub const fn said_bytes_max(self, to: Dialect, bytes: usize) -> usize {
        let growth = match (self.encoding(), to.encoding()) {
            (Encoding::Json, Encoding::Json) | (Encoding::Pack, Encoding::Pack) => 1,
            (Encoding::Json, Encoding::Pack) => Value::PACK_GROWTH_MAX,
            (Encoding::Pack, Encoding::Json) => Value::JSON_GROWTH_MAX,
        };
        growth * bytes + ENVELOPE_GROWTH_BYTES
    }
}

/// What JSON-RPC has around a native message, and to spare.
const ENVELOPE_GROWTH_BYTES: usize = 64;

fn text(payload: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(payload).ok()
}

/// What both events are made of.
struct Published<'b> {
    kind: Cow<'b, str>,
    event: Option<Cow<'b, str>>,
    room: Option<Cow<'b, str>>,
    from: Option<Cow<'b, str>>,
    data: Option<Value<'b>>,
}

impl Published<'_> {
    fn event(&self) -> Option<Event<'_>> {
        let (room, data) = (self.room.as_deref(), self.data);
        match &*self.kind {
            "message" => Some(Event::Message {
                room,
                from: self.from.as_deref()?,
                data,
            }),
            "event" => Some(Event::Event {
                event: self.event.as_deref()?,
                room,
                data,
            }),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Key {
    Type,
    Event,
    Room,
    From,
    Data,
}

impl Key {
    const COUNT: usize = 5;

    fn of_name(name: &str) -> Option<usize> {
        let key = match name {
            "type" => Key::Type,
            "event" => Key::Event,
            "room" => Key::Room,
            "from" => Key::From,
            "data" => Key::Data,
            _ => return None,
        };
        Some(key as usize)
    }
}

fn native_json(text: &str, outer: u32) -> Option<Published<'_>> {
    let fields = Fields::<Raw<'_>, { Key::COUNT }>::from_json(text, outer, Key::of_name, "");
    published(&fields.ok()?, None)
}

fn messagepack(bytes: &[u8], outer: u32) -> Option<Published<'_>> {
    let fields = Fields::<Pack<'_>, { Key::COUNT }>::from_pack(bytes, outer, Key::of_name, "");
    published(&fields.ok()?, None)
}

fn json_rpc(text: &str) -> Option<Published<'_>> {
    const METHOD: usize = 0;
    const PARAMS: usize = 1;
    let key_of = |name: &str| match name {
        "method" => Some(METHOD),
        "params" => Some(PARAMS),
        _ => None,
    };
    let call = Fields::<Raw<'_>, 2>::from_json(text, 0, key_of, "").ok()?;
    let params = call.get(PARAMS)?.as_str();
    let fields = Fields::<Raw<'_>, { Key::COUNT }>::from_json(params, 1, Key::of_name, "");
    published(&fields.ok()?, Some(call.get(METHOD)?.text()?))
}

/// `method` is JSON-RPC's; the others have a `type`.
fn published<'b, S: Span<'b>>(
    fields: &Fields<S, { Key::COUNT }>,
    method: Option<Cow<'b, str>>,
) -> Option<Published<'b>> {
    if fields.wrong.is_some() {
        return None;
    }
    let string = |key: Key| match fields.get(key as usize) {
        Some(value) => value.text().map(Some),
        None => Some(None),
    };
    Some(Published {
        kind: match method {
            Some(method) => method,
            None => string(Key::Type)??,
        },
        event: string(Key::Event)?,
        room: string(Key::Room)?,
        from: string(Key::From)?,
        data: fields.get(Key::Data as usize).map(Into::into),
    })
}
