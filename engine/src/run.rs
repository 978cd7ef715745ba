//! An engine from its start to its end: what it takes from the host, its threads, and the ways in
//! from other threads.

pub(crate) mod drain;
pub(crate) mod handle;
pub(crate) mod host;
pub(crate) mod host_memory;
pub(crate) mod memory;
pub(crate) mod open_files;
pub(crate) mod running;
pub(crate) mod start;
pub(crate) mod start_error;
pub(crate) mod supervision;
pub(crate) mod watch;
