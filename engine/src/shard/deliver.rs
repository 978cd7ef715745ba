//! Fan-out: sealed batches to the members of this shard, in chunks.

use super::Shard;
use crate::batch::{Chunk, FanOut, Layout};
use crate::connection::Flags;
use crate::core::Core;
use crate::driver::Driver;
use crate::outgoing::Shared;
use crate::phase::Phase;
use crate::{Application, Ticket};
use shardcast_protocol::frame;

/// How much of its fan-outs a shard serves before something else has its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Departures per turn. Smaller costs enters, larger makes other shards and other connections wait (`tuning.md`).
    pub(super) departures_per_chunk: usize,
    /// Chunks per tick: after that, completions and requests have their turn.
    pub(super) chunks_per_tick: usize,
}

impl Pace {
    pub(super) const FULL: Pace = Pace {
        departures_per_chunk: 1024,
        chunks_per_tick: 4,
    };

    /// Members that a chunk serves. Who has a backlog, or is closing, costs no departure, and still time.
    fn members_per_chunk(self) -> usize {
        4 * self.departures_per_chunk
    }
}

/// Reported publishes in a chunk, however few members they have: each has turns of its own.
const REPORTED_PER_CHUNK: usize = 16;

impl<A: Application, D: Driver> Shard<A, D> {
    pub(super) fn fan_out(&mut self) {
        for _ in 0..self.pace.chunks_per_tick {
            match self.core.fan_outs.next_chunk() {
                Some(Chunk::Together) => self.deliver_chunk(),
                Some(Chunk::Reported) => self.deliver_reported(),
                None => break,
            }
            if self.core.outgoing.is_full(self.pace.departures_per_chunk) {
                self.flush();
            }
            if self.core.fan_outs.is_empty() || self.core.delayed.has_ready() {
                // What waited for those who were served: their next messages, and changes of membership.
                self.take_deliveries();
            }
        }
        self.core.audiences.pack(self.core.fan_outs.audiences_mut());
        if !self.core.delayed.is_empty() {
            self.core.delayed.mark_congested();
        }
    }

    /// Serves members until the chunk is full or no fan-out of this kind is left. What is not done goes behind the others.
    fn deliver_chunk(&mut self) {
        let mut members_left = self.pace.members_per_chunk();
        let departures_max = self.pace.departures_per_chunk;
        while members_left > 0
            && let Some(mut fan_out) = self.core.fan_outs.pop(Chunk::Together)
        {
            members_left -= self.core.serve(&mut fan_out, members_left, departures_max);
            if !fan_out.is_done() {
                self.core.fan_outs.push(fan_out);
                return;
            }
            self.core.served(fan_out.whose);
        }
    }

    /// Reported publishes go out in turns of their own: every shortfall in them is one of their members'.
    fn deliver_reported(&mut self) {
        // A turn may leave something to say: goodbyes over TLS, and what the application says of who has gone.
        while !self.core.outgoing.is_empty() {
            self.flush();
        }
        let departures_max = self.pace.departures_per_chunk;
        let mut members_left = departures_max;
        for _ in 0..REPORTED_PER_CHUNK {
            if members_left == 0 {
                return;
            }
            let Some(mut fan_out) = self.core.fan_outs.pop(Chunk::Reported) else {
                return;
            };
            members_left -= self.core.serve(&mut fan_out, members_left, departures_max);
            let settled = self.flush();
            fan_out.tally.delivered -= settled.short + settled.failed;
            fan_out.tally.queued += settled.short;
            fan_out.tally.dropped += settled.failed;
            if fan_out.is_done() {
                self.core.served(fan_out.whose);
                self.core
                    .mail
                    .owe(fan_out.outcome().expect("it is reported"));
                self.core.mail.unspill();
            } else {
                self.core.fan_outs.push(fan_out);
            }
            while !self.core.outgoing.is_empty() {
                self.flush();
            }
        }
    }
}

impl Core {
    /// Owes a fan-out to its next members, at most `members_max`, until `departures_max` departures stand or a turn is due. How many were
    /// served.
    fn serve(&mut self, fan_out: &mut FanOut, members_max: usize, departures_max: usize) -> usize {
        let mut shares = Shares {
            plain: self.outgoing.share(fan_out.plain.clone()),
            deflated: None,
        };
        let (mut deliveries, mut frames, mut octets) = (0, 0, 0);
        let mut members = fan_out.audience.first(members_max);
        while let Some(ticket) = members.next(&self.audiences) {
            if self.connections.phase(ticket) == Phase::Open {
                let given = self.give(fan_out, ticket, &mut shares);
                deliveries += given.deliveries;
                frames += given.frames;
                octets += given.octets;
            } else {
                self.counters.dropped_closing.add(u64::from(fan_out.frames));
                fan_out.tally.dropped += 1;
            }
            if self.outgoing.is_full(departures_max) {
                break;
            }
        }
        self.counters.deliveries.add(deliveries);
        self.count_out(frames, octets);
        fan_out.audience.go_on(&members)
    }

