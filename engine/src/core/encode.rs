//! Encoding comes last: what is published becomes frames where it has its place in the order, one
//! for each encoding that is to hear it.
//!
//! Called by the home of a topic, and by the owner of a connection for what is sent to it alone.

use super::{Core, count_panic};
use crate::confine::confine;
use crate::connection::admission::ProcessCounts;
use crate::connection::phase::Phase;
use crate::counters::ShardCounters;
use crate::egress::deflate::{Compressing, compress_for_sharers};
use crate::message::lane::Mailbox;
use crate::message::request::PublishRequest;
use crate::topic::key::Topic;
use crate::topic::log::entry::LogEntry;
use crate::topic::publication::{Content, Encode, Position, Publication};
use crate::topic::topics::Topics;
use crate::types::encoding::{EncodingId, EncodingSet};
use crate::types::frame::Frame;
use crate::types::ticket::Ticket;

/// What each encoding is sent of a publish, by index; `None`: nothing.
pub(super) type Frames = [Option<Frame>; EncodingId::COUNT_MAX];

/// Makes the frames of one publication.
pub(super) struct Encoder<'a> {
    encode: Encode,
    compressing: Option<&'a mut Compressing>,
    admission: &'a ProcessCounts,
    counters: &'a ShardCounters,
    shard: u16,
}

impl Core {
    /// What a home needs at once: its topics, the way to their members, and what makes frames.
    pub(super) fn home_parts(&mut self) -> (&mut Topics, &mut Mailbox, Encoder<'_>) {
        let encoder = Encoder {
            encode: self.meaning.encode,
            compressing: self.compressing.as_deref_mut(),
            admission: &self.admissions.process,
            counters: &self.counters,
            shard: self.mail.shard(),
        };
        (&mut self.topics, &mut self.mail, encoder)
    }

    /// As owner: sends something to one connection, in its encoding.
    pub(crate) fn send_one(&mut self, to: Ticket, content: &Content) {
        if self.connections.phase(to) != Phase::Open {
            self.counters.dropped_closing.add(1);
            return;
        }
        let encoding = self.encoding(to);
        let (.., encoder) = self.home_parts();
        if let Some(frame) = encoder.encode(content, encoding, None, None) {
            self.write_frame(to, |out| out.extend_from_slice(frame.bytes()));
        }
    }
}

impl Encoder<'_> {
    /// The frame that members of an encoding share. `None`: the application cannot encode it so,
    /// which is counted.
    pub(super) fn share(
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
    pub(super) fn share_entry(
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

    fn compress(&mut self, frame: Frame) -> Frame {
        let compressing = self.compressing.as_deref_mut();
        compress_for_sharers(compressing, self.admission, self.counters, frame)
    }

    /// The frames for members of several encodings, each made once.
    pub(super) fn share_all(
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

    /// The plain frame. `None`: the application cannot encode it so, or panicked.
    fn encode(
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
        let encode = self.encode;
        let encoded = confine(|| encode(encoding, publication, position));
        encoded.unwrap_or_else(|_| {
            count_panic(self.counters, self.shard, None);
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::publication::{Data, DataEncoding, Publication, PublicationKind};
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
        let (admission, counters) = (ProcessCounts::new(1), ShardCounters::default());
        let share = |content: &Content, encoding: EncodingId, position: Option<Position>| {
            let mut encoder = Encoder {
                encode,
                compressing: None,
                admission: &admission,
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
