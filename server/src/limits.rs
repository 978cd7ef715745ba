//! How much anybody may take: rates and counts of connections, users, addresses and rooms.

mod addresses;
pub(crate) mod check;
pub(crate) mod gcra;
pub(crate) mod limiter;
mod rooms;
pub(crate) mod rules;
mod table;
pub(crate) mod tally;
mod users;
