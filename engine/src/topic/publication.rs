//! Publications: what is published, as data, until the home of its topic has given it its place in
//! the order. Encoding comes last: the application makes one frame of a publication for each
//! encoding that has somebody to send it to.
//!
//! Embedders make [`Content`], messages carry it, and `egress::encoder` has it encoded.

mod elsewhere;
mod kept;
mod traced;

use crate::topic::data::{Data, DataEncoding};
use crate::topic::keep::Keep;
use crate::topic::key::Topic;
use crate::topic::place::Place;
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use crate::types::presence::{MemberConnection, OwnedConnection};
use crate::types::presence_event::PresenceEvent;
use crate::types::ticket::{Address, Ticket};
use shardcast_protocol::frame::Kind;
use std::sync::Arc;

/// What the application encodes ([`crate::Application::encode`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication<'a> {
    /// Where it was published; `None`: to everyone, or sent to one connection.
    pub topic: Option<Topic<'a>>,
    /// What it is.
    pub kind: PublicationKind<'a>,
    /// What it says.
    pub data: Data<'a>,
    /// How the data is written.
    pub data_encoding: DataEncoding,
}

/// What a publication is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicationKind<'a> {
    /// A connection has something to say.
    Message {
        /// The connection.
        publisher: Address,
    },
    /// A connection of another process has something to say.
    Elsewhere {
        /// The connection, as that process calls it for others.
        from: &'a str,
    },
    /// The application has something to say.
    Event {
        /// What the event is called.
        name: &'a str,
    },
    /// A member of the topic has joined or left. The data is what it shows; without bytes: nothing.
    Presence {
        /// What became of it.
        event: PresenceEvent,
        /// Its connection. `None` where users count, and it is one.
        connection: Option<MemberConnection<'a>>,
        /// Who it is, if it is a user.
        user: Option<&'a str>,
        /// The connection that it came back from.
        was: Option<Address>,
    },
    /// The topic has so many members, of whose changes nobody is told one by one.
    Members {
        /// Those who are away included.
        members: u32,
    },
}

/// The place of a publication in the order of its topic, where the topic keeps history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Which order: another epoch has nothing to do with this one.
    pub epoch: u64,
    /// The place in it.
    pub offset: u64,
}

/// A position, and the publication's ordinal (`topic/log/jumps`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptAt {
    pub(crate) position: Position,
    pub(crate) ordinal: u64,
}

impl KeptAt {
    #[inline]
    pub(crate) fn parts(self) -> (Option<Position>, u64) {
        (Some(self.position), self.ordinal)
    }
}

/// Encodes a publication: [`crate::Application::encode`].
pub(crate) type Encode =
    for<'a> fn(EncodingId, &Publication<'a>, Option<Position>) -> Option<Frame>;

/// What is published of a key whose time is over: [`crate::Application::removal`].
pub(crate) type Removal = for<'a> fn(&Publication<'a>) -> Option<Content>;

/// Encodes a publication for members that are sent deltas: [`crate::Application::encode_delta`].
pub(crate) type EncodeDelta = for<'a, 'b> fn(
    EncodingId,
    Option<&Publication<'a>>,
    &Publication<'b>,
    Option<Position>,
) -> Option<Frame>;

/// What is published or sent. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Content(Inner);

#[derive(Clone, Debug)]
enum Inner {
    /// Ready, for connections of one encoding.
    Frame { frame: Frame, encoding: EncodingId },
    /// A connection's message with the one frame that was made of it where it was published: nearly
    /// every publication. The frame holds the data, so the frame's allocation is the only one.
    Message {
        frame: Frame,
        encoding: EncodingId,
        /// The publisher, in two parts that leave no gap.
        shard: u16,
        ticket: Ticket,
        place: Place,
        data_encoding: DataEncoding,
    },
    /// To be encoded.
    Data(Arc<Stored>),
    /// One of the above whose steps are recorded.
    Traced(Box<Traced>),
    /// One of the above, which goes into its topic's log.
    Kept(Box<Kept>),
}

