//! What stands between the world and one shard: its table of slots, its receive buffers, its sleep.
//!
//! Does what a kernel may do, in an order that the seed chooses, and panics on what a shard must not ask for.
//! Called by the driver (operations, reaping) and by the world (scheduling).

use super::occupant::Occupant;
use super::socket::SocketId;
use super::world::Network;
use super::{Completion, Lease, Millis, Shortfall, Ticket, Wait};
use crate::outgoing::Outgoing;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// One shard's side of the world.
#[derive(Debug)]
pub(super) struct Port {
    shard: u16,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// With the listener that each came to.
    backlog: VecDeque<(SocketId, u8)>,
    accepting: bool,
    leases_out: usize,
    leases_max: usize,
    woken: bool,
    /// Until when the last turn waits; `None` if it did not.
    sleeps_until: Option<Millis>,
    /// The time of the last reap.
    pub(super) now: Millis,
    turns: u64,
}

#[derive(Debug, Default)]
struct Slot {
    generation: Option<u32>,
    occupant: Option<Occupant>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Backlog,
    Slot(u32),
}

impl Port {
    pub(super) fn new(shard: u16, slots: usize, receive_buffers: usize) -> Port {
        Port {
            shard,
            slots: (0..slots).map(|_| Slot::default()).collect(),
            free: (0..slots as u32).collect(),
            backlog: VecDeque::new(),
            accepting: true,
            leases_out: 0,
            leases_max: receive_buffers,
            woken: false,
            sleeps_until: None,
            now: 0,
            turns: 0,
        }
    }

    /// Puts a client into the backlog; false when the shard accepts no more.
    pub(super) fn connect(&mut self, socket: SocketId, listener: u8) -> bool {
        if self.accepting {
            self.backlog.push_back((socket, listener));
        }
        self.accepting
    }

    /// Whether a tick may run now: a kernel would have returned from the wait.
    pub(super) fn is_runnable(&self, network: &Network) -> bool {
        self.woken
            || self.sleeps_until.is_none_or(|until| until <= network.now)
            || self.sources().any(|source| self.is_ready(source, network))
    }

    /// When the shard's own wait ends.
    pub(super) fn sleeps_until(&self) -> Option<Millis> {
        self.sleeps_until
    }

    /// When the next completion becomes ready by time alone.
    pub(super) fn ripe_at(&self, network: &Network) -> Option<Millis> {
        let occupants = self.slots.iter().filter_map(|slot| slot.occupant.as_ref());
        occupants
            .filter_map(|occupant| occupant.ripe_at(network))
            .min()
    }

