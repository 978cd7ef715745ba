//! The sessions of this node of which the broker has copies or is to have some: which of them are
//! to be asked what they are, and when.
//!
//! Invariant: each belongs to a connection of the node, or to a session that waits here for its
//! client, and is asked again until it has said that it is over; so the table is as large as these,
//! and at most [`CopyTable::ENTRIES_MAX`]. No clock here: whoever calls says what time it is.

use crate::session::copies::SessionNow;
use crate::session::shelf::ShelvedSession;
use crate::session::token::SecretDigest;
use shardcast_engine::Address;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The same for all tasks of copies.
#[derive(Clone, Debug)]
pub(super) struct SharedCopyTable(Arc<Mutex<CopyTable>>);

impl SharedCopyTable {
    pub(super) fn new(refresh_ms: u64) -> SharedCopyTable {
        SharedCopyTable(Arc::new(Mutex::new(CopyTable::new(refresh_ms))))
    }

    /// A table is whole whoever panicked.
    pub(super) fn lock(&self) -> MutexGuard<'_, CopyTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them, by the connections that they have or had.
#[derive(Debug)]
pub(super) struct CopyTable {
    refresh_ms: u64,
    entries: HashMap<Address, CopyEntry>,
    /// When each is to be asked.
    looks: BTreeSet<(u64, Address)>,
}

#[derive(Debug)]
struct CopyEntry {
    /// `None`: nothing was copied yet.
    digest: Option<SecretDigest>,
    /// How often it has waited again since it was taken.
    generation: u32,
    look_ms: u64,
    /// Somebody goes on with it, unless it comes back.
    is_granted: bool,
}

/// What is to be done with what a session has said of itself.
#[derive(Debug, PartialEq)]
pub(super) enum CopyStep {
    /// The broker is to have this copy, of this generation.
    Save(Box<ShelvedSession>, u32),
    /// The broker is to know that it is over.
    End(SecretDigest),
    Nothing,
}

/// There is no room for one more: the broker has no copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyTableFull;

impl CopyTable {
    /// Sessions of a node; of more, the broker has no copies.
    pub(super) const ENTRIES_MAX: usize = 4 << 20;
    /// Who has not said within this time what its session is, is asked again.
    const ANSWER_MS: u64 = 5_000;
    /// What was not copied, or is on its way to another connection, is looked at again.
    const AGAIN_MS: u64 = 1_000;

