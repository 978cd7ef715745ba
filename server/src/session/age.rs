//! The order in which sessions began: whose values count where two become one.

use shardcast_engine::Address;

/// Which of two sessions began first: by the time at which its first connection opened, as its
/// shard counted, and where that is the same by its address. The default is before all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionAge {
    opened_ms: u64,
    shard: u16,
    slot: u32,
}

impl SessionAge {
    pub(crate) fn new(opened_ms: u64, connection: Address) -> SessionAge {
        SessionAge {
            opened_ms,
            shard: connection.shard,
            slot: connection.ticket.slot,
        }
    }
}
