//! Files of closed connections that one ring still holds, where the kernel releases removed direct
//! descriptors in the order of requests.
//!
//! Up to Linux 6.12 every request on a direct descriptor keeps alive what is removed from the
//! ring's table after it began. A multishot receive begins when its connection opens, so the socket
//! of each younger connection outlives its close until the older receive ends. A **sweep** ends
//! every such request and begins it anew. Pure bookkeeping; owned by a ring, driven by `closing`.
//! Where the kernel releases at once, nothing here is ever touched.

use super::userdata::UserData;
use crate::driver::boundary::Millis;
use crate::types::ticket::Ticket;
use std::collections::VecDeque;

/// Files of a ring that are closed and may be unreleased. Beyond it a closed connection keeps its
/// slot until a sweep has ended.
const UNRELEASED_MAX: u32 = 1_024;
/// A sweep begins at this many …
const SWEEP_AT: u32 = UNRELEASED_MAX / 2;
/// … or when the first of them was closed so long ago, in milliseconds: what a slow reader left in
/// its socket's buffer is kept alive, too.
const SWEEP_AFTER_MS: Millis = 10_000;
/// Requests of a ring that a sweep has under way.
const ENDING_MAX: usize = 64;
/// Entries of the table that a sweep looks at in one turn.
const LOOKS_MAX: u32 = 16_384;

const _: () = assert!(SWEEP_AT < UNRELEASED_MAX);

/// One ring's account.
#[derive(Debug, Default)]
pub(super) struct Release {
    /// Closed, and perhaps unreleased.
    files: u32,
    /// When the first of those was closed that no sweep is about to release.
    since: Millis,
    sweep: Option<Sweep>,
    /// Ready to be closed, beyond `UNRELEASED_MAX`. At most as many as the table has entries.
    waiting: VecDeque<Ticket>,
}

/// All requests that were under way when it began end in its course.
#[derive(Debug)]
struct Sweep {
    /// Closed before it began: released when it has ended.
    files: u32,
    /// The entry to look at next.
    next: u32,
    /// Requests that it waits for. Few, so a search costs little.
    ending: Vec<UserData>,
}

impl Release {
    /// A close was asked for: true if it may be submitted, false if it waits for
    /// [`Release::next_close`].
    pub(super) fn may_close(&mut self, ticket: Ticket, now: Millis) -> bool {
        if self.files >= UNRELEASED_MAX {
            self.waiting.push_back(ticket);
            return false;
        }
        if self.files == self.sweep.as_ref().map_or(0, |sweep| sweep.files) {
            self.since = now;
        }
        self.files += 1;
        true
    }

    /// A close that has waited and may be submitted.
    pub(super) fn next_close(&mut self, now: Millis) -> Option<Ticket> {
        if self.files >= UNRELEASED_MAX {
            return None;
        }
        let ticket = self.waiting.pop_front()?;
        self.may_close(ticket, now).then_some(ticket)
    }

    /// Once a turn: begins and ends sweeps. The entries of the table to look at in this turn;
    /// `entries` exist.
    pub(super) fn turn(&mut self, now: Millis, entries: u32) -> std::ops::Range<u32> {
        if let Some(sweep) = &self.sweep
            && sweep.next >= entries
            && sweep.ending.is_empty()
        {
            self.files -= sweep.files;
            self.sweep = None;
        }
        let unswept = self.files;
        if self.sweep.is_none()
            && (unswept >= SWEEP_AT || unswept > 0 && now >= self.since + SWEEP_AFTER_MS)
        {
            self.sweep = Some(Sweep {
                files: unswept,
                next: 0,
                ending: Vec::with_capacity(ENDING_MAX + 1),
            });
        }
        let next = self.sweep.as_ref().map_or(entries, |sweep| sweep.next);
        next..entries.min(next.saturating_add(LOOKS_MAX))
    }

    /// The sweep looks at an entry: false if it has enough under way, and will look in another
    /// turn.
    pub(super) fn look(&mut self, entry: u32) -> bool {
        let sweep = self.sweep.as_mut().expect("only a sweep looks");
        if sweep.ending.len() >= ENDING_MAX {
            return false;
        }
        sweep.next = entry + 1;
        true
    }

