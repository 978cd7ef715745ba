//! The log of one topic: what was published to it, in order, within its bounds.
//!
//! Invariant: the entries bear contiguous ordinals ([`jumps`]) and end before the next one that is
//! given; an entry is in the log until its count, bytes or age push it out. Where the home gives
//! the order, and so in every log that is stored or kept for absent members, offsets are ordinals.
//! Used by `topic/log/logs.rs`, and by a topic's home through it.
//!
//! [`jumps`]: crate::topic::log::jumps

use crate::driver::boundary::Millis;
use crate::topic::keep::GivenPlace;
use crate::topic::key::{TopicKey, TopicName};
use crate::topic::log::block::Blocks;
use crate::topic::log::entry::LogEntry;
use crate::topic::log::journal::{LogLeft, LogRecord, RestoredLog, StoredPublication};
use crate::topic::log::jumps::Jumps;
use crate::topic::log::keys::Keys;
use crate::topic::log::map::KeyedEntries;
use crate::topic::log::options::{LogClass, LogOptions};
use crate::topic::log::takers::Takers;
use crate::topic::publication::Position;
use crate::types::history::{HistoryQuery, Loss, ReadOrder, Since};
use crate::types::ticket::Address;
use std::collections::VecDeque;
use std::sync::Arc;

/// What one topic keeps.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) topic: TopicKey,
    pub(crate) class: LogClass,
    pub(crate) epoch: u64,
    /// Whether it is what it should be. One that its topic's home orders always is.
    pub(crate) is_ready: bool,
    /// The ordinal of the next publication. The first is 1.
    next: u64,
    /// From the ordinal before the oldest entry's on.
    jumps: Jumps,
    /// Those with the ordinals before `next`, without a gap.
    entries: VecDeque<LogEntry>,
    /// Of all entries.
    bytes: usize,
    /// Why the newest of those that are gone went. `None`: all are here.
    trimmed: Option<Loss>,
    keys: Keys,
    /// Up to this offset it was given to those whom it was kept for ([`KeptFor::Absent`]).
    taken: u64,
    /// Those who read it on behalf of its topic's absent members.
    pub(crate) takers: Takers,
    pub(crate) blocks: Blocks,
    /// The newest of each key, where the log is a map.
    pub(crate) map: KeyedEntries,
    /// Of the topic, as far as its log was told.
    pub(crate) members: u32,
    pub(crate) usage: Usage,
    /// Up to where earlier epochs had the same publications.
    former: Box<[Position]>,
    /// What the store was told.
    stored: StoredUpTo,
}

/// What a store was told of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StoredUpTo {
    /// The offset of the first publication that it was not told of.
    next: u64,
    left: LogLeft,
}

/// Who needs a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// The topic has members.
    Joined,
    /// It has none, and the log has entries.
    Filled,
    /// It has none, and the log is empty: the log may go once its epoch's time is over, or to make
    /// room. The number tells this from earlier times.
    Unused { since: Millis, number: u64 },
}

impl StoredUpTo {
    const NOTHING: StoredUpTo = StoredUpTo {
        next: 1,
        left: LogLeft { first: 1, taken: 0 },
    };
}

impl Usage {
    /// Whether it has been unused since it got this number.
    pub(crate) fn is_unused(self, wanted: u64) -> bool {
        matches!(self, Usage::Unused { number, .. } if number == wanted)
    }
}

/// What a publication with a place is for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The one that follows.
    Next,
    /// The same, in a log that is not ready.
    Unready,
    /// Not the one that follows: some between are missing.
    Gap,
    /// It is there, or of another epoch.
    Stray,
}

/// What a newcomer, or a member that comes back, has to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing: it goes on with the next publication.
    Nothing,
    /// All from this ordinal on.
    From(u64),
    /// Some of it is not here any more.
    Lost(Loss),
}

impl Log {
    pub(crate) fn new(topic: TopicKey, class: LogClass, epoch: u64) -> Log {
        Log {
            topic,
            class,
            epoch,
            is_ready: true,
            next: 1,
            jumps: Jumps::default(),
            entries: VecDeque::new(),
            bytes: 0,
            trimmed: None,
            keys: Keys::default(),
            taken: 0,
            takers: Takers::default(),
            blocks: Blocks::default(),
            map: KeyedEntries::default(),
            members: 0,
            usage: Usage::Filled,
            former: Box::default(),
            stored: StoredUpTo::NOTHING,
        }
    }

