//! The native dialect in JSON, read: one object per text message.

use super::{Key, Keys};
use crate::dialect::command::ReplyMode;
use crate::dialect::decoded::{InvalidRequest, Item};
use crate::dialect::fields::Wrong;
use crate::dialect::id::Id;
use crate::dialect::rules::Rules;
use crate::dialect::{Code, Problem};
use crate::json::{SyntaxError, explain};

/// `bad_json` when the message is not JSON, whatever else is wrong with it; `bad_request` when a
/// key is missing, mistyped or stands there twice, or keys exclude each other.
#[inline(always)]
pub(in crate::dialect) fn read<'b>(
    text: &'b str,
    rules: &Rules,
) -> Result<Item<'b>, InvalidRequest<'b>> {
    let outer = rules.outer_native();
    let mut keys = Keys::NONE;
    if let Err(error) = keys.read_json(text, outer, Key::of_name, NOT_AN_OBJECT) {
        return Err(not_json(text, error, outer));
    }
    // The id first: whatever else is wrong is answered under it.
    let id = match keys.id() {
        Ok(id) => id,
        Err(wrong) => return Err(invalid(None, wrong)),
    };
    match keys.command(id) {
        Ok(command) => Ok(Item::Command(command)),
        Err(wrong) => Err(invalid(id, wrong)),
    }
}

#[cold]
fn not_json<'b>(text: &str, error: SyntaxError, outer: u32) -> InvalidRequest<'b> {
    InvalidRequest {
        id: None,
        problem: Problem::new(Code::BadJson, explain(text, error, outer)),
        reply: ReplyMode::Always,
    }
}

#[cold]
fn invalid<'b>(id: Option<Id<'b>>, wrong: Wrong) -> InvalidRequest<'b> {
    InvalidRequest {
        id,
        problem: Problem::new(Code::BadRequest, wrong),
        reply: ReplyMode::Always,
    }
}

const NOT_AN_OBJECT: Wrong = "a message is one JSON object";
