//! Another shard has begun anew: what it had of this one is lost, and what this one had of it.
//!
//! Whoever had something there ends: members of topics that it was home to, and those who wait for
//! an answer, for it may have been to give it. They are told to return (1012), and find the shard
//! as it is now. All others go on. Called for that shard's first request.

use super::Shard;
use super::intake::SCRATCH_BYTES_MAX;
use crate::application::Application;
use crate::confine::discard;
use crate::driver::boundary::Driver;
use crate::message::delivery::Delivery;
use crate::message::request::ShardRequest;
use crate::query::gather::Requester;
use crate::types::close_reason::CloseReason;
use crate::types::ticket::Ticket;
use shardcast_protocol::close::CloseCode;

/// What its clients are told.
const TEXT: &str = "a part of the server restarted";

impl<A: Application, D: Driver> Shard<A, D> {
    /// Not bounded by a tick's share, as everything else is: until all have closed, what they ask
    /// for would go to a shard that does not know them. Memory is bounded: what is pending leaves
    /// in between.
    pub(super) fn lose(&mut self, shard: u16) {
        let core = &mut self.core;
        let (topics, mut outlet) = core.home();
        topics.lose_shard(&mut outlet, shard);
        let (slots, mail) = (&core.connections.slots, &core.mail);
        let mut ended = core.topics.members_at_home(slots, mail, shard);
        for requester in self.core.queries.give_up() {
            match requester {
                Requester::Connection(ticket, _) => ended.push(ticket),
                // Whoever waits finds that nobody will answer.
                Requester::Outside(reply) => {
                    if discard(reply).is_err() {
                        self.core.count_panic(None);
                    }
                }
            }
        }
        let count = ended.len();
        for ticket in ended {
            self.lose_home(ticket);
        }
        self.report_ended();
        tracing::warn!(
            shard = self.core.mail.shard(),
            restarted = shard,
            connections = count,
            "another shard began anew; who had something there is told to return"
        );
        self.core.mail.request(shard, ShardRequest::Settled);
        // Since this request was taken there is room for one.
        self.core.mail.deliver(shard, Delivery::Settled);
    }

    fn lose_home(&mut self, ticket: Ticket) {
        let code = CloseCode::RESTART;
        (self.core).close(ticket, code, TEXT, CloseReason::Application(code));
        if self.core.egress.outgoing.pending_bytes() > SCRATCH_BYTES_MAX {
            self.report_ended();
            self.flush();
        }
    }
}
