//! Sessions that outlive the process: what an earlier process left waits here for the shards of
//! this one, and what the shards of this one leave, for the store.
//!
//! Invariant: a session is given out once. What needs the proof of a token goes on only with the
//! connection of a user who has shown one, since tokens are not kept. Filled and emptied by the
//! store, while no shard runs; used by shards when they begin and when they end.

use crate::session::identity::Identity;
use crate::session::origin::NeededProof;
use crate::session::record::{KeptRoom, SessionRecord};
use crate::session::token::SecretDigest;
use shardcast_engine::Address;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A session without its process. What an application keeps with it ended with that.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShelvedSession {
    /// The connection that it was, of that process.
    pub(crate) connection: Address,
    pub(crate) digest: SecretDigest,
    pub(crate) proof: NeededProof,
    /// Without claims.
    pub(crate) identity: Identity,
    pub(crate) rooms: Vec<KeptRoom>,
    /// How long it still waits for its client.
    pub(crate) remaining: Duration,
}

impl ShelvedSession {
    /// A session that waits, unless nobody could prove whose it is: a token without a user.
    pub(crate) fn of(
        connection: Address,
        digest: SecretDigest,
        record: &SessionRecord,
        remaining: Duration,
    ) -> Option<ShelvedSession> {
        let SessionRecord {
            identity, rooms, ..
        } = record;
        // What ends has to be proved again: neither tokens nor ends are kept.
        let ends = identity.claims().is_some() || identity.lasts().is_some();
        let proof = match (ends, identity.name()) {
            (false, _) => NeededProof::Secret,
            (true, Some(_)) => NeededProof::User,
            (true, None) => return None,
        };
        Some(ShelvedSession {
            connection,
            digest,
            proof,
            identity: identity.clone().without_claims(),
            rooms: rooms.clone(),
            remaining,
        })
    }
}

/// Of one engine.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    found: Mutex<Vec<ShelvedSession>>,
    left: Mutex<Vec<ShelvedSession>>,
}

impl Shelf {
    /// What an earlier process left.
    pub(crate) fn holding(found: Vec<ShelvedSession>) -> Shelf {
        let found = Mutex::new(found);
        Shelf {
            found,
            left: Mutex::default(),
        }
    }

    /// What is a shard's, of so many: the one that the connection was on, as far as there is one.
    pub(crate) fn take(&self, shard: u16, shards: usize) -> Vec<ShelvedSession> {
        let mut found = lock(&self.found);
        let is_its = |session: &mut ShelvedSession| {
            usize::from(session.connection.shard) % shards.max(1) == usize::from(shard)
        };
        found.extract_if(.., is_its).collect()
    }

    /// A shard ends, and these with it.
    pub(crate) fn leave(&self, sessions: impl Iterator<Item = ShelvedSession>) {
        lock(&self.left).extend(sessions);
    }

    /// What is to be stored: what shards have left, and what none has taken.
    pub(crate) fn drain(&self) -> Vec<ShelvedSession> {
        let mut left = std::mem::take(&mut *lock(&self.left));
        left.append(&mut lock(&self.found));
        left
    }
}

/// A vector is whole whoever panicked.
fn lock(sessions: &Mutex<Vec<ShelvedSession>>) -> MutexGuard<'_, Vec<ShelvedSession>> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}
