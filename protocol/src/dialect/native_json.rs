//! The native dialect in JSON, read. What it writes is in `reply` and `event`.

use super::command::{Incoming, Refused, Said, Wants};
use super::id::Id;
use super::rules::Rules;
use crate::native::Envelope;

pub(super) fn read<'b>(text: &'b str, rules: &Rules) -> Incoming<'b> {
    let read = Envelope::read(text, rules);
    Incoming::One(match read {
        Ok(envelope) => Ok(Said::Command(envelope.into())),
        Err(refused) => Err(Refused {
            id: refused.id.map(|id| Id::checked(id.into())),
            problem: refused.problem,
            wants: Wants::Answer,
        }),
    })
}
