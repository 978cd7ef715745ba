//! The sessions of one shard that wait for their clients, and those that another connection is
//! about to take.
//!
//! Invariant: a session is in one place. Here it is kept; while it is on its way to another shard
//! it is lent, and nobody else gets it before that shard has said what became of it. Of more than
//! may wait, those that have waited for longest end. Used by `rooms/resume.rs`, on the shard whose
//! connection the session was.

use crate::session::counts::{SessionCounts, SessionEnd};
use crate::session::record::SessionRecord;
use crate::session::shelf::{Shelf, ShelvedSession};
use crate::session::token::Secret;
use foldhash::quality::RandomState;
use shardcast_engine::{Address, Ticket};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// One shard's.
#[derive(Debug)]
pub(crate) struct Records {
    limits: RecordLimits,
    counts: Arc<SessionCounts>,
    entries: HashMap<Ticket, RecordEntry, RandomState>,
    /// By the time at which they end: each waits equally long. Some may be gone already.
    order: VecDeque<(u64, Ticket)>,
    bytes: usize,
    /// When something was asked of it last.
    now_ms: u64,
    /// Where those go that wait when the shard ends, and which shard it is.
    shelf: Option<(Arc<Shelf>, u16)>,
}

/// What one shard may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordLimits {
    pub(crate) keep_ms: u64,
    pub(crate) waiting_max: usize,
    pub(crate) bytes_max: usize,
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

/// A connection that wants to go on with a session.
#[derive(Clone, Debug)]
pub(crate) struct Take {
    /// The connection whose session it is, of this process or an earlier one.
    pub(crate) session: Address,
    pub(crate) secret: Secret,
    pub(crate) by: Address,
    /// Who it is, if it is a user: then it gets no other user's session.
    pub(crate) user: Option<Arc<str>>,
}

impl Take {
    /// Whether it may have a session of this secret and this user.
    pub(crate) fn may_have(&self, secret: Secret, user: Option<&str>) -> bool {
        self.secret == secret && (self.user.is_none() || self.user.as_deref() == user)
    }
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

    pub(crate) fn new(limits: RecordLimits, counts: Arc<SessionCounts>) -> Records {
        Records {
            limits,
            counts,
            entries: HashMap::default(),
            order: VecDeque::new(),
            bytes: 0,
            now_ms: 0,
            shelf: None,
        }
    }

    /// Those that wait when the shard ends go there.
    pub(crate) fn outlive(&mut self, shelf: Arc<Shelf>, shard: u16) {
        self.shelf = Some((shelf, shard));
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
        let due_ms = now_ms + self.limits.keep_ms;
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
        while self.entries.len() > self.limits.waiting_max || self.bytes > self.limits.bytes_max {
            let Some((due_ms, oldest)) = self.order.pop_front() else {
                break;
            };
            self.end(oldest, due_ms, SessionEnd::Evicted);
        }
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
            Holding::Lent { waiting } if entry.secret == take.secret && waiting.is_none() => {
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
        self.now_ms = now_ms;
        while let Some((due_ms, who)) = self.order.front().copied() {
            if due_ms > now_ms {
                return Some(due_ms);
            }
            self.order.pop_front();
            self.end(who, due_ms, SessionEnd::Expired);
        }
        None
    }

    /// Ends the session that was to end at this time; one that was put here again is another.
    fn end(&mut self, who: Ticket, due_ms: u64, end: SessionEnd) {
        let is_it = (self.entries.get(&who)).is_some_and(|entry| entry.due_ms == due_ms);
        let ended = if is_it { self.remove(who) } else { None };
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

    /// Sessions that wait, those on their way included.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }
}

/// The shard ends, and what it kept with it, but for what outlives the process.
impl Drop for Records {
    fn drop(&mut self) {
        if let Some((shelf, shard)) = self.shelf.take() {
            let now_ms = self.now_ms;
            let kept = self.entries.iter().filter_map(|(ticket, entry)| {
                let Holding::Kept(record) = &entry.state else {
                    return None;
                };
                let (shard, ticket) = (shard, *ticket);
                let remaining = Duration::from_millis(entry.due_ms.saturating_sub(now_ms));
                ShelvedSession::of(Address { shard, ticket }, entry.secret, record, remaining)
            });
            shelf.leave(kept);
        }
        for entry in self.entries.values() {
            self.counts.release(entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::identity::Identity;
    use crate::session::token::{SecretSource, Secrets};

    const LIMITS: RecordLimits = RecordLimits {
        keep_ms: 1_000,
        waiting_max: 4,
        bytes_max: 1 << 20,
    };

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
    fn bench(limits: RecordLimits, count: u32) -> Bench {
        let mut secrets = Secrets::new(SecretSource::Counted(0));
        let mut records = Records::new(limits, Arc::default());
        let secrets = (0..count).map(|slot| {
            let secret = secrets.take().expect("counted");
            let user = format!("user-{slot}");
            let due = records.keep(ticket(slot), secret, record(&user), u64::from(slot) + 1);
            assert_eq!(due, u64::from(slot) + 1 + limits.keep_ms);
            secret
        });
        let secrets = secrets.collect();
        Bench { records, secrets }
    }

    fn take(secret: Secret, user: Option<&str>) -> Take {
        Take {
            session: by(0),
            secret,
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
        } = bench(LIMITS, 2);
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
        } = bench(LIMITS, 1);
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
        } = bench(LIMITS, 3);
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
    fn the_oldest_make_room() {
        let Bench { records, .. } = bench(LIMITS, 10);
        let mut kept: Vec<u32> = records.entries.keys().map(|ticket| ticket.slot).collect();
        kept.sort_unstable();
        assert_eq!(kept, [6, 7, 8, 9]);
        assert_eq!(lost(&records, "evicted"), 6);
        let each = record("user-0").bytes();
        let bytes_max = 3 * each;
        let limits = RecordLimits {
            bytes_max,
            ..LIMITS
        };
        let Bench { records, .. } = bench(limits, 10);
        assert_eq!((records.count(), records.bytes), (3, 3 * each));
        let waiting = records.counts.each()[0];
        assert_eq!((waiting.name, waiting.value), ("sessions_waiting", 3));
        let counts = records.counts.clone();
        drop(records);
        assert_eq!((counts.each()[0].value, counts.each()[1].value), (0, 0));
    }

    #[test]
    fn coming_and_going_leaves_nothing() {
        let Bench {
            mut records,
            secrets,
        } = bench(LIMITS, 1);
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