    /// The log that a store had.
    pub(crate) fn restored(restored: RestoredLog, options: &LogOptions, now: Millis) -> Log {
        let topic = TopicKey::new(restored.topic.topic());
        let mut log = Log::new(topic, restored.class, restored.epoch);
        log.next = restored.next - restored.publications.len() as u64;
        (log.taken, log.former) = (restored.taken, restored.former.into());
        log.stored.left = log.left();
        for publication in restored.publications {
            let at = now.wrapping_sub(publication.age_ms);
            let content = publication.kept.into_content();
            let mut entry = LogEntry::new(&content, log.topic.topic(), at, std::iter::empty());
            (entry.key, entry.conflate) = (publication.key, publication.conflate);
            if let Some(key) = &entry.key {
                log.remember_key(key.clone(), options, at);
            }
            log.append(entry, options);
        }
        log.stored.next = log.next;
        log.trimmed.get_or_insert(Loss::TrimmedBySize);
        log
    }

    /// Where it begins.
    fn left(&self) -> LogLeft {
        LogLeft {
            first: self.first(),
            taken: self.taken,
        }
    }

    /// Whether a store was ever told of it.
    pub(crate) fn is_stored(&self) -> bool {
        self.stored != StoredUpTo::NOTHING
    }

    /// What a store is to be told next; it counts as told.
    pub(crate) fn next_record(&mut self, now: Millis) -> Option<LogRecord> {
        let left = self.left();
        let offset = self.stored.next.max(left.first);
        if let Some(entry) = self.entry(offset) {
            let publication = StoredPublication::new(
                offset,
                entry.content().clone(),
                now.wrapping_sub(entry.at),
                entry.key.clone(),
                entry.conflate.clone(),
            );
            let next = offset + 1;
            self.stored = StoredUpTo { next, left };
            return Some(LogRecord::Kept {
                topic: TopicName::of(&self.topic),
                epoch: self.epoch,
                publication,
                left,
            });
        }
        if !self.is_stored() || self.stored.left == left {
            return None;
        }
        self.stored.left = left;
        let topic = TopicName::of(&self.topic);
        Some(LogRecord::Trimmed { topic, left })
    }

