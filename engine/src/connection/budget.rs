//! How much memory unfinished input may take, and how much it takes: the account decides who goes,
//! and the metrics only show it.
//!
//! Invariant: `used` is the sum of all accounts that were resized.

use crate::config::Config;

/// The shard's share of the memory for unfinished heads, frames, messages and TLS records.
#[derive(Debug)]
pub(crate) struct InputBudget {
    used: u64,
    max: u64,
    /// What connections may use together that hold more than [`InputBudget::SMALL_BYTES`].
    bulk_max: u64,
}

/// A connection asked for more than the shard has left. What it holds is counted all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverBudget;

impl InputBudget {
    /// Connections that hold no more may use the last eighth of the budget (less where one message
    /// needs it): those that hold much leave it to ordinary messages that came in two pieces.
    pub(crate) const SMALL_BYTES: usize = 64 << 10;

    /// The shard's share of a checked configuration. An eighth is left to those who hold little,
    /// less where the largest message needs it.
    pub(crate) fn of(config: &Config) -> InputBudget {
        let bytes_max = config.reassembly_bytes_max / config.shards;
        let least = Config::shard_reassembly_bytes_min(config.message_bytes_max());
        let reserve_bytes = (bytes_max / 8).min(bytes_max.saturating_sub(least));
        InputBudget::new(bytes_max as u64, (bytes_max - reserve_bytes) as u64)
    }

    fn new(max: u64, bulk_max: u64) -> InputBudget {
        InputBudget {
            used: 0,
            max,
            bulk_max,
        }
    }

    /// Bytes that all connections of the shard hold.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn is_kept(&self) -> bool {
        self.used <= self.max
    }

    /// Counts what a connection holds `now` instead of what stands in its `account`.
    ///
    /// # Errors
    /// It holds more than before, and the budget is exceeded. Those who hold little may use it up
    /// to its end.
    pub(crate) fn resize_input(
        &mut self,
        account: &mut usize,
        now: usize,
    ) -> Result<(), OverBudget> {
        let max = match now > Self::SMALL_BYTES {
            true => self.bulk_max,
            false => self.max,
        };
        self.resize(account, now, max)
    }

    /// As [`InputBudget::resize_input`], for the records of a TLS session, which are never bulk.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn resize_records(
        &mut self,
        account: &mut usize,
        now: usize,
    ) -> Result<(), OverBudget> {
        self.resize(account, now, self.max)
    }

    /// A connection ends: nothing stands in its account any more.
    pub(crate) fn release(&mut self, account: usize) {
        self.used -= account as u64;
    }

    fn resize(&mut self, account: &mut usize, now: usize, max: u64) -> Result<(), OverBudget> {
        let before = std::mem::replace(account, now);
        self.used = self.used - before as u64 + now as u64;
        match now > before && self.used > max {
            true => Err(OverBudget),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_growth_is_refused_and_the_last_of_it_is_for_those_who_hold_little() {
        let much = InputBudget::SMALL_BYTES + 1;
        let mut budget = InputBudget::new(3 * much as u64, 2 * much as u64);
        let (mut bulk, mut small, mut records) = (0, 0, 0);
        assert_eq!(budget.resize_input(&mut bulk, 2 * much), Ok(()));
        assert_eq!(
            budget.resize_input(&mut bulk, 2 * much + 1),
            Err(OverBudget)
        );
        assert_eq!(
            budget.resize_input(&mut bulk, 2 * much),
            Ok(()),
            "less is always taken"
        );
        assert_eq!(budget.resize_input(&mut small, much - 1), Ok(()));
        assert_eq!(budget.resize_records(&mut records, 1), Ok(()));
        assert_eq!(budget.resize_records(&mut records, 2), Err(OverBudget));
        assert_eq!(budget.used(), 3 * much as u64 + 1);
        for account in [bulk, small, records] {
            budget.release(account);
        }
        assert_eq!(budget.used(), 0);
    }
}
