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
    let request = Request::from_pack(bytes, rules.outer(), Key::of_name, NOT_A_MAP)
        .map_err(|error| refused(None, error.to_string().into()))?;
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
