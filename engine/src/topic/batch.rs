//! Frames for one set of recipients, laid out once per tick: what every member is sent in one
//! piece. Members that take compressed frames have a layout of their own, if there is a compressed
//! frame among them.

use crate::message::delivery::Parcel;
use crate::query::gather::{Outcome, Part, QueryKey};
use crate::topic::delta::baseless::BaselessMembers;
use crate::topic::log::options::SlowReader;
use crate::topic::log::range::ReadMode;
use crate::topic::member_list::MemberList;
use crate::topic::skips::{Layout, LeftOut, Sieve, Skip, Skips, Split, in_order};
use crate::topic::tally::Tally;
use crate::types::account::Account;
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use crate::types::ticket::Ticket;
use bytes::{Bytes, BytesMut};
use shardcast_protocol::events::{self, Form, Framing};
use std::collections::VecDeque;
use std::ops::Range;

/// Frames collected in a tick. One frame is shared as it is; several are copied together, once for
/// all members.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    first: Option<Frame>,
    /// All frames, once there are several.
    plain: BytesMut,
    /// The same with those frames compressed that have a compressed one, once one has.
    deflated: Option<BytesMut>,
    frames: u32,
    skips: Skips,
    split: Option<Box<Split>>,
    sieve: Option<Box<Sieve>>,
    /// The place in the topic's log of the first frame that has one; 0: none has.
    first_ordinal: u64,
}

/// Where a set of recipients is between two batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing is on its way to it.
    #[default]
    Free,
    /// A batch is: what else comes for it waits.
    UnderWay,
    /// Everybody was sent that, and something has waited for it.
    Next,
}

/// Whom a batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Recipients {
    /// A topic's members of one encoding, by the index of these subscribers.
    Topic(u32),
    /// All connections of an encoding.
    Everyone(EncodingId),
}

impl Batch {
    /// Bytes after which a batch is closed, so that one tick's burst stays within a socket's
    /// buffer.
    pub(crate) const BYTES_MAX: usize = 256 << 10;

