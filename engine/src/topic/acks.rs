//! Acknowledgements: up to where each member that acknowledges has a topic whose log asks for it,
//! when the others are late, and the reports that wait for them.
//!
//! Invariant: every member that acknowledges stands here once; deadlines are kept for all members
//! together, so a publication costs nothing for each of them. A look at those who are late meets
//! every member that is one all the while. Used by `core/acknowledging`.

use crate::driver::boundary::Millis;
use crate::query::gather::{Outcome, Part, QueryKey};
use crate::topic::log::jumps::Jumps;
use crate::topic::log::options::{AckOptions, LogOptions};
use crate::types::answer::Report;
use crate::types::ticket::Ticket;
use foldhash::quality::RandomState;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// When what is not acknowledged is sent again, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AckRule {
    pub(crate) timeout_ms: Millis,
    pub(crate) attempts_max: u32,
}

/// The members of one topic on this shard that acknowledge.
#[derive(Debug)]
pub(crate) struct Acks {
    rule: AckRule,
    /// The ordinal of the newest publication that went to the members.
    last: u64,
    /// From what some member has not acknowledged on.
    jumps: Jumps,
    /// So many make a look for what nobody needs any more worth while.
    jumps_before_look: usize,
    members: Vec<AckMember>,
    /// By slot, where in `members`.
    places: HashMap<u32, u32, RandomState>,
    /// When what was published has to be acknowledged, soonest first.
    marks: VecDeque<Mark>,
    /// The members before `next` are looked at.
    look: Option<Look>,
    /// In the order of their ordinals, and of their deadlines.
    reports: VecDeque<AwaitedReport>,
    /// When it is looked at next, as [`AckTimes`] knows it.
    scheduled: Option<Millis>,
}

#[derive(Debug)]
struct AckMember {
    who: Ticket,
    /// It has everything up to here.
    acked: u64,
    /// How often it was sent what comes next again, up to `tried`.
    attempts: u32,
    tried: u64,
    /// It is not late again before.
    not_before: Millis,
}

/// What was published in some time has to be acknowledged by another.
#[derive(Debug)]
struct Mark {
    since: Millis,
    due: Millis,
    ordinal: u64,
}

/// Who has not acknowledged up to this ordinal is late.
#[derive(Clone, Copy, Debug)]
struct Look {
    ordinal: u64,
    next: usize,
}

/// This shard's part of a report that waits for acknowledgements.
#[derive(Debug)]
pub(crate) struct AwaitedReport {
    pub(crate) ordinal: u64,
    pub(crate) key: QueryKey,
    pub(crate) parcels: u16,
    pub(crate) report: Report,
    /// Who is not sent it.
    except: Option<Ticket>,
    /// Members that have yet to acknowledge it.
    missing: u32,
    due: Millis,
}

/// What becomes of a member that is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// It is sent everything again from this ordinal on.
    Again(u64),
    /// It was sent so many often enough, and is not sent them again.
    GivenUp(u64),
}

impl AckRule {
    pub(crate) fn of(options: AckOptions) -> AckRule {
        AckRule {
            timeout_ms: options.timeout.as_millis() as Millis,
            attempts_max: options.attempts_max,
        }
    }

    /// What is published within so much time has one deadline: an eighth of the timeout.
    fn window_ms(self) -> Millis {
        (self.timeout_ms / 8).max(1)
    }
}

impl Acks {
    /// Marks that a topic may have: those of one timeout, and some more where its members could not
    /// be looked at in time.
    const MARKS_MAX: usize = 16;
    /// Jumps of offsets that are known; of more, the oldest is forgotten, and what is acknowledged
    /// of that time does not count: it is sent again.
    const JUMPS_MAX: usize = *LogOptions::PUBLICATIONS.end() as usize;
    /// So many are kept without a look for what nobody needs any more.
    const JUMPS_BEFORE_LOOK: usize = 64;

    pub(crate) fn new(rule: AckRule) -> Acks {
        Acks {
            rule,
            last: 0,
            jumps: Jumps::default(),
            jumps_before_look: Self::JUMPS_BEFORE_LOOK,
            members: Vec::new(),
            places: HashMap::default(),
            marks: VecDeque::new(),
            look: None,
            reports: VecDeque::new(),
            scheduled: None,
        }
    }

    /// A connection becomes a member, which has everything up to an ordinal, of a log whose newest
    /// publication has the ordinal `last` and whose offsets jump like this. What is between them it
    /// is sent first.
    pub(crate) fn insert(&mut self, who: Ticket, acked: u64, last: u64, jumps: Jumps) {
        debug_assert!(acked <= last);
        match self.members.is_empty() {
            true => self.jumps = jumps,
            false => self.jumps.learn(jumps),
        }
        self.last = self.last.max(last);
        self.places.insert(who.slot, self.members.len() as u32);
        self.members.push(AckMember {
            who,
            acked,
            attempts: 0,
            tried: 0,
            not_before: 0,
        });
    }

