//! Whom an answer goes to: the id of a request, and the batch if it came in one.
//!
//! Invariant: a request that wants an answer gets exactly one, and a batch is answered once, when its last answer is there.

use crate::app::session::Session;
use shardcast_engine::Context;
use shardcast_protocol::dialect::{Code, Dialect, Id, IdBox, Problem, Replies, Reply, ReplyMode};

/// A request that is being handled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'c> {
    pub(crate) id: Option<Id<'c>>,
    pub(crate) mode: ReplyMode,
    /// Its batch's key.
    pub(crate) batch: Option<u32>,
}

/// A request that is answered later.
#[derive(Clone, Debug)]
pub(crate) struct OwnedCall {
    id: Option<IdBox>,
    mode: ReplyMode,
    batch: Option<u32>,
}

/// Answers that leave together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) key: u32,
    /// Answers that have not come, 1 or more while it waits.
    pub(crate) missing: usize,
    replies: Replies,
}

impl Call<'_> {
    pub(crate) fn to_owned(self) -> OwnedCall {
        OwnedCall {
            id: self.id.map(Id::to_boxed),
            mode: self.mode,
            batch: self.batch,
        }
    }

    /// Answers it.
    #[inline]
    pub(crate) fn answer(self, cx: &mut Context<'_>, session: &mut Session, reply: &Reply<'_>) {
        match (self.mode, self.batch) {
            (ReplyMode::Never, _) => {}
            (ReplyMode::UnlessDone, None) if reply.is_bare_success() => {}
            (ReplyMode::Always | ReplyMode::UnlessDone, None) => {
                let dialect = dialect_of(cx);
                cx.send_with(dialect.kind(), |out| {
                    dialect.write_reply(out, self.id, reply);
                });
            }
            (ReplyMode::Always | ReplyMode::UnlessDone, Some(key)) => {
                self.answer_in(cx, session, key, reply);
            }
        }
    }

    /// One answer more for a batch, which leaves with the last of them.
    #[cold]
    fn answer_in(self, cx: &mut Context<'_>, session: &mut Session, key: u32, reply: &Reply<'_>) {
        let dialect = dialect_of(cx);
        let batches = session.some_mut().map(|more| &mut more.batches);
        let Some(batches) = batches else { return };
        let Some(at) = batches.iter().position(|batch| batch.key == key) else {
            return;
        };
        let batch = &mut batches[at];
        if batch.replies.bytes() < Batch::BYTES_MAX {
            batch
                .replies
                .push_with(|out| dialect.write_reply(out, self.id, reply));
        } else {
            let problem = Problem::new(Code::TooLarge, "the answers to the batch are too large");
            let reply = Reply::Error(&problem);
            batch
                .replies
                .push_with(|out| dialect.write_reply(out, self.id, &reply));
        }
        batch.missing -= 1;
        if batch.missing == 0 {
            let batch = batches.swap_remove(at);
            session.shed();
            if let Some(message) = batch.replies.finish() {
                cx.send(dialect.kind(), &message);
            }
        }
    }
}

impl OwnedCall {
    pub(crate) fn as_call(&self) -> Call<'_> {
        Call {
            id: self.id.as_ref().map(IdBox::as_id),
            mode: self.mode,
            batch: self.batch,
        }
    }
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
}

/// The dialect of the connection at hand: its encoding.
pub(crate) fn dialect_of(cx: &Context<'_>) -> Dialect {
    let index = cx.encoding().index() as u8;
    Dialect::from_index(index).expect("the service chose the encoding")
}
