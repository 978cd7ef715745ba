//! Fan-out: closed batches to the members of this shard, in chunks.

use super::Shard;
use crate::application::Application;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::core::Core;
use crate::driver::boundary::Driver;
use crate::egress::outgoing::Shared;
use crate::topic::batch::{Chunk, FanOut, Layout};
use crate::topic::tally::Fate;
use crate::types::ticket::Ticket;

/// Reported publishes in a chunk, however few members they have: each has turns of its own.
const REPORTED_PER_CHUNK: usize = 16;

impl<A: Application, D: Driver> Shard<A, D> {
    pub(super) fn fan_out(&mut self) {
        for _ in 0..self.pace.chunks_per_tick {
            match self.core.topics.fan_outs.next_chunk() {
                Some(Chunk::Together) => self.deliver_chunk(),
                Some(Chunk::Reported) => self.deliver_reported(),
                None => break,
            }
            if self.core.outgoing.is_full(self.pace.transmits_per_chunk) {
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
        if !self.core.topics.delayed.is_empty() {
            self.core.topics.delayed.mark_congested();
        }
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
            self.core.topics.served(fan_out.recipients);
        }
    }

    /// Reported publishes go out in turns of their own: every short send in them is one of their
    /// members'.
    fn deliver_reported(&mut self) {
        // A turn may leave something to say: close_notify alerts, and what the application says of
        // who has gone.
        while !self.core.outgoing.is_empty() {
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
                self.core.topics.served(fan_out.recipients);
                self.core
                    .mail
                    .enqueue_outcome(fan_out.outcome().expect("it is reported"));
                self.core.mail.unspill();
            } else {
                self.core.topics.fan_outs.push(fan_out);
            }
            while !self.core.outgoing.is_empty() {
                self.flush();
            }
        }
    }
}

impl Core {
    /// Appends a fan-out for its next members, at most `members_max`, until `transmits_max`
    /// transmits stand or a turn is due. How many were served.
    fn serve(&mut self, fan_out: &mut FanOut, members_max: usize, transmits_max: usize) -> usize {
        let mut shares = Shares {
            plain: self.outgoing.share(fan_out.plain.clone()),
            deflated: None,
        };
        let (mut deliveries, mut frames, mut octets) = (0, 0, 0);
        let mut members = fan_out.members.first(members_max);
        while let Some(ticket) = members.next(&self.topics.member_lists) {
            if self.append_at_once(fan_out, ticket, shares.plain) {
                fan_out.tally.count(Fate::Delivered);
                deliveries += u64::from(fan_out.frames);
                frames += u64::from(fan_out.frames);
                octets += fan_out.plain.len();
            } else {
                let appended = self.append_batch(fan_out, ticket, &mut shares);
                deliveries += appended.deliveries;
                frames += appended.frames;
                octets += appended.octets;
            }
            if self.outgoing.is_full(transmits_max) {
                break;
            }
        }
        self.counters.deliveries.add(deliveries);
        self.count_out(frames, octets);
        fan_out.members.go_on(&members)
    }

    /// Appends a batch that is the same for everybody for one open member that nothing waits for,
    /// which is nearly every member. False: nothing was appended, and it takes a closer look.
    #[inline(always)] // Once per member.
    fn append_at_once(&mut self, fan_out: &FanOut, ticket: Ticket, plain: Shared) -> bool {
        let Some(connection) = self.connections.get(ticket) else {
            return false;
        };
        let flags = connection.flags;
        if connection.phase != Phase::Open || flags.has(Flags::SERVED_LATE) {
            return false;
        }
        let (transmit, octets) = (&mut connection.transmit, fan_out.plain.len());
        let appended = fan_out.is_for_all()
            && (self.outgoing).attach_shared(ticket, transmit, plain, 0, octets);
        if appended && flags.has(Flags::TLS) {
            self.outgoing.expect_encryption(octets);
        }
        appended
    }

