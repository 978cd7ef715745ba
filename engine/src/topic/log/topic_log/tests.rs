//! Logs against the obvious: a list of what was published, searched from its beginning; with
//! offsets that go up by one, and with ones that skip.

use super::*;
use crate::topic::data::{Data, DataEncoding};
use crate::topic::keep::GivenPlace;
use crate::topic::key::Topic;
use crate::topic::log::block::Span;
use crate::topic::log::range::{Range, ReadMode, Reader};
use crate::topic::publication::{Content, Publication, PublicationKind};
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use crate::types::history::{Missed, MissedReason};
use crate::types::ticket::{Address, Ticket};
use fastrand::Rng;
use shardcast_protocol::frame::{self, Kind};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

const OTHER: EncodingId = EncodingId::new(1);
/// Publications whose number this divides have no frame in [`OTHER`].
const UNENCODABLE: u64 = 7;

fn address(slot: u32) -> Address {
    let generation = 1;
    let ticket = Ticket { slot, generation };
    Address { shard: 0, ticket }
}

/// What was published, as the test knows it.
#[derive(Clone)]
struct Known {
    offset: u64,
    text: String,
    at: Millis,
    key: Option<&'static str>,
    except: Option<Address>,
}

/// A log, and all that was ever published to it.
struct Pair {
    log: Log,
    options: LogOptions,
    known: Vec<Known>,
    now: Millis,
    /// Offsets go up by at most so much.
    stride: u64,
}

fn text_of(encoding: EncodingId, text: &str, offset: u64) -> Option<String> {
    match encoding {
        OTHER if offset.is_multiple_of(UNENCODABLE) => None,
        OTHER => Some(format!("<{offset}>{text}")),
        _ => Some(format!("{{\"o\":{offset},\"d\":{text}}}")),
    }
}

fn make_frame(encoding: EncodingId, publication: &Publication<'_>, offset: u64) -> Option<Frame> {
    let Data::Text(text) = publication.data else {
        unreachable!("only text is published here");
    };
    let text = text_of(encoding, text, offset)?;
    Some(Frame::new(Kind::Text, text.as_bytes()))
}

impl Pair {
    fn new(options: LogOptions) -> Pair {
        Pair {
            stride: 1,
            log: Log::new(TopicKey::new(Topic::Room("r")), LogClass::new(0), 77),
            options,
            known: Vec::new(),
            now: 0,
        }
    }

    fn publish(&mut self, random: &mut Rng) {
        let ordinal = self.known.len() as u64 + 1;
        let newest = self.known.last().map_or(0, |known| known.offset);
        let offset = newest + random.u64(1..=self.stride);
        let bytes_max = *random.choice(&[4, 40, 5_000]).unwrap();
        let bytes = random.usize(0..bytes_max);
        let text = format!("\"{offset} {}\"", "x".repeat(bytes));
        let publication = Publication {
            topic: None,
            kind: PublicationKind::Message {
                publisher: address(9),
            },
            data: Data::Text(&text),
            data_encoding: DataEncoding::default(),
        };
        assert_eq!(self.log.next_ordinal(), ordinal);
        assert_eq!(self.log.position().offset, newest);
        if self.stride > 1 {
            let place = |previous| GivenPlace {
                epoch: 77,
                offset,
                previous,
                age: Duration::ZERO,
            };
            assert_eq!(self.log.arrival(&place(newest)), Arrival::Next);
            assert_eq!(self.log.arrival(&place(newest + 1)), Arrival::Gap);
            self.log.jump_to(offset);
        }
        let content = Content::data(&publication, None);
        let mut delivered = Vec::new();
        for encoding in [EncodingId::FIRST, OTHER] {
            if random.bool()
                && let Some(frame) = make_frame(encoding, &publication, offset)
            {
                delivered.push((encoding, frame));
            }
        }
        let delivered = delivered.iter().map(|(encoding, frame)| (*encoding, frame));
        let mut entry = LogEntry::new(&content, Topic::Room("r"), self.now, delivered);
        let key = *random.choice(&[None, Some("a"), Some("b")]).unwrap();
        let except = (random.u32(0..10) == 0).then(|| address(random.u32(0..2)));
        (entry.conflate, entry.except) = (key.map(Arc::from), except);
        self.log.append(entry, &self.options);
        let at = self.now;
        self.known.push(Known {
            offset,
            text,
            at,
            key,
            except,
        });
    }

