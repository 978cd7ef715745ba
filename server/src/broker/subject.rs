//! What nodes subscribe to and publish to at a broker. Named by the bridge; an adapter makes
//! channels or subjects of it.

use std::sync::Arc;

/// One address at the broker. Names are as users and clients chose them: any UTF-8 text without
/// control characters, a room's up to [`shardcast_engine::Config::room_name_bytes_max`] bytes, a
/// user's up to [`shardcast_engine::USER_BYTES_MAX`]. So an adapter escapes what its broker gives a
/// meaning to, and two subjects never become one address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// What is published to one room.
    Room(Arc<str>),
    /// What is published to one user.
    User(Arc<str>),
    /// What is published to everyone.
    Everyone,
    /// What nodes tell all nodes of themselves.
    Nodes,
    /// What is published to all fast rooms that share this partition, where rooms are very many.
    Partition(u16),
    /// What nodes tell one node: the one that has this number for as long as its process runs.
    Node(u64),
}
