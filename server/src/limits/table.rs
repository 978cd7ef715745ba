//! A table that all shards share and touch only where connections begin and end, or a limit of
//! several of them is charged: striped, so that shards seldom wait for each other.
//!
//! Invariant: it has at most so many entries as it was made for, give or take a stripe's share.
//! What is idle goes first; its caller says what happens to whoever finds no place.

use foldhash::quality::RandomState;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of how many parts each table is.
const STRIPES: usize = 64;

type Stripe<K, V> = HashMap<K, V, RandomState>;

/// Keys and what is known of each.
#[derive(Debug)]
pub(crate) struct StripedTable<K, V> {
    stripes: Box<[Mutex<Stripe<K, V>>]>,
    /// The process's, so that nobody can choose keys that meet in a stripe.
    seed: RandomState,
    per_stripe_max: usize,
}

impl<K: Hash + Eq, V> StripedTable<K, V> {
    /// With at most about so many entries.
    pub(crate) fn new(entries_max: usize) -> StripedTable<K, V> {
        StripedTable {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            seed: RandomState::default(),
            per_stripe_max: entries_max.div_ceil(STRIPES),
        }
    }

    fn stripe<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, Stripe<K, V>> {
        let hash = self.seed.hash_one(key);
        // The map itself takes the lower bits.
        let stripe = &self.stripes[(hash >> 32) as usize % STRIPES];
        stripe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the entry of a key, if there is one, and removes it if nothing is left of it.
    pub(crate) fn change<Q, T>(
        &self,
        key: &Q,
        change: impl FnOnce(&mut V) -> (Keep, T),
    ) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut stripe = self.stripe(key);
        let (keep, result) = change(stripe.get_mut(key)?);
        if keep == Keep::No {
            stripe.remove(key);
        }
        Some(result)
    }

    /// The same for a key that gets an entry if it has none. `None`: there is no place for one, and
    /// nothing was changed. What `is_idle` makes place before that.
    pub(crate) fn enter<T>(
        &self,
        key: K,
        make: impl FnOnce() -> V,
        is_idle: impl Fn(&V) -> bool,
        change: impl FnOnce(&mut V) -> T,
    ) -> Option<T> {
        let mut stripe = self.stripe(&key);
        if stripe.len() >= self.per_stripe_max && !stripe.contains_key(&key) {
            stripe.retain(|_, value| !is_idle(value));
            if stripe.len() >= self.per_stripe_max {
                return None;
            }
        }
        Some(change(stripe.entry(key).or_insert_with(make)))
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        let stripes = self.stripes.iter();
        let counts = stripes.map(|it| it.lock().unwrap_or_else(PoisonError::into_inner).len());
        counts.sum()
    }
}

/// Whether something is left of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Yes,
    No,
}