    /// The ordinals that are there must be the last ones, and no more than may be.
    fn check_bounds(&mut self) {
        let (first, next) = (self.log.first(), self.log.next_ordinal());
        assert_eq!(next, self.known.len() as u64 + 1);
        let kept = (next - first) as usize;
        assert!(kept <= self.options.publications_max as usize);
        let bytes: usize = self.log.from(first).map(|(_, entry)| entry.bytes()).sum();
        assert_eq!(bytes, self.log.bytes);
        assert!(bytes <= self.options.bytes_max || kept == 1);
        for (ordinal, entry) in self.log.from(first) {
            let publication = entry.content().publication(None).unwrap();
            let known = &self.known[ordinal as usize - 1];
            assert_eq!(self.log.offset(ordinal), known.offset);
            assert_eq!(publication.data, Data::Text(&known.text));
            assert!(known.at + self.options.ttl.as_millis() as Millis > self.now);
        }
    }

    fn read(&mut self, reader: &Reader, bytes_max: usize) -> Range {
        let encoding = reader.encoding;
        self.log
            .read(reader, self.now, bytes_max, &mut |entry, offset| {
                let position = Position { epoch: 77, offset };
                entry.encode(encoding, Topic::Room("r"), position, |publication| {
                    make_frame(encoding, publication, offset)
                })
            })
    }

    /// Reads to the end, piece by piece: what came, and what was missed.
    fn read_all(&mut self, reader: Reader, bytes_max: usize) -> (Vec<String>, Vec<Missed>) {
        let (mut texts, mut missed, mut reader) = (Vec::new(), Vec::new(), reader);
        loop {
            let range = self.read(&reader, bytes_max);
            missed.extend(range.missed);
            range.spans.iter().for_each(|span| {
                texts.extend(texts_of(span));
            });
            assert!(range.next > reader.next || range.next == self.log.next_ordinal());
            reader.next = range.next;
            if matches!(reader.reading, ReadMode::Newest | ReadMode::Nothing) {
                reader.reading = ReadMode::All;
            }
            if range.next == self.log.next_ordinal() {
                return (texts, missed);
            }
        }
    }

    fn expected(&self, reader: &Reader) -> (Vec<String>, u64) {
        let (first, next) = (self.log.first(), self.log.next_ordinal());
        let mut wanted: Vec<u64> = (reader.next.max(first)..next).collect();
        let missed = first.saturating_sub(reader.next);
        let before = wanted.len() as u64;
        let until = match reader.reading {
            ReadMode::NewestByKey { until } => until,
            ReadMode::Conflated => next,
            ReadMode::All | ReadMode::Newest | ReadMode::Nothing | ReadMode::Again { .. } => 0,
        };
        let mut seen = HashSet::new();
        let is_newest = |ordinal: &u64| {
            let key = self.known[*ordinal as usize - 1].key;
            *ordinal >= until || key.is_none_or(|key| seen.insert(key))
        };
        wanted = wanted.into_iter().rev().filter(is_newest).collect();
        wanted.reverse();
        let missed = match reader.reading {
            // What was before it came does not count.
            ReadMode::NewestByKey { until } => first.saturating_sub(until.max(reader.next)),
            _ => missed + before - wanted.len() as u64,
        };
        wanted.retain(|ordinal| self.known[*ordinal as usize - 1].except != Some(reader.who));
        let texts = wanted.iter().filter_map(|ordinal| {
            let known = &self.known[*ordinal as usize - 1];
            text_of(reader.encoding, &known.text, known.offset)
        });
        (texts.collect(), missed)
    }

