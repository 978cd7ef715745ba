//! What a quiet shard gives back of what it knows and has pending: buffers, and the room that
//! tables and queues kept for more. Nothing that is in use.
//!
//! Called by the shard (`shard/quiet.rs`), never while it is busy.

use super::{Core, PendingWork};

impl Core {
    /// Gives a page of slots back, in every table, if none of them is in use; false if one is.
    pub(crate) fn release_page(&mut self, page: usize) -> bool {
        let released = self.connections.release_page(page);
        if released {
            self.timers.drop_page(page);
            self.tls.drop_page(page);
        }
        released
    }

    /// Between two ticks, when nothing is pending.
    pub(crate) fn release_memory(&mut self) {
        self.spare.release_memory();
        self.outgoing.release_memory();
        self.topics.release_memory();
        self.timers.release_memory();
        self.queries.release_memory();
        self.mail.release_memory();
        self.tls.release_memory();
        if let Some(compressing) = &mut self.compressing {
            compressing.release_memory();
        }
        let PendingWork {
            kick,
            finish,
            retire,
            arm,
            park,
            ended,
            abandoned,
        } = &mut self.pending_work;
        for tickets in [kick, finish, retire, arm, park, abandoned] {
            tickets.shrink_to_fit();
        }
        ended.shrink_to_fit();
    }

    /// Bytes that connections hold in this moment: what they have not taken, and what they have not
    /// finished.
    pub(crate) fn buffered_bytes(&self) -> u64 {
        self.counters.outbox_bytes.get() + self.budget.used()
    }
}
