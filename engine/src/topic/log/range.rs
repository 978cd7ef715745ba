//! ReadMode a log from a cursor: what one reader is sent next, and what it has missed.
//!
//! Used by a topic's home. The bytes of a range are those of its blocks: nothing is copied for one
//! reader, but where a reader is left out of some of it.

use crate::driver::boundary::Millis;
use crate::topic::log::block::{Block, ByKey, Span};
use crate::topic::log::encoded::MakeFrame;
use crate::topic::log::entry::LogEntry;
use crate::topic::log::options::SlowReader;
use crate::topic::log::topic_log::Log;
use crate::types::encoding::EncodingId;
use crate::types::history::{Loss, Missed, MissedReason};
use crate::types::ticket::Address;
use std::collections::HashSet;

/// How a cursor reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// Everything that is there.
    All,
    /// For a newcomer: the newest of each key of those before this ordinal, and all without one;
    /// then everything. Nothing counts as missed by it.
    NewestByKey { until: u64 },
    /// For a slow reader: the newest of each key, and all without one.
    Conflated,
    /// The newest, as many bytes as [`SlowReader::NEWEST_BYTES`].
    Newest,
    /// Nothing of what was published until now.
    Nothing,
    /// What was sent before, up to this ordinal, in other words.
    Again { until: u64 },
}

impl ReadMode {
    /// What a member reads that its topic's policy has made a cursor. `None`: there is none.
    pub(crate) fn of(policy: SlowReader) -> Option<ReadMode> {
        Some(match policy {
            SlowReader::Disconnect => return None,
            SlowReader::DropOldest => ReadMode::Newest,
            SlowReader::DropNewest => ReadMode::Nothing,
            SlowReader::Conflate => ReadMode::Conflated,
            SlowReader::CatchUp => ReadMode::All,
        })
    }
}

/// Who reads, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pub(crate) who: Address,
    pub(crate) encoding: EncodingId,
    /// The ordinal of the first that is wanted.
    pub(crate) next: u64,
    pub(crate) reading: ReadMode,
}

/// What a reader is sent.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) spans: Vec<Span>,
    /// Where it stands afterwards.
    pub(crate) next: u64,
    pub(crate) missed: Option<Missed>,
}

impl Range {
    fn by_key(by_key: ByKey) -> Range {
        Range {
            spans: by_key.span.into_iter().collect(),
            next: by_key.next,
            missed: None,
        }
    }

    /// Nothing of what the reader was sent before is here, up to an ordinal. What is lost behind
    /// that it is told next.
    fn nothing_again(reader: &Reader, until: u64) -> Range {
        let count = until + 1 - reader.next;
        let reason = MissedReason::Unacknowledged;
        Range {
            missed: Some(Missed { count, reason }),
            ..Range::nothing(until + 1)
        }
    }

    /// Nothing, to who stands at this ordinal.
    pub(crate) fn nothing(next: u64) -> Range {
        Range {
            spans: Vec::new(),
            next,
            missed: None,
        }
    }
}

impl Log {
    /// What the reader is sent next: `bytes_max` bytes of frames, or one publication.
    pub(crate) fn read(
        &mut self,
        reader: &Reader,
        now: Millis,
        bytes_max: usize,
        make: &mut MakeFrame<'_>,
    ) -> Range {
        let mut start = reader.next.max(self.first());
        if let ReadMode::Again { until } = reader.reading
            && start > until
        {
            return Range::nothing_again(reader, until);
        }
        // What another reader has taken is not missed.
        let mut missed = start
            - reader
                .next
                .max(self.takers.each_from(self.untaken()))
                .min(start);
        let mut reason = self.reason_of_trimming(reader.reading);
        let skipped = match reader.reading {
            ReadMode::All
            | ReadMode::NewestByKey { .. }
            | ReadMode::Conflated
            | ReadMode::Again { .. } => 0,
            ReadMode::Newest => self.before_newest(start, SlowReader::NEWEST_BYTES),
            ReadMode::Nothing => self.next_ordinal() - start,
        };
        if skipped > 0 {
            (reason, start, missed) = (MissedReason::Dropped, start + skipped, missed + skipped);
        }
        let mut range = match reader.reading {
            ReadMode::NewestByKey { until } if until > start => {
                Range::by_key(self.newest_by_key(reader, start..until, now, bytes_max, make))
            }
            ReadMode::Conflated => {
                let end = self.next_ordinal();
                let by_key = self.newest_by_key(reader, start..end, now, bytes_max, make);
                if by_key.skipped > 0 {
                    (reason, missed) = (MissedReason::Conflated, missed + by_key.skipped);
                }
                Range::by_key(by_key)
            }
            ReadMode::Again { until } => {
                Range::by_key(self.again(reader, start..until + 1, now, bytes_max, make))
            }
            ReadMode::All | ReadMode::NewestByKey { .. } | ReadMode::Newest | ReadMode::Nothing => {
                self.all_from(reader, start, now, bytes_max, make)
            }
        };
        // What a newcomer would have been sent of the time before it joined does not count.
        if let ReadMode::NewestByKey { until } = reader.reading {
            missed = start.saturating_sub(until.max(reader.next));
        }
        let count = missed;
        range.missed = (count > 0).then_some(Missed { count, reason });
        range
    }

