//! Messages: requests that this shard orders, deliveries for its members, commands from outside.

use super::Shard;
use super::intake::SCRATCH_BYTES_MAX;
use crate::application::Application;
use crate::connection::phase::Phase;
use crate::core::Core;
use crate::driver::boundary::Driver;
use crate::message::command::Command;
use crate::message::delivery::{CaughtUp, Delivery};
use crate::message::request::ShardRequest;
use crate::query::gather::{Outcome, Part, Requester};
use crate::topic::batch::{Recipients, Turn};
use crate::topic::joining::JoinRefused;
use crate::topic::key::TopicName;
use crate::types::answer::{Listing, Report};
use crate::types::close_reason::CloseReason;

/// Commands obeyed per tick.
const COMMANDS_PER_TICK: usize = 1024;
/// Requests, and deliveries, taken per tick.
const MESSAGES_PER_TICK: usize = 4096;
/// Messages taken from one lane before the next has its turn.
const MESSAGES_PER_LANE: usize = 64;

impl<A: Application, D: Driver> Shard<A, D> {
    /// Commands wait in their bounded queue while a lane is full, like everything else that would
    /// post requests, and while as many answers are under way to other threads as may be.
    pub(super) fn run_commands(&mut self) {
        let mut taken = 0;
        while taken < COMMANDS_PER_TICK
            && !self.core.mail.is_congested()
            && !self.core.queries.is_full_outside()
            && let Some(command) = self.core.mail.next_command()
        {
            self.run_command(command);
            taken += 1;
        }
        if taken > 0 {
            self.core.mail.wake_waiting();
        }
    }

    fn run_command(&mut self, command: Command) {
        match command {
            Command::Publish {
                publish,
                wants,
                reply,
            } => self.core.publish_from_outside(publish, wants, reply),
            Command::List { topic, reply } => self.core.list_from_outside(topic, reply),
            Command::History {
                topic,
                class,
                query,
                reply,
            } => {
                let requester = Requester::Outside(reply);
                self.core.post_history(topic, class, query, requester);
            }
            Command::ClearHistory { topic, reply } => {
                self.core.clear_history_from_outside(topic, reply);
            }
            Command::StepLog { topic, step } => self.core.post_step(topic, step),
            Command::Sequenced { key, report } => {
                let (part, parcels) = (Part::Report(report), 1);
                (self.core.mail).enqueue_outcome(Outcome { key, parcels, part });
            }
            Command::Presence {
                topic,
                query,
                reply,
            } => {
                let requester = Requester::Outside(reply);
                self.core.post_presence(topic, query, requester);
            }
            Command::PlaceElsewhere { topic, class, told } => {
                let (topics, outlet) = self.core.home();
                (topics.presences).place_elsewhere(&topic, class, *told, outlet.now);
            }
            Command::Notify { who, notice } => self.notify(who, notice),
            Command::Reach { who, notice } => self.reach(who, notice),
            Command::Admit { who, notice } => self.decide(who, notice),
            Command::ReplaceTls { listener, tls } => self.core.egress.tls.replace(listener, tls),
            Command::Query { query, reply } => {
                self.core.queries.ask(&mut self.core.mail, query, reply)
            }
            Command::Subscribe { subscriber } => self.core.events.add(subscriber),
            Command::Drain {
                listeners,
                pace,
                subscriber,
            } => {
                self.core.events.admit(subscriber);
                self.start_paced_drain(listeners, pace);
            }
        }
    }

    /// After a call of the application that nothing came before in this tick: it may have ended
    /// connections, and said much.
    pub(super) fn after_call(&mut self) {
        self.report_ended();
        if self.core.egress.outgoing.pending_bytes() > SCRATCH_BYTES_MAX {
            self.flush();
        }
    }

