//! Members that read a topic's log instead of what is published: how they come to, what they ask
//! the topic's home for, and how they become members again that are sent what is published.
//!
//! A cursor asks only while its connection's outbox is empty, so whoever reads slowly holds a few
//! bytes here and one range there. What it is sent, and the moment from which on it is sent what is
//! published, have their place in the topic's order.

use crate::config::Config;
use crate::connection::membership::MemberPlace;
use crate::connection::phase::Phase;
use crate::connection::slot::{Flags, Slots};
use crate::message::delivery::{CaughtUp, JoinedAt};
use crate::message::lane::Mailbox;
use crate::message::request::{CatchUp, ShardRequest};
use crate::topic::batch::{FanOut, Recipients};
use crate::topic::cursor::{Cursor, CursorState};
use crate::topic::log::range::{ReadMode, Reader};
use crate::topic::subscribers::SubscribersLog;
use crate::topic::topics::Topics;
use crate::types::few::Few;
use crate::types::history::{JoinedLog, Loss, Missed, MissedReason, Recovery};
use crate::types::ticket::Ticket;

impl Topics {
    /// Cursors that ask for more in one tick: with 64 KiB for each, 4 MiB.
    const ASKS_PER_TICK: usize = 64;

    /// A connection has joined a topic that keeps a log. What its application hears of it.
    pub(crate) fn joined_log(
        &mut self,
        slots: &mut Slots,
        who: Ticket,
        subscribers: u32,
        becomes_member: bool,
        mut joined: JoinedAt,
    ) -> JoinedLog {
        let local = self.local.subscribers(subscribers);
        let log = local.log.get_or_insert_with(|| {
            Box::new(SubscribersLog {
                epoch: 0,
                slow_reader: joined.slow_reader,
                behind: Few::None,
                acks: None,
            })
        });
        // Ordinals of another log mean nothing in this one. It begins without members, unless
        // whoever orders the topic has left them there.
        if log.epoch != joined.answer.position.epoch
            && let Some(acks) = log.acks.take()
        {
            self.ack_times.forget(subscribers, &acks);
        }
        log.epoch = joined.answer.position.epoch;
        log.slow_reader = joined.slow_reader;
        let epoch = log.epoch;
        // Whoever finds no cursor is not sent what was before it came, and need not acknowledge it.
        let mut acked = joined.ordinal;
        if becomes_member && let Some((next, reading)) = joined.cursor {
            let cursor = Cursor {
                subscribers,
                epoch,
                next,
                reading,
                state: CursorState::Turn,
            };
            if self.begin_reading(slots, who, cursor) {
                acked = next - 1;
            } else if joined.answer.recovery.is_some() {
                joined.answer.recovery = Some(Recovery::Lost(Loss::Limit));
            }
        }
        if becomes_member && let Some(rule) = joined.acks {
            let jumps = std::mem::take(&mut joined.jumps);
            self.expect_acks(who, subscribers, rule, (acked, joined.ordinal), jumps);
        }
        self.count_recovery(joined.answer.recovery);
        joined.answer
    }

    fn count_recovery(&self, recovery: Option<Recovery>) {
        let counters = &self.counters;
        match recovery {
            None => return,
            Some(Recovery::Recovered) => &counters.recoveries,
            Some(Recovery::Lost(loss)) => match loss {
                Loss::EpochChanged => &counters.recoveries_lost_epoch_changed,
                Loss::TrimmedBySize => &counters.recoveries_lost_trimmed_by_size,
                Loss::TrimmedByAge => &counters.recoveries_lost_trimmed_by_age,
                Loss::Limit | Loss::Unavailable => &counters.recoveries_lost_limit,
            },
        }
        .add(1);
    }

    /// A member that is sent what is published reads the log instead. False: as many cursors as may
    /// exist.
    pub(super) fn begin_reading(&mut self, slots: &mut Slots, who: Ticket, cursor: Cursor) -> bool {
        if self.cursors.count() >= Config::CURSORS_MAX {
            return false;
        }
        let memberships = slots.memberships(who.slot);
        let membership = *memberships
            .find(cursor.subscribers)
            .expect("it is a member");
        debug_assert!(matches!(membership.place(), MemberPlace::Member(_)));
        self.remove_member(slots, membership);
        let log = self.local.subscribers(cursor.subscribers);
        let log = log.log.as_mut().expect("there is something to read");
        let place = MemberPlace::Behind(log.behind.len());
        log.behind.push(who);
        set_place(slots, who, cursor.subscribers, place);
        self.cursors.insert(who, cursor);
        true
    }

    /// A member has read the log to its end.
    pub(crate) fn end_reading(&mut self, slots: &mut Slots, who: Ticket, subscribers: u32) {
        self.cursors.remove(who.slot, subscribers);
        let memberships = slots.memberships(who.slot);
        let membership = *memberships.find(subscribers).expect("it is a member");
        debug_assert!(matches!(membership.place(), MemberPlace::Behind(_)));
        self.remove_member(slots, membership);
        let local = self.local.subscribers(subscribers);
        let place = MemberPlace::Member(local.members.len());
        local.members.push(who);
        // What it has read may be nothing.
        if local.encoding.has_deltas() {
            self.baseless.insert(subscribers, who);
        }
        set_place(slots, who, subscribers, place);
    }

