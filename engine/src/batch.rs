//! Frames for one audience, laid out once per tick: what every member is sent in one piece.

use crate::audience::{Audience, Audiences};
use crate::letter::{Outcome, Parcel};
use crate::report::ReportKey;
use crate::{Report, Ticket};
use bytes::{Bytes, BytesMut};

/// Frames collected in a tick. One frame is shared as it is; several are copied together, once for all members.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    first: Bytes,
    rest: BytesMut,
    frames: u32,
    skips: Skips,
}

/// One member is not sent one frame of a batch: it published it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) who: Ticket,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A batch's skips, in order. The first costs no allocation: most batches are one frame, and its publisher does not get it.
#[derive(Debug, Default)]
struct Skips {
    first: Option<Skip>,
    others: Vec<Skip>,
}

impl Skips {
    fn push(&mut self, skip: Skip) {
        match self.first {
            None => self.first = Some(skip),
            Some(_) => self.others.push(skip),
        }
    }

    fn of(&self, who: Ticket) -> impl Iterator<Item = &Skip> {
        let all = self.first.iter().chain(&self.others);
        all.filter(move |skip| skip.who == who)
    }
}

impl Batch {
    /// Bytes after which a batch is sealed, so that one tick's burst stays within a socket's buffer.
    pub(crate) const BYTES_MAX: usize = 256 << 10;

    pub(crate) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= Self::BYTES_MAX
    }

    fn bytes(&self) -> usize {
        if self.frames == 1 {
            self.first.len()
        } else {
            self.rest.len()
        }
    }

    /// Appends one frame, which `except` is not to get.
    pub(crate) fn push(&mut self, frame: &Bytes, except: Option<Ticket>) {
        let start = self.bytes();
        match self.frames {
            0 => self.first = frame.clone(),
            1 => {
                self.rest.reserve(2 * (self.first.len() + frame.len()));
                self.rest.extend_from_slice(&self.first);
                self.rest.extend_from_slice(frame);
            }
            _ => self.rest.extend_from_slice(frame),
        }
        self.frames += 1;
        if let Some(who) = except {
            self.skips.push(Skip {
                who,
                start,
                end: start + frame.len(),
            });
        }
    }

    /// Ends the batch: from here it only goes out.
    pub(crate) fn seal(&mut self, audience: Audience, reported: Option<&Parcel>) -> FanOut {
        let batch = std::mem::take(self);
        let bytes = if batch.frames == 1 {
            batch.first
        } else {
            batch.rest.freeze()
        };
        FanOut {
            bytes,
            frames: batch.frames,
            skips: batch.skips,
            audience,
            report: reported.and_then(|parcel| Some((parcel.report?, parcel.shards))),
            tally: Report::default(),
        }
    }
}

/// A sealed batch on its way to the members that the room had when it was sealed.
#[derive(Debug)]
pub(crate) struct FanOut {
    pub(crate) bytes: Bytes,
    pub(crate) frames: u32,
    skips: Skips,
    audience: Audience,
    report: Option<(ReportKey, u16)>,
    pub(crate) tally: Report,
}

impl FanOut {
    /// The next member.
    pub(crate) fn next_member(&mut self, audiences: &Audiences) -> Option<Ticket> {
        self.audience.next(audiences)
    }

    /// Which spans of the batch a member gets: nearly always the whole.
    pub(crate) fn spans(&self, who: Ticket, mut give: impl FnMut(usize, usize)) {
        let mut start = 0;
        for skip in self.skips.of(who) {
            if start < skip.start {
                give(start, skip.start);
            }
            start = skip.end;
        }
        if start < self.bytes.len() {
            give(start, self.bytes.len());
        }
    }

    /// Frames that a member is not sent.
    pub(crate) fn skipped(&self, who: Ticket) -> u32 {
        self.skips.of(who).count() as u32
    }

    /// Every member was served.
    pub(crate) fn is_done(&self) -> bool {
        self.audience.is_over()
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.report.is_some()
    }

    /// This shard's part of the report, once everyone was served.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.report.map(|(key, shards)| Outcome {
            key,
            shards,
            report: self.tally,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(slot: u32) -> Ticket {
        Ticket {
            slot,
            generation: 1,
        }
    }

    fn received(fan_out: &FanOut, who: Ticket) -> Vec<u8> {
        let mut bytes = Vec::new();
        fan_out.spans(who, |start, end| {
            bytes.extend_from_slice(&fan_out.bytes[start..end])
        });
        bytes
    }

    #[test]
    fn one_frame_is_shared_not_copied() {
        let frame = Bytes::from_static(b"frame");
        let mut batch = Batch::default();
        batch.push(&frame, None);
        let audience = Audiences::default().gather([ticket(1)]);
        let fan_out = batch.seal(audience, None);
        assert_eq!(fan_out.bytes.as_ptr(), frame.as_ptr());
        assert!(batch.is_empty());
    }

    #[test]
    fn everyone_gets_all_frames_but_its_own() {
        let mut batch = Batch::default();
        for (frame, except) in [
            ("a", Some(1)),
            ("bb", None),
            ("ccc", Some(2)),
            ("dddd", Some(1)),
        ] {
            batch.push(&Bytes::from(frame), except.map(ticket));
        }
        let mut audiences = Audiences::default();
        let audience = audiences.gather([1, 2, 3].map(ticket));
        let mut fan_out = batch.seal(audience, None);
        assert_eq!(fan_out.frames, 4);
        assert_eq!(received(&fan_out, ticket(1)), b"bbccc");
        assert_eq!(received(&fan_out, ticket(2)), b"abbdddd");
        assert_eq!(received(&fan_out, ticket(3)), b"abbcccdddd");
        let served = std::iter::from_fn(|| fan_out.next_member(&audiences));
        assert_eq!(served.collect::<Vec<_>>(), [1, 2, 3].map(ticket));
        assert!(fan_out.is_done());
    }
}
