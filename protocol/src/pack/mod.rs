//! MessagePack (github.com/msgpack/msgpack, spec.md) as spans: where values end, and writing them.
//! Builds no tree. Called by the dialects that speak MessagePack.

mod scan;
mod span;
mod write;

pub(crate) use scan::{Head, Malformed, PackScanner};
pub use span::{Pack, PackBox};
pub(crate) use write::{
    push_array_len, push_bool, push_bytes, push_f64, push_i64, push_map_len, push_nil, push_string,
    push_u64,
};

/// JavaScript's `undefined`, as npm msgpackr sends it: an extension's type and content. It means
/// `nil`.
pub(crate) const UNDEFINED: (i8, &[u8]) = (0, &[0]);
