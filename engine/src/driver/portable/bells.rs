//! The bells of all shards of one platform: any shard may ring any.

use crate::config::Config;
use crate::driver::bell::Bell;
use std::io;
use std::sync::{Arc, OnceLock};

/// Every shard's bell, for wakes. Filled in before any shard ticks.
#[derive(Clone, Debug)]
pub(super) struct Bells(Arc<[OnceLock<Bell>]>);

impl Default for Bells {
    fn default() -> Bells {
        Bells((0..Config::SHARDS_MAX).map(|_| OnceLock::new()).collect())
    }
}

impl Bells {
    /// A shard's bell, which exists from now on.
    pub(super) fn make(&self, shard: u16) -> io::Result<&Bell> {
        let cell = &self.0[usize::from(shard)];
        if let Some(made) = cell.get() {
            return Ok(made);
        }
        let made = Bell::new()?;
        Ok(cell.get_or_init(|| made))
    }

    pub(super) fn ring(&self, shard: u16) {
        if let Some(bell) = self.0[usize::from(shard)].get() {
            bell.ring();
        }
    }
}
