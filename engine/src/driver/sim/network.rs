//! What all ports need of the world: time, chance, faults and sockets.

use super::faults::Faults;
use super::random::Random;
use super::socket::{Line, Socket, SocketId};
use crate::driver::boundary::Millis;

/// Whether what happens is printed to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// It is not.
    Silent,
    /// A line for each event.
    Printed,
}

/// What all ports need of the world.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) now: Millis,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) sockets: Vec<Socket>,
    pub(super) trace: Trace,
}

impl Network {
    /// Whether a fault of this probability strikes what the server sends to this client.
    pub(super) fn is_hit(&mut self, id: SocketId, permille: usize) -> bool {
        self.sockets[id.0].line != Line::Perfect && self.random.chance(permille)
    }

    /// How late a completion comes, in ms.
    pub(super) fn lateness(&mut self, id: SocketId) -> Millis {
        match self.is_hit(id, self.faults.late_permille) {
            true => self.random.between(1, self.faults.delay_ms_max as usize) as Millis,
            false => 0,
        }
    }

    /// The server's kernel takes bytes; `None` when the connection is beyond sending.
    pub(super) fn send(&mut self, id: SocketId, bytes: &[u8]) -> Option<usize> {
        if self.sockets[id.0].line == Line::Faulty
            && self.random.chance(self.faults.broken_permille)
        {
            self.reset(id);
        }
        self.sockets[id.0].send(bytes, &mut self.random)
    }

    /// Bytes for one receive buffer; there is at least one.
    pub(super) fn receive(&mut self, id: SocketId) -> Vec<u8> {
        let bytes_max = match self.random.chance(self.faults.split_permille) {
            true => self.random.between(1, self.faults.receive_buffer_bytes),
            false => self.faults.receive_buffer_bytes,
        };
        self.sockets[id.0].to_server.read(bytes_max)
    }

    pub(super) fn reset(&mut self, id: SocketId) {
        self.sockets[id.0].reset(&mut self.random);
    }

    pub(super) fn trace(&self, line: impl FnOnce() -> String) {
        if self.trace == Trace::Printed {
            eprintln!("{:>8} {}", self.now, line());
        }
    }
}
