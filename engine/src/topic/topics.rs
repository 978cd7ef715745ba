//! What a shard has of topics: its subscribers, the batches and fan-outs that go to them, the
//! deliveries that wait for a fan-out, and the topics that it orders as their home.
//!
//! Invariant: a batch is under way to the same recipients at most once. Called by the shard's tick
//! and by what connections ask for. Every method takes what it needs beside the topics.

use crate::config::Config;
use crate::connection::phase::Phase;
use crate::connection::slot::Slots;
use crate::counters::ShardCounters;
use crate::driver::boundary::Millis;
use crate::message::delivery::{Delivery, Parcel};
use crate::message::lane::Mailbox;
use crate::topic::acks::AckTimes;
use crate::topic::batch::{Batch, FanOuts, Recipients, Turn};
use crate::topic::busiest::Busiest;
use crate::topic::congestion::Congestion;
use crate::topic::cursor::Cursors;
use crate::topic::delayed::Delayed;
use crate::topic::delta::baseless::Baseless;
use crate::topic::delta::bases::Bases;
use crate::topic::filter::filters::Filters;
use crate::topic::greed::Greed;
use crate::topic::held::Sequencing;
use crate::topic::home::Homes;
use crate::topic::key::{Topic, TopicKey, USER_BYTES_MAX};
use crate::topic::log::logs::Logs;
use crate::topic::log::options::LogClass;
use crate::topic::member_list::MemberLists;
use crate::topic::order::enqueue_report;
use crate::topic::presence::presences::Presences;
use crate::topic::seats::Seats;
use crate::topic::subscribers::LocalTopics;
use crate::topic::tally::Tally;
use crate::topic::target::PublishError;
use crate::topic::traces::Traces;
use crate::types::answer::Report;
use crate::types::encoding::EncodingId;
use crate::types::same_user::SameUser;
use crate::types::ticket::Ticket;
use std::sync::Arc;

/// What names and members of topics are limited to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicLimits {
    pub(crate) same_user: SameUser,
    /// What users without connections keep.
    pub(crate) user_log: Option<LogClass>,
    pub(crate) rooms_per_connection_max: usize,
    pub(crate) room_name_bytes_max: usize,
    /// Of one connection.
    pub(crate) outbox_bytes_max: usize,
}

impl TopicLimits {
    /// Those of a checked configuration.
    pub(crate) fn of(config: &Config) -> TopicLimits {
        TopicLimits {
            same_user: config.same_user,
            user_log: config.user_log,
            rooms_per_connection_max: config.rooms_per_connection_max,
            room_name_bytes_max: config.room_name_bytes_max,
            outbox_bytes_max: config.outbox_bytes_max,
        }
    }
}

/// The topics of one shard.
#[derive(Debug)]
pub(crate) struct Topics {
    pub(crate) limits: TopicLimits,
    pub(crate) local: LocalTopics,
    /// For all connections of an encoding, by encoding; as many as were used.
    pub(crate) everyone: Vec<ForEveryone>,
    pub(crate) fan_outs: FanOuts,
    /// Empty whenever `fan_outs` is, at the end of a tick.
    pub(crate) member_lists: MemberLists,
    /// What came for those who are still being served.
    pub(crate) delayed: Delayed,
    pub(crate) congestion: Congestion,
    /// Who takes most of the memory, while that is short.
    pub(crate) greed: Greed,
    /// Some connection may have to wait for a congested topic.
    pub(crate) awaited: bool,
    pub(crate) homes: Homes,
    /// Of the users that this shard is home to.
    pub(crate) seats: Seats,
    /// Whether a topic may keep a log or know its members one by one: the configuration has a class
    /// for it. Otherwise the three parts below are empty, and no tick looks at them.
    pub(crate) keeps: bool,
    /// Of the topics that this shard is home to.
    pub(crate) logs: Logs,
    /// Of this shard's members.
    pub(crate) cursors: Cursors,
    /// When members of this shard are late with acknowledging.
    pub(crate) ack_times: AckTimes,
    /// Of the topics that this shard is home to.
    pub(crate) presences: Presences,
    /// Of the topics that this shard is home to.
    pub(crate) sequencing: Sequencing,
    /// Of the rooms that this shard is home to.
    pub(crate) bases: Bases,
    /// Of this shard's members.
    pub(crate) baseless: Baseless,
    /// Of this shard's members.
    pub(crate) filters: Filters,
    /// Of the rooms that this shard is home to.
    pub(crate) busiest: Busiest,
    /// Of publications that are recorded.
    pub(crate) traces: Traces,
    pub(crate) counters: Arc<ShardCounters>,
}

