//! Tokens whose signatures were checked off the shard, found again by their digests.
//!
//! Invariants: there are at most [`CheckedTokens::COUNT_MAX`]; of more, the one that came first
//! goes. A token is here only if one of the keys in force has signed it: who replaces keys, clears.
//! Whether its claims hold now is not known here. Asked by all shards.

use crate::auth::claims::Verified;
use aws_lc_rs::digest::{SHA256, digest};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a token is found again by: nobody can make another with the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenDigest([u8; 32]);

/// Tokens whose signatures were right.
#[derive(Debug, Default)]
pub(crate) struct CheckedTokens(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    tokens: HashMap<TokenDigest, Verified>,
    /// In the order in which they came.
    order: VecDeque<TokenDigest>,
    /// Counts the clearings.
    generation: u64,
}

impl TokenDigest {
    pub(crate) fn of(token: &str) -> TokenDigest {
        let digest = digest(&SHA256, token.as_bytes());
        TokenDigest(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl CheckedTokens {
    /// At a few hundred bytes each some megabytes.
    pub(crate) const COUNT_MAX: usize = 16_384;

    pub(crate) fn find(&self, digest: TokenDigest) -> Option<Verified> {
        self.lock().tokens.get(&digest).cloned()
    }

    /// The generation in which a check begins: what it finds is of no use in another.
    pub(crate) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Keeps what a check has found that began in this generation.
    pub(crate) fn keep(&self, digest: TokenDigest, verified: Verified, generation: u64) {
        let mut found = self.lock();
        if found.generation != generation || found.tokens.insert(digest, verified).is_some() {
            return;
        }
        found.order.push_back(digest);
        if found.order.len() > CheckedTokens::COUNT_MAX
            && let Some(oldest) = found.order.pop_front()
        {
            found.tokens.remove(&oldest);
        }
    }

    /// Forgets a token that is over.
    pub(crate) fn forget(&self, digest: TokenDigest) {
        let mut found = self.lock();
        if found.tokens.remove(&digest).is_some() {
            found.order.retain(|other| *other != digest);
        }
    }

    /// Forgets all, as the keys change.
    pub(crate) fn clear(&self) {
        let mut found = self.lock();
        let generation = found.generation + 1;
        *found = Found {
            generation,
            ..Found::default()
        };
    }

    /// Nothing that is done under the lock leaves the two collections apart.
    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::claims::Purpose;

    fn verified() -> Verified {
        Verified::read(serde_json::Map::new(), Purpose::Connection).unwrap()
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let checked = CheckedTokens::default();
        let digest = |n: usize| TokenDigest::of(&n.to_string());
        for n in 0..CheckedTokens::COUNT_MAX + 1 {
            checked.keep(digest(n), verified(), 0);
            checked.keep(digest(n), verified(), 0);
        }
        assert_eq!(checked.find(digest(0)), None);
        assert!(checked.find(digest(1)).is_some());
        assert_eq!(checked.lock().tokens.len(), CheckedTokens::COUNT_MAX);
        checked.forget(digest(1));
        assert_eq!(checked.find(digest(1)), None);
        assert_eq!(checked.lock().order.len(), CheckedTokens::COUNT_MAX - 1);
    }

    #[test]
    fn what_began_with_other_keys_is_not_kept() {
        let checked = CheckedTokens::default();
        let digest = TokenDigest::of("t");
        let before = checked.generation();
        checked.clear();
        checked.keep(digest, verified(), before);
        assert_eq!(checked.find(digest), None);
        checked.keep(digest, verified(), checked.generation());
        assert!(checked.find(digest).is_some());
        checked.clear();
        assert_eq!(checked.find(digest), None);
    }
}
