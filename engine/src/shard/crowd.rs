//! What a tick may still do of a crowd that comes or goes at once, and who waits for the next one.
//!
//! Invariant: who waits is first in the next tick, in the order in which all came: as long as
//! somebody waits, this tick's budget is used up. `turns` spends it.

use crate::driver::boundary::ReceiveEnd;
use crate::types::ticket::Ticket;
use std::collections::VecDeque;

/// Request heads that are answered in one tick, checks of tokens with secrets included: about a
/// millisecond.
pub(super) const REQUESTS_PER_TICK: usize = 64;
/// Open connections that end in one tick because their peers have gone: each leaves its rooms.
pub(super) const ENDS_PER_TICK: usize = 256;
/// Requests that wait for their tick.
pub(super) const WAITING_MAX: usize = 4_096;

/// Those who are turned away are spread over so many seconds.
pub(super) const RETRY_AFTER_SECONDS: u32 = 8;

/// What this tick may still do, and what has no turn in it.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    pub(super) requests_left: usize,
    pub(super) requests: VecDeque<Ticket>,
    pub(super) ends_left: usize,
    pub(super) ends: VecDeque<(Ticket, ReceiveEnd)>,
    /// Clients that were told to come back.
    pub(super) turned_away: u32,
}

impl Crowd {
    /// Something waits for the next tick.
    pub(super) fn is_waiting(&self) -> bool {
        !self.requests.is_empty() || !self.ends.is_empty()
    }

    /// No request more is answered in this tick. Who waits is first in the next one: as long as
    /// somebody does, it is.
    pub(super) fn is_full(&self) -> bool {
        self.requests_left == 0
    }

    /// A request is complete, and is answered.
    pub(super) fn took_request(&mut self) {
        self.requests_left = self.requests_left.saturating_sub(1);
    }

    /// Gives back the room of a crowd that is gone.
    pub(super) fn shrink(&mut self) {
        self.requests.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}
