//! Forms: how the messages of a connection are encoded, as an index that only the application gives a meaning to. A room may have
//! members of all forms; a message is said once in each form that is present, by [`crate::Application::translate`].
//!
//! Used by whoever keeps members or messages of several forms apart.

use crate::{Frame, Message};
use shardcast_protocol::frame::{self, OpCode};

/// How a connection's messages are encoded; the application chooses it when it accepts the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Form(u8);

impl Form {
    /// Forms that one process may have.
    pub const COUNT_MAX: usize = 8;
    /// The form of whoever does not choose one.
    pub const FIRST: Form = Form(0);

    /// The form with this index.
    ///
    /// # Panics
    /// If the index is not below [`Form::COUNT_MAX`]. In a constant, that is an error of the compiler.
    pub const fn new(index: u8) -> Form {
        assert!((index as usize) < Form::COUNT_MAX, "there are 8 forms");
        Form(index)
    }

    /// Its index, 0..[`Form::COUNT_MAX`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All that there may be.
    pub(crate) fn all() -> impl Iterator<Item = Form> + Clone {
        (0..Form::COUNT_MAX as u8).map(Form)
    }
}

/// Says a message of one form in another: [`crate::Application::translate`].
pub(crate) type Translate = for<'b> fn(Form, Form, Message<'b>) -> Option<Frame>;

/// The message in a sealed frame. `None`: it claims to be text and is none, so nothing can be made of it.
pub(crate) fn message_of(frame: &Frame) -> Option<Message<'_>> {
    let bytes = frame.bytes();
    let (opcode, payload) = frame::written(bytes);
    let payload = &bytes[payload];
    match opcode {
        OpCode::Text => std::str::from_utf8(payload).ok().map(Message::Text),
        OpCode::Binary => Some(Message::Binary(payload)),
        OpCode::Continuation | OpCode::Close | OpCode::Ping | OpCode::Pong => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_protocol::frame::Kind;

    #[test]
    fn a_sealed_message_is_read_as_it_was() {
        for payload in ["", "a", &"long".repeat(20_000)] {
            let text = Frame::new(Kind::Text, payload.as_bytes());
            assert!(matches!(message_of(&text), Some(Message::Text(read)) if read == payload));
            let binary = Frame::new(Kind::Binary, payload.as_bytes());
            let read = message_of(&binary).map(|message| (message.kind(), message.bytes()));
            assert_eq!(read, Some((Kind::Binary, payload.as_bytes())));
        }
        assert!(message_of(&Frame::new(Kind::Text, b"\xff")).is_none());
    }
}
