//! What one connection, and one shard, may have under way. Named by whoever counts it.

/// What one connection may have under way. One more is refused with `rate_limited`.
#[derive(Clone, Copy, Debug)]
pub struct Limits;

impl Limits {
    /// Joins, leaves, lists and reports that wait for other shards.
    pub const REQUESTS_PER_CONNECTION_MAX: usize = 64;
    /// As many, and those that a client of the Centrifuge protocol may subscribe with at once: what
    /// one message may hold.
    pub(crate) const REQUESTS_MAX: usize = Limits::REQUESTS_PER_CONNECTION_MAX + 4096;
    /// Bytes of commands of the Centrifuge protocol that wait until the first one is done, because
    /// its token is checked elsewhere; more end the connection (3501).
    pub const HELD_BYTES_PER_CONNECTION_MAX: usize = 256 << 10;
    /// Connections of one shard whose commands wait so; one more ends with 3013, and comes back.
    pub const HELD_PER_SHARD_MAX: usize = 256;
    /// Publishes to rooms that keep history whose places are awaited.
    pub const RECEIPTS_PER_CONNECTION_MAX: usize = 1024;
    /// Calls of background handlers.
    pub const TASKS_PER_CONNECTION_MAX: usize = 64;
    /// Batches of calls (JSON-RPC) whose answers are not complete.
    pub const BATCHES_PER_CONNECTION_MAX: usize = 16;
    /// Calls of the server that the client has not answered.
    pub const REVERSE_CALLS_PER_CONNECTION_MAX: usize = 64;
    /// Calls of background handlers on one shard, answered ones included whose futures are not
    /// dropped yet.
    pub const TASKS_PER_SHARD_MAX: usize = 4096;
}
