//! Publications: their size is checked where they are published, and they are encoded where their
//! topic orders them.
//!
//! Invariant: the frame that [`encode`] makes depends on the publication alone, so it is the same
//! on every shard.

use crate::wire::connection_id::{ConnectionId, IdText};
use crate::wire::traced::{trace_of, untraced};
use shardcast_engine::{
    Content, Data, DataEncoding, EncodingId, Frame, JoinAcks, JoinDeltas, MemberConnection,
    OwnedData, Position, PresenceEvent, Publication, PublicationKind, Topic, USER_BYTES_MAX,
};
use shardcast_protocol::dialect::centrifuge::Deltas;
use shardcast_protocol::dialect::{
    Code, Dialect, Encoding, Event, PresenceChange, Problem, Sender, Value,
};
use shardcast_protocol::frame;
use shardcast_protocol::json::Raw;
use shardcast_protocol::pack::Pack;
use std::iter;

const JSON: DataEncoding = DataEncoding(0);
const PACK: DataEncoding = DataEncoding(1);
const BYTES: DataEncoding = DataEncoding(2);
/// The same with who has sent it in front of the data ([`SignedData`]).
const SIGNED_JSON: DataEncoding = DataEncoding(3);
const SIGNED_PACK: DataEncoding = DataEncoding(4);
const SIGNED_BYTES: DataEncoding = DataEncoding(5);

/// The frame for connections of an encoding, which is a dialect.
pub(crate) fn encode(
    encoding: EncodingId,
    publication: &Publication<'_>,
    position: Option<Position>,
) -> Option<Frame> {
    let dialect = Dialect::from_index(u8::try_from(encoding.index()).ok()?)?;
    let offset = position.map(|position| position.offset);
    with_event(publication, offset, |event| frame_of(dialect, event))?
}

/// The same for members that were sent it before.
pub(crate) fn encode_again(
    encoding: EncodingId,
    publication: &Publication<'_>,
    position: Position,
) -> Option<Frame> {
    let dialect = Dialect::from_index(u8::try_from(encoding.index()).ok()?)?;
    with_event(publication, Some(position.offset), |event| {
        frame_of(dialect, &Event::Redelivered(event))
    })?
}

/// The same for members that are sent deltas: what it changes of the base, or all of it.
pub(crate) fn encode_delta(
    encoding: EncodingId,
    base: Option<&Publication<'_>>,
    publication: &Publication<'_>,
    position: Option<Position>,
) -> Option<Frame> {
    let dialect = Dialect::from_index(u8::try_from(encoding.index()).ok()?)?;
    let offset = position.map(|position| position.offset);
    let base = match base {
        None => None,
        Some(base) => Some(value_of(base)?),
    };
    with_event(publication, offset, |event| {
        let mut written = Ok(());
        let frame = Frame::with(dialect.kind(), event.bytes_hint(), |out| {
            written = match base {
                None => dialect.write_whole(out, event),
                Some(base) => dialect.write_change(out, event, base),
            };
        });
        written.ok().map(|()| frame)
    })?
}

fn frame_of(dialect: Dialect, event: &Event<'_>) -> Option<Frame> {
    let mut written = Ok(());
    let frame = Frame::with(dialect.kind(), event.bytes_hint(), |out| {
        written = dialect.write_event(out, event);
    });
    written.ok().map(|()| frame)
}

/// What a room adds to its messages on delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Nothing,
    /// It keeps a log.
    Offset,
    /// It keeps a log, and sends from it what is not acknowledged.
    OffsetAgain,
}

