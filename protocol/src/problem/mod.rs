//! What can be wrong with a request: one table of codes for all dialects, written out in
//! `docs/errors.md` by `cargo run -p shardcast-protocol --example errors`. Called by the dialects
//! and by the server.

mod code;
mod page;

pub use code::Code;
pub use page::markdown;

use std::borrow::Cow;

/// A refusal in full.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Problem {
    /// What a program acts upon.
    pub code: Code,
    /// What a person reads.
    pub message: Cow<'static, str>,
    /// When to try again; only with [`Code::RateLimited`].
    pub retry_after_ms: Option<u32>,
    /// Path of the offending field: `data.price`, `data.items[3].name`.
    pub field: Option<Cow<'static, str>>,
    /// JSON-RPC tells what is no request from a request whose params are wrong; nobody else does.
    invalid_request: bool,
}

impl Problem {
    /// A problem of any code but [`Code::RateLimited`].
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            code,
            message: message.into(),
            retry_after_ms: None,
            field: None,
            invalid_request: false,
        }
    }

    /// Too much at a time.
    pub fn rate_limited(message: impl Into<Cow<'static, str>>, retry_after_ms: u32) -> Problem {
        Problem {
            retry_after_ms: Some(retry_after_ms),
            ..Problem::new(Code::RateLimited, message)
        }
    }

    /// Says which field it is about.
    #[must_use]
    pub fn at_field(self, path: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            field: Some(path.into()),
            ..self
        }
    }

    /// [`Code::BadRequest`] for a message that is no JSON-RPC request object.
    pub(crate) fn invalid_request(message: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            invalid_request: true,
            ..Problem::new(Code::BadRequest, message)
        }
    }

    /// The error's number in JSON-RPC: its code's, but -32600 when the message is no request object
    /// at all.
    pub fn json_rpc(&self) -> i32 {
        if self.invalid_request {
            INVALID_REQUEST
        } else {
            self.code.json_rpc()
        }
    }
}

/// JSON-RPC 2.0 §5.1: "The JSON sent is not a valid Request object."
const INVALID_REQUEST: i32 = -32600;
