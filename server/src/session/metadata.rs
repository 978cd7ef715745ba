//! Values that an application keeps with a connection: at most one of each type. They live and end
//! with its session: on the connection's shard, and after it, perhaps, on that of the next one.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;

/// Whose value stays, of two of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precedence {
    Own,
    Other,
}

/// Values by their type. Empty costs no allocation.
#[derive(Default)]
pub(crate) struct Metadata(HashMap<TypeId, Box<dyn Any + Send>>);

impl Metadata {
    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    pub(crate) fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.0.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }

    /// The value that was there before.
    pub(crate) fn set<T: Send + 'static>(&mut self, value: T) -> Option<T> {
        let before = self.0.insert(TypeId::of::<T>(), Box::new(value))?;
        before.downcast().ok().map(|before| *before)
    }

    pub(crate) fn take<T: 'static>(&mut self) -> Option<T> {
        let value = self.0.remove(&TypeId::of::<T>())?;
        value.downcast().ok().map(|value| *value)
    }

    /// Takes the values of another; of two of the same type one stays.
    pub(crate) fn merge(&mut self, mut other: Metadata, precedence: Precedence) {
        if precedence == Precedence::Own {
            std::mem::swap(self, &mut other);
        }
        match self.is_empty() {
            true => *self = other,
            false => self.0.extend(other.0),
        }
    }

    /// The values themselves and their places, in bytes, without what they refer to.
    pub(crate) fn bytes(&self) -> usize {
        /// A key, a box, and its place in the table.
        const PLACE_BYTES: usize = 64;
        let values = self.0.values();
        values
            .map(|value| PLACE_BYTES + size_of_val(&**value))
            .sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} values)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_of_each_type() {
        let mut metadata = Metadata::default();
        assert!(metadata.is_empty());
        assert_eq!(metadata.set(1_u8), None);
        assert_eq!(metadata.set("text"), None);
        assert_eq!(metadata.set(2_u8), Some(1));
        *metadata.get_mut::<u8>().unwrap() += 1;
        assert_eq!(metadata.get::<u8>(), Some(&3));
        assert_eq!(metadata.take::<u8>(), Some(3));
        assert_eq!(metadata.get::<u8>(), None);
        assert_eq!(metadata.get::<&str>(), Some(&"text"));
        let mut new = Metadata::default();
        new.set("new");
        new.set(7_u64);
        new.merge(metadata, Precedence::Other);
        assert_eq!(new.get::<&str>(), Some(&"text"));
        assert_eq!(new.get::<u64>(), Some(&7));
        assert_eq!(new.bytes(), 2 * 64 + size_of::<&str>() + 8);
        let mut newest = Metadata::default();
        newest.set("newest");
        newest.merge(new, Precedence::Own);
        assert_eq!(newest.get::<&str>(), Some(&"newest"));
        assert_eq!(newest.get::<u64>(), Some(&7));
    }
}
