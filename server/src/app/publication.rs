//! What is published: judged by its size where it is published, and encoded where its topic gives it its place.
//!
//! Invariant: what [`encode`] makes of a publication depends on nothing else, so it is the same wherever it is made.

use crate::app::connection_id::ConnectionId;
use crate::app::spoken::Spoken;
use shardcast_engine::{
    Content, Data, DataEncoding, Form, Frame, Position, Publication, PublicationKind, Topic,
};
use shardcast_protocol::dialect::{Code, Dialect, Encoding, Event, Problem, Value};
use shardcast_protocol::frame;
use shardcast_protocol::json::Raw;
use shardcast_protocol::pack::Pack;

const JSON: DataEncoding = DataEncoding(0);
const PACK: DataEncoding = DataEncoding(1);

/// The frame for connections of an encoding: of a dialect. No dialect tells positions yet.
pub(crate) fn encode(
    encoding: Form,
    publication: &Publication<'_>,
    _position: Option<Position>,
) -> Option<Frame> {
    let dialect = Dialect::from_index(u8::try_from(encoding.index()).ok()?)?;
    with_event(publication, |event| {
        let mut written = Ok(());
        let frame = Frame::with(dialect.kind(), event.bytes_hint(), |out| {
            written = dialect.write_event(out, event);
        });
        written.ok().map(|()| frame)
    })?
}

/// What is published, once it is known that no client would be sent a message that is too large: what somebody publishes is for all, or
/// for nobody. Of the dialects that are spoken here now, and the publisher's, those are encoded whose message might be too large; nobody
/// encodes them again.
///
/// # Errors
/// `too_large`.
pub(crate) fn judge(
    spoken: &Spoken,
    dialect: Dialect,
    publication: &Publication<'_>,
    bytes_max: usize,
) -> Result<Content, Problem> {
    let mut encoded = Vec::new();
    let spoken = |other: &Dialect| *other == dialect || spoken.has(*other);
    for other in Dialect::ALL.into_iter().filter(spoken) {
        let most = with_event(publication, |event| event.bytes_max(other.encoding()));
        if most.is_some_and(|bytes| bytes <= bytes_max) {
            continue;
        }
        let form = Form::new(other.index());
        let frame = encode(form, publication, None);
        let frame = frame.ok_or_else(|| Problem::new(Code::InvalidData, UNSAYABLE))?;
        if frame::written(frame.bytes()).1.len() > bytes_max {
            let message = if other == dialect {
                "the message would be larger than max_message_bytes on delivery"
            } else {
                "the message would be larger than max_message_bytes in a dialect of other clients"
            };
            return Err(Problem::new(Code::TooLarge, message));
        }
        encoded.push((form, frame));
    }
    Ok(Content::data(publication, encoded))
}

const UNSAYABLE: &str = "a dialect of this server cannot say the data";

/// A value as the data of a publication.
pub(crate) fn data_of(value: Value<'_>) -> (Data<'_>, DataEncoding) {
    match value {
        Value::Json(raw) => (Data::Text(raw.as_str()), JSON),
        Value::Pack(pack) => (Data::Binary(pack.as_bytes()), PACK),
    }
}

/// `null`, for who publishes nothing.
pub(crate) fn nothing(encoding: Encoding) -> Value<'static> {
    match encoding {
        Encoding::Json => Value::Json(Raw::NULL),
        Encoding::Pack => Value::Pack(Pack::NIL),
    }
}

/// Calls with the event that clients are told. `None`: the publication is none of this server's.
#[inline]
fn with_event<R>(publication: &Publication<'_>, act: impl FnOnce(&Event<'_>) -> R) -> Option<R> {
    let data = match (publication.data_encoding, publication.data) {
        (JSON, Data::Text(text)) => Value::Json(Raw::of_serializer(text)),
        (PACK, Data::Binary(bytes)) => Value::Pack(Pack::of_serializer(bytes)),
        _ => return None,
    };
    let data = Some(data);
    let room = match publication.topic {
        Some(Topic::Room(room)) => Some(room),
        Some(Topic::User(_)) | None => None,
    };
    Some(match publication.kind {
        PublicationKind::Message { publisher } => {
            let from = ConnectionId(publisher).text();
            let from = from.as_str();
            act(&Event::Message { room, from, data })
        }
        PublicationKind::Event { name: event } => act(&Event::Event { event, room, data }),
    })
}
