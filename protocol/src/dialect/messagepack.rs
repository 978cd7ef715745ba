//! The native dialect in MessagePack, read: one map per message, with the same keys. What it writes is in `reply` and `event`.

use super::command::{Incoming, Refused, Said, Wants};
use super::fields::{Key, Request, Wrong};
use super::id::Id;
use super::rules::Rules;
use super::{Code, Problem};
use std::borrow::Cow;

pub(super) fn read<'b>(bytes: &'b [u8], rules: &Rules) -> Incoming<'b> {
    Incoming::One(command(bytes, rules))
}

fn command<'b>(bytes: &'b [u8], rules: &Rules) -> Result<Said<'b>, Refused<'b>> {
    let refused = |id, message: Cow<'static, str>| Refused {
        id,
        problem: Problem::new(Code::BadRequest, message),
        wants: Wants::Answer,
    };
    let request = Request::from_pack(bytes, rules.outer_native(), Key::of_name, NOT_A_MAP);
    if !request
        .as_ref()
        .is_ok_and(|request| request.wrong.is_none())
        && let Some(remedy) = remedy(bytes)
    {
        return Err(refused(None, remedy.into()));
    }
    let request = request.map_err(|error| refused(None, error.to_string().into()))?;
    // The id first: whatever else is wrong is answered under it.
    let id = request.id().map_err(|wrong| refused(None, wrong.into()))?;
    let id = id.map(|id| Id::checked(id.into()));
    let wrong = request.wrong.map_or(Ok(()), Err);
    wrong
        .and_then(|()| request.command(request.kind()?, id, Wants::Answer))
        .map(Said::Command)
        .map_err(|wrong| refused(id, wrong.into()))
}

const NOT_A_MAP: Wrong = "a message is one map";

/// What to do about a message that is none, because its library writes objects otherwise unless it is told.
fn remedy(bytes: &[u8]) -> Option<Wrong> {
    let is_array = |first: &u8| matches!(first, 0x90..=0x9f | 0xdc | 0xdd);
    // A record of npm msgpackr: an extension of type `r` with the record's number, an array of its keys, and its values behind. The
    // number alone where the keys came before.
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
