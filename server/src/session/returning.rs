//! The sessions of an earlier process that one shard has, until their clients come.
//!
//! Invariant: a session is in one place: here, or with the connection that takes it, which brings
//! it back if it cannot go on with it. How many may wait is for their owner, `session/waiting.rs`,
//! which asks here where no session of this process is meant.

use crate::session::counts::{SessionCounts, SessionEnd};
use crate::session::origin::SessionOrigin;
use crate::session::record::SessionRecord;
use crate::session::shelf::ShelvedSession;
use crate::session::take::Take;
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
}

#[derive(Debug)]
struct ReturningSession {
    origin: SessionOrigin,
    bytes: usize,
    record: Box<SessionRecord>,
}

impl Returning {
    /// A shard's part of what an earlier process left. None waits for longer than `keep_ms`.
    pub(crate) fn new(
        found: Vec<ShelvedSession>,
        keep_ms: u64,
        counts: Arc<SessionCounts>,
    ) -> Returning {
        let mut returning = Returning::default();
        returning.counts = counts;
        for session in found {
            returning.put(ReturningSession::of(session, keep_ms));
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
        let digest = take.digest;
        let session = self.entries.get(&digest)?;
        let user = session.record.identity.name();
        let SessionOrigin {
            connection, proof, ..
        } = session.origin;
        let may_have = take.may_have_of(connection, proof, user);
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
        while let Some((due_ms, digest)) = self.order.last().copied() {
            let entry = self.entries.get(&digest);
            if entry.is_some_and(|entry| entry.origin.due_ms == due_ms) {
                return Some(due_ms);
            }
            self.order.pop();
        }
        None
    }

    /// Ends the one that would end next.
    pub(crate) fn end_next(&mut self, end: SessionEnd) {
        if self.next_due().is_none() {
            return;
        }
        if let Some((_, digest)) = self.order.pop() {
            self.remove(digest);
            self.counts.ended(end);
        }
    }

    fn remove(&mut self, digest: SecretDigest) -> Option<ReturningSession> {
        let session = self.entries.remove(&digest)?;
        self.counts.release(session.bytes);
        self.bytes -= session.bytes;
        Some(session)
    }

    /// One went on at another node.
    pub(crate) fn move_away(&mut self, digest: SecretDigest) {
        self.remove(digest);
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Those whose clients have not come, for the next process.
    pub(crate) fn shelved(&self, now_ms: u64) -> impl Iterator<Item = ShelvedSession> {
        self.entries.iter().map(move |(digest, session)| {
            let SessionOrigin {
                connection,
                proof,
                due_ms,
                ..
            } = session.origin;
            ShelvedSession {
                connection,
                digest: *digest,
                proof,
                identity: session.record.identity.clone(),
                rooms: session.record.rooms.clone(),
                remaining: Duration::from_millis(due_ms.saturating_sub(now_ms)),
            }
        })
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

/// The shard ends, and these with it.
impl Drop for Returning {
    fn drop(&mut self) {
        for session in self.entries.values() {
            self.counts.release(session.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::identity::Identity;
    use crate::session::origin::NeededProof;
    use crate::session::token::{Secret, some_secrets};
    use shardcast_engine::{Address, Ticket};

    fn at(shard: u16, slot: u32) -> Address {
        let ticket = Ticket {
            slot,
            generation: 1,
        };
        Address { shard, ticket }
    }

    fn secrets(count: usize) -> Vec<Secret> {
        some_secrets().take(count).collect()
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
            digest: secret.digest(),
            by: at(9, 9),
            user: user.map(Arc::from),
        }
    }

    #[test]
    fn one_with_the_secret_goes_on_and_a_token_is_shown_again() {
        let secrets = secrets(2);
        let found = vec![
            shelved(at(0, 1), secrets[0], NeededProof::Secret, 1_000),
            shelved(at(1, 1), secrets[1], NeededProof::User, 1_000),
        ];
        let mut returning = Returning::new(found, 60_000, Arc::default());
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
    fn each_has_its_time_and_none_more_than_sessions_have_now() {
        let secrets = secrets(5);
        let sessions = secrets.iter().zip(1..).map(|(secret, number)| {
            let slot = number as u32;
            shelved(at(0, slot), *secret, NeededProof::Secret, 1_000 * number)
        });
        let mut returning = Returning::new(sessions.collect(), 4_500, Arc::default());
        let counts = returning.counts.clone();
        let waiting = || counts.each()[0].value;
        assert_eq!(waiting(), 5);
        assert_eq!(returning.expire(2_999), Some(3_000));
        assert_eq!(returning.expire(3_000), Some(4_000));
        assert_eq!((waiting(), returning.count()), (2, 2));
        let mut left: Vec<u128> = (returning.shelved(3_500))
            .map(|left| left.remaining.as_millis())
            .collect();
        left.sort_unstable();
        assert_eq!(left, [500, 1_000]);
        assert_eq!(returning.expire(4_500), None);
        assert_eq!((waiting(), returning.bytes()), (0, 0));
    }
}
