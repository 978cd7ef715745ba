//! All sessions of one shard that wait for their clients: those of this process and of the one
//! before it.
//!
//! Invariant: of more than may wait, or of more bytes, those end first that would end next,
//! whichever process they are of. Those that wait when the shard ends are left for the next
//! process, where there is a store. Used by `rooms/resume.rs`.

use crate::session::copies::SessionNow;
use crate::session::counts::{SessionCounts, SessionEnd};
use crate::session::record::SessionRecord;
use crate::session::records::{Records, TakeOutcome};
use crate::session::returning::Returning;
use crate::session::shelf::Shelf;
use crate::session::take::Take;
use crate::session::token::{Secret, SecretDigest};
use shardcast_engine::{Address, Ticket};
use std::sync::Arc;

/// One shard's.
#[derive(Debug)]
pub(crate) struct WaitingSessions {
    limits: WaitingLimits,
    own: Records,
    earlier: Returning,
    /// Where those go that wait when the shard ends, and which shard it is.
    shelf: Option<(Arc<Shelf>, u16)>,
    /// The newest time that was said: the shard's end says the last one.
    now_ms: u64,
}

/// What one shard may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitingLimits {
    /// How long each waits, in milliseconds.
    pub(crate) keep_ms: u64,
    pub(crate) count_max: usize,
    pub(crate) bytes_max: usize,
}

impl WaitingSessions {
    pub(crate) fn new(limits: WaitingLimits, counts: Arc<SessionCounts>) -> WaitingSessions {
        WaitingSessions {
            limits,
            own: Records::new(limits.keep_ms, counts),
            earlier: Returning::default(),
            shelf: None,
            now_ms: 0,
        }
    }

    /// Takes a shard's part of what an earlier process left, and leaves there what waits when the
    /// shard ends.
    pub(crate) fn outlive(
        &mut self,
        shelf: Arc<Shelf>,
        shard: u16,
        shards: usize,
        counts: Arc<SessionCounts>,
    ) {
        self.earlier = Returning::new(shelf.take(shard, shards), self.limits.keep_ms, counts);
        self.shelf = Some((shelf, shard));
        self.make_room();
    }

    /// A connection has gone, and its session waits. When it ends, if nobody comes.
    pub(crate) fn keep(
        &mut self,
        who: Ticket,
        secret: Secret,
        record: Box<SessionRecord>,
        now_ms: u64,
    ) -> u64 {
        self.now_ms = now_ms;
        let due_ms = self.own.keep(who, secret, record, now_ms);
        self.make_room();
        due_ms
    }

    /// The session of a connection that is there goes to another one. When it ends, if nothing is
    /// heard of it.
    pub(crate) fn lend(&mut self, who: Ticket, secret: Secret, now_ms: u64) -> u64 {
        self.now_ms = now_ms;
        let due_ms = self.own.lend(who, secret, now_ms);
        self.make_room();
        due_ms
    }

    /// Somebody wants the session of a connection that is gone.
    pub(crate) fn take(&mut self, who: Ticket, take: Take, now_ms: u64) -> TakeOutcome {
        self.now_ms = now_ms;
        match self.own.take(who, take.clone(), now_ms) {
            TakeOutcome::None => match self.earlier.take(&take, now_ms) {
                Some(record) => TakeOutcome::Session(record),
                None => TakeOutcome::None,
            },
            taken => taken,
        }
    }

    /// Somebody wants a session of an earlier process: its place is another connection's now.
    pub(crate) fn take_earlier(&mut self, take: &Take, now_ms: u64) -> Option<Box<SessionRecord>> {
        self.now_ms = now_ms;
        self.earlier.take(take, now_ms)
    }

    /// Whoever took the session has it. Who has waited for it, and gets nothing.
    pub(crate) fn settle(&mut self, who: Ticket) -> Option<Take> {
        self.own.settle(who)
    }

