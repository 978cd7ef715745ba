//! The native dialect in JSON, read: one object per text message.

use super::{Key, Keys};
use crate::dialect::decoded::{Command, InvalidRequest, Item, ReplyMode};
use crate::dialect::id::Id;
use crate::dialect::request::Wrong;
use crate::dialect::rules::Rules;
use crate::dialect::{Code, Problem};
use crate::json::explain;
use std::borrow::Cow;

/// `bad_json` when the message is not JSON, whatever else is wrong with it; `bad_request` when a key is missing, mistyped or stands
/// there twice, or keys exclude each other.
pub(in crate::dialect) fn read<'b>(
    text: &'b str,
    rules: &Rules,
) -> Result<Item<'b>, InvalidRequest<'b>> {
    command(text, rules).map(Item::Command)
}

fn command<'b>(text: &'b str, rules: &Rules) -> Result<Command<'b>, InvalidRequest<'b>> {
    let outer = rules.outer_native();
    let keys = Keys::from_json(text, outer, Key::of_name, NOT_AN_OBJECT)
        .map_err(|error| invalid(None, Code::BadJson, explain(text, error, outer).into()))?;
    // The id first: whatever else is wrong is answered under it.
    let id = keys
        .id()
        .map_err(|wrong| invalid(None, Code::BadRequest, wrong.into()))?;
    keys.command(id)
        .map_err(|wrong| invalid(id, Code::BadRequest, wrong.into()))
}

#[cold]
fn invalid<'b>(id: Option<Id<'b>>, code: Code, message: Cow<'static, str>) -> InvalidRequest<'b> {
    InvalidRequest {
        id,
        problem: Problem::new(code, message),
        reply: ReplyMode::Always,
    }
}

const NOT_AN_OBJECT: Wrong = "a message is one JSON object";
