//! Rooms: joining and leaving, who is in them, and events to them. Their classes stand in
//! `namespace`.

pub(crate) mod emit;
pub(crate) mod event;
pub(crate) mod members;
pub(crate) mod membership;
