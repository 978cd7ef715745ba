//! Letters: requests that this shard orders, deliveries for its members, commands from outside.

use super::Shard;
use super::intake::SCRATCH_BYTES_MAX;
use crate::batch::{Turn, Whose};
use crate::confine::discard;
use crate::core::Core;
use crate::driver::Driver;
use crate::events::{Event, EventKind, TopicName};
use crate::home::Welcome;
use crate::letter::{Command, Delivery, Join, Joined, Outcome, Request};
use crate::phase::Phase;
use crate::report::Part;
use crate::topic::TopicKey;
use crate::{Address, Application, CloseReason, Form, Listing, Note, RoomError, Ticket};

/// Commands obeyed per tick.
const COMMANDS_PER_TICK: usize = 1024;
/// Requests, and deliveries, taken per tick.
const LETTERS_PER_TICK: usize = 4096;
/// Letters taken from one lane before the next has its turn.
const LETTERS_PER_LANE: usize = 64;

impl<A: Application, D: Driver> Shard<A, D> {
    /// Commands wait in their bounded queue while a lane is full, like everything else that would post requests, and while as many
    /// answers are under way to other threads as may be.
    pub(super) fn obey(&mut self) {
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
                Command::Tell { who, note } => self.tell(who, note),
                Command::Admit { who, note } => self.decide(who, note),
                Command::ReplaceTls { listener, tls } => self.core.secure.replace(listener, tls),
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

    fn tell(&mut self, who: Ticket, note: Note) {
        if self.core.connections.phase(who) != Phase::Open {
            if discard(note).is_err() {
                self.core.note_panic(None);
            }
            return;
        }
        self.call(who, None, |application, context, session| {
            application.told(context, session, note)
        });
        self.after_call();
    }

    /// After a call of the application that nothing came before in this tick: it may have ended connections, and said much.
    pub(super) fn after_call(&mut self) {
        self.tell_ended();
        if self.core.outgoing.scratch_bytes() > SCRATCH_BYTES_MAX {
            self.flush();
        }
    }

    pub(super) fn take_requests(&mut self) {
        for count in 1..=LETTERS_PER_TICK {
            let Some(request) = self.core.mail.next_request() else {
                break;
            };
            self.handle(request);
            if count % LETTERS_PER_LANE == 0 {
                self.core.mail.rotate();
            }
        }
    }

    fn handle(&mut self, request: Request) {
        let core = &mut self.core;
        match request {
            Request::Join(join) => core.order_join(join),
            Request::Leave {
                topic,
                who,
                form,
                tag,
            } => {
                core.order_leave(&topic, form, who);
                let left = Delivery::Left {
                    topic,
                    form,
                    who: who.ticket,
                    tag,
                };
                core.mail.deliver(who.shard, left);
            }
            Request::Depart { topics, who, form } => {
                for topic in &topics {
                    core.order_leave(topic, form, who);
                }
            }
            Request::Noted { topic, who } => core.homes.noted(topic, who),
            Request::Publish(publish) => core.order(&publish),
            Request::Query { key, query } => core.answer_query(key, &query),
            Request::List { topic, key } => core.order_list(topic, key),
            Request::Outcome(outcome) => {
                if let Some((asker, answer)) = core.reports.add(outcome) {
                    self.answer_asker(asker, answer);
                }
            }
            Request::Post { to, from, frame } => self.take_post(to, from, &frame),
            Request::Send { to, content } => core.send_one(to, &content),
            Request::Disconnect { who, code, reason } => {
                core.close(who, code, &reason, CloseReason::Application(code));
            }
        }
    }

    /// Takes what has waited for an audience that was served, then what has come. While as much waits as may, nothing more is taken:
    /// that ends with the next audience that was served.
    pub(super) fn take_deliveries(&mut self) {
        if self.core.delayed.has_ready() {
            self.take_delayed();
        }
        for count in 1..=LETTERS_PER_TICK {
            if self.core.delayed.is_full() {
                break;
            }
            let Some(delivery) = self.core.mail.next_delivery() else {
                break;
            };
            self.take_delivery(delivery);
            if count % LETTERS_PER_LANE == 0 {
                self.core.mail.rotate();
            }
        }
        self.core.seal_all();
    }

    /// Goes on with audiences that were served, until something is on its way to them again.
    fn take_delayed(&mut self) {
        let mut left = LETTERS_PER_TICK;
        while let Some(whose) = self.core.delayed.pop_ready() {
            while self.core.batch(whose).turn == Turn::Next {
                if left == 0 {
                    self.core.delayed.push_ready(whose);
                    return;
                }
                left -= 1;
                let Some(delivery) = self.core.delayed.pop(whose) else {
                    self.core.be_free(whose);
                    break;
                };
                if let Some(again) = self.act_on(Some(whose), delivery) {
                    self.core.delayed.push_front(whose, again);
                }
            }
        }
    }

    /// A delivery waits while an earlier message of its audience is still going out, so that every member sees one order. Those for
    /// other audiences do not.
    fn take_delivery(&mut self, delivery: Delivery) {
        let whose = self.core.whose(&delivery);
        if let Some(whose) = whose {
            let waits = self.core.batch(whose).turn != Turn::Free;
            if waits {
                self.core.delayed.push(whose, delivery);
                return;
            }
            if let Some(again) = self.act_on(Some(whose), delivery) {
                self.core.delayed.push_front(whose, again);
            }
        } else {
            self.act_on(None, delivery);
        }
    }

    /// Returns the delivery if something has to go out before it.
    fn act_on(&mut self, whose: Option<Whose>, delivery: Delivery) -> Option<Delivery> {
        let changes_members = matches!(delivery, Delivery::Joined(_) | Delivery::Left { .. });
        if changes_members && whose.is_some_and(|whose| self.core.seal(whose, None)) {
            return Some(delivery);
        }
        match delivery {
            Delivery::Message(parcel) => {
                return self.core.collect(whose, parcel).map(Delivery::Message);
            }
            Delivery::Posted { who, outcome } => self.posted(who, outcome),
            Delivery::Unsaid {
                form,
                except,
                key,
                parcels,
            } => {
                let part = Part::Report(self.core.count_unsaid(form, except));
                self.core.mail.owe(Outcome { key, parcels, part });
            }
            // Members do not change by it, so what goes to them need not have left.
            Delivery::List {
                topic,
                form,
                key,
                parcels,
                total,
                members,
            } => {
                let members = self.core.name_members(topic.topic(), form, members);
                let part = Part::Listing(Listing { total, members });
                self.core.mail.owe(Outcome { key, parcels, part });
            }
            // Nobody becomes a member by it, or ceases to be one.
            Delivery::Refused {
                topic,
                form,
                who,
                tag,
                error,
            } => {
                let answer = tag.map(|tag| (tag, error));
                let answer = self.core.refused(topic, form, who, answer);
                self.answer(answer);
            }
            Delivery::Joined(joined) => {
                let answer = self.core.joined(joined);
                self.answer(answer);
            }
            Delivery::Left {
                topic,
                form,
                who,
                tag,
            } => {
                let answer = self.core.left(topic, form, who, tag);
                self.answer(answer);
            }
        }
        None
    }
}

impl Core {
    /// As home: a connection becomes a member, if the room is not full.
    fn order_join(&mut self, join: Join) {
        let welcome = self.homes.join(&join);
        let Join {
            topic,
            who,
            form,
            tag,
            ..
        } = join;
        if let Welcome::Member {
            members,
            counted: true,
        } = welcome
        {
            self.tell_of_join(&topic, who, members);
        }
        let delivery = match welcome {
            Welcome::Member { members, counted } => Delivery::Joined(Joined {
                topic,
                form,
                who: who.ticket,
                tag,
                members,
                counted,
            }),
            Welcome::Full => Delivery::Refused {
                topic,
                form,
                who: who.ticket,
                tag,
                error: RoomError::Full,
            },
        };
        self.mail.deliver(who.shard, delivery);
    }

    fn tell_of_join(&mut self, topic: &TopicKey, member: Address, members: u32) {
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
    fn order_leave(&mut self, topic: &TopicKey, form: Form, member: Address) {
        let Some(members) = self.homes.leave(topic, form, member) else {
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
