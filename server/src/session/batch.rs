//! Answers of a batch of requests, which leave together.
//!
//! Invariant: a batch leaves once, with its last answer, and holds [`Batch::BYTES_MAX`] bytes and
//! one answer at most, besides an error for each answer beyond that. Kept by the session.

use shardcast_protocol::dialect::{Code, Dialect, Id, Problem, Replies, Reply};

/// Answers that leave together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) key: u32,
    /// Answers that have not come, 1 or more while the batch waits.
    missing: usize,
    replies: Replies,
}

impl Batch {
    /// Bytes of a batch's answers from which on each further one is `too_large`.
    const BYTES_MAX: usize = 256 << 10;

    /// `missing` answers will come.
    pub(crate) fn new(key: u32, missing: usize, replies: Replies) -> Batch {
        Batch {
            key,
            missing,
            replies,
        }
    }

    /// Takes one answer; true if it was the last.
    pub(crate) fn take(&mut self, dialect: Dialect, id: Option<Id<'_>>, reply: &Reply<'_>) -> bool {
        let too_large;
        let reply = if self.replies.bytes() < Batch::BYTES_MAX {
            reply
        } else {
            too_large = Problem::new(Code::TooLarge, "the answers to the batch are too large");
            &Reply::Error(&too_large)
        };
        self.replies
            .push_with(|out| dialect.write_reply(out, id, reply));
        self.missing -= 1;
        self.missing == 0
    }

    /// The message of all answers; none if no request wanted one.
    pub(crate) fn into_message(self) -> Option<Vec<u8>> {
        self.replies.finish()
    }
}
