//! The answers to a batch, joined into one message (JSON-RPC 2.0 §6).

/// Answers to a batch's members. Their order is free.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    /// The array, still open; empty while there is no answer.
    out: Vec<u8>,
}

impl Replies {
    /// None yet.
    pub fn new() -> Replies {
        Replies::default()
    }

    /// Adds the answer that `fill` appends; [`super::Dialect::write_reply`] writes such. Nothing is added if it appends nothing.
    pub fn push_with<T>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.out.len();
        self.out.push(if before == 0 { b'[' } else { b',' });
        let filled = fill(&mut self.out);
        if self.out.len() == before + 1 {
            self.out.truncate(before);
        }
        filled
    }

    /// Adds an answer that was written before.
    pub fn push(&mut self, reply: &[u8]) {
        self.push_with(|out| out.extend_from_slice(reply));
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// The message. `None` when nothing is to be sent: all were notifications.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        if self.out.is_empty() {
            return None;
        }
        self.out.push(b']');
        Some(self.out)
    }
}