    /// What somebody misses that knows the topic up to this offset.
    fn expected_missing(&self, offset: u64) -> Missing {
        let gone = self.log.first() as usize - 1;
        let newest = self.known.last().map_or(0, |known| known.offset);
        let is_lost = self.known[..gone].iter().any(|it| it.offset > offset);
        let next = self.known.iter().position(|it| it.offset > offset);
        match next {
            _ if offset > newest => Missing::Lost(Loss::EpochChanged),
            _ if is_lost => Missing::Lost(self.log.loss()),
            Some(index) => Missing::From(index as u64 + 1),
            None => Missing::Nothing,
        }
    }

    /// A page of history, as the list has it.
    fn expected_page(&self, query: &HistoryQuery) -> (Vec<u64>, Option<Loss>) {
        let kept = &self.known[self.log.first() as usize - 1..];
        let offsets = kept.iter().map(|known| known.offset);
        let missing = query.since.map(|since| self.expected_missing(since.offset));
        let since = query.since.map(|since| since.offset);
        let mut offsets: Vec<u64> = match (missing, query.order) {
            (Some(Missing::Lost(Loss::EpochChanged)), _) => Vec::new(),
            (_, ReadOrder::Forward | ReadOrder::Map) => offsets
                .filter(|it| since.is_none_or(|at| *it > at))
                .collect(),
            (_, ReadOrder::Reverse) => offsets
                .filter(|it| since.is_none_or(|at| *it < at))
                .collect(),
        };
        if query.order == ReadOrder::Reverse {
            offsets.reverse();
        }
        offsets.truncate(query.limit as usize);
        let loss = match (missing, query.order) {
            (Some(Missing::Lost(Loss::EpochChanged)), _) => Some(Loss::EpochChanged),
            (Some(Missing::Lost(loss)), ReadOrder::Forward | ReadOrder::Map) => Some(loss),
            _ => None,
        };
        (offsets, loss)
    }

    /// Positions and pages, as the list has them.
    fn check_positions(&self, random: &mut Rng) {
        let newest = self.log.position().offset;
        for _ in 0..20 {
            let offset = random.u64(0..=newest + 2);
            let since = Since {
                epoch: random.bool().then_some(77),
                offset,
            };
            assert_eq!(
                self.log.missing(since),
                self.expected_missing(offset),
                "{offset}"
            );
            assert_eq!(self.log.reaches(since), offset <= newest);
            let query = HistoryQuery {
                since: random.bool().then_some(since),
                limit: random.u32(0..12),
                order: *random
                    .choice(&[ReadOrder::Forward, ReadOrder::Reverse])
                    .unwrap(),
            };
            let (entries, loss) = self.log.select(&query);
            let offsets: Vec<u64> = entries.map(|(offset, _)| offset).collect();
            assert_eq!((offsets, loss), self.expected_page(&query), "{query:?}");
        }
    }
}

fn texts_of(span: &Span) -> Vec<String> {
    let (mut texts, mut rest) = (Vec::new(), &span.plain[..]);
    while !rest.is_empty() {
        let payload = frame::written(rest).1;
        texts.push(String::from_utf8(rest[payload.clone()].to_vec()).unwrap());
        rest = &rest[payload.end..];
    }
    assert_eq!(texts.len(), span.frames as usize);
    texts
}

