//! A home's part where a topic's order is not its own: publications are handed to the sequencer and
//! published when they come back with their places, and who needs the topic's log waits until it is
//! there.
//!
//! Invariant: the log of such a topic has what the sequencer's has, from some offset on without a
//! gap, and nobody is told a position of it before it is ready. Called for the requests that this
//! shard orders.

use crate::driver::boundary::Millis;
use crate::message::delivery::{Delivery, Jumped};
use crate::message::request::{Join, PublishRequest, ShardRequest};
use crate::query::gather::{Outcome, Part};
use crate::topic::held::EndOfWait;
use crate::topic::keep::{GivenPlace, Keep};
use crate::topic::key::{TopicKey, TopicName};
use crate::topic::log::options::LogClass;
use crate::topic::log::step::LogStep;
use crate::topic::log::topic_log::Arrival;
use crate::topic::order::enqueue_report;
use crate::topic::outlet::Outlet;
use crate::topic::publication::{Content, KeptAt, Position};
use crate::topic::sequencer::{Publisher, ToSequence, Unsequenced};
use crate::topic::topics::Topics;
use crate::types::answer::Report;
use crate::types::history::{History, Since};
use crate::types::room_error::RoomError;

impl Topics {
    /// Whether a topic may be ordered elsewhere.
    #[inline]
    pub(crate) fn has_sequencer(&self) -> bool {
        self.sequencing.sequencer.is_some()
    }

    /// Whether this is a publication without the place that it needs.
    pub(crate) fn is_unsequenced(&self, publish: &PublishRequest) -> bool {
        let kept = publish.content.kept();
        kept.is_some_and(|(keep, _)| keep.place.is_none() && self.logs.is_sequenced(keep.class))
    }

    /// Has a publication get its place. Its publisher hears of it once it has it, or at once that
    /// it gets none.
    #[cold]
    pub(super) fn hand_to_sequencer(&mut self, outlet: &mut Outlet<'_>, publish: PublishRequest) {
        let PublishRequest {
            topic,
            content,
            except,
            report,
        } = publish;
        let is_data = content.publication(None).is_some();
        let (Some(topic), Some((keep, _))) = (&topic, content.kept()) else {
            return;
        };
        let unsequenced = ToSequence::Publication(Unsequenced {
            topic: TopicName::of(topic),
            class: keep.class,
            except,
            publisher: report.map(Publisher),
            content,
        });
        let sequencer = self.sequencing.sequencer.as_ref().filter(|_| is_data);
        if sequencer.is_some_and(|sequencer| sequencer.ask(unsequenced).is_ok()) {
            return;
        }
        outlet.counters.publishes_refused.add(1);
        if let Some(key) = report {
            enqueue_report(outlet.mail, key, 1, Report::unavailable());
        }
    }

    /// Publishes what has come back with its place.
    pub(super) fn order_placed(
        &mut self,
        outlet: &mut Outlet<'_>,
        publish: &PublishRequest,
        topic: &TopicKey,
        kept: (&Keep, &Content),
        place: &GivenPlace,
    ) {
        let now = outlet.now;
        let found = self.logs.get(topic.topic(), now, |log, options| {
            let jumps = options.acks.is_some() && log.jumps_at(place.offset);
            (log.arrival(place), log.next_ordinal(), jumps)
        });
        let Some((arrival, ordinal, jumps)) = found else {
            outlet.counters.publishes_repeated.add(1);
            return;
        };
        let at = KeptAt {
            position: Position {
                epoch: place.epoch,
                offset: place.offset,
            },
            ordinal,
        };
        match arrival {
            Arrival::Next => {
                if jumps {
                    self.tell_jump(outlet, topic, at);
                }
                let known = Some(Report::default());
                self.keep_at(outlet, publish, topic, kept, at, known);
            }
            Arrival::Unready => self.keep_at(outlet, publish, topic, kept, at, None),
            // There is nobody to whom it could go, or it was there before.
            Arrival::Gap => {
                self.ask_for_log(topic, now);
            }
            Arrival::Stray => outlet.counters.publishes_repeated.add(1),
        }
    }

    /// The offsets of a topic jump: shards whose members acknowledge by them must know.
    #[cold]
    fn tell_jump(&self, outlet: &mut Outlet<'_>, topic: &TopicKey, at: KeptAt) {
        for pair in self.homes.interest(topic.topic()) {
            let jumped = Jumped {
                topic: topic.clone(),
                encoding: pair.encoding,
                ordinal: at.ordinal,
                offset: at.position.offset,
            };
            outlet
                .mail
                .deliver(pair.shard, Delivery::Jumped(Box::new(jumped)));
        }
    }

    /// Does a step with the log of a topic.
    #[cold]
    pub(crate) fn step_log(&mut self, outlet: &mut Outlet<'_>, topic: &TopicKey, step: LogStep) {
        let (name, now) = (topic.topic(), outlet.now);
        match step {
            LogStep::Halt => {
                self.logs.get(name, now, |log, _| log.is_ready = false);
            }
            LogStep::Begin { epoch, next } => {
                // What members are in the middle of does not begin anew.
                let is_in_use = self.homes.members(name) > 0;
                let begun = self.logs.get(name, now, |log, _| {
                    let begins = !log.is_ready || !is_in_use;
                    if begins {
                        log.begin(epoch, next);
                    }
                    begins
                });
                if begun == Some(false) {
                    self.ask_for_log(topic, now);
                }
            }
            LogStep::Ready => {
                self.logs.get(name, now, |log, _| log.is_ready = true);
                self.sequencing.held.release(topic, EndOfWait::Go);
            }
            LogStep::Refuse => self.sequencing.held.release(topic, EndOfWait::Refuse),
            LogStep::End => {
                if self.homes.members(name) == 0 && !self.sequencing.held.has(topic) {
                    self.logs.end(name);
                } else {
                    self.ask_for_log(topic, now);
                }
            }
        }
    }

