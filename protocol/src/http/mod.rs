//! HTTP/1.1 as a server of one port needs it (RFC 9110, RFC 9112): a head in whatever pieces
//! becomes an [`HttpRequest`] that obeys every rule about its framing, and an [`Answer`] becomes
//! bytes that nobody else can write lines into.
//!
//! Invariant: what an `HttpRequest` says about its body and about the connection after it is
//! unambiguous; a head for which it is not does not become one. Called by the shard on a connection
//! that is not open yet.

mod answer;
mod forwarded;
mod head_error;
mod headers;
mod method;
mod progress;
mod query;
mod request;
mod target;

pub use answer::{Answer, Content, Persistence, write_answer, write_continue, write_refusal};
pub use forwarded::{ForwardingError, client as forwarding_client};
pub use head_error::HeadError;
pub use headers::{HeaderError, Headers};
pub use method::HttpMethod;
pub use progress::{HeadLimits, Progress};
pub use query::decoded_parameter;
pub use request::{Body, HttpRequest, Version, parse};