    pub(crate) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes().0 >= Self::BYTES_MAX
    }

    /// Length of both layouts.
    fn bytes(&self) -> (usize, usize) {
        match &self.first {
            Some(first) => {
                let plain = first.bytes().len();
                (plain, first.deflated().map_or(plain, <[u8]>::len))
            }
            None => {
                let plain = self.plain.len();
                (plain, self.deflated.as_ref().map_or(plain, BytesMut::len))
            }
        }
    }

    /// The next frame has this place in the topic's log; 0: it has none.
    pub(crate) fn reach(&mut self, ordinal: u64) {
        if self.first_ordinal == 0 {
            self.first_ordinal = ordinal;
        }
    }

    /// Appends one frame, which `except` is not to get.
    pub(crate) fn push(&mut self, frame: &Frame, except: Option<Ticket>) {
        let start = self.bytes();
        self.add(frame);
        self.frames += 1;
        self.skip(except, start);
    }

    /// Appends one publication as a whole, for those members, and as a delta, for the others;
    /// `except` gets neither. Once in a batch.
    pub(crate) fn push_split(
        &mut self,
        whole: &Frame,
        delta: &Frame,
        baseless: BaselessMembers,
        except: Option<Ticket>,
    ) {
        debug_assert!(self.split.is_none());
        let start = self.bytes();
        self.add(whole);
        let middle = self.bytes();
        self.frames += 1;
        self.add(delta);
        let end = self.bytes();
        self.split = Some(Box::new(Split {
            baseless,
            whole: (start.0..middle.0, start.1..middle.1),
            delta: (middle.0..end.0, middle.1..end.1),
        }));
        self.skip(except, start);
    }

    /// Appends one frame for members with these filters, by their places; `except` is not to get
    /// it.
    pub(crate) fn push_sifted(
        &mut self,
        frame: &Frame,
        passes: Box<[bool]>,
        except: Option<Ticket>,
    ) {
        let start = self.bytes();
        self.push(frame, except);
        let end = self.bytes();
        let place = (start.0..end.0, start.1..end.1);
        self.sieve.get_or_insert_default().push(passes, place);
    }

    /// Whether it has a publication that is not the same for all members.
    pub(crate) fn is_split(&self) -> bool {
        self.split.is_some()
    }

    fn skip(&mut self, except: Option<Ticket>, start: (usize, usize)) {
        if let Some(who) = except {
            let end = self.bytes();
            self.skips.push(Skip {
                who,
                plain: start.0..end.0,
                deflated: start.1..end.1,
            });
        }
    }

    fn add(&mut self, frame: &Frame) {
        if self.frames == 0 {
            self.first = Some(frame.clone());
            return;
        }
        if let Some(first) = self.first.take() {
            let bytes = first.bytes().len() + frame.bytes().len();
            self.plain.reserve(2 * bytes);
            self.append(&first);
        }
        self.append(frame);
    }

    fn append(&mut self, frame: &Frame) {
        let deflated = frame.deflated();
        if deflated.is_some() && self.deflated.is_none() {
            self.deflated = Some(BytesMut::from(&self.plain[..]));
        }
        if let Some(all) = &mut self.deflated {
            all.extend_from_slice(deflated.unwrap_or(frame.bytes()));
        }
        self.plain.extend_from_slice(frame.bytes());
    }

    /// Ends the batch: from here it only goes out.
    pub(crate) fn close(
        self,
        recipients: Recipients,
        members: MemberList,
        reported: Option<&Parcel>,
    ) -> FanOut {
        let (plain, deflated) = match self.first {
            Some(first) => first.into_layouts(),
            None => (self.plain.freeze(), self.deflated.map(BytesMut::freeze)),
        };
        let is_even = self.split.is_none() && self.sieve.is_none();
        let left_out = match is_even && deflated.is_none() {
            true => self.skips.left_out(),
            false => LeftOut::Several,
        };
        FanOut {
            left_out,
            is_even,
            recipients,
            plain,
            is_tracked: false,
            deflated,
            frames: self.frames,
            skips: self.skips,
            split: self.split,
            sieve: self.sieve,
            events: Vec::new(),
            members,
            report: reported.and_then(|parcel| Some((parcel.report?, parcel.parcels))),
            tally: Tally::default(),
            first_ordinal: self.first_ordinal,
            slow_reader: SlowReader::Disconnect,
        }
    }
}

/// A closed batch on its way to the members that the room had when it was closed.
#[derive(Debug)]
pub(crate) struct FanOut {
    pub(crate) recipients: Recipients,
    pub(crate) plain: Bytes,
    /// The plain layout stands on an account.
    pub(crate) is_tracked: bool,
    /// With compressed frames among them; `None`: there is none.
    pub(crate) deflated: Option<Bytes>,
    /// That a member is sent, but for those that it is left out of.
    pub(crate) frames: u32,
    /// Who does not get all of it, in its plain layout.
    left_out: LeftOut,
    /// Whether all of it is for all members but for those who are left out of some of it.
    is_even: bool,
    skips: Skips,
    split: Option<Box<Split>>,
    pub(crate) sieve: Option<Box<Sieve>>,
    /// As events, for each kind of stream once one was served: few rooms have any.
    events: Vec<(StreamKind, Bytes)>,
    pub(crate) members: MemberList,
    report: Option<(QueryKey, u16)>,
    pub(crate) tally: Tally,
    first_ordinal: u64,
    /// What becomes of members that are too slow.
    pub(crate) slow_reader: SlowReader,
}

impl FanOut {
    /// The ordinal from which on a member that is too slow for this batch reads the log, and how.
    /// `None`: it is queued for that member.
    #[inline]
    pub(crate) fn cursor(&self) -> Option<(u64, ReadMode)> {
        let reading = ReadMode::of(self.slow_reader)?;
        (self.first_ordinal > 0).then_some((self.first_ordinal, reading))
    }

    /// Whether a member gets all of it, in the only layout.
    #[inline]
    pub(crate) fn is_all_for(&self, who: Ticket) -> bool {
        match self.left_out {
            LeftOut::Nobody => true,
            LeftOut::One(one) => one != who,
            LeftOut::Several => false,
        }
    }

