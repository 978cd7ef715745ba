//! How a request is answered: at once, or into its batch.
//!
//! Invariant: a request that wants an answer gets exactly one. Called by the context and the
//! service.

use crate::session::call::Call;
use crate::session::muting::dialect_of;
use crate::session::state::SessionState;
use shardcast_engine::Context;
use shardcast_protocol::dialect::{Reply, ReplyMode};

impl Call<'_> {
    /// Answers the request.
    #[inline]
    pub(crate) fn answer<C>(
        self,
        cx: &mut Context<'_>,
        session: &mut SessionState<C>,
        reply: &Reply<'_>,
    ) {
        match (self.mode, self.batch) {
            (ReplyMode::Never, _) => {}
            (ReplyMode::UnlessDone, None) if reply.is_bare_success() => {}
            (ReplyMode::Always | ReplyMode::UnlessDone, None) => {
                let dialect = dialect_of(cx, session);
                cx.send_with(dialect.kind(), |out| {
                    dialect.write_reply(out, self.id, reply);
                });
            }
            (ReplyMode::Always | ReplyMode::UnlessDone, Some(key)) => {
                self.answer_in_batch(cx, session, key, reply);
            }
        }
    }

    /// Answers into the batch, which leaves with its last answer.
    #[cold]
    fn answer_in_batch<C>(
        self,
        cx: &mut Context<'_>,
        session: &mut SessionState<C>,
        key: u32,
        reply: &Reply<'_>,
    ) {
        let dialect = dialect_of(cx, session);
        let Some(batches) = session.some_mut().map(|more| &mut more.batches) else {
            return;
        };
        let Some(at) = batches.iter().position(|batch| batch.key == key) else {
            return;
        };
        if batches[at].take(dialect, self.id, reply) {
            let batch = batches.swap_remove(at);
            session.shrink();
            if let Some(message) = batch.into_message() {
                cx.send(dialect.kind(), &message);
            }
        }
    }
}
