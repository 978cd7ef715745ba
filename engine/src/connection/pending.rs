//! What the driver and the application are still to hear of connections. Empty at the end of every
//! tick, but for sends that wait for their turn to be encrypted. Written where connections act,
//! carried out by the shard's tick.

use crate::types::close_reason::CloseReason;
use crate::types::ticket::Ticket;
use std::sync::Arc;

/// What is still to be done about connections, by what that is.
#[derive(Debug, Default)]
pub(crate) struct PendingWork {
    /// The outbox may have a send to start.
    pub(crate) kick: Vec<Ticket>,
    /// Flushing or lingering: look again once this turn's sends are settled.
    pub(crate) finish: Vec<Ticket>,
    /// To be closed by the driver.
    pub(crate) retire: Vec<Ticket>,
    /// To be received for.
    pub(crate) arm: Vec<Ticket>,
    /// Not to be received for until a lane has room.
    pub(crate) park: Vec<Ticket>,
    /// Left the open state: the application is called once.
    pub(crate) ended: Vec<Ended>,
    /// Ended before their deferred admission was decided: the application is called once.
    pub(crate) abandoned: Vec<Ticket>,
}

/// A connection that left the open state.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) ticket: Ticket,
    pub(crate) reason: CloseReason,
    /// Those that it was in or on its way into.
    pub(crate) rooms: Vec<Arc<str>>,
}

impl PendingWork {
    /// Whether the driver has anything to hear. Asked twice a tick.
    #[inline]
    pub(crate) fn has_operations(&self) -> bool {
        let lists = [&self.arm, &self.park, &self.kick, &self.retire];
        lists.iter().any(|list| !list.is_empty())
    }

    /// Whether the application has to hear of an end. Asked once a message.
    #[inline]
    pub(crate) fn has_ends(&self) -> bool {
        !self.ended.is_empty() || !self.abandoned.is_empty()
    }

    /// Keeps no room for more than what is pending.
    pub(crate) fn release_memory(&mut self) {
        let PendingWork {
            kick,
            finish,
            retire,
            arm,
            park,
            ended,
            abandoned,
        } = self;
        for tickets in [kick, finish, retire, arm, park, abandoned] {
            tickets.shrink_to_fit();
        }
        ended.shrink_to_fit();
    }
}
