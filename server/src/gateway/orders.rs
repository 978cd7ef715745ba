//! What a backend has the server do: events for clients, memberships, ends of connections; unasked,
//! and besides its answers.
//!
//! Invariant: whatever a backend orders is checked as if a client had sent it, and what cannot be
//! done changes nothing and is told. Called by the socket and by the hooks.

use crate::gateway::answers::json;
use crate::gateway::counts::GatewayCounts;
use crate::gateway::wire::{
    BackendCommand, CommandDone, Disconnect, Membership, Order, Publish, Reject,
};
use crate::session::handle::Handle;
use crate::session::identity::Identity;
use crate::traces::tracer::{RequestTrace, TraceContext};
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::{Failure, unavailable};
use serde_json::value::RawValue;
use shardcast_engine::SpanKind;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_protocol::dialect::{Code, Problem};
use shardcast_protocol::trace_parent::TraceParent;
use std::sync::OnceLock;

/// See above.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Set when the server has started.
    handle: OnceLock<Handle>,
    counts: OnceLock<GatewayCounts>,
}

impl Orders {
    pub(crate) fn new() -> Orders {
        Orders {
            handle: OnceLock::new(),
            counts: OnceLock::new(),
        }
    }

    /// The server has started: orders act on it.
    pub(crate) fn attach(&self, handle: Handle, counts: GatewayCounts) {
        // A second server has orders of its own.
        let _ = self.handle.set(handle);
        let _ = self.counts.set(counts);
    }

    /// Does what is ordered.
    pub(crate) async fn obey(&self, command: BackendCommand) -> CommandDone {
        let (name, obeyed) = match command.what {
            Some(Order::Publish(publish)) => ("publish", self.publish(&publish, None).await),
            Some(Order::Disconnect(whom)) => ("disconnect", self.disconnect(&whom).await),
            Some(Order::Join(membership)) => ("join", self.join(&membership).await),
            Some(Order::Leave(membership)) => ("leave", self.leave(&membership).await),
            None => ("none", Err(bad("the command says nothing").into())),
        };
        let failed = obeyed.err().map(|failure| {
            let problem = failure.problem();
            let problem = problem
                .unwrap_or_else(|| Problem::new(Code::NotJoined, "there is no such connection"));
            Reject {
                code: problem.code.as_str().to_owned(),
                message: problem.message.into_owned(),
                retry_after_ms: problem.retry_after_ms,
            }
        });
        if let Some(counts) = self.counts.get() {
            counts.commanded(name, if failed.is_none() { "done" } else { "failed" });
        }
        CommandDone {
            id: command.id,
            failed,
        }
    }

    /// Sends an event to clients, as a part of the trace that it names, or else of this one.
    pub(crate) async fn publish(
        &self,
        asked: &Publish,
        trace: Option<TraceContext>,
    ) -> Result<(), Failure> {
        let tracer = self.handle()?.shared.tracer.as_ref();
        let own = asked.traceparent.as_deref().and_then(TraceParent::parse);
        let own = own.map(TraceContext::of_trusted);
        let step = ("publish", SpanKind::Server);
        let mut trace = RequestTrace::of_trusted(tracer, own.or(trace), step);
        if let (Some(step), Some(room)) = (&mut trace.step, &asked.room) {
            step.note("messaging.destination.name", &**room);
        }
        let published = self.publish_within(asked, trace.context).await;
        trace.end(published.as_ref().err().map(|_| "failed"));
        published
    }

    async fn publish_within(
        &self,
        asked: &Publish,
        trace: Option<TraceContext>,
    ) -> Result<(), Failure> {
        let handle = self.handle()?;
        let data: Box<RawValue> = match asked.data.as_deref() {
            None => RawValue::NULL.to_owned(),
            Some(data) if json(data).is_none() => return Err(bad("data is no JSON").into()),
            Some(data) => serde_json::from_slice(data)?,
        };
        if asked.event.is_empty() || asked.event.len() > EVENT_BYTES_MAX {
            return Err(bad("event has not 1 to 255 bytes").into());
        }
        let targets = (&asked.room, &asked.user, &asked.connection, asked.everyone);
        let emit = match targets {
            (Some(room), None, None, false) => handle.to(room),
            (None, Some(user), None, false) => handle.to_user(user),
            (None, None, Some(connection), false) => handle.to_connection(id_of(connection)?),
            (None, None, None, true) => handle.everyone(),
            _ => {
                let text = "name one of room, user, connection and everyone";
                return Err(bad(text).into());
            }
        };
        let emit = match &asked.except {
            Some(except) => emit.except(id_of(except)?),
            None => emit,
        };
        emit.within(trace).emit(&asked.event, &data).await
    }

    async fn disconnect(&self, asked: &Disconnect) -> Result<(), Failure> {
        let handle = self.handle()?;
        let code = match asked.code {
            None => Code::Forbidden.close_code(),
            Some(code) => u16::try_from(code)
                .ok()
                .and_then(CloseCode::new)
                .ok_or_else(|| bad("code may not be sent"))?,
        };
        let mut reason = asked.reason.as_str();
        reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        match (&asked.connection, &asked.user) {
            (Some(connection), None) => {
                let connection = id_of(connection)?;
                Ok(handle.disconnect(connection, code, reason).await?)
            }
            (None, Some(user)) if Identity::is_name(user) => {
                handle.disconnect_user(user, code, reason).await?;
                Ok(())
            }
            _ => Err(bad("name either connection or user").into()),
        }
    }

    async fn join(&self, asked: &Membership) -> Result<(), Failure> {
        let rooms: Vec<&str> = asked.rooms.iter().map(String::as_str).collect();
        let connection = id_of(&asked.connection)?;
        self.handle()?.join(connection, &rooms).await?;
        Ok(())
    }

    async fn leave(&self, asked: &Membership) -> Result<(), Failure> {
        let rooms: Vec<&str> = asked.rooms.iter().map(String::as_str).collect();
        let connection = id_of(&asked.connection)?;
        self.handle()?.leave(connection, &rooms).await
    }

    fn handle(&self) -> Result<&Handle, Problem> {
        let handle = self.handle.get();
        handle.ok_or_else(|| unavailable("the server starts"))
    }
}

fn id_of(text: &str) -> Result<ConnectionId, Problem> {
    text.parse()
        .map_err(|_| bad("connection is no connection's id"))
}

fn bad(text: &'static str) -> Problem {
    Problem::new(Code::BadRequest, text)
}

/// Longest name of an event, in bytes.
const EVENT_BYTES_MAX: usize = 255;
/// Of a close frame (RFC 6455 §5.5): 125 bytes without the code.
const REASON_BYTES_MAX: usize = 123;
