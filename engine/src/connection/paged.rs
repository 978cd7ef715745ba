//! A table by slot that grows by small pages and never moves an entry.
//!
//! One large reservation per table would be simpler, but allocators back such reservations with 2
//! MiB pages, and half a dozen tables then cost 300 bytes a connection at 15,000 connections.

use std::ops::{Index, IndexMut};

/// Slots of one page.
pub(crate) const PAGE: usize = 512;

/// The table. Slots whose page was never reached do not exist.
#[derive(Debug)]
pub(crate) struct Paged<T>(Vec<Box<[T]>>);

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Paged(Vec::new())
    }
}

impl<T: Default> Paged<T> {
    /// Makes the slot exist, and others beside it.
    pub(crate) fn reach(&mut self, slot: u32) -> &mut T {
        self.reach_with(slot, T::default)
    }
}

impl<T> Paged<T> {
    /// As [`Paged::reach`]; slots that did not exist are what `make` says.
    #[inline]
    pub(crate) fn reach_with(&mut self, slot: u32, make: impl Fn() -> T) -> &mut T {
        let (page, index) = place(slot);
        if self.0.len() <= page {
            self.0.resize_with(page + 1, Box::default);
        }
        if self.0[page].is_empty() {
            self.0[page] = (0..PAGE).map(|_| make()).collect();
        }
        &mut self.0[page][index]
    }

    /// Pages, those that do not exist included.
    pub(crate) fn pages(&self) -> usize {
        self.0.len()
    }

    /// The slots of a page; none if it does not exist.
    pub(crate) fn page(&self, page: usize) -> &[T] {
        self.0.get(page).map_or(&[], |slots| slots)
    }

    /// The slots of a page do not exist any more.
    pub(crate) fn drop_page(&mut self, page: usize) {
        if let Some(slots) = self.0.get_mut(page) {
            *slots = Box::default();
        }
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let (page, index) = place(slot);
        self.0.get(page)?.get(index)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (page, index) = place(slot);
        self.0.get_mut(page)?.get_mut(index)
    }

    /// Every slot that exists, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let pages = self.0.iter().enumerate();
        pages.flat_map(|(page, entries)| {
            let first = (page * PAGE) as u32;
            entries
                .iter()
                .enumerate()
                .map(move |(index, entry)| (first + index as u32, entry))
        })
    }
}

#[inline]
fn place(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE, slot as usize % PAGE)
}

impl<T> Index<u32> for Paged<T> {
    type Output = T;
    #[inline]
    fn index(&self, slot: u32) -> &T {
        let (page, index) = place(slot);
        &self.0[page][index]
    }
}

impl<T> IndexMut<u32> for Paged<T> {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut T {
        let (page, index) = place(slot);
        &mut self.0[page][index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_exist_from_the_page_that_was_reached() {
        let mut table: Paged<u64> = Paged::default();
        assert_eq!((table.get(0), table.iter().count()), (None, 0));
        *table.reach(3 * PAGE as u32 + 7) = 5;
        assert_eq!(table.get(0), None, "pages before stay away");
        assert_eq!(table[3 * PAGE as u32 + 7], 5);
        assert_eq!(table.get(4 * PAGE as u32), None);
        assert_eq!(table.iter().next(), Some((3 * PAGE as u32, &0)));
        assert_eq!(table.iter().filter(|(_, entry)| **entry == 5).count(), 1);
        *table.reach(0) = 9;
        assert_eq!((table[0], table.iter().count()), (9, 2 * PAGE));
        table[1] = 4;
        assert_eq!(table.get_mut(1), Some(&mut 4));
        assert_eq!((table.pages(), table.page(1).len()), (4, 0));
        table.drop_page(0);
        table.drop_page(9);
        assert_eq!((table.get(0), table.iter().count()), (None, PAGE));
        assert_eq!(*table.reach_with(1, || 8), 8);
    }
}