    /// Which spans of a layout a member gets that may be left something out.
    pub(crate) fn spans(&self, who: Ticket, layout: Layout, give: impl FnMut(usize, usize)) {
        if !self.is_even {
            return self.uneven_spans(who, layout, give);
        }
        let skips = self.skips.of(who);
        self.spans_between(layout, skips.map(|skip| skip.in_layout(layout)), give);
    }

    /// The same where frames stand in it that only some members are sent.
    #[cold]
    fn uneven_spans(&self, who: Ticket, layout: Layout, give: impl FnMut(usize, usize)) {
        let skips = self.skips.of(who).map(|skip| skip.in_layout(layout));
        match (&self.split, &self.sieve) {
            (Some(split), _) => {
                let split = std::iter::once(split.skipped(who, layout));
                self.spans_between(layout, in_order(skips, split), give);
            }
            (None, Some(sieve)) => {
                let sifted = sieve.skipped(who, layout);
                self.spans_between(layout, in_order(skips, sifted), give);
            }
            (None, None) => self.spans_between(layout, skips, give),
        }
    }

    /// What stands between ranges that are in order, of which one may hold another.
    fn spans_between<'r>(
        &self,
        layout: Layout,
        skipped: impl Iterator<Item = &'r Range<usize>>,
        mut give: impl FnMut(usize, usize),
    ) {
        let mut start = 0;
        for skipped in skipped {
            if start < skipped.start {
                give(start, skipped.start);
            }
            start = start.max(skipped.end);
        }
        let end = self.bytes_of(layout);
        if start < end {
            give(start, end);
        }
    }

    fn bytes_of(&self, layout: Layout) -> usize {
        match (layout, &self.deflated) {
            (Layout::Deflated, Some(deflated)) => deflated.len(),
            (Layout::Plain | Layout::Deflated, _) => self.plain.len(),
        }
    }

    /// What a member that is an event stream gets: the same bytes for all of a form and a framing,
    /// made for the first, but for who is left a frame out. They stand on the account.
    pub(crate) fn events(&mut self, who: Ticket, kind: StreamKind, held: &Account) -> Bytes {
        if self.skipped(who) == 0 && self.split.is_none() {
            let made = self.events.iter().find(|(other, _)| *other == kind);
            if let Some((_, events)) = made {
                return events.clone();
            }
            let events = held.track(events_of(&self.plain, kind));
            self.events.push((kind, events.clone()));
            return events;
        }
        let mut frames = Vec::new();
        self.spans(who, Layout::Plain, |start, end| {
            frames.extend_from_slice(&self.plain[start..end]);
        });
        held.track(events_of(&frames, kind))
    }

    /// From here on the plain layout stands on the account, for as long as anybody has it.
    pub(crate) fn track(&mut self, held: &Account) {
        if !self.is_tracked {
            self.plain = held.track(std::mem::take(&mut self.plain));
            self.is_tracked = true;
        }
    }

    /// Frames that a member is not sent.
    pub(crate) fn skipped(&self, who: Ticket) -> u32 {
        let skips = self.skips.of(who);
        match &self.sieve {
            None => skips.count() as u32,
            Some(sieve) => {
                // Its own publications may not pass its filter, either.
                let own = skips.map(|skip| &skip.plain);
                let mut skipped: Vec<_> =
                    in_order(own, sieve.skipped(who, Layout::Plain)).collect();
                skipped.dedup();
                skipped.len() as u32
            }
        }
    }

    /// Every member was served.
    pub(crate) fn is_done(&self) -> bool {
        self.members.is_over()
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.report.is_some()
    }

    /// The place in its topic's log of what it brings; 0: it has none.
    pub(crate) fn ordinal(&self) -> u64 {
        self.first_ordinal
    }

    /// Who is not sent some of it.
    pub(crate) fn left_out(&self) -> Option<Ticket> {
        self.skips.first.as_ref().map(|skip| skip.who)
    }

    /// This shard's part of the report, once everyone was served.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.report.map(|(key, parcels)| Outcome {
            key,
            parcels,
            part: Part::Report(self.tally.into()),
        })
    }
}

