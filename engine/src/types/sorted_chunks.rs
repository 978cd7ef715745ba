//! A table in the order of its keys that takes little more than its entries: chunks of a sorted
//! list. Keys that come in their order fill chunk after chunk, where a B-tree leaves its nodes half
//! full and scatters them among short-lived memory of their size.
//!
//! Invariant: no chunk is empty, and every key of a chunk is below every key of the next one. Used
//! by `topic/presence/members.rs`.

use std::ops::Bound;

/// Entries of one chunk at most: what one insertion moves.
const CHUNK_ENTRIES_MAX: usize = 256;
/// Places that a chunk begins with; it doubles.
const CHUNK_ENTRIES_MIN: usize = 4;

/// The table.
#[derive(Debug)]
pub(crate) struct SortedChunks<K, V> {
    chunks: Vec<Vec<(K, V)>>,
    len: usize,
}

impl<K, V> Default for SortedChunks<K, V> {
    fn default() -> Self {
        SortedChunks {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<K: Ord + Copy, V> SortedChunks<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where a key stands, or would: its chunk, and its place there.
    fn place(&self, key: &K) -> Result<(usize, usize), (usize, usize)> {
        let is_before = |chunk: &Vec<(K, V)>| chunk.last().is_some_and(|(last, _)| last < key);
        let at = self.chunks.partition_point(is_before);
        let Some(chunk) = self.chunks.get(at) else {
            return Err((at, 0));
        };
        match chunk.binary_search_by(|(other, _)| other.cmp(key)) {
            Ok(place) => Ok((at, place)),
            Err(place) => Err((at, place)),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let (at, place) = self.place(key).ok()?;
        Some(&self.chunks[at][place].1)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (at, place) = self.place(key).ok()?;
        Some(&mut self.chunks[at][place].1)
    }

    /// Puts an entry in; the one that it replaces.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (mut at, mut place) = match self.place(&key) {
            Ok((at, place)) => {
                return Some(std::mem::replace(&mut self.chunks[at][place].1, value));
            }
            Err(free) => free,
        };
        if at == self.chunks.len() {
            match self.chunks.last() {
                Some(last) if last.len() < CHUNK_ENTRIES_MAX => {
                    (at, place) = (at - 1, last.len());
                }
                Some(_) | None => self.chunks.push(Vec::with_capacity(CHUNK_ENTRIES_MIN)),
            }
        } else if self.chunks[at].len() == CHUNK_ENTRIES_MAX {
            let behind = self.chunks[at].split_off(CHUNK_ENTRIES_MAX / 2);
            self.chunks.insert(at + 1, behind);
            if let Some(moved) = place.checked_sub(CHUNK_ENTRIES_MAX / 2 + 1) {
                (at, place) = (at + 1, moved + 1);
            }
        }
        self.chunks[at].insert(place, (key, value));
        self.len += 1;
        None
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (at, place) = self.place(key).ok()?;
        let chunk = &mut self.chunks[at];
        let (_, value) = chunk.remove(place);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(at);
        } else if chunk.capacity() > 4 * chunk.len().max(CHUNK_ENTRIES_MIN) {
            chunk.shrink_to(2 * chunk.len());
        }
        if self.chunks.capacity() > 4 * self.chunks.len().max(CHUNK_ENTRIES_MIN) {
            self.chunks.shrink_to(2 * self.chunks.len());
        }
        Some(value)
    }

    pub(crate) fn last_key(&self) -> Option<K> {
        let last = self.chunks.last()?.last()?;
        Some(last.0)
    }

    /// The entries from a bound on, in the order of their keys.
    pub(crate) fn range_from(&self, bound: Bound<K>) -> impl Iterator<Item = (&K, &V)> {
        let (at, place) = match &bound {
            Bound::Unbounded => (0, 0),
            Bound::Included(key) => self.place(key).unwrap_or_else(|free| free),
            Bound::Excluded(key) => match self.place(key) {
                Ok((at, place)) => (at, place + 1),
                Err(free) => free,
            },
        };
        let first = self.chunks.get(at).and_then(|chunk| chunk.get(place..));
        let others = self.chunks.iter().skip(at + 1).map(Vec::as_slice);
        let entries = first.into_iter().chain(others).flatten();
        entries.map(|(key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn check(table: &SortedChunks<u32, u32>, model: &BTreeMap<u32, u32>) {
        assert_eq!(table.len(), model.len());
        assert!(table.range_from(Bound::Unbounded).eq(model));
        assert_eq!(table.last_key(), model.keys().next_back().copied());
        assert!(table.chunks.iter().all(|chunk| !chunk.is_empty()));
        let sizes = table.chunks.iter().map(Vec::len);
        assert!(sizes.max().unwrap_or_default() <= CHUNK_ENTRIES_MAX);
    }

    /// Over seeds: keys that come in order, against it, and at random; and all go again.
    #[test]
    fn agrees_with_a_b_tree() {
        for seed in 0..12 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut table, mut model) = (SortedChunks::default(), BTreeMap::new());
            for number in 0..1_500 {
                let key = match seed % 3 {
                    0 => number,
                    1 => 9_000 - number,
                    _ => random.u32(..2_000),
                };
                assert_eq!(table.insert(key, number), model.insert(key, number));
                if random.u8(..4) == 0 {
                    let key = random.u32(..9_001);
                    assert_eq!(table.remove(&key), model.remove(&key));
                }
                if number % 100 == 0 {
                    check(&table, &model);
                }
                let key = random.u32(..9_001);
                assert_eq!(table.get(&key), model.get(&key));
                assert_eq!(table.get_mut(&key), model.get_mut(&key));
                let bounds = [Bound::Included(key), Bound::Excluded(key)];
                for bound in bounds {
                    let behind = table.range_from(bound).take(3);
                    assert!(behind.eq(model.range((bound, Bound::Unbounded)).take(3)));
                }
            }
            check(&table, &model);
            let mut keys: Vec<u32> = model.keys().copied().collect();
            random.shuffle(&mut keys);
            for key in keys {
                assert_eq!(table.remove(&key), model.remove(&key));
            }
            check(&table, &model);
            assert_eq!(table.chunks.len(), 0);
        }
    }

    #[test]
    fn keys_in_their_order_fill_their_chunks() {
        let mut table = SortedChunks::default();
        (0..10_000_u32).for_each(|key| _ = table.insert(key, ()));
        let places: usize = table.chunks.iter().map(Vec::capacity).sum();
        assert!(places <= 10_000 + CHUNK_ENTRIES_MAX, "{places}");
    }

    #[test]
    fn what_a_crowd_needed_goes_with_it() {
        let mut table = SortedChunks::default();
        (0..10_000_u32).for_each(|key| _ = table.insert(key, ()));
        (0..10_000).for_each(|key| {
            if key % 100 > 0 {
                table.remove(&key);
            }
        });
        let places: usize = table.chunks.iter().map(Vec::capacity).sum();
        let most = table.chunks.len() * 4 * CHUNK_ENTRIES_MIN;
        assert!(places <= most.max(4 * table.len()), "{places}");
    }
}