/// What is published, and what becomes of it in its topic's log.
#[derive(Clone, Debug)]
struct Kept {
    content: Content,
    keep: Keep,
}

/// A trace that is recorded, and the step of it that comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordedTrace {
    pub(crate) trace: u128,
    pub(crate) span: u64,
}

/// What is published, and the step of its trace that comes before.
#[derive(Clone, Debug)]
struct Traced {
    content: Content,
    from: RecordedTrace,
}

/// Every message between shards has room for it.
const _: () = assert!(size_of::<Content>() == 48);

/// A publication without its topic, which its message bears.
#[derive(Debug)]
struct Stored {
    kind: StoredKind,
    data: StoredData,
    data_encoding: DataEncoding,
    /// It came from another process.
    is_of_elsewhere: bool,
    /// Frames that were made where it was published, without a position: the first costs no
    /// allocation.
    first_encoded: Option<(EncodingId, Frame)>,
    more_encoded: Vec<(EncodingId, Frame)>,
}

#[derive(Debug)]
enum StoredKind {
    Message {
        publisher: Address,
    },
    Elsewhere {
        from: Box<str>,
    },
    Event {
        name: Box<str>,
    },
    Presence {
        event: PresenceEvent,
        connection: Option<OwnedConnection>,
        user: Option<Arc<str>>,
        was: Option<Address>,
    },
    Members {
        members: u32,
    },
}

#[derive(Debug)]
enum StoredData {
    Text(Box<str>),
    Binary(Box<[u8]>),
    /// The first frame holds the data as they are: no copy is kept.
    InFrame(Place),
}

impl Content {
    /// A frame that is ready: it goes as it is to connections of its encoding, and to no others
    /// (`dropped_untranslatable` counts them).
    pub fn frame(encoding: EncodingId, frame: Frame) -> Content {
        Content(Inner::Frame { frame, encoding })
    }

    /// A publication as data, which [`crate::Application::encode`] makes frames of. The topic is
    /// the one that it is published to.
    ///
    /// `encoded` are frames that were made of it already, without a position, so that they need not
    /// be made twice: each is what the application would return for its encoding.
    #[inline]
    pub fn data(
        publication: &Publication<'_>,
        encoded: impl IntoIterator<Item = (EncodingId, Frame)>,
    ) -> Content {
        let mut encoded = encoded.into_iter();
        let (first, second) = (encoded.next(), encoded.next());
        let place = first
            .as_ref()
            .and_then(|(_, frame)| find(frame, publication.data));
        match (publication.kind, first, second, place) {
            (
                PublicationKind::Message { publisher },
                Some((encoding, frame)),
                None,
                Some(place),
            ) => Content(Inner::Message {
                frame,
                encoding,
                shard: publisher.shard,
                ticket: publisher.ticket,
                place,
                data_encoding: publication.data_encoding,
            }),
            (_, first, second, place) => {
                let more = second.into_iter().chain(encoded).collect();
                let stored = Stored::new(publication, place, first, more);
                Content(Inner::Data(Arc::new(stored)))
            }
        }
    }

    /// The frame, if it is one that is ready for this encoding.
    #[doc(hidden)] // For messages, which benches build by themselves.
    pub fn into_frame(self, encoding: EncodingId) -> Option<Frame> {
        match self.0 {
            Inner::Frame {
                frame,
                encoding: own,
            } if encoding == own => Some(frame),
            Inner::Frame { .. }
            | Inner::Message { .. }
            | Inner::Data(_)
            | Inner::Traced(_)
            | Inner::Kept(_) => None,
        }
    }