/// The batches of a shard that are on their way: at most one to a set of recipients, so that they
/// may go out in any order. Each is served a chunk, and goes behind the others of its kind.
#[derive(Debug, Default)]
pub(crate) struct FanOuts {
    /// They share turns of the driver.
    together: VecDeque<FanOut>,
    /// Each has turns of its own.
    reported: VecDeque<FanOut>,
    /// What the last chunk was of.
    last: Chunk,
}

/// What a chunk is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// Fan-outs that share turns of the driver.
    Together,
    /// Fan-outs whose counts are asked for.
    #[default]
    Reported,
}

impl FanOuts {
    pub(crate) fn is_empty(&self) -> bool {
        self.together.is_empty() && self.reported.is_empty()
    }

    pub(crate) fn push(&mut self, fan_out: FanOut) {
        match fan_out.is_reported() {
            true => self.reported.push_back(fan_out),
            false => self.together.push_back(fan_out),
        }
    }

    /// What the next chunk is of: both take turns.
    pub(crate) fn next_chunk(&mut self) -> Option<Chunk> {
        self.last = match (
            self.together.is_empty(),
            self.reported.is_empty(),
            self.last,
        ) {
            (true, true, _) => return None,
            (false, true, _) | (false, false, Chunk::Reported) => Chunk::Together,
            (true, false, _) | (false, false, Chunk::Together) => Chunk::Reported,
        };
        Some(self.last)
    }

    pub(crate) fn pop(&mut self, chunk: Chunk) -> Option<FanOut> {
        match chunk {
            Chunk::Together => self.together.pop_front(),
            Chunk::Reported => self.reported.pop_front(),
        }
    }

    /// Those who are still to be served.
    pub(crate) fn member_lists_mut(&mut self) -> impl Iterator<Item = &mut MemberList> {
        let all = self.together.iter_mut().chain(&mut self.reported);
        all.map(|fan_out| &mut fan_out.members)
    }

    /// Keeps no more than what is on its way.
    pub(crate) fn release_memory(&mut self) {
        self.together.shrink_to_fit();
        self.reported.shrink_to_fit();
    }
}

/// Streams that are sent the same bytes.
pub(crate) type StreamKind = (Form, Framing);