    /// Whether a member that has not taken what it was sent reads the log from this batch on,
    /// instead of having it queued.
    #[cold]
    pub(crate) fn falls_behind(
        &mut self,
        slots: &mut Slots,
        fan_out: &mut FanOut,
        who: Ticket,
    ) -> bool {
        let (Some((next, reading)), Recipients::Topic(subscribers)) =
            (fan_out.cursor(), fan_out.recipients)
        else {
            return false;
        };
        let log = self.local.subscribers(subscribers).log.as_ref();
        let Some(epoch) = log.map(|log| log.epoch) else {
            return false;
        };
        // A member that has left since the batch was closed is one of those it goes to.
        let membership = slots.memberships(who.slot).find(subscribers);
        if !membership
            .is_some_and(|membership| matches!(membership.place(), MemberPlace::Member(_)))
        {
            return false;
        }
        let cursor = Cursor {
            subscribers,
            epoch,
            next,
            reading,
            state: CursorState::Outbox,
        };
        if !self.begin_reading(slots, who, cursor) {
            return false;
        }
        self.counters.fell_behind.add(1);
        fan_out.tally.count_behind(fan_out.slow_reader, 1);
        true
    }

    /// Something can be done at once for topics that keep something.
    #[inline(never)] // Asked in every tick, and the answer is known where no topic does.
    pub(crate) fn has_kept_work(&self, mail: &mut Mailbox) -> bool {
        let reads = self.cursors.has_ready() && !mail.is_congested();
        let has_kept = self.presences.has_events()
            || self.sequencing.held.has_released()
            || self.logs.has_expired();
        reads || has_kept && mail.can_deliver()
    }

    /// Those whose turn it is ask for more.
    #[inline]
    pub(crate) fn ask_for_ranges(&mut self, slots: &Slots, mail: &mut Mailbox) {
        if self.keeps && self.cursors.has_ready() {
            self.ask_for_some_ranges(slots, mail);
        }
    }

    #[cold]
    fn ask_for_some_ranges(&mut self, slots: &Slots, mail: &mut Mailbox) {
        for _ in 0..Self::ASKS_PER_TICK {
            if mail.is_congested() {
                return;
            }
            let Some((who, subscribers)) = self.cursors.pop_ready() else {
                return;
            };
            if slots.phase(who) == Phase::Open {
                self.ask_for_range(slots, mail, who, subscribers);
            }
        }
    }

    fn ask_for_range(&mut self, slots: &Slots, mail: &mut Mailbox, who: Ticket, subscribers: u32) {
        let has_backlog = slots.ref_at(who.slot).flags.has(Flags::BACKLOG);
        let Some(cursor) = self.cursors.get_mut(who.slot, subscribers) else {
            return;
        };
        if cursor.state != CursorState::Turn {
            return;
        }
        if has_backlog {
            cursor.state = CursorState::Outbox;
            return;
        }
        cursor.state = CursorState::Answer;
        let (epoch, next, reading) = (cursor.epoch, cursor.next, cursor.reading);
        let topic = self.local.key(subscribers).clone();
        let encoding = self.local.subscribers_ref(subscribers).encoding;
        let filter = match encoding.has_filter() {
            true => self.filters.of_member(subscribers, who).cloned(),
            false => None,
        };
        let reader = Reader {
            who: mail.address(who),
            encoding,
            next,
            reading,
        };
        let home = mail.home(Some(topic.topic()));
        let ask = CatchUp {
            topic,
            epoch,
            reader,
            filter,
        };
        mail.request(home, ShardRequest::CatchUp(Box::new(ask)));
    }

    /// What a cursor asked for is there. What it missed before that, if the application is to hear
    /// of it; the range itself follows. `None`: nobody waits for it.
    pub(crate) fn begin_range(
        &mut self,
        slots: &Slots,
        caught_up: &CaughtUp,
    ) -> Option<Option<Missed>> {
        let (who, encoding) = (caught_up.who, caught_up.encoding);
        if slots.phase(who) != Phase::Open {
            return None;
        }
        let subscribers = self.local.find(encoding, caught_up.topic.topic())?;
        let has_backlog = slots.ref_at(who.slot).flags.has(Flags::BACKLOG);
        let cursor = self.cursors.get_mut(who.slot, subscribers)?;
        if cursor.state != CursorState::Answer || cursor.next != caught_up.asked {
            return None;
        }
        // Its outbox has filled meanwhile: it asks again.
        if has_backlog && !caught_up.range.spans.is_empty() {
            cursor.state = CursorState::Outbox;
            return None;
        }
        Some(caught_up.range.missed)
    }

    /// A member goes on with the log from this ordinal, when it is its turn.
    pub(crate) fn go_on_reading(&mut self, who: Ticket, subscribers: u32, next: u64) {
        let Some(cursor) = self.cursors.get_mut(who.slot, subscribers) else {
            return;
        };
        cursor.next = next;
        // What a policy leaves out is left out once, and what was sent before is sent again once:
        // from here it is read to its end.
        let is_over = match cursor.reading {
            ReadMode::Newest | ReadMode::Nothing => true,
            ReadMode::Again { until } => next > until,
            ReadMode::All | ReadMode::NewestByKey { .. } | ReadMode::Conflated => false,
        };
        if is_over {
            cursor.reading = ReadMode::All;
        }
        cursor.state = CursorState::Turn;
        self.cursors.push_ready(who, subscribers);
    }

    pub(crate) fn count_missed(&self, missed: Missed) {
        match missed.reason {
            MissedReason::Dropped => &self.counters.missed_dropped,
            MissedReason::Conflated => &self.counters.missed_conflated,
            MissedReason::TrimmedBySize => &self.counters.missed_trimmed_by_size,
            MissedReason::TrimmedByAge => &self.counters.missed_trimmed_by_age,
            MissedReason::Unacknowledged => &self.counters.missed_unacknowledged,
        }
        .add(missed.count);
    }
}

fn set_place(slots: &mut Slots, who: Ticket, subscribers: u32, place: MemberPlace) {
    let membership = slots.memberships(who.slot).find(subscribers);
    membership.expect("it is a member").set_place(place);
}
