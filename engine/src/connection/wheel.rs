//! Coarse timers: at most one deadline per slot, intrusive lists in a wheel. Deadlines fire up to
//! one step late, never early.

use crate::connection::paged::Paged;
use crate::driver::boundary::Millis;

/// Resolution. Deadlines are seconds; a tenth is precise enough and keeps the wheel small.
const STEP_MS: Millis = 64;
/// 512 steps are 32.8 s; a later deadline goes round once more.
const BUCKETS: usize = 512;
const NONE: u32 = u32::MAX;
/// `prev` of a list's first entry is `HEAD + bucket`.
const HEAD: u32 = NONE - 1 - BUCKETS as u32;

/// The wheel. Memory: 12 bytes a slot and 2 KiB.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: [u32; BUCKETS],
    /// One bit per bucket that is not empty.
    occupied: [u64; BUCKETS / 64],
    entries: Paged<Entry>,
    /// The step up to which everything due has fired.
    step: u32,
    /// What [`Wheel::next_expiry`] found; `None`: what it would find may have changed since.
    found: Option<Option<Millis>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    next: u32,
    /// `NONE` when the slot has no deadline.
    prev: u32,
    due: u32,
}

impl Default for Entry {
    fn default() -> Self {
        Entry {
            next: NONE,
            prev: NONE,
            due: 0,
        }
    }
}

impl Wheel {
    pub(crate) fn new() -> Wheel {
        Wheel {
            heads: [NONE; BUCKETS],
            occupied: [0; BUCKETS / 64],
            entries: Paged::default(),
            step: 0,
            found: None,
        }
    }

    /// Sets the slot's deadline, replacing an earlier one.
    pub(crate) fn schedule(&mut self, slot: u32, at: Millis) {
        self.cancel(slot);
        let due = (at.div_ceil(STEP_MS) as u32).max(self.step + 1);
        let bucket = due as usize % BUCKETS;
        self.found = None;
        let next = self.heads[bucket];
        *self.entries.reach(slot) = Entry {
            next,
            prev: HEAD + bucket as u32,
            due,
        };
        if next != NONE {
            self.entries[next].prev = slot;
        }
        self.heads[bucket] = slot;
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
    }

    /// Brings the slot's deadline forward, if it is later.
    pub(crate) fn advance(&mut self, slot: u32, at: Millis) {
        let due = self
            .entries
            .get(slot)
            .filter(|entry| entry.prev != NONE)
            .map(|entry| entry.due);
        if due.is_some_and(|due| Millis::from(due) * STEP_MS > at) {
            self.schedule(slot, at);
        }
    }

    /// Removes the slot's deadline, if it has one.
    pub(crate) fn cancel(&mut self, slot: u32) {
        let Some(&Entry { next, prev, .. }) = self.entries.get(slot) else {
            return;
        };
        if prev == NONE {
            return;
        }
        self.entries[slot].prev = NONE;
        if next != NONE {
            self.entries[next].prev = prev;
        }
        if prev < HEAD {
            self.entries[prev].next = next;
            return;
        }
        let bucket = (prev - HEAD) as usize;
        self.heads[bucket] = next;
        if next == NONE {
            self.found = None;
            self.occupied[bucket / 64] &= !(1 << (bucket % 64));
        }
    }

    /// Whether [`Wheel::expire`] has a step to go.
    #[inline]
    pub(crate) fn has_step(&self, now: Millis) -> bool {
        (now / STEP_MS) as u32 > self.step
    }

    /// Moves every slot that is due by `now` to `fired`; they have no deadline any more.
    pub(crate) fn expire(&mut self, now: Millis, fired: &mut Vec<u32>) {
        let target = (now / STEP_MS) as u32;
        // After a long sleep one round visits every bucket.
        let first = self.step.max(target.saturating_sub(BUCKETS as u32));
        for step in first..target {
            let bucket = (step + 1) as usize % BUCKETS;
            let mut slot = self.heads[bucket];
            if slot != NONE {
                // A deadline of a later round stays in its bucket, which comes once more.
                self.found = None;
            }
            while slot != NONE {
                let entry = self.entries[slot];
                if entry.due <= target {
                    self.cancel(slot);
                    fired.push(slot);
                }
                slot = entry.next;
            }
        }
        self.step = self.step.max(target);
    }

