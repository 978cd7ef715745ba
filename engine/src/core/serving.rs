//! How a fan-out reaches its members on this shard: the batch is appended for each, and whoever has
//! no room for it is evicted. Called by the tick, in chunks.

use super::Core;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::egress::Egress;
use crate::egress::outgoing::Shared;
use crate::message::delivery::{CaughtUp, Progress};
use crate::topic::batch::{FanOut, Recipients};
use crate::topic::key::TopicKey;
use crate::topic::log::block::Span;
use crate::topic::skips::Layout;
use crate::topic::tally::Fate;
use crate::types::ticket::Ticket;

impl Core {
    /// Appends a fan-out for its next members, at most `members_max`, until `transmits_max`
    /// transmits stand or a turn is due. How many were served.
    pub(crate) fn serve(
        &mut self,
        fan_out: &mut FanOut,
        members_max: usize,
        transmits_max: usize,
    ) -> usize {
        let mut shares = Shares {
            plain: self.share_plain(fan_out, transmits_max),
            deflated: None,
        };
        let (mut deliveries, mut frames, mut octets) = (0, 0, 0);
        let held_bytes = self.egress.held.bytes();
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
            if self.egress.outgoing.is_full(transmits_max) {
                break;
            }
        }
        self.counters.deliveries.add(deliveries);
        self.egress.count_out(frames, octets);
        if self.topics.greed.watches {
            self.count_greed(fan_out, held_bytes);
        }
        fan_out.members.go_on(&members)
    }

    /// Memory is short: what a fan-out has put into outboxes is its topic's.
    #[cold]
    fn count_greed(&mut self, fan_out: &FanOut, held_bytes_before: u64) {
        let taken = self.egress.held.bytes().saturating_sub(held_bytes_before);
        let key = match fan_out.recipients {
            Recipients::Topic(index) => Some(self.topics.local.key(index).clone()),
            Recipients::Everyone(_) => None,
        };
        let topic = key.as_ref().map(TopicKey::topic);
        self.topics.count_greed(topic, taken as usize);
    }

    /// The plain batch is shared by this turn's transmits. One that more turns share stands on the
    /// account from the first one on, so that it does once.
    fn share_plain(&mut self, fan_out: &mut FanOut, transmits_max: usize) -> Shared {
        let Egress { outgoing, held, .. } = &mut self.egress;
        if fan_out.members.len() > transmits_max {
            fan_out.track(held);
        }
        let plain = fan_out.plain.clone();
        match fan_out.is_tracked {
            true => outgoing.share_tracked(plain),
            false => outgoing.share(plain),
        }
    }

    /// Appends a batch of which nothing is left out for one open member that nothing waits for,
    /// which is nearly every member. False: nothing was appended, and it takes a closer look.
    #[inline(always)] // Once per member.
    fn append_at_once(&mut self, fan_out: &FanOut, ticket: Ticket, plain: Shared) -> bool {
        let Some(connection) = self.connections.slots.get(ticket) else {
            return false;
        };
        let flags = connection.flags;
        if connection.phase != Phase::Open || flags.has(Flags::SERVED_LATE) {
            return false;
        }
        let (transmit, octets) = (&mut connection.transmit, fan_out.plain.len());
        let appended = fan_out.is_all_for(ticket)
            && (self.egress.outgoing).attach_shared(ticket, transmit, plain, 0, octets);
        if appended && flags.has(Flags::TLS) {
            self.egress.outgoing.expect_encryption(octets);
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
        if self.connections.slots.phase(ticket) != Phase::Open {
            self.counters.dropped_closing.add(u64::from(fan_out.frames));
            fan_out.tally.count(Fate::Dropped);
            return Appended::default();
        }
        let flags = self.connections.slots.at(ticket.slot).flags;
        if flags.has(Flags::BACKLOG) && self.falls_behind(fan_out, ticket) {
            return Appended::default();
        }
        if flags.has(Flags::SERVED_APART) {
            return self.append_apart(fan_out, ticket, flags);
        }
        if fan_out.is_all_for(ticket) {
            return self.append_to_any(fan_out, ticket, flags, shares.plain);
        }
        let (layout, shared) = match &fan_out.deflated {
            Some(deflated) if flags.has(Flags::DEFLATES) => {
                let shared = *shares
                    .deflated
                    .get_or_insert_with(|| self.egress.outgoing.share(deflated.clone()));
                (Layout::Deflated, shared)
            }
            Some(_) | None => (Layout::Plain, shares.plain),
        };
        let (mut octets, mut fits) = (0, true);
        fan_out.spans(ticket, layout, |start, end| {
            // A span that found the outbox full has closed the connection: the rest of them has
            // nowhere to go.
            if fits {
                fits = self.append_shared(ticket, shared, start, end);
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

    /// Appends a batch of which a member is left nothing out.
    fn append_to_any(
        &mut self,
        fan_out: &mut FanOut,
        ticket: Ticket,
        flags: Flags,
        shared: Shared,
    ) -> Appended {
        let octets = fan_out.plain.len();
        let fits = self.append_shared(ticket, shared, 0, octets);
        fan_out.tally.count(fate(fits, flags));
        self.appended(fan_out.frames.into(), octets, fits)
    }

    /// Whether a member that has not taken what it was sent reads the log from this batch on.
    #[cold]
    fn falls_behind(&mut self, fan_out: &mut FanOut, ticket: Ticket) -> bool {
        let slots = &mut self.connections.slots;
        self.topics.falls_behind(slots, fan_out, ticket)
    }

    /// Appends a range for the connection, which goes on from there.
    pub(crate) fn append_range(&mut self, caught_up: CaughtUp) {
        let CaughtUp {
            topic,
            encoding,
            who,
            range,
            progress,
            ..
        } = caught_up;
        if let Some(missed) = range.missed {
            self.topics.count_missed(missed);
        }
        for span in &range.spans {
            if !self.append_span(who, span) {
                // The connection ends, and its cursors with it.
                return;
            }
        }
        let Some(subscribers) = self.topics.local.find(encoding, topic.topic()) else {
            return;
        };
        let mail = &mut self.mail;
        self.topics.count_again(mail, who, subscribers, &range);
        match progress {
            Progress::UpToDate => {
                let (slots, now) = (&mut self.connections.slots, self.connections.now);
                self.topics.end_reading(slots, who, subscribers);
                self.topics.mark_acks(mail, who, subscribers, now);
            }
            Progress::More => self.topics.go_on_reading(who, subscribers, range.next),
        }
    }

    /// Appends frames that others are sent, too. False: the connection is not open any more.
    fn append_span(&mut self, who: Ticket, span: &Span) -> bool {
        if self.connections.slots.phase(who) != Phase::Open {
            return false;
        }
        let flags = self.connections.slots.at(who.slot).flags;
        let mut frames = u64::from(span.frames);
        if flags.has(Flags::SERVED_APART) {
            frames = self.append_frames(who, &span.plain);
        } else {
            let bytes = match &span.deflated {
                Some(deflated) if flags.has(Flags::DEFLATES) => deflated,
                Some(_) | None => &span.plain,
            };
            // The log has it on its account.
            let shared = self.egress.outgoing.share_tracked(bytes.clone());
            if !self.append_shared(who, shared, 0, bytes.len()) {
                return false;
            }
            self.egress.count_out(frames, bytes.len());
        }
        self.counters.deliveries.add(frames);
        self.counters.caught_up.add(frames);
        self.connections.slots.phase(who) == Phase::Open
    }

    /// Appends bytes that others are sent, too: complete frames. False when they found no room, and
    /// the connection is being closed for it.
    pub(crate) fn append_shared(
        &mut self,
        ticket: Ticket,
        shared: Shared,
        start: usize,
        end: usize,
    ) -> bool {
        let connections = &mut self.connections;
        let appended = (self.egress).append_shared(connections, ticket, shared, start, end);
        self.evict_if_full(ticket, appended);
        appended.is_ok()
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
        let flags = self.connections.slots.at(ticket.slot).flags;
        let frames = u64::from(fan_out.frames - fan_out.skipped(ticket));
        if frames == 0 {
            return Appended::default();
        }
        let kind = (self.egress.forms.of(ticket.slot), flags.framing());
        let events = fan_out.events(ticket, kind, &self.egress.held);
        let shared = self.egress.outgoing.share_tracked(events.clone());
        let fits = self.append_shared(ticket, shared, 0, events.len());
        fan_out.tally.count(fate(fits, flags));
        self.appended(frames, events.len(), fits)
    }

    /// Appends for one open member a batch frame by frame, each compressed for this member alone.
    /// Rare: connections with a window of their own.
    fn append_alone(&mut self, fan_out: &mut FanOut, ticket: Ticket) -> Appended {
        let flags = self.connections.slots.at(ticket.slot).flags;
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
