//! Where the offsets of a log jump. Within the engine a publication is known by its **ordinal**,
//! which goes up by one with each; clients know its offset, which goes up by more where whoever
//! orders the topic ([`LogOrder::Sequencer`]) gives places of one sequence to several topics.
//!
//! Invariant: offsets rise with ordinals and are never behind them. Where none has jumped, both are
//! the same, and this takes the memory of one pointer. Kept by the log, and by those who are
//! acknowledged to by offset.
//!
//! [`LogOrder::Sequencer`]: crate::topic::log::options::LogOrder

use std::collections::VecDeque;

/// The jumps of one log, from some ordinal on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Jumps(Option<Box<JumpQueue>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct JumpQueue(VecDeque<Jump>);

/// From this ordinal on, offsets are ahead by so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jump {
    ordinal: u64,
    ahead: u64,
}

impl Jumps {
    /// What one jump takes of memory. A publication is at most one.
    pub(crate) const JUMP_BYTES: usize = size_of::<Jump>();

    /// The offset of the publication with this ordinal; of one before those that are known, its
    /// ordinal.
    #[inline]
    pub(crate) fn offset(&self, ordinal: u64) -> u64 {
        match &self.0 {
            None => ordinal,
            Some(queue) => {
                let jumps = &queue.0;
                let at = jumps.partition_point(|jump| jump.ordinal <= ordinal);
                ordinal + at.checked_sub(1).map_or(0, |at| jumps[at].ahead)
            }
        }
    }

    /// The ordinal of the last publication up to this offset. 0: it is before those that are known.
    #[inline]
    pub(crate) fn up_to(&self, offset: u64) -> u64 {
        match &self.0 {
            None => offset,
            Some(queue) => {
                let jumps = &queue.0;
                let at = jumps.partition_point(|jump| jump.ordinal + jump.ahead <= offset);
                let Some(before) = at.checked_sub(1) else {
                    return 0;
                };
                let ordinal = offset - jumps[before].ahead;
                let next = jumps.get(at).map(|next| next.ordinal - 1);
                next.map_or(ordinal, |last| ordinal.min(last))
            }
        }
    }

    /// The next publication has this ordinal and this offset.
    pub(crate) fn push(&mut self, ordinal: u64, offset: u64) {
        if self.offset(ordinal) == offset {
            return;
        }
        let ahead = offset.saturating_sub(ordinal);
        let queue = self.0.get_or_insert_with(|| {
            let none = Jump {
                ordinal: 0,
                ahead: 0,
            };
            Box::new(JumpQueue(VecDeque::from([none])))
        });
        queue.0.push_back(Jump { ordinal, ahead });
    }

    /// Forgets what only those before this ordinal need.
    #[inline]
    pub(crate) fn forget_before(&mut self, ordinal: u64) {
        if let Some(JumpQueue(jumps)) = self.0.as_deref_mut() {
            while jumps.get(1).is_some_and(|next| next.ordinal <= ordinal) {
                jumps.pop_front();
            }
        }
    }

    /// What those from this ordinal on need.
    pub(crate) fn needed_from(&self, ordinal: u64) -> Jumps {
        Jumps(self.0.as_deref().map(|JumpQueue(jumps)| {
            let at = jumps.partition_point(|jump| jump.ordinal <= ordinal);
            let needed = jumps.range(at.saturating_sub(1)..);
            Box::new(JumpQueue(needed.copied().collect()))
        }))
    }

    /// Forgets the oldest.
    pub(crate) fn forget_oldest(&mut self) {
        if let Some(JumpQueue(jumps)) = self.0.as_deref_mut() {
            jumps.pop_front();
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.0.len())
    }

    /// Takes over what another one knows of the same log, if that is more.
    pub(crate) fn learn(&mut self, other: Jumps) {
        let first = |jumps: &Jumps| jumps.0.as_ref()?.0.front().map(|jump| jump.ordinal);
        match (first(self), first(&other)) {
            (Some(own), Some(others)) if own <= others => {}
            (Some(_), None) => {}
            (None, _) | (Some(_), Some(_)) => *self = other,
        }
    }

    /// Keeps no more memory than it needs.
    pub(crate) fn shrink(&mut self) {
        if let Some(JumpQueue(jumps)) = self.0.as_deref_mut()
            && jumps.capacity() > 4 * jumps.len().max(4)
        {
            jumps.shrink_to(2 * jumps.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_ordinals_are_those_of_a_list() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..200 {
            let (mut jumps, mut offsets) = (Jumps::default(), vec![0]);
            let holes = random.u64(1..4);
            for ordinal in 1..random.u64(2..80) {
                let offset = offsets[ordinal as usize - 1] + random.u64(1..=holes);
                jumps.push(ordinal, offset);
                offsets.push(offset);
            }
            if holes == 1 {
                assert_eq!(jumps, Jumps::default(), "no memory for no jump");
            }
            let check = |jumps: &Jumps, from: usize| {
                for (ordinal, offset) in offsets.iter().enumerate().skip(from) {
                    assert_eq!(jumps.offset(ordinal as u64), *offset);
                }
                for offset in offsets[from]..=*offsets.last().expect("one") + 3 {
                    let last = offsets.iter().rposition(|it| *it <= offset);
                    let beyond = offset.saturating_sub(*offsets.last().expect("one"));
                    let expected = last.expect("the first") as u64 + beyond;
                    assert_eq!(jumps.up_to(offset), expected, "{offset}");
                }
            };
            check(&jumps, 0);
            let all = jumps.clone();
            let from = random.usize(0..offsets.len());
            jumps.forget_before(from as u64);
            check(&jumps, from);
            assert_eq!(all.needed_from(from as u64), jumps);
            assert!(jumps.len() <= offsets.len() - from + 1);
            let mut fewer = jumps.clone();
            fewer.learn(all.clone());
            assert_eq!(fewer, all);
            fewer.learn(jumps);
            assert_eq!(fewer, all, "it knows more");
        }
    }

    #[test]
    fn what_is_forgotten_is_nobodys() {
        let mut jumps = Jumps::default();
        jumps.push(3, 10);
        jumps.push(4, 20);
        jumps.forget_before(3);
        assert_eq!((jumps.up_to(9), jumps.up_to(10)), (0, 3));
        jumps.forget_oldest();
        assert_eq!((jumps.up_to(19), jumps.up_to(20)), (0, 4));
    }
}