    pub(super) fn take_requests(&mut self) {
        for count in 1..=MESSAGES_PER_TICK {
            if self.core.topics.presences.has_events() && !self.publish_presence() {
                break;
            }
            if self.core.topics.has_sequencer() && self.core.topics.sequencing.held.has_released() {
                if !self.core.mail.can_deliver() {
                    break;
                }
                self.serve_released();
                continue;
            }
            let Some(request) = self.core.mail.next_request() else {
                break;
            };
            self.take_request(request);
            if count % MESSAGES_PER_LANE == 0 {
                self.core.mail.rotate();
            }
        }
    }

    /// False: a lane is full, and the rest goes before the next request.
    #[cold]
    fn publish_presence(&mut self) -> bool {
        let (topics, mut outlet) = self.core.home();
        topics.publish_presence(&mut outlet)
    }

    /// Handles a request, unless it has to wait for its topic's log.
    #[inline]
    fn take_request(&mut self, request: ShardRequest) {
        if self.core.topics.has_sequencer() {
            let (topics, mut outlet) = self.core.home();
            if let Some(request) = topics.hold(&mut outlet, request) {
                self.handle(request);
            }
            return;
        }
        self.handle(request);
    }

    /// One request has waited for its topic's log, and does so no more.
    #[cold]
    fn serve_released(&mut self) {
        let released = self.core.topics.sequencing.held.pop_released();
        let Some((request, how)) = released else {
            return;
        };
        let (topics, mut outlet) = self.core.home();
        if let Some(request) = topics.end_wait(&mut outlet, request, how) {
            self.handle(request);
        }
    }

    #[inline(never)] // A tick that has none must not set up what they take.
    fn handle(&mut self, request: ShardRequest) {
        let core = &mut self.core;
        match request {
            ShardRequest::Join(join) => {
                let (topics, mut outlet) = core.home();
                topics.order_join(&mut outlet, join);
            }
            ShardRequest::Leave {
                topic,
                who,
                encoding,
                tag,
            } => {
                let (topics, mut outlet) = core.home();
                topics.order_leave(&mut outlet, topic, encoding, who, tag);
            }
            ShardRequest::LeaveAll {
                topics: left,
                who,
                encoding,
                may_return,
            } => {
                let (topics, mut outlet) = core.home();
                topics.order_leave_all(&mut outlet, &left, encoding, who, may_return);
            }
            ShardRequest::RefusalAcked { topic, who } => {
                core.topics.homes.refusal_acked(topic, who)
            }
            ShardRequest::Publish(publish) => {
                let (topics, mut outlet) = core.home();
                topics.order(&mut outlet, publish);
            }
            ShardRequest::Query { key, query } => {
                let slots = &core.connections.slots;
                let (part, parcels) = query.part(&core.topics, slots, &core.mail);
                core.mail.enqueue_outcome(Outcome { key, parcels, part });
            }
            ShardRequest::List { topic, key } => {
                core.topics.homes.order_list(&mut core.mail, topic, key)
            }
            ShardRequest::History {
                topic,
                class,
                key,
                query,
            } => {
                let (topics, mut outlet) = core.home();
                topics.read_history(&mut outlet, &topic, class, key, &query);
            }
            ShardRequest::StepLog { topic, step } => core.step_log(&topic, step),
            ShardRequest::ClearHistory { topic, key } => core.clear_history(&topic, key),
            ShardRequest::CatchUp(ask) => {
                let (topics, mut outlet) = core.home();
                topics.answer_cursor(&mut outlet, *ask);
            }
            ShardRequest::Presence { topic, key, query } => {
                (core.topics).read_presence(&mut core.mail, &topic, key, &query);
            }
            ShardRequest::Outcome(outcome) => self.take_outcome(outcome),
            ShardRequest::Post { to, from, frame } => self.take_post(to, from, &frame),
            ShardRequest::Send { to, content } => core.send_one(to, &content),
            ShardRequest::Notify { who, notice } => self.take_notice(who, notice),
            ShardRequest::Disconnect { who, code, reason } => {
                core.close(who, code, &reason, CloseReason::Application(code));
            }
            ShardRequest::Restarted { shard } => self.lose(shard),
            // Said to a shard that waited for it, which has it by now.
            ShardRequest::Settled => {}
        }
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        if let Some((requester, answer)) = self.core.queries.add(outcome) {
            self.answer_requester(requester, answer);
        }
    }

