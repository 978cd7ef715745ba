//! Errors of the server API: a number of the Centrifuge protocol, and words. Made by its methods.

use crate::wire::failure::{Failure, Gone};
use serde::Serialize;
use shardcast_protocol::dialect::centrifuge::error_number;
use shardcast_protocol::dialect::{Code, Problem};
use std::borrow::Cow;

/// Why a command did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ApiError {
    code: u32,
    message: Cow<'static, str>,
}

impl ApiError {
    /// No method is called so.
    pub(crate) const METHOD_NOT_FOUND: ApiError = ApiError::new(104, "method not found");
    /// The server has it not, or the channel.
    pub(crate) const NOT_AVAILABLE: ApiError = ApiError::new(108, "not available");
    /// What the request is about is not there any more.
    pub(crate) const UNRECOVERABLE: ApiError = ApiError::new(112, "unrecoverable position");

    const fn new(code: u32, message: &'static str) -> ApiError {
        let message = Cow::Borrowed(message);
        ApiError { code, message }
    }

    /// Its number, as the audit log has it, too.
    pub(crate) fn number(&self) -> u16 {
        u16::try_from(self.code).unwrap_or(u16::MAX)
    }

    pub(crate) fn bad_request(message: impl Into<Cow<'static, str>>) -> ApiError {
        let message = message.into();
        ApiError { code: 107, message }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> ApiError {
        ApiError {
            code: error_number(problem.code),
            message: problem.message,
        }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> ApiError {
        match failure.problem() {
            Some(problem) => problem.into(),
            None => ApiError::new(100, "internal server error"),
        }
    }
}

impl From<Gone> for ApiError {
    fn from(Gone: Gone) -> ApiError {
        Problem::new(Code::NotJoined, "there is no such connection").into()
    }
}