    /// Everything of these ordinals that there is, but what the reader is left out of; `make` says
    /// it in its words. Members that are late for the same are sent the same bytes.
    fn again(
        &mut self,
        reader: &Reader,
        ordinals: std::ops::Range<u64>,
        now: Millis,
        bytes_max: usize,
        make: &mut MakeFrame<'_>,
    ) -> ByKey {
        if let Some(again) = self.shared_by_key(reader, &ordinals) {
            return again;
        }
        let end = ordinals.end.min(self.next_ordinal());
        let (mut spans, mut bytes) = (Vec::new(), 0);
        let mut is_shared = !reader.encoding.has_filter();
        let mut next = ordinals.start;
        while next < end && (bytes < bytes_max || spans.is_empty()) {
            let ordinal = next;
            next += 1;
            if self.leaves_out(ordinal, reader.who) {
                is_shared = false;
                continue;
            }
            if let Some(span) = self.own_span(ordinal, make) {
                bytes += span.plain.len();
                spans.push(span);
            }
        }
        let again = ByKey {
            ordinals,
            next,
            skipped: 0,
            span: Span::join(&spans),
        };
        if is_shared {
            self.blocks.keep_by_key(reader.encoding, now, again.clone());
        }
        again
    }

    /// The frame of one publication, for one reader alone.
    fn own_span(&self, ordinal: u64, make: &mut MakeFrame<'_>) -> Option<Span> {
        let frame = make(self.entry(ordinal)?, self.offset(ordinal))?;
        let block = Block::single(ordinal, Some(frame), |_| false);
        Some(block.span(ordinal, ordinal + 1))
    }

    /// Everything from `start` on that passes the filter of the reader, which `make` asks, but what
    /// it is left out of. A range that has looked at [`SIFTED_MAX`] ends there.
    fn sifted_from(
        &self,
        reader: &Reader,
        start: u64,
        bytes_max: usize,
        make: &mut MakeFrame<'_>,
    ) -> Range {
        let end = self.next_ordinal().min(start + SIFTED_MAX);
        let (mut next, mut bytes, mut spans) = (start, 0, Vec::new());
        while next < end && bytes < bytes_max {
            let ordinal = next;
            next += 1;
            if self.leaves_out(ordinal, reader.who) {
                continue;
            }
            if let Some(span) = self.own_span(ordinal, make) {
                bytes += span.plain.len();
                spans.push(span);
            }
        }
        Range {
            spans: Span::join(&spans).into_iter().collect(),
            next,
            missed: None,
        }
    }

    /// Why a reader misses what is not here any more.
    fn reason_of_trimming(&self, reading: ReadMode) -> MissedReason {
        match (reading, self.loss()) {
            (ReadMode::Again { .. }, _) => MissedReason::Unacknowledged,
            (_, Loss::TrimmedByAge) => MissedReason::TrimmedByAge,
            (_, Loss::TrimmedBySize | Loss::EpochChanged | Loss::Limit | Loss::Unavailable) => {
                MissedReason::TrimmedBySize
            }
        }
    }

    /// How many from `start` on stand before the newest that have so many bytes together.
    fn before_newest(&self, start: u64, bytes_max: usize) -> u64 {
        let mut bytes = 0;
        let newest = self.from(start).rev().take_while(|(_, entry)| {
            bytes += entry.content().bytes();
            bytes <= bytes_max
        });
        let newest = newest.count().max(1) as u64;
        (self.next_ordinal() - start).saturating_sub(newest)
    }