    /// Clients that were accepted and not yet closed to the end.
    pub(super) fn occupied(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Nothing is accepted, lent or under way.
    pub(super) fn assert_quiescent(&self) {
        assert_eq!(
            self.occupied(),
            0,
            "shard {}: slots were never closed",
            self.shard
        );
        assert_eq!(
            self.leases_out, 0,
            "shard {}: leases were never given back",
            self.shard
        );
        assert!(
            self.backlog.is_empty(),
            "shard {}: clients were never accepted",
            self.shard
        );
    }

    fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        let slots = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.occupant.is_some());
        std::iter::once(Source::Backlog).chain(slots.map(|(index, _)| Source::Slot(index as u32)))
    }

    fn is_ready(&self, source: Source, network: &Network) -> bool {
        match source {
            Source::Backlog => self.accepting && !self.backlog.is_empty() && !self.free.is_empty(),
            Source::Slot(slot) => self.slots[slot as usize]
                .occupant
                .as_ref()
                .is_some_and(|o| o.is_ready(network)),
        }
    }

    /// Completions of all connections, interleaved; those of one connection in order.
    pub(super) fn reap(&mut self, network: &mut Network, into: &mut Vec<Completion<Lease>>) {
        self.now = network.now;
        self.woken = false;
        let budget = network.random.between(1, network.faults.reap_max);
        let mut sources: Vec<Source> = self
            .sources()
            .filter(|source| self.is_ready(*source, network))
            .collect();
        for _ in 0..budget {
            if sources.is_empty() {
                break;
            }
            let index = network.random.below(sources.len());
            match self.complete(sources[index], network) {
                Some(completion) => {
                    network.trace(|| format!("shard {} <- {completion:?}", self.shard));
                    into.push(completion);
                }
                None => {
                    sources.swap_remove(index);
                }
            }
        }
    }

    fn complete(&mut self, source: Source, network: &mut Network) -> Option<Completion<Lease>> {
        if !self.is_ready(source, network) {
            return None;
        }
        match source {
            Source::Backlog => Some(self.accept(network)),
            Source::Slot(index) => {
                let may_lend = self.leases_out < self.leases_max;
                let slot = &mut self.slots[index as usize];
                let completion = slot
                    .occupant
                    .as_mut()?
                    .complete(network, self.shard, may_lend)?;
                match &completion {
                    Completion::Received { .. } => self.leases_out += 1,
                    Completion::Closed { .. } => {
                        slot.occupant = None;
                        self.free.push(index);
                    }
                    Completion::Accepted { .. }
                    | Completion::ReceiveEnded { .. }
                    | Completion::Sent { .. } => {}
                }
                Some(completion)
            }
        }
    }

    fn accept(&mut self, network: &mut Network) -> Completion<Lease> {
        let (socket, listener) = self.backlog.pop_front().expect("checked by is_ready");
        // The slot that was freed last as often as any other: what is stale is best told by its successor.
        let index = match network.random.chance(500) {
            true => self.free.len() - 1,
            false => network.random.below(self.free.len()),
        };
        let slot = self.free.swap_remove(index);
        network.sockets[socket.0].served_by = Some((self.shard, slot));
        self.slots[slot as usize].occupant = Some(Occupant::new(socket));
        Completion::Accepted {
            slot,
            listener,
            peer: SocketAddr::from(([10, 0, 0, 1], 1024 + (socket.0 % 60_000) as u16)),
        }
    }

    /// The departures leave, then the shard sleeps as told.
    pub(super) fn turn(
        &mut self,
        network: &mut Network,
        outgoing: &Outgoing,
        wait: Wait,
        shortfalls: &mut Vec<Shortfall>,
    ) {
        self.turns += 1;
        for index in 0..outgoing.len() {
            let bytes: Vec<u8> = outgoing.slices(index).flatten().copied().collect();
            // Nothing is left of a departure whose bytes moved to the outbox.
            if !bytes.is_empty() {
                shortfalls.extend(self.depart(network, outgoing.ticket(index), &bytes));
            }
        }
        self.sleeps_until = match wait {
            Wait::No => None,
            Wait::Until(until) => {
                assert_eq!(
                    self.leases_out, 0,
                    "shard {}: a lease outlived its tick",
                    self.shard
                );
                Some(until)
            }
        };
        // Each shortfall is a completion, and the wait is over with the first.
        self.woken |= !shortfalls.is_empty();
    }

    fn depart(&mut self, network: &mut Network, ticket: Ticket, bytes: &[u8]) -> Option<Shortfall> {
        let turn = self.turns;
        let sent = self
            .occupant(ticket, "departure")
            .depart(network, turn, bytes);
        network.trace(|| {
            format!(
                "shard {} -> {ticket:?}: {} bytes, sent {sent:?}",
                self.shard,
                bytes.len()
            )
        });
        match sent {
            None => Some(Shortfall {
                ticket,
                count: 0,
                failed: true,
            }),
            Some(count) if count < bytes.len() => Some(Shortfall {
                ticket,
                count,
                failed: false,
            }),
            Some(_) => None,
        }
    }

    pub(super) fn give_back(&mut self, lease: &Lease) {
        assert_eq!(
            lease.shard, self.shard,
            "a lease was given back to another shard"
        );
        self.leases_out -= 1;
    }

    /// There is room in the socket's buffer again, or the connection broke.
    pub(super) fn push(&mut self, network: &mut Network, slot: u32) {
        if let Some(occupant) = &mut self.slots[slot as usize].occupant {
            occupant.push(network);
        }
    }

    pub(super) fn wake(&mut self) {
        self.woken = true;
    }

    /// Those in the backlog are turned away.
    pub(super) fn stop_accepting(&mut self, network: &mut Network) {
        self.accepting = false;
        for (socket, _) in self.backlog.drain(..) {
            network.sockets[socket.0].reset(&mut network.random);
        }
    }

    /// The use of a slot that `ticket` names. Panics if the shard may not operate on it.
    pub(super) fn occupant(&mut self, ticket: Ticket, operation: &str) -> &mut Occupant {
        let shard = self.shard;
        let slot = self.slots.get_mut(ticket.slot as usize);
        let Some(Slot {
            generation,
            occupant: Some(occupant),
        }) = slot
        else {
            panic!("shard {shard}: {operation} on a slot that nobody uses, {ticket:?}");
        };
        assert!(
            !occupant.is_closing(),
            "shard {shard}: {operation} after close, {ticket:?}"
        );
        match occupant.ticket {
            Some(known) => assert_eq!(
                known, ticket,
                "shard {shard}: {operation} with a stale ticket"
            ),
            None => {
                assert_ne!(
                    *generation,
                    Some(ticket.generation),
                    "shard {shard}: {operation} with a generation used before"
                );
                assert!(
                    ticket.generation < 1 << 24,
                    "shard {shard}: {operation} with an overflown generation"
                );
                *generation = Some(ticket.generation);
                occupant.ticket = Some(ticket);
            }
        }
        occupant
    }
}
