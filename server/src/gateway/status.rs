//! The table that makes errors of HTTP status codes, and of errors the status codes that a client
//! is refused with when it connects.
//!
//! Invariant: of each status it is decided whether the backend has decided: what is below 500 is
//! its word, what is not is a failure of it.

use crate::gateway::not_answered::NotAnswered;
use crate::gateway::wire::Reject;
use hyper::StatusCode;
use serde::Deserialize;
use shardcast_protocol::dialect::Code;

/// What a backend may say beside a status: its own words, or a problem of RFC 9457.
#[derive(Debug, Default, Deserialize)]
struct SaidBeside {
    message: Option<String>,
    detail: Option<String>,
    /// A reject in full, as a backend that answers 200 would say it.
    reject: Option<Reject>,
}

/// What a status refuses. `None`: it accepts, and the body says more.
///
/// # Errors
/// It is none of a decision.
pub(crate) fn reject_of(
    status: StatusCode,
    retry_after_ms: Option<u32>,
    body: &[u8],
) -> Result<Option<Reject>, NotAnswered> {
    let code = match status.as_u16() {
        200..=299 => return Ok(None),
        400 | 422 => Code::BadRequest,
        401 => Code::Unauthorized,
        404 | 405 | 501 => Code::UnknownType,
        408 => Code::Timeout,
        413 => Code::TooLarge,
        429 => Code::RateLimited,
        402..=499 => Code::Forbidden,
        // A redirect is none: whoever answers must be whom the configuration names.
        100..=199 | 300..=399 | 500.. | 0..=99 => {
            return Err(NotAnswered::Lost(format!("it has answered {status}")));
        }
    };
    let said: SaidBeside = serde_json::from_slice(body).unwrap_or_default();
    if let Some(reject) = said.reject {
        return Ok(Some(reject));
    }
    let message = said.message.or(said.detail);
    Ok(Some(Reject {
        code: code.as_str().to_owned(),
        message: message.unwrap_or_else(|| "the backend refused it".to_owned()),
        retry_after_ms,
    }))
}

/// The status of the answer to a client that is not let in for this.
pub(crate) fn status_of(code: Code) -> u16 {
    match code {
        Code::BadJson | Code::BadRequest | Code::InvalidData => 400,
        Code::Unauthorized | Code::TokenExpired => 401,
        Code::TooLarge => 413,
        Code::RateLimited | Code::RoomLimit => 429,
        Code::HandlerFailed => 500,
        Code::Unavailable | Code::RoomFull => 503,
        Code::Timeout => 504,
        Code::Forbidden
        | Code::NotJoined
        | Code::UnknownType
        | Code::UnknownNamespace
        | Code::NoSession => 403,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_a_decision_or_a_failure() {
        let of = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).expect("it is one");
            let read = reject_of(status, Some(7), body.as_bytes());
            read.map(|reject| reject.map(|reject| (reject.code, reject.message)))
        };
        let said = "the backend refused it";
        for (status, code) in [
            (200, None),
            (204, None),
            (299, None),
            (400, Some("bad_request")),
            (401, Some("unauthorized")),
            (403, Some("forbidden")),
            (404, Some("unknown_type")),
            (408, Some("timeout")),
            (409, Some("forbidden")),
            (413, Some("too_large")),
            (429, Some("rate_limited")),
            (499, Some("forbidden")),
        ] {
            let want = code.map(|code| (code.to_owned(), said.to_owned()));
            assert_eq!(of(status, ""), Ok(want), "{status}");
        }
        for status in [101, 301, 302, 500, 502, 503, 504, 599] {
            let failed = of(status, "{}");
            assert!(matches!(failed, Err(NotAnswered::Lost(_))), "{status}");
        }
        for (body, code, message) in [
            (r#"{"message":"no"}"#, "forbidden", "no"),
            (r#"{"detail":"no","title":"x"}"#, "forbidden", "no"),
            (
                r#"{"reject":{"code":"room_full","message":"full"}}"#,
                "room_full",
                "full",
            ),
            ("<html>", "forbidden", said),
        ] {
            let want = Some((code.to_owned(), message.to_owned()));
            assert_eq!(of(403, body), Ok(want), "{body}");
        }
    }
}
