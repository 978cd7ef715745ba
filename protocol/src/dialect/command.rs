//! What a client said: a request, an answer to a call of the server, or a batch of them.

use super::fields::Wrong;
use super::id::Id;
use super::names::names;
use super::value::Value;
use super::{Problem, Rules, json_rpc};
use crate::native::Envelope;
use std::borrow::Cow;

/// Most calls in one batch of JSON-RPC. More is refused as a whole, with one error.
pub const BATCH_MAX: usize = 64;

/// What one message held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming<'b> {
    /// One thing, or why it is none.
    One(Result<Said<'b>, Refused<'b>>),
    /// Several at once: their answers are one message, see [`super::Replies`].
    Batch(Batch<'b>),
}

/// One thing that a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<'b> {
    /// It asks for something.
    Command(Command<'b>),
    /// It answers a call of the server.
    Response(Response<'b>),
}

/// A request, borrowed from its message. Every key has the right type, and none stood there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'b> {
    /// `type`, or JSON-RPC's method: what is asked.
    pub kind: Cow<'b, str>,
    /// `id`, echoed in the answer byte for byte.
    pub id: Option<Id<'b>>,
    /// `room`: one room, whose name is not checked yet (see [`crate::native::is_room_name`]).
    pub room: Option<Cow<'b, str>>,
    /// `rooms`: several rooms.
    pub rooms: Option<Rooms<'b>>,
    /// `user`: everyone who is this user.
    pub user: Option<Cow<'b, str>>,
    /// `data`: any value, forwarded byte for byte. In JSON-RPC the whole `params` of a method that is not built in.
    pub data: Option<Value<'b>>,
    /// `echo`: whether a broadcast comes back to its sender. Absent means what the namespace says.
    pub echo: Option<bool>,
    /// `report`: whether a broadcast is answered with counts. Absent means no.
    pub report: bool,
    /// `limit`: how many things an answer may list.
    pub limit: Option<u32>,
    /// Whether it may be answered.
    pub wants: Wants,
}

/// Whether something may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// It is answered, under its id if it bears one.
    Answer,
    /// It is not answered whatever becomes of it, not even with an error: a notification of JSON-RPC, or a response.
    Silence,
}

/// Why something said is nothing, and the `id` to answer it with if one could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused<'b> {
    /// Echoed in the error.
    pub id: Option<Id<'b>>,
    /// The error.
    pub problem: Problem,
    /// Whether the error is sent.
    pub wants: Wants,
}

/// The answer to a call of the server ([`super::Event::Call`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'b> {
    /// The call's.
    pub id: u64,
    /// What the client made of it.
    pub outcome: Result<Value<'b>, CallError<'b>>,
}

/// A client's error, as it put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError<'b> {
    /// JSON-RPC 2.0 §5.1 reserves -32768 to -32000.
    pub code: i64,
    /// For people.
    pub message: Cow<'b, str>,
    /// Anything more.
    pub data: Option<Value<'b>>,
}

/// A batch of JSON-RPC: 1 to [`BATCH_MAX`] members, of which each is looked at by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'b> {
    /// A whole valid array.
    pub(super) array: &'b str,
    pub(super) count: usize,
    pub(super) rules: Rules,
}

impl<'b> Batch<'b> {
    /// How many members there are, 1 to [`BATCH_MAX`].
    pub fn count(&self) -> usize {
        self.count
    }

    /// The members in the order sent. An invalid one is an error of its own.
    pub fn members(&self) -> impl Iterator<Item = Result<Said<'b>, Refused<'b>>> + use<'b> {
        json_rpc::members(self.array, self.rules)
    }
}

/// The names in `rooms`: one at least, not checked and perhaps repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rooms<'b> {
    /// An array of strings, as sent.
    array: Value<'b>,
    count: usize,
}

impl<'b> Rooms<'b> {
    pub(super) fn check(array: Value<'b>) -> Result<Rooms<'b>, Wrong> {
        const WRONG: Wrong = "rooms must be an array of strings";
        let mut count = 0;
        for name in names(array).ok_or(WRONG)? {
            name.ok_or(WRONG)?;
            count += 1;
        }
        match count {
            0 => Err("rooms must not be empty"),
            count => Ok(Rooms { array, count }),
        }
    }

    /// How many names there are, 1 or more.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The names, in the order asked.
    pub fn names(&self) -> impl Iterator<Item = Cow<'b, str>> + use<'b> {
        names(self.array).into_iter().flatten().flatten()
    }
}

impl<'b> From<Envelope<'b>> for Command<'b> {
    fn from(envelope: Envelope<'b>) -> Command<'b> {
        Command {
            kind: envelope.kind,
            id: envelope.id.map(|id| Id::checked(id.into())),
            room: envelope.room,
            rooms: envelope.rooms,
            user: envelope.user,
            data: envelope.data.map(Value::Json),
            echo: envelope.echo,
            report: envelope.report,
            limit: envelope.limit,
            wants: Wants::Answer,
        }
    }
}
