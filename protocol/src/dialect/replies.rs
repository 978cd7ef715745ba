//! The replies to several items of one message, joined into one message as the dialect does it.

/// How a dialect joins the replies to several items into one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// As the elements of a JSON array (JSON-RPC 2.0 §6).
    JsonArray,
}

/// Replies to the items of one message. Their order is free.
#[derive(Clone, Debug)]
pub struct Replies {
    joining: Joining,
    /// The message, still open; empty while there is no reply.
    out: Vec<u8>,
}

impl Replies {
    pub(super) fn new(joining: Joining) -> Replies {
        Replies {
            joining,
            out: Vec::new(),
        }
    }

    /// Adds the reply that `fill` appends; [`super::Dialect::write_reply`] writes such. Nothing is
    /// added if it appends nothing.
    pub fn push_with<T>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.out.len();
        self.out.push(match self.joining {
            Joining::JsonArray if before == 0 => b'[',
            Joining::JsonArray => b',',
        });
        let filled = fill(&mut self.out);
        if self.out.len() == before + 1 {
            self.out.truncate(before);
        }
        filled
    }

    /// Adds a reply that was written before.
    pub fn push(&mut self, reply: &[u8]) {
        self.push_with(|out| out.extend_from_slice(reply));
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// The message. `None` when nothing is to be sent: no item wanted a reply.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        if self.out.is_empty() {
            return None;
        }
        self.out.push(match self.joining {
            Joining::JsonArray => b']',
        });
        Some(self.out)
    }
}