    /// The frame for connections of an encoding. `None`: there is none.
    pub(crate) fn encode(
        &self,
        encoding: EncodingId,
        topic: Option<Topic<'_>>,
        position: Option<Position>,
        encode: impl FnOnce(&Publication<'_>) -> Option<Frame>,
    ) -> Option<Frame> {
        match &self.0 {
            Inner::Frame {
                frame,
                encoding: own,
            } => (encoding == *own).then(|| frame.clone()),
            Inner::Message {
                frame,
                encoding: own,
                ..
            } if encoding == *own && position.is_none() => Some(frame.clone()),
            Inner::Message { .. } => encode(&self.publication(topic)?),
            Inner::Data(stored) => match stored.encoded(encoding) {
                Some(frame) if position.is_none() => Some(frame.clone()),
                Some(_) | None => encode(&stored.publication(topic)),
            },
            Inner::Traced(traced) => traced.content.encode(encoding, topic, position, encode),
            Inner::Kept(kept) => kept.content.encode(encoding, topic, position, encode),
        }
    }

    /// What is published, as data. `None`: it is a frame that was ready.
    pub(crate) fn publication<'a>(&'a self, topic: Option<Topic<'a>>) -> Option<Publication<'a>> {
        match &self.0 {
            Inner::Frame { .. } => None,
            Inner::Message {
                frame,
                shard,
                ticket,
                place,
                data_encoding,
                ..
            } => {
                let (shard, ticket) = (*shard, *ticket);
                Some(Publication {
                    topic,
                    kind: PublicationKind::Message {
                        publisher: Address { shard, ticket },
                    },
                    data: data_at(*place, frame),
                    data_encoding: *data_encoding,
                })
            }
            Inner::Data(stored) => Some(stored.publication(topic)),
            Inner::Traced(traced) => traced.content.publication(topic),
            Inner::Kept(kept) => kept.content.publication(topic),
        }
    }
}

/// The frames that it holds.
impl Content {
    /// The frame that it holds, if that is for this encoding.
    pub(crate) fn own_frame(&self, encoding: EncodingId) -> Option<&Frame> {
        match &self.0 {
            Inner::Frame {
                frame,
                encoding: own,
            }
            | Inner::Message {
                frame,
                encoding: own,
                ..
            } => (encoding == *own).then_some(frame),
            Inner::Data(stored) => stored.encoded(encoding),
            Inner::Traced(traced) => traced.content.own_frame(encoding),
            Inner::Kept(kept) => kept.content.own_frame(encoding),
        }
    }

    /// Holds the same frame in other memory. False: it holds none of this encoding by itself.
    pub(crate) fn move_frame(&mut self, encoding: EncodingId, moved: Frame) -> bool {
        match &mut self.0 {
            Inner::Message {
                frame,
                encoding: own,
                ..
            } if encoding == *own => {
                debug_assert_eq!(frame.bytes(), moved.bytes());
                *frame = moved;
                true
            }
            Inner::Traced(traced) => traced.content.move_frame(encoding, moved),
            Inner::Frame { .. } | Inner::Message { .. } | Inner::Data(_) | Inner::Kept(_) => false,
        }
    }

    /// Whether these are the bytes of a frame that it holds.
    pub(crate) fn shares(&self, plain: &[u8]) -> bool {
        let is_same = |frame: &Frame| std::ptr::eq(frame.bytes().as_ptr(), plain.as_ptr());
        match &self.0 {
            Inner::Frame { frame, .. } | Inner::Message { frame, .. } => is_same(frame),
            Inner::Data(stored) => stored.frames().any(|(_, frame)| is_same(frame)),
            Inner::Traced(traced) => traced.content.shares(plain),
            Inner::Kept(kept) => kept.content.shares(plain),
        }
    }

