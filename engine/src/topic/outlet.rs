//! The way out for what a home orders: the lanes to the shards with members, the events, and what
//! makes frames.
//!
//! Lent to the topics for the length of one request. Made by the core.

use crate::counters::ShardCounters;
use crate::driver::boundary::Millis;
use crate::egress::encoder::Encoder;
use crate::events::EventSink;
use crate::message::lane::Mailbox;

/// What a home needs beside its topics.
pub(crate) struct Outlet<'a> {
    pub(crate) now: Millis,
    pub(crate) mail: &'a mut Mailbox,
    pub(crate) events: &'a mut EventSink,
    pub(crate) encoder: Encoder<'a>,
    pub(crate) counters: &'a ShardCounters,
}
