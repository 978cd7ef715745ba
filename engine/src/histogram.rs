//! A distribution: one writer (the shard), any reader, relaxed, like a [`crate::Counter`].
//!
//! The buckets double, so a value costs two additions and no memory beyond the fixed row, and a
//! quantile is known within a factor of two. Used by the counters of drivers.

use crate::counter::Counter;

/// How often values of about this size were recorded.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The first is for 0, each other one for the values whose highest bit is the one before its
    /// index; the last for all that are larger, too.
    buckets: [Counter; Histogram::BUCKETS],
    sum: Counter,
}

impl Histogram {
    /// The number of buckets: the last but one ends at 8,388,607, which is some eight seconds in
    /// microseconds.
    pub const BUCKETS: usize = 25;

    /// Records a value; only the owning shard calls this.
    #[inline]
    pub fn record(&self, value: u64) {
        let bits = (u64::BITS - value.leading_zeros()) as usize;
        self.buckets[bits.min(Self::BUCKETS - 1)].add(1);
        self.sum.add(value);
    }

    /// The buckets in order: the first value that is beyond each (`None`: there is no such value),
    /// and how many values it holds.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let buckets = self.buckets.iter().enumerate();
        buckets.map(|(index, count)| {
            let end = (index < Self::BUCKETS - 1).then_some(1 << index);
            (end, count.get())
        })
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.get()
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_the_first_bucket_that_ends_beyond_it() {
        let values = [0, 1, 2, 3, 4, 1_000, (1 << 23) - 1, 1 << 23, u64::MAX >> 1];
        for value in values {
            let histogram = Histogram::default();
            histogram.record(value);
            let holds = |end: Option<u64>| end.is_none_or(|end| value < end);
            let found = histogram.buckets().position(|(_, count)| count == 1);
            let expected = histogram.buckets().position(|(end, _)| holds(end));
            assert_eq!(found, expected, "{value}");
            assert_eq!((histogram.count(), histogram.sum()), (1, value));
        }
        let ends = Histogram::default();
        let ends: Vec<Option<u64>> = ends.buckets().map(|(end, _)| end).collect();
        assert_eq!(ends[..3], [Some(1), Some(2), Some(4)]);
        assert_eq!(ends[23..], [Some(1 << 23), None]);
    }
}
