//! Who reads what a log has kept for its topic's absent members, and how far each has come.
//!
//! Invariant: what waited while nobody was there is given once, to whichever reader comes first;
//! what was published while they read is given to each of them. Kept by the log.

use crate::types::ticket::Address;

/// The readers of one log.
#[derive(Debug, Default)]
pub(crate) struct Takers {
    /// With the offset up to which each has everything.
    readers: Vec<(Address, u64)>,
    /// The first that was published while somebody read.
    live_from: Option<u64>,
}

impl Takers {
    pub(crate) fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// One more reads, behind this offset.
    pub(crate) fn begin(&mut self, who: Address, offset: u64) {
        self.readers.push((who, offset));
    }

    /// A reader has everything up to this offset.
    pub(crate) fn have(&mut self, who: Address, offset: u64) {
        let reader = self.readers.iter_mut().find(|(other, _)| *other == who);
        if let Some((_, up_to)) = reader {
            *up_to = offset.max(*up_to);
        }
    }

    /// Only these read on.
    pub(crate) fn retain(&mut self, reads_on: impl Fn(Address) -> bool) {
        self.readers.retain(|(who, _)| reads_on(*who));
        if self.readers.is_empty() {
            *self = Takers::default();
        }
    }

    /// This is published now.
    pub(crate) fn publish(&mut self, offset: u64) {
        if !self.readers.is_empty() {
            self.live_from.get_or_insert(offset);
        }
    }

    /// From where on each reader is to be given everything, if it is before this offset.
    pub(crate) fn each_from(&self, untaken: u64) -> u64 {
        self.live_from.map_or(untaken, |from| from.min(untaken))
    }

    /// Whether some reader is still to be given this, though another one has it.
    pub(crate) fn await_it(&self, offset: u64) -> bool {
        self.live_from.is_some_and(|from| from <= offset)
            && self.readers.iter().any(|(_, up_to)| *up_to < offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ticket::Ticket;

    fn who(slot: u32) -> Address {
        let generation = 1;
        let ticket = Ticket { slot, generation };
        Address { shard: 0, ticket }
    }

    #[test]
    fn what_waited_is_given_once_and_what_comes_meanwhile_to_each() {
        let mut takers = Takers::default();
        takers.publish(1);
        takers.begin(who(1), 0);
        takers.begin(who(2), 0);
        takers.publish(2);
        takers.publish(3);
        assert!(!takers.await_it(1), "it waited");
        takers.have(who(1), 3);
        assert!(takers.await_it(2) && takers.await_it(3));
        takers.have(who(2), 2);
        assert!(!takers.await_it(2) && takers.await_it(3));
        takers.retain(|other| other != who(2));
        assert!(!takers.await_it(3) && !takers.is_empty());
        takers.retain(|other| other != who(1));
        assert!(takers.is_empty());
        // Nobody reads: what comes now waits.
        takers.publish(4);
        takers.begin(who(3), 3);
        assert!(!takers.await_it(4));
    }
}
