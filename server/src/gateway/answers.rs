//! What a backend's answer becomes: an identity, a problem, a refusal, data in the client's
//! encoding.
//!
//! Invariant: whatever a backend says is checked here before it is used; what cannot be used is an
//! error that the client is told as `handler_failed`.

use crate::gateway::status::status_of;
use crate::gateway::wire::{Answer, Reject};
use crate::session::identity::Identity;
use shardcast_engine::Refusal;
use shardcast_protocol::dialect::{Code, Encoding, Problem, Value};
use shardcast_protocol::json::Raw;

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unusable(pub(crate) &'static str);

/// Most roles, rooms or publishes of one answer.
pub(crate) const LIST_MAX: usize = 256;
/// Longest text for people, in bytes; the rest is cut off.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// Checks what concerns every answer.
pub(crate) fn check(answer: &Answer) -> Result<(), Unusable> {
    let longest = [answer.roles.len(), answer.rooms.len(), answer.publish.len()];
    if longest.into_iter().any(|length| length > LIST_MAX) {
        return Err(Unusable("a list of the answer is too long"));
    }
    if answer
        .data
        .as_deref()
        .is_some_and(|data| json(data).is_none())
    {
        return Err(Unusable("data is no JSON"));
    }
    if answer.expires_ms == Some(0) {
        return Err(Unusable("expires_ms is 0: what is to end is rejected"));
    }
    Ok(())
}

/// Who the backend says the client is. `None`: it says nothing.
pub(crate) fn identity_of(answer: &Answer) -> Result<Option<Identity>, Unusable> {
    let Some(user) = &answer.user else {
        return match answer.roles.is_empty() {
            true => Ok(None),
            false => Err(Unusable("roles without user")),
        };
    };
    let identity = Identity::user(user.as_str());
    let identity = identity.map_err(|_| Unusable("user has not 1 to 255 bytes"))?;
    Ok(Some(
        identity.in_roles(answer.roles.iter().map(|role| &**role)),
    ))
}

/// The problem that a client is told.
pub(crate) fn problem_of(reject: &Reject) -> Problem {
    let code = Code::from_name(&reject.code).unwrap_or(Code::Forbidden);
    let mut message = reject.message.clone();
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    match code {
        Code::RateLimited => {
            Problem::rate_limited(message, reject.retry_after_ms.unwrap_or(RETRY_AFTER_MS))
        }
        code => Problem::new(code, message),
    }
}

/// When to try again, where the backend does not say.
const RETRY_AFTER_MS: u32 = 1_000;

/// The answer to a client that is not let in.
pub(crate) fn refusal_of(problem: &Problem) -> Refusal {
    let refusal = Refusal::new(status_of(problem.code), problem.message.to_string());
    match problem.retry_after_ms {
        Some(ms) => refusal
            .with_header("Retry-After", &ms.div_ceil(1_000).to_string())
            .unwrap_or_else(Refusal::from),
        None => refusal,
    }
}

/// A complete JSON value.
pub(crate) fn json(data: &[u8]) -> Option<Value<'_>> {
    let text = str::from_utf8(data).ok()?;
    Raw::parse(text).map(Value::Json)
}

/// The data of an answer as a client reads it, `null` where there is none.
pub(crate) fn encoded(answer: &Answer, encoding: Encoding) -> Vec<u8> {
    let data = answer.data.as_deref().and_then(json);
    let mut bytes = Vec::new();
    let data = data.unwrap_or(Value::Json(Raw::NULL));
    data.write(&mut bytes, encoding);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_an_error() {
        let answer = Answer::default();
        let roles = |count| vec!["x".to_owned(); count];
        for (answer, is_good) in [
            (answer.clone(), true),
            (
                Answer {
                    user: Some(String::new()),
                    ..answer.clone()
                },
                false,
            ),
            (
                Answer {
                    roles: roles(1),
                    ..answer.clone()
                },
                false,
            ),
            (
                Answer {
                    user: Some("ann".to_owned()),
                    roles: roles(LIST_MAX + 1),
                    ..answer.clone()
                },
                false,
            ),
            (
                Answer {
                    expires_ms: Some(0),
                    ..answer.clone()
                },
                false,
            ),
            (
                Answer {
                    expires_ms: Some(1),
                    ..answer.clone()
                },
                true,
            ),
            (
                Answer {
                    data: Some(b"{".to_vec()),
                    ..answer.clone()
                },
                false,
            ),
            (
                Answer {
                    data: Some(vec![0xff]),
                    ..answer
                },
                false,
            ),
        ] {
            let checked = check(&answer).and_then(|()| identity_of(&answer));
            assert_eq!(checked.is_ok(), is_good, "{answer:?}");
        }
    }

    #[test]
    fn a_word_that_is_no_code_forbids() {
        let reject = |code: &str| Reject {
            code: code.to_owned(),
            message: "é".repeat(MESSAGE_BYTES_MAX),
            retry_after_ms: None,
        };
        let problem = problem_of(&reject("made_up"));
        assert_eq!(problem.code, Code::Forbidden);
        assert_eq!(problem.message.len(), MESSAGE_BYTES_MAX);
        let limited = problem_of(&reject("rate_limited"));
        assert_eq!(limited.retry_after_ms, Some(RETRY_AFTER_MS));
    }
}
