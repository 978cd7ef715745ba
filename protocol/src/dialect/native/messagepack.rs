//! The native dialect in MessagePack, read: one map per binary message.

use super::{Key, Keys};
use crate::dialect::command::{Command, ReplyMode};
use crate::dialect::decoded::{InvalidRequest, Item};
use crate::dialect::fields::Wrong;
use crate::dialect::id::Id;
use crate::dialect::rules::Rules;
use crate::dialect::{Code, Problem};
use std::borrow::Cow;

/// `bad_request` for whatever is wrong.
pub(in crate::dialect) fn read<'b>(
    bytes: &'b [u8],
    rules: &Rules,
) -> Result<Item<'b>, InvalidRequest<'b>> {
    command(bytes, rules).map(Item::Command)
}

fn command<'b>(bytes: &'b [u8], rules: &Rules) -> Result<Command<'b>, InvalidRequest<'b>> {
    let mut keys = Keys::NONE;
    let read = keys.read_pack(bytes, rules.outer_native(), Key::of_name, NOT_A_MAP);
    if (read.is_err() || keys.wrong.is_some())
        && let Some(remedy) = remedy(bytes)
    {
        return Err(invalid(None, remedy.into()));
    }
    read.map_err(|error| invalid(None, error.to_string().into()))?;
    // The id first: whatever else is wrong is answered under it.
    let id = keys.id().map_err(|wrong| invalid(None, wrong.into()))?;
    keys.command(id).map_err(|wrong| invalid(id, wrong.into()))
}

#[cold]
fn invalid<'b>(id: Option<Id<'b>>, message: Cow<'static, str>) -> InvalidRequest<'b> {
    InvalidRequest {
        id,
        problem: Problem::new(Code::BadRequest, message),
        reply: ReplyMode::Always,
    }
}

const NOT_A_MAP: Wrong = "a message is one map";

/// What to do about a message that is none, because its library writes objects otherwise unless it
/// is told.
fn remedy(bytes: &[u8]) -> Option<Wrong> {
    let is_array = |first: &u8| matches!(first, 0x90..=0x9f | 0xdc | 0xdd);
    // A record of npm msgpackr: an extension of type `r` with the record's number, an array of its
    // keys, and its values behind. The number alone where the keys came before.
    let defines = |bytes: &[u8]| matches!(bytes, [0xd4, b'r', _, keys] if is_array(keys));
    let repeats = bytes.len() > 1 && matches!(bytes[0], 0x40..=0x7f);
    if repeats || bytes.windows(4).any(defines) {
        Some("a message is one map, this is a record: npm msgpackr needs `useRecords: false`")
    } else if bytes.first().is_some_and(is_array) {
        Some("a message is one map, this is an array: rmp-serde needs `to_vec_named`")
    } else {
        None
    }
}
