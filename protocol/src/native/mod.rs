//! The native JSON dialect, v1: one JSON object per text message, both ways.
//!
//! [`Envelope`] is what a client asked, borrowed from its message; [`answer`] writes what it is told; [`Problem`] says what
//! was wrong with it. What a client sent as `data` and `id` is never rebuilt: it travels as a [`Raw`] span, byte for byte.
//! Called by the server's native application and by clients.

pub mod answer;
mod envelope;

pub use crate::dialect::{ID_BYTES_MAX, Rooms};
pub use crate::json::{DEPTH_MAX, Raw, RawBox};
pub use crate::problem::{Code, Problem};
pub use envelope::{Envelope, Refused};

/// The WebSocket subprotocol that names this dialect. Offering none means the same.
pub const SUBPROTOCOL: &str = "shardcast.v1";

/// Whether a room may bear this name: 1 to `bytes_max` bytes of UTF-8, no control characters (C0, DEL, C1).
pub fn is_room_name(name: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&name.len()) && !name.chars().any(char::is_control)
}
