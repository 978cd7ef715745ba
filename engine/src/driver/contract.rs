//! What every driver promises a shard, as tests that run against each of them: against the
//! simulation (`sim/tests.rs`), and on real sockets against io_uring and epoll.

/// Each of these on io_uring and on epoll, under two names.
macro_rules! on_both {
    ($($name:ident as $native:ident and $portable:ident;)*) => {
        $(
            #[test]
            fn $native() {
                $name::<UringDriver>();
            }

            #[test]
            fn $portable() {
                $name::<PortableDriver>();
            }
        )*
    };
}

pub(super) mod handover;
mod sockets;

use crate::driver::boundary::{Completion, Driver, TRACKED_SEGMENTS_MAX, Wait};
use crate::driver::listen::ListenSocket;
use crate::egress::outgoing::Outgoing;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use std::collections::VecDeque;

/// A driver of real sockets, for one shard.
pub(super) trait RealDriver: Driver + Sized {
    /// Small: room for some 64 connections.
    fn on(listeners: Vec<ListenSocket>) -> Self;
}

/// What each client says. Bytes that tell their place.
pub(super) const STREAM: &[u8] = &{
    let mut stream = [0u8; 2000];
    let mut at = 0;
    while at < stream.len() {
        stream[at] = (at * 7 % 251) as u8;
        at += 1;
    }
    stream
};

/// What a shard does at the least: echoes, by transmits and, where these are cut short, by tracked
/// sends; closes when the client is done.
pub(super) struct Echo<D: Driver> {
    pub(super) driver: D,
    connections: Vec<Connection>,
    outgoing: Outgoing,
    pub(super) short_sends: usize,
    pub(super) closed: usize,
}

#[derive(Default)]
struct Connection {
    generation: u32,
    /// What leaves by this turn's transmit.
    transmit: Vec<u8>,
    pending: VecDeque<Bytes>,
    sending: bool,
    ended: bool,
    closed: bool,
}

impl Connection {
    /// So many bytes left, from the first of those that are pending.
    fn took(&mut self, mut count: usize) {
        while count > 0 {
            let mut front = self.pending.pop_front().expect("no more than was sent");
            if count < front.len() {
                self.pending.push_front(front.split_off(count));
                return;
            }
            count -= front.len();
        }
    }
}

impl<D: Driver> Echo<D> {
    pub(super) fn new(driver: D, slots: usize) -> Echo<D> {
        Echo {
            driver,
            connections: (0..slots).map(|_| Connection::default()).collect(),
            outgoing: Outgoing::default(),
            short_sends: 0,
            closed: 0,
        }
    }

    pub(super) fn tick(&mut self, wait: Wait) {
        let mut completions = Vec::new();
        self.driver.reap(&mut completions);
        for completion in completions {
            self.settle(completion);
        }
        let mut short_sends = Vec::new();
        self.driver.turn(&self.outgoing, Wait::No, &mut short_sends);
        self.outgoing = Outgoing::default();
        self.short_sends += short_sends.len();
        for short in short_sends {
            let connection = &mut self.connections[short.ticket.slot as usize];
            let rest = connection.transmit.split_off(short.count);
            if short.failed {
                connection.ended = true;
            } else {
                // Before what came after it in the same tick.
                connection.pending.push_front(rest.into());
            }
        }
        for slot in 0..self.connections.len() {
            self.connections[slot].transmit.clear();
            self.go_on(slot as u32);
        }
        self.driver
            .turn(&Outgoing::default(), wait, &mut Vec::new());
    }

    fn settle(&mut self, completion: Completion<D::Lease>) {
        match completion {
            Completion::Accepted { slot, .. } => {
                let generation = self.connections[slot as usize].generation + 1;
                self.connections[slot as usize] = Connection {
                    generation,
                    ..Connection::default()
                };
                self.driver.arm_receive(Ticket { slot, generation });
            }
            Completion::Received { ticket, mut lease } => {
                let bytes = Bytes::copy_from_slice(lease.as_mut());
                self.driver.give_back(lease);
                self.answer(ticket, bytes);
            }
            Completion::ReceiveEnded { ticket, .. } => {
                self.connections[ticket.slot as usize].ended = true;
            }
            Completion::Sent {
                ticket,
                count,
                failed,
            } => {
                let connection = &mut self.connections[ticket.slot as usize];
                connection.sending = false;
                connection.took(count);
                if failed {
                    connection.pending.clear();
                    connection.ended = true;
                }
            }
            Completion::Closed { ticket } => {
                assert!(self.connections[ticket.slot as usize].closed);
                self.closed += 1;
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, bytes: Bytes) {
        let connection = &mut self.connections[ticket.slot as usize];
        assert_eq!(connection.generation, ticket.generation);
        if connection.closed {
            return;
        }
        let is_idle = connection.pending.is_empty() && !connection.sending;
        if is_idle && connection.transmit.is_empty() {
            connection.transmit.extend_from_slice(&bytes);
            let attached = self.outgoing.attach_own(ticket, &mut { u32::MAX }, bytes);
            assert!(attached, "one segment");
        } else {
            connection.pending.push_back(bytes);
        }
    }

    fn go_on(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        let ticket = Ticket {
            slot,
            generation: connection.generation,
        };
        if connection.sending || connection.closed || connection.generation == 0 {
            return;
        }
        if !connection.pending.is_empty() {
            let count = connection.pending.len().min(TRACKED_SEGMENTS_MAX);
            let segments: Vec<Bytes> = connection.pending.iter().take(count).cloned().collect();
            connection.sending = true;
            self.driver.send_tracked(ticket, &segments);
        } else if connection.ended {
            connection.closed = true;
            self.driver.shut_down(ticket);
            self.driver.close(ticket);
        }
    }
}
