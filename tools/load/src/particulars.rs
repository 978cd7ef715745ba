//! What one scenario alone reports: an object of its name in the JSON line, and rows in the table.
//! Made by `report` and `movement`, written by `line` and `summary`.

use serde_json::Value;

/// A scenario's own findings.
#[derive(Debug)]
pub(crate) struct Particulars {
    /// Of the object.
    pub(crate) name: &'static str,
    pub(crate) line: Value,
    pub(crate) rows: Vec<(&'static str, String)>,
}
