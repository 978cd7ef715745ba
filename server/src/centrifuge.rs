//! What the server does for clients of the Centrifuge protocol and for no others: the first command
//! of a connection, channels with recovery, and the codes that it ends with. Everything else is
//! what all dialects have.

pub(crate) mod answers;
pub(crate) mod closing;
pub(crate) mod connection;
mod map;
mod map_cursor;
pub(crate) mod options;
mod reading;
mod recovery;
pub(crate) mod requests;
mod server_side;
mod wish;
