//! How a connection's descriptor is closed, and how older requests are made to let go of it where
//! the kernel needs that (`release`).

use super::UringDriver;
use super::slot::State;
use super::userdata::{Op, UserData};
use crate::driver::boundary::Millis;
use crate::types::ticket::Ticket;
use io_uring::opcode;

impl UringDriver {
    /// Closes the descriptor once nothing is under way on it: an armed receive would keep the
    /// socket open behind the slot's back, and the kernel shuts down in a thread of its own, which
    /// looks the slot up when it gets there: it would meet the next user.
    ///
    /// Where the file may outlive its descriptor, both directions are shut down first: the peer
    /// hears the end now, and what it goes on to send is answered with a reset instead of filling
    /// the socket.
    pub(super) fn close_if_quiet(&mut self, ticket: Ticket) {
        if self.slots[ticket.slot].state.has(State::BUSY) {
            return;
        }
        if self.capabilities.ordered_release {
            self.shut(ticket, libc::SHUT_RDWR, Op::ShutBoth);
        } else {
            self.close_descriptor(ticket);
        }
    }

    /// `Op::ShutBoth` ended: nothing else was begun meanwhile.
    pub(super) fn close_shut(&mut self, ticket: Ticket) {
        self.slots[ticket.slot].state.clear(State::SHUTTING);
        let (ring, now) = (self.ring_of(ticket.slot), self.now);
        if self.rings[ring].release.may_close(ticket, now) {
            self.close_descriptor(ticket);
        }
    }

    fn close_descriptor(&mut self, ticket: Ticket) {
        let entry = opcode::Close::new(self.fixed(ticket.slot))
            .build()
            .user_data(UserData::of(Op::Close, ticket).0);
        self.push_plain(ticket.slot, entry);
    }

    pub(super) fn shut(&mut self, ticket: Ticket, how: i32, op: Op) {
        self.slots[ticket.slot].state.set(State::SHUTTING);
        let entry = opcode::Shutdown::new(self.fixed(ticket.slot), how)
            .build()
            .user_data(UserData::of(op, ticket).0);
        self.push_plain(ticket.slot, entry);
    }

    /// Goes on with the sweeps of all rings. When to come again although nothing completes; `None`:
    /// no need.
    pub(super) fn sweep(&mut self) -> Option<Millis> {
        if !self.capabilities.ordered_release {
            return None;
        }
        (0..self.rings.len())
            .filter_map(|ring| self.sweep_ring(ring))
            .min()
    }

    fn sweep_ring(&mut self, ring: usize) -> Option<Millis> {
        let now = self.now;
        for entry in self.rings[ring].release.turn(now, self.tables.table) {
            if !self.rings[ring].release.look(entry) {
                break;
            }
            self.end_requests(ring, ring as u32 * self.tables.table + entry);
        }
        while let Some(ticket) = self.rings[ring].release.next_close(now) {
            self.close_descriptor(ticket);
        }
        self.rings[ring].release.due(now)
    }

    /// Makes everything end that may be under way on a slot for long. A receive is armed again when
    /// it has ended: what it received is reaped before, and what it did not is still the socket's.
    /// A tracked send reports how far it came, and the shard sends the rest.
    fn end_requests(&mut self, ring: usize, index: u32) {
        let Some(slot) = self.slots.get(index).copied() else {
            return;
        };
        let (ticket, state) = (slot.ticket(index), slot.state);
        let closing = state.has(State::CLOSING);
        let receive = closing || state.has(State::STOPPING);
        for (op, bit, ends_anyway) in [
            (Op::Receive, State::ARMED, receive),
            (Op::Tracked, State::TRACKED, closing),
        ] {
            if state.has(bit) {
                self.rings[ring].release.await_end(UserData::of(op, ticket));
                if !ends_anyway {
                    self.counters.rotated.add(1);
                    self.cancel(op, ticket);
                }
            }
        }
    }
}
