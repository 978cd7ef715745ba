//! The Centrifuge client protocol, version 2, in its two encodings: JSON lines and Protobuf. Its
//! channels are rooms, so whoever speaks another dialect meets those who speak this one.
//!
//! A message holds any number of commands, which are replied to one by one, each in a message of
//! its own; so a slow one holds up no other. `commands` reads, `reply` and `push` write, `code` has
//! the protocol's numbers. `docs/centrifuge.md` says what of the protocol there is.

mod answer;
mod asked;
mod body;
mod change;
mod code;
mod command;
mod commands;
mod emulation;
mod filter;
mod form;
mod protobuf;
pub(super) mod push;
mod record;
pub(super) mod reply;
mod schema;
mod subs;
mod unidirectional;

pub use super::keyed::{KeyChange, MapEntry};
pub use super::tagged::{
    PUBLICATION, TAG_OF_EVENTS, entry_of, named_entry, plain_name, removal_of, tagged, tags_in,
    tags_of,
};
pub use answer::{
    CentrifugeReply, Connected, MapPlaces, MapSubscribed, Recovering, Subscribed, Transport,
};
pub use asked::{CentrifugeRequest, ConnectCommand, IfLost, MapKind, MapPhase, MapStep, Subscribe};
pub(super) use body::{Delimited, JsonLines};
pub use code::{Disconnect, Refusal, Unsubscribed, error_number};
pub use command::{Instruction, SEND};
pub(super) use commands::Encoded;
pub use commands::{BadCommand, COMMANDS_MAX, Commands};
pub use emulation::Emulated;
pub use filter::{FilterFault, TagFilter, Tags};
pub use form::Deltas;
pub use subs::{HadOfChannels, WantedChannel};
pub use unidirectional::{connect_command, pushed_alone, write_disconnect};

/// What the server sends from time to time in JSON, and what it is answered with.
pub const PING_JSON: &[u8] = b"{}";
/// The same in Protobuf: a message of no bytes behind its length.
pub const PING_PROTOBUF: &[u8] = &[0];
