//! What the application asks of homes and owners while requests wait for lanes: it is told when it
//! may ask for nothing more.
//!
//! Leaves are not refused: there is at most one for each membership, and whoever begins several
//! things of which one is refused takes the others back with them. Called by the context.

use super::Core;
use crate::topic::key::{Topic, TopicKey};
use crate::topic::target::PublishError;
use crate::types::room_error::RoomError;
use crate::types::ticket::Ticket;

/// As many requests wait as may ([`crate::message::lane::REQUESTS_WAITING_MAX`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyWait;

impl Core {
    /// Whether the application may ask for one thing more.
    #[inline]
    pub(crate) fn may_ask(&self) -> Result<(), TooManyWait> {
        if self.mail.is_full() {
            self.counters.asks_refused.add(1);
            return Err(TooManyWait);
        }
        Ok(())
    }

    /// The key of a topic that a connection may ask its home about: for its members, or for a page
    /// of what is kept of it. Whoever asks about a congested topic waits for it.
    pub(super) fn ask_about(
        &mut self,
        ticket: Ticket,
        topic: Topic<'_>,
    ) -> Result<TopicKey, PublishError> {
        self.may_ask()?;
        let topic = self.key(topic)?;
        if self.queries.is_full() {
            return Err(PublishError::TooManyReports);
        }
        self.topics
            .check_congestion(&mut self.connections, ticket, Some(topic.topic()));
        Ok(topic)
    }
}

impl From<TooManyWait> for PublishError {
    fn from(_: TooManyWait) -> PublishError {
        PublishError::Busy
    }
}

impl From<TooManyWait> for RoomError {
    fn from(_: TooManyWait) -> RoomError {
        RoomError::Busy
    }
}
