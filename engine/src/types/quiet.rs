//! Which shards of the process are quiet. Named by who asks allocators to give memory back.

/// Who is quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// This shard; others are busy.
    Shard,
    /// All shards of the process.
    Process,
}