    /// Everything from `start` on but what the reader is left out of.
    fn all_from(
        &mut self,
        reader: &Reader,
        start: u64,
        now: Millis,
        bytes_max: usize,
        make: &mut MakeFrame<'_>,
    ) -> Range {
        if reader.encoding.has_filter() {
            return self.sifted_from(reader, start, bytes_max, make);
        }
        let log_end = self.next_ordinal();
        let (mut next, mut bytes, mut spans) = (start, 0, Vec::new());
        while next < log_end && bytes < bytes_max && spans.len() < SPANS_MAX {
            if self.leaves_out(next, reader.who) {
                next += 1;
                continue;
            }
            let left_out = self
                .from(next)
                .find(|(_, entry)| entry.except == Some(reader.who));
            let end = left_out.map_or(log_end, |(ordinal, _)| ordinal);
            let end = self.end_of(next, end, bytes_max - bytes);
            let (span, end) = self.encoded(reader.encoding, now, next, end, make);
            (next, bytes) = (end, bytes + span.plain.len());
            if span.frames > 0 {
                spans.push(span);
            }
        }
        Range {
            spans,
            next,
            missed: None,
        }
    }

    fn leaves_out(&self, ordinal: u64, who: Address) -> bool {
        let entry = self.entry(ordinal);
        entry.is_some_and(|entry| entry.except == Some(who))
    }

    /// The ordinal behind those that have at most so many bytes together, by what their frames take
    /// as they were delivered; one publication at least.
    fn end_of(&self, start: u64, end: u64, bytes_max: usize) -> u64 {
        let mut bytes = 0;
        let fits = |(_, entry): &(u64, &LogEntry)| {
            bytes += entry.content().bytes();
            bytes <= bytes_max
        };
        let fitting = self.from(start).take((end - start) as usize);
        start + fitting.take_while(fits).count().max(1) as u64
    }

    /// What was made for readers of these ordinals that are left out of none of them, if this is
    /// one.
    fn shared_by_key(&self, reader: &Reader, ordinals: &std::ops::Range<u64>) -> Option<ByKey> {
        // What is kept for those with filters is nobody else's.
        if reader.encoding.has_filter() {
            return None;
        }
        let shared = self.blocks.by_key(reader.encoding, ordinals)?;
        let count = (ordinals.end - ordinals.start) as usize;
        let mut entries = self.from(ordinals.start).take(count);
        let is_left_out = entries.any(|(_, entry)| entry.except == Some(reader.who));
        (!is_left_out).then_some(shared)
    }

    /// The newest publication of each key of these ordinals, and those without one.
    fn newest_by_key(
        &mut self,
        reader: &Reader,
        ordinals: std::ops::Range<u64>,
        now: Millis,
        bytes_max: usize,
        make: &mut MakeFrame<'_>,
    ) -> ByKey {
        if let Some(by_key) = self.shared_by_key(reader, &ordinals) {
            return by_key;
        }
        let std::ops::Range { start, end } = ordinals;
        let mut seen = HashSet::new();
        let kept = self.from(start).take((end - start) as usize);
        let kept: Vec<(u64, &LogEntry)> = kept.collect();
        let kept = kept.into_iter().rev().filter(|(_, entry)| {
            let key = entry.conflate.as_deref();
            key.is_none_or(|key| seen.insert(key))
        });
        let mut kept: Vec<u64> = kept.map(|(ordinal, _)| ordinal).collect();
        kept.reverse();
        let has_filter = reader.encoding.has_filter();
        let (mut spans, mut bytes, mut sent, mut is_shared) = (Vec::new(), 0, 0, !has_filter);
        let mut next = end;
        for ordinal in kept {
            if bytes >= bytes_max || has_filter && sent == SIFTED_MAX {
                next = ordinal;
                break;
            }
            sent += 1;
            if self.leaves_out(ordinal, reader.who) {
                is_shared = false;
                continue;
            }
            let span = match has_filter {
                true => self.own_span(ordinal, make),
                false => {
                    let (encoding, end) = (reader.encoding, ordinal + 1);
                    Some(self.encoded(encoding, now, ordinal, end, make).0)
                }
            };
            bytes += span.as_ref().map_or(0, |span| span.plain.len());
            spans.extend(span);
        }
        let by_key = ByKey {
            ordinals: start..end,
            next,
            skipped: next - start - sent,
            span: Span::join(&spans),
        };
        if is_shared {
            self.blocks
                .keep_by_key(reader.encoding, now, by_key.clone());
        }
        by_key
    }
}

/// Spans of one range: fewer than a transmit may have segments.
const SPANS_MAX: usize = 32;

/// Publications that one range asks a filter about: 1,024. The reader goes on behind them.
const SIFTED_MAX: u64 = 1024;
