//! Calls of the server that a client is to answer, until it has: the way back of JSON-RPC.

use crate::app::session::Limits;
use shardcast_protocol::dialect::{Response, Value};
use tokio::sync::oneshot;

/// What a client answered: its result as JSON, or its error.
pub(crate) type Answered = Result<Box<str>, Rejected>;

/// A client answered a call with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client answered {code}: {message}")]
pub struct Rejected {
    /// The client's number for it.
    pub code: i64,
    /// The client's text.
    pub message: String,
}

/// The calls of one connection that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Reverse {
    waiting: Vec<(u64, oneshot::Sender<Answered>)>,
}

impl Reverse {
    /// A place to wait for the answer to a call with this number, which no other call of the connection has or had; `None` when as many
    /// wait as may.
    pub(crate) fn open(&mut self, id: u64) -> Option<oneshot::Receiver<Answered>> {
        // Whoever has given up waiting makes room.
        self.waiting.retain(|(_, asker)| !asker.is_closed());
        if self.waiting.len() >= Limits::REVERSE_CALLS_PER_CONNECTION_MAX {
            return None;
        }
        let (asker, answer) = oneshot::channel();
        self.waiting.push((id, asker));
        Some(answer)
    }

    /// Hands an answer to whoever waits for it; false if nobody does.
    pub(crate) fn settle(&mut self, response: &Response<'_>) -> bool {
        let waits = |(id, _): &(u64, _)| *id == response.id;
        let Some(at) = self.waiting.iter().position(waits) else {
            return false;
        };
        let (_, asker) = self.waiting.swap_remove(at);
        let answered = match &response.outcome {
            Ok(Value::Json(json)) => Ok(json.as_str().into()),
            // Only JSON-RPC has responses.
            Ok(Value::Pack(_)) => Ok("null".into()),
            Err(error) => Err(Rejected {
                code: error.code,
                message: error.message.clone().into_owned(),
            }),
        };
        asker.send(answered).is_ok()
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
