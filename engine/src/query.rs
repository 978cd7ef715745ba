//! Answers that several shards put together: for publishes with a report, for lists, and for the
//! questions of other threads.

pub(crate) mod answering;
pub(crate) mod gather;
pub(crate) mod page;
pub(crate) mod scatter;