    pub(super) fn new(refresh_ms: u64) -> CopyTable {
        CopyTable {
            refresh_ms,
            entries: HashMap::new(),
            looks: BTreeSet::new(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A session has changed: it is asked at the next look.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn changed(&mut self, who: Address, now_ms: u64) -> Result<(), CopyTableFull> {
        if !self.entries.contains_key(&who) {
            self.insert(who, None, 0)?;
        }
        self.look_at(who, now_ms);
        Ok(())
    }

    fn insert(
        &mut self,
        who: Address,
        digest: Option<SecretDigest>,
        generation: u32,
    ) -> Result<(), CopyTableFull> {
        if self.entries.len() >= Self::ENTRIES_MAX {
            return Err(CopyTableFull);
        }
        let entry = CopyEntry {
            digest,
            generation,
            look_ms: 0,
            is_granted: false,
        };
        self.entries.insert(who, entry);
        Ok(())
    }

    fn look_at(&mut self, who: Address, at_ms: u64) {
        if let Some(entry) = self.entries.get_mut(&who) {
            self.looks.remove(&(entry.look_ms, who));
            entry.look_ms = at_ms;
            self.looks.insert((at_ms, who));
        }
    }

    /// Those that are to be asked now, so many at most.
    pub(super) fn due(&mut self, now_ms: u64, count_max: usize) -> Vec<Address> {
        let due = self.looks.iter().take_while(|(at_ms, _)| *at_ms <= now_ms);
        let due: Vec<Address> = due.map(|(_, who)| *who).take(count_max).collect();
        for who in &due {
            self.look_at(*who, now_ms + Self::ANSWER_MS);
        }
        due
    }

    /// A session has said what it is.
    pub(super) fn is(&mut self, who: Address, now: SessionNow, now_ms: u64) -> CopyStep {
        let Some(entry) = self.entries.get_mut(&who) else {
            // It went on at another node meanwhile.
            return CopyStep::Nothing;
        };
        let (session, look_ms) = match now {
            SessionNow::Open(session) => (session, now_ms + self.refresh_ms),
            // Once it is over here, the broker is to know that.
            SessionNow::Waiting(session) => {
                let remaining_ms = u64::try_from(session.remaining.as_millis());
                let look_ms = remaining_ms.unwrap_or(u64::MAX).min(self.refresh_ms);
                (session, now_ms + look_ms.max(Self::AGAIN_MS))
            }
            SessionNow::Lent => {
                self.look_at(who, now_ms + Self::AGAIN_MS);
                return CopyStep::Nothing;
            }
            SessionNow::Over => {
                let ended = entry.digest.filter(|_| !entry.is_granted);
                self.remove(who);
                return ended.map_or(CopyStep::Nothing, CopyStep::End);
            }
        };
        (entry.digest, entry.is_granted) = (Some(session.digest), false);
        let generation = entry.generation;
        self.look_at(who, look_ms);
        CopyStep::Save(session, generation)
    }

    /// A copy was not taken by the broker, or nobody could be asked: it is looked at again.
    pub(super) fn failed(&mut self, who: Address, now_ms: u64) {
        self.look_at(who, now_ms + Self::AGAIN_MS);
    }

    /// How often a session has waited again, as far as this node knows it.
    pub(super) fn generation(&self, session: &ShelvedSession) -> Option<u32> {
        let entry = self.entries.get(&session.connection)?;
        (entry.digest == Some(session.digest)).then_some(entry.generation)
    }

    /// The broker has granted a session of this node to one of its connections. If it waits here
    /// again after all, that is another time.
    pub(super) fn granted(&mut self, session: &ShelvedSession, generation: u32, now_ms: u64) {
        let who = session.connection;
        if !self.entries.contains_key(&who) && self.insert(who, None, 0).is_err() {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&who) {
            entry.digest = Some(session.digest);
            (entry.generation, entry.is_granted) = (generation.saturating_add(1), true);
        }
        self.look_at(who, now_ms + Self::AGAIN_MS);
    }

    /// A session went on at another node.
    pub(super) fn moved(&mut self, who: Address, digest: SecretDigest) {
        let entry = self.entries.get(&who);
        if entry.is_some_and(|entry| entry.digest == Some(digest)) {
            self.remove(who);
        }
    }

    fn remove(&mut self, who: Address) {
        if let Some(entry) = self.entries.remove(&who) {
            self.looks.remove(&(entry.look_ms, who));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::identity::Identity;
    use crate::session::origin::NeededProof;
    use shardcast_engine::Ticket;
    use std::time::Duration;

    const REFRESH_MS: u64 = 300_000;

    fn at(slot: u32) -> Address {
        let ticket = Ticket {
            slot,
            generation: 1,
        };
        Address { shard: 0, ticket }
    }

    fn session(slot: u32) -> Box<ShelvedSession> {
        Box::new(ShelvedSession {
            connection: at(slot),
            digest: SecretDigest([slot as u8; SecretDigest::BYTES]),
            proof: NeededProof::Secret,
            identity: Identity::nobody(),
            rooms: Vec::new(),
            remaining: Duration::from_secs(60),
        })
    }

    fn table() -> CopyTable {
        let mut table = CopyTable::new(REFRESH_MS);
        assert_eq!(table.changed(at(1), 10), Ok(()));
        table
    }

    #[test]
    fn what_has_changed_is_asked_once_until_it_answers() {
        let mut table = table();
        assert_eq!(table.due(9, 9), []);
        assert_eq!(table.changed(at(1), 20), Ok(()), "again");
        assert_eq!(table.due(20, 9), [at(1)]);
        assert_eq!(table.due(5_019, 9), []);
        assert_eq!(table.due(5_020, 9), [at(1)], "it has not answered");
        let step = table.is(at(1), SessionNow::Open(session(1)), 6_000);
        assert_eq!(step, CopyStep::Save(session(1), 0));
        assert_eq!(table.due(305_999, 9), []);
        assert_eq!(table.due(306_000, 9), [at(1)], "it is copied anew");
        table.failed(at(1), 306_000);
        assert_eq!(table.due(307_000, 9), [at(1)]);
    }

    #[test]
    fn one_that_waits_is_looked_at_when_it_is_over() {
        let mut table = table();
        let step = table.is(at(1), SessionNow::Waiting(session(1)), 100);
        assert_eq!(step, CopyStep::Save(session(1), 0));
        assert_eq!(table.due(60_100, 9), [at(1)]);
        let step = table.is(at(1), SessionNow::Over, 60_100);
        assert_eq!(step, CopyStep::End(session(1).digest));
        assert_eq!((table.len(), table.looks.len()), (0, 0));
        let late = table.is(at(1), SessionNow::Open(session(1)), 60_200);
        assert_eq!(late, CopyStep::Nothing);
    }

    #[test]
    fn one_that_was_never_copied_leaves_nothing() {
        let mut table = table();
        assert_eq!(table.is(at(1), SessionNow::Over, 20), CopyStep::Nothing);
        assert_eq!((table.len(), table.looks.len()), (0, 0));
    }

    #[test]
    fn one_that_was_granted_is_over_or_waits_another_time() {
        let mut table = table();
        table.is(at(1), SessionNow::Waiting(session(1)), 100);
        assert_eq!(table.generation(&session(1)), Some(0));
        table.granted(&session(1), 0, 200);
        assert_eq!(table.is(at(1), SessionNow::Lent, 300), CopyStep::Nothing);
        assert_eq!(table.due(1_300, 9), [at(1)]);
        let step = table.is(at(1), SessionNow::Waiting(session(1)), 1_300);
        assert_eq!(step, CopyStep::Save(session(1), 1), "nobody had it");
        table.granted(&session(1), 1, 1_400);
        assert_eq!(table.is(at(1), SessionNow::Over, 1_500), CopyStep::Nothing);
        assert_eq!(table.len(), 0);
        table.granted(&session(2), 4, 1_600);
        assert_eq!(table.generation(&session(2)), Some(5));
    }

    #[test]
    fn one_that_went_on_elsewhere_is_forgotten() {
        let mut table = table();
        table.is(at(1), SessionNow::Open(session(1)), 100);
        table.moved(at(1), session(2).digest);
        assert_eq!(table.len(), 1, "another's secret");
        table.moved(at(1), session(1).digest);
        assert_eq!((table.len(), table.looks.len()), (0, 0));
        assert_eq!(table.generation(&session(1)), None);
    }

    #[test]
    fn a_look_takes_so_many_at_a_time() {
        let mut table = CopyTable::new(REFRESH_MS);
        for slot in 0..5 {
            assert_eq!(table.changed(at(slot), 10), Ok(()));
        }
        assert_eq!(table.due(10, 3), [at(0), at(1), at(2)]);
        assert_eq!(table.due(10, 3), [at(3), at(4)]);
    }
}
