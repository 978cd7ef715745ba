//! How strictly messages are read.
//!
//! What strange input is answered, in every dialect:
//!
//! - not JSON, cut off, something behind it; strings that are not UTF-8: `bad_json` at the byte
//!   where it shows; in MessagePack `bad_request`; JSON-RPC -32700. A text message that is not
//!   UTF-8 ends the connection (RFC 6455 §8.1) before it gets here;
//! - containers nested deeper than [`Rules::depth_max`], the message's own included, a batch's
//!   array too; in the native dialects one less than [`DEPTH_MAX`] at most: the same;
//! - in MessagePack a map's key that is an array, a map or an extension: `bad_request` at its byte;
//! - a known key twice, however it is escaped: `bad_request`, JSON-RPC -32600 or, in `params` of a
//!   built-in method, -32602;
//! - other keys twice, and any in `data`: ignored; forwarded and transcoded as they are;
//! - `\ud800` without its other half, in a key or value anywhere: `bad_json`, for it stands for no
//!   Unicode text;
//! - a number whose 64-bit float would be infinite (`1e400`): `bad_json`;
//! - a whole number beyond 64 bits: forwarded as it is; becomes a 64-bit float in MessagePack;
//! - an `id` of more than [`super::ID_BYTES_MAX`] bytes as written: `bad_request` without an id;
//! - control characters, U+0000 among them, in `data`: as the policy of the namespace has it
//!   ([`super::ControlPolicy`]); in names of rooms `bad_request`;
//! - bare control characters in JSON strings: `bad_json` (RFC 8259 §7).

pub use crate::json::DEPTH_MAX;

/// How strictly messages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    depth_max: u32,
}

impl Rules {
    /// `depth_max` is how many containers may be nested, the message's own included: 1 to
    /// [`DEPTH_MAX`]. `None` for anything else.
    pub const fn new(depth_max: u32) -> Option<Rules> {
        if 1 <= depth_max && depth_max <= DEPTH_MAX {
            Some(Rules { depth_max })
        } else {
            None
        }
    }

    /// How many containers may be nested.
    pub const fn depth_max(&self) -> u32 {
        self.depth_max
    }

    /// How many containers the scanners are to believe that a message of JSON-RPC is inside of:
    /// they know one limit only.
    pub(crate) const fn outer(&self) -> u32 {
        DEPTH_MAX - self.depth_max
    }

    /// The same for a message of a native dialect, one less: JSON-RPC puts one container more
    /// around the same data.
    pub(crate) const fn outer_native(&self) -> u32 {
        let outer = self.outer();
        if outer == 0 { 1 } else { outer }
    }
}

impl Default for Rules {
    /// The loosest.
    fn default() -> Rules {
        Rules {
            depth_max: DEPTH_MAX,
        }
    }
}
