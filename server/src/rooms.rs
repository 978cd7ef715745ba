//! Rooms: joining and leaving, and publishing to them.

pub(crate) mod emit;
pub(crate) mod join;
