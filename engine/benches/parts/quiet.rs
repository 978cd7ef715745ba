//! A driver without a kernel: what the shard is told stands in a list, and what leaves is looked at
//! and forgotten.
//!
//! The simulation's driver copies and checks every byte, which costs more than the shard does; here
//! nothing is left but the shard. Always: every transmit leaves whole. Called by the shard and by
//! `crowd`, which shares the list.

use shardcast_engine::Ticket;
use shardcast_engine::driver::{Completion, Driver, Millis, ShortSend, StopAccept, Wait};
use shardcast_engine::outgoing::Outgoing;
use std::cell::RefCell;
use std::rc::Rc;

/// What a bench and its shard's driver share.
#[derive(Default)]
pub(crate) struct Line {
    /// What the shard reaps next.
    pub(crate) completions: Vec<Completion<Vec<u8>>>,
    /// Receive buffers that came back.
    pub(crate) returned: Vec<Vec<u8>>,
    /// Transmits so far, and their bytes.
    pub(crate) transmits: u64,
    pub(crate) bytes: u64,
}

pub(crate) struct Quiet(pub(crate) Rc<RefCell<Line>>);

impl Driver for Quiet {
    type Lease = Vec<u8>;

    fn now(&self) -> Millis {
        0
    }

    fn reap(&mut self, into: &mut Vec<Completion<Vec<u8>>>) {
        into.append(&mut self.0.borrow_mut().completions);
    }

    fn turn(&mut self, outgoing: &Outgoing, _: Wait, _: &mut Vec<ShortSend>) {
        let mut line = self.0.borrow_mut();
        for index in 0..outgoing.len() {
            std::hint::black_box(outgoing.ticket(index));
            let bytes: usize = outgoing.slices(index).map(<[u8]>::len).sum();
            line.bytes += bytes as u64;
        }
        line.transmits += outgoing.len() as u64;
    }

    fn give_back(&mut self, lease: Vec<u8>) {
        self.0.borrow_mut().returned.push(lease);
    }

    fn arm_receive(&mut self, _: Ticket) {}

    fn awaits_buffer(&self, _: Ticket) -> bool {
        false
    }

    fn wake(&mut self, _: u16) {}

    fn stop_receive(&mut self, _: Ticket) {
        unreachable!("nobody is parked");
    }

    fn send_tracked(&mut self, _: Ticket, _: &[bytes::Bytes]) {
        unreachable!("every transmit leaves whole");
    }

    fn shut_down(&mut self, _: Ticket) {
        unreachable!("nobody is refused");
    }

    fn close(&mut self, ticket: Ticket) {
        let closed = Completion::Closed { ticket };
        self.0.borrow_mut().completions.push(closed);
    }

    fn stop_accepting(&mut self, _: StopAccept) {
        unreachable!("nothing drains");
    }

    fn may_accept(&self) -> bool {
        unreachable!("nothing drains");
    }

    fn connections_max(&self) -> usize {
        usize::MAX
    }
}
