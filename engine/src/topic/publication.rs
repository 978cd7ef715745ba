//! Publications: what is published, as data, until the home of its topic has given it its place in
//! the order. Encoding comes last: the application makes one frame of a publication for each
//! encoding that has somebody to send it to.
//!
//! Embedders make [`Content`], messages carry it, and `core::encoding` has it encoded.

use crate::topic::key::Topic;
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use crate::types::ticket::Address;
use std::ops::Range;
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
    /// The application has something to say.
    Event {
        /// What the event is called.
        name: &'a str,
    },
}

/// The data of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// UTF-8 text.
    Text(&'a str),
    /// Binary.
    Binary(&'a [u8]),
}

impl<'a> Data<'a> {
    /// Its bytes.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Data::Text(text) => text.as_bytes(),
            Data::Binary(bytes) => bytes,
        }
    }
}

/// How the data of a publication is written: an index that only the application gives a meaning to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DataEncoding(pub u8);

/// The place of a publication in the order of its topic, where the topic keeps history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Which order: another epoch has nothing to do with this one.
    pub epoch: u64,
    /// The place in it.
    pub offset: u64,
}

/// Encodes a publication: [`crate::Application::encode`].
pub(crate) type Encode =
    for<'a> fn(EncodingId, &Publication<'a>, Option<Position>) -> Option<Frame>;

/// What is published or sent. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Content {
    encoding: EncodingId,
    inner: Inner,
}

#[derive(Clone, Debug)]
enum Inner {
    /// Ready, for connections of one encoding.
    Frame(Frame),
    /// To be encoded.
    Data(Arc<Stored>),
}

/// A publication without its topic, which its message bears.
#[derive(Debug)]
struct Stored {
    kind: StoredKind,
    data: StoredData,
    data_encoding: DataEncoding,
    /// Frames that were made where it was published, without a position: the first costs no
    /// allocation.
    first_encoded: Option<(EncodingId, Frame)>,
    more_encoded: Vec<(EncodingId, Frame)>,
}

#[derive(Debug)]
enum StoredKind {
    Message { publisher: Address },
    Event { name: Box<str> },
}

#[derive(Debug)]
enum StoredData {
    Text(Box<str>),
    Binary(Box<[u8]>),
    /// Bytes of the first frame, which holds them as they are: no copy is kept.
    TextInFrame(Range<usize>),
    BinaryInFrame(Range<usize>),
}

/// Bytes of a frame that may stand behind the data of its publication: what closes an object or
/// two.
const DATA_TAIL_BYTES_MAX: usize = 4;

/// Where a frame ends with the data of its publication, up to a few bytes.
fn data_in(frame: &[u8], data: &[u8]) -> Option<Range<usize>> {
    let ends = (0..=DATA_TAIL_BYTES_MAX).filter_map(|tail| frame.len().checked_sub(tail));
    let mut ranges = ends.filter_map(|end| Some(end.checked_sub(data.len())?..end));
    ranges.find(|range| frame[range.clone()] == *data)
}

impl Content {
    /// A frame that is ready: it goes as it is to connections of its encoding, and to no others
    /// (`dropped_untranslatable` counts them).
    pub fn frame(encoding: EncodingId, frame: Frame) -> Content {
        let inner = Inner::Frame(frame);
        Content { encoding, inner }
    }

    /// A publication as data, which [`crate::Application::encode`] makes frames of. The topic is
    /// the one that it is published to.
    ///
    /// `encoded` are frames that were made of it already, without a position, so that they need not
    /// be made twice: each is what the application would return for its encoding.
    pub fn data(
        publication: &Publication<'_>,
        encoded: impl IntoIterator<Item = (EncodingId, Frame)>,
    ) -> Content {
        let mut encoded = encoded.into_iter();
        let first_encoded = encoded.next();
        let first = first_encoded.as_ref();
        let in_frame =
            first.and_then(|(_, frame)| data_in(frame.bytes(), publication.data.bytes()));
        let stored = Stored {
            kind: match publication.kind {
                PublicationKind::Message { publisher } => StoredKind::Message { publisher },
                PublicationKind::Event { name } => StoredKind::Event { name: name.into() },
            },
            data: match (publication.data, in_frame) {
                (Data::Text(_), Some(range)) => StoredData::TextInFrame(range),
                (Data::Binary(_), Some(range)) => StoredData::BinaryInFrame(range),
                (Data::Text(text), None) => StoredData::Text(text.into()),
                (Data::Binary(bytes), None) => StoredData::Binary(bytes.into()),
            },
            data_encoding: publication.data_encoding,
            first_encoded,
            more_encoded: encoded.collect(),
        };
        Content {
            encoding: EncodingId::FIRST,
            inner: Inner::Data(Arc::new(stored)),
        }
    }

    /// The frame, if it is one that is ready for this encoding.
    #[doc(hidden)] // For messages, which benches build by themselves.
    pub fn into_frame(self, encoding: EncodingId) -> Option<Frame> {
        match self.inner {
            Inner::Frame(frame) if encoding == self.encoding => Some(frame),
            Inner::Frame(_) | Inner::Data(_) => None,
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
        match &self.inner {
            Inner::Frame(frame) => (encoding == self.encoding).then(|| frame.clone()),
            Inner::Data(stored) => match stored.encoded(encoding) {
                Some(frame) if position.is_none() => Some(frame.clone()),
                Some(_) | None => encode(&stored.publication(topic)),
            },
        }
    }
}

/// A frame of [`EncodingId::FIRST`].
impl From<Frame> for Content {
    fn from(frame: Frame) -> Content {
        Content::frame(EncodingId::FIRST, frame)
    }
}

impl Stored {
    fn publication<'a>(&'a self, topic: Option<Topic<'a>>) -> Publication<'a> {
        Publication {
            topic,
            kind: match &self.kind {
                StoredKind::Message { publisher } => PublicationKind::Message {
                    publisher: *publisher,
                },
                StoredKind::Event { name } => PublicationKind::Event { name },
            },
            data: match &self.data {
                StoredData::Text(text) => Data::Text(text),
                StoredData::Binary(bytes) => Data::Binary(bytes),
                StoredData::TextInFrame(range) => {
                    let text = str::from_utf8(self.in_first(range));
                    Data::Text(text.expect("the data is text"))
                }
                StoredData::BinaryInFrame(range) => Data::Binary(self.in_first(range)),
            },
            data_encoding: self.data_encoding,
        }
    }

    fn in_first(&self, range: &Range<usize>) -> &[u8] {
        let (_, frame) = self.first_encoded.as_ref().expect("the data is in it");
        &frame.bytes()[range.clone()]
    }

    fn encoded(&self, encoding: EncodingId) -> Option<&Frame> {
        let mut encoded = self.first_encoded.iter().chain(&self.more_encoded);
        encoded.find_map(|(of, frame)| (*of == encoding).then_some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ticket::Ticket;
    use shardcast_protocol::frame::Kind;

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
        for content in [frame("ready").into(), Content::frame(OTHER, frame("ready"))] {
            for position in [None, position] {
                let own = content.encoding;
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
                    let content = Content::data(&said, both);
                    assert_eq!(encoded(&content, OTHER, None), text_of(Some(made)));
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
