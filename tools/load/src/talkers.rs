//! A worker's talkers and when they talk. Invariant (closed loop): exactly so many messages of a
//! talker are undelivered as was asked for. Called by `fanout`.

use crate::chat::drawn;
use crate::dialect::Dialect;
use crate::layout::{Layout, Voice};
use crate::message::{Kind, Stamp};
use crate::meter::Meter;
use crate::pace::{Pace, Schedule};
use crate::sockets::Sockets;
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Who publishes.
#[derive(Debug)]
pub(crate) struct Talkers {
    pace: Pace,
    /// Draws who talks next; `None`: one after the other.
    seed: Option<u64>,
    /// Open loop, while running.
    schedule: Option<Schedule>,
    running: bool,
    /// By talker.
    published: Vec<u64>,
    /// By all of them.
    sent: u64,
    /// By talker.
    undelivered: Vec<Undelivered>,
    scratch: Vec<u8>,
}

/// A talker's messages that have not reached every local member, oldest first.
#[derive(Clone, Debug, Default)]
struct Undelivered {
    /// Number of the oldest.
    first: u64,
    /// Members that miss it.
    missing: VecDeque<u32>,
}

/// Publishes in one turn before anything is read.
const PUBLISHES_PER_TICK_MAX: u64 = 1024;

impl Talkers {
    /// The layout's, silent until `run`.
    pub(crate) fn new(layout: &Layout, pace: Pace, seed: Option<u64>) -> Talkers {
        Talkers {
            pace,
            seed,
            schedule: None,
            running: false,
            published: vec![0; layout.talkers()],
            sent: 0,
            undelivered: vec![Undelivered::default(); layout.talkers()],
            scratch: Vec::new(),
        }
    }

    /// Sends a probe of every voice that is to probe its room.
    pub(crate) fn probe(&mut self, layout: &Layout, dialect: &Dialect, sockets: &mut Sockets) {
        for talker in 0..layout.talkers() {
            self.scratch.clear();
            let sender = layout.talker_number(talker);
            for &room in layout.rotation(talker) {
                let place = layout.voice(room as usize, sender);
                if place.is_none_or(|(place, _)| place >= layout.probers(room as usize)) {
                    continue;
                }
                let stamp = Stamp {
                    kind: Kind::Probe,
                    sender,
                    room: layout.room_name(room as usize),
                    sequence: 0,
                    intended_ns: 0,
                };
                dialect.append_publish(&mut self.scratch, &stamp);
            }
            if !self.scratch.is_empty() {
                sockets.send(layout.connection_of(talker), &self.scratch);
            }
        }
    }

    /// Talks from `start_ns` to `end_ns`.
    pub(crate) fn run(&mut self, layout: &Layout, start_ns: u64, end_ns: u64) {
        self.running = !layout.speaking().is_empty();
        if let (Pace::Rate { per_s, burst }, true) = (self.pace, self.running) {
            let bursts_per_s = per_s * layout.part() / f64::from(burst);
            self.schedule = Some(Schedule::new(start_ns, end_ns, bursts_per_s));
        }
    }

    /// Publishes what is due. Returns when it wants to be called again.
    pub(crate) fn tick(
        &mut self,
        now_ns: u64,
        layout: &Layout,
        meter: &mut Meter,
        dialect: &Dialect,
        sockets: &mut Sockets,
    ) -> u64 {
        if !self.running {
            return u64::MAX;
        }
        match self.pace {
            Pace::Rate { burst, .. } => {
                self.publish_due(now_ns, burst, layout, meter, dialect, sockets)
            }
            Pace::Closed(outstanding) if now_ns < meter.window_end_ns() => {
                let more = self.refill(now_ns, outstanding, layout, dialect, sockets);
                if more { now_ns } else { u64::MAX }
            }
            Pace::Once => {
                for talker in 0..layout.talkers() {
                    let count = layout.rotation(talker).len() as u64;
                    self.publish(talker, count, now_ns, layout, dialect, sockets);
                }
                self.running = false;
                u64::MAX
            }
            Pace::Closed(_) | Pace::Silent => u64::MAX,
        }
    }

