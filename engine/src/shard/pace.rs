//! How much of its fan-outs a shard serves before something else has its turn.

/// How much of its fan-outs a shard serves before something else has its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Transmits per turn. Smaller costs enters, larger makes other shards and other connections
    /// wait (`tuning.md`).
    pub(super) transmits_per_chunk: usize,
    /// Chunks per tick: after that, completions and requests have their turn.
    pub(super) chunks_per_tick: usize,
}

impl Pace {
    pub(super) const FULL: Pace = Pace {
        transmits_per_chunk: 1024,
        chunks_per_tick: 4,
    };

    /// Members that a chunk serves. Who has a backlog, or is closing, costs no transmit, and still
    /// time.
    pub(super) fn members_per_chunk(self) -> usize {
        4 * self.transmits_per_chunk
    }
}
