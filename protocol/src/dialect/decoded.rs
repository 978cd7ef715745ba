//! What one message of a client holds: commands, responses to calls of the server, or why there is
//! none.
//!
//! Invariant: whatever a dialect reads becomes one [`Decoded`], so nothing above a dialect depends
//! on how its messages are framed.

use super::Problem;
use super::centrifuge::Commands;
use super::command::{Command, ReplyMode};
use super::id::Id;
use super::replies::{Joining, Replies};
use super::value::Value;
use std::borrow::Cow;

/// Most items of one message. A longer one is refused as a whole, with one error.
pub const ITEMS_MAX: usize = 64;

/// What one message holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<'b> {
    /// One item, or why it is none.
    One(Result<Item<'b>, InvalidRequest<'b>>),
    /// Several items, whose replies are one message.
    Many(Items<'b>),
    /// Commands of the Centrifuge protocol, each with a reply of its own.
    Commands(Commands<'b>),
}

/// One request or response of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'b> {
    /// The client asks for something.
    Command(Command<'b>),
    /// The client answers a call of the server.
    Response(Response<'b>),
}

/// Why an item is no request, and the `id` to reply under if one could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRequest<'b> {
    /// Echoed in the error.
    pub id: Option<Id<'b>>,
    /// The error.
    pub problem: Problem,
    /// Whether the error is sent.
    pub reply: ReplyMode,
}

/// The answer to a call of the server ([`super::Event::Call`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'b> {
    /// The call's.
    pub id: u64,
    /// What the client made of it.
    pub outcome: Result<Value<'b>, CallError<'b>>,
}

/// A client's error, as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError<'b> {
    /// JSON-RPC 2.0 §5.1 reserves -32768 to -32000.
    pub code: i64,
    /// For people.
    pub message: Cow<'b, str>,
    /// Anything more.
    pub data: Option<Value<'b>>,
}

/// The items of one message, 1 to [`ITEMS_MAX`], and how their replies are joined. An invalid item
/// is an error of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Items<'b> {
    items: Vec<Result<Item<'b>, InvalidRequest<'b>>>,
    joining: Joining,
}

impl<'b> Items<'b> {
    pub(super) fn new(
        items: Vec<Result<Item<'b>, InvalidRequest<'b>>>,
        joining: Joining,
    ) -> Items<'b> {
        debug_assert!((1..=ITEMS_MAX).contains(&items.len()));
        Items { items, joining }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// How many replies will come.
    pub fn replies_due(&self) -> usize {
        let is_due = |item: &&Result<Item<'_>, InvalidRequest<'_>>| match item {
            Ok(Item::Command(command)) => command.reply != ReplyMode::Never,
            Ok(Item::Response(_)) => false,
            Err(invalid) => invalid.reply != ReplyMode::Never,
        };
        self.items.iter().filter(is_due).count()
    }

    /// A place for their replies.
    pub fn replies(&self) -> Replies {
        Replies::new(self.joining)
    }

    /// The items in the order sent.
    pub fn as_slice(&self) -> &[Result<Item<'b>, InvalidRequest<'b>>] {
        &self.items
    }
}

impl<'b> IntoIterator for Items<'b> {
    type Item = Result<Item<'b>, InvalidRequest<'b>>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}
