//! permessage-deflate (RFC 7692): what is agreed at the handshake ([`negotiate`]), messages out of
//! compressed bytes ([`Inflater`]), compressed bytes out of messages ([`Deflater`]), and the reader
//! of connections that agreed ([`next`]). What a peer can make inflating cost is bounded by
//! [`InflateLimits`]. Called by the engine, by clients and load generators.

mod deflater;
mod inflater;
mod negotiation;
mod past;
mod reader;
mod sync_flush;

pub use deflater::{DeflateStream, Deflater};
pub use inflater::{InflateLimits, InflateStream, Inflater, Tally};
pub use negotiation::{
    Agreement, AnswerError, ExtensionsMalformed, Takeover, negotiate, offer, read_answer,
};
pub use reader::next;

/// What every flush ends in: an empty stored block without its first three bits. It is not sent
/// (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Windows are 2^8 to 2^15 bytes (RFC 7692 §7.1.2).
const WINDOW_BITS_MIN: u8 = 8;
const WINDOW_BITS_MAX: u8 = 15;