    /// Takes what has waited for a set of recipients that was served, then what has come. While as
    /// much waits as may, nothing more is taken: that ends with the next set of recipients that was
    /// served.
    pub(super) fn take_deliveries(&mut self) {
        if self.core.topics.delayed.has_ready() {
            self.take_delayed();
        }
        for count in 1..=MESSAGES_PER_TICK {
            if self.core.topics.delayed.is_full() {
                break;
            }
            let Some(delivery) = self.core.mail.next_delivery() else {
                break;
            };
            self.take_delivery(delivery);
            if count % MESSAGES_PER_LANE == 0 {
                self.core.mail.rotate();
            }
        }
        self.core.topics.close_batches(&self.core.connections.slots);
    }

    /// Goes on with sets of recipients that were served, until something is on its way to them
    /// again.
    fn take_delayed(&mut self) {
        let mut left = MESSAGES_PER_TICK;
        while let Some(recipients) = self.core.topics.delayed.pop_ready() {
            while *self.core.topics.turn(recipients) == Turn::Next {
                if left == 0 {
                    self.core.topics.delayed.push_ready(recipients);
                    return;
                }
                left -= 1;
                let Some(delivery) = self.core.topics.delayed.pop(recipients) else {
                    self.core.topics.be_free(recipients);
                    break;
                };
                if let Some(again) = self.act_on(Some(recipients), delivery) {
                    self.core.topics.delayed.push_front(recipients, again);
                }
            }
        }
    }

    /// A delivery waits while an earlier message of its set of recipients is still going out, so
    /// that every member sees one order. Those for other sets of recipients do not.
    #[inline(never)] // As above.
    fn take_delivery(&mut self, delivery: Delivery) {
        let recipients = self.core.topics.recipients(&delivery);
        if let Some(recipients) = recipients {
            let waits = *self.core.topics.turn(recipients) != Turn::Free;
            if waits {
                self.core.topics.delayed.push(recipients, delivery);
                return;
            }
            if let Some(again) = self.act_on(Some(recipients), delivery) {
                self.core.topics.delayed.push_front(recipients, again);
            }
        } else {
            self.act_on(None, delivery);
        }
    }

    /// Returns the delivery if something has to go out before it. Handling a delivery never waits
    /// for a lane: an answer to another shard is enqueued, and a request that the application makes
    /// of it goes to the spill.
    pub(super) fn act_on(
        &mut self,
        recipients: Option<Recipients>,
        delivery: Delivery,
    ) -> Option<Delivery> {
        let Core {
            topics,
            connections,
            mail,
            meaning,
            counters,
            ..
        } = &mut self.core;
        match (recipients, delivery) {
            (_, Delivery::Message(parcel)) => {
                let again = topics.collect(
                    &connections.slots,
                    mail,
                    recipients,
                    parcel,
                    connections.now,
                );
                again.map(Delivery::Message)
            }
            (_, Delivery::Next(next)) => {
                let (slots, now) = (&mut connections.slots, connections.now);
                let again = topics.collect_next(slots, mail, recipients, *next, now);
                again.map(|again| Delivery::Next(Box::new(again)))
            }
            (_, Delivery::Sifted(sifted)) => {
                let (slots, now) = (&connections.slots, connections.now);
                let sifter = meaning.sifter(counters, mail.shard());
                let again = topics.collect_sifted(slots, mail, recipients, *sifted, now, &sifter);
                again.map(|again| Delivery::Sifted(Box::new(again)))
            }
            (recipients, Delivery::Traced(traced)) => self.act_on_traced(recipients, *traced),
            (
                Some(recipients),
                delivery @ (Delivery::Joined(_) | Delivery::CaughtUp(_) | Delivery::Left { .. }),
            ) if topics.close_batch(&connections.slots, recipients, None) => Some(delivery),
            (recipients, delivery) => {
                self.take(recipients, delivery);
                None
            }
        }
    }

