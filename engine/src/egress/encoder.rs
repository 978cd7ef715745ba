//! Encoding comes last: what is published becomes frames where it has its place in the order, one
//! for each encoding that is to hear it.
//!
//! Used by the home of a topic, and by the owner of a connection for what is sent to it alone.

use crate::confine::{confine, count_panic};
use crate::connection::admission::ProcessCounts;
use crate::counters::ShardCounters;
use crate::egress::Egress;
use crate::egress::deflate::{Compressing, compress_for_sharers};
use crate::message::request::PublishRequest;
use crate::topic::filter::sifter::{Sifter, Verdict};
use crate::topic::key::Topic;
use crate::topic::log::entry::LogEntry;
use crate::topic::publication::{Content, Encode, EncodeDelta, Position, Publication, Removal};
use crate::types::encoding::{EncodingId, EncodingSet};
use crate::types::filter::{Filter, Sift};
use crate::types::frame::Frame;
use crate::types::history::EncodeAgain;

/// What each encoding is sent of a publish, by index; `None`: nothing.
pub(crate) type Frames = [Option<Frame>; EncodingId::COUNT_MAX];

/// What of the application makes frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodeCalls {
    pub(crate) encode: Encode,
    pub(crate) encode_again: EncodeAgain,
    pub(crate) encode_delta: EncodeDelta,
    pub(crate) sift: Sift,
    pub(crate) removal: Removal,
}

/// Makes the frames of one publication.
pub(crate) struct Encoder<'a> {
    calls: EncodeCalls,
    compressing: Option<&'a mut Compressing>,
    process: &'a ProcessCounts,
    counters: &'a ShardCounters,
    shard: u16,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(
        calls: EncodeCalls,
        egress: &'a mut Egress,
        process: &'a ProcessCounts,
        counters: &'a ShardCounters,
        shard: u16,
    ) -> Encoder<'a> {
        Encoder {
            calls,
            compressing: egress.compressing.as_deref_mut(),
            process,
            counters,
            shard,
        }
    }
}

