//! What was published, as receipts say, and what each reader was sent: the one has to be the other.

use crate::application::{filter_of, passes};
use shardcast_engine::MissedReason;
use shardcast_seeds::Tally;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// A publication: who published it, and the publisher's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageId {
    pub(crate) from: usize,
    pub(crate) number: usize,
}

/// Whether an encoding has a form for it.
pub(crate) fn can_say(encoding: usize, message_id: MessageId) -> bool {
    encoding == 0 || !(message_id.from + message_id.number).is_multiple_of(5)
}

thread_local! {
    /// What homes had encoded, in its places: a run has a thread to itself.
    static ENCODED: RefCell<BTreeMap<Place, MessageId>> = RefCell::default();
}

/// A home has it encoded in its place.
pub(crate) fn encoded(place: Place, message_id: MessageId) {
    ENCODED.with_borrow_mut(|encoded| {
        let known = *encoded.entry(place).or_insert(message_id);
        assert_eq!(known, message_id, "two publications at {place:?}");
    });
}

/// A place in a room's log.
pub(crate) type Place = (usize, u64, u64);

/// What is known of all rooms.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// Whatever anybody was told to stand at a place.
    pub(crate) places: BTreeMap<Place, MessageId>,
    /// All places of rooms whose offsets skip.
    pub(crate) given: BTreeMap<(usize, u64), BTreeSet<u64>>,
    /// Memberships, to be checked at the end.
    pub(crate) ended: Vec<(Reader, Ending)>,
    /// Publications that are left out for who published them.
    pub(crate) without_echo: BTreeSet<MessageId>,
    /// What was said to users, by user.
    pub(crate) users: BTreeMap<usize, Whispers>,
    pub(crate) tally: Tally,
}

/// What was said to one user, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct Whispers {
    /// By who says it, how much it has said.
    pub(crate) said: BTreeMap<usize, usize>,
    /// By whom of the user's connections was heard what.
    pub(crate) heard: BTreeSet<MessageId>,
    /// What the user was told that it has lost.
    pub(crate) lost: u64,
    /// A connection of the user's ended: what it was sent may not have come.
    pub(crate) is_cut: bool,
}

impl Truth {
    pub(crate) fn count(&mut self, name: &'static str, count: u64) {
        *self.tally.entry(name).or_default() += count;
    }

    pub(crate) fn count_missed(&mut self, reason: MissedReason, count: u64) {
        assert!(count > 0, "nothing is missed");
        let name = match reason {
            MissedReason::Dropped => "missed_dropped",
            MissedReason::Conflated => "missed_conflated",
            MissedReason::TrimmedBySize => "missed_trimmed_by_size",
            MissedReason::TrimmedByAge => "missed_trimmed_by_age",
            MissedReason::Unacknowledged => "missed_unacknowledged",
        };
        self.count(name, count);
    }

    /// Everybody is told the same about a place.
    pub(crate) fn learn(&mut self, place: Place, message_id: MessageId) {
        let known = *self.places.entry(place).or_insert(message_id);
        assert_eq!(known, message_id, "two publications at {place:?}");
    }

    /// Somebody who orders the room from outside has given this place.
    pub(crate) fn give(&mut self, place: Place, message_id: MessageId) {
        self.learn(place, message_id);
        let (room, epoch, offset) = place;
        let given = self.given.entry((room, epoch)).or_default();
        let skipped = offset - given.last().copied().unwrap_or_default() - 1;
        given.insert(offset);
        self.count("given_place", 1);
        self.count("skipped", skipped);
    }

    /// The offsets of a room behind one, up to another, that something was published at.
    fn offsets(&self, room: usize, epoch: u64, start: u64, end: u64) -> Vec<u64> {
        match self.given.get(&(room, epoch)) {
            Some(given) if start < end => given.range(start + 1..=end).copied().collect(),
            Some(_) => Vec::new(),
            None => (start + 1..=end).collect(),
        }
    }

    /// Whether these follow each other.
    pub(crate) fn follow(&self, room: usize, epoch: u64, offsets: &[u64]) -> bool {
        let follow = |pair: &[u64]| self.offsets(room, epoch, pair[0], pair[1]) == [pair[1]];
        offsets.windows(2).all(follow)
    }

