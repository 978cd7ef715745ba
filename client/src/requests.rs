//! Requests: those that wait to be sent and those that wait for their answers.
//!
//! Invariant: each settles exactly once: by its answer, its timeout, its caller who is gone, or the
//! end of the client. What waits is bounded by [`QueueOptions`], what is under way by `in_flight`
//! and [`UNDER_WAY_BYTES_MAX`]. Used by the core.

#[cfg(test)]
mod tests;
mod timing;

use crate::encoding::{Body, Tail};
use crate::entry::{Entry, KeyOrigin, Purpose, QueueOptions, Resend, WhenQueueFull};
use crate::error::{Effect, Error, ErrorKind};
use crate::keyed::KeyedRooms;
use crate::outbox::Outbox;
use crate::rooms::TakesKeys;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// Requests that may be under way, whatever the options say.
pub(crate) const IN_FLIGHT_MAX: usize = 1_024;

/// More waits, unless nothing is under way.
const UNDER_WAY_BYTES_MAX: usize = 1 << 20;

/// The client's own: joins and leaves, who it is, a refreshed token.
const CONTROL_MAX: usize = 16;

/// Bits of an id that say which slot the request has; the others count.
const SLOT_BITS: u32 = 12;
const _: () = assert!(IN_FLIGHT_MAX + CONTROL_MAX <= 1 << SLOT_BITS);

#[derive(Debug)]
struct Slot {
    id: u64,
    bytes: usize,
    /// None: its caller is gone, and the server still has it.
    entry: Option<Entry>,
    deadline: Instant,
    is_control: bool,
}

/// Whether requests of the user may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Held,
}

#[derive(Debug)]
pub(crate) struct Requests {
    options: QueueOptions,
    control: VecDeque<Entry>,
    waiting: VecDeque<Entry>,
    waiting_bytes: usize,
    /// Refused for now, and when they are asked again.
    delayed: Vec<(Instant, Entry)>,
    delayed_bytes: usize,
    slots: Vec<Option<Slot>>,
    free: Vec<u16>,
    under_way: usize,
    under_way_bytes: usize,
    sent: u64,
    gate: Gate,
    /// Of one message; before any welcome it is not known.
    bytes_max: usize,
    pub(crate) keyed: KeyedRooms,
    /// No deadline is earlier.
    earliest: Option<Instant>,
    /// Who waits for room in the queue: one for each future that a caller holds.
    waiters: Vec<(u64, Waker)>,
    refusal: Option<Error>,
}

/// A request that is not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// For good.
    Failed(Box<Entry>, Error),
    /// There is no room now.
    Full(Box<Entry>),
}

impl Requests {
    pub(crate) fn new(options: QueueOptions, keyed: KeyedRooms) -> Requests {
        Requests {
            options,
            control: VecDeque::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            delayed: Vec::new(),
            delayed_bytes: 0,
            slots: Vec::new(),
            free: Vec::new(),
            under_way: 0,
            under_way_bytes: 0,
            sent: 0,
            gate: Gate::Held,
            bytes_max: usize::MAX,
            keyed,
            earliest: None,
            waiters: Vec::new(),
            refusal: None,
        }
    }

