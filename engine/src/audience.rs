//! Whom the sealed batches of a shard go to: the members of that moment, one audience behind the other in one list.
//!
//! A place in the list stays valid within a tick. At its end those who were served go from the list, if they are many, or if they are all.
//! So a fan-out costs no allocation. Used by sealing and by fan-out.

use crate::Ticket;

/// The audiences of all batches that are on their way.
#[derive(Debug, Default)]
pub(crate) struct Audiences(Vec<Ticket>);

/// One audience that is being served: where its next member stands, and where it ends.
#[derive(Debug)]
pub(crate) struct Audience {
    next: usize,
    end: usize,
}

impl Audiences {
    /// Members for which memory is kept when the list is empty: 512 KiB. What more of them needed is given back.
    const MEMBERS_KEPT: usize = 64 << 10;

    /// Notes who is to be served.
    pub(crate) fn gather(&mut self, members: impl IntoIterator<Item = Ticket>) -> Audience {
        let next = self.0.len();
        self.0.extend(members);
        Audience {
            next,
            end: self.0.len(),
        }
    }

    /// Takes those who were served out of the list, if most were; `left` are all audiences that are still being served.
    pub(crate) fn pack<'a>(&mut self, left: impl Iterator<Item = &'a mut Audience>) {
        let left: Vec<&mut Audience> = left.collect();
        let members: usize = left.iter().map(|audience| audience.len()).sum();
        if left.is_empty() {
            self.clear();
            return;
        }
        if self.0.len() <= 2 * members + Self::MEMBERS_KEPT {
            return;
        }
        let mut packed = Vec::with_capacity(members);
        for audience in left {
            let next = packed.len();
            packed.extend_from_slice(&self.0[audience.next..audience.end]);
            let end = packed.len();
            *audience = Audience { next, end };
        }
        self.0 = packed;
    }

    /// Keeps no more than what is on its way.
    pub(crate) fn release_memory(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Nobody is to be served any more.
    fn clear(&mut self) {
        self.0.clear();
        if self.0.capacity() > Self::MEMBERS_KEPT {
            self.0.shrink_to(Self::MEMBERS_KEPT);
        }
    }
}

impl Audience {
    /// The next member; each is returned once.
    #[inline]
    pub(crate) fn next(&mut self, audiences: &Audiences) -> Option<Ticket> {
        let member = *audiences.0[..self.end].get(self.next)?;
        self.next += 1;
        Some(member)
    }

    /// Every member was returned.
    pub(crate) fn is_over(&self) -> bool {
        self.next >= self.end
    }

    /// Members that were not returned yet.
    fn len(&self) -> usize {
        self.end - self.next
    }

    /// The first of them, at most `members_max`, to be served in one go; [`Audience::go_on`] says how far that went.
    pub(crate) fn first(&self, members_max: usize) -> Audience {
        Audience {
            next: self.next,
            end: self.end.min(self.next + members_max),
        }
    }

    /// Goes on where its `first` members were served to. How many that were.
    pub(crate) fn go_on(&mut self, first: &Audience) -> usize {
        let served = first.next - self.next;
        self.next = first.next;
        served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audiences_do_not_mix() {
        let ticket = |slot| Ticket {
            slot,
            generation: 1,
        };
        let mut audiences = Audiences::default();
        let mut first = audiences.gather([1, 2].map(ticket));
        let mut nobody = audiences.gather([]);
        let mut second = audiences.gather([3].map(ticket));
        assert!(nobody.is_over() && !first.is_over());
        assert_eq!(second.next(&audiences), Some(ticket(3)));
        assert_eq!(first.next(&audiences), Some(ticket(1)));
        assert_eq!(nobody.next(&audiences), None);
        assert_eq!(first.next(&audiences), Some(ticket(2)));
        assert!(first.is_over() && second.is_over());
        assert_eq!(
            (first.next(&audiences), second.next(&audiences)),
            (None, None)
        );
    }

    #[test]
    fn an_audience_is_served_in_parts() {
        let ticket = |slot| Ticket {
            slot,
            generation: 1,
        };
        let mut audiences = Audiences::default();
        let mut audience = audiences.gather((0..5).map(ticket));
        for (members_max, slots) in [(2, &[0, 1][..]), (1, &[2]), (9, &[3, 4]), (9, &[])] {
            let mut first = audience.first(members_max);
            let served = std::iter::from_fn(|| first.next(&audiences));
            let served: Vec<u32> = served.map(|ticket| ticket.slot).collect();
            assert_eq!(served, slots);
            assert_eq!(audience.go_on(&first), slots.len());
        }
        assert!(audience.is_over());
    }

    /// However long batches follow each other, the list is no longer than twice what is to be served.
    #[test]
    fn who_was_served_goes_from_the_list() {
        const MEMBERS: u32 = 3 * Audiences::MEMBERS_KEPT as u32;
        let ticket = |slot| Ticket {
            slot,
            generation: 1,
        };
        let mut audiences = Audiences::default();
        let mut slow = audiences.gather([7, 8].map(ticket));
        for _ in 0..10 {
            let mut large = audiences.gather((0..MEMBERS).map(ticket));
            audiences.pack([&mut slow, &mut large].into_iter());
            let listed = audiences.0.len();
            assert!(listed <= 2 * (MEMBERS as usize + 2) + Audiences::MEMBERS_KEPT);
            assert!(
                (0..MEMBERS).all(|slot| large.next(&audiences) == Some(ticket(slot))),
                "all of them, in order"
            );
        }
        audiences.pack([&mut slow].into_iter());
        assert_eq!(audiences.0.len(), 2);
        assert_eq!(slow.next(&audiences), Some(ticket(7)));
        assert_eq!(slow.next(&audiences), Some(ticket(8)));
        audiences.pack([].into_iter());
        assert!(audiences.0.is_empty());
    }

    #[test]
    fn a_large_audience_is_not_kept() {
        let mut audiences = Audiences::default();
        let ticket = Ticket {
            slot: 1,
            generation: 1,
        };
        audiences.gather(std::iter::repeat_n(ticket, 3 * Audiences::MEMBERS_KEPT));
        audiences.clear();
        let kept = audiences.0.capacity();
        assert!(kept < 2 * Audiences::MEMBERS_KEPT, "room for {kept}");
    }
}
