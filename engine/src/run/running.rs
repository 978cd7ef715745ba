//! A started engine: its threads, its counters, and the way in. Dropping it stops it at once;
//! `drain` ends it kindly.

use crate::connection::admission::Shortage;
use crate::counters::ShardCounters;
use crate::driver::listen::{ListenAddress, SocketFile};
use crate::run::handle::{Handle, ShardSender};
use crate::run::memory::Memory;
use crossbeam_channel::Sender;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A running engine. Dropping it stops it at once; [`Running::drain`] does so kindly.
#[derive(Debug)]
pub struct Running {
    /// At least one.
    pub(crate) addresses: Vec<ListenAddress>,
    /// Removed when nobody listens there any more.
    pub(crate) files: Vec<SocketFile>,
    pub(crate) rings_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) driver: &'static str,
    pub(crate) capabilities: String,
    pub(crate) memory: Memory,
    pub(crate) counters: Arc<[Arc<ShardCounters>]>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) shortage: Shortage,
    /// What homes are chosen by.
    pub(crate) seed: u64,
    pub(crate) shards: Vec<Arc<ShardSender>>,
    pub(crate) threads: Vec<Thread>,
}

#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) go: Sender<()>,
    pub(crate) thread: JoinHandle<()>,
}

impl Running {
    /// Every shard's thread lives. False only after a fault of ours, which it has logged: the
    /// process should end.
    pub fn is_alive(&self) -> bool {
        self.threads
            .iter()
            .all(|thread| !thread.thread.is_finished())
    }

    /// Where clients connect over TCP: the first listener's address of those that have one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses.iter().find_map(ListenAddress::ip)
    }

    /// Where clients connect, in the order of the configuration.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Connections that fit: the configured limit, or what a low open-file limit leaves of it.
    pub fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// Rings that may be used over all shards (each is made when the one before it is full).
    pub fn rings_max(&self) -> usize {
        self.rings_max
    }

    /// Which driver it runs on: `uring` or `portable` ([`crate::DriverChoice`]).
    pub fn driver(&self) -> &'static str {
        self.driver
    }

    /// One line about the kernel and what of it is used.
    pub fn capabilities(&self) -> String {
        self.capabilities.clone()
    }

    /// What the engine may take, as a sum of named terms.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// One set of counters per shard.
    pub fn counters(&self) -> &[Arc<ShardCounters>] {
        &self.counters
    }

    /// A cloneable way in from other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(&self.shards, &self.shortage, self.seed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // While the sockets live, for their inodes tell these files from those of a successor.
        self.files.clear();
        self.stop.store(true, Ordering::Relaxed);
        for sender in &self.shards {
            // Woken whether asleep or not: the flag is not a message, so the doorbell's protocol
            // does not cover it.
            sender.wake();
        }
        let this = std::thread::current().id();
        for Thread { go, thread } in self.threads.drain(..) {
            drop(go);
            // A shard whose application drops the engine ends when it is back from there: it cannot
            // wait for itself.
            if thread.thread().id() != this && thread.join().is_err() {
                tracing::error!("a shard's thread panicked");
            }
        }
    }
}