    /// Bytes of the frames and the data that it holds.
    pub(crate) fn bytes(&self) -> usize {
        match &self.0 {
            Inner::Frame { frame, .. } | Inner::Message { frame, .. } => frame.total_bytes(),
            Inner::Data(stored) => stored.bytes(),
            Inner::Traced(traced) => traced.content.bytes(),
            Inner::Kept(kept) => kept.content.bytes(),
        }
    }
}

/// A frame of [`EncodingId::FIRST`].
impl From<Frame> for Content {
    fn from(frame: Frame) -> Content {
        Content::frame(EncodingId::FIRST, frame)
    }
}

fn find(frame: &Frame, data: Data<'_>) -> Option<Place> {
    let kind = match data {
        Data::Text(_) => Kind::Text,
        Data::Binary(_) => Kind::Binary,
    };
    Place::find(frame.bytes(), data.bytes(), kind)
}

fn data_at(place: Place, frame: &Frame) -> Data<'_> {
    let bytes = place.bytes(frame.bytes());
    match place.kind() {
        Kind::Text => Data::Text(str::from_utf8(bytes).expect("the data is text")),
        Kind::Binary => Data::Binary(bytes),
    }
}

impl Stored {
    fn new(
        publication: &Publication<'_>,
        place: Option<Place>,
        first_encoded: Option<(EncodingId, Frame)>,
        more_encoded: Vec<(EncodingId, Frame)>,
    ) -> Stored {
        Stored {
            kind: match publication.kind {
                PublicationKind::Message { publisher } => StoredKind::Message { publisher },
                PublicationKind::Elsewhere { from } => StoredKind::Elsewhere { from: from.into() },
                PublicationKind::Event { name } => StoredKind::Event { name: name.into() },
                PublicationKind::Presence {
                    event,
                    connection,
                    user,
                    was,
                } => StoredKind::Presence {
                    event,
                    connection: connection.map(OwnedConnection::new),
                    user: user.map(Arc::from),
                    was,
                },
                PublicationKind::Members { members } => StoredKind::Members { members },
            },
            data: match (place, publication.data) {
                (Some(place), _) => StoredData::InFrame(place),
                (None, Data::Text(text)) => StoredData::Text(text.into()),
                (None, Data::Binary(bytes)) => StoredData::Binary(bytes.into()),
            },
            data_encoding: publication.data_encoding,
            is_of_elsewhere: false,
            first_encoded,
            more_encoded,
        }
    }

    fn publication<'a>(&'a self, topic: Option<Topic<'a>>) -> Publication<'a> {
        Publication {
            topic,
            kind: match &self.kind {
                StoredKind::Message { publisher } => PublicationKind::Message {
                    publisher: *publisher,
                },
                StoredKind::Elsewhere { from } => PublicationKind::Elsewhere { from },
                StoredKind::Event { name } => PublicationKind::Event { name },
                StoredKind::Presence {
                    event,
                    connection,
                    user,
                    was,
                } => PublicationKind::Presence {
                    event: *event,
                    connection: connection.as_ref().map(OwnedConnection::name),
                    user: user.as_deref(),
                    was: *was,
                },
                StoredKind::Members { members } => PublicationKind::Members { members: *members },
            },
            data: match &self.data {
                StoredData::Text(text) => Data::Text(text),
                StoredData::Binary(bytes) => Data::Binary(bytes),
                StoredData::InFrame(place) => {
                    let (_, frame) = self.first_encoded.as_ref().expect("the data is in it");
                    data_at(*place, frame)
                }
            },
            data_encoding: self.data_encoding,
        }
    }

    fn encoded(&self, encoding: EncodingId) -> Option<&Frame> {
        let mut frames = self.frames();
        frames.find_map(|(of, frame)| (*of == encoding).then_some(frame))
    }

    fn frames(&self) -> impl Iterator<Item = &(EncodingId, Frame)> {
        self.first_encoded.iter().chain(&self.more_encoded)
    }

