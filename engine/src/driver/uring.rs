//! The production driver: one thread's io_uring rings. Their number is its private matter; the
//! shard sees slots.
//!
//! Every ring has its own table of direct descriptors (at most as many as the process may open
//! files), so a shard with more connections than that owns several. The first is the one that
//! sleeps; the others wake it through an eventfd each.

mod accept;
mod buffers;
mod capabilities;
mod closing;
mod completions;
mod event_fd;
mod features;
#[cfg(test)]
mod handover;
mod limits;
mod patience;
mod platform;
#[cfg(test)]
mod promises;
mod receiving;
mod refusal;
mod release;
mod ring;
mod ring_set;
mod slot;
mod tables;
mod tracked;
mod userdata;
mod vectors;
mod waking;

pub use buffers::Lease;
pub use capabilities::Capabilities;
pub use platform::Uring;
pub use tables::Tables;

use crate::config::Config;
use crate::connection::paged::Paged;
use crate::driver::Wait;
use crate::driver::boundary::{Completion, Driver, Millis, ReceiveEnd, ShortSend, StopAccept};
use crate::driver::counters::DriverCounters;
use crate::driver::listen::ListenSocket;
use crate::driver::platform::Unsupported;
use crate::driver::ticks::Ticks;
use crate::driver::uring::ring::Waking;
use crate::driver::waiting::Receive;
use crate::egress::outgoing::Outgoing;
use crate::types::ticket::Ticket;
use accept::Acceptors;
use bytes::Bytes;
use io_uring::{opcode, squeue, types};
use patience::Patience;
use ring::Ring;
use slot::{Slot, State};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};
use tracked::TrackedSends;
use userdata::{Op, UserData};
use vectors::{TRANSMIT_FLAGS, Vectors};

/// One shard's rings.
#[derive(Debug)]
pub struct UringDriver {
    // Rings are dropped first: the memory below may be in use by what is under way on them.
    rings: Vec<Ring>,
    acceptors: Acceptors,
    tracked: TrackedSends,
    vectors: Vectors,
    bell: event_fd::EventFd,
    slots: Paged<Slot>,
    tables: Tables,
    /// How further rings are made; `None`: not found yet.
    waking: Option<Waking>,
    /// When a further ring may be tried again.
    grows_from: Millis,
    /// Connections whose receive found no buffer, since the last look at them.
    starved: Vec<Ticket>,
    /// Connections whose receive is being cancelled because they took too many buffers.
    curbed: Vec<Ticket>,
    pending: Vec<Completion<Lease>>,
    short_sends: Vec<ShortSend>,
    patience: Patience,
    ticks: Ticks,
    start: Instant,
    now: Millis,
    ring_fds: RingFds,
    capabilities: Capabilities,
    counters: Arc<DriverCounters>,
}

/// The first ring of every shard, for wakes. Filled in before any shard ticks.
#[derive(Clone, Debug)]
pub struct RingFds(Arc<[AtomicI32]>);

impl Default for RingFds {
    fn default() -> RingFds {
        RingFds(
            (0..Config::SHARDS_MAX)
                .map(|_| AtomicI32::new(-1))
                .collect(),
        )
    }
}

/// How a driver is set up.
#[derive(Debug)]
pub struct UringSetup {
    /// They listen already. In the order of the configuration.
    pub listeners: Vec<ListenSocket>,
    /// How many connections this shard may hold, and how.
    pub tables: Tables,
    /// This shard's index.
    pub shard: u16,
    /// All shards' rings.
    pub ring_fds: RingFds,
    /// What the kernel offers, as [`Capabilities::probe`] found it.
    pub capabilities: Capabilities,
    /// Where the driver counts.
    pub counters: Arc<DriverCounters>,
}

impl UringDriver {
    /// Creates the first ring, on the thread that will use it.
    ///
    /// # Errors
    /// The host refused something that the driver needs: the error names it and what to do.
    pub fn new(setup: UringSetup) -> Result<UringDriver, Unsupported> {
        let first = Ring::new(setup.tables.table, 0)?;
        let bell = event_fd::EventFd::new()?;
        setup.ring_fds.0[setup.shard as usize].store(first.raw_fd(), Ordering::Release);
        setup.counters.rings.set(1);
        let mut driver = UringDriver {
            rings: vec![first],
            acceptors: Acceptors::new(setup.listeners),
            tracked: TrackedSends::default(),
            vectors: Vectors::default(),
            bell,
            slots: Paged::default(),
            tables: setup.tables,
            waking: None,
            grows_from: 0,
            starved: Vec::new(),
            curbed: Vec::new(),
            pending: Vec::new(),
            short_sends: Vec::new(),
            patience: Patience::new(),
            ticks: Ticks::default(),
            start: Instant::now(),
            now: 0,
            ring_fds: setup.ring_fds,
            capabilities: setup.capabilities,
            counters: setup.counters,
        };
        driver.listen_to_bell();
        // A host that refuses is asked again when a further ring is needed.
        let _unknown = driver.find_waking();
        Ok(driver)
    }

