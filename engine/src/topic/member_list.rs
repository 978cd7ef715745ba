//! The members that the closed batches of a shard go to: those of the moment at which a batch was
//! closed, one batch's members behind the other's in one list.
//!
//! A place in the list stays valid within a tick. At the end of a tick, members that were served
//! leave the list if they are most of it or all. So a fan-out costs no allocation. Used when a
//! batch is closed, and by fan-out.

use crate::types::ticket::Ticket;

/// The members of all batches that are under way.
#[derive(Debug, Default)]
pub(crate) struct MemberLists(Vec<Ticket>);

/// The members of one batch: where the next one stands, and where they end.
#[derive(Debug)]
pub(crate) struct MemberList {
    next: usize,
    end: usize,
}

impl MemberLists {
    /// Members for which memory is kept when the list is empty: 512 KiB. What more of them needed
    /// is given back.
    const MEMBERS_KEPT: usize = 64 << 10;

    /// Appends the members of a batch.
    pub(crate) fn gather(&mut self, members: impl IntoIterator<Item = Ticket>) -> MemberList {
        let next = self.0.len();
        self.0.extend(members);
        MemberList {
            next,
            end: self.0.len(),
        }
    }

    /// Nobody is listed.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes those who were served out of the list, if most were; `left` are all lists of members
    /// that are still being served.
    pub(crate) fn pack<'a>(&mut self, left: impl Iterator<Item = &'a mut MemberList>) {
        let left: Vec<&mut MemberList> = left.collect();
        let members: usize = left.iter().map(|members| members.len()).sum();
        if left.is_empty() {
            self.clear();
            return;
        }
        if self.0.len() <= 2 * members + Self::MEMBERS_KEPT {
            return;
        }
        let mut packed = Vec::with_capacity(members);
        for members in left {
            let next = packed.len();
            packed.extend_from_slice(&self.0[members.next..members.end]);
            let end = packed.len();
            *members = MemberList { next, end };
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

impl MemberList {
    /// The next member; each is returned once.
    #[inline]
    pub(crate) fn next(&mut self, member_lists: &MemberLists) -> Option<Ticket> {
        let member = *member_lists.0[..self.end].get(self.next)?;
        self.next += 1;
        Some(member)
    }

    /// Every member was returned.
    pub(crate) fn is_over(&self) -> bool {
        self.next >= self.end
    }

    /// Members that were not returned yet.
    pub(crate) fn len(&self) -> usize {
        self.end - self.next
    }

    /// The first of them, at most `members_max`, to be served in one go; [`MemberList::go_on`] says
    /// how far that went.
    pub(crate) fn first(&self, members_max: usize) -> MemberList {
        MemberList {
            next: self.next,
            end: self.end.min(self.next + members_max),
        }
    }

    /// Goes on where its `first` members were served to. How many that were.
    pub(crate) fn go_on(&mut self, first: &MemberList) -> usize {
        let served = first.next - self.next;
        self.next = first.next;
        served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_do_not_mix() {
        let ticket = |slot| Ticket {
            slot,
            generation: 1,
        };
        let mut member_lists = MemberLists::default();
        let mut first = member_lists.gather([1, 2].map(ticket));
        let mut nobody = member_lists.gather([]);
        let mut second = member_lists.gather([3].map(ticket));
        assert!(nobody.is_over() && !first.is_over());
        assert_eq!(second.next(&member_lists), Some(ticket(3)));
        assert_eq!(first.next(&member_lists), Some(ticket(1)));
        assert_eq!(nobody.next(&member_lists), None);
        assert_eq!(first.next(&member_lists), Some(ticket(2)));
        assert!(first.is_over() && second.is_over());
        assert_eq!(
            (first.next(&member_lists), second.next(&member_lists)),
            (None, None)
        );
    }

    #[test]
    fn a_list_is_served_in_parts() {
        let ticket = |slot| Ticket {
            slot,
            generation: 1,
        };
        let mut member_lists = MemberLists::default();
        let mut members = member_lists.gather((0..5).map(ticket));
        for (members_max, slots) in [(2, &[0, 1][..]), (1, &[2]), (9, &[3, 4]), (9, &[])] {
            let mut first = members.first(members_max);
            let served = std::iter::from_fn(|| first.next(&member_lists));
            let served: Vec<u32> = served.map(|ticket| ticket.slot).collect();
            assert_eq!(served, slots);
            assert_eq!(members.go_on(&first), slots.len());
        }
        assert!(members.is_over());
    }

    /// However long batches follow each other, the list is no longer than twice what is to be
    /// served.
    #[test]
    fn who_was_served_goes_from_the_list() {
        const MEMBERS: u32 = 3 * MemberLists::MEMBERS_KEPT as u32;
        let ticket = |slot| Ticket {
            slot,
            generation: 1,
        };
        let mut member_lists = MemberLists::default();
        let mut slow = member_lists.gather([7, 8].map(ticket));
        for _ in 0..10 {
            let mut large = member_lists.gather((0..MEMBERS).map(ticket));
            member_lists.pack([&mut slow, &mut large].into_iter());
            let listed = member_lists.0.len();
            assert!(listed <= 2 * (MEMBERS as usize + 2) + MemberLists::MEMBERS_KEPT);
            assert!(
                (0..MEMBERS).all(|slot| large.next(&member_lists) == Some(ticket(slot))),
                "all of them, in order"
            );
        }
        member_lists.pack([&mut slow].into_iter());
        assert_eq!(member_lists.0.len(), 2);
        assert_eq!(slow.next(&member_lists), Some(ticket(7)));
        assert_eq!(slow.next(&member_lists), Some(ticket(8)));
        member_lists.pack([].into_iter());
        assert!(member_lists.0.is_empty());
    }

    #[test]
    fn a_large_list_is_not_kept() {
        let mut member_lists = MemberLists::default();
        let ticket = Ticket {
            slot: 1,
            generation: 1,
        };
        member_lists.gather(std::iter::repeat_n(ticket, 3 * MemberLists::MEMBERS_KEPT));
        member_lists.clear();
        let kept = member_lists.0.capacity();
        assert!(kept < 2 * MemberLists::MEMBERS_KEPT, "room for {kept}");
    }
}