/// What goes to all connections of an encoding.
#[derive(Debug, Default)]
pub(crate) struct ForEveryone {
    batch: Batch,
    pub(crate) turn: Turn,
}

impl Topics {
    pub(crate) fn new(
        limits: TopicLimits,
        congestion: Congestion,
        greed: Greed,
        logs: Logs,
        presences: Presences,
        counters: Arc<ShardCounters>,
    ) -> Topics {
        let busiest_seed = congestion.seed();
        Topics {
            limits,
            local: LocalTopics::default(),
            everyone: Vec::new(),
            fan_outs: FanOuts::default(),
            member_lists: MemberLists::default(),
            delayed: Delayed::new(congestion.clone()),
            congestion,
            greed,
            awaited: false,
            homes: Homes::default(),
            seats: Seats::default(),
            keeps: logs.has_classes() || presences.has_classes(),
            logs,
            cursors: Cursors::default(),
            ack_times: AckTimes::default(),
            presences,
            sequencing: Sequencing::default(),
            bases: Bases::default(),
            baseless: Baseless::default(),
            filters: Filters::default(),
            busiest: Busiest::new(busiest_seed),
            traces: Traces::default(),
            counters,
        }
    }

    /// Does what is due by now for what topics keep.
    #[inline]
    pub(crate) fn look_at_kept(&mut self, now: Millis) {
        if self.keeps {
            self.logs.look(now);
            self.presences.meet_deadlines(now);
        }
    }

    /// When something is due next for what topics keep.
    #[inline]
    pub(crate) fn next_look(&self) -> Option<Millis> {
        if !self.keeps {
            return None;
        }
        let (logs, presences) = (self.logs.next_look(), self.presences.next_deadline());
        let acks = self.ack_times.next();
        [logs, presences, acks].into_iter().flatten().min()
    }

    /// Bytes that topics keep: logs, what presence knows, and bases.
    pub(crate) fn held_bytes(&self) -> u64 {
        match self.keeps {
            true => self.logs.bytes() + self.presences.bytes() + self.bases.bytes(),
            false => self.bases.bytes(),
        }
    }

    /// Whether memory is short and the topic one of those that take most of it; `None`: everyone.
    #[inline]
    pub(crate) fn is_greedy(&self, topic: Option<Topic<'_>>) -> bool {
        self.greed.watches && self.greed.refuses(self.congestion.bucket(topic))
    }

    /// A topic has taken so much memory while that is short; `None`: everyone.
    #[cold]
    pub(crate) fn count_greed(&mut self, topic: Option<Topic<'_>>, bytes: usize) {
        let bucket = self.congestion.bucket(topic);
        self.greed.count(bucket, bytes);
    }

    /// Says how much topics keep.
    #[inline(never)]
    pub(crate) fn gauge_kept(&self, counters: &ShardCounters) {
        counters.presences.set(self.presences.count() as u64);
        counters.logs.set(self.logs.count() as u64);
        counters.log_bytes.set(self.logs.bytes());
        counters
            .store_behind
            .set(self.logs.is_store_behind().into());
        counters.cursors.set(self.cursors.count() as u64);
    }

    /// Keeps no more than what is in use or under way.
    pub(crate) fn release_memory(&mut self) {
        self.member_lists.release_memory();
        self.fan_outs.release_memory();
        self.delayed.release_memory();
        self.local.release_memory();
        self.homes.release_memory();
        self.seats.release_memory();
        self.logs.release_memory();
        self.cursors.release_memory();
        self.presences.release_memory();
        self.bases.release_memory();
        self.baseless.release_memory();
        self.filters.release_memory();
    }

    /// A name that a room may have.
    pub(crate) fn check_name(&self, room: &str) -> Result<(), ()> {
        let fits = (1..=self.limits.room_name_bytes_max).contains(&room.len());
        fits.then_some(()).ok_or(())
    }

    /// The key of a topic, whose name is checked. One that is known here costs no allocation.
    pub(crate) fn key(&self, topic: Topic<'_>) -> Result<TopicKey, PublishError> {
        let is_name = match topic {
            Topic::Room(name) => self.check_name(name).is_ok(),
            Topic::User(name) => (1..=USER_BYTES_MAX).contains(&name.len()),
        };
        if !is_name {
            return Err(PublishError::BadName);
        }
        let known = self.local.known(topic).cloned();
        Ok(known.unwrap_or_else(|| TopicKey::new(topic)))
    }

