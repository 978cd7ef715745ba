//! The sessions of one shard and this process that wait for their clients, and those that another
//! connection is about to take.
//!
//! Invariant: a session is in one place. Here it is kept; while it is on its way to another shard
//! it is lent, and nobody else gets it before that shard has said what became of it. How many may
//! wait is for their owner, `session/waiting.rs`.

use crate::session::copies::SessionNow;
use crate::session::counts::{SessionCounts, SessionEnd};
use crate::session::record::SessionRecord;
use crate::session::shelf::ShelvedSession;
use crate::session::take::Take;
use crate::session::token::{Secret, SecretDigest};
use foldhash::quality::RandomState;
use shardcast_engine::{Address, Ticket};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// One shard's.
#[derive(Debug)]
pub(crate) struct Records {
    /// How long each waits.
    keep_ms: u64,
    counts: Arc<SessionCounts>,
    entries: HashMap<Ticket, RecordEntry, RandomState>,
    /// By the time at which they end: each waits equally long. Some may be gone already.
    order: VecDeque<(u64, Ticket)>,
    bytes: usize,
}

#[derive(Debug)]
struct RecordEntry {
    secret: Secret,
    due_ms: u64,
    bytes: usize,
    state: Holding,
}

#[derive(Debug)]
enum Holding {
    Kept(Box<SessionRecord>),
    /// It is on its way to somebody; whoever asks meanwhile waits, or one of them.
    Lent {
        waiting: Option<Take>,
    },
}

/// What somebody who wants a session gets.
#[derive(Debug)]
pub(crate) enum TakeOutcome {
    Session(Box<SessionRecord>),
    None,
    /// It hears later.
    Later,
}

