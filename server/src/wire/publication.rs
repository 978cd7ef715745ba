//! Publications: their size is checked where they are published, and they are encoded where their
//! topic orders them.
//!
//! Invariant: the frame that [`encode`] makes depends on the publication alone, so it is the same
//! on every shard.

use crate::wire::connection_id::{ConnectionId, IdText};
use shardcast_engine::{
    Content, Data, DataEncoding, EncodingId, Frame, OwnedData, Position, PresenceEvent,
    Publication, PublicationKind, Topic,
};
use shardcast_protocol::dialect::{Code, Dialect, Encoding, Event, PresenceChange, Problem, Value};
use shardcast_protocol::frame;
use shardcast_protocol::json::Raw;
use shardcast_protocol::pack::Pack;
use std::iter;

const JSON: DataEncoding = DataEncoding(0);
const PACK: DataEncoding = DataEncoding(1);
const BYTES: DataEncoding = DataEncoding(2);

/// The frame for connections of an encoding, which is a dialect.
pub(crate) fn encode(
    encoding: EncodingId,
    publication: &Publication<'_>,
    position: Option<Position>,
) -> Option<Frame> {
    let dialect = Dialect::from_index(u8::try_from(encoding.index()).ok()?)?;
    let offset = position.map(|position| position.offset);
    with_event(publication, offset, |event| {
        let mut written = Ok(());
        let frame = Frame::with(dialect.kind(), event.bytes_hint(), |out| {
            written = dialect.write_event(out, event);
        });
        written.ok().map(|()| frame)
    })?
}

/// What a room adds to its messages on delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Nothing,
    /// It keeps a log.
    Offset,
}

impl Added {
    /// Bytes that are left for the message itself.
    fn left(self, bytes_max: usize) -> usize {
        match self {
            Added::Nothing => bytes_max,
            Added::Offset => bytes_max.saturating_sub(Event::OFFSET_BYTES_MAX),
        }
    }
}

/// The content of a publication that fits: no client would be sent a message that is too large, so
/// all clients get the publication, or none. Encoded here are the publisher's dialect and, of the
/// other dialects that are present, those whose message might be too large; they are not encoded
/// again.
///
/// # Errors
/// `too_large`.
pub(crate) fn content_of(
    is_present: impl Fn(EncodingId) -> bool,
    dialect: Dialect,
    publication: &Publication<'_>,
    added: Added,
    bytes_max: usize,
) -> Result<Content, Problem> {
    let bytes_max = added.left(bytes_max);
    let fit = |other: Dialect, too_large| {
        let encoding = EncodingId::new(other.index());
        let frame = encode(encoding, publication, None);
        let frame = frame.ok_or_else(|| Problem::new(Code::InvalidData, UNWRITABLE))?;
        if frame::written(frame.bytes()).1.len() > bytes_max {
            return Err(Problem::new(Code::TooLarge, too_large));
        }
        Ok((encoding, frame))
    };
    let own = fit(dialect, TOO_LARGE)?;
    let mut others = Vec::new();
    for other in Dialect::ALL {
        if other == dialect || !is_present(EncodingId::new(other.index())) {
            continue;
        }
        let most = with_event(publication, None, |event| event.bytes_max(other.encoding()));
        if most.is_none_or(|bytes| bytes > bytes_max) {
            others.push(fit(other, TOO_LARGE_FOR_OTHERS)?);
        }
    }
    Ok(Content::data(publication, iter::once(own).chain(others)))
}

const TOO_LARGE: &str = "the message would be larger than max_message_bytes on delivery";
const TOO_LARGE_FOR_OTHERS: &str =
    "the message would be larger than max_message_bytes in a dialect of other clients";

const UNWRITABLE: &str = "a dialect of this server cannot say the data";

/// A value as the data of a publication.
pub(crate) fn data_of(value: Value<'_>) -> (Data<'_>, DataEncoding) {
    match value {
        Value::Json(raw) => (Data::Text(raw.as_str()), JSON),
        Value::Pack(pack) => (Data::Binary(pack.as_bytes()), PACK),
        Value::Bytes(bytes) => (Data::Binary(bytes), BYTES),
    }
}

/// `null`: the data of a publication that has none.
pub(crate) fn nothing(encoding: Encoding) -> Value<'static> {
    match encoding {
        Encoding::Json => Value::Json(Raw::NULL),
        Encoding::Pack => Value::Pack(Pack::NIL),
    }
}

/// The data of a publication. `None`: the publication is not one of this server's.
#[inline]
pub(crate) fn value_of<'p>(publication: &Publication<'p>) -> Option<Value<'p>> {
    value_in(publication.data, publication.data_encoding)
}

/// What a member shows.
pub(crate) fn shown_by(data: &OwnedData) -> Option<Value<'_>> {
    value_in(data.data(), data.data_encoding())
}

#[inline]
fn value_in(data: Data<'_>, encoding: DataEncoding) -> Option<Value<'_>> {
    Some(match (encoding, data) {
        (JSON, Data::Text(text)) => Value::Json(Raw::of_serializer(text)),
        (PACK, Data::Binary(bytes)) => Value::Pack(Pack::of_serializer(bytes)),
        (BYTES, Data::Binary(bytes)) => Value::Bytes(bytes),
        _ => return None,
    })
}

/// Calls with the event that clients get, which stands at this offset where its room keeps a log.
/// `None`: the publication is not one of this server's.
#[inline]
fn with_event<R>(
    publication: &Publication<'_>,
    offset: Option<u64>,
    act: impl FnOnce(&Event<'_>) -> R,
) -> Option<R> {
    let room = match publication.topic {
        Some(Topic::Room(room)) => Some(room),
        Some(Topic::User(_)) | None => None,
    };
    Some(match publication.kind {
        PublicationKind::Message { publisher } => {
            let data = Some(value_of(publication)?);
            let from = ConnectionId(publisher).text();
            let from = from.as_str();
            act(&Event::Message {
                room,
                from,
                offset,
                data,
            })
        }
        PublicationKind::Event { name: event } => act(&Event::Event {
            event,
            room,
            offset,
            data: Some(value_of(publication)?),
        }),
        PublicationKind::Presence {
            event,
            connection,
            user,
            was,
        } => {
            let connection = connection.map(|address| ConnectionId(address).text());
            let was = was.map(|address| ConnectionId(address).text());
            act(&Event::Presence {
                room: room?,
                change: change_of(event),
                connection: connection.as_ref().map(IdText::as_str),
                was: was.as_ref().map(IdText::as_str),
                user,
                // A member that shows nothing comes with no text, which is no value.
                data: match publication.data {
                    Data::Text("") => None,
                    _ => Some(value_of(publication)?),
                },
            })
        }
        PublicationKind::Members { members } => act(&Event::PresenceCount {
            room: room?,
            members,
        }),
    })
}

fn change_of(event: PresenceEvent) -> PresenceChange {
    match event {
        PresenceEvent::Join => PresenceChange::Join,
        PresenceEvent::Leave => PresenceChange::Leave,
        PresenceEvent::Away => PresenceChange::Away,
        PresenceEvent::Back => PresenceChange::Back,
    }
}
