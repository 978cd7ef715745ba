//! A list that mostly has one entry, or none: the members that a topic has on a shard, the shards
//! where it has members.
//!
//! One entry costs no allocation; of an entry of 8 bytes the list takes 16. Used by subscribers,
//! homes and cursors.

use std::ops::{Deref, DerefMut};

/// The list.
#[derive(Debug, Default)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    // A boxed Vec keeps the enum at two words; a list of several pays one more indirection.
    #[allow(clippy::box_collection)]
    Many(Box<Vec<T>>),
}

impl<T> Few<T> {
    /// Appends an entry.
    pub(crate) fn push(&mut self, entry: T) {
        match self {
            Few::None => *self = Few::One(entry),
            Few::Many(many) => many.push(entry),
            Few::One(_) => self.several().push(entry),
        }
    }

    /// Puts an entry at a place; those from there on move by one.
    pub(crate) fn insert(&mut self, at: usize, entry: T) {
        match self {
            Few::None => self.push(entry),
            Few::One(_) | Few::Many(_) => self.several().insert(at, entry),
        }
    }

    /// Takes an entry out; those behind it move by one.
    pub(crate) fn remove(&mut self, at: usize) {
        self.take_out(|many| {
            many.remove(at);
        });
    }

    /// Takes an entry out; the last one takes its place.
    pub(crate) fn swap_remove(&mut self, at: usize) {
        self.take_out(|many| {
            many.swap_remove(at);
        });
    }

    /// Gives back room that is more than `slack_max` entries and more than three quarters of all.
    pub(crate) fn shrink(&mut self, slack_max: usize) {
        if let Few::Many(many) = self
            && many.capacity() > slack_max
            && many.capacity() > 4 * many.len()
        {
            many.shrink_to(2 * many.len());
        }
    }

    fn take_out(&mut self, take: impl FnOnce(&mut Vec<T>)) {
        let many = self.several();
        take(many);
        if many.is_empty() {
            *self = Few::None;
        }
    }

    #[allow(clippy::box_collection)] // See `Few::Many`.
    fn several(&mut self) -> &mut Vec<T> {
        if !matches!(self, Few::Many(_)) {
            let entries = match std::mem::take(self) {
                Few::One(one) => vec![one],
                Few::None | Few::Many(_) => Vec::new(),
            };
            *self = Few::Many(Box::new(entries));
        }
        match self {
            Few::Many(many) => many,
            Few::None | Few::One(_) => unreachable!("it has become one of several"),
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(one) => std::slice::from_ref(one),
            Few::Many(many) => many,
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Few::None => &mut [],
            Few::One(one) => std::slice::from_mut(one),
            Few::Many(many) => many,
        }
    }
}

const _: () = assert!(size_of::<Few<u64>>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a `Vec`, over seeds.
    #[test]
    fn it_is_a_list() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut few, mut plain) = (Few::default(), Vec::new());
            for entry in 0..60_u64 {
                let at = random.usize(..=plain.len());
                match random.u8(..6) {
                    0 | 1 => {
                        few.push(entry);
                        plain.push(entry);
                    }
                    2 => {
                        few.insert(at, entry);
                        plain.insert(at, entry);
                    }
                    3 if at < plain.len() => {
                        few.remove(at);
                        plain.remove(at);
                    }
                    4 if at < plain.len() => {
                        few.swap_remove(at);
                        plain.swap_remove(at);
                    }
                    _ => few.shrink(0),
                }
                assert_eq!(*few, *plain, "seed {seed}");
                assert_eq!(matches!(few, Few::None), plain.is_empty());
            }
        }
    }
}