impl Added {
    /// Bytes that are left for the message itself.
    fn left(self, bytes_max: usize) -> usize {
        match self {
            Added::Nothing => bytes_max,
            Added::Offset => bytes_max.saturating_sub(Event::OFFSET_BYTES_MAX),
            Added::OffsetAgain => {
                bytes_max.saturating_sub(Event::OFFSET_BYTES_MAX + Event::REDELIVERED_BYTES)
            }
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
    let frames = frames_of(is_present, dialect, publication, added, bytes_max)?;
    Ok(Content::data(publication, frames))
}

/// As [`content_of`], of a publication that another node brings, and whose data nobody here has
/// looked at. `None`: it is not what a server of this version publishes, or too large.
pub(crate) fn content_of_elsewhere(
    is_present: impl Fn(EncodingId) -> bool,
    publication: &Publication<'_>,
    added: Added,
    bytes_max: usize,
) -> Option<Content> {
    let (mut data, mut encoding) = untraced(publication.data, publication.data_encoding)?;
    if encoding.0 >= SIGNED_JSON.0 {
        let signed = SignedParts::of(data, encoding)?;
        if !is_sender(signed.sender()) {
            return None;
        }
        (data, encoding) = (signed.data, signed.encoding);
    }
    if !is_written(data, encoding) {
        return None;
    }
    let dialect = match encoding {
        JSON => Dialect::NativeJson,
        _ => Dialect::MessagePack,
    };
    let frames = frames_of(is_present, dialect, publication, added, bytes_max).ok()?;
    Some(Content::of_elsewhere(publication, frames))
}

/// Whether a connection could have been shown to others so.
fn is_sender(sender: Sender<'_>) -> bool {
    let fits = |info: Value<'_>| match info {
        Value::Json(raw) => {
            raw.as_str().len() <= INFO_BYTES_MAX && Raw::parse(raw.as_str()).is_some()
        }
        Value::Pack(_) | Value::Bytes(_) => false,
    };
    let is_name = |name: &str| name.len() <= USER_BYTES_MAX;
    sender.user.is_none_or(is_name) && sender.info.is_none_or(fits)
}

fn frames_of(
    is_present: impl Fn(EncodingId) -> bool,
    dialect: Dialect,
    publication: &Publication<'_>,
    added: Added,
    bytes_max: usize,
) -> Result<impl Iterator<Item = (EncodingId, Frame)>, Problem> {
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
    Ok(iter::once(own).chain(others))
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

/// The data of a publication with who has sent it: so the home of its room, which does not know
/// connections, can tell its members.
#[derive(Debug)]
pub(crate) struct SignedData {
    bytes: SignedBytes,
    encoding: DataEncoding,
}

#[derive(Debug)]
enum SignedBytes {
    Text(String),
    Binary(Vec<u8>),
}

/// In front of the data stand the lengths of the user's name and of what is known of it, in so many
/// hexadecimal digits each, and both.
const USER_DIGITS: usize = 2;
const INFO_DIGITS: usize = 3;
const _: () = assert!(USER_BYTES_MAX < 1 << (4 * USER_DIGITS));
const _: () = assert!(INFO_BYTES_MAX < 1 << (4 * INFO_DIGITS));

/// Most bytes of what others are told of a connection, as JSON.
pub(crate) const INFO_BYTES_MAX: usize = 1024;

impl SignedData {
    /// `user` is a user's name or empty; `info` is JSON of at most [`INFO_BYTES_MAX`] bytes, or
    /// empty.
    pub(crate) fn new(user: &str, info: &str, value: Value<'_>) -> SignedData {
        let front = format!("{:02x}{:03x}{user}{info}", user.len(), info.len());
        let (bytes, encoding) = match value {
            Value::Json(raw) => (SignedBytes::Text(front + raw.as_str()), SIGNED_JSON),
            Value::Pack(pack) => {
                let bytes = [front.as_bytes(), pack.as_bytes()].concat();
                (SignedBytes::Binary(bytes), SIGNED_PACK)
            }
            Value::Bytes(bytes) => {
                let bytes = [front.as_bytes(), bytes].concat();
                (SignedBytes::Binary(bytes), SIGNED_BYTES)
            }
        };
        SignedData { bytes, encoding }
    }

    pub(crate) fn as_data(&self) -> (Data<'_>, DataEncoding) {
        let data = match &self.bytes {
            SignedBytes::Text(text) => Data::Text(text),
            SignedBytes::Binary(bytes) => Data::Binary(bytes),
        };
        (data, self.encoding)
    }
}

/// What [`SignedData`] is made of, as it is written: whether any of it is valid is not looked at.
struct SignedParts<'p> {
    user: &'p str,
    info: &'p str,
    data: Data<'p>,
    encoding: DataEncoding,
}

impl<'p> SignedParts<'p> {
    fn of(data: Data<'p>, encoding: DataEncoding) -> Option<SignedParts<'p>> {
        const DIGITS: usize = USER_DIGITS + INFO_DIGITS;
        let bytes = data.bytes();
        let len = |digits: std::ops::Range<usize>| {
            let digits = str::from_utf8(bytes.get(digits)?).ok()?;
            usize::from_str_radix(digits, 16).ok()
        };
        let user_end = DIGITS + len(0..USER_DIGITS)?;
        let info_end = user_end + len(USER_DIGITS..DIGITS)?;
        let text = |range: std::ops::Range<usize>| str::from_utf8(bytes.get(range)?).ok();
        let (user, info) = (text(DIGITS..user_end)?, text(user_end..info_end)?);
        let (data, encoding) = match (encoding, data) {
            (SIGNED_JSON, Data::Text(text)) => (Data::Text(text.get(info_end..)?), JSON),
            (SIGNED_PACK, Data::Binary(bytes)) => (Data::Binary(bytes.get(info_end..)?), PACK),
            (SIGNED_BYTES, Data::Binary(bytes)) => (Data::Binary(bytes.get(info_end..)?), BYTES),
            _ => return None,
        };
        Some(SignedParts {
            user,
            info,
            data,
            encoding,
        })
    }

    fn sender(&self) -> Sender<'p> {
        Sender {
            user: (!self.user.is_empty()).then_some(self.user),
            info: (!self.info.is_empty()).then(|| Value::Json(Raw::of_serializer(self.info))),
        }
    }
}

/// Who has sent data, and the data.
#[cold]
fn signed_in<'p>(data: Data<'p>, encoding: DataEncoding) -> Option<(Sender<'p>, Value<'p>)> {
    let signed = SignedParts::of(data, encoding)?;
    Some((signed.sender(), value_in(signed.data, signed.encoding)?))
}