    /// Whoever was to take the session has gone itself: it waits as before, or goes to who has
    /// waited for it.
    pub(crate) fn give_back(
        &mut self,
        who: Ticket,
        mut record: Box<SessionRecord>,
        now_ms: u64,
    ) -> Option<(Take, TakeOutcome)> {
        self.now_ms = now_ms;
        let waited = match record.origin.take() {
            Some(origin) => {
                self.earlier.put_back(*origin, record);
                None
            }
            None => self.own.give_back(who, record, now_ms),
        };
        self.make_room();
        waited
    }

    /// Ends those whose time is over. When the next one ends.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Option<u64> {
        self.now_ms = now_ms;
        let next = [self.own.expire(now_ms), self.earlier.expire(now_ms)];
        next.into_iter().flatten().min()
    }

    fn make_room(&mut self) {
        while self.count() > self.limits.count_max || self.bytes() > self.limits.bytes_max {
            match (self.own.next_due(), self.earlier.next_due()) {
                (None, None) => return,
                (Some(own), Some(earlier)) if earlier <= own => {
                    self.earlier.end_next(SessionEnd::Evicted);
                }
                (Some(_), _) => self.own.end_next(SessionEnd::Evicted),
                (None, Some(_)) => self.earlier.end_next(SessionEnd::Evicted),
            }
        }
    }

    /// The session of a connection that is gone, as another process would have it.
    pub(crate) fn now(&mut self, who: Address, now_ms: u64) -> SessionNow {
        self.now_ms = now_ms;
        self.own.now(who, now_ms)
    }

    /// A session went on at another node.
    pub(crate) fn move_away(&mut self, who: Ticket, digest: SecretDigest, now_ms: u64) {
        self.now_ms = now_ms;
        self.own.move_away(who, digest);
        self.earlier.move_away(digest);
    }

    /// Sessions that wait, those on their way included.
    pub(crate) fn count(&self) -> usize {
        self.own.count() + self.earlier.count()
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.own.bytes() + self.earlier.bytes()
    }

    /// Keeps no more than there is.
    pub(crate) fn release_memory(&mut self) {
        self.own.release_memory();
    }
}

