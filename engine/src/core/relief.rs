//! What a shard holds of the process's memory, and what it does while that is short: the worst
//! readers go, the largest logs lose their oldest, and the greediest topics take nothing more.
//!
//! Called once a tick, at its end. Every part is a look at a bounded number of connections, logs
//! and topics, so a tick does little of it, and the next goes on.

use super::Core;
use crate::connection::Connections;
use crate::egress::tls::sessions::TlsSessions;
use crate::types::close_reason::CloseReason;

/// Slots among which one look finds the worst reader.
const SLOTS_PER_LOOK: u32 = 1024;
/// Readers that go in one tick.
const READERS_PER_TICK: usize = 16;

impl Core {
    /// Reports what the shard holds, the application's part included, and relieves the process if
    /// memory is short.
    pub(crate) fn weigh(&mut self, application_bytes: u64) {
        let held = self.held_bytes() + application_bytes;
        self.connections.report_held(held);
        if self.connections.admissions.process.memory.is_short() {
            self.relieve();
        } else {
            self.topics.greed.end();
        }
    }

    /// What connections and topics of the shard hold, in bytes. Bytes that many wait for count
    /// once; those that the topic's log has, too, count twice.
    fn held_bytes(&self) -> u64 {
        let Connections { slots, budget, .. } = &self.connections;
        let live = slots.live() as u64;
        let session_bytes = match self.egress.tls.used {
            true => TlsSessions::IDLE_BYTES,
            false => 0,
        };
        let compressing = self.egress.compressing.as_ref();
        live * (Connections::BYTES_EACH + session_bytes)
            + budget.used()
            + self.egress.held.bytes()
            + compressing.map_or(0, |compressing| compressing.held_bytes())
            + self.topics.held_bytes()
    }

    #[cold]
    fn relieve(&mut self) {
        let memory = &self.connections.admissions.process.memory;
        let part_bytes = memory.bytes_max() / 8 / self.mail.shards() as u64;
        let now = self.connections.now;
        self.topics.greed.look(now);
        for _ in 0..READERS_PER_TICK {
            if self.egress.held.bytes() <= part_bytes {
                break;
            }
            let Some(ticket) = self.connections.slots.next_worst_reader(SLOTS_PER_LOOK) else {
                continue;
            };
            self.counters.closed_memory.add(1);
            self.retire_for(ticket, CloseReason::SlowReader);
        }
        if self.topics.logs.bytes() > part_bytes {
            self.topics.logs.trim_one(now);
        }
    }
}
