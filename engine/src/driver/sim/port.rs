//! What stands between the world and one shard: its table of slots, its receive buffers, its sleep.
//!
//! Does what a kernel may do, in an order that the seed chooses, and panics on what a shard must
//! not ask for. Called by the driver (operations, reaping) and by the world (scheduling).

mod ending;

use super::occupant::{Delay, Occupant};
use super::socket::SocketId;
use crate::driver::boundary::{ACCEPTS_PER_TURN, Completion, Millis, ShortSend, Wait};
use crate::driver::sim::lease::SimLease;
use crate::driver::sim::network::Network;
use crate::driver::sim::share::{bytes_of, judge};
use crate::driver::waiting::{BUFFERS_PER_TICK, GREEDY_PER_TICK, Receive, Waiting};
use crate::egress::outgoing::Outgoing;
use crate::types::ticket::Ticket;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// One shard's side of the world.
#[derive(Debug)]
pub(super) struct Port {
    shard: u16,
    slots: Vec<SimSlot>,
    free: Vec<u32>,
    /// With the listener that each came to.
    backlog: VecDeque<(SocketId, u8)>,
    accepting: bool,
    /// Clients of the backlog whose accepts are done when accepting stops.
    late: usize,
    leases_out: usize,
    leases_max: usize,
    /// Received when their receives were armed, and not reaped yet.
    received: VecDeque<Completion<SimLease>>,
    waiting: Waiting,
    woken: bool,
    /// Until when the last turn waits; `None` if it did not.
    sleeps_until: Option<Millis>,
    /// The time of the last reap.
    pub(super) now: Millis,
    turns: u64,
}

#[derive(Debug, Default)]
struct SimSlot {
    generation: Option<u32>,
    occupant: Option<Occupant>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Backlog,
    SimSlot(u32),
}

