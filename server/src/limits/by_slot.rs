//! What is known of connections by the slots that they have, in pages that exist where somebody
//! was. Kept by one shard's limiter.

/// Slots that get memory together.
const PAGE: usize = 256;

/// A table by slot.
#[derive(Debug)]
pub(super) struct BySlot<T>(Vec<Option<Box<[T]>>>);

impl<T> Default for BySlot<T> {
    fn default() -> Self {
        BySlot(Vec::new())
    }
}

impl<T: Default> BySlot<T> {
    /// Makes the slot exist, and others beside it.
    pub(super) fn reach(&mut self, slot: u32) -> &mut T {
        let (page, at) = (slot as usize / PAGE, slot as usize % PAGE);
        if self.0.len() <= page {
            self.0.resize_with(page + 1, || None);
        }
        let slots = || (0..PAGE).map(|_| T::default()).collect();
        &mut self.0[page].get_or_insert_with(slots)[at]
    }

    /// The slot is as new. It takes no memory for that.
    pub(super) fn reset(&mut self, slot: u32) {
        let (page, at) = (slot as usize / PAGE, slot as usize % PAGE);
        if let Some(Some(slots)) = self.0.get_mut(page) {
            slots[at] = T::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_exist_where_somebody_was() {
        let mut table: BySlot<u64> = BySlot::default();
        table.reset(7);
        assert_eq!(table.0.len(), 0);
        *table.reach(3 * PAGE as u32) = 5;
        *table.reach(3 * PAGE as u32 + 1) = 6;
        table.reset(3 * PAGE as u32);
        assert_eq!(*table.reach(3 * PAGE as u32), 0);
        assert_eq!(*table.reach(3 * PAGE as u32 + 1), 6);
        assert_eq!(table.0.iter().flatten().count(), 1);
    }
}
