//! What the answers to the calls of one request hold together. Without a bound, whoever may read
//! could have the process collect a page of history for each of thousands of calls.

/// Room for answers.
#[derive(Debug)]
pub(crate) struct AnswerRoom {
    left: usize,
}

impl AnswerRoom {
    /// Bytes after which nothing more is read. Calls that act are done all the same: they answer
    /// with a few.
    pub(crate) const BYTES_MAX: usize = 16 << 20;

    pub(crate) fn new() -> AnswerRoom {
        AnswerRoom {
            left: AnswerRoom::BYTES_MAX,
        }
    }

    /// An answer of so many bytes is kept.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Nothing more may be read.
    pub(crate) fn is_full(&self) -> bool {
        self.left == 0
    }
}
