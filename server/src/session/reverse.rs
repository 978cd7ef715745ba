//! Calls of the server that wait for a client's answer, which JSON-RPC has.

use crate::session::limits::Limits;
use crate::wire::failure::Gone;
use shardcast_protocol::dialect::{Response, Value};
use tokio::sync::oneshot;

/// What became of a call: the client's result as JSON, or why there is none.
pub(crate) type Answered = Result<Box<str>, CallError>;

/// Why a client's answer to a call did not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The connection is gone.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The answer did not come in time.
    #[error("the client did not answer in time")]
    Timeout,
    /// The client answered with an error.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The client's dialect has no calls (only JSON-RPC has), too many wait already, or the
    /// parameters cannot be written.
    #[error("{0}")]
    Refused(String),
    /// The answer is not of the type that was asked for.
    #[error("the client's answer does not fit: {0}")]
    Unfit(String),
}

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
    waiting: Vec<WaitingCall>,
}

#[derive(Debug)]
struct WaitingCall {
    id: u64,
    due_ms: u64,
    sender: oneshot::Sender<Answered>,
}

impl Reverse {
    /// Waits until `due_ms` for the answer to a call with this number, which no other call of the
    /// connection has or had. `None`: the maximum of calls waits already.
    pub(crate) fn open(&mut self, id: u64, due_ms: u64) -> Option<oneshot::Receiver<Answered>> {
        // A caller that has given up makes room.
        self.waiting.retain(|waiting| !waiting.sender.is_closed());
        if self.waiting.len() >= Limits::REVERSE_CALLS_PER_CONNECTION_MAX {
            return None;
        }
        let (sender, answer) = oneshot::channel();
        self.waiting.push(WaitingCall { id, due_ms, sender });
        Some(answer)
    }

    /// Ends the calls that are due by now.
    pub(crate) fn time_out(&mut self, now_ms: u64) {
        for late in self
            .waiting
            .extract_if(.., |waiting| waiting.due_ms <= now_ms)
        {
            let _gave_up_before = late.sender.send(Err(CallError::Timeout));
        }
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.waiting.iter().map(|waiting| waiting.due_ms).min()
    }

    /// Hands an answer to the caller that waits for it; false if no caller does.
    pub(crate) fn settle(&mut self, response: &Response<'_>) -> bool {
        let waits = |waiting: &WaitingCall| waiting.id == response.id;
        let Some(at) = self.waiting.iter().position(waits) else {
            return false;
        };
        let sender = self.waiting.swap_remove(at).sender;
        let answered = match &response.outcome {
            Ok(Value::Json(json)) => Ok(json.as_str().into()),
            // Only JSON-RPC has responses.
            Ok(Value::Pack(_) | Value::Bytes(_)) => Ok("null".into()),
            Err(error) => Err(CallError::Rejected(Rejected {
                code: error.code,
                message: error.message.clone().into_owned(),
            })),
        };
        sender.send(answered).is_ok()
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