    /// Requests of the user that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.waiting.len() + self.delayed.len()
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.waiting_bytes + self.delayed_bytes
    }

    /// Requests of the user that are not settled.
    pub(crate) fn pending(&self) -> usize {
        self.queued() + self.under_way
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// A connection stands: control requests may go.
    pub(crate) fn attach(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// All requests may go.
    pub(crate) fn ready(&mut self) {
        self.gate = Gate::Open;
    }

    /// None may go but the client's own.
    pub(crate) fn hold(&mut self) {
        self.gate = Gate::Held;
    }

    /// The connection is gone. `again`: whether what was under way may be sent again at all.
    pub(crate) fn detach(&mut self, again: Resend) {
        self.gate = Gate::Held;
        self.control.clear();
        let (mut back, mut lost) = (Vec::new(), Vec::new());
        for slot in self.take_slots() {
            let Some(entry) = slot.entry else { continue };
            let keyed = entry.key.as_ref().is_some_and(|key| key.key.is_some());
            let may = entry.resend == Resend::Yes || keyed;
            match again == Resend::Yes && may && !entry.is_control() {
                true => back.push((slot.id >> SLOT_BITS, entry)),
                false => lost.push(entry),
            }
        }
        back.sort_by_key(|(sent, _)| std::cmp::Reverse(*sent));
        for (_, entry) in back {
            self.waiting_bytes += entry.bytes();
            self.waiting.push_front(entry);
        }
        for entry in lost {
            let message = "the connection went before the answer came";
            let error = Error::new(ErrorKind::ConnectionLost, message);
            entry.settle(Err(error.with_effect(Effect::Unknown)));
        }
    }

    fn take_slots(&mut self) -> Vec<Slot> {
        self.free.clear();
        (self.under_way, self.under_way_bytes) = (0, 0);
        self.slots.drain(..).flatten().collect()
    }

    /// The end: nothing is sent any more.
    pub(crate) fn close(&mut self, error: &Error) {
        self.refusal = Some(error.clone());
        self.control.clear();
        (self.waiting_bytes, self.delayed_bytes) = (0, 0);
        let delayed = self.delayed.drain(..).map(|(_, entry)| entry);
        let waiting = self.waiting.drain(..).chain(delayed);
        waiting.for_each(|entry| entry.settle(Err(error.clone())));
        for entry in self.take_slots().into_iter().filter_map(|slot| slot.entry) {
            entry.settle(Err(error.clone().with_effect(Effect::Unknown)));
        }
        self.wake_waiters();
    }

    /// No new request is taken, and those that there are go on.
    pub(crate) fn refuse(&mut self, error: Error) {
        self.refusal = Some(error);
        self.wake_waiters();
    }

    fn wake_waiters(&mut self) {
        self.waiters.drain(..).for_each(|(_, waker)| waker.wake());
    }

    /// Whoever asks is woken once there may be room in the queue.
    pub(crate) fn wait_for_room(&mut self, ticket: u64, waker: &Waker) {
        match self.waiters.iter_mut().find(|(other, _)| *other == ticket) {
            Some((_, known)) => known.clone_from(waker),
            None => self.waiters.push((ticket, waker.clone())),
        }
    }

    /// Whoever waited for room is gone.
    pub(crate) fn waits_no_more(&mut self, ticket: u64) {
        self.waiters.retain(|(other, _)| *other != ticket);
    }

    /// What waits is handed over to another connection.
    pub(crate) fn take_waiting(&mut self) -> Vec<Entry> {
        let delayed = self.delayed.drain(..).map(|(_, entry)| entry);
        let all = self.waiting.drain(..).chain(delayed);
        let (moves, stays): (Vec<Entry>, Vec<Entry>) = all.partition(Entry::can_move);
        self.waiting = VecDeque::from(stays);
        self.count_bytes();
        self.wake_waiters();
        moves
    }

    /// Takes a request of the user.
    pub(crate) fn ask(&mut self, mut entry: Entry) -> Result<(), Refusal> {
        if let Some(error) = &self.refusal {
            return Err(Refusal::Failed(Box::new(entry), error.clone()));
        }
        if let Some(key) = &mut entry.key
            && key.origin == KeyOrigin::Automatic
            && self.keyed.takes(&key.room) == TakesKeys::No
        {
            key.key = None;
        }
        let bytes = entry.bytes();
        if bytes > self.bytes_max {
            return Err(Refusal::Failed(Box::new(entry), self.too_large(bytes)));
        }
        while self.is_full(bytes) {
            let full = || Error::new(ErrorKind::QueueFull, "as many requests wait as may");
            match self.options.when_full {
                WhenQueueFull::Refuse => return Err(Refusal::Failed(Box::new(entry), full())),
                WhenQueueFull::Wait => return Err(Refusal::Full(Box::new(entry))),
                WhenQueueFull::DropOldest => {
                    let Some(oldest) = self.waiting.pop_front() else {
                        return Err(Refusal::Failed(Box::new(entry), full()));
                    };
                    self.waiting_bytes -= oldest.bytes();
                    oldest.settle(Err(full()));
                }
            }
        }
        self.watch(entry.deadline());
        self.waiting_bytes += bytes;
        self.waiting.push_back(entry);
        Ok(())
    }

    fn is_full(&self, bytes: usize) -> bool {
        self.queued() >= self.options.count || self.queued_bytes() + bytes > self.options.bytes
    }

    fn too_large(&self, bytes: usize) -> Error {
        let max = self.bytes_max;
        let message = format!("a message of up to {bytes} bytes, and one may have {max}");
        Error::new(ErrorKind::TooLarge, message)
    }

    /// The client's own requests, which go before all others, and die with their connection.
    pub(crate) fn control(
        &mut self,
        body: Body,
        purpose: Purpose,
        now: Instant,
        timeout: Duration,
    ) {
        self.watch(now + timeout);
        self.control.push_back(Entry {
            body,
            purpose,
            key: None,
            resend: Resend::No,
            timeout,
            retries: 0,
            ticket: 0,
            since: now,
        });
    }

    pub(crate) fn control_has_room(&self) -> bool {
        self.control.len() < CONTROL_MAX / 2
    }

    /// Takes what waits for the answer with this id.
    pub(crate) fn take(&mut self, id: u64) -> Option<Entry> {
        let place = (id & ((1 << SLOT_BITS) - 1)) as usize;
        let held = self.slots.get_mut(place)?;
        let slot = held.take_if(|slot| slot.id == id)?;
        self.release(place, &slot);
        slot.entry
    }

    fn release(&mut self, place: usize, slot: &Slot) {
        self.free.push(place as u16);
        self.under_way -= usize::from(!slot.is_control);
        self.under_way_bytes -= slot.bytes;
    }

    /// Once more, without a key that its room refused; before all others.
    pub(crate) fn again(&mut self, entry: Entry) {
        self.watch(entry.deadline());
        self.waiting_bytes += entry.bytes();
        self.waiting.push_front(entry);
    }

    /// Its caller is gone.
    pub(crate) fn withdraw(&mut self, ticket: u64) {
        if let Some(at) = self.waiting.iter().position(|entry| entry.ticket == ticket) {
            if let Some(entry) = self.waiting.remove(at) {
                self.waiting_bytes -= entry.bytes();
            }
            self.wake_waiters();
            return;
        }
        let mut delayed = self.delayed.iter();
        let at = delayed.position(|(_, entry)| entry.ticket == ticket);
        if let Some(at) = at {
            let (_, entry) = self.delayed.remove(at);
            self.delayed_bytes -= entry.bytes();
            self.wake_waiters();
            return;
        }
        let mut slots = self.slots.iter_mut().flatten();
        let of = |slot: &&mut Slot| {
            slot.entry
                .as_ref()
                .is_some_and(|entry| entry.ticket == ticket)
        };
        if let Some(slot) = slots.find(of) {
            slot.entry = None;
        }
    }

    /// Whether a publish has to wait: one to a room of which it is not known whether it takes keys
    /// goes alone.
    fn must_wait(&mut self) -> bool {
        let Some(entry) = self.waiting.front_mut() else {
            return true;
        };
        let Some(key) = &mut entry.key else {
            return false;
        };
        if key.origin == KeyOrigin::Given || key.key.is_none() {
            return false;
        }
        match self.keyed.takes(&key.room) {
            TakesKeys::Yes => false,
            TakesKeys::No => {
                key.key = None;
                false
            }
            TakesKeys::Maybe => {
                let room = Arc::clone(&key.room);
                let mut under_way = self
                    .slots
                    .iter()
                    .flatten()
                    .filter_map(|slot| slot.entry.as_ref());
                under_way.any(|other| other.key.as_ref().is_some_and(|key| key.room == room))
            }
        }
    }

    /// When the batch that is being gathered is full or old enough; none: nothing is gathered.
    pub(crate) fn batch_due(&self, delay: Duration, bytes: usize) -> Option<Instant> {
        let first = self.waiting.front()?;
        match self.gate {
            Gate::Held => None,
            Gate::Open if self.waiting_bytes >= bytes => Some(first.since),
            Gate::Open => Some(first.since + delay),
        }
    }

    /// Sends the client's own requests.
    pub(crate) fn send_control(&mut self, outbox: &mut Outbox) {
        while outbox.has_room() {
            let Some(entry) = self.control.pop_front() else {
                return;
            };
            self.send(entry, outbox);
        }
    }

    /// Sends what may be sent.
    pub(crate) fn send_waiting(&mut self, outbox: &mut Outbox) {
        let before = self.waiting.len();
        while self.gate == Gate::Open && outbox.has_room() {
            let Some(bytes) = self.waiting.front().map(Entry::bytes) else {
                break;
            };
            let is_full = self.under_way >= self.options.in_flight
                || (self.under_way > 0 && self.under_way_bytes + bytes > UNDER_WAY_BYTES_MAX);
            if is_full || self.must_wait() {
                break;
            }
            let Some(entry) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            // One of another member of a pool is not withdrawn where it came to.
            if !entry.is_abandoned() {
                self.send(entry, outbox);
            }
        }
        if self.waiting.len() < before && !self.waiters.is_empty() {
            self.wake_waiters();
        }
    }

    fn send(&mut self, entry: Entry, outbox: &mut Outbox) {
        let bytes = entry.bytes();
        if bytes > self.bytes_max {
            let error = self.too_large(bytes);
            return entry.settle(Err(error));
        }
        let place = self.free.pop().map_or(self.slots.len(), usize::from);
        self.sent += 1;
        let id = self.sent << SLOT_BITS | place as u64;
        let key = entry.key.as_ref().and_then(|key| key.key.as_deref());
        outbox.message(|out| entry.body.write(out, Tail { id, key }));
        self.under_way += usize::from(!entry.is_control());
        self.under_way_bytes += bytes;
        let slot = Slot {
            id,
            bytes,
            deadline: entry.deadline(),
            is_control: entry.is_control(),
            entry: Some(entry),
        };
        match self.slots.get_mut(place) {
            Some(free) => *free = Some(slot),
            None => self.slots.push(Some(slot)),
        }
    }
}
