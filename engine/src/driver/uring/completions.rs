//! What the kernel answered, turned into what the shard is told.

use super::accept::{AcceptId, BroughtClient};
use super::ring::RingEvent;
use super::slot::State;
use super::userdata::{Op, UserData};
use super::{UringDriver, limits};
use crate::driver::boundary::{Completion, Driver, ReceiveEnd, ShortSend};
use crate::driver::waiting::Receive;
use crate::types::ticket::Ticket;

impl UringDriver {
    /// Copies out what a ring has. How much that was.
    pub(super) fn reap_ring(&mut self, index: usize) -> usize {
        let mut count = 0;
        while let Some(event) = self.rings[index].next_event() {
            count += 1;
            self.take(index, event);
        }
        if count > 0 {
            self.rings[index].set_active(true);
        }
        self.counters.completions.add(count as u64);
        if !self.starved.is_empty() {
            self.queue_starved(index);
        }
        count
    }

    fn take(&mut self, ring: usize, event: RingEvent) {
        let user_data = UserData(event.user_data);
        let ticket = user_data.ticket();
        match user_data.op() {
            Op::Receive => self.take_receive(ring, ticket, event),
            Op::Transmit => self.short_sends.push(ShortSend {
                ticket,
                count: event.result.max(0) as usize,
                failed: event.result < 0 && !limits::is_transient(-event.result),
            }),
            Op::Tracked => self.take_tracked(ring, ticket, event.result),
            Op::Close => {
                self.slots[ticket.slot].state = State::default();
                self.rings[ring].closed();
                self.pending.push(Completion::Closed { ticket });
            }
            Op::Accept => self.take_accept(ring, AcceptId::of(ticket.slot), event.result),
            Op::Sibling => {
                let index = ticket.slot as usize;
                self.rings[index].rang();
            }
            Op::Bell => self.listen_to_bell(),
            Op::ShutDown => self.take_shut_down(ticket),
            Op::ShutBoth => self.close_shut(ticket),
            // A shard whose completions overflow is awake; one whose ring is gone has ended.
            // Anything else passes, and is tried again.
            Op::Ring if limits::is_transient(-event.result) => self.wake(ticket.slot as u16),
            Op::Cancel | Op::Wake | Op::Ring => {}
        }
    }

    fn take_accept(&mut self, ring: usize, id: AcceptId, result: i32) {
        let peer = self.acceptors.finish(id);
        self.rings[ring].accept_ended(result >= 0);
        let brought = match result < 0 {
            true => BroughtClient::No,
            false => BroughtClient::Yes,
        };
        if let Some(look) = self.acceptors.next_look(id, brought) {
            self.look_for_client(look);
        }
        if result < 0 {
            self.acceptors.failed(id, -result, self.now);
            return;
        }
        let slot = ring as u32 * self.tables.table + result as u32;
        self.slots.reach(slot).state = State(State::USED);
        self.pending.push(Completion::Accepted {
            slot,
            listener: id.listener,
            peer,
        });
    }

    fn take_receive(&mut self, ring: usize, ticket: Ticket, event: RingEvent) {
        let user_data = UserData(event.user_data);
        let slot = self.slots[ticket.slot];
        let live = slot.belongs_to(ticket) && slot.state.has(State::USED);
        let wanted = live && !slot.state.has(State::CLOSING);
        if let Some(lease) = self.rings[ring].lease(&event) {
            if wanted && event.result > 0 {
                self.pending.push(Completion::Received { ticket, lease });
            } else {
                self.rings[ring].give_back(lease);
            }
        }
        if event.more {
            return;
        }
        self.rings[ring].release.ended(user_data);
        if !live {
            return;
        }
        let curbed = self.forget_curb(ticket);
        let state = &mut self.slots[ticket.slot].state;
        state.clear(State::ARMED);
        let stopped = state.has(State::STOPPING);
        state.clear(State::STOPPING);
        if !wanted {
            self.close_if_quiet(ticket);
            return;
        }
        let starved = event.result == -libc::ENOBUFS;
        if starved {
            self.counters.receive_starved.add(1);
            self.rings[ring].starved();
        }
        let why = match event.result {
            0 => ReceiveEnd::Eof,
            _ if stopped => ReceiveEnd::Stopped,
            result if result == -libc::ECANCELED && curbed => {
                return self.queue_curbed(ring, ticket);
            }
            // A sweep ended it: all that it received is reaped.
            result if result == -libc::ECANCELED => return self.arm(ticket, Receive::Multishot),
            _ if starved => return self.starved.push(ticket),
            bytes if bytes > 0 => return self.queue_ended(ring, ticket, bytes as usize),
            _ => ReceiveEnd::Failed,
        };
        self.slots[ticket.slot].state.clear(State::WANTED);
        self.pending.push(Completion::ReceiveEnded { ticket, why });
    }

    fn take_shut_down(&mut self, ticket: Ticket) {
        let state = &mut self.slots[ticket.slot].state;
        state.clear(State::SHUTTING);
        if state.has(State::CLOSING) {
            self.close_if_quiet(ticket);
        }
    }

    fn take_tracked(&mut self, ring: usize, ticket: Ticket, result: i32) {
        let pending = self.tracked.finish(ticket);
        let request = UserData::of(Op::Tracked, ticket);
        self.rings[ring].release.ended(request);
        let state = &mut self.slots[ticket.slot].state;
        state.clear(State::TRACKED);
        if state.has(State::CLOSING) {
            self.close_if_quiet(ticket);
            return;
        }
        let count = result.max(0) as usize;
        // A signal, memory pressure or a sweep may end it early; the shard sends the rest.
        let passing = result == -libc::ECANCELED || limits::is_transient(-result);
        let failed = result < 0 && !passing;
        debug_assert!(count <= pending);
        self.pending.push(Completion::Sent {
            ticket,
            count,
            failed,
        });
    }
}
