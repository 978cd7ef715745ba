//! The sessions of an earlier process that one shard has, until their clients come.
//!
//! Invariant: a session is in one place: here, or with the connection that takes it, which brings
//! it back if it cannot go on with it. As many as may wait, within their bytes; they are let go
//! when their time is over. Used by `rooms/resume.rs` where no session of this process is meant.

use crate::session::counts::{SessionCounts, SessionEnd};
use crate::session::origin::{NeededProof, SessionOrigin};
use crate::session::record::SessionRecord;
use crate::session::records::{RecordLimits, Take};
use crate::session::shelf::{Shelf, ShelvedSession};
use crate::session::token::SecretDigest;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// One shard's.
#[derive(Debug, Default)]
pub(crate) struct Returning {
    counts: Arc<SessionCounts>,
    /// By what tells sessions of several processes apart.
    entries: HashMap<SecretDigest, ReturningSession>,
    /// The last first; some may be gone already.
    order: Vec<(u64, SecretDigest)>,
    bytes: usize,
    shelf: Option<Arc<Shelf>>,
    /// When something was asked of it last.
    now_ms: u64,
}

#[derive(Debug)]
struct ReturningSession {
    origin: SessionOrigin,
    bytes: usize,
    record: Box<SessionRecord>,
}

impl Returning {
    /// A shard's part of what an earlier process left; of too many, those with the least time left
    /// end.
    pub(crate) fn new(
        shelf: Arc<Shelf>,
        shard: u16,
        shards: usize,
        limits: RecordLimits,
        counts: Arc<SessionCounts>,
    ) -> Returning {
        let mut found = shelf.take(shard, shards);
        found.sort_by_key(|session| std::cmp::Reverse(session.remaining));
        let mut returning = Returning::default();
        (returning.counts, returning.shelf) = (counts, Some(shelf));
        for session in found {
            let session = ReturningSession::of(session, limits.keep_ms);
            let bytes = returning.bytes + session.bytes;
            if returning.entries.len() == limits.waiting_max || bytes > limits.bytes_max {
                returning.counts.ended(SessionEnd::Evicted);
                continue;
            }
            returning.put(session);
        }
        returning
    }

    fn put(&mut self, session: ReturningSession) {
        let SessionOrigin { digest, due_ms, .. } = session.origin;
        self.remove(digest);
        self.counts.keep(session.bytes);
        self.bytes += session.bytes;
        let at = self.order.partition_point(|(other, _)| *other > due_ms);
        self.order.insert(at, (due_ms, digest));
        self.entries.insert(digest, session);
    }

    /// Somebody wants the session of a connection of an earlier process.
    pub(crate) fn take(&mut self, take: &Take, now_ms: u64) -> Option<Box<SessionRecord>> {
        self.expire(now_ms);
        let digest = take.secret.digest();
        let session = self.entries.get(&digest)?;
        let user = session.record.identity.name();
        let may_have = session.origin.connection == take.session
            && match (&take.user, session.origin.proof) {
                (Some(name), _) => Some(&**name) == user,
                (None, NeededProof::Secret) => true,
                (None, NeededProof::User) => false,
            };
        if !may_have {
            return None;
        }
        let session = self.remove(digest)?;
        let mut record = session.record;
        record.origin = Some(Box::new(session.origin));
        Some(record)
    }

    /// Whoever took it is gone, or may not have it: it waits as before.
    pub(crate) fn put_back(&mut self, origin: SessionOrigin, record: Box<SessionRecord>) {
        let bytes = record.bytes();
        self.put(ReturningSession {
            origin,
            bytes,
            record,
        });
    }

