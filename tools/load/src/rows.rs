//! Rows of different lengths in one allocation. Invariant: rows are only ever appended. Called by
//! `layout`.

use std::ops::Range;

/// Rows of `T`.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    items: Vec<T>,
    /// By row, where it ends.
    ends: Vec<usize>,
}

impl<T> Rows<T> {
    /// Without rows.
    pub(crate) fn new() -> Rows<T> {
        Rows {
            items: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// One more row.
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = T>) {
        self.items.extend(row);
        self.ends.push(self.items.len());
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Where a row's items lie among all items.
    pub(crate) fn range(&self, row: usize) -> Range<usize> {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[row]
    }

    /// A row.
    pub(crate) fn row(&self, row: usize) -> &[T] {
        &self.items[self.range(row)]
    }

    /// Of all rows.
    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_one_behind_the_other() {
        let mut rows = Rows::new();
        for row in [&[1, 2][..], &[], &[3]] {
            rows.push(row.iter().copied());
        }
        assert_eq!((rows.len(), rows.items()), (3, &[1, 2, 3][..]));
        assert_eq!(
            (rows.row(0), rows.row(1), rows.row(2)),
            (&[1, 2][..], &[][..], &[3][..])
        );
        assert_eq!(rows.range(2), 2..3);
    }
}
