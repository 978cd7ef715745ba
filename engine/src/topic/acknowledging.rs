//! Members that acknowledge what they are sent, and what becomes of those that do not: they read
//! again what they have not acknowledged, as far as the topic's log has it, and are given up in the
//! end. Everything happens on the member's shard; the home is asked for what is sent again, as for
//! every other range of the log.

use crate::connection::membership::MemberPlace;
use crate::connection::phase::Phase;
use crate::connection::slot::{Flags, Slots};
use crate::driver::boundary::Millis;
use crate::message::delivery::Jumped;
use crate::message::lane::Mailbox;
use crate::query::gather::Outcome;
use crate::topic::acks::{AckRule, Acks, Late};
use crate::topic::batch::{FanOut, Recipients};
use crate::topic::cursor::{Cursor, CursorState};
use crate::topic::key::{Topic, TopicName};
use crate::topic::log::jumps::Jumps;
use crate::topic::log::range::{Range, ReadMode};
use crate::topic::topics::Topics;
use crate::types::history::{Missed, MissedReason};
use crate::types::room_error::RoomError;
use crate::types::ticket::Ticket;

/// A member that was given up.
#[derive(Debug)]
pub(crate) struct GivenUp {
    pub(crate) who: Ticket,
    pub(crate) topic: TopicName,
    pub(crate) missed: Missed,
}

impl Topics {
    /// Members that one tick looks at for who is late.
    const LATE_LOOKS_PER_TICK: usize = 4_096;
    /// When a topic is looked at again whose members are being sent something.
    const BUSY_AGAIN_MS: Millis = 2;

    /// A member has what was published up to an offset.
    pub(crate) fn acknowledge(
        &mut self,
        slots: &mut Slots,
        mail: &mut Mailbox,
        ticket: Ticket,
        room: &str,
        offset: u64,
    ) -> Result<(), RoomError> {
        if slots.phase(ticket) != Phase::Open {
            return Ok(());
        }
        let wanted = self.wanted(slots, ticket, Topic::Room(room));
        let subscribers = wanted.ok_or(RoomError::NotJoined)?;
        let mut acknowledged = 0;
        self.with_acks(mail, subscribers, |acks, done| {
            acknowledged = acks.acknowledge(ticket, offset, done);
        });
        self.counters.acknowledged.add(acknowledged);
        Ok(())
    }

    /// A member acknowledges from here on: it has everything up to the first of these ordinals, and
    /// is sent first what is up to the second.
    pub(super) fn expect_acks(
        &mut self,
        who: Ticket,
        subscribers: u32,
        rule: AckRule,
        (acked, last): (u64, u64),
        jumps: Jumps,
    ) {
        let local = self.local.subscribers(subscribers);
        let log = local.log.as_mut().expect("it has just heard of the log");
        let acks = log.acks.get_or_insert_with(|| Box::new(Acks::new(rule)));
        acks.insert(who, acked, last, jumps);
        self.ack_times.begin_use();
    }

    /// The offsets of a topic's log jump: what its members acknowledge is understood by that.
    #[cold]
    pub(crate) fn jumped(&mut self, jumped: &Jumped) {
        let Jumped {
            topic,
            encoding,
            ordinal,
            offset,
        } = jumped;
        if let Some(subscribers) = self.local.find(*encoding, topic.topic())
            && let Some(acks) = self.local.subscribers(subscribers).acks()
        {
            acks.jump(*ordinal, *offset);
        }
    }

    /// It is a member no more.
    pub(super) fn forget_acks(&mut self, mail: &mut Mailbox, who: Ticket, subscribers: u32) {
        if self.ack_times.is_used() {
            self.with_acks(mail, subscribers, |acks, done| acks.remove(who, done));
        }
    }

    /// A member has been sent the log up to its end: what that was has its deadline from now on.
    pub(crate) fn mark_acks(
        &mut self,
        mail: &mut Mailbox,
        who: Ticket,
        subscribers: u32,
        now: Millis,
    ) {
        if self.ack_times.is_used() {
            self.with_acks(mail, subscribers, |acks, _| acks.caught_up(who, now));
        }
    }

    /// Acts on a topic's acknowledgements. Reports that are complete by that go to who asked.
    fn with_acks(
        &mut self,
        mail: &mut Mailbox,
        subscribers: u32,
        act: impl FnOnce(&mut Acks, &mut Vec<Outcome>),
    ) {
        let Some(acks) = self.local.subscribers(subscribers).acks() else {
            return;
        };
        let mut done = Vec::new();
        act(acks, &mut done);
        self.ack_times.schedule(subscribers, acks, 0);
        for outcome in done {
            mail.enqueue_outcome(outcome);
        }
    }