    /// The sweep waits for a request that is under way.
    pub(super) fn await_end(&mut self, request: UserData) {
        let sweep = self.sweep.as_mut().expect("only a sweep waits");
        sweep.ending.push(request);
    }

    /// A request ended.
    #[inline]
    pub(super) fn ended(&mut self, request: UserData) {
        if let Some(sweep) = &mut self.sweep
            && let Some(index) = sweep.ending.iter().position(|one| *one == request)
        {
            sweep.ending.swap_remove(index);
        }
    }

    /// When to come again although nothing completes; `None`: no need.
    pub(super) fn due(&self, now: Millis) -> Option<Millis> {
        match &self.sweep {
            // Some completion ends the wait.
            Some(sweep) if !sweep.ending.is_empty() => None,
            Some(_) => Some(now),
            None => (self.files > 0).then_some(self.since + SWEEP_AFTER_MS),
        }
    }
}

#[cfg(test)]
impl Release {
    /// A sweep begins in the next turn, if none is under way.
    pub(super) fn sweep_soon(&mut self) {
        self.files = self.files.max(SWEEP_AT);
    }
}

#[cfg(test)]
mod tests {
    use super::super::userdata::Op;
    use super::*;

    const ENTRIES: u32 = 100;

    fn ticket(slot: u32) -> Ticket {
        let generation = 1;
        Ticket { slot, generation }
    }

    fn request(entry: u32) -> UserData {
        UserData::of(Op::Receive, ticket(entry))
    }

    /// One turn over a table with something under way on every entry. What it waits for then.
    fn turn(release: &mut Release, now: Millis) -> usize {
        for entry in release.turn(now, ENTRIES) {
            if !release.look(entry) {
                break;
            }
            release.await_end(request(entry));
        }
        release.sweep.as_ref().map_or(0, |sweep| sweep.ending.len())
    }

    #[test]
    fn a_sweep_ends_all_a_few_at_a_time_and_then_the_files_are_released() {
        let mut release = Release::default();
        for slot in 1..SWEEP_AT {
            assert!(release.may_close(ticket(slot), 0));
        }
        assert_eq!(
            (turn(&mut release, 1), release.due(1)),
            (0, Some(SWEEP_AFTER_MS))
        );
        assert!(release.may_close(ticket(0), 1));
        assert_eq!((turn(&mut release, 1), release.due(1)), (ENDING_MAX, None));
        assert_eq!(turn(&mut release, 1), ENDING_MAX, "no more at once");
        release.ended(request(99));
        assert_eq!(turn(&mut release, 1), ENDING_MAX, "not one of them");
        release.ended(request(7));
        assert_eq!(turn(&mut release, 1), ENDING_MAX, "another");
        (0..64).for_each(|entry| release.ended(request(entry)));
        assert_eq!(turn(&mut release, 1), 36);
        // Closed meanwhile: the next sweep's.
        assert!(release.may_close(ticket(5), 3));
        (64..100).for_each(|entry| release.ended(request(entry)));
        assert_eq!((release.due(4), release.files), (Some(4), SWEEP_AT + 1));
        assert_eq!((turn(&mut release, 4), release.files), (0, 1));
        assert_eq!(release.due(4), Some(3 + SWEEP_AFTER_MS));
        assert_eq!(turn(&mut release, 3 + SWEEP_AFTER_MS), ENDING_MAX);
    }

    #[test]
    fn what_is_closed_beyond_the_bound_waits_for_a_sweep() {
        let mut release = Release::default();
        for slot in 0..UNRELEASED_MAX {
            assert!(release.may_close(ticket(slot), 0));
        }
        for slot in [3, 4] {
            assert!(!release.may_close(ticket(slot), 0));
        }
        assert_eq!(release.next_close(0), None);
        assert_eq!(release.turn(1, 0), 0..0);
        assert_eq!(release.next_close(1), None, "the sweep has only begun");
        assert_eq!(release.turn(2, 0), 0..0);
        assert_eq!(release.next_close(2), Some(ticket(3)));
        assert_eq!(release.next_close(2), Some(ticket(4)));
        assert_eq!((release.next_close(2), release.files), (None, 2));
    }

    #[test]
    fn a_ring_that_closes_nothing_never_sweeps() {
        let mut release = Release::default();
        for now in [0, 10_000, 1 << 40] {
            assert_eq!((turn(&mut release, now), release.due(now)), (0, None));
        }
    }
}