    /// The recipients that a delivery has on this shard. `None`: it has none, or none any more.
    #[inline]
    pub(crate) fn recipients(&self, delivery: &Delivery) -> Option<Recipients> {
        match delivery.recipients()? {
            (Some(topic), encoding) => self.local.find(encoding, topic).map(Recipients::Topic),
            (None, encoding) => Some(Recipients::Everyone(encoding)),
        }
    }

    /// What this tick collects for these recipients.
    #[inline]
    pub(crate) fn batch(&mut self, recipients: Recipients) -> &mut Batch {
        match recipients {
            Recipients::Topic(subscribers) => self.local.batch(subscribers),
            Recipients::Everyone(encoding) => &mut self.everyone(encoding).batch,
        }
    }

    /// Takes it away, if anything was collected.
    fn take_batch(&mut self, recipients: Recipients) -> Option<Batch> {
        match recipients {
            Recipients::Topic(subscribers) => self.local.take_batch(subscribers),
            Recipients::Everyone(encoding) => {
                let batch = &mut self.everyone(encoding).batch;
                (!batch.is_empty()).then(|| std::mem::take(batch))
            }
        }
    }

    /// Where these recipients are between two batches.
    #[inline]
    pub(crate) fn turn(&mut self, recipients: Recipients) -> &mut Turn {
        match recipients {
            Recipients::Topic(subscribers) => &mut self.local.subscribers(subscribers).turn,
            Recipients::Everyone(encoding) => &mut self.everyone(encoding).turn,
        }
    }

    /// As member: puts a publish into its recipients' batch of this tick. Without recipients, the
    /// last member left while the publish was on its way. Returns the publish if what came before
    /// it has to go out first.
    pub(crate) fn collect(
        &mut self,
        slots: &Slots,
        mailbox: &mut Mailbox,
        recipients: Option<Recipients>,
        parcel: Parcel,
        now: Millis,
    ) -> Option<Parcel> {
        self.collect_as(slots, mailbox, recipients, parcel, now, |batch, parcel| {
            batch.push(&parcel.frame, parcel.except);
        })
    }

    /// `push` puts the publish into the batch.
    #[inline]
    pub(super) fn collect_as(
        &mut self,
        slots: &Slots,
        mailbox: &mut Mailbox,
        recipients: Option<Recipients>,
        parcel: Parcel,
        now: Millis,
        push: impl FnOnce(&mut Batch, &Parcel),
    ) -> Option<Parcel> {
        let Some(recipients) = recipients else {
            if let Some(key) = parcel.report {
                enqueue_report(mailbox, key, parcel.parcels, Report::default());
            }
            return None;
        };
        // A reported publish goes out by itself, so that its counts are its own.
        if parcel.report.is_some() && self.close_batch(slots, recipients, None) {
            return Some(parcel);
        }
        let batch = self.batch(recipients);
        let was_empty = batch.is_empty();
        batch.reach(parcel.ordinal);
        push(batch, &parcel);
        let full = batch.is_full();
        if parcel.ordinal > 0 && self.ack_times.is_used() {
            self.await_acks(recipients, parcel.ordinal, now);
        }
        if let (Recipients::Topic(subscribers), true) = (recipients, was_empty) {
            self.local.pending.push(subscribers);
        }
        if full || parcel.report.is_some() {
            self.close_batch(slots, recipients, Some(&parcel));
        }
        None
    }

    /// Those members that acknowledge have so long from here on.
    #[cold]
    fn await_acks(&mut self, recipients: Recipients, ordinal: u64, now: Millis) {
        let Recipients::Topic(index) = recipients else {
            return;
        };
        if let Some(acks) = self.local.subscribers(index).acks() {
            acks.reach(ordinal, now);
            self.ack_times.schedule(index, acks, now);
        }
    }

    /// What goes to all connections of an encoding.
    fn everyone(&mut self, encoding: EncodingId) -> &mut ForEveryone {
        if self.everyone.len() <= encoding.index() {
            self.everyone
                .resize_with(encoding.index() + 1, ForEveryone::default);
        }
        &mut self.everyone[encoding.index()]
    }

    /// Closes a batch: it goes out to the members of this moment. Returns false if the batch is
    /// empty.
    pub(crate) fn close_batch(
        &mut self,
        slots: &Slots,
        recipients: Recipients,
        last: Option<&Parcel>,
    ) -> bool {
        let reported = last.filter(|parcel| parcel.report.is_some());
        let Some(batch) = self.take_batch(recipients) else {
            return false;
        };
        if let Recipients::Topic(index) = recipients {
            self.local.pending.retain(|pending| *pending != index);
        }
        self.send_off(slots, recipients, batch, reported);
        true
    }