#[test]
fn every_reading_is_that_of_a_list() {
    let mut random = Rng::with_seed(5);
    for round in 0..60usize {
        let mut pair = Pair::new(LogOptions {
            publications_max: random.u32(1..300),
            bytes_max: *random.choice(&[1_024, 60_000, 1 << 20]).unwrap(),
            ttl: Duration::from_millis(*random.choice(&[1_000, 3_000, 1 << 30]).unwrap()),
            ..LogOptions::default()
        });
        pair.stride = [1, 2, 9][round % 3];
        for _ in 0..300 {
            pair.now += random.u64(0..40);
            pair.log.expire(&pair.options, pair.now);
            pair.publish(&mut random);
            if random.u32(0..8) > 0 {
                continue;
            }
            pair.log.expire(&pair.options, pair.now);
            pair.check_bounds();
            pair.check_positions(&mut random);
            let until = random.u64(1..=pair.log.next_ordinal());
            let reader = Reader {
                who: address(random.u32(0..3)),
                encoding: *random.choice(&[EncodingId::FIRST, OTHER]).unwrap(),
                next: random.u64(1..=pair.log.next_ordinal()),
                reading: *random
                    .choice(&[
                        ReadMode::All,
                        ReadMode::Conflated,
                        ReadMode::NewestByKey { until },
                    ])
                    .unwrap(),
            };
            let bytes_max = *random.choice(&[1, 1_000, 1 << 20]).unwrap();
            let (expected, missed) = pair.expected(&reader);
            let (texts, told) = pair.read_all(reader, bytes_max);
            assert_eq!(texts, expected, "round {round}: {reader:?}");
            let told: u64 = told.iter().map(|missed| missed.count).sum();
            assert_eq!(told, missed, "round {round}: {reader:?}");
        }
    }
}

#[test]
fn what_a_slow_reader_missed_is_told_once() {
    let mut random = Rng::with_seed(1);
    let mut pair = Pair::new(LogOptions {
        publications_max: 1_000,
        ..LogOptions::default()
    });
    for _ in 0..500 {
        pair.publish(&mut random);
    }
    let reader = |reading| Reader {
        who: address(2),
        encoding: EncodingId::FIRST,
        next: 101,
        reading,
    };
    let (texts, missed) = pair.read_all(reader(ReadMode::Nothing), 1_000);
    let dropped = |count| Missed {
        count,
        reason: MissedReason::Dropped,
    };
    assert_eq!((texts.len(), missed), (0, vec![dropped(400)]));
    let (texts, missed) = pair.read_all(reader(ReadMode::Newest), 1_000);
    assert_eq!(missed, vec![dropped(400 - texts.len() as u64)]);
    let bytes: usize = texts.iter().map(String::len).sum();
    let largest = 5_000;
    let newest = crate::topic::log::options::SlowReader::NEWEST_BYTES;
    assert!((newest - 2 * largest..=newest).contains(&bytes), "{bytes}");
    assert!(texts.last().unwrap().contains("\"500 "));
}

/// Everybody who reads the same is sent the same memory, and the log has no second copy of it.
#[test]
fn readers_share_what_was_encoded() {
    let mut random = Rng::with_seed(2);
    let mut pair = Pair::new(LogOptions {
        publications_max: 1_000,
        ..LogOptions::default()
    });
    for _ in 0..(2 * 64 + 10) {
        pair.publish(&mut random);
    }
    let reader = Reader {
        who: address(5),
        encoding: EncodingId::FIRST,
        next: 1,
        reading: ReadMode::All,
    };
    let spans = |range: &Range| -> Vec<*const u8> {
        range.spans.iter().map(|span| span.plain.as_ptr()).collect()
    };
    let (one, other) = (pair.read(&reader, 1 << 20), pair.read(&reader, 1 << 20));
    assert_eq!(spans(&one), spans(&other));
    assert!(!one.spans.is_empty());
    // Frames that were delivered in this encoding stand in the blocks now; the others, and the
    // tail, are counted.
    let before = pair.log.blocks.bytes();
    pair.publish(&mut random);
    assert!(pair.log.blocks.bytes() < before, "the tail has gone");
    pair.log.blocks.drop_unread(pair.now + 10_000);
    pair.read(&reader, 1 << 20);
    pair.log.expire(&pair.options, 1 << 40);
    assert_eq!((pair.log.bytes(), pair.log.first()), (0, 140));
}

