//! The simulated driver: one shard's view of a virtual [`World`] with a faulty network, virtual
//! time and a seed.
//!
//! It does, as its seed chooses, anything that a kernel may do, and nothing that a kernel may not
//! do:
//! - the bytes of one direction of one connection arrive in order, none twice; only a reset cuts a
//!   tail off;
//! - a slot's use begins with `Accepted` and ends with `Closed`, which comes once, after `close`;
//!   only then is the slot accepted again;
//! - after `close` nothing of that use is reaped but a stale `Received` that was complete before
//!   it;
//! - `ReceiveEnded` comes after the last `Received` that its arming brought; a receive that is not
//!   armed brings nothing;
//! - a transmit's short send is reported by the turn that sent it; a tracked send ends in one
//!   `Sent`, of all of it or of its beginning;
//! - no more leases are out than there are receive buffers; a receive that finds none ends, and is
//!   armed again as the production driver arms it ([`super::waiting`]);
//! - a receive takes one buffer after the other as long as there are bytes, as far as the kernel
//!   likes, before anybody else has one;
//! - a receive that is armed while there are bytes takes its buffers at that moment;
//! - a reap brings no more clients than a turn accepts;
//! - a wait ends for a completion, for a wake, or at its time, and, if the test likes, for nothing.
//!
//! It panics when the shard breaks its side of [`Driver`]: an operation on a slot that is not in
//! use or with a stale ticket, two sends of one connection at once, a send after `shut_down`,
//! arming what is armed, a lease that outlives its tick.

pub(crate) mod faults;
pub(crate) mod lease;
pub(crate) mod network;
pub(crate) mod occupant;
pub(crate) mod port;
pub(crate) mod random;
pub(crate) mod share;
pub(crate) mod socket;
pub(crate) mod world;

pub use faults::Faults;
pub use lease::SimLease;
pub use network::Trace;
pub use random::Random;
pub use socket::{Line, SocketId};
pub use world::{Read, World};

use super::Wait;
use crate::driver::boundary::{
    Completion, Driver, Millis, ShortSend, StopAccept, TRACKED_SEGMENTS_MAX,
};
use crate::egress::outgoing::Outgoing;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;

/// One shard's driver. Operations take effect at once, turns return at once; the test decides who
/// ticks next.
#[derive(Debug)]
pub struct SimDriver {
    world: Rc<RefCell<World>>,
    shard: usize,
}

impl World {
    /// The driver of one shard; there is one for each.
    pub fn driver(world: &Rc<RefCell<World>>, shard: usize) -> SimDriver {
        SimDriver::new(Rc::clone(world), shard)
    }
}

impl World {
    /// A shard has panicked in its tick.
    pub fn forget_leases(&mut self, shard: usize) {
        self.at(shard).0.forget_leases();
    }

    /// A shard's driver is gone, and there may be another one.
    pub fn end_driver(&mut self, shard: usize) {
        let (port, network) = self.at(shard);
        port.end(network);
    }
}

impl SimDriver {
    fn new(world: Rc<RefCell<World>>, shard: usize) -> SimDriver {
        SimDriver { world, shard }
    }
}

impl Driver for SimDriver {
    type Lease = SimLease;

    fn now(&self) -> Millis {
        self.world.borrow_mut().at(self.shard).0.now
    }

    fn reap(&mut self, into: &mut Vec<Completion<SimLease>>) {
        let mut world = self.world.borrow_mut();
        let (port, network) = world.at(self.shard);
        port.reap(network, into);
    }

    fn turn(&mut self, outgoing: &Outgoing, wait: Wait, short_sends: &mut Vec<ShortSend>) {
        let mut world = self.world.borrow_mut();
        let (port, network) = world.at(self.shard);
        port.turn(network, outgoing, wait, short_sends);
    }

    fn arm_receive(&mut self, ticket: Ticket) {
        let mut world = self.world.borrow_mut();
        let (port, _) = world.at(self.shard);
        port.occupant(ticket, "arm_receive").arm_receive();
    }

    fn stop_receive(&mut self, ticket: Ticket) {
        let mut world = self.world.borrow_mut();
        let (port, _) = world.at(self.shard);
        port.occupant(ticket, "stop_receive").stop_receive();
    }

    fn awaits_buffer(&self, ticket: Ticket) -> bool {
        self.world
            .borrow_mut()
            .at(self.shard)
            .0
            .awaits_buffer(ticket)
    }

    fn give_back(&mut self, lease: SimLease) {
        self.world.borrow_mut().at(self.shard).0.give_back(&lease);
    }

    fn send_tracked(&mut self, ticket: Ticket, segments: &[Bytes]) {
        assert!(
            (1..=TRACKED_SEGMENTS_MAX).contains(&segments.len()),
            "{} segments for {ticket:?}",
            segments.len()
        );
        let mut world = self.world.borrow_mut();
        let (port, network) = world.at(self.shard);
        network.trace(|| {
            format!(
                "shard {} tracks {ticket:?}: {} segments",
                self.shard,
                segments.len()
            )
        });
        port.occupant(ticket, "send_tracked")
            .send_tracked(network, segments.concat());
    }

    fn shut_down(&mut self, ticket: Ticket) {
        let mut world = self.world.borrow_mut();
        let (port, network) = world.at(self.shard);
        network.trace(|| format!("shard {} shuts down {ticket:?}", self.shard));
        port.occupant(ticket, "shut_down").shut_down(network);
    }

    fn close(&mut self, ticket: Ticket) {
        let mut world = self.world.borrow_mut();
        let (port, network) = world.at(self.shard);
        network.trace(|| format!("shard {} closes {ticket:?}", self.shard));
        port.occupant(ticket, "close").close(network);
    }

    fn wake(&mut self, shard: u16) {
        self.world.borrow_mut().at(usize::from(shard)).0.wake();
    }

    fn stop_accepting(&mut self, _: StopAccept) {
        let mut world = self.world.borrow_mut();
        let (port, network) = world.at(self.shard);
        port.stop_accepting(network);
    }

    fn may_accept(&self) -> bool {
        self.world.borrow_mut().at(self.shard).0.may_accept()
    }

    /// Clients beyond the slots wait in the backlog.
    fn connections_max(&self) -> usize {
        usize::MAX
    }
}

#[cfg(test)]
mod tests;
