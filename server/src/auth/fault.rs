//! Why a token is refused: one value for each rule, with a stable word for programs and a sentence
//! for people. Neither repeats the token.

use shardcast_engine::Refusal;
use shardcast_protocol::dialect::{Code, Problem};
use std::fmt;
use std::ops::RangeInclusive;

/// The rule that a token breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// There is none, and one is required.
    Missing,
    /// It is longer than [`crate::TokenRules::token_bytes_max`].
    TooLong,
    /// It is no signed JWT in compact form; the text says what is wrong.
    Malformed(&'static str),
    /// Its header names an algorithm that no key has, or another than its key's.
    Algorithm,
    /// Its header has `crit`: extensions that a reader must understand, and this one knows none
    /// (RFC 7515 §4.1.11).
    Critical,
    /// No key is called as its `kid`, or there is no key at all.
    UnknownKey,
    /// Its signature is not that of its key.
    Signature,
    /// This claim is not there, and the configuration asks for it.
    MissingClaim(&'static str),
    /// This claim is there, and is not what it has to be.
    MalformedClaim(&'static str),
    /// `exp` is over.
    Expired,
    /// It was revoked ([`crate::Handle::revoke`]).
    Revoked,
    /// `nbf` or `iat` is in the future.
    NotYetValid(&'static str),
    /// `iss` is none of the configured issuers.
    Issuer,
    /// `aud` names none of the configured audiences.
    Audience,
    /// It is a room's own token where one of a connection is asked for, or the other way round.
    Purpose,
    /// It is for another room.
    Room,
    /// It is for another connection.
    Client,
    /// It is for another user.
    User,
    /// The set of keys that may have its key cannot be had now.
    KeysUnavailable,
    /// More tokens wait for their check than may.
    Busy,
}

impl TokenFault {
    /// A word that never changes, for logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            TokenFault::Missing => "missing",
            TokenFault::TooLong => "too_long",
            TokenFault::Malformed(_) => "malformed",
            TokenFault::Algorithm => "wrong_algorithm",
            TokenFault::Critical => "critical_extension",
            TokenFault::UnknownKey => "unknown_key",
            TokenFault::Signature => "bad_signature",
            TokenFault::MissingClaim(_) => "missing_claim",
            TokenFault::MalformedClaim(_) => "malformed_claim",
            TokenFault::Expired => "expired",
            TokenFault::Revoked => "revoked",
            TokenFault::NotYetValid(_) => "not_yet_valid",
            TokenFault::Issuer => "wrong_issuer",
            TokenFault::Audience => "wrong_audience",
            TokenFault::Purpose => "wrong_purpose",
            TokenFault::Room => "wrong_room",
            TokenFault::Client => "wrong_connection",
            TokenFault::User => "wrong_user",
            TokenFault::KeysUnavailable => "keys_unavailable",
            TokenFault::Busy => "busy",
        }
    }

    /// Whether the same token may be taken later.
    pub fn is_transient(self) -> bool {
        matches!(self, TokenFault::KeysUnavailable | TokenFault::Busy)
    }

    /// The answer to a request that brought the token.
    pub(crate) fn problem(self) -> Problem {
        match self {
            TokenFault::Busy => Problem::rate_limited(self.to_string(), BUSY_RETRY_AFTER_MS),
            TokenFault::KeysUnavailable => Problem::new(Code::Unavailable, self.to_string()),
            _ => Problem::new(Code::Unauthorized, self.to_string()),
        }
    }

    /// The answer to a client that asks to connect with the token (RFC 6750 §3).
    pub(crate) fn refusal(self) -> Refusal {
        if self.is_transient() {
            let refusal = Refusal::new(503, self.to_string());
            // Another second for each, so that they do not come back at once.
            let seconds = fastrand::u32(RETRY_AFTER_SECONDS);
            return with_header(refusal, "Retry-After", &seconds.to_string());
        }
        let challenge = match self {
            TokenFault::Missing => "Bearer",
            _ => "Bearer error=\"invalid_token\"",
        };
        let refusal = Refusal::new(401, self.to_string());
        with_header(refusal, "WWW-Authenticate", challenge)
    }
}

fn with_header(refusal: Refusal, name: &str, value: &str) -> Refusal {
    let added = refusal.with_header(name, value);
    added.expect("a short header of printable text")
}

/// Within how many seconds those who connect with such a token come back.
const RETRY_AFTER_SECONDS: RangeInclusive<u32> = 1..=8;
/// How long whoever met a full queue of checks waits: many tokens are checked in this time.
const BUSY_RETRY_AFTER_MS: u32 = 1_000;

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenFault::Missing => "a token is required",
            TokenFault::TooLong => "the token is too long",
            TokenFault::Malformed(what) => return write!(f, "the token is malformed: {what}"),
            TokenFault::Algorithm => "the token's algorithm is not that of its key",
            TokenFault::Critical => "the token has critical extensions that are not understood",
            TokenFault::UnknownKey => "the token's key is not known",
            TokenFault::Signature => "the token's signature is wrong",
            TokenFault::MissingClaim(claim) => {
                return write!(f, "the token lacks the claim {claim}");
            }
            TokenFault::MalformedClaim(claim) => {
                return write!(f, "the token's claim {claim} is malformed");
            }
            TokenFault::Expired => "the token has expired",
            TokenFault::Revoked => "the token has been revoked",
            TokenFault::NotYetValid(claim) => {
                return write!(f, "the token is not valid yet: {claim} is in the future");
            }
            TokenFault::Issuer => "the token's issuer is not accepted",
            TokenFault::Audience => "the token is for another audience",
            TokenFault::Purpose => "the token is for another purpose",
            TokenFault::Room => "the token is for another room",
            TokenFault::Client => "the token is for another connection",
            TokenFault::User => "the token is for another user",
            TokenFault::KeysUnavailable => "the keys that check the token are not there now",
            TokenFault::Busy => "too many tokens wait to be checked",
        })
    }
}

impl std::error::Error for TokenFault {}
