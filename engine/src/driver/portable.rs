//! The driver for hosts without io_uring: one thread's epoll instance and ordinary descriptors.
//!
//! The kernel tells once when a socket becomes readable (`EPOLLET`), so an established connection
//! costs no call but its receives and sends. All system calls are those of `rustix`: nothing here
//! is unsafe, and nothing is under way in the kernel between two turns.

mod bells;
mod buffers;
mod connection;
mod listeners;
mod platform;
mod receiving;
mod sending;
mod slots;
#[cfg(test)]
mod tests;
mod token;
mod unfinished;

pub use buffers::ReceivedPiece;
pub use platform::Portable;

use crate::connection::paged::Paged;
use crate::driver::boundary::{
    Completion, Driver, Millis, ReceiveEnd, ShortSend, StopAccept, Wait,
};
use crate::driver::counters::DriverCounters;
use crate::driver::listen::ListenSocket;
use crate::driver::ticks::Ticks;
use crate::driver::waiting::Waiting;
use crate::egress::outgoing::Outgoing;
use crate::types::ticket::Ticket;
use bells::Bells;
use buffers::BufferPool;
use bytes::Bytes;
use connection::{Readiness, Watched};
use listeners::{HasRoom, Listeners};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use slots::FreeSlots;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use token::Token;
use unfinished::UnfinishedSends;

/// Events that one turn takes from the kernel. Who is not among them is in the next turn's: the
/// kernel goes on behind those that it has told of.
const EVENTS_PER_TURN: usize = 256;

/// The longest wait in milliseconds: what the oldest kernels take.
const WAIT_MS_MAX: u64 = 60_000;

/// One shard's epoll instance.
pub struct PortableDriver {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    listeners: Listeners,
    connections: Paged<Watched>,
    slots: FreeSlots,
    buffers: BufferPool,
    /// Who may be received from, and has no buffer yet.
    waiting: Waiting,
    tracked: UnfinishedSends,
    pending: Vec<Completion<ReceivedPiece>>,
    /// `pending` has clients that nobody has reaped.
    accepted_last: bool,
    bells: Bells,
    /// Shards whose bells are rung in the next turn.
    wakes: Vec<u16>,
    ticks: Ticks,
    start: Instant,
    now: Millis,
    counters: Arc<DriverCounters>,
}

impl PortableDriver {
    /// On the thread that will use it. Its bell is among `bells`, at `shard`, if it is to be woken.
    ///
    /// # Errors
    /// What the host refused.
    fn new(
        sockets: Vec<ListenSocket>,
        slots: FreeSlots,
        bells: Bells,
        shard: u16,
        counters: Arc<DriverCounters>,
    ) -> io::Result<PortableDriver> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = bells.make(shard)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, bell, Token::Bell.data(), flags)?;
        Ok(PortableDriver {
            epoll,
            events: Vec::with_capacity(EVENTS_PER_TURN),
            listeners: Listeners::new(sockets)?,
            connections: Paged::default(),
            slots,
            buffers: BufferPool::default(),
            waiting: Waiting::default(),
            tracked: UnfinishedSends::default(),
            pending: Vec::new(),
            accepted_last: false,
            bells,
            wakes: Vec::new(),
            ticks: Ticks::default(),
            start: Instant::now(),
            now: 0,
            counters,
        })
    }

    /// Waits at most until then; takes what is there if there is something to do already.
    fn look(&mut self, until: Option<Millis>) {
        let timeout = match until {
            Some(until) => {
                let exactly = self.start.elapsed();
                self.ticks.wait(exactly);
                wait_for(until, exactly)
            }
            None => Timespec::default(),
        };
        self.counters.enters.add(1);
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("epoll_pwait on an instance of our own: {error}"),
        }
    }

    fn has_room(&self) -> HasRoom {
        match self.slots.next() {
            Some(_) => HasRoom::Yes,
            None => HasRoom::No,
        }
    }
}

/// Whole milliseconds, rounded up: older kernels know nothing shorter.
fn wait_for(until: Millis, now: Duration) -> Timespec {
    let micros = (until.saturating_mul(1_000)).saturating_sub(now.as_micros() as u64);
    let millis = micros.div_ceil(1_000).min(WAIT_MS_MAX);
    Timespec {
        tv_sec: (millis / 1_000) as i64,
        tv_nsec: (millis % 1_000 * 1_000_000) as _,
    }
}

impl Driver for PortableDriver {
    type Lease = ReceivedPiece;

    fn now(&self) -> Millis {
        self.now
    }

