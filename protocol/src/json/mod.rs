//! JSON text (RFC 8259) as spans: where values end, what strings say, and writing them. Builds no
//! tree. Called by the dialects that speak JSON, and by what writes JSON elsewhere.

mod explain;
mod number;
mod plain;
mod raw;
mod scan;
mod span;
mod string;

pub(crate) use explain::explain;
pub(crate) use number::{Number, push_f64, push_i64, push_u64};
pub use raw::{Raw, RawBox};
pub use scan::DEPTH_MAX;
pub(crate) use scan::{JsonScanner, SyntaxError};
pub(crate) use string::{push_string, push_text, unescape};
