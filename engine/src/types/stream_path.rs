//! Paths of streams whose protocol is the application's: what may be asked there, and what a
//! request says to one of them. Set in the configuration, made by the application.

use shardcast_protocol::frame::Kind;

/// A path of streams, besides that of our own events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamPath {
    /// Begins with `/`, in normal spelling.
    pub path: String,
    /// What requests to it do.
    pub purpose: StreamPurpose,
}

/// What the requests of a path do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamPurpose {
    /// GET and POST open a stream; the body of a POST is at most one message.
    Open,
    /// Only POST does.
    OpenByPost,
    /// POST has a message for a stream in its body, at most twice as long as one.
    Post,
}

/// A message that a client has said in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstMessage {
    /// Text, which is UTF-8, or not.
    pub kind: Kind,
    /// At most as long as a message may be.
    pub bytes: Vec<u8>,
}

/// What stands in a body that has a message for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedMessage {
    /// The token of the stream ([`crate::Context::stream_token`]).
    pub token: String,
    /// The message.
    pub bytes: Vec<u8>,
}