impl Encoder<'_> {
    /// The frame that members of an encoding share. `None`: the application cannot encode it so,
    /// which is counted.
    pub(crate) fn share(
        &mut self,
        content: &Content,
        encoding: EncodingId,
        topic: Option<Topic<'_>>,
        position: Option<Position>,
    ) -> Option<Frame> {
        let frame = self.encode(content, encoding, topic, position)?;
        Some(self.compress(frame))
    }

    /// The frame of a publication in a log that its readers of an encoding share.
    pub(crate) fn share_entry(
        &mut self,
        entry: &LogEntry,
        encoding: EncodingId,
        topic: Topic<'_>,
        position: Position,
    ) -> Option<Frame> {
        let frame = entry.encode(encoding, topic, position, |publication| {
            self.call(encoding, publication, Some(position))
        })?;
        Some(self.compress(frame))
    }

    /// The same for those who were sent it before.
    pub(crate) fn share_again(
        &mut self,
        entry: &LogEntry,
        encoding: EncodingId,
        topic: Topic<'_>,
        position: Position,
    ) -> Option<Frame> {
        let (encode, encoding) = (self.calls.encode_again, encoding.of_connections());
        let frame = entry.encode_again(encoding, topic, |publication| {
            self.confined(|| encode(encoding, publication, position))
        })?;
        Some(self.compress(frame))
    }

    fn compress(&mut self, frame: Frame) -> Frame {
        let compressing = self.compressing.as_deref_mut();
        compress_for_sharers(compressing, self.process, self.counters, frame)
    }

    /// The frames for members of several encodings, each made once.
    pub(crate) fn share_all(
        &mut self,
        publish: &PublishRequest,
        present: EncodingSet,
        topic: Option<Topic<'_>>,
        position: Option<Position>,
    ) -> Frames {
        let mut frames = Frames::default();
        for encoding in present.iter() {
            frames[encoding.index()] = self.share(&publish.content, encoding, topic, position);
        }
        frames
    }

    /// The encodings that the process has open connections of.
    pub(crate) fn present(&self) -> EncodingSet {
        self.process.encodings.get()
    }

    /// The plain frame. `None`: the application cannot encode it so, or panicked.
    pub(crate) fn encode(
        &self,
        content: &Content,
        encoding: EncodingId,
        topic: Option<Topic<'_>>,
        position: Option<Position>,
    ) -> Option<Frame> {
        let frame = content.encode(encoding, topic, position, |publication| {
            self.call(encoding, publication, position)
        });
        if frame.is_none() {
            self.counters.dropped_untranslatable.add(1);
        }
        frame
    }

    /// Has the application encode it. `None`: it cannot, or it panicked.
    fn call(
        &self,
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        let EncodeCalls {
            encode,
            encode_delta,
            ..
        } = self.calls;
        if encoding.has_deltas() {
            let encoding = encoding.of_connections();
            return self.confined(|| encode_delta(encoding, None, publication, position));
        }
        self.confined(|| encode(encoding, publication, position))
    }

    /// What it changes of what the members of an encoding with deltas have. `None`: they are sent
    /// all of it.
    pub(crate) fn share_delta(
        &mut self,
        base: &Content,
        content: &Content,
        encoding: EncodingId,
        topic: Topic<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        let base = base.publication(Some(topic))?;
        let publication = content.publication(Some(topic))?;
        let (encode, encoding) = (self.calls.encode_delta, encoding.of_connections());
        let frame = self.confined(|| encode(encoding, Some(&base), &publication, position))?;
        Some(self.compress(frame))
    }

    /// Whether a publication in a log passes a filter.
    pub(crate) fn passes(&self, filter: &Filter, entry: &LogEntry, topic: Topic<'_>) -> bool {
        let sifter = Sifter {
            sift: self.calls.sift,
            counters: self.counters,
            shard: self.shard,
        };
        let filters = std::slice::from_ref(filter);
        sifter.verdict(entry.content(), Some(topic), filters) == Verdict::All
    }

    /// What is published of a key of a map whose time is over. `None`: nothing.
    pub(crate) fn removal(&self, last: &Content, topic: Topic<'_>) -> Option<Content> {
        let publication = last.publication(Some(topic))?;
        let removal = self.calls.removal;
        self.confined(|| removal(&publication))
    }

    fn confined<R>(&self, encode: impl FnOnce() -> Option<R>) -> Option<R> {
        confine(encode).unwrap_or_else(|_| {
            count_panic(self.counters, self.shard, None);
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::data::{Data, DataEncoding};
    use crate::topic::publication::{Publication, PublicationKind};
    use shardcast_protocol::frame::{self, Kind};

    const POSITION: Position = Position {
        epoch: 3,
        offset: 14,
    };
    const MADE_BEFORE: EncodingId = EncodingId::new(1);
    const UNSAYABLE: EncodingId = EncodingId::new(2);
    const PANICS: EncodingId = EncodingId::new(3);

    fn encode(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        assert_ne!(encoding, PANICS, "as the test wished");
        let offset = position.map_or(0, |position| position.offset);
        let topic = publication.topic.map_or("-", Topic::name);
        let said = format!("{topic} {offset} {:?}", publication.data);
        (encoding != UNSAYABLE).then(|| Frame::new(Kind::Text, said.as_bytes()))
    }

    /// What members of each encoding share, and how often it was counted that they cannot be told,
    /// and that the application panicked.
    #[test]
    fn a_home_encodes_with_the_position_that_it_gives() {
        let publication = Publication {
            topic: None,
            kind: PublicationKind::Event { name: "e" },
            data: Data::Text("x"),
            data_encoding: DataEncoding::default(),
        };
        let made = Frame::new(Kind::Text, b"made before");
        let data = Content::data(&publication, vec![(MADE_BEFORE, made)]);
        let ready = Content::frame(MADE_BEFORE, Frame::new(Kind::Text, b"ready"));
        let (process, counters) = (ProcessCounts::new(1), ShardCounters::default());
        let share = |content: &Content, encoding: EncodingId, position: Option<Position>| {
            let mut encoder = Encoder {
                calls: EncodeCalls {
                    encode,
                    encode_again: |_, _, _| None,
                    encode_delta: |_, _, _, _| None,
                    sift: |_, _, _| {},
                    removal: |_| None,
                },
                compressing: None,
                process: &process,
                counters: &counters,
                shard: 0,
            };
            let topic = Some(Topic::Room("r"));
            let frame = encoder.share(content, encoding, topic, position)?;
            let payload = frame::written(frame.bytes()).1;
            Some(String::from_utf8_lossy(&frame.bytes()[payload]).into_owned())
        };
        let at = Some(POSITION);
        for (content, encoding, position, expected) in [
            (&data, EncodingId::FIRST, None, Some("r 0 Text(\"x\")")),
            (&data, EncodingId::FIRST, at, Some("r 14 Text(\"x\")")),
            (&data, MADE_BEFORE, None, Some("made before")),
            (&data, MADE_BEFORE, at, Some("r 14 Text(\"x\")")),
            (&data, UNSAYABLE, at, None),
            (&data, PANICS, None, None),
            (&ready, MADE_BEFORE, at, Some("ready")),
            (&ready, EncodingId::FIRST, None, None),
        ] {
            let shared = share(content, encoding, position);
            assert_eq!(shared.as_deref(), expected, "{encoding:?} {position:?}");
        }
        let counts = (counters.dropped_untranslatable.get(), counters.panics.get());
        assert_eq!(counts, (3, 1));
    }
}
