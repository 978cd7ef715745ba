//! What is told of the steps of recorded requests. Used by publishes, and by the service for what a
//! guard has decided about.

use crate::session::context::{Context, TraceDecision};
use crate::traces::tracer::BegunStep;
use shardcast_protocol::dialect::Command;

/// Notes what is known of a step that a request is.
pub(crate) fn note(cx: &Context<'_>, command: &Command<'_>, step: &mut BegunStep) {
    step.note("shardcast.shard", u64::from(cx.state.shard));
    step.note("shardcast.connection", cx.connection().text().as_str());
    step.note("shardcast.dialect", cx.dialect().subprotocol());
    if let Some(data) = command.data {
        let bytes = data.as_bytes().len() as u64;
        step.note("messaging.message.body.size", bytes);
    }
    if let Some(room) = command.room.as_deref() {
        step.note("messaging.destination.name", room);
    }
}

/// Ends the step of the request at hand, if nobody has taken it: it is a join, or a publish that
/// was refused.
#[cold]
pub(crate) fn end_left(cx: &mut Context<'_>, command: &Command<'_>) {
    let left = std::mem::replace(&mut cx.trace, TraceDecision::Decided(None));
    if let TraceDecision::Decided(Some(trace)) = left
        && let Some(mut step) = trace.step
    {
        note(cx, command, &mut step);
    }
}