fn events_of(frames: &[u8], (form, framing): StreamKind) -> Bytes {
    let mut out = Vec::new();
    events::write_frames(&mut out, frames, form, framing);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::member_list::MemberLists;
    use shardcast_protocol::frame::{Kind, OpCode};

    fn ticket(slot: u32) -> Ticket {
        Ticket {
            slot,
            generation: 1,
        }
    }

    #[test]
    fn who_is_left_out_of_nothing_is_told_at_once() {
        let closed = |batch: Batch| {
            let members = MemberLists::default().gather([1, 2, 3].map(ticket));
            batch.close(Recipients::Topic(0), members, None)
        };
        let all_for = |excepted: &[Option<u32>]| {
            let mut batch = Batch::default();
            for except in excepted {
                batch.push(&frame("a"), except.map(ticket));
            }
            let fan_out = closed(batch);
            [1, 2, 3].map(|who| fan_out.is_all_for(ticket(who)))
        };
        assert_eq!(all_for(&[None, None]), [true; 3]);
        assert_eq!(all_for(&[None, Some(2)]), [true, false, true]);
        assert_eq!(all_for(&[Some(2), None, Some(2)]), [true, false, true]);
        // Each takes a closer look.
        assert_eq!(all_for(&[Some(2), Some(3)]), [false; 3]);
    }

    fn received(fan_out: &FanOut, who: Ticket, layout: Layout) -> Vec<u8> {
        let laid_out = match layout {
            Layout::Plain => &fan_out.plain,
            Layout::Deflated => fan_out.deflated.as_ref().unwrap(),
        };
        let mut bytes = Vec::new();
        fan_out.spans(who, layout, |start, end| {
            bytes.extend_from_slice(&laid_out[start..end])
        });
        bytes
    }

    fn frame(payload: &str) -> Frame {
        Frame::new(Kind::Text, payload.as_bytes())
    }

    /// As it stands in a batch.
    fn plain(payload: &str) -> Vec<u8> {
        frame(payload).bytes().to_vec()
    }

    #[test]
    fn one_frame_is_shared_not_copied() {
        let frame = frame("frame");
        for frame in [frame.clone(), frame.with_deflated(OpCode::Text, b"f")] {
            let mut batch = Batch::default();
            batch.push(&frame, None);
            let members = MemberLists::default().gather([ticket(1)]);
            let fan_out = batch.close(Recipients::Topic(0), members, None);
            assert_eq!(fan_out.plain, frame.bytes());
            assert_eq!(fan_out.plain.as_ptr(), frame.bytes().as_ptr());
            assert_eq!(fan_out.deflated.as_deref(), frame.deflated());
            let deflated = fan_out.deflated.map(|deflated| deflated.as_ptr());
            assert_eq!(deflated, frame.deflated().map(<[u8]>::as_ptr));
        }
    }

    #[test]
    fn everyone_gets_all_frames_but_its_own() {
        let mut batch = Batch::default();
        for (payload, except) in [
            ("a", Some(1)),
            ("bb", None),
            ("ccc", Some(2)),
            ("dddd", Some(1)),
        ] {
            batch.push(&frame(payload), except.map(ticket));
        }
        let mut member_lists = MemberLists::default();
        let members = member_lists.gather([1, 2, 3].map(ticket));
        let mut fan_out = batch.close(Recipients::Topic(0), members, None);
        assert_eq!(fan_out.frames, 4);
        assert!(fan_out.deflated.is_none());
        for (who, payloads) in [
            (1, &["bb", "ccc"][..]),
            (2, &["a", "bb", "dddd"]),
            (3, &["a", "bb", "ccc", "dddd"]),
        ] {
            let expected: Vec<u8> = payloads.iter().copied().flat_map(plain).collect();
            assert_eq!(received(&fan_out, ticket(who), Layout::Plain), expected);
        }
        let served = std::iter::from_fn(|| fan_out.members.next(&member_lists));
        assert_eq!(served.collect::<Vec<_>>(), [1, 2, 3].map(ticket));
        assert!(fan_out.is_done());
    }

    /// Who has nothing to build on is sent all of the publication, and the others the delta; its
    /// publisher neither. Whatever of it is compressed.
    #[test]
    fn one_publication_stands_in_it_twice() {
        let deflated = |payload: &str, short: &[u8]| {
            let short = frame(payload).with_deflated(OpCode::Text, short);
            (payload.to_owned(), short)
        };
        let kept = |payload: &str| (payload.to_owned(), frame(payload));
        for (before, whole, delta, behind) in [
            (None, kept("whole"), kept("delta"), kept("next")),
            (Some("first"), kept("whole"), kept("delta"), kept("next")),
            (None, deflated("whole", b"w"), kept("delta"), kept("next")),
            (
                Some("first"),
                kept("whole"),
                deflated("delta", b"d"),
                kept("next"),
            ),
            (
                None,
                deflated("whole", b"w"),
                deflated("delta", b"d"),
                kept("next"),
            ),
            (None, kept("whole"), kept("delta"), deflated("next", b"n")),
        ] {
            let mut batch = Batch::default();
            if let Some(before) = before {
                batch.push(&frame(before), Some(ticket(2)));
            }
            assert!(!batch.is_split());
            let baseless = [1, 3].map(ticket).into_iter().collect();
            batch.push_split(&whole.1, &delta.1, baseless, Some(ticket(3)));
            assert!(batch.is_split());
            batch.push(&behind.1, None);
            let members = MemberLists::default().gather([1, 2, 3, 4].map(ticket));
            let fan_out = batch.close(Recipients::Topic(0), members, None);
            assert!(!fan_out.is_all_for(ticket(1)));
            assert_eq!(fan_out.frames, 2 + u32::from(before.is_some()));
            let before = before.map(|before| (before.to_owned(), frame(before)));
            for (who, next) in [
                (1, Some(&whole)),
                (2, Some(&delta)),
                (3, None),
                (4, Some(&delta)),
            ] {
                let before = before.as_ref().filter(|_| who != 2);
                let expected = [before, next, Some(&behind)];
                let skipped = usize::try_from(fan_out.skipped(ticket(who))).unwrap();
                let missing = expected.iter().filter(|frame| frame.is_none()).count();
                assert!(skipped <= missing && fan_out.frames as usize - skipped <= 3);
                let frames = || expected.into_iter().flatten();
                let plain: Vec<u8> = frames().flat_map(|(text, _)| plain(text)).collect();
                assert_eq!(received(&fan_out, ticket(who), Layout::Plain), plain);
                if fan_out.deflated.is_some() {
                    let short = frames()
                        .flat_map(|(_, frame)| frame.deflated().unwrap_or(frame.bytes()).to_vec());
                    let short: Vec<u8> = short.collect();
                    assert_eq!(received(&fan_out, ticket(who), Layout::Deflated), short);
                }
            }
        }
    }

    #[test]
    fn both_have_their_turns() {
        let mut fan_outs = FanOuts::default();
        let parcel = Parcel {
            ordinal: 0,
            topic: None,
            encoding: EncodingId::FIRST,
            frame: frame("a"),
            except: None,
            report: Some(QueryKey::of_nobody()),
            parcels: 1,
        };
        for (topic, reported) in [(1, true), (2, false), (3, false), (4, true), (5, false)] {
            let mut batch = Batch::default();
            batch.push(&parcel.frame, None);
            let members = MemberLists::default().gather([]);
            let parcel = reported.then_some(&parcel);
            fan_outs.push(batch.close(Recipients::Topic(topic), members, parcel));
        }
        let mut order = Vec::new();
        while let Some(chunk) = fan_outs.next_chunk() {
            let fan_out = fan_outs.pop(chunk).unwrap();
            assert_eq!(fan_out.is_reported(), chunk == Chunk::Reported);
            order.push(fan_out.recipients);
            if order.len() == 1 {
                // It is large: the others are served before it goes on.
                fan_outs.push(fan_out);
            }
        }
        assert_eq!(order, [2, 1, 3, 4, 5, 2].map(Recipients::Topic));
        assert!(fan_outs.is_empty());
    }

    /// Both layouts have one order, whichever of the frames were compressed.
    #[test]
    fn skips_fit_both_layouts() {
        let payloads = ["a", "bb", "ccc"];
        for compressed in 0..8_usize {
            let is_compressed = |index: usize| compressed & (1 << index) != 0;
            let deflated = |index: usize| {
                let plain = frame(payloads[index]);
                if !is_compressed(index) {
                    return (plain.bytes().to_vec(), plain);
                }
                let frame = plain.with_deflated(OpCode::Text, &[b'0' + index as u8]);
                (frame.deflated().unwrap().to_vec(), frame)
            };
            let mut batch = Batch::default();
            for index in 0..3 {
                batch.push(&deflated(index).1, Some(ticket(index as u32)));
            }
            let fan_out = batch.close(
                Recipients::Topic(0),
                MemberLists::default().gather([]),
                None,
            );
            assert_eq!(fan_out.deflated.is_some(), compressed != 0);
            for who in 0..4 {
                let others = (0..3).filter(|index| *index != who);
                let all: Vec<u8> = others.clone().flat_map(|n| plain(payloads[n])).collect();
                let who = ticket(who as u32);
                assert_eq!(received(&fan_out, who, Layout::Plain), all);
                if compressed != 0 {
                    let all: Vec<u8> = others.flat_map(|index| deflated(index).0).collect();
                    assert_eq!(
                        received(&fan_out, who, Layout::Deflated),
                        all,
                        "{compressed}"
                    );
                }
            }
        }
    }
}