    /// It is a member no more: nobody waits for it. Reports that are complete by that are appended.
    pub(crate) fn remove(&mut self, who: Ticket, done: &mut Vec<Outcome>) {
        let Some(index) = self.places.remove(&who.slot) else {
            return;
        };
        let mut index = index as usize;
        let acked = self.members[index].acked;
        // Those before the look's place have been looked at, and no others.
        if let Some(look) = self.look.as_mut().filter(|look| index < look.next) {
            look.next -= 1;
            if index != look.next {
                self.members.swap(index, look.next);
                let moved = self.members[index].who.slot;
                self.places.insert(moved, index as u32);
                index = look.next;
            }
        }
        self.members.swap_remove(index);
        if let Some(moved) = self.members.get(index) {
            self.places.insert(moved.who.slot, index as u32);
        }
        self.settle(who, acked, u64::MAX, 0);
        self.take_done(done);
        if self.members.is_empty() {
            self.marks.clear();
            self.look = None;
            done.extend(self.reports.drain(..).map(|report| outcome_of(&report)));
        }
    }

    /// A member has everything of these ordinals, or is not waited for any more: reports of them
    /// count it as so many that have acknowledged.
    fn settle(&mut self, who: Ticket, after: u64, until: u64, acknowledged: u32) {
        let first = self
            .reports
            .partition_point(|report| report.ordinal <= after);
        let settled = self.reports.range_mut(first..);
        let settled = settled.take_while(|report| report.ordinal <= until);
        for report in settled.filter(|report| report.except != Some(who)) {
            report.report.acknowledged += acknowledged;
            report.missing = report.missing.saturating_sub(1);
        }
    }

    /// The next publication has this ordinal and this offset.
    pub(crate) fn jump(&mut self, ordinal: u64, offset: u64) {
        self.jumps.push(ordinal, offset);
        if self.jumps.len() > self.jumps_before_look {
            let acked = self.members.iter().map(|member| member.acked).min();
            self.jumps.forget_before(acked.unwrap_or(ordinal));
            self.jumps_before_look = Self::JUMPS_BEFORE_LOOK.max(2 * self.jumps.len());
        }
        if self.jumps.len() > Self::JUMPS_MAX {
            self.jumps.forget_oldest();
        }
    }

    /// Something was published here.
    pub(crate) fn reach(&mut self, ordinal: u64, now: Millis) {
        self.last = self.last.max(ordinal);
        self.mark(now);
    }

    /// A member has been sent the log up to its end. If it has joined with a part of that, it has
    /// its whole time from now on, whenever the others have to acknowledge.
    pub(crate) fn caught_up(&mut self, who: Ticket, now: Millis) {
        if let Some(place) = self.places.get(&who.slot) {
            let member = &mut self.members[*place as usize];
            if member.not_before == 0 {
                member.not_before = now + self.rule.timeout_ms;
            }
        }
        self.mark(now);
    }

    /// What was published up to now has its deadline from now on.
    pub(crate) fn mark(&mut self, now: Millis) {
        if self.members.is_empty() {
            return;
        }
        let (window, ordinal) = (self.rule.window_ms(), self.last);
        let is_full = self.marks.len() >= Self::MARKS_MAX;
        match self.marks.back_mut() {
            Some(mark) if now < mark.since + window => mark.ordinal = ordinal,
            Some(mark) if is_full => {
                (mark.ordinal, mark.due) = (ordinal, now + window + self.rule.timeout_ms);
            }
            Some(_) | None => self.marks.push_back(Mark {
                since: now,
                due: now + window + self.rule.timeout_ms,
                ordinal,
            }),
        }
    }

    /// A member has everything up to an offset, by its own word. Reports that are complete by that
    /// are appended. How many publications it said it of.
    pub(crate) fn acknowledge(&mut self, who: Ticket, offset: u64, done: &mut Vec<Outcome>) -> u64 {
        let ordinal = self.jumps.up_to(offset).min(self.last);
        let Some(before) = self.advance(who, ordinal) else {
            return 0;
        };
        self.settle(who, before, ordinal, 1);
        self.take_done(done);
        ordinal - before
    }

    /// A member need not acknowledge anything up to an ordinal: it is not sent it any more.
    pub(crate) fn excuse(&mut self, who: Ticket, ordinal: u64, done: &mut Vec<Outcome>) {
        if let Some(before) = self.advance(who, ordinal.min(self.last)) {
            self.settle(who, before, ordinal, 0);
            self.take_done(done);
        }
    }

    fn advance(&mut self, who: Ticket, ordinal: u64) -> Option<u64> {
        let member = &mut self.members[*self.places.get(&who.slot)? as usize];
        if ordinal <= member.acked {
            return None;
        }
        member.attempts = 0;
        Some(std::mem::replace(&mut member.acked, ordinal))
    }

