//! What the application says without its state, as a shard's core asks it: functions, so that the
//! core does not know the application's type. Made by the shard.

use crate::counters::ShardCounters;
use crate::egress::encoder::EncodeCalls;
use crate::topic::filter::sifter::Sifter;
use crate::types::close_reason::CloseWords;

/// How publications, and the ends of connections, are put into words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meaning {
    pub(crate) calls: EncodeCalls,
    pub(crate) closing: CloseWords,
}

impl Meaning {
    /// Asks which filters a publication passes.
    pub(crate) fn sifter<'a>(&self, counters: &'a ShardCounters, shard: u16) -> Sifter<'a> {
        Sifter {
            sift: self.calls.sift,
            counters,
            shard,
        }
    }
}