    fn reap(&mut self, into: &mut Vec<Completion<ReceivedPiece>>) {
        let now = self.start.elapsed();
        let count = self.pending.len();
        self.ticks.begin(now, count, &self.counters);
        self.counters.completions.add(count as u64);
        for completion in &self.pending {
            if let Completion::Sent { ticket, .. } | Completion::ReceiveEnded { ticket, .. } =
                completion
            {
                let connection = &mut self.connections[ticket.slot];
                connection.state.clear(Readiness::PENDING);
            }
        }
        into.append(&mut self.pending);
        self.accepted_last = false;
        self.now = now.as_millis() as Millis;
    }

    fn turn(&mut self, outgoing: &Outgoing, wait: Wait, short_sends: &mut Vec<ShortSend>) {
        for shard in self.wakes.drain(..) {
            self.bells.ring(shard);
        }
        self.transmit(outgoing, short_sends);
        self.tracked.end_pause(self.now);
        self.send_due();
        let Wait::Until(until) = wait else { return };
        let now = self.now;
        let supply = self.buffers.settle(now);
        let has_room = self.has_room();
        self.listeners.watch(&self.epoll, has_room, now);
        let idle = self.pending.is_empty() && short_sends.is_empty() && self.waiting.is_empty();
        let until = idle.then(|| {
            let pause = self.tracked.pauses_until();
            let sooner = [self.listeners.resumes(now), supply, pause];
            sooner.into_iter().flatten().fold(until, Millis::min)
        });
        self.look(until);
        self.take_events();
        self.send_due();
        self.receive();
    }

    fn arm_receive(&mut self, ticket: Ticket) {
        let connection = &mut self.connections[ticket.slot];
        connection.give_to(ticket);
        connection.state.set(Readiness::WANTED);
        self.receive_when_due(ticket);
    }

    fn stop_receive(&mut self, ticket: Ticket) {
        if self.connections[ticket.slot].state.has(Readiness::WANTED) {
            self.end_receive(ticket, ReceiveEnd::Stopped);
        }
    }

    fn awaits_buffer(&self, ticket: Ticket) -> bool {
        let connection = &self.connections[ticket.slot];
        connection.belongs_to(ticket) && connection.state.has(Readiness::WAITING)
    }

    fn expect_large(&mut self) {
        self.buffers.expect_large(self.now);
    }

    fn give_back(&mut self, lease: ReceivedPiece) {
        self.buffers.give_back(lease);
    }

    fn send_tracked(&mut self, ticket: Ticket, segments: &[Bytes]) {
        self.connections[ticket.slot].give_to(ticket);
        self.connections[ticket.slot].state.set(Readiness::TRACKED);
        self.tracked.start(ticket, segments);
    }

    fn shut_down(&mut self, ticket: Ticket) {
        if let Some(socket) = &self.connections[ticket.slot].socket {
            // A peer that is gone needs no FIN.
            let _gone = shutdown(socket, Shutdown::Write);
        }
    }

    fn close(&mut self, ticket: Ticket) {
        let connection = &mut self.connections[ticket.slot];
        if connection.state.has(Readiness::PENDING) {
            self.pending.retain(|completion| match completion {
                Completion::Sent { ticket: one, .. }
                | Completion::ReceiveEnded { ticket: one, .. } => one.slot != ticket.slot,
                Completion::Accepted { .. }
                | Completion::Received { .. }
                | Completion::Closed { .. } => true,
            });
        }
        if connection.state.has(Readiness::TRACKED) {
            self.tracked.forget(ticket);
        }
        // The kernel forgets what it waited for with the last descriptor of a socket (`epoll(7)`).
        *connection = Watched::default();
        self.slots.give_back(ticket.slot);
        self.pending.push(Completion::Closed { ticket });
    }

    fn wake(&mut self, shard: u16) {
        self.wakes.push(shard);
    }

    fn release_memory(&mut self) {
        self.waiting.release_memory();
        self.tracked.release_memory();
        self.pending.shrink_to_fit();
        self.slots.release_memory();
    }

    /// The kernel wakes one shard of those that share a socket, so a client may wait for this one
    /// alone: it is taken before.
    fn stop_accepting(&mut self, how: StopAccept) {
        (0..self.listeners.count()).for_each(|index| self.accept(index));
        self.listeners.stop(&self.epoll, how);
    }

    fn may_accept(&self) -> bool {
        self.listeners.any_left() || self.accepted_last
    }

    fn connections_max(&self) -> usize {
        self.slots.connections_max()
    }
}

impl fmt::Debug for PortableDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortableDriver")
            .field("listeners", &self.listeners)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
