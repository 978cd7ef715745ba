//! How much anybody may take: rates and counts of connections, users, addresses and rooms.

pub(crate) mod addresses;
mod by_slot;
pub(crate) mod check;
pub(crate) mod gcra;
pub(crate) mod limiter;
mod rooms;
pub(crate) mod rules;
pub(crate) mod table;
pub(crate) mod tally;
mod users;
