//! What whoever follows ordered rooms is told: by those who listen to the broker, tell it what is
//! heard, and take what homes ask for.

use crate::broker::ordering::entry::OrderedEntry;
use shardcast_engine::Position;
use std::sync::Arc;

/// One piece of it.
#[derive(Debug)]
pub(crate) enum OrderedNews {
    /// A home needs the log of a room; `has`: as far as its own is ready.
    Wanted {
        room: Arc<str>,
        has: Option<Position>,
    },
    /// An entry was published.
    Heard { room: Arc<str>, entry: OrderedEntry },
    /// The broker was told that these are heard, be they ordered or not.
    Subscribed(Vec<Arc<str>>),
    /// And that these are not any more.
    Unsubscribed(Vec<Arc<str>>),
    /// Something that was heard may be lost: all rooms are looked at.
    Missed,
}
