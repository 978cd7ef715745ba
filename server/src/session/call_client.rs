//! Methods of clients that the server calls, which only JSON-RPC has: sent on the connection's
//! shard, awaited elsewhere.

use crate::session::background::Background;
use crate::session::context::Context;
use crate::session::handle::Handle;
use crate::session::reverse::{Answered, CallError};
use crate::wire::connection_id::ConnectionId;
use crate::wire::encoding::{self, Nesting};
use crate::wire::failure::{Gone, too_many_waiting, unavailable};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shardcast_protocol::dialect::{Dialect, Encoding, Event, Problem, Value};
use shardcast_protocol::json::Raw;
use std::time::Duration;
use tokio::sync::oneshot;

impl Handle {
    /// Calls a method of a client that speaks JSON-RPC, and waits for its answer; `within` is
    /// measured by the connection's shard, in steps of 64 ms.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<R: DeserializeOwned>(
        &self,
        connection: ConnectionId,
        method: &str,
        params: &impl Serialize,
        within: Duration,
    ) -> Result<R, CallError> {
        let mut bytes = Vec::new();
        let refused = |problem: Problem| CallError::Refused(problem.message.into_owned());
        encoding::write(Encoding::Json, Nesting::Answer, &mut bytes, params)
            .map_err(|failure| refused(failure.into_problem(method)))?;
        let method = method.to_owned();
        let called = self.on(connection, move |cx| call_from(cx, &method, &bytes, within));
        let answer = called.await?.map_err(refused)?;
        let answer = answer.await.map_err(|_| Gone)??;
        let answer = Value::Json(Raw::of_serializer(&answer));
        encoding::read(answer).map_err(|error| CallError::Unfit(error.to_string()))
    }
}

impl Background {
    /// Calls a method of the client, if it speaks JSON-RPC, and waits for its answer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<R: DeserializeOwned>(
        &self,
        method: &str,
        params: &impl Serialize,
        within: Duration,
    ) -> Result<R, CallError> {
        self.handle
            .call(self.connection, method, params, within)
            .await
    }
}

/// Sends a call; its answer comes to the receiver.
fn call_from(
    cx: &mut Context<'_>,
    method: &str,
    params: &[u8],
    within: Duration,
) -> Result<oneshot::Receiver<Answered>, Problem> {
    if cx.dialect() != Dialect::JsonRpc {
        return Err(unavailable("this client's dialect has no calls"));
    }
    let params = Some(encoding::written(Encoding::Json, params));
    // The shard never gives a number twice, so a late answer meets no other call.
    let id = cx.state.take_serial();
    let event = Event::Call { id, method, params };
    let dialect = cx.dialect();
    let mut call = Vec::with_capacity(event.bytes_hint());
    dialect
        .write_event(&mut call, &event)
        .map_err(|_| unavailable("the parameters are neither an object nor an array"))?;
    let due_ms = cx.due_after(within);
    let opened = cx.session.more().reverse.open(id, due_ms);
    let answer = opened.ok_or_else(too_many_waiting)?;
    cx.engine.send(dialect.kind(), &call);
    Ok(answer)
}
