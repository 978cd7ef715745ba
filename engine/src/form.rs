//! Forms: how the messages of a connection are encoded, as an index that only the application gives a meaning to. A room may have
//! members of all forms; a message is said once in each form that is present, by [`crate::Application::translate`].
//!
//! Used by whoever keeps members or messages of several forms apart.

use crate::{Frame, Message};
use shardcast_protocol::frame::{self, OpCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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

    fn bit(self) -> u8 {
        1 << self.0
    }
}

/// A set of forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forms(u8);

const _: () = assert!(Form::COUNT_MAX == u8::BITS as usize);

impl Forms {
    pub(crate) fn has(self, form: Form) -> bool {
        self.0 & form.bit() != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Form> + Clone {
        Form::all().filter(move |form| self.has(*form))
    }
}

impl FromIterator<Form> for Forms {
    fn from_iter<I: IntoIterator<Item = Form>>(forms: I) -> Forms {
        Forms(forms.into_iter().fold(0, |set, form| set | form.bit()))
    }
}

/// The forms that connections of the process have had, shared by its shards. They are only ever added to, and only the first
/// connection of a form writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct FormsSeen(Arc<AtomicU8>);

impl FormsSeen {
    /// A connection opens, and its client has not heard of it yet. So a form is seen by whoever handles a message that was sent, as far as
    /// anybody can tell, after a connection of it opened: all this is in one total order, hence the strongest ordering.
    pub(crate) fn add(&self, form: Form) {
        if !self.get().has(form) {
            self.0.fetch_or(form.bit(), Ordering::SeqCst);
        }
    }

    pub(crate) fn get(&self) -> Forms {
        Forms(self.0.load(Ordering::SeqCst))
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
    fn forms_are_seen_once_and_for_all() {
        let seen = FormsSeen::default();
        assert_eq!(seen.get().iter().count(), 0);
        for index in [7, 2, 7] {
            seen.clone().add(Form::new(index));
        }
        let forms: Vec<usize> = seen.get().iter().map(Form::index).collect();
        assert_eq!(forms, [2, 7]);
        assert_eq!(
            seen.get(),
            [Form::new(2), Form::new(7)].into_iter().collect()
        );
    }

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
