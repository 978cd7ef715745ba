//! Values that an application keeps with a connection: at most one of each type. They live and end
//! with the connection, on its shard.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;

/// Values by their type. Empty costs no allocation.
#[derive(Default)]
pub(crate) struct Metadata(HashMap<TypeId, Box<dyn Any>>);

impl Metadata {
    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    pub(crate) fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.0.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }

    /// The value that was there before.
    pub(crate) fn set<T: 'static>(&mut self, value: T) -> Option<T> {
        let before = self.0.insert(TypeId::of::<T>(), Box::new(value))?;
        before.downcast().ok().map(|before| *before)
    }

    pub(crate) fn take<T: 'static>(&mut self) -> Option<T> {
        let value = self.0.remove(&TypeId::of::<T>())?;
        value.downcast().ok().map(|value| *value)
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
    }
}