    /// Owes one open member what the batch has for it: nearly always the whole in one span.
    fn give(&mut self, fan_out: &mut FanOut, ticket: Ticket, shares: &mut Shares) -> Given {
        let flags = self.connections.at(ticket.slot).flags;
        if flags.has(Flags::SERVED_APART) {
            return self.give_apart(fan_out, ticket, flags);
        }
        let backlog = flags.has(Flags::BACKLOG);
        let (layout, bytes, shared) = match &fan_out.deflated {
            Some(deflated) if flags.has(Flags::DEFLATES) => {
                let shared = *shares
                    .deflated
                    .get_or_insert_with(|| self.outgoing.share(deflated.clone()));
                (Layout::Deflated, deflated, shared)
            }
            Some(_) | None => (Layout::Plain, &fan_out.plain, shares.plain),
        };
        let (mut octets, mut kept) = (0, true);
        fan_out.spans(ticket, layout, |start, end| {
            // A span that found the outbox full has closed the connection: the rest of them has nowhere to go.
            if kept {
                kept = self.lend(ticket, shared, bytes, start, end);
                octets += if kept { end - start } else { 0 };
            }
        });
        if octets == 0 && kept {
            return Given::default();
        }
        *match (kept, backlog) {
            (true, false) => &mut fan_out.tally.delivered,
            (true, true) => &mut fan_out.tally.queued,
            (false, _) => &mut fan_out.tally.dropped,
        } += 1;
        let frames = u64::from(fan_out.frames - fan_out.skipped(ticket));
        self.given(frames, octets, kept)
    }

    /// Whoever had no room for all of a batch counts as given none of it.
    #[inline]
    fn given(&self, frames: u64, octets: usize, kept: bool) -> Given {
        if !kept {
            self.counters.dropped_closing.add(frames);
            return Given::default();
        }
        Given {
            deliveries: frames,
            frames,
            octets,
        }
    }

    /// Owes one open member a batch in a form that it does not share with WebSockets of the common kind.
    #[cold]
    fn give_apart(&mut self, fan_out: &mut FanOut, ticket: Ticket, flags: Flags) -> Given {
        if flags.has(Flags::STREAM) {
            self.give_events(fan_out, ticket)
        } else {
            self.give_alone(fan_out, ticket)
        }
    }

    /// Owes an open event stream a batch as events.
    fn give_events(&mut self, fan_out: &mut FanOut, ticket: Ticket) -> Given {
        let flags = self.connections.at(ticket.slot).flags;
        let backlog = flags.has(Flags::BACKLOG);
        let frames = u64::from(fan_out.frames - fan_out.skipped(ticket));
        if frames == 0 {
            return Given::default();
        }
        let events = fan_out.events(ticket, flags.framing());
        let shared = self.outgoing.share(events.clone());
        let kept = self.lend(ticket, shared, &events, 0, events.len());
        *match (kept, backlog) {
            (true, false) => &mut fan_out.tally.delivered,
            (true, true) => &mut fan_out.tally.queued,
            (false, _) => &mut fan_out.tally.dropped,
        } += 1;
        self.given(frames, events.len(), kept)
    }

    /// Owes one open member a batch frame by frame, each in its own form. Rare: windows of their own.
    fn give_alone(&mut self, fan_out: &mut FanOut, ticket: Ticket) -> Given {
        let backlog = self.connections.at(ticket.slot).flags.has(Flags::BACKLOG);
        let (mut frames, mut kept) = (0, true);
        let all = u64::from(fan_out.frames - fan_out.skipped(ticket));
        fan_out.spans(ticket, Layout::Plain, |start, end| {
            let mut rest = &fan_out.plain[start..end];
            while kept && !rest.is_empty() {
                let (frame, behind) = rest.split_at(frame::written(rest).1.end);
                self.write_frame(ticket, |out| out.extend_from_slice(frame));
                kept = self.connections.phase(ticket) == Phase::Open;
                frames += u64::from(kept);
                rest = behind;
            }
        });
        if all > 0 {
            *match (kept, backlog) {
                (true, false) => &mut fan_out.tally.delivered,
                (true, true) => &mut fan_out.tally.queued,
                (false, _) => &mut fan_out.tally.dropped,
            } += 1;
        }
        self.counters.dropped_closing.add(all - frames);
        Given {
            deliveries: frames,
            // Counted as they were written.
            frames: 0,
            octets: 0,
        }
    }
}

/// A batch's layouts in this turn's departures.
struct Shares {
    plain: Shared,
    /// Once a member takes it.
    deflated: Option<Shared>,
}

/// What one member was owed of a fan-out.
#[derive(Default)]
struct Given {
    deliveries: u64,
    /// To be counted as sent.
    frames: u64,
    octets: usize,
}
