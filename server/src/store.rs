//! What rooms keep, and what waits for users, on the disk: so that it outlives the process.

pub(crate) mod counts;
pub(crate) mod file;
pub(crate) mod keeper;
pub(crate) mod options;
pub(crate) mod record;
pub(crate) mod session;
