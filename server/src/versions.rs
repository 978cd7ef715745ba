//! A value that is exchanged while shards use it: rules that a reload brings.
//!
//! Invariant: every version stays where it is until all go, so whoever looks at one may go on with
//! it, without a lock and without counting: a shard reads one index and one place. As many as may
//! be are bounded; what comes behind them takes a restart. Made where rules are shared by shards.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The versions of a value, the last of which is current.
#[derive(Debug)]
pub(crate) struct Versions<T> {
    places: Box<[OnceLock<T>]>,
    current: AtomicUsize,
}

impl<T> Versions<T> {
    /// Versions of one process: reloads that change the value are rare.
    const COUNT_MAX: usize = 256;

    /// With its first version.
    pub(crate) fn new(first: T) -> Versions<T> {
        Versions::with_places(first, Versions::<T>::COUNT_MAX)
    }

    fn with_places(first: T, places: usize) -> Versions<T> {
        let mut all: Vec<OnceLock<T>> = Vec::new();
        all.push(OnceLock::from(first));
        all.resize_with(places, OnceLock::new);
        Versions {
            places: all.into(),
            current: AtomicUsize::new(0),
        }
    }

    /// The current one.
    pub(crate) fn get(&self) -> &T {
        let current = self.places[self.current.load(Ordering::Acquire)].get();
        current.expect("a version is there before it is current")
    }

    /// Whether the current one is not the first.
    pub(crate) fn has_changed(&self) -> bool {
        self.current.load(Ordering::Acquire) > 0
    }

    /// Another one from here on. False: there is no place for it, and the current one stays.
    pub(crate) fn replace(&self, next: T) -> bool {
        let index = self.current.load(Ordering::Acquire) + 1;
        let is_set = self
            .places
            .get(index)
            .is_some_and(|place| place.set(next).is_ok());
        if is_set {
            self.current.store(index, Ordering::Release);
        }
        is_set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looked_at_one_keeps_it_and_the_last_place_is_the_last() {
        let versions = Versions::with_places(0, 3);
        let first = versions.get();
        assert!(!versions.has_changed());
        for next in [1, 2] {
            assert!(versions.replace(next));
            assert_eq!(*versions.get(), next);
        }
        assert!(versions.has_changed());
        assert!(!versions.replace(3));
        assert_eq!((*first, *versions.get()), (0, 2));
    }
}