/// The shard ends, and what it kept with it, but for what outlives the process.
impl Drop for WaitingSessions {
    fn drop(&mut self) {
        if let Some((shelf, shard)) = &self.shelf {
            shelf.leave(self.own.shelved(*shard, self.now_ms));
            shelf.leave(self.earlier.shelved(self.now_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::identity::Identity;
    use crate::session::origin::NeededProof;
    use crate::session::shelf::ShelvedSession;
    use crate::session::token::some_secrets;
    use std::time::Duration;

    const LIMITS: WaitingLimits = WaitingLimits {
        keep_ms: 10_000,
        count_max: 4,
        bytes_max: 1 << 20,
    };

    fn at(slot: u32) -> Address {
        let ticket = Ticket {
            slot,
            generation: 1,
        };
        Address { shard: 0, ticket }
    }

    fn record() -> Box<SessionRecord> {
        let identity = Identity::user("ann").expect("a name");
        Box::new(SessionRecord {
            identity,
            ..SessionRecord::default()
        })
    }

    /// What a process leaves: of so many sessions, one that ends in one second, in two, and so on.
    fn left(secrets: impl Iterator<Item = Secret>, count: u64) -> (Vec<Secret>, Arc<Shelf>) {
        let mut drawn = Vec::new();
        let sessions = (1..=count).zip(secrets).map(|(number, secret)| {
            drawn.push(secret);
            ShelvedSession {
                connection: at(100 + number as u32),
                digest: secret.digest(),
                proof: NeededProof::Secret,
                identity: Identity::user("ann").expect("a name"),
                rooms: Vec::new(),
                remaining: Duration::from_secs(number),
            }
        });
        let shelf = Arc::new(Shelf::holding(sessions.collect()));
        (drawn, shelf)
    }

    /// Where a shard of this process begins with what another left.
    fn beginning(
        limits: WaitingLimits,
        shelf: &Arc<Shelf>,
    ) -> (WaitingSessions, Arc<SessionCounts>) {
        let counts: Arc<SessionCounts> = Arc::default();
        let mut waiting = WaitingSessions::new(limits, counts.clone());
        waiting.outlive(shelf.clone(), 0, 1, counts.clone());
        (waiting, counts)
    }

    fn evicted(counts: &SessionCounts) -> u64 {
        let counts = counts.each();
        let mut evicted = counts
            .iter()
            .filter(|count| count.label == Some(("reason", "evicted")));
        evicted.next().expect("it is counted").value
    }

    #[test]
    fn both_processes_sessions_share_one_bound() {
        let mut secrets = some_secrets();
        let (_, shelf) = left(&mut secrets, 6);
        let (mut waiting, counts) = beginning(LIMITS, &shelf);
        assert_eq!((waiting.count(), evicted(&counts)), (4, 2));
        assert_eq!(
            waiting.expire(0),
            Some(3_000),
            "those with the least time end"
        );
        for slot in 0..3 {
            let secret = secrets.next().expect("one more");
            waiting.keep(at(slot).ticket, secret, record(), 100);
        }
        assert_eq!((waiting.count(), evicted(&counts)), (4, 5));
        assert_eq!(
            waiting.expire(100),
            Some(6_000),
            "one of the earlier process is left"
        );
        for slot in 3..6 {
            let secret = secrets.next().expect("one more");
            waiting.keep(at(slot).ticket, secret, record(), 200);
        }
        assert_eq!((waiting.count(), evicted(&counts)), (4, 8));
        assert_eq!(waiting.expire(200), Some(10_100));
        assert_eq!(counts.each()[0].value, 4);
    }

    #[test]
    fn bytes_are_bounded_over_both() {
        let mut secrets = some_secrets();
        let (_, shelf) = left(&mut secrets, 3);
        let each = record().bytes();
        let limits = WaitingLimits {
            bytes_max: 3 * each,
            ..LIMITS
        };
        let (mut waiting, counts) = beginning(limits, &shelf);
        assert_eq!(waiting.bytes(), 3 * each);
        let secret = secrets.next().expect("one more");
        waiting.keep(at(1).ticket, secret, record(), 5);
        assert_eq!((waiting.bytes(), evicted(&counts)), (3 * each, 1));
        drop(waiting);
        assert_eq!((counts.each()[0].value, counts.each()[1].value), (0, 0));
    }

    #[test]
    fn what_comes_back_waits_within_the_bound_where_it_was() {
        let mut secrets = some_secrets();
        let (drawn, shelf) = left(&mut secrets, 1);
        let (mut waiting, _) = beginning(LIMITS, &shelf);
        let take = Take {
            session: at(101),
            digest: drawn[0].digest(),
            by: at(7),
            user: None,
        };
        for now_ms in [1, 2] {
            let TakeOutcome::Session(taken) = waiting.take(at(101).ticket, take.clone(), now_ms)
            else {
                panic!("it is there");
            };
            assert_eq!(waiting.count(), 0);
            assert!(waiting.give_back(at(101).ticket, taken, now_ms).is_none());
        }
        assert_eq!(
            waiting.expire(999),
            Some(1_000),
            "its time has not begun anew"
        );
        assert_eq!(waiting.expire(1_000), None);
        assert_eq!(waiting.count(), 0);
    }

    #[test]
    fn the_next_process_gets_both_with_the_time_that_they_have() {
        let mut secrets = some_secrets();
        let (_, shelf) = left(&mut secrets, 1);
        let (mut waiting, _) = beginning(LIMITS, &shelf);
        let secret = secrets.next().expect("one more");
        waiting.keep(at(1).ticket, secret, record(), 100);
        waiting.expire(600);
        drop(waiting);
        let mut left: Vec<u128> = (shelf.drain().iter())
            .map(|left| left.remaining.as_millis())
            .collect();
        left.sort_unstable();
        assert_eq!(left, [400, 9_500]);
    }
}