    /// A batch that is not empty goes out. Until everybody has it, later deliveries for the same
    /// recipients wait.
    fn send_off(
        &mut self,
        slots: &Slots,
        recipients: Recipients,
        batch: Batch,
        reported: Option<&Parcel>,
    ) {
        let fan_out = match recipients {
            Recipients::Topic(index) => {
                let subscribers = self.local.subscribers(index);
                let was = std::mem::replace(&mut subscribers.turn, Turn::UnderWay);
                let members = self
                    .member_lists
                    .gather(subscribers.members.iter().copied());
                let mut fan_out = batch.close(recipients, members, reported);
                if let Some(sieve) = &mut fan_out.sieve {
                    sieve.places = self.filters.places(index);
                }
                if let Some(log) = &subscribers.log {
                    fan_out.slow_reader = log.slow_reader;
                    let except = reported.and_then(|parcel| parcel.except);
                    let behind = log.behind.iter().filter(|who| Some(**who) != except);
                    fan_out
                        .tally
                        .count_behind(log.slow_reader, behind.count() as u32);
                }
                if was == Turn::Free {
                    self.local.retain(index);
                }
                fan_out
            }
            Recipients::Everyone(encoding) => {
                let members = self.member_lists.gather(slots.open(encoding));
                self.everyone(encoding).turn = Turn::UnderWay;
                batch.close(recipients, members, reported)
            }
        };
        self.fan_outs.push(fan_out);
    }

    /// Closes all batches of this tick.
    pub(crate) fn close_batches(&mut self, slots: &Slots) {
        if !self.local.pending.is_empty() {
            let mut pending = std::mem::take(&mut self.local.pending);
            for index in pending.drain(..) {
                let batch = self.local.take_batch(index);
                let batch = batch.expect("what is pending was collected");
                self.send_off(slots, Recipients::Topic(index), batch, None);
            }
            self.local.pending = pending;
        }
        for encoding in EncodingId::all().take(self.everyone.len()) {
            self.close_batch(slots, Recipients::Everyone(encoding), None);
        }
    }

    /// The recipients have the batch that was under way on this shard.
    pub(crate) fn served(&mut self, recipients: Recipients, tally: Tally, shard: u16) {
        self.traces.end_deliveries(recipients, tally, shard);
        if self.delayed.served(recipients) {
            *self.turn(recipients) = Turn::Next;
        } else {
            self.be_free(recipients);
        }
    }

    /// Nothing is under way to the recipients, and nothing waits for them.
    pub(crate) fn be_free(&mut self, recipients: Recipients) {
        *self.turn(recipients) = Turn::Free;
        if let Recipients::Topic(index) = recipients {
            self.local.release(index);
        }
    }

    /// The connection has asked for something of a topic; `None`: everyone's. If the topic is
    /// congested, nothing more is read from the connection until the topic has caught up.
    #[inline]
    pub(crate) fn check_congestion(
        &self,
        slots: &mut Slots,
        ticket: Ticket,
        topic: Option<Topic<'_>>,
    ) {
        if !self.congestion.is_none() {
            self.await_topic(slots, ticket, topic);
        }
    }

    #[cold]
    fn await_topic(&self, slots: &mut Slots, ticket: Ticket, topic: Option<Topic<'_>>) {
        let bucket = self.congestion.bucket(topic);
        if self.congestion.has(bucket) && slots.phase(ticket) == Phase::Open {
            slots.at(ticket.slot).cold().awaits = Some(bucket);
        }
    }

    /// Whether the connection is to be parked. Asked where there is more to read, so that a parked
    /// connection has input.
    #[inline]
    pub(crate) fn must_await_topic(&mut self, slots: &Slots, ticket: Ticket) -> bool {
        !self.congestion.is_none() && self.must_await_congested(slots, ticket)
    }

    #[cold]
    fn must_await_congested(&mut self, slots: &Slots, ticket: Ticket) -> bool {
        let awaits = self.awaits_turn(slots, ticket);
        self.awaited |= awaits;
        awaits
    }

    /// Whether the connection must not be read before a topic has caught up.
    pub(crate) fn awaits_turn(&self, slots: &Slots, ticket: Ticket) -> bool {
        if slots.phase(ticket) != Phase::Open {
            return false;
        }
        let cold = slots.ref_at(ticket.slot).cold.as_ref();
        let awaits = cold.and_then(|cold| cold.awaits);
        awaits.is_some_and(|bucket| self.congestion.has(bucket))
    }
}
