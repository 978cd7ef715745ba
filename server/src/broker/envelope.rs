//! What nodes say to each other, as bytes: one publication, who made it, and its place.
//!
//! Invariant: an envelope that was read is complete, its names and texts are UTF-8, and reading it
//! allocates nothing; what it says is to be checked still, for another node may be of another
//! version, and a broker is open to whoever has its password. Written and read by the bridge.
//!
//! Numbers are big-endian. Version 1:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version |
//! | 1 | 1: the place below is set; 0: it is not |
//! | 8, 8, 8 | place: epoch, offset, previous offset |
//! | 8, 8 | message id: the node's run, the message's number in it |
//! | 1 | recipient: 0 room, 1 user, 2 everyone, 3 nodes |
//! | 1 | body: 0 message, 1 event, 2 state |
//! | 1 | how the application has written the data |
//! | 1 | data: 0 text, 1 binary |
//! | 2, 2, 1, 1 | lengths of the recipient's name, the publisher or event, the two keys |
//! | | these, then the data |

use crate::broker::adapter::LogPlace;
use shardcast_engine::{Data, DataEncoding};
use std::ops::Range;

/// One message from node to node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'e> {
    /// Its place in its room's log, where the room is ordered by the broker.
    pub place: Option<LogPlace>,
    /// Who has sent it, and which of its messages it is.
    pub id: MessageId,
    /// To whom.
    pub recipient: Recipient<'e>,
    /// What it is.
    pub body: Body<'e>,
    /// The publisher's key. Empty: none.
    pub key: &'e str,
    /// The key by which a newer publication takes its place. Empty: none.
    pub conflate: &'e str,
    /// What it says.
    pub data: Data<'e>,
    /// How that is written.
    pub encoding: DataEncoding,
}

/// Names a message among those of all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// A random number that a node has for as long as its process runs.
    pub run: u64,
    /// Counts upwards.
    pub number: u64,
}

/// To whom something is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient<'e> {
    /// The members of a room.
    Room(&'e str),
    /// The connections of a user.
    User(&'e str),
    /// Every connection.
    Everyone,
    /// No connection: the nodes themselves.
    Nodes,
}

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'e> {
    /// A client's message.
    Message {
        /// The client, as others are told.
        from: &'e str,
    },
    /// An event of the application.
    Event {
        /// What it is called.
        name: &'e str,
    },
    /// What a node tells of itself.
    State {
        /// The node's name.
        node: &'e str,
    },
}

/// Why bytes are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvelope {
    /// Of a version that this server does not know.
    #[error("the version is not known")]
    Version,
    /// Its parts are longer than it is.
    #[error("it ends early")]
    Short,
    /// It is longer than any may be.
    #[error("it is too long")]
    Long,
    /// A field has a value that means nothing.
    #[error("a field has a value without a meaning")]
    Field,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
}

impl<'e> Envelope<'e> {
    /// Of the first of all layouts.
    const VERSION: u8 = 1;
    /// Longest of all: the largest message of a listener, with names and keys.
    pub const BYTES_MAX: usize = (64 << 20) + (256 << 10);
    /// Where the place stands in the bytes, for brokers that write it there.
    pub const PLACE: Range<usize> = 2..26;
    /// Where it stands whether there is a place: 0 or 1.
    pub const HAS_PLACE: usize = 1;
    /// Bytes before the first text.
    const HEAD_BYTES: usize = 52;

    /// Whether these bytes are one without a place that the node with this run has sent, as far as
    /// its head says: what comes back is known without being read.
    pub(crate) fn is_own(bytes: &[u8], run: u64) -> bool {
        const RUN: Range<usize> = Envelope::PLACE.end..Envelope::PLACE.end + 8;
        bytes.starts_with(&[Envelope::VERSION, 0]) && bytes.get(RUN) == Some(&run.to_be_bytes())
    }

    /// Whether the head of an envelope says that it is a text for the nodes themselves: news, and
    /// nothing of their shares.
    pub(crate) fn is_news(bytes: &[u8]) -> bool {
        const RECIPIENT: usize = Envelope::PLACE.end + 16;
        const SHAPE: usize = RECIPIENT + 3;
        (bytes.get(RECIPIENT), bytes.get(SHAPE)) == (Some(&3), Some(&0))
    }