    /// How many connections this shard may hold, and how.
    pub fn tables(&self) -> Tables {
        self.tables
    }

    /// What the kernel offers, found by trying.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn listen_to_bell(&mut self) {
        let (fd, buffer) = self.bell.target();
        let entry = opcode::Read::new(types::Fd(fd), buffer, 8)
            .build()
            .user_data(UserData::plain(Op::Bell, 0).0);
        // SAFETY: the eventfd and its buffer are owned by `self.bell`, which is dropped after the
        // rings.
        unsafe { self.rings[0].push(entry) };
    }

    fn ring_of(&self, slot: u32) -> usize {
        (slot / self.tables.table) as usize
    }

    fn fixed(&self, slot: u32) -> types::Fixed {
        types::Fixed(slot % self.tables.table)
    }

    /// Queues an operation that refers to no memory.
    fn push_plain(&mut self, slot: u32, entry: squeue::Entry) {
        let ring = self.ring_of(slot);
        // SAFETY: only operations without pointers come here.
        unsafe { self.rings[ring].push(entry) };
    }

    /// Queues one transmit.
    fn transmit(&mut self, outgoing: &Outgoing, index: usize) {
        let ticket = outgoing.ticket(index);
        let mut slices = outgoing.slices(index);
        let Some(first) = slices.next() else { return };
        debug_assert!(self.slots[ticket.slot].state.0 & (State::TRACKED | State::CLOSING) == 0);
        let fixed = self.fixed(ticket.slot);
        let entry = match slices.next() {
            None => opcode::Send::new(fixed, first.as_ptr(), first.len() as u32)
                .flags(TRANSMIT_FLAGS)
                .build(),
            Some(second) => {
                let header = self
                    .vectors
                    .gather([first, second].into_iter().chain(slices));
                opcode::SendMsg::new(fixed, header)
                    .flags(TRANSMIT_FLAGS as u32)
                    .build()
            }
        };
        let entry = entry
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(UserData::of(Op::Transmit, ticket).0);
        let ring = self.ring_of(ticket.slot);
        // SAFETY: `outgoing` is borrowed, and `vectors` untouched, until `turn` has submitted
        // everything; `MSG_DONTWAIT` makes the send complete during submission.
        unsafe { self.rings[ring].push(entry) };
    }

    fn cancel(&mut self, op: Op, ticket: Ticket) {
        let entry = opcode::AsyncCancel::new(UserData::of(op, ticket).0)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(UserData::plain(Op::Cancel, 0).0);
        self.push_plain(ticket.slot, entry);
    }
}

/// How long it is from now until then, if it is any time.
fn time_until(until: Millis, now: Duration) -> Option<types::Timespec> {
    let micros = (until * 1000)
        .checked_sub(now.as_micros() as u64)
        .filter(|micros| *micros > 0)?;
    Some(
        types::Timespec::new()
            .sec(micros / 1_000_000)
            .nsec((micros % 1_000_000 * 1000) as u32),
    )
}

impl Driver for UringDriver {
    type Lease = Lease;

    fn now(&self) -> Millis {
        self.now
    }

    fn reap(&mut self, into: &mut Vec<Completion<Lease>>) {
        let now = self.start.elapsed();
        self.ticks.begin(now, self.pending.len(), &self.counters);
        into.append(&mut self.pending);
        self.now = now.as_millis() as Millis;
    }

    fn turn(&mut self, outgoing: &Outgoing, wait: Wait, short_sends: &mut Vec<ShortSend>) {
        self.vectors.prepare(outgoing);
        for index in 0..outgoing.len() {
            self.transmit(outgoing, index);
        }
        let look = matches!(wait, Wait::Until(_));
        let sweep = self.sweep();
        let now = self.now;
        let rings = self.rings.iter_mut();
        let supply = rings.filter_map(|ring| ring.supply_buffers(now)).min();
        self.rearm(look);
        self.arm_accepts();
        let active = self.turn_siblings(look);
        let idle = !active && self.pending.is_empty() && !self.has_waiting();
        let timeout = match wait {
            Wait::Until(until) if idle => {
                let sooner = [self.acceptors.resumes(now), supply, sweep];
                let until = sooner.into_iter().flatten().fold(until, Millis::min);
                let exactly = self.start.elapsed();
                time_until(until, exactly).map(|timeout| (timeout, exactly))
            }
            Wait::Until(_) | Wait::No => None,
        };
        match timeout {
            Some((timeout, exactly)) => {
                self.ticks.wait(exactly);
                let min_wait = self.capabilities.min_wait;
                let (want, min_wait_us) = self.patience.ask(exactly, min_wait);
                self.rings[0].wait(want, min_wait_us, &timeout);
            }
            None if look => self.rings[0].enter_and_look(),
            None => self.rings[0].submit(),
        }
        let reaped = self.reap_ring(0);
        self.patience.saw(reaped);
        // A short send belongs to this turn: none may stay behind because completions overflow, or
        // because what the kernel refused to take would be sent later.
        for index in 0..self.rings.len() {
            while self.rings[index].is_behind() && !outgoing.is_empty() {
                self.rings[index].enter_and_look();
                self.reap_ring(index);
            }
        }
        if look {
            self.curb();
        }
        self.counters
            .enters
            .add(self.rings.iter_mut().map(Ring::take_enters).sum());
        self.counters.completion_overflows.set(
            self.rings
                .iter_mut()
                .map(|ring| u64::from(ring.overflow()))
                .sum(),
        );
        short_sends.append(&mut self.short_sends);
    }