    /// The position of the newest publication; offset 0 where there was none.
    pub(crate) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.jumps.offset(self.next - 1),
        }
    }

    /// The position that the next publication gets, where the topic's home gives it.
    pub(crate) fn next_position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.next,
        }
    }

    /// The ordinal of the next publication.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.next
    }

    /// The offset of the publication with this ordinal.
    pub(crate) fn offset(&self, ordinal: u64) -> u64 {
        self.jumps.offset(ordinal)
    }

    /// Where its offsets jump.
    pub(crate) fn jumps(&self) -> &Jumps {
        &self.jumps
    }

    pub(crate) fn bytes(&self) -> usize {
        self.trimmable_bytes() + self.map.bytes()
    }

    /// Bytes of what can be pushed out.
    pub(crate) fn trimmable_bytes(&self) -> usize {
        self.bytes + self.blocks.bytes()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The ordinal of the oldest entry; that of the next publication where there is none.
    pub(crate) fn first(&self) -> u64 {
        self.next - self.entries.len() as u64
    }

    /// The entry with this ordinal.
    pub(crate) fn entry(&self, ordinal: u64) -> Option<&LogEntry> {
        let index = ordinal.checked_sub(self.first())?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn entry_mut(&mut self, ordinal: u64) -> Option<&mut LogEntry> {
        let index = ordinal.checked_sub(self.first())?;
        self.entries.get_mut(usize::try_from(index).ok()?)
    }

    /// Entries from this ordinal on, oldest first.
    pub(crate) fn from(&self, ordinal: u64) -> impl DoubleEndedIterator<Item = (u64, &LogEntry)> {
        let first = self.first();
        let skipped = ordinal.saturating_sub(first).min(self.entries.len() as u64);
        let start = first + skipped;
        let entries = self.entries.range(skipped as usize..);
        entries
            .enumerate()
            .map(move |(index, entry)| (start + index as u64, entry))
    }

    /// Whether the next publication with this offset is further ahead than those before it.
    pub(crate) fn jumps_at(&self, offset: u64) -> bool {
        self.jumps.offset(self.next) != offset
    }

    /// The next publication has this offset, which another one has given.
    pub(crate) fn jump_to(&mut self, offset: u64) {
        self.jumps.push(self.next, offset);
    }

    /// Appends what got [`Log::next_ordinal`], and pushes out what does not fit any more.
    pub(crate) fn append(&mut self, entry: LogEntry, options: &LogOptions) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        self.takers.publish(self.next);
        self.next += 1;
        self.blocks.drop_tail();
        let over = |log: &Log| {
            log.entries.len() > options.publications_max as usize || log.bytes > options.bytes_max
        };
        while over(self) && self.entries.len() > 1 {
            self.pop(Loss::TrimmedBySize);
        }
    }

    /// Pushes out what is too old by now, and forgets keys whose time is over.
    pub(crate) fn expire(&mut self, options: &LogOptions, now: Millis) {
        let ttl = options.ttl.as_millis() as Millis;
        let is_old = |entry: &LogEntry| now.wrapping_sub(entry.at) >= ttl;
        while self.entries.front().is_some_and(is_old) {
            self.pop(Loss::TrimmedByAge);
        }
        self.keys.expire(options, now);
    }

    /// Pushes the oldest out until at most so many bytes are left.
    pub(crate) fn trim_to(&mut self, bytes_max: usize) {
        self.blocks.drop_copies();
        while self.trimmable_bytes() > bytes_max && !self.is_empty() {
            self.pop(Loss::TrimmedBySize);
        }
    }

    /// Pushes everything out. Epoch and offsets go on.
    pub(crate) fn clear(&mut self) {
        while !self.is_empty() {
            self.pop(Loss::TrimmedBySize);
        }
    }

    fn pop(&mut self, loss: Loss) {
        if !self.is_empty() {
            self.trimmed = Some(loss);
            self.drop_oldest();
        }
    }

    /// Somebody was given everything up to this offset: it waits for nobody any more.
    pub(crate) fn take_until(&mut self, who: Address, offset: u64) {
        self.taken = self.taken.max(offset);
        self.takers.have(who, offset);
        self.drop_taken();
    }

    /// Only these read on behalf of absent members.
    pub(crate) fn retain_takers(&mut self, reads_on: impl Fn(Address) -> bool) {
        self.takers.retain(reads_on);
        self.drop_taken();
    }

    fn drop_taken(&mut self) {
        while !self.is_empty() && self.first() <= self.taken && !self.takers.await_it(self.first())
        {
            self.drop_oldest();
        }
    }

    /// The offset from which on nobody has taken anything.
    pub(crate) fn untaken(&self) -> u64 {
        self.taken + 1
    }

    /// Whether nobody has to hear of anything that was published, be it that it was lost.
    pub(crate) fn is_taken(&self) -> bool {
        self.untaken() == self.next && self.takers.is_empty()
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.bytes();
            let first = self.next - self.entries.len() as u64;
            self.blocks.charge(first - 1, |plain| entry.shares(plain));
            self.blocks.drop_before(first);
            self.jumps.forget_before(first - 1);
        }
    }

    /// The offset that a publication with this key got, within the window of keys.
    pub(crate) fn find_key(&self, key: &str) -> Option<u64> {
        self.keys.find(key)
    }

    /// The next publication has this key.
    pub(crate) fn remember_key(&mut self, key: Arc<str>, options: &LogOptions, now: Millis) {
        if !options.idempotency.is_zero() {
            self.keys.insert(key, self.next, now);
        }
    }

    /// Keeps no more memory than the entries need.
    pub(crate) fn shrink(&mut self) {
        if self.entries.capacity() > 4 * self.entries.len().max(4) {
            self.entries.shrink_to(2 * self.entries.len());
        }
        self.jumps.shrink();
    }

    /// What a publication with this place is. It follows what names the newest here as the one
    /// before it.
    pub(crate) fn arrival(&self, place: &GivenPlace) -> Arrival {
        let Position { epoch, offset } = self.position();
        let is_behind = place.epoch == epoch && place.offset > offset;
        match (is_behind && place.previous == offset, self.is_ready) {
            (true, true) => Arrival::Next,
            (true, false) => Arrival::Unready,
            (false, true) if is_behind => Arrival::Gap,
            (false, _) => Arrival::Stray,
        }
    }

    /// Begins anew, in another epoch or behind a gap, and is not ready.
    pub(crate) fn begin(&mut self, epoch: u64, next: u64) {
        self.clear();
        (self.epoch, self.next, self.is_ready) = (epoch, next.max(1), false);
        self.jumps = Jumps::default();
        self.trimmed = (next > 1).then_some(Loss::TrimmedBySize);
        (self.blocks, self.keys) = (Blocks::default(), Keys::default());
    }

    /// Whether it has what somebody knows the topic up to, as far as that is known here.
    pub(crate) fn reaches(&self, since: Since) -> bool {
        since.epoch.is_none_or(|epoch| epoch == self.epoch)
            && since.offset <= self.position().offset
    }

    /// What somebody who knows the topic up to `since` has missed.
    pub(crate) fn missing(&self, since: Since) -> Missing {
        let is_known = since
            .epoch
            .is_none_or(|epoch| self.has_epoch(epoch, since.offset));
        if !is_known || since.offset > self.position().offset {
            return Missing::Lost(Loss::EpochChanged);
        }
        // What is not here any more ends with the offset before the oldest entry's.
        if since.offset < self.offset(self.first() - 1) {
            return Missing::Lost(self.loss());
        }
        let next = self.jumps.up_to(since.offset) + 1;
        match next == self.next {
            true => Missing::Nothing,
            false => Missing::From(next),
        }
    }

    /// Whether it has what it had in this epoch, up to an offset.
    fn has_epoch(&self, epoch: u64, offset: u64) -> bool {
        let is_former = |it: &Position| it.epoch == epoch && offset <= it.offset;
        epoch == self.epoch || self.former.iter().any(is_former)
    }

    /// Why what is not here went.
    pub(crate) fn loss(&self) -> Loss {
        self.trimmed.unwrap_or(Loss::EpochChanged)
    }

    /// The offsets that a query asks for, in its order, and what is lost of them.
    pub(crate) fn select(
        &self,
        query: &HistoryQuery,
    ) -> (impl Iterator<Item = (u64, &LogEntry)>, Option<Loss>) {
        let missing = query.since.map(|since| self.missing(since));
        // Whoever reads backwards from a position wants what is before it.
        let (start, end, loss) = match (missing, query.order) {
            (Some(Missing::Lost(Loss::EpochChanged)), _) => {
                (self.next, self.next, Some(Loss::EpochChanged))
            }
            (None, _) => (self.first(), self.next, None),
            (Some(_), ReadOrder::Reverse) => {
                let before = query.since.and_then(|since| since.offset.checked_sub(1));
                let end = before.map_or(0, |before| self.jumps.up_to(before)) + 1;
                (self.first(), end, None)
            }
            (Some(Missing::Nothing), ReadOrder::Forward | ReadOrder::Map) => {
                (self.next, self.next, None)
            }
            (Some(Missing::From(start)), ReadOrder::Forward | ReadOrder::Map) => {
                (start, self.next, None)
            }
            (Some(Missing::Lost(loss)), ReadOrder::Forward | ReadOrder::Map) => {
                (self.first(), self.next, Some(loss))
            }
        };
        let start = start.max(self.first());
        let (first, order) = (self.first(), query.order);
        let range = (start - first) as usize..(end.max(start) - first) as usize;
        let entries = self.entries.range(range).enumerate();
        let mut entries =
            entries.map(move |(index, entry)| (self.offset(start + index as u64), entry));
        let next = move || match order {
            ReadOrder::Forward | ReadOrder::Map => entries.next(),
            ReadOrder::Reverse => entries.next_back(),
        };
        let limit = query.limit.min(HistoryQuery::LIMIT_MAX) as usize;
        (std::iter::from_fn(next).take(limit), loss)
    }
}

#[cfg(test)]
mod tests;