    /// A report waits until everybody has acknowledged its publication, but one who is not sent it,
    /// or until that is late.
    pub(crate) fn wait(
        &mut self,
        outcome: Outcome,
        ordinal: u64,
        except: Option<Ticket>,
        now: Millis,
        done: &mut Vec<Outcome>,
    ) {
        let Part::Report(report) = outcome.part else {
            return done.push(outcome);
        };
        let awaited = self.members.iter();
        let awaited = awaited.filter(|it| it.acked < ordinal && Some(it.who) != except);
        self.reports.push_back(AwaitedReport {
            ordinal,
            key: outcome.key,
            parcels: outcome.parcels,
            report,
            except,
            missing: awaited.count() as u32,
            due: now + self.rule.timeout_ms,
        });
        self.take_done(done);
    }

    fn take_done(&mut self, done: &mut Vec<Outcome>) {
        if self.reports.iter().any(|report| report.missing == 0) {
            let complete = |report: &AwaitedReport| report.missing == 0;
            done.extend(
                self.reports
                    .iter()
                    .filter(|it| complete(it))
                    .map(outcome_of),
            );
            self.reports.retain(|report| !complete(report));
        }
    }

    /// Appends the reports that have waited for long enough.
    pub(crate) fn expire_reports(&mut self, now: Millis, done: &mut Vec<Outcome>) {
        while let Some(report) = self.reports.pop_front_if(|report| report.due <= now) {
            done.push(outcome_of(&report));
        }
    }

    /// The next member that is late by now, and how many members were looked at for it. `None`:
    /// there is no further one, or `budget` members were looked at.
    pub(crate) fn next_late(&mut self, now: Millis, budget: &mut usize) -> Option<Ticket> {
        loop {
            let look = match &mut self.look {
                Some(look) => look,
                None => {
                    let mark = self.marks.pop_front_if(|mark| mark.due <= now)?;
                    let (ordinal, next) = (mark.ordinal, 0);
                    self.look.insert(Look { ordinal, next })
                }
            };
            while let Some(member) = self.members.get(look.next) {
                if *budget == 0 {
                    return None;
                }
                *budget -= 1;
                look.next += 1;
                if member.acked < look.ordinal && member.not_before <= now {
                    return Some(member.who);
                }
            }
            self.look = None;
        }
    }

    /// What becomes of a member that is late.
    pub(crate) fn late(&mut self, who: Ticket, now: Millis) -> Option<Late> {
        let member = &mut self.members[*self.places.get(&who.slot)? as usize];
        member.not_before = now + self.rule.timeout_ms;
        if member.attempts == 0 {
            member.tried = self.last;
        }
        if member.attempts < self.rule.attempts_max {
            member.attempts += 1;
            return Some(Late::Again(member.acked + 1));
        }
        let given_up = member.tried - member.acked;
        (member.acked, member.attempts) = (member.tried, 0);
        Some(Late::GivenUp(given_up))
    }

    /// The ordinal of the newest publication that went to the members.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    fn next_due(&self) -> Option<Millis> {
        let look = self.look.map(|_| 0);
        let mark = self.marks.front().map(|mark| mark.due);
        let report = self.reports.front().map(|report| report.due);
        [look, mark, report].into_iter().flatten().min()
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check(&self, is_member: impl Fn(Ticket) -> bool) {
        assert_eq!(self.places.len(), self.members.len());
        for (index, member) in self.members.iter().enumerate() {
            assert_eq!(self.places.get(&member.who.slot), Some(&(index as u32)));
            assert!(is_member(member.who), "a stranger acknowledges");
            assert!(member.acked <= self.last);
        }
    }
}

fn outcome_of(report: &AwaitedReport) -> Outcome {
    Outcome {
        key: report.key,
        parcels: report.parcels,
        part: Part::Report(report.report),
    }
}

/// When the topics of a shard look at who is late.
#[derive(Debug, Default)]
pub(crate) struct AckTimes {
    /// With the index of their subscribers.
    times: BTreeSet<(Millis, u32)>,
    /// Whether anybody ever acknowledged anything.
    is_used: bool,
}

impl AckTimes {
    /// Whether a topic may have members that acknowledge.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.is_used
    }

    pub(crate) fn begin_use(&mut self) {
        self.is_used = true;
    }

    /// A topic's next time may have changed; `not_before` bounds it from below.
    pub(crate) fn schedule(&mut self, subscribers: u32, acks: &mut Acks, not_before: Millis) {
        let next = acks.next_due().map(|at| at.max(not_before));
        if next == acks.scheduled {
            return;
        }
        if let Some(at) = std::mem::replace(&mut acks.scheduled, next) {
            self.times.remove(&(at, subscribers));
        }
        if let Some(at) = next {
            self.times.insert((at, subscribers));
        }
    }

    /// A topic's members do not acknowledge any more.
    pub(crate) fn forget(&mut self, subscribers: u32, acks: &Acks) {
        if let Some(at) = acks.scheduled {
            self.times.remove(&(at, subscribers));
        }
    }

    /// A topic whose time has come.
    pub(crate) fn first_due(&self, now: Millis) -> Option<u32> {
        let (at, subscribers) = *self.times.first()?;
        (at <= now).then_some(subscribers)
    }

    pub(crate) fn next(&self) -> Option<Millis> {
        self.times.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests;
