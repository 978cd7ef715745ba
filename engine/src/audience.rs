//! Whom the sealed batches of a shard go to: the members of that moment, one audience behind the other in one list.
//!
//! A place in the list stays valid until the list is emptied, when no batch is on its way any more. So a fan-out costs no allocation.
//! Used by sealing and by fan-out.

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

    /// Keeps no more than what is on its way.
    pub(crate) fn release_memory(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Nobody is to be served any more.
    pub(crate) fn clear(&mut self) {
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
