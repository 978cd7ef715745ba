//! What leaves one shard: the transmits of one turn, what waits in outboxes, and how bytes are
//! compressed and encrypted on their way out.
//!
//! Invariant: what is written for a connection leaves in the order in which it was written, and
//! only here. Whoever finds an outbox full is told, and ends the connection.

pub(crate) mod agreements;
pub(crate) mod at_hand;
pub(crate) mod backlog;
pub(crate) mod compression;
pub(crate) mod deflate;
pub(crate) mod encoder;
pub(crate) mod encryption;
pub(crate) mod forms;
pub mod outgoing;
pub(crate) mod tls;
pub(crate) mod writing;

use crate::config::Config;
use crate::connection::Connections;
use crate::connection::outbox::OutboxLimits;
use crate::counters::ShardCounters;
use crate::egress::at_hand::AtHand;
use crate::egress::deflate::Compressing;
use crate::egress::forms::Forms;
use crate::egress::outgoing::Outgoing;
use crate::egress::tls::sessions::TlsSessions;
use crate::types::account::Account;
use crate::types::ticket::Ticket;
use std::sync::Arc;

/// What leaves one shard.
#[derive(Debug)]
pub(crate) struct Egress {
    pub(crate) outgoing: Outgoing,
    pub(crate) outbox: OutboxLimits,
    pub(crate) tls: TlsSessions,
    pub(crate) compressing: Option<Box<Compressing>>,
    pub(crate) forms: Forms,
    /// The large message that the application is being given.
    pub(crate) message: AtHand,
    /// What waits in outboxes, as memory: what many wait for counts once.
    pub(crate) held: Account,
    counters: Arc<ShardCounters>,
}

impl Egress {
    pub(crate) fn new(config: &Config, counters: Arc<ShardCounters>) -> Egress {
        let compression = config.compression.clone();
        Egress {
            outgoing: Outgoing::default(),
            outbox: OutboxLimits {
                bytes_max: config.outbox_bytes_max,
                sends_max: config.outbox_frames_max,
            },
            tls: TlsSessions::new(config),
            compressing: compression
                .map(|options| Box::new(Compressing::new(options, config.shards))),
            forms: Forms::default(),
            message: AtHand::None,
            held: Account::default(),
            counters,
        }
    }

    /// Counts frames that were given to a connection.
    pub(crate) fn count_out(&self, frames: u64, bytes: usize) {
        self.counters.frames_out.add(frames);
        self.counters.bytes_out.add(bytes as u64);
    }

    /// The connection has stepped to its end: nothing more leaves for it. Memory of its TLS session
    /// that stood in the shard's account, in bytes.
    pub(crate) fn forget(&mut self, connections: &Connections, ticket: Ticket) -> usize {
        // What is pending for it in this turn has nowhere to go.
        let at = connections.slots.ref_at(ticket.slot).transmit;
        self.outgoing
            .remainder(ticket, at, usize::MAX, &self.held, &mut Vec::new());
        self.tls.forget(ticket.slot)
    }

    /// The driver closed the socket: what was agreed on with the connection is over.
    pub(crate) fn end_agreement(&mut self, connections: &Connections, ticket: Ticket) {
        self.forms.forget(ticket.slot);
        if let Some(compressing) = &mut self.compressing {
            let flags = connections.slots.ref_at(ticket.slot).flags;
            let process = &connections.admissions.process;
            compressing.forget(ticket.slot, flags, process, &self.counters);
        }
    }

    /// Keeps no more than what is in use, between two ticks.
    pub(crate) fn release_memory(&mut self) {
        self.outgoing.release_memory();
        self.tls.release_memory();
        self.forms.release_memory();
        if let Some(compressing) = &mut self.compressing {
            compressing.release_memory();
        }
    }
}
