//! Pages of what all shards have: how many items, and where the next page goes on.
//!
//! Invariant: a cursor is the text that an answer had; any other is refused or leads to a place of
//! the same order, never to another list. A page asks each shard once, and one HTTP request asks
//! for [`PAGES_MAX`] pages at most. Used by the calls that list.

use crate::admin::problem::AdminProblem;
use crate::wire::connection_id::ConnectionId;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use shardcast_engine::{Address, Query};

/// Items of a page that names no limit.
pub(crate) const ITEMS_DEFAULT: u32 = 100;
/// Most items of a page.
pub(crate) const ITEMS_MAX: u32 = Query::ITEMS_MAX as u32;
/// Pages that one HTTP request looks through for what fits; then it answers with what it has, and
/// a cursor.
pub(crate) const PAGES_MAX: usize = 20;

/// How many items the page has.
///
/// # Errors
/// Too few or too many.
pub(crate) fn limit_of(limit: Option<u32>) -> Result<usize, AdminProblem> {
    let limit = limit.unwrap_or(ITEMS_DEFAULT);
    match (1..=ITEMS_MAX).contains(&limit) {
        true => Ok(limit as usize),
        false => Err(AdminProblem::bad_request("limit must be 1 to 1000")),
    }
}

/// A name as a cursor.
pub(crate) fn cursor_of_name(name: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(name)
}

/// The name in a cursor.
///
/// # Errors
/// There is none.
pub(crate) fn name_of_cursor(cursor: &str) -> Result<String, AdminProblem> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor);
    let name = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| AdminProblem::bad_request("cursor is none that an answer had"))
}

/// The connection in a cursor.
///
/// # Errors
/// There is none.
pub(crate) fn connection_of_cursor(cursor: Option<&str>) -> Result<Option<Address>, AdminProblem> {
    let id = cursor.map(str::parse::<ConnectionId>).transpose();
    let id = id.map_err(|_| AdminProblem::bad_request("cursor is none that an answer had"))?;
    Ok(id.map(|ConnectionId(address)| address))
}