    /// The last offset of a room's epoch.
    pub(crate) fn end(&self, room: usize, epoch: u64) -> u64 {
        let places = self
            .places
            .range((room, epoch, 0)..=(room, epoch, u64::MAX));
        places.last().map_or(0, |((_, _, offset), _)| *offset)
    }

    /// Whatever was said to a user reached a connection of it, or the user was told, where no
    /// connection of it, and none of who said it, was cut off.
    pub(crate) fn check_users(&mut self, is_cut: impl Fn(usize) -> bool) {
        for (user, whispers) in std::mem::take(&mut self.users) {
            let from_whole = whispers.said.keys().all(|from| !is_cut(*from));
            let said: usize = whispers.said.values().sum();
            let heard = whispers.heard.len() as u64;
            assert!(heard <= said as u64, "user {user}");
            if !whispers.is_cut && from_whole {
                // Each connection is told of what was lost before it came.
                let all = heard + whispers.lost;
                assert!(all >= said as u64, "user {user}: {whispers:?}");
                assert!(whispers.lost > 0 || heard == said as u64);
                self.count("whispers_complete", said as u64);
            }
        }
    }

    /// Checks all memberships.
    pub(crate) fn check_all(&mut self) {
        for (place, message_id) in ENCODED.take() {
            self.learn(place, message_id);
        }
        for (mut reader, ending) in std::mem::take(&mut self.ended) {
            if ending == Ending::Complete {
                reader.end = self.end(reader.room, reader.epoch).max(reader.end);
            }
            self.check(&reader, ending);
        }
    }

    /// One membership: what it was sent, beginning behind `start`, is the log, but for what it was
    /// told to have missed, what its encoding cannot say, and what it published itself for others.
    fn check(&mut self, reader: &Reader, ending: Ending) {
        let Reader {
            client,
            encoding,
            room,
            epoch,
            start,
            end,
            ..
        } = *reader;
        let (mut absent, mut excused) = (0, 0);
        let (mut unencodable, mut left_out, mut sifted) = (0, 0, 0);
        for offset in self.offsets(room, epoch, start, end) {
            if reader.sent.contains(&offset) {
                continue;
            }
            absent += 1;
            // What was never encoded was trimmed before anybody could be sent it.
            let Some(message_id) = self.places.get(&(room, epoch, offset)) else {
                continue;
            };
            let filter = filter_of(client);
            let is_sifted = filter.is_some_and(|filter| !passes(&filter, *message_id));
            let own = message_id.from == client && self.without_echo.contains(message_id);
            unencodable += u64::from(!can_say(encoding, *message_id));
            left_out += u64::from(own);
            sifted += u64::from(is_sifted);
            excused += u64::from(own || is_sifted || !can_say(encoding, *message_id));
        }
        let missed = reader.missed;
        let least = match ending {
            Ending::Early => 0,
            // A newcomer may have missed the newest that was there before it came.
            Ending::Complete => missed.saturating_sub(reader.newcomer.into()),
        };
        assert!(
            (least..=missed + excused).contains(&absent),
            "{absent} are absent, {missed} were missed, {excused} are excused: {reader:?}"
        );
        self.count("unencodable", unencodable);
        self.count("left_out", left_out);
        self.count("sifted", sifted);
    }
}

/// How a membership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Something of what was said to be missed, or of what follows that, may not have come.
    Early,
    /// It was sent all that there was.
    Complete,
}

/// One membership of a room.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) client: usize,
    pub(crate) encoding: usize,
    pub(crate) room: usize,
    pub(crate) epoch: u64,
    /// It is to be sent what comes behind this offset.
    pub(crate) start: u64,
    /// Up to here it was sent everything.
    pub(crate) end: u64,
    pub(crate) sent: BTreeSet<u64>,
    pub(crate) missed: u64,
    /// Up to here it has acknowledged.
    pub(crate) acked: u64,
    /// It was sent the newest, or the newest of each key, of what is before `start`.
    pub(crate) newcomer: bool,
}

impl Reader {
    /// It was sent something of an earlier connection's, or more than the newest.
    pub(crate) fn hear(&mut self, offset: u64) {
        assert!(
            self.sent.last().is_none_or(|last| *last < offset),
            "{offset} after {:?}: {self:?}",
            self.sent.last()
        );
        assert!(
            offset > self.start || self.newcomer,
            "{offset} was known: {self:?}"
        );
        self.sent.insert(offset);
        self.end = self.end.max(offset);
    }
}
