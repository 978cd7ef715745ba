//! A shard's rings as a set: which one accepts, when there is another, and how those that do not sleep are served.

use super::accept::AcceptId;
use super::refusal::Refused;
use super::ring::Ring;
use super::userdata::{Op, UserData};
use super::waking::Waking;
use super::{Tables, UringDriver};
use crate::driver::Millis;
use io_uring::{opcode, squeue};

impl UringDriver {
    /// Arms as many accepts as there are free slots for, on a ring that has them.
    pub(super) fn arm_accepts(&mut self) {
        while let Some(id) = self.acceptors.next_idle(self.now) {
            let Some(ring) = self.ring_with_room() else {
                return;
            };
            self.arm_accept(ring, id);
        }
    }

    fn arm_accept(&mut self, ring: usize, id: AcceptId) {
        let entry = self
            .acceptors
            .entry(id, ring)
            .user_data(UserData::plain(Op::Accept, id.index()).0);
        self.rings[ring].expect_accept();
        // SAFETY: the address buffer belongs to `self.acceptors`, which is dropped after the rings and whose
        // buffers are boxed; it is not read before this accept completes.
        unsafe { self.rings[ring].push(entry) };
    }

    pub(super) fn cancel_accept(&mut self, ring: usize, id: AcceptId) {
        let entry = opcode::AsyncCancel::new(UserData::plain(Op::Accept, id.index()).0)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(UserData::plain(Op::Cancel, 0).0);
        // SAFETY: refers to no memory.
        unsafe { self.rings[ring].push(entry) };
    }

    /// Accepts a client who is there already, and does not wait for one: both entries are submitted in one call.
    /// The ring is one that has accepted before; where its table is full the look fails, and the client waits for another shard.
    pub(super) fn look_for_client(&mut self, id: AcceptId) {
        let ring = self.acceptors.ring;
        self.arm_accept(ring, id);
        self.cancel_accept(ring, id);
    }

    /// Connections that may be admitted, as things are: when no further ring can be made, the last slots are for those that hear 503.
    pub(super) fn room(&self) -> usize {
        let rings = match self.may_grow() {
            true => self.tables.rings,
            false => self.rings.len(),
        };
        Tables {
            rings,
            ..self.tables
        }
        .room()
    }

    fn may_grow(&self) -> bool {
        self.rings.len() < self.tables.rings && self.grows_from <= self.now
    }

    /// The ring that accepts: the current one while it has room, then the emptiest, then a new one.
    fn ring_with_room(&mut self) -> Option<usize> {
        let table = self.tables.table;
        // A ring that cannot be made is noticed while there are slots in which to say so.
        let full = match self.may_grow() {
            true => table - self.tables.reserve(),
            false => table,
        };
        let current = self.acceptors.ring;
        if self.rings[current].used() < full {
            return Some(current);
        }
        let (emptiest, used) = self
            .rings
            .iter()
            .map(Ring::used)
            .enumerate()
            .min_by_key(|(_, used)| *used)?;
        let chosen = if used < full - table / 16 {
            emptiest
        } else if self.may_grow() {
            self.add_ring().unwrap_or(emptiest)
        } else {
            emptiest
        };
        self.acceptors.ring = chosen;
        (self.rings[chosen].used() < table).then_some(chosen)
    }

    fn add_ring(&mut self) -> Option<usize> {
        /// After the host refused a ring, in milliseconds: what it lacks may be there later.
        const PAUSE_MS: Millis = 10_000;
        let index = self.rings.len();
        let made = self.find_waking().and_then(|waking| {
            let further = |waking| Ring::further(self.tables.table, index as u8, waking);
            waking.map(further).transpose()
        });
        match made {
            Ok(None) => None,
            Ok(Some(ring)) => {
                self.rings.push(ring);
                self.counters.rings.set(self.rings.len() as u64);
                Some(index)
            }
            Err(refused) => {
                self.grows_from = self.now + PAUSE_MS;
                self.counters.rings_refused.add(1);
                let (room, remedy) = (self.room(), refused.remedy());
                tracing::warn!(
                    error = %refused,
                    rings = index,
                    room,
                    "no further ring can be made: connections beyond this shard's room are answered 503; {remedy}"
                );
                None
            }
        }
    }

    /// How further rings wake the first, where there may be any. Tried once: at start, so that no room is promised in rings that nobody would
    /// hear, or when the host has what the trial takes.
    pub(super) fn find_waking(&mut self) -> Result<Option<Waking>, Refused> {
        if self.waking.is_some() || self.tables.rings == 1 {
            return Ok(self.waking);
        }
        self.take_waking(Waking::find()?);
        Ok(self.waking)
    }

    pub(super) fn take_waking(&mut self, found: Option<Waking>) {
        self.waking = found;
        self.capabilities.prompt_rings = found == Some(Waking::Prompt);
        if found.is_none() {
            let slots = self.tables.table as usize * self.tables.rings;
            self.tables.rings = 1;
            tracing::warn!(
                room = self.tables.room(),
                "further rings would not be heard on this kernel: connections beyond this shard's room are answered 503; raise the limit on \
                 open files to {slots} (ulimit -n, LimitNOFILE=), so that one ring holds them all, or run another kernel"
            );
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