impl Port {
    pub(super) fn new(shard: u16, slots: usize, receive_buffers: usize) -> Port {
        Port {
            shard,
            slots: (0..slots).map(|_| SimSlot::default()).collect(),
            free: (0..slots as u32).collect(),
            backlog: VecDeque::new(),
            accepting: true,
            late: 0,
            leases_out: 0,
            leases_max: receive_buffers,
            received: VecDeque::new(),
            waiting: Waiting::default(),
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
            || !self.received.is_empty()
            || !self.waiting.is_empty()
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

    /// Nothing is accepted, leased or under way.
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
            self.received.is_empty(),
            "shard {}: bytes were never reaped",
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
        std::iter::once(Source::Backlog)
            .chain(slots.map(|(index, _)| Source::SimSlot(index as u32)))
    }

    fn is_ready(&self, source: Source, network: &Network) -> bool {
        match source {
            Source::Backlog => {
                self.may_accept() && !self.backlog.is_empty() && !self.free.is_empty()
            }
            Source::SimSlot(slot) => self.slots[slot as usize]
                .occupant
                .as_ref()
                .is_some_and(|o| o.is_ready(network)),
        }
    }

    /// Completions of all connections, interleaved; those of one connection in order.
    pub(super) fn reap(&mut self, network: &mut Network, into: &mut Vec<Completion<SimLease>>) {
        self.now = network.now;
        self.woken = false;
        let budget = network.random.between(1, network.faults.reap_max);
        let mut sources: Vec<Source> = self
            .sources()
            .filter(|source| self.is_ready(*source, network))
            .collect();
        let mut starved = Vec::new();
        let (start, mut insatiable) = (into.len(), None);
        let mut accepts_left = ACCEPTS_PER_TURN;
        let earlier = self.received.len().min(budget);
        into.extend(self.received.drain(..earlier));
        self.leases_out += earlier;
        for _ in earlier..budget {
            if sources.is_empty() {
                break;
            }
            let index = insatiable.unwrap_or_else(|| network.random.below(sources.len()));
            match self.complete(sources[index], network, &mut starved) {
                Some(completion) => {
                    network.trace(|| format!("shard {} <- {completion:?}", self.shard));
                    let received = matches!(completion, Completion::Received { .. });
                    let greedy = received && network.random.chance(network.faults.greedy_permille);
                    insatiable = greedy.then_some(index);
                    accepts_left -= usize::from(matches!(completion, Completion::Accepted { .. }));
                    if accepts_left == 0 {
                        sources.retain(|source| matches!(source, Source::SimSlot(_)));
                    }
                    into.push(completion);
                }
                None => {
                    sources.swap_remove(index);
                    insatiable = None;
                }
            }
        }
        let starved = judge(starved, into[start..].iter(), network);
        self.waiting.starved(&starved, self.now);
        self.curb(&into[start..]);
    }

    /// Ends the receives of connections that took too many buffers while somebody else took one.
    fn curb(&mut self, reaped: &[Completion<SimLease>]) {
        let mut taken: BTreeMap<u32, (Ticket, usize)> = BTreeMap::new();
        for completion in reaped {
            if let Completion::Received { ticket, .. } = completion {
                taken.entry(ticket.slot).or_insert((*ticket, 0)).1 += 1;
            }
        }
        let alone = taken.len() == 1;
        for (ticket, count) in taken.into_values() {
            let occupant = self.slots[ticket.slot as usize].occupant.as_mut();
            if let Some(occupant) = occupant.filter(|occupant| occupant.ticket == Some(ticket))
                && count >= BUFFERS_PER_TICK
                && !alone
                && occupant.curb()
            {
                self.waiting.curbed(ticket, self.now);
            }
        }
    }

    /// Those who wait are received for again, as many as there are buffers for: what is there is
    /// taken at once.
    fn rearm(&mut self, network: &mut Network, end_of_tick: bool) {
        let mut waits = Vec::new();
        let free = self.leases_max - self.leases_out - self.received.len();
        let mut room = free.min(self.leases_max.div_ceil(2));
        while room > 0
            && let Some((ticket, receive)) = self.waiting.next_modest()
        {
            room -= usize::from(self.arm_waiting(network, ticket, receive, &mut waits));
        }
        room = if end_of_tick {
            room.min(GREEDY_PER_TICK)
        } else {
            0
        };
        while room > 0
            && let Some(ticket) = self.waiting.next_greedy()
        {
            room -= usize::from(self.arm_waiting(network, ticket, Receive::Once, &mut waits));
        }
        // All that comes of it is known when the turn is over.
        let ended = waits.iter().filter_map(|(ticket, wait)| match wait {
            Delay::Ended { filled } => Some((*ticket, *filled)),
            Delay::Starved => None,
        });
        ended.for_each(|(ticket, filled)| self.waiting.ended(ticket, filled, self.now));
        waits.retain(|(_, wait)| *wait == Delay::Starved);
        let starved = waits.into_iter().map(|(ticket, _)| ticket).collect();
        let starved = judge(starved, self.received.iter(), network);
        self.waiting.starved(&starved, self.now);
    }

    /// False: it is gone, or need not be received for any more.
    fn arm_waiting(
        &mut self,
        network: &mut Network,
        ticket: Ticket,
        receive: Receive,
        waits: &mut Vec<(Ticket, Delay)>,
    ) -> bool {
        let mut occupants = self.slots.iter_mut().map(|slot| slot.occupant.as_mut());
        let occupant = occupants.nth(ticket.slot as usize).flatten();
        let Some(occupant) = occupant.filter(|occupant| occupant.ticket == Some(ticket)) else {
            return false;
        };
        if occupant.is_closing() || !occupant.arm_queued(receive) {
            return false;
        }
        loop {
            let may_lend = self.leases_out + self.received.len() < self.leases_max;
            let received = match may_lend {
                true => occupant.receive_bytes(network, self.shard),
                false => None,
            };
            let count = bytes_of(received.as_ref());
            let wait = occupant.queue(network, count, may_lend);
            waits.extend(wait.map(|wait| (ticket, wait)));
            let done = received.is_none();
            self.received.extend(received);
            if done || !network.random.chance(network.faults.greedy_permille) {
                return true;
            }
        }
    }

    pub(super) fn awaits_buffer(&self, ticket: Ticket) -> bool {
        let occupant = self.slots[ticket.slot as usize].occupant.as_ref();
        occupant.is_some_and(|occupant| occupant.ticket == Some(ticket) && occupant.is_queued())
    }

    fn complete(
        &mut self,
        source: Source,
        network: &mut Network,
        starved: &mut Vec<Ticket>,
    ) -> Option<Completion<SimLease>> {
        if !self.is_ready(source, network) {
            return None;
        }
        match source {
            Source::Backlog => Some(self.accept(network)),
            Source::SimSlot(index) => {
                let may_lend = self.leases_out < self.leases_max;
                let slot = &mut self.slots[index as usize];
                let occupant = slot.occupant.as_mut()?;
                let completion = occupant.complete(network, self.shard, may_lend);
                let ticket = occupant.ticket?;
                match occupant.queue(network, bytes_of(completion.as_ref()), may_lend) {
                    Some(Delay::Starved) => starved.push(ticket),
                    Some(Delay::Ended { filled }) => self.waiting.ended(ticket, filled, self.now),
                    None => {}
                }
                let completion = completion?;
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

    fn accept(&mut self, network: &mut Network) -> Completion<SimLease> {
        let (socket, listener) = self.backlog.pop_front().expect("checked by is_ready");
        self.late = self.late.saturating_sub(1);
        // The slot that was freed last as often as any other: what is stale is best told by its
        // successor.
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
            peer: SocketAddr::from(([10, 0, 0, 1], 1024 + (socket.0 % 60_000) as u16)).into(),
        }
    }

    /// The transmits leave, then the shard sleeps as told.
    pub(super) fn turn(
        &mut self,
        network: &mut Network,
        outgoing: &Outgoing,
        wait: Wait,
        short_sends: &mut Vec<ShortSend>,
    ) {
        self.turns += 1;
        for index in 0..outgoing.len() {
            let bytes: Vec<u8> = outgoing.slices(index).flatten().copied().collect();
            // Nothing is left of a transmit whose bytes moved to the outbox.
            if !bytes.is_empty() {
                short_sends.extend(self.transmit(network, outgoing.ticket(index), &bytes));
            }
        }
        self.sleeps_until = match wait {
            Wait::No => None,
            Wait::Until(until) => {
                assert_eq!(
                    self.leases_out,
                    outgoing.leases(),
                    "shard {}: a lease outlived its tick",
                    self.shard
                );
                Some(until)
            }
        };
        self.rearm(network, matches!(wait, Wait::Until(_)));
        // Each short send is a completion, and the wait is over with the first.
        self.woken |= !short_sends.is_empty();
    }

    fn transmit(
        &mut self,
        network: &mut Network,
        ticket: Ticket,
        bytes: &[u8],
    ) -> Option<ShortSend> {
        let turn = self.turns;
        let sent = self
            .occupant(ticket, "transmit")
            .transmit(network, turn, bytes);
        network.trace(|| {
            format!(
                "shard {} -> {ticket:?}: {} bytes, sent {sent:?}",
                self.shard,
                bytes.len()
            )
        });
        match sent {
            None => Some(ShortSend {
                ticket,
                count: 0,
                failed: true,
            }),
            Some(count) if count < bytes.len() => Some(ShortSend {
                ticket,
                count,
                failed: false,
            }),
            Some(_) => None,
        }
    }

    pub(super) fn give_back(&mut self, lease: &SimLease) {
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

    pub(super) fn may_accept(&self) -> bool {
        self.accepting || self.late > 0
    }

    /// The accepts of some clients are done already, as the kernel may have it; the others in the
    /// backlog are turned away.
    pub(super) fn stop_accepting(&mut self, network: &mut Network) {
        /// Of them.
        const LATE_MAX: usize = 2;
        self.accepting = false;
        self.late = LATE_MAX.min(self.backlog.len()).min(self.free.len());
        for (socket, _) in self.backlog.drain(self.late..) {
            network.sockets[socket.0].reset(&mut network.random);
        }
    }

    /// The use of a slot that `ticket` names. Panics if the shard may not operate on it.
    pub(super) fn occupant(&mut self, ticket: Ticket, operation: &str) -> &mut Occupant {
        let shard = self.shard;
        let slot = self.slots.get_mut(ticket.slot as usize);
        let Some(SimSlot {
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
