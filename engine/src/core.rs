//! What a shard knows and has pending, apart from its driver and its application: the part that a
//! `Context` may touch. Its owners hold everything, and their methods say what they need of each
//! other; what stands here and below is what takes more than one of them, with the ending of
//! connections that comes of it.
//!
//! Nothing here talks to the kernel. What the driver must do is written into the pending work and
//! the transmits, and the shard carries it out when its tick gets there.

pub(crate) mod asking;
pub(crate) mod ending;
pub(crate) mod meaning;
pub(crate) mod opening;
pub(crate) mod relief;
pub(crate) mod sending;
pub(crate) mod serving;

use crate::config::Config;
use crate::confine::count_panic;
use crate::connection::Connections;
use crate::connection::admission::ProcessCounts;
use crate::connection::token::Streams;
use crate::core::meaning::Meaning;
use crate::counters::ShardCounters;
use crate::egress::Egress;
use crate::egress::encoder::Encoder;
use crate::events::EventSink;
use crate::message::lane::Mailbox;
use crate::query::gather::Queries;
use crate::topic::greed::Greed;
use crate::topic::log::logs::Logs;
use crate::topic::outlet::Outlet;
use crate::topic::presence::presences::Presences;
use crate::topic::topics::{TopicLimits, Topics};
use crate::topic::traces::Traces;
use crate::types::ticket::{Address, Ticket};
use std::sync::Arc;

/// The shard's own state, by owner.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) connections: Connections,
    pub(crate) topics: Topics,
    pub(crate) egress: Egress,
    pub(crate) queries: Queries,
    pub(crate) mail: Mailbox,
    pub(crate) events: EventSink,
    pub(crate) counters: Arc<ShardCounters>,
    /// `None`: there are no event streams.
    pub(crate) streams: Option<Streams>,
    pub(crate) meaning: Meaning,
}

impl Core {
    pub(crate) fn new(
        config: &Config,
        mail: Mailbox,
        process: ProcessCounts,
        counters: Arc<ShardCounters>,
        meaning: Meaning,
    ) -> Core {
        let congestion = process.congestion.seeded(mail.seed());
        let greed = Greed::new(process.greed.clone());
        let logs = Logs::new(config, mail.seed(), mail.shard());
        let (limits, presences) = (TopicLimits::of(config), Presences::new(config));
        let mut topics = Topics::new(limits, congestion, greed, logs, presences, counters.clone());
        topics.sequencing.sequencer.clone_from(&config.sequencer);
        topics.traces = Traces::new(config.traces.clone());
        Core {
            connections: Connections::new(config, process, counters.clone()),
            topics,
            egress: Egress::new(config, counters.clone()),
            queries: Queries::default(),
            events: EventSink::new(config.relay.clone()),
            mail,
            counters,
            streams: None,
            meaning,
        }
    }

    /// A call of the application panicked: about this connection, if it was about one.
    pub(crate) fn count_panic(&self, ticket: Option<Ticket>) {
        count_panic(&self.counters, self.mail.shard(), ticket);
    }

    pub(crate) fn address(&self, ticket: Ticket) -> Address {
        self.mail.address(ticket)
    }

    /// The topics that this shard is home to, and the way out for what they order.
    #[inline]
    pub(crate) fn home(&mut self) -> (&mut Topics, Outlet<'_>) {
        let process = &self.connections.admissions.process;
        let shard = self.mail.shard();
        let outlet = Outlet {
            now: self.connections.now,
            encoder: Encoder::new(
                self.meaning.calls,
                &mut self.egress,
                process,
                &self.counters,
                shard,
            ),
            mail: &mut self.mail,
            events: &mut self.events,
            counters: &self.counters,
        };
        (&mut self.topics, outlet)
    }

    /// The driver closed the socket: the slot is free again.
    pub(crate) fn release(&mut self, ticket: Ticket) {
        self.egress.end_agreement(&self.connections, ticket);
        self.connections.release(ticket);
    }

    /// Gives a page of slots back, in every table, if none of them is in use; false if one is.
    pub(crate) fn release_page(&mut self, page: usize) -> bool {
        let released = self.connections.release_page(page);
        if released {
            self.egress.tls.drop_page(page);
        }
        released
    }

    /// What a quiet shard gives back, between two ticks: buffers, and the room that tables and
    /// queues kept for more. Nothing that is in use.
    pub(crate) fn release_memory(&mut self) {
        self.connections.release_memory();
        self.egress.release_memory();
        self.topics.release_memory();
        self.queries.release_memory();
        self.mail.release_memory();
    }

    /// Bytes that connections hold in this moment: what they have not taken, and what they have not
    /// finished.
    pub(crate) fn buffered_bytes(&self) -> u64 {
        self.counters.outbox_bytes.get() + self.connections.budget.used()
    }
}
