//! The logs of the topics that this shard is home to.
//!
//! Invariant: a log exists from the first publication, join or query that asks for one, until its
//! topic has no members, it has no entries, and either its epoch's time is over or too many such
//! logs exist: then the one that has been of no use for longest goes. So names that strangers ask
//! for cost a bounded number of logs, and never push out one that is in use. Used by
//! `topic/history` and when members join and leave.

use crate::config::Config;
use crate::driver::boundary::Millis;
use crate::topic::keep::Placement;
use crate::topic::key::{PerKind, Topic, TopicKey, TopicName};
use crate::topic::log::journal::{Journal, LogRecord, RestoredLog};
use crate::topic::log::map_books::MapBooks;
use crate::topic::log::options::{Durability, KeptFor, LogClass, LogOptions, LogOrder};
use crate::topic::log::topic_log::{Log, Usage};
use crate::types::shrink::shrink_map;
use crate::types::ticket::Address;
use foldhash::quality::{FixedState, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

/// Every log of one shard.
#[derive(Debug)]
pub(crate) struct Logs {
    options: Box<[LogOptions]>,
    /// The way to the store, if there is one.
    journal: Option<Journal>,
    /// Whether the way was full when it was last looked at: some log may have more to tell.
    is_journal_full: bool,
    unused_max: usize,
    /// Logs of [`KeptFor::Absent`], and how many there may be.
    absent_count: usize,
    absent_max: usize,
    /// What epochs are made of: nobody can say which one a later process will have.
    seed: u64,
    pub(crate) made: u64,
    names: PerKind<HashMap<Arc<str>, u32, RandomState>>,
    logs: Vec<Option<Box<Log>>>,
    free: Vec<u32>,
    /// Those that nobody needs, longest unused first. One that was used since has another number.
    unused: VecDeque<(u32, u64)>,
    /// Logs that stand in `unused` with their number.
    unused_count: usize,
    numbers: u64,
    /// Of all logs; and of those that are maps.
    bytes: u64,
    maps: MapBooks,
    bytes_max: u64,
    /// Where the search for a large log goes on.
    clock: usize,
    /// When the next look at all logs begins, and how far this one has come.
    look_at: Millis,
    looked: usize,
}

/// Places of the queue of unused logs that may be out of date, beyond as many as there are.
const UNUSED_SLACK: usize = 64;
/// Epochs have 60 bits, and are never 0.
const EPOCH_MASK: u64 = (1 << 60) - 1;

impl Logs {
    /// Logs that one tick looks at for what is too old.
    const LOOKS_PER_TICK: usize = 256;
    /// Logs of which the largest is trimmed.
    const SAMPLE: usize = 8;
    /// Logs that are trimmed, to half, for one publication.
    const TRIMS_MAX: usize = 64;
    /// What a store is told of one log at once.
    const RECORDS_AT_ONCE: usize = 64;
    /// From the end of a look at all logs to the next, in milliseconds.
    const LOOK_EVERY_MS: Millis = 1_000;

    pub(crate) fn new(config: &Config, seed: u64, shard: u16) -> Logs {
        Logs {
            options: config.logs.as_slice().into(),
            journal: config.journal.clone(),
            is_journal_full: false,
            unused_max: config.logs_max,
            absent_count: 0,
            absent_max: config.user_logs_max,
            bytes_max: (config.logs_bytes_max / config.shards) as u64,
            clock: 0,
            seed: FixedState::with_seed(seed).hash_one(("logs", shard)),
            made: 0,
            names: PerKind::default(),
            logs: Vec::new(),
            free: Vec::new(),
            unused: VecDeque::new(),
            unused_count: 0,
            numbers: 0,
            bytes: 0,
            maps: MapBooks::default(),
            look_at: 0,
            looked: 0,
        }
    }

    /// Whether there is a class of logs; otherwise none ever exists.
    pub(crate) fn has_classes(&self) -> bool {
        !self.options.is_empty()
    }

    /// Logs that exist.
    pub(crate) fn count(&self) -> usize {
        self.logs.len() - self.free.len()
    }

    /// What they hold: frames, publications, and what was encoded of them for readers.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Acts on the log of a topic, which is without what is too old by now. `None`: there is none.
    pub(crate) fn get<R>(
        &mut self,
        topic: Topic<'_>,
        now: Millis,
        act: impl FnOnce(&mut Log, &LogOptions) -> R,
    ) -> Option<R> {
        let index = *self.names[topic.kind()].get(topic.name())?;
        Some(self.at(index, now, act))
    }

    /// Acts on the log of a topic, made if there is none. `None`: there is no such class.
    pub(crate) fn open<R>(
        &mut self,
        topic: &TopicKey,
        class: LogClass,
        now: Millis,
        act: impl FnOnce(&mut Log, &LogOptions) -> R,
    ) -> Option<R> {
        let known = self.names[topic.kind()].get(topic.name()).copied();
        let index = match known {
            Some(index) => index,
            None if class.index() < self.options.len() => self.make(topic, class),
            None => return None,
        };
        let result = self.at(index, now, act);
        self.drop_beyond_max();
        Some(result)
    }

    fn at<R>(
        &mut self,
        index: u32,
        now: Millis,
        act: impl FnOnce(&mut Log, &LogOptions) -> R,
    ) -> R {
        let log = self.logs[index as usize].as_mut();
        let log = log.expect("a name leads to a log");
        let options = &self.options[log.class.index()];
        let (before, map_before) = (log.bytes() as u64, log.map.bytes() as u64);
        log.expire(options, now);
        let result = act(log, options);
        self.bytes = self.bytes + log.bytes() as u64 - before;
        self.maps.bytes = self.maps.bytes + log.map.bytes() as u64 - map_before;
        if self.journal.is_some() {
            self.store(index, now);
        }
        self.settle(index, now);
        result
    }

    /// What becomes of a publication that asks for a log of this class, where its topic has so many
    /// members.
    pub(crate) fn placement(&self, topic: Topic<'_>, class: LogClass, members: u32) -> Placement {
        if !self.is_for_absent(class) {
            return Placement::Kept;
        }
        let log = self.find(topic);
        let waits = log.is_some_and(|log| !log.is_empty() || !log.takers.is_empty());
        match (members, waits, log) {
            (1.., false, _) => Placement::Passed,
            (0, _, None) if self.absent_count >= self.absent_max => Placement::Refused,
            (..) => Placement::Waits,
        }
    }

    /// Whether logs of this class are kept for members to come.
    pub(crate) fn is_for_absent(&self, class: LogClass) -> bool {
        let options = self.options.get(class.index());
        options.is_some_and(|options| options.kept_for == KeptFor::Absent)
    }

    /// Whether the topics of logs of this class are ordered elsewhere.
    pub(crate) fn is_sequenced(&self, class: LogClass) -> bool {
        let options = self.options.get(class.index());
        options.is_some_and(|options| options.order == LogOrder::Sequencer)
    }

    /// Lets the log of a topic go.
    pub(crate) fn end(&mut self, topic: Topic<'_>) {
        if let Some(index) = self.names[topic.kind()].get(topic.name()) {
            self.remove(*index);
        }
    }

    /// A member is none any more: it takes nothing either.
    pub(crate) fn forget_taker(&mut self, topic: Topic<'_>, who: Address, now: Millis) {
        if self.absent_count == 0 {
            return;
        }
        if let Some(index) = self.names[topic.kind()].get(topic.name()) {
            self.at(*index, now, |log, _| {
                log.retain_takers(|taker| taker != who)
            });
        }
    }

    fn find(&self, topic: Topic<'_>) -> Option<&Log> {
        let index = *self.names[topic.kind()].get(topic.name())?;
        self.logs[index as usize].as_deref()
    }

    /// Tells the store what it does not know of a log, as far as there is room.
    fn store(&mut self, index: u32, now: Millis) {
        let Some(journal) = &self.journal else { return };
        let log = self.logs[index as usize].as_mut().expect("it exists");
        if self.options[log.class.index()].durability == Durability::Memory {
            return;
        }
        for _ in 0..Self::RECORDS_AT_ONCE {
            if !journal.has_room() {
                self.is_journal_full = true;
                return;
            }
            let Some(record) = log.next_record(now) else {
                return;
            };
            if !journal.write(record) {
                // Another shard took the place: the store sees a hole, or hears it with the next.
                self.is_journal_full = true;
                return;
            }
        }
    }

    /// Whether the way to the store was full when a log had more to tell.
    pub(crate) fn is_store_behind(&self) -> bool {
        self.is_journal_full
    }

    /// Takes over a log that the store had. One that is there already stays.
    pub(crate) fn restore(&mut self, restored: RestoredLog, now: Millis) {
        let topic = TopicKey::new(restored.topic.topic());
        let Some(options) = self.options.get(restored.class.index()).copied() else {
            return;
        };
        if self.find(topic.topic()).is_some() {
            return;
        }
        let index = self.make(&topic, restored.class);
        let log = Log::restored(restored, &options, now);
        self.bytes += log.bytes() as u64;
        self.logs[index as usize] = Some(Box::new(log));
        self.at(index, now, |_, _| {});
        self.keep_within_bounds(now);
    }

    fn make(&mut self, topic: &TopicKey, class: LogClass) -> u32 {
        self.made += 1;
        self.absent_count += usize::from(self.is_for_absent(class));
        let epoch = FixedState::with_seed(self.seed).hash_one(self.made) & EPOCH_MASK;
        let mut log = Box::new(Log::new(topic.clone(), class, epoch.max(1)));
        log.is_ready = !self.is_sequenced(class);
        let index = match self.free.pop() {
            Some(index) => {
                self.logs[index as usize] = Some(log);
                index
            }
            None => {
                self.logs.push(Some(log));
                (self.logs.len() - 1) as u32
            }
        };
        self.names[topic.kind()].insert(topic.name().clone(), index);
        index
    }

    /// Pushes publications out of large logs while all hold more than they may together. A few
    /// logs are looked at for the largest, as a search of all would take too long.
    #[inline]
    pub(crate) fn keep_within_bounds(&mut self, now: Millis) {
        for _ in 0..Self::TRIMS_MAX {
            if self.bytes <= self.bytes_max {
                break;
            }
            self.trim_a_large_one(now);
        }
        self.drop_beyond_max();
    }

    /// Memory is short: the largest of a few logs loses half, whatever the bounds are.
    pub(crate) fn trim_one(&mut self, now: Millis) {
        self.trim_a_large_one(now);
        self.drop_beyond_max();
    }

    #[cold]
    fn trim_a_large_one(&mut self, now: Millis) {
        let mut largest: Option<(u32, usize)> = None;
        for _ in 0..Self::SAMPLE.min(self.logs.len()) {
            self.clock = (self.clock + 1) % self.logs.len();
            let log = self.logs[self.clock].as_ref();
            let bytes = log.map_or(0, |log| log.trimmable_bytes());
            if largest.is_none_or(|(_, most)| bytes > most) {
                largest = Some((self.clock as u32, bytes));
            }
        }
        if let Some((index, bytes)) = largest.filter(|(_, bytes)| *bytes > 0) {
            self.at(index, now, |log, _| log.trim_to(bytes / 2));
        }
    }

    /// A topic has so many members now.
    pub(crate) fn count_members(&mut self, topic: Topic<'_>, members: u32, now: Millis) {
        if self.count() == 0 {
            return;
        }
        let Some(index) = self.names[topic.kind()].get(topic.name()).copied() else {
            return;
        };
        let log = self.logs[index as usize].as_mut().expect("it exists");
        log.members = members;
        self.settle(index, now);
        if members == 0 && self.is_for_absent_and_taken(index) {
            self.remove(index);
        }
        self.drop_beyond_max();
    }

    /// Whether a log of a topic without members was kept for those, and they were given it all.
    fn is_for_absent_and_taken(&self, index: u32) -> bool {
        let log = self.logs[index as usize].as_ref().expect("it exists");
        self.is_for_absent(log.class) && log.is_taken()
    }

    /// Lets a log go that nobody needs.
    fn remove(&mut self, index: u32) {
        let log = self.logs[index as usize].take().expect("it exists");
        self.unused_count -= usize::from(matches!(log.usage, Usage::Unused { .. }));
        self.absent_count -= usize::from(self.is_for_absent(log.class));
        self.bytes -= log.bytes() as u64;
        self.maps.bytes -= log.map.bytes() as u64;
        self.names[log.topic.kind()].remove(log.topic.name());
        self.free.push(index);
        if let Some(journal) = self.journal.as_ref().filter(|_| log.is_stored()) {
            // Where there is no room, the store has a log that nobody asks for.
            let topic = TopicName::of(&log.topic);
            journal.write(LogRecord::Gone { topic });
        }
    }

    /// A log that nobody needs begins to wait for its end, and one that is needed again does so no
    /// more.
    fn settle(&mut self, index: u32, now: Millis) {
        let log = self.logs[index as usize].as_mut().expect("it exists");
        let was_unused = matches!(log.usage, Usage::Unused { .. });
        match (log.members > 0, log.holds_nothing()) {
            (false, true) if !was_unused => {
                self.numbers += 1;
                let number = self.numbers;
                log.usage = Usage::Unused { since: now, number };
                self.unused.push_back((index, number));
                self.unused_count += 1;
                if self.unused.len() > 2 * self.unused_count + UNUSED_SLACK {
                    self.drop_used_again();
                }
            }
            (false, true) => {}
            (is_joined, _) => {
                log.usage = match is_joined {
                    true => Usage::Joined,
                    false => Usage::Filled,
                };
                self.unused_count -= usize::from(was_unused);
            }
        }
    }

    /// Takes those out of the queue that were used since they were put in.
    fn drop_used_again(&mut self) {
        let Logs { unused, logs, .. } = self;
        unused.retain(|(index, number)| {
            let log = logs.get(*index as usize).and_then(Option::as_ref);
            log.is_some_and(|log| log.usage.is_unused(*number))
        });
    }

    /// The next of those that nobody needs, if it is one still.
    fn longest_unused(&self) -> Option<(u32, Option<Millis>)> {
        let (index, number) = *self.unused.front()?;
        let log = self.logs.get(index as usize).and_then(Option::as_ref);
        let since = log.and_then(|log| match log.usage {
            Usage::Unused { since, .. } if log.usage.is_unused(number) => Some(since),
            Usage::Unused { .. } | Usage::Joined | Usage::Filled => None,
        });
        Some((index, since))
    }

    /// Lets those go that have been of no use for longest, where too many are.
    #[inline]
    fn drop_beyond_max(&mut self) {
        while self.unused_count > self.unused_max {
            self.drop_longest_unused();
        }
    }

    fn drop_longest_unused(&mut self) {
        let Some((index, since)) = self.longest_unused() else {
            return;
        };
        self.unused.pop_front();
        if since.is_some() {
            self.remove(index);
        }
    }

    /// When [`Logs::look`] has something to do next. `None`: there are no logs.
    pub(crate) fn next_look(&self) -> Option<Millis> {
        (self.count() > 0).then_some(self.look_at)
    }

    /// Looks at some logs for what is too old, and lets logs go whose epoch's time is over.
    #[inline]
    pub(crate) fn look(&mut self, now: Millis) {
        if self.count() > 0 && now >= self.look_at {
            self.look_at_some(now);
        }
    }

    #[cold]
    fn look_at_some(&mut self, now: Millis) {
        if self.looked == 0 {
            self.is_journal_full = false;
        }
        let end = (self.looked + Self::LOOKS_PER_TICK).min(self.logs.len());
        for index in self.looked..end {
            let Some(log) = &mut self.logs[index] else {
                continue;
            };
            let before = log.bytes() as u64;
            log.expire(&self.options[log.class.index()], now);
            self.maps.look(log, &self.options[log.class.index()], now);
            log.blocks.drop_unread(now);
            log.shrink();
            self.bytes = self.bytes + log.bytes() as u64 - before;
            if self.journal.is_some() {
                self.store(index as u32, now);
            }
            self.settle(index as u32, now);
        }
        self.drop_beyond_max();
        self.drop_outdated(now);
        self.looked = end;
        if end == self.logs.len() {
            (self.looked, self.look_at) = (0, now + Self::LOOK_EVERY_MS);
        }
    }

    /// Those whose epochs are older than their class says. A class with a longer time may keep
    /// others behind it for as long.
    fn drop_outdated(&mut self, now: Millis) {
        for _ in 0..Self::LOOKS_PER_TICK {
            let Some((index, since)) = self.longest_unused() else {
                return;
            };
            let log = self.logs.get(index as usize).and_then(Option::as_ref);
            let ttl = log.map(|log| self.options[log.class.index()].epoch_ttl);
            let ttl = ttl.unwrap_or_default().as_millis() as Millis;
            if since.is_some_and(|since| since + ttl > now) {
                return;
            }
            self.drop_longest_unused();
        }
    }

    /// Keeps no more than the logs there are need.
    pub(crate) fn release_memory(&mut self) {
        self.names.iter_mut().for_each(shrink_map);
        while matches!(self.logs.last(), Some(None)) {
            self.logs.pop();
        }
        let len = self.logs.len() as u32;
        self.free.retain(|index| *index < len);
        self.logs.shrink_to_fit();
        self.free.shrink_to_fit();
        self.unused.shrink_to_fit();
        self.maps.expired.shrink_to_fit();
        self.looked = self.looked.min(self.logs.len());
    }
}

#[cfg(any(test, feature = "sim"))]
mod checking;
mod maps;
#[cfg(test)]
mod tests;
