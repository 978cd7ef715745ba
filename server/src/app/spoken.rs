//! Which dialects clients speak here: what is published must fit in each of them.

use shardcast_protocol::dialect::{Dialect, translate};
use std::sync::atomic::{AtomicU8, Ordering};

/// Dialects that clients have spoken since the start, a bit for each index. Shards share it: it is read with every publish and written
/// once for each dialect.
#[derive(Debug, Default)]
pub(crate) struct Spoken(AtomicU8);

impl Spoken {
    /// A client speaks it. Before it can join anything.
    pub(crate) fn note(&self, dialect: Dialect) {
        let bit = 1 << dialect.index();
        if self.0.load(Ordering::Relaxed) & bit == 0 {
            self.0.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether a message of one dialect is no larger than this in any other. Only what may grow so far is translated to find out.
    pub(crate) fn fits(&self, dialect: Dialect, payload: &[u8], bytes_max: usize) -> bool {
        let spoken = self.0.load(Ordering::Relaxed);
        Dialect::ALL.into_iter().all(|other| {
            let is_spoken = spoken & 1 << other.index() != 0;
            other == dialect
                || !is_spoken
                || dialect.said_bytes_max(other, payload.len()) <= bytes_max
                || translate(dialect, other, payload).is_some_and(|said| said.len() <= bytes_max)
        })
    }
}