    /// A reported publish has reached everybody: its part of the report leaves, or waits for those
    /// who acknowledge.
    pub(crate) fn report(&mut self, mail: &mut Mailbox, now: Millis, fan_out: &FanOut) {
        let outcome = fan_out.outcome().expect("it is reported");
        if let (Recipients::Topic(subscribers), 1..) = (fan_out.recipients, fan_out.ordinal())
            && self.local.subscribers(subscribers).acks().is_some()
        {
            let (ordinal, except) = (fan_out.ordinal(), fan_out.left_out());
            return self.with_acks(mail, subscribers, |acks, done| {
                acks.wait(outcome, ordinal, except, now, done);
            });
        }
        mail.enqueue_outcome(outcome);
    }

    /// A range was appended for a member that reads: what it says again, and what it is not sent,
    /// it need not acknowledge once more.
    pub(crate) fn count_again(
        &mut self,
        mail: &mut Mailbox,
        who: Ticket,
        subscribers: u32,
        range: &Range,
    ) {
        if !self.ack_times.is_used() {
            return;
        }
        let Some(cursor) = self.cursors.get_mut(who.slot, subscribers) else {
            return;
        };
        let (next, reading) = (cursor.next, cursor.reading);
        let frames: u64 = range.spans.iter().map(|span| u64::from(span.frames)).sum();
        if matches!(reading, ReadMode::Again { .. }) {
            self.counters.redelivered.add(frames);
        }
        let missed = range.missed.map_or(0, |missed| missed.count);
        let excused = match (reading, frames, missed) {
            (ReadMode::Again { .. }, 0, _) => range.next,
            (_, _, 1..) => next + missed,
            _ => return,
        };
        self.with_acks(mail, subscribers, |acks, done| {
            acks.excuse(who, excused - 1, done)
        });
    }

    /// Has those read again who are late by now. Those who were given up.
    #[cold]
    pub(crate) fn meet_ack_deadlines(
        &mut self,
        slots: &mut Slots,
        mail: &mut Mailbox,
        now: Millis,
    ) -> Vec<GivenUp> {
        let (mut given_up, mut budget) = (Vec::new(), Self::LATE_LOOKS_PER_TICK);
        while budget > 0
            && let Some(subscribers) = self.ack_times.first_due(now)
        {
            self.with_acks(mail, subscribers, |acks, done| {
                acks.expire_reports(now, done)
            });
            let is_busy = !self.local.subscribers(subscribers).is_idle();
            while !is_busy
                && let Some(acks) = self.local.subscribers(subscribers).acks()
                && let Some(who) = acks.next_late(now, &mut budget)
            {
                given_up.extend(self.meet_late(slots, who, subscribers, now));
            }
            let not_before = match is_busy {
                true => now + Self::BUSY_AGAIN_MS,
                false => now,
            };
            if let Some(acks) = self.local.subscribers(subscribers).acks() {
                self.ack_times.schedule(subscribers, acks, not_before);
            }
        }
        given_up
    }

    /// One who is late reads again from the first that it has not acknowledged on. Whoever reads
    /// the log anyway has its time once it has read it.
    fn meet_late(
        &mut self,
        slots: &mut Slots,
        who: Ticket,
        subscribers: u32,
        now: Millis,
    ) -> Option<GivenUp> {
        let memberships = slots.memberships(who.slot);
        let membership = memberships.find(subscribers)?;
        if !matches!(membership.place(), MemberPlace::Member(_)) {
            return None;
        }
        let has_backlog = slots.ref_at(who.slot).flags.has(Flags::BACKLOG);
        let local = self.local.subscribers(subscribers);
        let topic = TopicName::of(&local.key);
        let log = local.log.as_mut()?;
        let epoch = log.epoch;
        let acks = log.acks.as_mut()?;
        // What waits for it in its outbox it was not sent yet.
        if has_backlog {
            acks.mark(now);
            return None;
        }
        let until = acks.last();
        match acks.late(who, now)? {
            Late::Again(next) => {
                let cursor = Cursor {
                    subscribers,
                    epoch,
                    next,
                    reading: ReadMode::Again { until },
                    state: CursorState::Turn,
                };
                if !self.begin_reading(slots, who, cursor)
                    && let Some(acks) = self.local.subscribers(subscribers).acks()
                {
                    acks.mark(now);
                }
                None
            }
            Late::GivenUp(count) => {
                let reason = MissedReason::Unacknowledged;
                let missed = Missed { count, reason };
                self.count_missed(missed);
                Some(GivenUp { who, topic, missed })
            }
        }
    }
}
