//! Presence: who is in a topic, as its home knows it one by one, and what the members are told of
//! each other.

pub(crate) mod elsewhere;
pub(crate) mod members;
pub(crate) mod options;
pub(crate) mod presences;
pub(crate) mod roster;
pub(crate) mod telling;