#[test]
fn what_is_missing_has_a_reason() {
    let mut random = Rng::with_seed(3);
    let mut pair = Pair::new(LogOptions {
        publications_max: 10,
        ttl: Duration::from_secs(10),
        ..LogOptions::default()
    });
    let since = |epoch, offset| Since { epoch, offset };
    let right = Some(77);
    assert_eq!(pair.log.missing(since(right, 0)), Missing::Nothing);
    for _ in 0..15 {
        pair.publish(&mut random);
    }
    for (epoch, offset, expected) in [
        (right, 15, Missing::Nothing),
        (None, 15, Missing::Nothing),
        (right, 14, Missing::From(15)),
        (right, 5, Missing::From(6)),
        (None, 5, Missing::From(6)),
        (right, 4, Missing::Lost(Loss::TrimmedBySize)),
        (right, 0, Missing::Lost(Loss::TrimmedBySize)),
        (right, 16, Missing::Lost(Loss::EpochChanged)),
        (right, u64::MAX, Missing::Lost(Loss::EpochChanged)),
        (Some(76), 15, Missing::Lost(Loss::EpochChanged)),
    ] {
        assert_eq!(pair.log.missing(since(epoch, offset)), expected, "{offset}");
    }
    pair.now = 10_000;
    pair.log.expire(&pair.options, pair.now);
    let lost = Missing::Lost(Loss::TrimmedByAge);
    assert_eq!(pair.log.missing(since(right, 14)), lost);
    assert_eq!(pair.log.missing(since(right, 15)), Missing::Nothing);
}

#[test]
fn a_query_takes_its_page_from_either_end() {
    let mut random = Rng::with_seed(4);
    let mut pair = Pair::new(LogOptions {
        publications_max: 10,
        ..LogOptions::default()
    });
    for _ in 0..15 {
        pair.publish(&mut random);
    }
    let since = |offset| {
        let epoch = Some(77);
        Some(Since { epoch, offset })
    };
    let (forward, reverse) = (ReadOrder::Forward, ReadOrder::Reverse);
    let lost = Some(Loss::TrimmedBySize);
    for (since, limit, order, expected, loss) in [
        (None, 3, forward, vec![6, 7, 8], None),
        (None, 3, reverse, vec![15, 14, 13], None),
        (None, 0, forward, vec![], None),
        (since(13), 100, forward, vec![14, 15], None),
        (since(15), 100, forward, vec![], None),
        (since(8), 2, reverse, vec![7, 6], None),
        (since(6), 2, reverse, vec![], None),
        (since(2), 2, forward, vec![6, 7], lost),
        (since(2), 2, reverse, vec![], None),
        (since(99), 2, forward, vec![], Some(Loss::EpochChanged)),
        (since(99), 2, reverse, vec![], Some(Loss::EpochChanged)),
    ] {
        let query = HistoryQuery {
            since,
            limit,
            order,
        };
        let (entries, found) = pair.log.select(&query);
        let offsets: Vec<u64> = entries.map(|(offset, _)| offset).collect();
        assert_eq!((offsets, found), (expected, loss), "{query:?}");
    }
}

/// A block is held as long as one of its entries is in the log, and counted as long as it is held.
#[test]
fn what_a_block_holds_is_counted() {
    let mut pair = Pair::new(LogOptions {
        publications_max: 1_000,
        ..LogOptions::default()
    });
    let (mut bytes, mut random) = (0, Rng::with_seed(6));
    while pair.known.len() < 64 {
        let before = pair.log.bytes;
        pair.publish(&mut random);
        bytes += pair.log.bytes - before - LogOptions::PUBLICATION_BYTES;
    }
    let reader = Reader {
        who: address(5),
        encoding: EncodingId::FIRST,
        next: 1,
        reading: ReadMode::All,
    };
    pair.read(&reader, 1 << 20);
    pair.options.publications_max = 2;
    pair.publish(&mut random);
    assert_eq!(pair.log.first(), 64, "one entry of the block is left");
    // Frames that were delivered in the other encoding have a copy of their own.
    assert!(
        pair.log.bytes() > bytes / 2,
        "{} of {bytes}",
        pair.log.bytes()
    );
    pair.publish(&mut random);
    assert!(pair.log.bytes() < 20_000, "the block has gone");
}