    /// As bytes. `None`: a name or a key is too long for any envelope, or all of it is.
    pub fn write(&self) -> Option<Vec<u8>> {
        let (recipient, name) = match self.recipient {
            Recipient::Room(name) => (0, name),
            Recipient::User(name) => (1, name),
            Recipient::Everyone => (2, ""),
            Recipient::Nodes => (3, ""),
        };
        let (body, title) = match self.body {
            Body::Message { from } => (0, from),
            Body::Event { name } => (1, name),
            Body::State { node } => (2, node),
        };
        let (shape, data) = match self.data {
            Data::Text(text) => (0, text.as_bytes()),
            Data::Binary(bytes) => (1, bytes),
        };
        let name_bytes = u16::try_from(name.len()).ok()?.to_be_bytes();
        let title_bytes = u16::try_from(title.len()).ok()?.to_be_bytes();
        let key_bytes = u8::try_from(self.key.len()).ok()?;
        let conflate_bytes = u8::try_from(self.conflate.len()).ok()?;
        let texts = name.len() + title.len() + self.key.len() + self.conflate.len();
        let bytes = Self::HEAD_BYTES + texts + data.len();
        if bytes > Self::BYTES_MAX {
            return None;
        }
        let mut out = Vec::with_capacity(bytes);
        out.extend([Self::VERSION, u8::from(self.place.is_some())]);
        let place = self
            .place
            .map_or([0; 3], |place| [place.epoch, place.offset, place.previous]);
        for number in place.into_iter().chain([self.id.run, self.id.number]) {
            out.extend(number.to_be_bytes());
        }
        out.extend([recipient, body, self.encoding.0, shape]);
        out.extend(name_bytes);
        out.extend(title_bytes);
        out.extend([key_bytes, conflate_bytes]);
        debug_assert_eq!(out.len(), Self::HEAD_BYTES);
        for text in [name, title, self.key, self.conflate] {
            out.extend(text.as_bytes());
        }
        out.extend(data);
        Some(out)
    }

    /// What the bytes say.
    ///
    /// # Errors
    /// They are no envelope.
    pub fn read(bytes: &'e [u8]) -> Result<Envelope<'e>, BadEnvelope> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(BadEnvelope::Long);
        }
        let mut rest = Rest(bytes);
        let [version, has_place] = rest.array()?;
        if version != Self::VERSION {
            return Err(BadEnvelope::Version);
        }
        let place = LogPlace {
            epoch: rest.number()?,
            offset: rest.number()?,
            previous: rest.number()?,
        };
        let place = match has_place {
            0 => None,
            1 => Some(place),
            _ => return Err(BadEnvelope::Field),
        };
        let id = MessageId {
            run: rest.number()?,
            number: rest.number()?,
        };
        let [recipient, body, encoding, shape] = rest.array()?;
        let name_bytes = u16::from_be_bytes(rest.array()?);
        let title_bytes = u16::from_be_bytes(rest.array()?);
        let [key_bytes, conflate_bytes] = rest.array()?;
        let name = rest.text(name_bytes.into())?;
        let title = rest.text(title_bytes.into())?;
        let key = rest.text(key_bytes.into())?;
        let conflate = rest.text(conflate_bytes.into())?;
        Ok(Envelope {
            place,
            id,
            recipient: match (recipient, name) {
                (0, name) => Recipient::Room(name),
                (1, name) => Recipient::User(name),
                (2, "") => Recipient::Everyone,
                (3, "") => Recipient::Nodes,
                _ => return Err(BadEnvelope::Field),
            },
            body: match body {
                0 => Body::Message { from: title },
                1 => Body::Event { name: title },
                2 => Body::State { node: title },
                _ => return Err(BadEnvelope::Field),
            },
            key,
            conflate,
            data: match shape {
                0 => Data::Text(rest.text(rest.0.len())?),
                1 => Data::Binary(rest.0),
                _ => return Err(BadEnvelope::Field),
            },
            encoding: DataEncoding(encoding),
        })
    }
}

/// What of the bytes was not read.
struct Rest<'e>(&'e [u8]);