impl Records {
    /// Bytes of all that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn new(keep_ms: u64, counts: Arc<SessionCounts>) -> Records {
        Records {
            keep_ms,
            counts,
            entries: HashMap::default(),
            order: VecDeque::new(),
            bytes: 0,
        }
    }

    /// A connection has gone, and its session waits. When it ends, if nobody comes.
    pub(crate) fn keep(
        &mut self,
        who: Ticket,
        secret: Secret,
        record: Box<SessionRecord>,
        now_ms: u64,
    ) -> u64 {
        let bytes = record.bytes();
        self.insert(who, secret, bytes, Holding::Kept(record), now_ms)
    }

    /// The session of a connection that is there goes to another one.
    pub(crate) fn lend(&mut self, who: Ticket, secret: Secret, now_ms: u64) -> u64 {
        let state = Holding::Lent { waiting: None };
        self.insert(who, secret, size_of::<RecordEntry>(), state, now_ms)
    }

    fn insert(
        &mut self,
        who: Ticket,
        secret: Secret,
        bytes: usize,
        state: Holding,
        now_ms: u64,
    ) -> u64 {
        self.expire(now_ms);
        let due_ms = now_ms + self.keep_ms;
        let entry = RecordEntry {
            secret,
            due_ms,
            bytes,
            state,
        };
        self.remove(who);
        self.counts.keep(bytes);
        self.bytes += bytes;
        self.entries.insert(who, entry);
        self.order.push_back((due_ms, who));
        self.compact();
        due_ms
    }

    /// Somebody wants the session of a connection that is gone.
    pub(crate) fn take(&mut self, who: Ticket, take: Take, now_ms: u64) -> TakeOutcome {
        self.expire(now_ms);
        let Some(entry) = self.entries.get_mut(&who) else {
            return TakeOutcome::None;
        };
        match &mut entry.state {
            Holding::Kept(record) => {
                if !take.may_have(entry.secret, record.identity.name()) {
                    return TakeOutcome::None;
                }
                let record = std::mem::take(record);
                let secret = entry.secret;
                self.lend(who, secret, now_ms);
                TakeOutcome::Session(record)
            }
            Holding::Lent { waiting } if take.knows(entry.secret) && waiting.is_none() => {
                *waiting = Some(take);
                TakeOutcome::Later
            }
            Holding::Lent { .. } => TakeOutcome::None,
        }
    }

    /// Whoever took the session has it. Who has waited for it, and gets nothing.
    pub(crate) fn settle(&mut self, who: Ticket) -> Option<Take> {
        match self.remove(who)?.state {
            Holding::Lent { waiting } => waiting,
            Holding::Kept(_) => None,
        }
    }

    /// Whoever was to take the session has gone itself: it waits as before, or goes to who has
    /// waited for it.
    pub(crate) fn give_back(
        &mut self,
        who: Ticket,
        record: Box<SessionRecord>,
        now_ms: u64,
    ) -> Option<(Take, TakeOutcome)> {
        let Some(RecordEntry { secret, state, .. }) = self.remove(who) else {
            self.counts.ended(SessionEnd::Evicted);
            return None;
        };
        self.keep(who, secret, record, now_ms);
        let Holding::Lent { waiting } = state else {
            return None;
        };
        let take = waiting?;
        let taken = self.take(who, take.clone(), now_ms);
        Some((take, taken))
    }

    /// Ends those whose time is over. When the next one ends.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Option<u64> {
        while let Some(due_ms) = self.next_due() {
            if due_ms > now_ms {
                return Some(due_ms);
            }
            self.end_next(SessionEnd::Expired);
        }
        None
    }

    /// When the next one ends.
    pub(crate) fn next_due(&mut self) -> Option<u64> {
        while let Some((due_ms, who)) = self.order.front().copied() {
            // One that was put here again is another.
            if (self.entries.get(&who)).is_some_and(|entry| entry.due_ms == due_ms) {
                return Some(due_ms);
            }
            self.order.pop_front();
        }
        None
    }

    /// Ends the one that would end next. One that is lent is no loss of its own.
    pub(crate) fn end_next(&mut self, end: SessionEnd) {
        if self.next_due().is_none() {
            return;
        }
        let next = self.order.pop_front();
        let ended = next.and_then(|(_, who)| self.remove(who));
        if let Some(Holding::Kept(_)) = ended.map(|entry| entry.state) {
            self.counts.ended(end);
        }
    }

    fn remove(&mut self, who: Ticket) -> Option<RecordEntry> {
        let entry = self.entries.remove(&who)?;
        self.bytes -= entry.bytes;
        self.counts.release(entry.bytes);
        Some(entry)
    }

    /// Those that are gone keep no place for long.
    fn compact(&mut self) {
        if self.order.len() > 64 + 2 * self.entries.len() {
            let entries = &self.entries;
            self.order.retain(|(due_ms, who)| {
                (entries.get(who)).is_some_and(|entry| entry.due_ms == *due_ms)
            });
        }
    }

    /// Keeps no more than there is.
    pub(crate) fn release_memory(&mut self) {
        self.compact();
        self.entries.shrink_to_fit();
        self.order.shrink_to_fit();
    }

    /// Those that wait, of this shard, for the next process.
    pub(crate) fn shelved(&self, shard: u16, now_ms: u64) -> impl Iterator<Item = ShelvedSession> {
        self.entries.iter().filter_map(move |(ticket, entry)| {
            let Holding::Kept(record) = &entry.state else {
                return None;
            };
            let ticket = *ticket;
            let remaining = Duration::from_millis(entry.due_ms.saturating_sub(now_ms));
            let address = Address { shard, ticket };
            ShelvedSession::of(address, entry.secret.digest(), record, remaining)
        })
    }

    /// The session of a connection that is gone, as another process would have it.
    pub(crate) fn now(&mut self, who: Address, now_ms: u64) -> SessionNow {
        self.expire(now_ms);
        let Some(entry) = self.entries.get(&who.ticket) else {
            return SessionNow::Over;
        };
        let Holding::Kept(record) = &entry.state else {
            return SessionNow::Lent;
        };
        let remaining = Duration::from_millis(entry.due_ms.saturating_sub(now_ms));
        let shelved = ShelvedSession::of(who, entry.secret.digest(), record, remaining);
        shelved.map_or(SessionNow::Over, |shelved| {
            SessionNow::Waiting(Box::new(shelved))
        })
    }

    /// It went on at another node, unless it is on its way to somebody here.
    pub(crate) fn move_away(&mut self, who: Ticket, digest: SecretDigest) {
        let entry = self.entries.get(&who);
        let is_it = entry.is_some_and(|entry| {
            matches!(entry.state, Holding::Kept(_)) && entry.secret.digest() == digest
        });
        if is_it {
            self.remove(who);
        }
    }

    /// Sessions that wait, those on their way included.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }
}

