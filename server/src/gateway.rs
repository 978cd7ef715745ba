//! A backend behind the server, in any language: it decides what clients may do, over webhooks or a
//! stream, and has the server do things unasked. `docs/gateway.md` is for its author.

pub(crate) mod answers;
pub(crate) mod breaker;
pub(crate) mod calls;
pub(crate) mod counts;
pub(crate) mod dead_letters;
pub(crate) mod frames;
pub(crate) mod hooks;
pub(crate) mod live;
pub(crate) mod not_answered;
pub(crate) mod notices;
pub(crate) mod options;
pub(crate) mod orders;
pub(crate) mod prepare;
pub(crate) mod refresh;
pub(crate) mod replay;
pub(crate) mod secret;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod watch;
pub(crate) mod webhook;
pub(crate) mod wire;
