//! What topics keep of what was published to them, at their homes. History, recovery, catching up
//! and the newest publication of each key are readings of it.

pub(crate) mod block;
pub(crate) mod encoded;
pub(crate) mod entry;
pub(crate) mod holders;
pub(crate) mod journal;
pub(crate) mod jumps;
pub(crate) mod keys;
pub(crate) mod logs;
pub(crate) mod map;
pub(crate) mod map_books;
pub(crate) mod map_options;
pub(crate) mod options;
pub(crate) mod range;
pub(crate) mod state;
pub(crate) mod step;
pub(crate) mod takers;
pub(crate) mod topic_log;