impl<'e> Rest<'e> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadEnvelope> {
        let (array, rest) = self.0.split_first_chunk().ok_or(BadEnvelope::Short)?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u64, BadEnvelope> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn text(&mut self, bytes: usize) -> Result<&'e str, BadEnvelope> {
        let (text, rest) = self.0.split_at_checked(bytes).ok_or(BadEnvelope::Short)?;
        self.0 = rest;
        str::from_utf8(text).map_err(|_| BadEnvelope::Utf8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(recipient: Recipient<'static>, body: Body<'static>) -> Envelope<'static> {
        Envelope {
            place: None,
            id: MessageId {
                run: u64::MAX - 1,
                number: 7,
            },
            recipient,
            body,
            key: "",
            conflate: "",
            data: Data::Text("{\"ü\":1}"),
            encoding: DataEncoding(3),
        }
    }

    fn every() -> Vec<Envelope<'static>> {
        let place = LogPlace {
            epoch: (1 << 60) - 1,
            offset: 300,
            previous: 0,
        };
        let message = Body::Message { from: "0-1f-2@a" };
        let event = Body::Event { name: "scored" };
        vec![
            of(Recipient::Room("größe"), message),
            Envelope {
                place: Some(place),
                key: "order-17",
                conflate: "AAPL",
                ..of(Recipient::Room("r"), event)
            },
            Envelope {
                data: Data::Binary(&[0, 255, 0]),
                ..of(Recipient::User("ann"), message)
            },
            Envelope {
                data: Data::Text(""),
                ..of(Recipient::Everyone, event)
            },
            of(Recipient::Nodes, Body::State { node: "a" }),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for envelope in every() {
            let bytes = envelope.write().expect("it fits");
            assert_eq!(Envelope::read(&bytes), Ok(envelope));
            let run = envelope.id.run;
            assert_eq!(Envelope::is_own(&bytes, run), envelope.place.is_none());
            assert!(!Envelope::is_own(&bytes, run - 1));
            assert!(!Envelope::is_own(&bytes[..30], run));
            let is_news = envelope.recipient == Recipient::Nodes;
            assert_eq!(Envelope::is_news(&bytes), is_news);
        }
    }

    /// A text that stands last has no length of its own, so only cuts before it are seen.
    #[test]
    fn what_is_cut_is_no_envelope() {
        for envelope in every() {
            let bytes = envelope.write().expect("it fits");
            let texts = bytes.len() - envelope.data.bytes().len();
            for len in 0..texts {
                assert_eq!(Envelope::read(&bytes[..len]), Err(BadEnvelope::Short));
            }
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let envelope = of(Recipient::Everyone, Body::Event { name: "é" });
        let good = envelope.write().expect("it fits");
        for (index, value, error) in [
            (0, 2, BadEnvelope::Version),
            (Envelope::HAS_PLACE, 2, BadEnvelope::Field),
            (42, 4, BadEnvelope::Field),
            (43, 3, BadEnvelope::Field),
            (45, 2, BadEnvelope::Field),
            // Everyone has no name.
            (47, 2, BadEnvelope::Field),
            (Envelope::HEAD_BYTES, 0xff, BadEnvelope::Utf8),
            (good.len() - 1, 0xff, BadEnvelope::Utf8),
        ] {
            let mut bytes = good.clone();
            bytes[index] = value;
            assert_eq!(Envelope::read(&bytes), Err(error), "{index}");
        }
        let long = vec![1; Envelope::BYTES_MAX + 1];
        assert_eq!(Envelope::read(&long), Err(BadEnvelope::Long));
    }

    #[test]
    fn a_broker_may_write_the_place() {
        let mut bytes = every()[0].write().expect("it fits");
        bytes[Envelope::HAS_PLACE] = 1;
        let numbers = [5u64, 6, 4].map(u64::to_be_bytes).concat();
        bytes[Envelope::PLACE].copy_from_slice(&numbers);
        let place = LogPlace {
            epoch: 5,
            offset: 6,
            previous: 4,
        };
        let read = Envelope::read(&bytes).map(|envelope| envelope.place);
        assert_eq!(read, Ok(Some(place)));
    }

    #[test]
    fn what_no_length_can_say_is_not_written() {
        let (name, key) = ("n".repeat(1 << 16), "k".repeat(256));
        let long: &[Envelope<'_>] = &[
            Envelope {
                recipient: Recipient::Room(&name),
                ..every()[0]
            },
            Envelope {
                body: Body::Event { name: &name },
                ..every()[0]
            },
            Envelope {
                key: &key,
                ..every()[0]
            },
            Envelope {
                conflate: &key,
                ..every()[0]
            },
        ];
        assert!(long.iter().all(|envelope| envelope.write().is_none()));
    }
}