/// The data of a publication, and who has sent it, where that is known.
#[inline]
pub(crate) fn said_by<'p>(
    publication: &Publication<'p>,
) -> Option<(Option<Sender<'p>>, Value<'p>)> {
    let (data, encoding) = untraced(publication.data, publication.data_encoding)?;
    if encoding.0 >= SIGNED_JSON.0 {
        let (sender, value) = signed_in(data, encoding)?;
        return Some((Some(sender), value));
    }
    Some((None, value_in(data, encoding)?))
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
    said_by(publication).map(|(_, value)| value)
}

/// What a member shows.
pub(crate) fn shown_by(data: &OwnedData) -> Option<Value<'_>> {
    value_in(data.data(), data.data_encoding())
}

/// Whether what a member of another node shows is what it says it is.
pub(crate) fn is_shown(data: &OwnedData) -> bool {
    is_written(data.data(), data.data_encoding())
}

/// Whether data is one value as its encoding writes it, with nothing around it.
fn is_written(data: Data<'_>, encoding: DataEncoding) -> bool {
    match (encoding, data) {
        (JSON, Data::Text(text)) => Raw::parse(text).is_some_and(|raw| raw.as_str() == text),
        (PACK, Data::Binary(bytes)) => Pack::parse(bytes).is_some(),
        (BYTES, Data::Binary(_)) => true,
        _ => false,
    }
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
    match trace_of(publication.data, publication.data_encoding) {
        None => with_untraced(publication, offset, act),
        Some(trace) => with_untraced(publication, offset, |event| {
            act(&Event::Traced { event, trace })
        }),
    }
}