    /// A cursor is sent what it asked for, after it has heard of what it missed before that.
    fn take_range(&mut self, caught_up: CaughtUp) {
        let (topics, slots) = (&mut self.core.topics, &self.core.connections.slots);
        let Some(missed) = topics.begin_range(slots, &caught_up) else {
            return;
        };
        let who = caught_up.who;
        if let Some(missed) = missed {
            let topic = TopicName::of(&caught_up.topic);
            self.call(who, None, |application, context, session| {
                application.missed(context, session, &topic, missed)
            });
        }
        if self.core.connections.slots.phase(who) == Phase::Open {
            self.core.append_range(caught_up);
        }
    }

    /// Members that have not acknowledged in time are sent everything again, or told that they are
    /// not any more.
    #[inline]
    pub(super) fn send_again(&mut self) {
        let now = self.core.connections.now;
        if self.core.topics.ack_times.first_due(now).is_some() {
            self.send_all_again();
        }
    }

    #[cold]
    fn send_all_again(&mut self) {
        let Core {
            topics,
            connections,
            mail,
            ..
        } = &mut self.core;
        let (slots, now) = (&mut connections.slots, connections.now);
        for given_up in topics.meet_ack_deadlines(slots, mail, now) {
            if self.core.connections.slots.phase(given_up.who) == Phase::Open {
                self.call(given_up.who, None, |application, context, session| {
                    application.missed(context, session, &given_up.topic, given_up.missed)
                });
            }
        }
    }

    /// Acts on a delivery that nothing has to go out before.
    fn take(&mut self, recipients: Option<Recipients>, delivery: Delivery) {
        let subscribers = match recipients {
            Some(Recipients::Topic(subscribers)) => Some(subscribers),
            Some(Recipients::Everyone(_)) | None => None,
        };
        let core = &mut self.core;
        let slots = &mut core.connections.slots;
        match delivery {
            // Those are collected; the last is for shards that begin anew.
            Delivery::Message(_) | Delivery::Next(_) | Delivery::Sifted(_) => {}
            Delivery::Traced(_) | Delivery::Settled => {}
            Delivery::Posted { who, outcome } => self.posted(who, outcome),
            Delivery::Unencodable {
                encoding,
                except,
                key,
                parcels,
            } => {
                let part = Part::Report(Report {
                    dropped: slots.count_open(encoding, except) as u32,
                    ..Report::default()
                });
                core.mail.enqueue_outcome(Outcome { key, parcels, part });
            }
            // Members do not change by it, so what goes to them need not have left.
            Delivery::List {
                topic,
                encoding,
                key,
                parcels,
                total,
                members,
            } => {
                let (topics, mail) = (&core.topics, &core.mail);
                let members = topics.name_members(slots, mail, topic.topic(), encoding, members);
                let part = Part::Listing(Listing { total, members });
                core.mail.enqueue_outcome(Outcome { key, parcels, part });
            }
            // Nobody becomes a member by it, or ceases to be one.
            Delivery::Refused {
                topic,
                encoding,
                who,
                tag,
                error,
            } => {
                let answer = tag.map(|tag| (tag, error));
                let (topics, mail) = (&mut core.topics, &mut core.mail);
                match topics.refused(slots, mail, topic, encoding, who, answer) {
                    JoinRefused::Answered(answer) => self.answer(answer),
                    JoinRefused::TooMany => core.close_for_too_many(who),
                }
            }
            Delivery::Jumped(jumped) => core.topics.jumped(&jumped),
            Delivery::CaughtUp(caught_up) => self.take_range(*caught_up),
            Delivery::Joined(joined) => {
                let answer = core.topics.joined(slots, joined, subscribers);
                self.answer(answer);
            }
            Delivery::Left {
                topic, who, tag, ..
            } => {
                let (topics, mail) = (&mut core.topics, &mut core.mail);
                let answer = topics.left(slots, mail, topic, subscribers, who, tag);
                self.answer(answer);
            }
        }
    }
}
