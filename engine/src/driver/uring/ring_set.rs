//! A shard's rings as a set: which one accepts, when there is another, and how those that do not sleep are served.

use super::UringDriver;
use super::ring::Ring;
use super::userdata::{Op, UserData};

impl UringDriver {
    /// Arms as many accepts as there are free slots for, on a ring that has them.
    pub(super) fn arm_accepts(&mut self) {
        while let Some(id) = self.acceptors.next_idle(self.now) {
            let Some(ring) = self.ring_with_room() else {
                return;
            };
            let entry = self
                .acceptors
                .entry(id)
                .user_data(UserData::plain(Op::Accept, id.index()).0);
            self.rings[ring].expect_accept();
            // SAFETY: the address buffer belongs to `self.acceptors`, which is dropped after the rings and whose
            // buffers are boxed; it is not read before this accept completes.
            unsafe { self.rings[ring].push(entry) };
        }
    }

    /// The ring that accepts: the current one while it has room, then the emptiest, then a new one.
    fn ring_with_room(&mut self) -> Option<usize> {
        let table = self.table;
        let current = self.acceptors.ring;
        if self.rings[current].used() < table {
            return Some(current);
        }
        let (emptiest, used) = self
            .rings
            .iter()
            .map(Ring::used)
            .enumerate()
            .min_by_key(|(_, used)| *used)?;
        let chosen = if used < table - table / 4 {
            emptiest
        } else if self.rings.len() < self.rings_max {
            self.add_ring().unwrap_or(emptiest)
        } else {
            emptiest
        };
        self.acceptors.ring = chosen;
        (self.rings[chosen].used() < table).then_some(chosen)
    }

    fn add_ring(&mut self) -> Option<usize> {
        let index = self.rings.len();
        match Ring::new(self.table, index as u8).and_then(Ring::signalled) {
            Ok(ring) => {
                self.rings.push(ring);
                self.counters.rings.set(self.rings.len() as u64);
                Some(index)
            }
            Err(error) => {
                tracing::warn!(%error, rings = index, "no further ring: the shard is full at this size");
                self.rings_max = index;
                None
            }
        }
    }

    /// Submits the rings that do not sleep. True when one of them brought something.
    pub(super) fn turn_siblings(&mut self, look: bool) -> bool {
        let mut active = false;
        for index in 1..self.rings.len() {
            let (first, rest) = self.rings.split_at_mut(index);
            let ring = &mut rest[0];
            let armed =
                ring.listen_through(&mut first[0], UserData::plain(Op::Sibling, index as u32).0);
            if look && (armed || ring.is_active() || ring.has_submissions()) {
                // Only a look settles it: what the kernel deferred stays deferred when the ring just submits.
                ring.set_active(false);
                ring.enter_and_look();
                active |= self.reap_ring(index) > 0;
            } else if ring.has_submissions() {
                ring.submit();
                self.reap_ring(index);
            }
        }
        active
    }
}
