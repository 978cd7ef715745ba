//! Frames to events, in place on a borrowed buffer.

use crate::close::{CloseCode, CloseFrame};
use crate::frame::Kind;

/// Which side we read for: a server demands masks, a client forbids them (RFC 6455 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We are the server.
    Server,
    /// We are the client.
    Client,
}

/// What a connection may send.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Largest message, reassembled, in bytes. A header that announces more ends in 1009 before any payload is buffered.
    pub message_bytes_max: usize,
}

/// One step of reading.
#[derive(Debug)]
pub enum Step<'b> {
    /// The buffer ends inside a frame. `need` is the buffer length (from its start) at which another try can get further.
    Incomplete {
        /// Bytes counted from the start of the buffer.
        need: usize,
    },
    /// A frame was consumed: `used` bytes from the start of the buffer.
    Event {
        /// What it meant.
        event: Event<'b>,
        /// Bytes of the buffer that it took.
        used: usize,
    },
}

/// What a frame meant.
#[derive(Debug)]
pub enum Event<'b> {
    /// A whole text message in one frame.
    Text(&'b str),
    /// A whole binary message in one frame.
    Binary(&'b [u8]),
    /// The last fragment came: the message is in `Assembly`; call `Assembly::finish`.
    Assembled,
    /// A fragment was taken into the assembly.
    Fragment,
    /// RFC 6455 §5.5.2; at most 125 bytes.
    Ping(&'b [u8]),
    /// RFC 6455 §5.5.3.
    Pong(&'b [u8]),
    /// RFC 6455 §5.5.1.
    Close(CloseFrame<'b>),
}

/// A fragmented message in progress. Absent (`None`) on a connection that is between messages.
#[derive(Debug)]
pub struct Assembly {
    kind: Kind,
    bytes: Vec<u8>,
}

impl Assembly {
    /// The assembled message (valid UTF-8 if text). Called once, after `Event::Assembled`.
    pub fn finish(self) -> (Kind, Vec<u8>) { (self.kind, self.bytes) }
}

/// Why a peer broke the protocol; each has its close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// Placeholder, replaced by one variant per MUST.
    Reserved,
}

impl ProtocolError {
    /// The code to close with (RFC 6455 §7.4.1).
    pub fn close_code(self) -> CloseCode { todo!() }
}

/// Reads the next frame at the start of `bytes`, unmasking it in place.
///
/// Nothing is unmasked or consumed until the frame is whole, so a caller may append to the same bytes and try again.
///
/// # Errors
/// The peer broke the protocol: send a close frame with `close_code` and read nothing more.
pub fn next<'b>(
    _bytes: &'b mut [u8],
    _assembly: &mut Option<Box<Assembly>>,
    _role: Role,
    _limits: &ReadLimits,
) -> Result<Step<'b>, ProtocolError> {
    todo!()
}
