//! What of a batch some members are not sent: what they published, what does not pass their
//! filters, and of a publication that stands there as a whole and as a delta, one of both.
//!
//! Invariant: places are those of whole frames, in each layout by itself, and in order. Kept by
//! batches.

use crate::topic::delta::baseless::BaselessMembers;
use crate::topic::filter::filters::FilterPlaces;
use crate::types::ticket::Ticket;
use std::ops::Range;

/// A layout of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Plain,
    Deflated,
}

/// One member is not sent one frame of a batch: it published it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) who: Ticket,
    pub(crate) plain: Range<usize>,
    /// In the layout with compressed frames, if there is one.
    pub(crate) deflated: Range<usize>,
}

impl Skip {
    pub(crate) fn in_layout(&self, layout: Layout) -> &Range<usize> {
        match layout {
            Layout::Plain => &self.plain,
            Layout::Deflated => &self.deflated,
        }
    }
}

/// One publication of a batch stands in it twice, as a whole and as a delta: these members are sent
/// the one, and all others the other.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) baseless: BaselessMembers,
    /// In both layouts.
    pub(crate) whole: (Range<usize>, Range<usize>),
    pub(crate) delta: (Range<usize>, Range<usize>),
}

impl Split {
    /// What a member is not sent.
    pub(crate) fn skipped(&self, who: Ticket, layout: Layout) -> &Range<usize> {
        let (plain, deflated) = match self.baseless.contains(&who) {
            true => &self.delta,
            false => &self.whole,
        };
        match layout {
            Layout::Plain => plain,
            Layout::Deflated => deflated,
        }
    }
}

/// Frames of a batch that only members are sent whose filters they pass.
#[derive(Debug, Default)]
pub(crate) struct Sieve {
    frames: Vec<SiftedFrame>,
    /// Known when the batch goes out.
    pub(crate) places: FilterPlaces,
}

#[derive(Debug)]
struct SiftedFrame {
    /// By the place of a filter.
    passes: Box<[bool]>,
    /// In both layouts.
    frame: (Range<usize>, Range<usize>),
}

impl Sieve {
    /// The next frame, at its place in both layouts.
    pub(crate) fn push(&mut self, passes: Box<[bool]>, frame: (Range<usize>, Range<usize>)) {
        self.frames.push(SiftedFrame { passes, frame });
    }

    /// What a member is not sent.
    pub(crate) fn skipped(
        &self,
        who: Ticket,
        layout: Layout,
    ) -> impl Iterator<Item = &Range<usize>> {
        let place = self.places.get(&who).map(|place| usize::from(*place));
        let frames = self.frames.iter().filter(move |frame| {
            let passes = place.and_then(|place| frame.passes.get(place));
            passes != Some(&true)
        });
        frames.map(move |frame| match layout {
            Layout::Plain => &frame.frame.0,
            Layout::Deflated => &frame.frame.1,
        })
    }
}

/// Two runs of ranges, each in order, as one in the order in which they begin.
pub(crate) fn in_order<'r>(
    one: impl Iterator<Item = &'r Range<usize>>,
    other: impl Iterator<Item = &'r Range<usize>>,
) -> impl Iterator<Item = &'r Range<usize>> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(a), Some(b)) if b.start < a.start => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

/// A batch's skips, in order. The first costs no allocation: most batches are one frame, and its
/// publisher does not get it.
#[derive(Debug, Default)]
pub(crate) struct Skips {
    pub(crate) first: Option<Skip>,
    others: Vec<Skip>,
}

/// Who is left out of some frame of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    Nobody,
    One(Ticket),
    /// Or it takes a closer look.
    Several,
}

impl Skips {
    pub(crate) fn left_out(&self) -> LeftOut {
        let Some(first) = &self.first else {
            return LeftOut::Nobody;
        };
        match self.others.iter().all(|other| other.who == first.who) {
            true => LeftOut::One(first.who),
            false => LeftOut::Several,
        }
    }

    pub(crate) fn push(&mut self, skip: Skip) {
        match self.first {
            None => self.first = Some(skip),
            Some(_) => self.others.push(skip),
        }
    }

    pub(crate) fn of(&self, who: Ticket) -> impl Iterator<Item = &Skip> {
        let all = self.first.iter().chain(&self.others);
        all.filter(move |skip| skip.who == who)
    }
}