    /// Has the sequencer look at what the topic's log has. Where that finds no room, the next
    /// publication asks again.
    fn ask_for_log(&mut self, topic: &TopicKey, now: Millis) -> bool {
        let known = self.logs.get(topic.topic(), now, |log, _| {
            (log.class, log.is_ready.then(|| log.position()))
        });
        let (Some((class, has)), Some(sequencer)) = (known, &self.sequencing.sequencer) else {
            return false;
        };
        let topic = TopicName::of(topic);
        let log = ToSequence::Log { topic, class, has };
        sequencer.ask(log).is_ok()
    }

    /// Holds a request back whose topic's log is not there, or behind what somebody knows of it.
    /// Returns it otherwise, as far as it can be handled.
    pub(crate) fn hold(
        &mut self,
        outlet: &mut Outlet<'_>,
        request: ShardRequest,
    ) -> Option<ShardRequest> {
        match request {
            ShardRequest::Join(join) => {
                let since = join.since.as_deref().copied();
                let class = self.awaited_class(outlet, &join.topic, join.log, since);
                let Some(class) = class else {
                    return Some(ShardRequest::Join(join));
                };
                let topic = join.topic.clone();
                self.wait(outlet, &topic, class, ShardRequest::Join(join));
                None
            }
            ShardRequest::History {
                ref topic,
                class,
                ref query,
                ..
            } => {
                let (topic, since) = (topic.clone(), query.since);
                match self.awaited_class(outlet, &topic, Some(class), since) {
                    Some(class) => {
                        self.wait(outlet, &topic, class, request);
                        None
                    }
                    None => Some(request),
                }
            }
            ShardRequest::Leave { ref topic, who, .. }
                if self.sequencing.held.has_join(topic, who) =>
            {
                let topic = topic.clone();
                self.sequencing.held.push(&topic, request);
                None
            }
            ShardRequest::LeaveAll {
                topics,
                who,
                encoding,
                may_return,
            } => {
                let held = &mut self.sequencing.held;
                let leave = |topics| ShardRequest::LeaveAll {
                    topics,
                    who,
                    encoding,
                    may_return,
                };
                let waits = |topic: &TopicKey| held.has_join(topic, who);
                let (waiting, others): (Vec<_>, Vec<_>) = topics.into_iter().partition(waits);
                for topic in waiting {
                    held.push(&topic, leave(vec![topic.clone()]));
                }
                (!others.is_empty()).then(|| leave(others))
            }
            request => Some(request),
        }
    }

    /// The class of the topic's log, if who needs it must wait for it.
    fn awaited_class(
        &mut self,
        outlet: &Outlet<'_>,
        topic: &TopicKey,
        class: Option<LogClass>,
        since: Option<Since>,
    ) -> Option<LogClass> {
        let class = class.filter(|class| self.logs.is_sequenced(*class))?;
        let is_there = !self.sequencing.held.has(topic)
            && self.logs.get(topic.topic(), outlet.now, |log, _| {
                log.is_ready && since.is_none_or(|since| log.reaches(since))
            }) == Some(true);
        (!is_there).then_some(class)
    }

    fn wait(
        &mut self,
        outlet: &mut Outlet<'_>,
        topic: &TopicKey,
        class: LogClass,
        request: ShardRequest,
    ) {
        let now = outlet.now;
        let can_wait = match self.sequencing.held.has(topic) {
            true => !self.sequencing.held.is_full(topic),
            false => {
                self.logs.open(topic, class, now, |_, _| {});
                self.ask_for_log(topic, now)
            }
        };
        match can_wait {
            true => self.sequencing.held.push(topic, request),
            false => self.refuse(outlet, request),
        }
    }

    /// One request has waited, and does so no more. `Some`: it is to be handled as any other.
    pub(crate) fn end_wait(
        &mut self,
        outlet: &mut Outlet<'_>,
        request: ShardRequest,
        how: EndOfWait,
    ) -> Option<ShardRequest> {
        let topic = match &request {
            ShardRequest::Join(join) => &join.topic,
            ShardRequest::History { topic, .. } => topic,
            _ => return Some(request),
        };
        // One that is not there any more was not needed for long.
        let is_ready = self
            .logs
            .get(topic.topic(), outlet.now, |log, _| log.is_ready);
        if how == EndOfWait::Go && is_ready == Some(true) {
            return Some(request);
        }
        self.refuse(outlet, request);
        None
    }

    /// There is no log to answer this from.
    fn refuse(&mut self, outlet: &mut Outlet<'_>, request: ShardRequest) {
        match request {
            ShardRequest::Join(join) => self.refuse_join(outlet, join),
            ShardRequest::History { key, .. } => {
                let nothing = Box::new(History::unavailable());
                let (part, parcels) = (Part::History(Some(nothing)), 1);
                outlet.mail.enqueue_outcome(Outcome { key, parcels, part });
            }
            other => unreachable!("it waits for no log: {other:?}"),
        }
    }

    fn refuse_join(&mut self, outlet: &mut Outlet<'_>, join: Join) {
        if !self.homes.refuse_join(&join) {
            // It is a member, and only asks.
            return self.order_join(outlet, join);
        }
        let (shard, who) = (join.who.shard, join.who.ticket);
        let refused = Delivery::Refused {
            topic: join.topic,
            encoding: join.encoding,
            who,
            tag: join.tag,
            error: RoomError::Unavailable,
        };
        outlet.mail.deliver(shard, refused);
    }
}
