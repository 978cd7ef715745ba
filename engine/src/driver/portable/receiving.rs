//! What arrives: events of the kernel, and the receives that follow from them, in an order in which
//! nobody who floods keeps the others waiting.
//!
//! The kernel says once that there is something to receive (`EPOLLET`, `epoll(7)`), and again when
//! more comes. So a connection stays readable until a receive finds less than it had room for, or,
//! once the peer has ended, until a receive has found the end.

use super::PortableDriver;
use super::connection::{Readiness, Watched};
use super::listeners::AcceptOutcome;
use super::token::{RECEIVES, Token};
use crate::connection::peer::Peer;
use crate::driver::boundary::{ACCEPTS_PER_TURN, Completion, ReceiveEnd};
use crate::driver::waiting::GREEDY_PER_TICK;
use crate::types::ticket::Ticket;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::os::fd::OwnedFd;

impl PortableDriver {
    /// Takes in what the kernel said: whoever may be received from waits for a buffer, sends go on,
    /// clients are accepted.
    pub(super) fn take_events(&mut self) {
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let flags = event.flags;
            match Token::of(event.data) {
                Token::Connection(slot) => self.take_event(slot, flags),
                Token::Listener(index) => self.accept(index),
                // It has woken the shard: that is all.
                Token::Bell => {}
            }
        }
        self.events = events;
        self.events.clear();
    }

    pub(super) fn take_event(&mut self, slot: u32, flags: EventFlags) {
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        let connection = &mut self.connections[slot];
        let ticket = connection.ticket(slot);
        if flags.intersects(ended) {
            connection.state.set(Readiness::ENDING);
        }
        if flags.intersects(EventFlags::IN | ended) {
            connection.state.set(Readiness::READABLE);
            self.receive_when_due(ticket);
        }
        let has_room = flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP);
        if has_room && self.connections[slot].state.has(Readiness::TRACKED) {
            self.tracked.resume(ticket);
        }
    }

    /// A connection waits for a buffer if something may be received that is wanted.
    pub(super) fn receive_when_due(&mut self, ticket: Ticket) {
        let state = &mut self.connections[ticket.slot].state;
        if state.has(Readiness::WANTED)
            && state.has(Readiness::READABLE)
            && !state.has(Readiness::WAITING)
        {
            state.set(Readiness::WAITING);
            self.waiting.ended(ticket, false, self.now);
        }
    }

    /// Receives for those who wait, as many as there are buffers for: all who took less than a
    /// buffer the last time, then some of the others.
    pub(super) fn receive(&mut self) {
        while self.buffers.room() > 0
            && let Some((ticket, _)) = self.waiting.next_modest()
        {
            self.receive_for(ticket);
        }
        for _ in 0..GREEDY_PER_TICK.min(self.buffers.room()) {
            let Some(ticket) = self.waiting.next_greedy() else {
                return;
            };
            self.receive_for(ticket);
        }
        if !self.waiting.is_empty() {
            self.counters.receive_starved.add(1);
        }
    }

    /// The turn of one that waited; it is gone, or need not be received for any more, or gets a
    /// buffer.
    fn receive_for(&mut self, ticket: Ticket) {
        let connection = &mut self.connections[ticket.slot];
        if !connection.belongs_to(ticket) {
            return;
        }
        connection.state.clear(Readiness::WAITING);
        let Some(socket) = connection.socket.as_ref() else {
            return;
        };
        if !connection.state.has(Readiness::WANTED) {
            return;
        }
        let mut buffer = self.buffers.take();
        let received = loop {
            match recv(socket, &mut buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                received => break received,
            }
        };
        let why = match received {
            Ok((0, _)) => ReceiveEnd::Eof,
            Ok((count, _)) => {
                let filled = count == buffer.len();
                if filled || connection.state.has(Readiness::ENDING) {
                    connection.state.set(Readiness::WAITING);
                    self.waiting.ended(ticket, filled, self.now);
                } else {
                    connection.state.clear(Readiness::READABLE);
                }
                let lease = self.buffers.lend(buffer, count);
                self.pending.push(Completion::Received { ticket, lease });
                return;
            }
            Err(Errno::AGAIN) => {
                connection.state.clear(Readiness::READABLE);
                self.buffers.keep(buffer);
                return;
            }
            Err(_) => ReceiveEnd::Failed,
        };
        self.buffers.keep(buffer);
        self.end_receive(ticket, why);
    }

    /// Nothing more is received, and the shard hears why.
    pub(super) fn end_receive(&mut self, ticket: Ticket, why: ReceiveEnd) {
        let state = &mut self.connections[ticket.slot].state;
        state.clear(Readiness::WANTED);
        state.set(Readiness::PENDING);
        self.pending.push(Completion::ReceiveEnded { ticket, why });
    }

    /// Takes clients from a listener, as many as a turn may.
    pub(super) fn accept(&mut self, index: u8) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(slot) = self.slots.next() else {
                return;
            };
            match self.listeners.accept(index, self.now) {
                AcceptOutcome::Client(socket, peer) => {
                    if self.admit(slot, socket, index, peer).is_err() {
                        return;
                    }
                }
                AcceptOutcome::Nobody => {}
                AcceptOutcome::Done => return,
            }
        }
    }

    /// # Errors
    /// The host is short of something: the client hears the end, and the next ones wait.
    pub(super) fn admit(
        &mut self,
        slot: u32,
        socket: OwnedFd,
        listener: u8,
        peer: Peer,
    ) -> Result<(), Errno> {
        let data = Token::Connection(slot).data();
        if let Err(error) = epoll::add(&self.epoll, &socket, data, RECEIVES) {
            // `fs.epoll.max_user_watches`, or memory.
            tracing::warn!(%error, "a client's socket cannot be waited for");
            self.listeners.pause(listener, self.now);
            return Err(error);
        }
        *self.connections.reach(slot) = Watched::of(socket);
        self.slots.take(slot);
        self.accepted_last = true;
        self.pending.push(Completion::Accepted {
            slot,
            listener,
            peer,
        });
        Ok(())
    }
}