    /// Ends those whose time is over. When the next one ends.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Option<u64> {
        self.now_ms = now_ms;
        while let Some((due_ms, digest)) = self.order.last().copied() {
            let entry = self.entries.get(&digest);
            let is_it = entry.is_some_and(|entry| entry.origin.due_ms == due_ms);
            if is_it && due_ms > now_ms {
                return Some(due_ms);
            }
            self.order.pop();
            if is_it {
                self.remove(digest);
                self.counts.ended(SessionEnd::Expired);
            }
        }
        None
    }

    fn remove(&mut self, digest: SecretDigest) -> Option<ReturningSession> {
        let session = self.entries.remove(&digest)?;
        self.counts.release(session.bytes);
        self.bytes -= session.bytes;
        Some(session)
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl ReturningSession {
    /// The engine's clock begins at 0. None waits for longer than sessions do now.
    fn of(session: ShelvedSession, keep_ms: u64) -> ReturningSession {
        let remaining_ms = u64::try_from(session.remaining.as_millis()).unwrap_or(u64::MAX);
        let record = Box::new(SessionRecord {
            identity: session.identity,
            rooms: session.rooms,
            ..SessionRecord::default()
        });
        ReturningSession {
            origin: SessionOrigin {
                connection: session.connection,
                digest: session.digest,
                proof: session.proof,
                due_ms: remaining_ms.min(keep_ms),
            },
            bytes: record.bytes(),
            record,
        }
    }
}

/// The shard ends: those whose clients have not come wait for the next process.
impl Drop for Returning {
    fn drop(&mut self) {
        let now_ms = self.now_ms;
        let entries = self.entries.drain().map(|(digest, session)| {
            self.counts.release(session.bytes);
            let SessionOrigin {
                connection,
                proof,
                due_ms,
                ..
            } = session.origin;
            ShelvedSession {
                connection,
                digest,
                proof,
                identity: session.record.identity.clone(),
                rooms: session.record.rooms.clone(),
                remaining: Duration::from_millis(due_ms.saturating_sub(now_ms)),
            }
        });
        match &self.shelf {
            Some(shelf) => shelf.leave(entries),
            None => drop(entries),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::identity::Identity;
    use crate::session::token::{Secret, SecretSource, Secrets};
    use shardcast_engine::{Address, Ticket};

    const LIMITS: RecordLimits = RecordLimits {
        keep_ms: 60_000,
        waiting_max: 3,
        bytes_max: 1 << 20,
    };

    fn at(shard: u16, slot: u32) -> Address {
        let ticket = Ticket {
            slot,
            generation: 1,
        };
        Address { shard, ticket }
    }

    fn secrets(count: usize) -> Vec<Secret> {
        let mut secrets = Secrets::new(SecretSource::Counted(0));
        (0..count).filter_map(|_| secrets.take()).collect()
    }

    fn shelved(connection: Address, secret: Secret, proof: NeededProof, ms: u64) -> ShelvedSession {
        ShelvedSession {
            connection,
            digest: secret.digest(),
            proof,
            identity: Identity::user("ann").expect("a name"),
            rooms: Vec::new(),
            remaining: Duration::from_millis(ms),
        }
    }

    fn take(session: Address, secret: Secret, user: Option<&str>) -> Take {
        Take {
            session,
            secret,
            by: at(9, 9),
            user: user.map(Arc::from),
        }
    }

    fn returning(shelf: &Arc<Shelf>, shard: u16, shards: usize) -> Returning {
        Returning::new(shelf.clone(), shard, shards, LIMITS, Arc::default())
    }

    #[test]
    fn one_with_the_secret_goes_on_and_a_token_is_shown_again() {
        let secrets = secrets(2);
        let shelf = Arc::new(Shelf::holding(vec![
            shelved(at(0, 1), secrets[0], NeededProof::Secret, 1_000),
            shelved(at(1, 1), secrets[1], NeededProof::User, 1_000),
        ]));
        // Four shards became one.
        let mut returning = returning(&shelf, 0, 1);
        let (plain, proved) = (at(0, 1), at(1, 1));
        for wrong in [
            take(plain, secrets[1], None),
            take(plain, secrets[0], Some("eve")),
            take(at(0, 2), secrets[0], None),
            take(proved, secrets[1], None),
            take(proved, secrets[1], Some("eve")),
        ] {
            assert!(returning.take(&wrong, 5).is_none(), "{wrong:?}");
        }
        let first = take(plain, secrets[0], None);
        let mut record = returning.take(&first, 5).expect("it is there");
        assert!(returning.take(&first, 5).is_none(), "it is given out once");
        let origin = record.origin.take().expect("of an earlier process");
        returning.put_back(*origin, record);
        assert!(returning.take(&first, 6).is_some());
        assert!(
            returning
                .take(&take(proved, secrets[1], Some("ann")), 6)
                .is_some()
        );
        assert_eq!(returning.bytes(), 0);
    }

    #[test]
    fn each_has_its_time_and_the_rest_waits_for_the_next_process() {
        let secrets = secrets(5);
        let sessions = secrets.iter().zip(1..).map(|(secret, number)| {
            let slot = number as u32;
            shelved(at(0, slot), *secret, NeededProof::Secret, 1_000 * number)
        });
        let shelf = Arc::new(Shelf::holding(sessions.collect()));
        let mut returning = returning(&shelf, 0, 2);
        let waiting = |returning: &Returning| returning.counts.each()[0].value;
        assert_eq!(waiting(&returning), 3, "as many as may wait");
        assert_eq!(returning.expire(2_999), Some(3_000));
        assert_eq!(returning.expire(3_000), Some(4_000));
        let counts = returning.counts.clone();
        drop(returning);
        assert_eq!((counts.each()[0].value, counts.each()[1].value), (0, 0));
        let mut left: Vec<u128> = shelf
            .drain()
            .iter()
            .map(|left| left.remaining.as_millis())
            .collect();
        left.sort_unstable();
        assert_eq!(left, [1_000, 2_000]);
    }
}
