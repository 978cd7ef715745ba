//! Messages: requests that this shard orders, deliveries for its members, commands from outside.

use super::Shard;
use super::intake::SCRATCH_BYTES_MAX;
use crate::batch::{Recipients, Turn};
use crate::confine::discard;
use crate::core::Core;
use crate::driver::Driver;
use crate::events::{Event, EventKind, TopicName};
use crate::home::JoinOutcome;
use crate::message::{Command, Delivery, Join, Joined, Outcome, ShardRequest};
use crate::phase::Phase;
use crate::report::Part;
use crate::topic::TopicKey;
use crate::{Address, Application, CloseReason, EncodingId, Listing, Notice, RoomError, Ticket};

/// Commands obeyed per tick.
const COMMANDS_PER_TICK: usize = 1024;
/// Requests, and deliveries, taken per tick.
const MESSAGES_PER_TICK: usize = 4096;
/// Messages taken from one lane before the next has its turn.
const MESSAGES_PER_LANE: usize = 64;

impl<A: Application, D: Driver> Shard<A, D> {
    /// Commands wait in their bounded queue while a lane is full, like everything else that would post requests, and while as many
    /// answers are under way to other threads as may be.
    pub(super) fn run_commands(&mut self) {
        for _ in 0..COMMANDS_PER_TICK {
            if self.core.mail.is_congested() || self.core.reports.is_full_outside() {
                return;
            }
            let Some(command) = self.core.mail.next_command() else {
                return;
            };
            match command {
                Command::Publish { publish, reply } => {
                    self.core.publish_from_outside(publish, reply);
                }
                Command::List { topic, reply } => self.core.list_from_outside(topic, reply),
                Command::Notify { who, notice } => self.notify(who, notice),
                Command::Admit { who, notice } => self.decide(who, notice),
                Command::ReplaceTls { listener, tls } => self.core.tls.replace(listener, tls),
                Command::Query { query, reply } => self.core.query_from_outside(query, reply),
                Command::Subscribe { subscriber } => self.core.events.add(subscriber),
                Command::Drain {
                    listeners,
                    subscriber,
                } => {
                    self.core.events.admit(subscriber);
                    self.start_drain(listeners);
                }
            }
        }
    }

    fn notify(&mut self, who: Ticket, notice: Notice) {
        if self.core.connections.phase(who) != Phase::Open {
            if discard(notice).is_err() {
                self.core.count_panic(None);
            }
            return;
        }
        self.call(who, None, |application, context, session| {
            application.notified(context, session, notice)
        });
        self.after_call();
    }

    /// After a call of the application that nothing came before in this tick: it may have ended connections, and said much.
    pub(super) fn after_call(&mut self) {
        self.report_ended();
        if self.core.outgoing.scratch_bytes() > SCRATCH_BYTES_MAX {
            self.flush();
        }
    }

    pub(super) fn take_requests(&mut self) {
        for count in 1..=MESSAGES_PER_TICK {
            let Some(request) = self.core.mail.next_request() else {
                break;
            };
            self.handle(request);
            if count % MESSAGES_PER_LANE == 0 {
                self.core.mail.rotate();
            }
        }
    }

    #[inline(never)] // A tick that has none must not set up what they take.
    fn handle(&mut self, request: ShardRequest) {
        let core = &mut self.core;
        match request {
            ShardRequest::Join(join) => core.order_join(join),
            ShardRequest::Leave {
                topic,
                who,
                encoding,
                tag,
            } => {
                core.order_leave(&topic, encoding, who);
                let left = Delivery::Left {
                    topic,
                    encoding,
                    who: who.ticket,
                    tag,
                };
                core.mail.deliver(who.shard, left);
            }
            ShardRequest::LeaveAll {
                topics,
                who,
                encoding,
            } => {
                for topic in &topics {
                    core.order_leave(topic, encoding, who);
                }
            }
            ShardRequest::RefusalAcked { topic, who } => core.homes.refusal_acked(topic, who),
            ShardRequest::Publish(publish) => core.order(&publish),
            ShardRequest::Query { key, query } => core.answer_query(key, &query),
            ShardRequest::List { topic, key } => core.order_list(topic, key),
            ShardRequest::Outcome(outcome) => {
                if let Some((requester, answer)) = core.reports.add(outcome) {
                    self.answer_requester(requester, answer);
                }
            }
            ShardRequest::Post { to, from, frame } => self.take_post(to, from, &frame),
            ShardRequest::Send { to, content } => core.send_one(to, &content),
            ShardRequest::Disconnect { who, code, reason } => {
                core.close(who, code, &reason, CloseReason::Application(code));
            }
        }
    }

