//! Plain values that every other part may name: they import nothing of the engine but each other.

pub(crate) mod account;
pub(crate) mod answer;
pub(crate) mod close_reason;
pub(crate) mod config_error;
pub(crate) mod deadline;
pub(crate) mod encoding;
pub(crate) mod few;
pub(crate) mod filter;
pub(crate) mod frame;
pub(crate) mod history;
pub(crate) mod presence;
pub(crate) mod presence_event;
pub(crate) mod quiet;
pub(crate) mod room_error;
pub(crate) mod same_user;
pub(crate) mod shrink;
pub(crate) mod sorted_chunks;
pub(crate) mod span;
pub(crate) mod stream_path;
pub(crate) mod ticket;
