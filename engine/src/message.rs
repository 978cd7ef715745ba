//! What shards write to each other, and the lanes that carry it.

pub(crate) mod command;
pub(crate) mod delivery;
pub(crate) mod doorbell;
pub mod lane;
pub(crate) mod queue;
pub(crate) mod request;