    fn publish_due(
        &mut self,
        now_ns: u64,
        burst: u32,
        layout: &Layout,
        meter: &mut Meter,
        dialect: &Dialect,
        sockets: &mut Sockets,
    ) -> u64 {
        let Some(mut schedule) = self.schedule else {
            return u64::MAX;
        };
        for _ in 0..PUBLISHES_PER_TICK_MAX.div_ceil(u64::from(burst)) {
            let Some((number, intended_ns)) = schedule.take(now_ns) else {
                break;
            };
            let turn = self.seed.map_or(number, |seed| drawn(seed, number));
            let speaking = layout.speaking();
            let talker = speaking[(turn % speaking.len() as u64) as usize] as usize;
            meter.record_lateness(crate::clock::now_ns(), intended_ns);
            self.publish(
                talker,
                u64::from(burst),
                intended_ns,
                layout,
                dialect,
                sockets,
            );
        }
        self.schedule = Some(schedule);
        schedule.next_ns().unwrap_or(u64::MAX)
    }

    /// Keeps `outstanding` publishes of each talker under way. Returns whether there is more to
    /// send.
    fn refill(
        &mut self,
        now_ns: u64,
        outstanding: u32,
        layout: &Layout,
        dialect: &Dialect,
        sockets: &mut Sockets,
    ) -> bool {
        let mut more = false;
        for talker in 0..self.published.len() {
            let wanted = u64::from(outstanding)
                .saturating_sub(self.undelivered[talker].missing.len() as u64);
            more |= wanted > PUBLISHES_PER_TICK_MAX;
            let count = wanted.min(PUBLISHES_PER_TICK_MAX);
            if count > 0 {
                self.publish(talker, count, now_ns, layout, dialect, sockets);
            }
        }
        more
    }

    /// The talker's next `count` messages, in one write.
    fn publish(
        &mut self,
        talker: usize,
        count: u64,
        intended_ns: u64,
        layout: &Layout,
        dialect: &Dialect,
        sockets: &mut Sockets,
    ) {
        self.scratch.clear();
        let rotation = layout.rotation(talker);
        let turns = rotation.len() as u64;
        for number in self.published[talker]..self.published[talker] + count {
            let room = rotation[(number % turns) as usize] as usize;
            let stamp = Stamp {
                kind: Kind::Publish,
                sender: layout.talker_number(talker),
                room: layout.room_name(room),
                sequence: number / turns,
                intended_ns,
            };
            dialect.append_publish(&mut self.scratch, &stamp);
            if let Pace::Closed(_) = self.pace {
                let missing = &mut self.undelivered[talker].missing;
                missing.push_back(layout.members_here(room));
            }
        }
        self.published[talker] += count;
        self.sent += count;
        self.undelivered[talker].forget_delivered();
        sockets.send(layout.connection_of(talker), &self.scratch);
    }

    /// A member got these messages of a voice, by their numbers in the room.
    pub(crate) fn delivered(
        &mut self,
        layout: &Layout,
        voice: Voice,
        sequences: RangeInclusive<u64>,
    ) {
        if let (Pace::Closed(_), Some(talker)) = (self.pace, layout.talker_here(voice.talker)) {
            for sequence in sequences {
                self.undelivered[talker].delivered(voice.number(sequence));
            }
        }
    }

    /// Publishes nothing more.
    pub(crate) fn stop(&mut self) {
        self.running = false;
    }

    /// Messages by all talkers.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages by each talker.
    pub(crate) fn published(&self) -> &[u64] {
        &self.published
    }
}

impl Undelivered {
    fn delivered(&mut self, number: u64) {
        let place = number
            .checked_sub(self.first)
            .and_then(|place| usize::try_from(place).ok());
        if let Some(missing) = place.and_then(|place| self.missing.get_mut(place)) {
            *missing = missing.saturating_sub(1);
        }
        self.forget_delivered();
    }

    /// Forgets what is delivered.
    fn forget_delivered(&mut self) {
        while self.missing.front() == Some(&0) {
            self.missing.pop_front();
            self.first += 1;
        }
    }
}