/// A room of a busy sequence: each of its publications is far from the one before.
#[test]
fn what_was_lost_is_counted_in_publications() {
    let mut random = Rng::with_seed(9);
    let mut pair = Pair::new(LogOptions {
        publications_max: 10,
        ..LogOptions::default()
    });
    pair.stride = 1_000;
    for _ in 0..30 {
        pair.publish(&mut random);
    }
    let offsets: Vec<u64> = pair.known.iter().map(|known| known.offset).collect();
    let offset = |ordinal: usize| offsets[ordinal - 1];
    let since = |offset| Since {
        epoch: Some(77),
        offset,
    };
    // The twentieth is the newest that is gone.
    let lost = Missing::Lost(Loss::TrimmedBySize);
    for (at, expected) in [
        (offset(20) - 1, lost),
        (offset(20), Missing::From(21)),
        (offset(20) + 1, Missing::From(21)),
        (offset(21) - 1, Missing::From(21)),
        (offset(21), Missing::From(22)),
        (offset(30) - 1, Missing::From(30)),
        (offset(30), Missing::Nothing),
        (offset(30) + 1, Missing::Lost(Loss::EpochChanged)),
    ] {
        assert_eq!(pair.log.missing(since(at)), expected, "{at}");
    }
    assert!(
        pair.log.jumps().len() <= 12,
        "no more than there are entries"
    );
    let reader = Reader {
        who: address(2),
        encoding: EncodingId::FIRST,
        next: 5,
        reading: ReadMode::All,
    };
    let (texts, missed) = pair.read_all(reader, 1 << 20);
    let count = 16;
    let reason = MissedReason::TrimmedBySize;
    assert_eq!((texts.len(), missed), (10, vec![Missed { count, reason }]));
    pair.log.clear();
    assert_eq!(pair.log.missing(since(offset(30))), Missing::Nothing);
    assert_eq!(pair.log.missing(since(offset(30) - 1)), lost);
    pair.log.begin(78, 1);
    assert_eq!(pair.log.jumps().len(), 0);
}

/// A member that is late is sent again what it was sent, and nothing that was published since: that
/// comes behind it, as new.
#[test]
fn what_comes_again_was_there_before() {
    let mut random = Rng::with_seed(10);
    let mut pair = Pair::new(LogOptions {
        publications_max: 3,
        ..LogOptions::default()
    });
    for _ in 0..10 {
        pair.publish(&mut random);
    }
    assert_eq!(pair.log.first(), 8);
    let missed = |count| {
        let reason = MissedReason::Unacknowledged;
        (count > 0).then_some(Missed { count, reason })
    };
    for (next, until, again, expected_next, lost) in [
        (5, 6, 0..0, 7, 2),
        // The log begins right behind what the member was sent.
        (5, 7, 0..0, 8, 3),
        (7, 7, 0..0, 8, 1),
        (5, 8, 8..9, 9, 3),
        (8, 9, 8..10, 10, 0),
        (5, 10, 8..11, 11, 3),
    ] {
        let reader = Reader {
            who: address(2),
            encoding: EncodingId::FIRST,
            next,
            reading: ReadMode::Again { until },
        };
        let range = pair.read(&reader, 1 << 20);
        let texts: Vec<String> = range.spans.iter().flat_map(texts_of).collect();
        let expected = again.filter_map(|ordinal: u64| {
            let known = &pair.known[ordinal as usize - 1];
            text_of(EncodingId::FIRST, &known.text, known.offset)
        });
        assert_eq!(texts, expected.collect::<Vec<_>>(), "{reader:?}");
        assert_eq!(
            (range.next, range.missed),
            (expected_next, missed(lost)),
            "{reader:?}"
        );
    }
}