/// The same without the trace that it belongs to.
#[inline]
fn with_untraced<R>(
    publication: &Publication<'_>,
    offset: Option<u64>,
    act: impl FnOnce(&Event<'_>) -> R,
) -> Option<R> {
    let (room, offset) = match publication.topic {
        Some(Topic::Room(room)) => (Some(room), offset),
        // What waits for a user has a place for the server alone.
        Some(Topic::User(_)) | None => (None, None),
    };
    Some(match publication.kind {
        PublicationKind::Message { publisher } => {
            let (sender, data) = said_by(publication)?;
            let from = ConnectionId(publisher).text();
            let from = from.as_str();
            act(&Event::Message {
                room,
                from,
                sender: sender.as_ref(),
                offset,
                data: Some(data),
            })
        }
        PublicationKind::Elsewhere { from } => {
            let (sender, data) = said_by(publication)?;
            act(&Event::Message {
                room,
                from,
                sender: sender.as_ref(),
                offset,
                data: Some(data),
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
            let (id, elsewhere) = named(connection);
            let was = was.map(|address| ConnectionId(address).text());
            act(&Event::Presence {
                room: room?,
                change: change_of(event),
                connection: id.as_ref().map(IdText::as_str).or(elsewhere),
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

/// The id of a connection of this node, or the name of one of another.
fn named(connection: Option<MemberConnection<'_>>) -> (Option<IdText>, Option<&str>) {
    match connection {
        Some(MemberConnection::Here(address)) => (Some(ConnectionId(address).text()), None),
        Some(MemberConnection::Elsewhere(name)) => (None, Some(name)),
        None => (None, None),
    }
}

fn change_of(event: PresenceEvent) -> PresenceChange {
    match event {
        PresenceEvent::Join => PresenceChange::Join,
        PresenceEvent::Leave => PresenceChange::Leave,
        PresenceEvent::Away => PresenceChange::Away,
        PresenceEvent::Back => PresenceChange::Back,
    }
}

/// Whether an engine's member is sent deltas, by what was agreed on with its client.
pub(crate) fn deltas_of(deltas: Deltas) -> JoinDeltas {
    match deltas {
        Deltas::Off => JoinDeltas::Never,
        Deltas::Fossil => JoinDeltas::Wanted,
    }
}

/// Whether clients of a dialect can acknowledge what they are sent.
pub(crate) fn acks_of(dialect: Dialect) -> JoinAcks {
    match dialect {
        Dialect::NativeJson | Dialect::MessagePack | Dialect::JsonRpc => JoinAcks::Always,
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => JoinAcks::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::traced::TracedData;
    use shardcast_protocol::trace_parent::TraceParent;

    #[test]
    fn signed_data_reads_back() {
        let long = "ü".repeat(127);
        let info = format!("\"{}\"", "x".repeat(INFO_BYTES_MAX - 2));
        let json = Value::Json(Raw::of_serializer(r#"{"a":"größe"}"#));
        for value in [json, Value::Bytes(&[0, 255, 7]), Value::Pack(Pack::NIL)] {
            for (user, info) in [("ann", ""), ("", "{}"), (&*long, &*info), ("é", "1")] {
                let signed = SignedData::new(user, info, value);
                let (data, encoding) = signed.as_data();
                let (sender, read) = signed_in(data, encoding).expect("it is signed");
                assert_eq!(read, value);
                assert_eq!(sender.user.unwrap_or(""), user);
                let read = sender.info.map_or("".as_bytes(), |info| info.as_bytes());
                assert_eq!(read, info.as_bytes());
            }
        }
    }

    #[test]
    fn a_sender_that_no_server_writes_is_refused() {
        let publish = |user: &str, info: &str| {
            let signed = SignedData::new(user, info, Value::Json(Raw::of_serializer("{}")));
            let (data, data_encoding) = signed.as_data();
            let publication = Publication {
                topic: None,
                kind: PublicationKind::Elsewhere { from: "0-1-1@b" },
                data,
                data_encoding,
            };
            content_of_elsewhere(|_| true, &publication, Added::Nothing, 1 << 20).is_some()
        };
        let long = format!("\"{}\"", "x".repeat(INFO_BYTES_MAX - 1));
        assert!(publish("ann", "{}") && publish("ann", ""));
        for info in ["}\n{", "{", "{}{}", "nul", &long] {
            assert!(!publish("ann", info), "{info}");
        }
    }

    /// What another node brings to a room.
    fn brought(data: Data<'_>, data_encoding: DataEncoding) -> Publication<'_> {
        Publication {
            topic: Some(Topic::Room("r")),
            kind: PublicationKind::Elsewhere { from: "0-1@n" },
            data,
            data_encoding,
        }
    }

    fn taken(data: Data<'_>, data_encoding: DataEncoding) -> bool {
        let publication = brought(data, data_encoding);
        content_of_elsewhere(|_| true, &publication, Added::Nothing, 1_000).is_some()
    }

    #[test]
    fn what_another_node_brings_may_belong_to_a_trace() {
        const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = TraceParent::parse(TRACE).expect("it is one");
        let signed = |value| SignedData::new("ann", "{}", value);
        let json = Value::Json(Raw::of_serializer("[1]"));
        let values = [json, Value::Pack(Pack::NIL), Value::Bytes(b"x")];
        let plain = values.map(data_of);
        let signed = values.map(signed);
        let every = plain
            .into_iter()
            .chain(signed.iter().map(SignedData::as_data));
        for said in every {
            let traced = TracedData::new(trace, said);
            let (data, encoding) = traced.as_data();
            assert!(taken(data, encoding), "{said:?}");
            // Members are told of the trace, too.
            let json = EncodingId::new(Dialect::NativeJson.index());
            let frame = encode(json, &brought(data, encoding), None).expect("it can be said");
            let (_, payload) = frame::written(frame.bytes());
            let text = str::from_utf8(&frame.bytes()[payload]).expect("JSON");
            let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(value["traceparent"], TRACE, "{said:?}");
        }
        // With a trace in front it is looked at all the same.
        for text in ["", "1\n", "[1", "1 2"] {
            let traced = TracedData::new(trace, (Data::Text(text), JSON));
            let (data, encoding) = traced.as_data();
            assert!(!taken(data, encoding), "{text}");
            let signed = format!("{}{text}", "0".repeat(USER_DIGITS + INFO_DIGITS));
            let traced = TracedData::new(trace, (Data::Text(&signed), SIGNED_JSON));
            let (data, encoding) = traced.as_data();
            assert!(!taken(data, encoding), "{text}");
        }
        // It says that there is a trace, and there is none.
        let (_, encoding) = TracedData::new(trace, (Data::Text("1"), JSON)).as_data();
        for text in [
            "1",
            "",
            &TRACE[1..],
            "00-0af7651916cd43dd8448eb211c80319c-1",
        ] {
            assert!(!taken(Data::Text(text), encoding), "{text}");
        }
    }

    #[test]
    fn what_another_node_brings_is_looked_at_before_it_is_believed() {
        let signed = |info, value| SignedData::new("ann", info, value);
        let good = [
            signed("{}", Value::Json(Raw::NULL)),
            signed("", Value::Pack(Pack::NIL)),
            signed("", Value::Bytes(b"x")),
        ];
        for good in good {
            let (data, encoding) = good.as_data();
            assert!(taken(data, encoding), "{encoding:?}");
        }
        assert!(taken(Data::Text("[1]"), JSON) && taken(Data::Binary(b"\x91\x01"), PACK));
        for text in ["", " 1", "1\n", "[1", "1 2", "x"] {
            assert!(!taken(Data::Text(text), JSON), "{text}");
            let signed = format!("{}{text}", "0".repeat(USER_DIGITS + INFO_DIGITS));
            assert!(!taken(Data::Text(&signed), SIGNED_JSON), "{text}");
        }
        for bytes in [&b""[..], b"\xc1", b"\x91", b"\x01\x02", b"\xd9\x05ab"] {
            assert!(!taken(Data::Binary(bytes), PACK), "{bytes:?}");
            let digits = "0".repeat(USER_DIGITS + INFO_DIGITS);
            let signed = [digits.as_bytes(), bytes].concat();
            assert!(!taken(Data::Binary(&signed), SIGNED_PACK), "{bytes:?}");
        }
        // What a user shows is written into messages, too.
        let shows = signed("{}", Value::Json(Raw::NULL));
        let (Data::Text(text), encoding) = shows.as_data() else {
            panic!("JSON is text");
        };
        assert!(!taken(Data::Text(&text.replace("{}", "{,")), encoding));
        // The encodings are what they say.
        assert!(!taken(Data::Binary(b"1"), JSON) && !taken(Data::Text("1"), PACK));
        for unknown in [6, 7, 14, 15, 16, 19, 24, 99, 255] {
            assert!(!taken(Data::Text("1"), DataEncoding(unknown)), "{unknown}");
        }
    }

    #[test]
    fn what_another_node_brings_of_a_trace_is_taken_with_it() {
        let trace = TraceParent::recorded(7, 9).expect("no id is zero");
        let taken = |data: Data<'_>, data_encoding| {
            let publication = Publication {
                topic: Some(Topic::Room("r")),
                kind: PublicationKind::Elsewhere { from: "0-1@n" },
                data,
                data_encoding,
            };
            content_of_elsewhere(|_| true, &publication, Added::Nothing, 1_000).is_some()
        };
        let signed = SignedData::new("ann", "{}", Value::Json(Raw::NULL));
        for said in [
            (Data::Text("[1]"), JSON),
            (Data::Binary(b"\x91\x01"), PACK),
            signed.as_data(),
        ] {
            let traced = TracedData::new(trace, said);
            let (data, encoding) = traced.as_data();
            assert!(taken(data, encoding), "{said:?}");
        }
        let broken = TracedData::new(trace, (Data::Text("[1"), JSON));
        let (data, says_so) = broken.as_data();
        assert!(!taken(data, says_so));
        assert!(!taken(Data::Text("[1]"), says_so));
    }

    #[test]
    fn what_is_not_signed_is_nobodys() {
        for text in ["", "00", "00000", "zz000x", "05000ann", "00fffx"] {
            let found = signed_in(Data::Text(text), SIGNED_PACK);
            assert_eq!(found, None, "{text}");
        }
    }
}