    /// Appends for one member what the batch has for it.
    #[inline(never)]
    fn append_batch(
        &mut self,
        fan_out: &mut FanOut,
        ticket: Ticket,
        shares: &mut Shares,
    ) -> Appended {
        if self.connections.phase(ticket) != Phase::Open {
            self.counters.dropped_closing.add(u64::from(fan_out.frames));
            fan_out.tally.count(Fate::Dropped);
            return Appended::default();
        }
        let flags = self.connections.at(ticket.slot).flags;
        if flags.has(Flags::BACKLOG) && self.falls_behind(fan_out, ticket) {
            return Appended::default();
        }
        if flags.has(Flags::SERVED_APART) {
            return self.append_apart(fan_out, ticket, flags);
        }
        if fan_out.is_for_all() {
            return self.append_to_any(fan_out, ticket, flags, shares.plain);
        }
        let (layout, bytes, shared) = match &fan_out.deflated {
            Some(deflated) if flags.has(Flags::DEFLATES) => {
                let shared = *shares
                    .deflated
                    .get_or_insert_with(|| self.outgoing.share(deflated.clone()));
                (Layout::Deflated, deflated, shared)
            }
            Some(_) | None => (Layout::Plain, &fan_out.plain, shares.plain),
        };
        let (mut octets, mut fits) = (0, true);
        fan_out.spans(ticket, layout, |start, end| {
            // A span that found the outbox full has closed the connection: the rest of them has
            // nowhere to go.
            if fits {
                fits = self.append_shared(ticket, shared, bytes, start, end);
                octets += if fits { end - start } else { 0 };
            }
        });
        if octets == 0 && fits {
            return Appended::default();
        }
        fan_out.tally.count(fate(fits, flags));
        let frames = u64::from(fan_out.frames - fan_out.skipped(ticket));
        self.appended(frames, octets, fits)
    }

    /// Appends a batch that is the same for everybody.
    fn append_to_any(
        &mut self,
        fan_out: &mut FanOut,
        ticket: Ticket,
        flags: Flags,
        shared: Shared,
    ) -> Appended {
        let octets = fan_out.plain.len();
        let fits = self.append_shared(ticket, shared, &fan_out.plain, 0, octets);
        fan_out.tally.count(fate(fits, flags));
        self.appended(fan_out.frames.into(), octets, fits)
    }

    /// Whoever had no room for all of a batch counts as given none of it.
    #[inline]
    fn appended(&self, frames: u64, octets: usize, fits: bool) -> Appended {
        if !fits {
            self.counters.dropped_closing.add(frames);
            return Appended::default();
        }
        Appended {
            deliveries: frames,
            frames,
            octets,
        }
    }

    /// Appends for one open member a batch as bytes that WebSockets of the common kind do not
    /// share: events, or frames compressed for this member alone.
    #[cold]
    fn append_apart(&mut self, fan_out: &mut FanOut, ticket: Ticket, flags: Flags) -> Appended {
        if flags.has(Flags::STREAM) {
            self.append_events(fan_out, ticket)
        } else {
            self.append_alone(fan_out, ticket)
        }
    }

    /// Appends for an open event stream a batch as events.
    fn append_events(&mut self, fan_out: &mut FanOut, ticket: Ticket) -> Appended {
        let flags = self.connections.at(ticket.slot).flags;
        let frames = u64::from(fan_out.frames - fan_out.skipped(ticket));
        if frames == 0 {
            return Appended::default();
        }
        let events = fan_out.events(ticket, flags.framing());
        let shared = self.outgoing.share(events.clone());
        let fits = self.append_shared(ticket, shared, &events, 0, events.len());
        fan_out.tally.count(fate(fits, flags));
        self.appended(frames, events.len(), fits)
    }

    /// Appends for one open member a batch frame by frame, each compressed for this member alone.
    /// Rare: connections with a window of their own.
    fn append_alone(&mut self, fan_out: &mut FanOut, ticket: Ticket) -> Appended {
        let flags = self.connections.at(ticket.slot).flags;
        let mut frames = 0;
        let all = u64::from(fan_out.frames - fan_out.skipped(ticket));
        fan_out.spans(ticket, Layout::Plain, |start, end| {
            frames += self.append_frames(ticket, &fan_out.plain[start..end]);
        });
        let fits = frames == all;
        if all > 0 {
            fan_out.tally.count(fate(fits, flags));
        }
        self.counters.dropped_closing.add(all - frames);
        Appended {
            deliveries: frames,
            // Counted as they were written.
            frames: 0,
            octets: 0,
        }
    }
}

/// What became of a batch for a member that had these flags before, and had room for it or not.
#[inline]
fn fate(fits: bool, flags: Flags) -> Fate {
    match (fits, flags.has(Flags::BACKLOG)) {
        (true, false) => Fate::Delivered,
        (true, true) => Fate::Queued,
        (false, _) => Fate::Dropped,
    }
}

/// A batch's layouts in this turn's transmits.
struct Shares {
    plain: Shared,
    /// Once a member takes it.
    deflated: Option<Shared>,
}

/// What was appended for one member of a fan-out.
#[derive(Default)]
struct Appended {
    deliveries: u64,
    /// To be counted as sent.
    frames: u64,
    octets: usize,
}