    /// Takes what has waited for a set of recipients that was served, then what has come. While as much waits as may, nothing more is taken:
    /// that ends with the next set of recipients that was served.
    pub(super) fn take_deliveries(&mut self) {
        if self.core.delayed.has_ready() {
            self.take_delayed();
        }
        for count in 1..=MESSAGES_PER_TICK {
            if self.core.delayed.is_full() {
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
        self.core.close_batches();
    }

    /// Goes on with sets of recipients that were served, until something is on its way to them again.
    fn take_delayed(&mut self) {
        let mut left = MESSAGES_PER_TICK;
        while let Some(recipients) = self.core.delayed.pop_ready() {
            while self.core.batch(recipients).turn == Turn::Next {
                if left == 0 {
                    self.core.delayed.push_ready(recipients);
                    return;
                }
                left -= 1;
                let Some(delivery) = self.core.delayed.pop(recipients) else {
                    self.core.be_free(recipients);
                    break;
                };
                if let Some(again) = self.act_on(Some(recipients), delivery) {
                    self.core.delayed.push_front(recipients, again);
                }
            }
        }
    }

    /// A delivery waits while an earlier message of its set of recipients is still going out, so that every member sees one order. Those for
    /// other sets of recipients do not.
    #[inline(never)] // As above.
    fn take_delivery(&mut self, delivery: Delivery) {
        let recipients = self.core.recipients(&delivery);
        if let Some(recipients) = recipients {
            let waits = self.core.batch(recipients).turn != Turn::Free;
            if waits {
                self.core.delayed.push(recipients, delivery);
                return;
            }
            if let Some(again) = self.act_on(Some(recipients), delivery) {
                self.core.delayed.push_front(recipients, again);
            }
        } else {
            self.act_on(None, delivery);
        }
    }

    /// Returns the delivery if something has to go out before it.
    fn act_on(&mut self, recipients: Option<Recipients>, delivery: Delivery) -> Option<Delivery> {
        let changes_members = matches!(delivery, Delivery::Joined(_) | Delivery::Left { .. });
        if changes_members
            && recipients.is_some_and(|recipients| self.core.close_batch(recipients, None))
        {
            return Some(delivery);
        }
        match delivery {
            Delivery::Message(parcel) => {
                return self.core.collect(recipients, parcel).map(Delivery::Message);
            }
            Delivery::Posted { who, outcome } => self.posted(who, outcome),
            Delivery::Unencodable {
                encoding,
                except,
                key,
                parcels,
            } => {
                let part = Part::Report(self.core.count_unencodable(encoding, except));
                self.core
                    .mail
                    .enqueue_outcome(Outcome { key, parcels, part });
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
                let members = self.core.name_members(topic.topic(), encoding, members);
                let part = Part::Listing(Listing { total, members });
                self.core
                    .mail
                    .enqueue_outcome(Outcome { key, parcels, part });
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
                let answer = self.core.refused(topic, encoding, who, answer);
                self.answer(answer);
            }
            Delivery::Joined(joined) => {
                let answer = self.core.joined(joined);
                self.answer(answer);
            }
            Delivery::Left {
                topic,
                encoding,
                who,
                tag,
            } => {
                let answer = self.core.left(topic, encoding, who, tag);
                self.answer(answer);
            }
        }
        None
    }
}

impl Core {
    /// As home: a connection becomes a member, if the room is not full.
    fn order_join(&mut self, join: Join) {
        let outcome = self.homes.join(&join);
        let Join {
            topic,
            who,
            encoding,
            tag,
            ..
        } = join;
        if let JoinOutcome::Member {
            members,
            counted: true,
        } = outcome
        {
            self.emit_join(&topic, who, members);
        }
        let delivery = match outcome {
            JoinOutcome::Member { members, counted } => Delivery::Joined(Joined {
                topic,
                encoding,
                who: who.ticket,
                tag,
                members,
                counted,
            }),
            JoinOutcome::Full => Delivery::Refused {
                topic,
                encoding,
                who: who.ticket,
                tag,
                error: RoomError::Full,
            },
        };
        self.mail.deliver(who.shard, delivery);
    }

    fn emit_join(&mut self, topic: &TopicKey, member: Address, members: u32) {
        if members == 1 {
            self.events.emit(EventKind::TopicActive, || {
                let topic = TopicName::of(topic);
                Event::TopicActive { topic }
            });
        }
        self.events.emit(EventKind::Joined, || Event::Joined {
            topic: TopicName::of(topic),
            member,
            members,
        });
    }

    /// As home: a connection is no member any more, if it was one.
    fn order_leave(&mut self, topic: &TopicKey, encoding: EncodingId, member: Address) {
        let Some(members) = self.homes.leave(topic, encoding, member) else {
            return;
        };
        self.events.emit(EventKind::Left, || Event::Left {
            topic: TopicName::of(topic),
            member,
            members,
        });
        if members == 0 {
            self.events.emit(EventKind::TopicIdle, || {
                let topic = TopicName::of(topic);
                Event::TopicIdle { topic }
            });
        }
    }
}
