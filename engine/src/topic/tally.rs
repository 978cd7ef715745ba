//! What became of a batch for the members that it goes to, counted while it is served.
//!
//! Invariant: each member counts once for each batch. Kept by fan-outs; becomes the shard's part of
//! a report where one was asked for.

use crate::topic::log::options::SlowReader;
use crate::types::answer::Report;

/// Members by what became of a batch for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) delivered: u32,
    pub(crate) queued: u32,
    pub(crate) dropped: u32,
    conflated: u32,
    catching_up: u32,
}

/// What became of a message for one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    Queued,
    Dropped,
}

impl Tally {
    pub(crate) fn count(&mut self, fate: Fate) {
        *match fate {
            Fate::Delivered => &mut self.delivered,
            Fate::Queued => &mut self.queued,
            Fate::Dropped => &mut self.dropped,
        } += 1;
    }

    /// So many members read the log instead, whose topic has this policy.
    pub(crate) fn count_behind(&mut self, policy: SlowReader, members: u32) {
        *match policy {
            SlowReader::Conflate => &mut self.conflated,
            SlowReader::Disconnect
            | SlowReader::DropOldest
            | SlowReader::DropNewest
            | SlowReader::CatchUp => &mut self.catching_up,
        } += members;
    }
}

impl From<Tally> for Report {
    fn from(tally: Tally) -> Report {
        Report {
            delivered: tally.delivered,
            queued: tally.queued,
            dropped: tally.dropped,
            conflated: tally.conflated,
            catching_up: tally.catching_up,
            ..Report::default()
        }
    }
}