    fn bytes(&self) -> usize {
        let data = match &self.data {
            StoredData::Text(text) => text.len(),
            StoredData::Binary(bytes) => bytes.len(),
            StoredData::InFrame(_) => 0,
        };
        let frames = self.frames().map(|(_, frame)| frame.total_bytes());
        data + frames.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: EncodingId = EncodingId::new(1);
    const THIRD: EncodingId = EncodingId::new(3);

    fn frame(text: &str) -> Frame {
        Frame::new(Kind::Text, text.as_bytes())
    }

    fn publication<'a>(data: Data<'a>, kind: PublicationKind<'a>) -> Publication<'a> {
        Publication {
            topic: Some(Topic::Room("r")),
            kind,
            data,
            data_encoding: DataEncoding(5),
        }
    }

    fn encode(publication: &Publication<'_>, position: Option<Position>) -> Option<Frame> {
        let at = position.map_or("-".to_owned(), |at| format!("{}:{}", at.epoch, at.offset));
        Some(frame(&format!("{at} {publication:?}")))
    }

    fn encoded(
        content: &Content,
        encoding: EncodingId,
        position: Option<Position>,
    ) -> Option<String> {
        let topic = Some(Topic::Room("r"));
        let frame = content.encode(encoding, topic, position, |said| encode(said, position))?;
        Some(String::from_utf8_lossy(frame.bytes()).into_owned())
    }

    fn text_of(frame: Option<Frame>) -> Option<String> {
        frame.map(|frame| String::from_utf8_lossy(frame.bytes()).into_owned())
    }

    #[test]
    fn a_ready_frame_is_of_one_encoding() {
        let position = Some(Position {
            epoch: 1,
            offset: 2,
        });
        for (own, content) in [
            (EncodingId::FIRST, frame("ready").into()),
            (OTHER, Content::frame(OTHER, frame("ready"))),
        ] {
            for position in [None, position] {
                let ready = text_of(Some(frame("ready")));
                assert_eq!(encoded(&content, own, position), ready);
                assert_eq!(encoded(&content, EncodingId::new(2), position), None);
            }
        }
    }

    /// What was published is what is encoded, and a frame that was made without a position serves
    /// where there is none.
    #[test]
    fn data_is_encoded_in_its_place() {
        let ticket = Ticket {
            slot: 3,
            generation: 4,
        };
        let publisher = Address { shard: 1, ticket };
        let position = Some(Position {
            epoch: 7,
            offset: 9,
        });
        for kind in [
            PublicationKind::Message { publisher },
            PublicationKind::Elsewhere { from: "0-1-2@b" },
            PublicationKind::Event { name: "scored" },
        ] {
            for data in [Data::Text("text"), Data::Binary(b"\xff")] {
                let said = publication(data, kind);
                // The data stands at its end, before its last bytes, in between, or not at all.
                let texts = ["text", "{\"d\":text}", "text and more", "made before", ""];
                let mut made: Vec<Frame> = texts.map(frame).into();
                made.push(Frame::new(Kind::Binary, b"\x81\xff"));
                for made in made {
                    let both = [(OTHER, made.clone()), (THIRD, frame("third"))];
                    // Alone it is stored in another way.
                    let alone = Content::data(&said, Some((OTHER, made.clone())));
                    let content = Content::data(&said, both);
                    for content in [&alone, &content] {
                        let first = text_of(Some(made.clone()));
                        assert_eq!(encoded(content, OTHER, None), first);
                        for (encoding, position) in [(EncodingId::FIRST, None), (OTHER, position)] {
                            let expected = text_of(encode(&said, position));
                            assert_eq!(encoded(content, encoding, position), expected);
                        }
                    }
                    assert_eq!(
                        encoded(&content, THIRD, None),
                        text_of(Some(frame("third")))
                    );
                    for (encoding, position) in [
                        (EncodingId::FIRST, None),
                        (EncodingId::FIRST, position),
                        (OTHER, position),
                        (THIRD, position),
                    ] {
                        let expected = text_of(encode(&said, position));
                        assert_eq!(encoded(&content, encoding, position), expected);
                    }
                }
            }
        }
    }
}
