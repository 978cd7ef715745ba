//! What the kernel says an event belongs to: 64 bits that the driver chose.

use rustix::event::epoll::{EventData, EventFlags};

/// What a connection is waited for from its first moment on. The kernel tells each once.
pub(super) const RECEIVES: EventFlags = EventFlags::IN
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A slot.
    Connection(u32),
    /// Index of a listener.
    Listener(u8),
    /// The shard's bell.
    Bell,
}

const LISTENER: u64 = 1 << 32;
const BELL: u64 = 1 << 33;

impl Token {
    pub(super) fn data(self) -> EventData {
        EventData::new_u64(match self {
            Token::Connection(slot) => u64::from(slot),
            Token::Listener(index) => LISTENER | u64::from(index),
            Token::Bell => BELL,
        })
    }

    pub(super) fn of(data: EventData) -> Token {
        match data.u64() {
            BELL => Token::Bell,
            bits if bits & LISTENER != 0 => Token::Listener(bits as u8),
            bits => Token::Connection(bits as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_comes_back() {
        let slots = [0, 7, u32::MAX].map(Token::Connection);
        let listeners = [0, 7, u8::MAX].map(Token::Listener);
        for token in slots.into_iter().chain(listeners).chain([Token::Bell]) {
            assert_eq!(Token::of(token.data()), token);
        }
    }
}
