//! Why a namespace refuses a request. The application turns it into an error of its dialect: the
//! code and the message stand here, once for all dialects.

use super::names::Characters;
use shardcast_protocol::dialect::{Code, Problem};

/// Why a room cannot be used as asked. Nothing happened; the connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The name is empty or too long, or has other characters than these, which its namespace
    /// takes.
    BadName(Characters),
    /// The name's prefix is no namespace.
    UnknownNamespace,
    /// The rule needs a user, and the caller is none. The client may sign in and ask again.
    Unauthorized,
    /// The caller may not; or the namespace is secret, and the reason stays secret, too.
    Forbidden,
}

impl Denied {
    /// The error's code on the wire (`docs/protocol.md`, errors).
    pub fn code(self) -> &'static str {
        match self {
            Denied::BadName(_) => "bad_request",
            Denied::UnknownNamespace => "unknown_namespace",
            Denied::Unauthorized => "unauthorized",
            Denied::Forbidden => "forbidden",
        }
    }

    /// The text for the person who reads the error. It repeats nothing of the request.
    pub fn message(self) -> &'static str {
        match self {
            Denied::BadName(Characters::Any) => {
                "a room's name is empty, too long or has control characters"
            }
            Denied::BadName(Characters::Ascii) => {
                "a room's name is empty, too long or has other characters than printable ASCII"
            }
            Denied::BadName(Characters::Alphanumeric) => {
                "a room's name is empty, too long or has other characters than A-Z, a-z, 0-9, _, . and -"
            }
            Denied::UnknownNamespace => {
                "no namespace is called as the room's name begins, before the colon"
            }
            Denied::Unauthorized => "this takes a user: sign in first",
            Denied::Forbidden => {
                "this is not allowed to this connection, or there is no such thing"
            }
        }
    }
}

/// The answer to a client that is refused.
impl From<Denied> for Problem {
    fn from(denied: Denied) -> Problem {
        let code = Code::from_name(denied.code()).unwrap_or(Code::Forbidden);
        Problem::new(code, denied.message())
    }
}
