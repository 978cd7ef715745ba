//! Requests that are too late, and those that were refused for now and wait to be asked again.
//!
//! Invariant: no deadline is earlier than `earliest`. Part of the requests.

use super::Requests;
use crate::entry::{Entry, Purpose};
use crate::error::{Effect, Error, ErrorKind};
use std::time::Instant;

impl Requests {
    pub(super) fn watch(&mut self, deadline: Instant) {
        self.earliest = Some(self.earliest.map_or(deadline, |other| other.min(deadline)));
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// Once more after a pause; then before all others.
    pub(crate) fn later(&mut self, at: Instant, entry: Entry) {
        self.watch(at.min(entry.deadline()));
        self.delayed_bytes += entry.bytes();
        self.delayed.push((at, entry));
    }

    /// Settles what is too late, and brings back what was to wait. Those of the client itself are
    /// given back.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Purpose> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        let mut earliest: Option<Instant> = None;
        let mut keep = |at: Instant| earliest = Some(earliest.map_or(at, |other| other.min(at)));
        let mut late = Vec::new();
        for list in [&mut self.waiting, &mut self.control] {
            for _ in 0..list.len() {
                let Some(entry) = list.pop_front() else { break };
                if entry.deadline() <= now {
                    late.push((entry, Effect::None));
                } else {
                    keep(entry.deadline());
                    list.push_back(entry);
                }
            }
        }
        for (at, entry) in std::mem::take(&mut self.delayed) {
            if entry.deadline() <= now {
                late.push((entry, Effect::None));
            } else if at > now {
                keep(at.min(entry.deadline()));
                self.delayed.push((at, entry));
            } else {
                keep(entry.deadline());
                self.waiting.push_front(entry);
            }
        }
        for place in 0..self.slots.len() {
            let slot = self.slots[place].take_if(|slot| slot.deadline <= now);
            if let Some(slot) = slot {
                self.release(place, &slot);
                late.extend(slot.entry.map(|entry| (entry, Effect::Unknown)));
            } else if let Some(slot) = &self.slots[place] {
                keep(slot.deadline);
            }
        }
        self.earliest = earliest;
        self.count_bytes();
        self.wake_waiters();
        let mut own = Vec::new();
        for (entry, effect) in late {
            let message = format!("no answer within {} ms", entry.timeout.as_millis());
            let error = Error::new(ErrorKind::Timeout, message).with_effect(effect);
            match entry.purpose {
                Purpose::User(..) => entry.settle(Err(error)),
                purpose => own.push(purpose),
            }
        }
        own
    }

    /// Bytes of what waits, counted anew.
    pub(super) fn count_bytes(&mut self) {
        self.waiting_bytes = self.waiting.iter().map(Entry::bytes).sum();
        let delayed = self.delayed.iter().map(|(_, entry)| entry.bytes());
        self.delayed_bytes = delayed.sum();
    }
}