/// The shard ends, and these with it.
impl Drop for Records {
    fn drop(&mut self) {
        for entry in self.entries.values() {
            self.counts.release(entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::identity::Identity;
    use crate::session::token::some_secrets;

    const KEEP_MS: u64 = 1_000;

    fn ticket(slot: u32) -> Ticket {
        let generation = 1;
        Ticket { slot, generation }
    }

    fn by(slot: u32) -> Address {
        let ticket = ticket(slot);
        Address { shard: 1, ticket }
    }

    fn record(user: &str) -> Box<SessionRecord> {
        let identity = Identity::user(user).expect("a name");
        Box::new(SessionRecord {
            identity,
            ..SessionRecord::default()
        })
    }

    struct Bench {
        records: Records,
        secrets: Vec<Secret>,
    }

    /// `count` sessions, one a millisecond from 1 on.
    fn bench(count: u32) -> Bench {
        let mut records = Records::new(KEEP_MS, Arc::default());
        let secrets = (0..count).zip(some_secrets()).map(|(slot, secret)| {
            let user = format!("user-{slot}");
            let due = records.keep(ticket(slot), secret, record(&user), u64::from(slot) + 1);
            assert_eq!(due, u64::from(slot) + 1 + KEEP_MS);
            secret
        });
        let secrets = secrets.collect();
        Bench { records, secrets }
    }

    fn take(secret: Secret, user: Option<&str>) -> Take {
        Take {
            session: by(0),
            digest: secret.digest(),
            by: by(9),
            user: user.map(Arc::from),
        }
    }

    fn lost(records: &Records, reason: &str) -> u64 {
        let counts = records.counts.each();
        let lost = counts
            .iter()
            .find(|count| count.label == Some(("reason", reason)));
        lost.expect("it is counted").value
    }

    #[test]
    fn one_gets_it_and_nobody_else() {
        let Bench {
            mut records,
            secrets,
        } = bench(2);
        let none = |taken: TakeOutcome| matches!(taken, TakeOutcome::None);
        assert!(
            none(records.take(ticket(0), take(secrets[1], None), 5)),
            "wrong secret"
        );
        assert!(
            none(records.take(ticket(7), take(secrets[0], None), 5)),
            "nobody"
        );
        let other = take(secrets[0], Some("user-1"));
        assert!(none(records.take(ticket(0), other, 5)), "another user's");
        let TakeOutcome::Session(taken) =
            records.take(ticket(0), take(secrets[0], Some("user-0")), 5)
        else {
            panic!("it is there");
        };
        assert_eq!(taken.identity.name(), Some("user-0"));
        let waits = records.take(ticket(0), take(secrets[0], None), 5);
        assert!(matches!(waits, TakeOutcome::Later));
        assert!(
            none(records.take(ticket(0), take(secrets[0], None), 5)),
            "one waits"
        );
        assert!(records.settle(ticket(0)).is_some());
        assert!(
            none(records.take(ticket(0), take(secrets[0], None), 5)),
            "it is gone"
        );
        assert_eq!(records.count(), 1);
    }

    #[test]
    fn what_comes_back_goes_to_who_has_waited() {
        let Bench {
            mut records,
            secrets,
        } = bench(1);
        let TakeOutcome::Session(taken) = records.take(ticket(0), take(secrets[0], None), 5) else {
            panic!("it is there");
        };
        assert!(records.give_back(ticket(0), taken, 6).is_none());
        let TakeOutcome::Session(taken) = records.take(ticket(0), take(secrets[0], None), 7) else {
            panic!("it is there again");
        };
        assert!(matches!(
            records.take(ticket(0), take(secrets[0], None), 7),
            TakeOutcome::Later
        ));
        let given = records.give_back(ticket(0), taken, 8);
        assert!(matches!(given, Some((_, TakeOutcome::Session(_)))));
        assert!(records.settle(ticket(0)).is_none());
        assert_eq!(records.count(), 0);
    }

    #[test]
    fn each_has_its_time() {
        let Bench {
            mut records,
            secrets,
        } = bench(3);
        assert_eq!(records.expire(1_000), Some(1_001));
        assert_eq!(records.expire(1_001), Some(1_002));
        assert!(matches!(
            records.take(ticket(0), take(secrets[0], None), 1_001),
            TakeOutcome::None
        ));
        assert!(matches!(
            records.take(ticket(1), take(secrets[1], None), 1_001),
            TakeOutcome::Session(_)
        ));
        // One that was lent and forgotten ends as well, later, and is no loss of its own.
        assert_eq!(records.expire(1_003), Some(2_001));
        assert_eq!(records.expire(2_001), None);
        assert_eq!((records.count(), records.bytes), (0, 0));
        assert_eq!(lost(&records, "expired"), 2);
    }

    #[test]
    fn coming_and_going_leaves_nothing() {
        let Bench {
            mut records,
            secrets,
        } = bench(1);
        for now in 2..10_000 {
            let TakeOutcome::Session(taken) = records.take(ticket(0), take(secrets[0], None), now)
            else {
                panic!("{now}");
            };
            records.give_back(ticket(0), taken, now);
        }
        assert!(records.order.len() <= 66, "{}", records.order.len());
        assert_eq!(records.count(), 1);
    }
}
