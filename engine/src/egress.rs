//! What leaves: the transmits of one turn, and how bytes are compressed and encrypted on their way
//! out.

pub(crate) mod agreements;
pub(crate) mod compression;
pub(crate) mod deflate;
pub mod outgoing;
pub(crate) mod tls;
