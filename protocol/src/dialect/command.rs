//! A request with what its reply needs: the id, and whether there is to be one. Made by the readers
//! of all dialects.

use super::id::Id;
use super::request::Request;
use super::value::Value;
use crate::trace_parent::TraceParent;
use std::borrow::Cow;

/// A request with what its reply needs, borrowed from its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'b> {
    /// `id`, echoed in the reply byte for byte.
    pub id: Option<Id<'b>>,
    /// When the command is replied to.
    pub reply: ReplyMode,
    /// What is asked.
    pub request: Request<'b>,
    /// `room`, whether the request needs it or not: middleware may look at it.
    pub room: Option<Cow<'b, str>>,
    /// `data`: any value, forwarded byte for byte. In JSON-RPC the complete `params` of a call.
    pub data: Option<Value<'b>>,
    /// `traceparent`: the trace that the client has the request belong to. Boxed, so that a command
    /// without one is hardly larger.
    pub trace: Option<Box<TraceParent>>,
}

/// When a command is replied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// Always.
    Always,
    /// Unless the reply is a bare confirmation: a request without an id asks for none.
    UnlessDone,
    /// Never, not even with an error: a notification of JSON-RPC, or a response.
    Never,
}