    /// When to look again: no deadline is missed by more than a step. `None`: no deadlines.
    #[inline]
    pub(crate) fn next_expiry(&mut self) -> Option<Millis> {
        match self.found {
            Some(found) => found,
            None => *self.found.insert(self.find_next_expiry()),
        }
    }

    fn find_next_expiry(&self) -> Option<Millis> {
        const WORDS: usize = BUCKETS / 64;
        let start = (self.step + 1) as usize % BUCKETS;
        // Every word once, and the first a second time for the buckets before `start`.
        let ahead = (0..=WORDS).find_map(|turn| {
            let word = (start / 64 + turn) % WORDS;
            let after = match turn {
                0 => !0 << (start % 64),
                WORDS => !(!0 << (start % 64)),
                _ => !0,
            };
            let bits = self.occupied[word] & after;
            let bucket = word * 64 + bits.trailing_zeros() as usize;
            (bits != 0).then(|| (bucket + BUCKETS - start) % BUCKETS)
        })?;
        Some(Millis::from(self.step + 1 + ahead as u32) * STEP_MS)
    }

    /// None of the page's slots has a deadline.
    pub(crate) fn drop_page(&mut self, page: usize) {
        debug_assert!(
            self.entries
                .page(page)
                .iter()
                .all(|entry| entry.prev == NONE)
        );
        self.entries.drop_page(page);
    }

    pub(crate) fn is_scheduled(&self, slot: u32) -> bool {
        self.entries
            .get(slot)
            .is_some_and(|entry| entry.prev != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn slow_next_expiry(wheel: &Wheel) -> Option<Millis> {
        let occupied = |step: &u32| wheel.heads[*step as usize % BUCKETS] != NONE;
        let step = (wheel.step + 1..=wheel.step + BUCKETS as u32).find(occupied);
        step.map(|step| Millis::from(step) * STEP_MS)
    }

    #[test]
    fn agrees_with_a_sorted_map() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut wheel, mut oracle) = (Wheel::new(), BTreeMap::new());
        let mut now = 0;
        for _ in 0..20_000 {
            let slot = random.u32(0..200);
            match random.u8(0..11) {
                10 => {
                    let at = now + random.u64(0..100_000);
                    wheel.advance(slot, at);
                    // What differs by less than a step may stay as it is.
                    if let Some(due) = oracle.get_mut(&slot).filter(|due| **due > at + STEP_MS) {
                        *due = at;
                    }
                }
                0..=4 => {
                    let at = now + random.u64(0..100_000);
                    wheel.schedule(slot, at);
                    oracle.insert(slot, at);
                }
                5 => {
                    wheel.cancel(slot);
                    oracle.remove(&slot);
                }
                _ => {
                    now += if random.u8(0..50) == 0 {
                        random.u64(0..90_000)
                    } else {
                        random.u64(0..200)
                    };
                    let mut fired = Vec::new();
                    wheel.expire(now, &mut fired);
                    for slot in fired {
                        let at = oracle.remove(&slot).expect("fired without a deadline");
                        assert!(at <= now, "fired early");
                    }
                    let late = oracle
                        .values()
                        .filter(|at| **at + 2 * STEP_MS <= now)
                        .count();
                    assert_eq!(late, 0, "missed a deadline");
                    assert_eq!(wheel.next_expiry().is_some(), !oracle.is_empty());
                    assert_eq!(wheel.next_expiry(), slow_next_expiry(&wheel));
                    if let (Some(next), Some(first)) = (wheel.next_expiry(), oracle.values().min())
                    {
                        assert!(next <= first + 2 * STEP_MS, "would sleep past a deadline");
                    }
                }
            }
        }
    }
}
