//! Fan-out: closed batches to the members of this shard, in chunks.

use super::Shard;
use crate::application::Application;
use crate::driver::boundary::Driver;
use crate::topic::batch::Chunk;

/// Reported publishes in a chunk, however few members they have: each has turns of its own.
const REPORTED_PER_CHUNK: usize = 16;

impl<A: Application, D: Driver> Shard<A, D> {
    /// In most ticks of a shard that only answers, nothing is under way.
    #[inline]
    pub(super) fn fan_out(&mut self) {
        let topics = &self.core.topics;
        if !topics.fan_outs.is_empty() || !topics.member_lists.is_empty() {
            self.fan_all_out();
        }
        if !self.core.topics.delayed.is_empty() {
            self.core.topics.delayed.mark_congested();
        }
    }

    #[inline(never)]
    fn fan_all_out(&mut self) {
        for _ in 0..self.pace.chunks_per_tick {
            match self.core.topics.fan_outs.next_chunk() {
                Some(Chunk::Together) => self.deliver_chunk(),
                Some(Chunk::Reported) => self.deliver_reported(),
                None => break,
            }
            if self
                .core
                .egress
                .outgoing
                .is_full(self.pace.transmits_per_chunk)
            {
                self.flush();
            }
            if self.core.topics.fan_outs.is_empty() || self.core.topics.delayed.has_ready() {
                // What waited for those who were served: their next messages, and changes of
                // membership.
                self.take_deliveries();
            }
        }
        self.core
            .topics
            .member_lists
            .pack(self.core.topics.fan_outs.member_lists_mut());
    }

    /// Serves members until the chunk is full or no fan-out of this kind is left. What is not done
    /// goes behind the others.
    fn deliver_chunk(&mut self) {
        let mut members_left = self.pace.members_per_chunk();
        let transmits_max = self.pace.transmits_per_chunk;
        while members_left > 0
            && let Some(mut fan_out) = self.core.topics.fan_outs.pop(Chunk::Together)
        {
            members_left -= self.core.serve(&mut fan_out, members_left, transmits_max);
            if !fan_out.is_done() {
                self.core.topics.fan_outs.push(fan_out);
                return;
            }
            let shard = self.core.mail.shard();
            let (recipients, tally) = (fan_out.recipients, fan_out.tally);
            self.core.topics.served(recipients, tally, shard);
        }
    }

    /// Reported publishes go out in turns of their own: every short send in them is one of their
    /// members'.
    fn deliver_reported(&mut self) {
        // A turn may leave something to say: close_notify alerts, and what the application says of
        // who has gone.
        while !self.core.egress.outgoing.is_empty() {
            self.flush();
        }
        let transmits_max = self.pace.transmits_per_chunk;
        let mut members_left = transmits_max;
        for _ in 0..REPORTED_PER_CHUNK {
            if members_left == 0 {
                return;
            }
            let Some(mut fan_out) = self.core.topics.fan_outs.pop(Chunk::Reported) else {
                return;
            };
            members_left -= self.core.serve(&mut fan_out, members_left, transmits_max);
            let incomplete = self.flush();
            fan_out.tally.delivered -= incomplete.short + incomplete.failed;
            fan_out.tally.queued += incomplete.short;
            fan_out.tally.dropped += incomplete.failed;
            if fan_out.is_done() {
                let core = &mut self.core;
                let now = core.connections.now;
                // The recipients may be gone once they are served.
                core.topics.report(&mut core.mail, now, &fan_out);
                let shard = core.mail.shard();
                core.topics.served(fan_out.recipients, fan_out.tally, shard);
                self.core.mail.unspill();
            } else {
                self.core.topics.fan_outs.push(fan_out);
            }
            while !self.core.egress.outgoing.is_empty() {
                self.flush();
            }
        }
    }
}
