//! The world that all shards of one run share: time, sockets, clients' ends of them, and who may
//! run next.
//!
//! Invariant: time moves only by [`World::advance_to`]; everything else happens at one instant, in
//! the order of the calls. Driven by a test; every shard's driver works on it too.

use super::port::Port;
use super::socket::{Front, Socket, SocketId};
use crate::driver::boundary::Millis;
use crate::driver::sim::faults::Faults;
use crate::driver::sim::network::Network;
use crate::driver::sim::network::Trace;
use crate::driver::sim::random::Random;
use crate::driver::sim::socket::Line;
use std::cell::RefCell;
use std::rc::Rc;

/// What a client reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Nothing for now.
    Nothing,
    /// At least one byte.
    Bytes(Vec<u8>),
    /// The server ended its sending side; everything was read.
    Finished,
    /// The connection broke; what survived was read.
    Broken,
}

/// All that shards and clients share.
#[derive(Debug)]
pub struct World {
    network: Network,
    ports: Vec<Port>,
}

impl World {
    /// A world for `shards` shards; `trace` says whether what happens is printed.
    pub fn new(shards: usize, faults: Faults, random: Random, trace: Trace) -> Rc<RefCell<World>> {
        let ports = (0..shards)
            .map(|shard| Port::new(shard as u16, faults.slots, faults.receive_buffers))
            .collect();
        let network = Network {
            now: 0,
            random,
            faults,
            sockets: Vec::new(),
            trace,
        };
        Rc::new(RefCell::new(World { network, ports }))
    }

    /// Virtual time.
    pub fn now(&self) -> Millis {
        self.network.now
    }

    /// Lets time pass.
    pub fn advance_to(&mut self, now: Millis) {
        assert!(now >= self.network.now, "time went back");
        self.network.trace(|| format!("time {now}"));
        self.network.now = now;
    }

    /// Whether the shard's wait is over: tick it.
    pub fn is_runnable(&self, shard: usize) -> bool {
        self.ports[shard].is_runnable(&self.network)
    }

    /// Until when the shard waits if nothing else happens; `None` if its last turn did not wait.
    pub fn sleeps_until(&self, shard: usize) -> Option<Millis> {
        self.ports[shard].sleeps_until()
    }

    /// When the network next does something by itself: a delay ends, a late completion comes.
    pub fn ripe_at(&self) -> Option<Millis> {
        let now = self.network.now;
        let to_clients = self
            .network
            .sockets
            .iter()
            .filter(|socket| !socket.client_gone)
            .filter_map(|socket| socket.to_client.ripe_at(now));
        self.ports
            .iter()
            .filter_map(|port| port.ripe_at(&self.network))
            .chain(to_clients)
            .min()
    }

    /// Connections that a shard accepted and has not closed.
    pub fn occupied(&self, shard: usize) -> usize {
        self.ports[shard].occupied()
    }

    /// Panics unless every slot is closed, every lease given back and every client served.
    pub fn assert_quiescent(&self) {
        self.ports.iter().for_each(Port::assert_quiescent);
    }

    /// Prints a line if the world is traced.
    pub fn trace(&self, line: impl FnOnce() -> String) {
        self.network.trace(line);
    }

    pub(super) fn at(&mut self, shard: usize) -> (&mut Port, &mut Network) {
        (&mut self.ports[shard], &mut self.network)
    }
}

/// The clients' ends.
impl World {
    /// A client connects to a listener; `None` when the shard accepts no more.
    pub fn connect(&mut self, shard: usize, listener: u8, line: Line) -> Option<SocketId> {
        let id = SocketId(self.network.sockets.len());
        let bytes_max = match line {
            Line::Faulty | Line::Lasting => self.network.faults.socket_buffer_bytes,
            Line::Perfect => PERFECT_BUFFER_BYTES,
        };
        self.network.sockets.push(Socket::new(bytes_max, line));
        self.ports[shard].connect(id, listener).then_some(id)
    }

    /// Writes what there is room for; `None` when the connection is beyond writing.
    pub fn write(&mut self, id: SocketId, bytes: &[u8]) -> Option<usize> {
        let Network {
            now,
            random,
            faults,
            sockets,
            ..
        } = &mut self.network;
        let socket = &mut sockets[id.0];
        if socket.server_gone {
            // The server's kernel answers with a reset.
            socket.reset(random);
        }
        if !socket.to_server.is_open() {
            return None;
        }
        if random.chance(faults.delay_permille) {
            socket.to_server.held_until =
                *now + random.between(1, faults.delay_ms_max as usize) as Millis;
        }
        Some(socket.to_server.write(bytes))
    }

    /// Whether a write would take a byte, or tell that the connection is beyond writing.
    pub fn is_writable(&self, id: SocketId) -> bool {
        let socket = &self.network.sockets[id.0];
        socket.server_gone || !socket.to_server.is_open() || socket.to_server.room() > 0
    }

    /// Reads at most `bytes_max` bytes.
    pub fn read(&mut self, id: SocketId, bytes_max: usize) -> Read {
        let now = self.network.now;
        let socket = &mut self.network.sockets[id.0];
        match socket.to_client.front(now) {
            Front::Nothing => Read::Nothing,
            Front::Finished => Read::Finished,
            Front::Broken => Read::Broken,
            Front::Bytes => {
                let bytes = socket.to_client.read(bytes_max);
                if self
                    .network
                    .random
                    .chance(self.network.faults.delay_permille)
                {
                    let delay = self
                        .network
                        .random
                        .between(1, self.network.faults.delay_ms_max as usize);
                    self.network.sockets[id.0].to_client.held_until = now + delay as Millis;
                }
                self.push(id);
                Read::Bytes(bytes)
            }
        }
    }

    /// Whether a read would tell anything.
    pub fn is_readable(&self, id: SocketId) -> bool {
        self.network.sockets[id.0].to_client.front(self.network.now) != Front::Nothing
    }

    /// The client sends no more, and still reads.
    pub fn half_close(&mut self, id: SocketId) {
        self.network.sockets[id.0].to_server.finish();
    }

    /// The client is gone with a clean end: bytes that come later are answered with a reset.
    pub fn close(&mut self, id: SocketId) {
        self.network.sockets[id.0].client_gone = true;
        match self.network.sockets[id.0].to_client.is_empty() {
            true => self.network.sockets[id.0].to_server.finish(),
            false => self.network.reset(id),
        }
        self.push(id);
    }

    /// The client is gone with a reset.
    pub fn reset(&mut self, id: SocketId) {
        self.network.sockets[id.0].client_gone = true;
        self.network.reset(id);
        self.push(id);
    }

    fn push(&mut self, id: SocketId) {
        if let Some((shard, slot)) = self.network.sockets[id.0].served_by {
            let (port, network) = self.at(usize::from(shard));
            port.push(network, slot);
        }
    }
}

const PERFECT_BUFFER_BYTES: usize = 8 << 20;