    fn arm_receive(&mut self, ticket: Ticket) {
        let slot = &mut self.slots[ticket.slot];
        slot.give_to(ticket);
        slot.state.set(State::WANTED);
        // Who waits is armed in its turn.
        if !slot.state.has(State::ARMED | State::WAITING) {
            self.arm(ticket, Receive::Multishot);
        }
    }

    fn stop_receive(&mut self, ticket: Ticket) {
        let slot = &mut self.slots[ticket.slot];
        if slot.state.has(State::ARMED) {
            slot.state.set(State::STOPPING);
            self.cancel(Op::Receive, ticket);
        } else if slot.state.has(State::WANTED) {
            slot.state.clear(State::WANTED);
            self.pending.push(Completion::ReceiveEnded {
                ticket,
                why: ReceiveEnd::Stopped,
            });
        }
    }

    fn awaits_buffer(&self, ticket: Ticket) -> bool {
        let slot = self.slots[ticket.slot];
        slot.belongs_to(ticket) && slot.state.has(State::WAITING)
    }

    fn expect_large(&mut self) {
        let now = self.now;
        self.rings
            .iter_mut()
            .for_each(|ring| ring.expect_large(now));
    }

    fn give_back(&mut self, lease: Lease) {
        let ring = lease.ring();
        self.rings[ring].give_back(lease);
    }

    fn send_tracked(&mut self, ticket: Ticket, segments: &[Bytes]) {
        self.slots[ticket.slot].state.set(State::TRACKED);
        let header = self.tracked.start(ticket, segments);
        let entry = opcode::SendMsg::new(self.fixed(ticket.slot), header)
            .flags((libc::MSG_WAITALL | libc::MSG_NOSIGNAL) as u32)
            .build()
            .user_data(UserData::of(Op::Tracked, ticket).0);
        let ring = self.ring_of(ticket.slot);
        // SAFETY: `self.tracked` owns the header, the vector and the bytes until the send's
        // completion, and is dropped after the rings.
        unsafe { self.rings[ring].push(entry) };
    }

    fn shut_down(&mut self, ticket: Ticket) {
        self.shut(ticket, libc::SHUT_WR, Op::ShutDown);
    }

    fn close(&mut self, ticket: Ticket) {
        let slot = &mut self.slots[ticket.slot];
        slot.give_to(ticket);
        slot.state.clear(State::WANTED);
        slot.state.set(State::CLOSING);
        let state = slot.state;
        if state.has(State::ARMED) && !state.has(State::STOPPING) {
            self.cancel(Op::Receive, ticket);
        }
        if state.has(State::TRACKED) {
            self.cancel(Op::Tracked, ticket);
        }
        self.close_if_quiet(ticket);
    }

    fn wake(&mut self, shard: u16) {
        let fd: RawFd = self.ring_fds.0[shard as usize].load(Ordering::Acquire);
        let wake = UserData::plain(Op::Wake, 0).0;
        let entry = opcode::MsgRingData::new(types::Fd(fd), 0, wake, None)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(UserData::plain(Op::Ring, u32::from(shard)).0);
        // SAFETY: refers to no memory.
        unsafe { self.rings[0].push(entry) };
    }

    fn release_memory(&mut self) {
        self.vectors = Vectors::default();
        self.tracked.release_memory();
        self.starved.shrink_to_fit();
        self.rings.iter_mut().for_each(Ring::release_memory);
        self.pending.shrink_to_fit();
        self.short_sends.shrink_to_fit();
    }

    fn stop_accepting(&mut self, how: StopAccept) {
        for (ring, id) in self.acceptors.stop(how) {
            self.cancel_accept(ring, id);
        }
    }

    fn may_accept(&self) -> bool {
        self.acceptors.may_accept()
    }

    fn connections_max(&self) -> usize {
        self.room()
    }
}

/// A socket that others accept from outlives the rings: none of its connections may go to a ring
/// that is being taken down. A cancelled accept goes on taking the wakes that are meant for others
/// until it is looked at.
impl Drop for UringDriver {
    fn drop(&mut self) {
        self.stop_accepting(StopAccept::Release);
        self.rings.iter_mut().for_each(Ring::enter_and_look);
    }
}
