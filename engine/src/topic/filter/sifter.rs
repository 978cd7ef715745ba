//! Which filters a publication passes, as the application says: each is asked once, however many
//! members share it.
//!
//! Used where publications are collected for members, and where a log is read for one.

use crate::confine::{confine, count_panic};
use crate::counters::ShardCounters;
use crate::topic::key::Topic;
use crate::topic::publication::Content;
use crate::types::filter::{Filter, Sift};

/// Asks the application.
pub(crate) struct Sifter<'a> {
    pub(crate) sift: Sift,
    pub(crate) counters: &'a ShardCounters,
    pub(crate) shard: u16,
}

/// Which of several filters a publication passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    All,
    None,
    /// By place.
    Some(Box<[bool]>),
}

impl Verdict {
    /// From how many members it keeps the publication, where so many have each filter.
    pub(crate) fn kept_from(&self, uses: &[u32]) -> u64 {
        let passes = |place: usize| match self {
            Verdict::All => true,
            Verdict::None => false,
            Verdict::Some(passes) => passes.get(place) == Some(&true),
        };
        let kept = uses.iter().enumerate().filter(|(place, _)| !passes(*place));
        kept.map(|(_, uses)| u64::from(*uses)).sum()
    }
}

impl Sifter<'_> {
    /// Which of these a publication passes. A frame that was ready passes all; a panic of the
    /// application means none.
    pub(crate) fn verdict(
        &self,
        content: &Content,
        topic: Option<Topic<'_>>,
        filters: &[Filter],
    ) -> Verdict {
        let Some(publication) = content.publication(topic) else {
            return Verdict::All;
        };
        let mut passes = vec![true; filters.len()].into_boxed_slice();
        if confine(|| (self.sift)(&publication, filters, &mut passes)).is_err() {
            count_panic(self.counters, self.shard, None);
            return Verdict::None;
        }
        match (passes.contains(&true), passes.contains(&false)) {
            (_, false) => Verdict::All,
            (false, true) => Verdict::None,
            (true, true) => Verdict::Some(passes),
        }
    }
}
