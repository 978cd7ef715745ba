//! The raw protocol the way a careful user of monoio would write it: one thread on io_uring with
//! deferred task running, a task per connection, own framing in the receive buffer, a writing task
//! and a bounded queue per subscriber. `shardcast-bench compare` starts it beside our own server.
#![forbid(unsafe_code)]

mod arguments;
mod connection;
mod framing;
mod handshake;
mod server;
mod topic;

use arguments::Arguments;
use clap::Parser;
use monoio::{IoUringDriver, RuntimeBuilder};
use std::io;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Entries of the ring's submission queue: a broadcast to as many is one system call.
const RING_ENTRIES: u32 = 4096;
/// Entries of its completion queue; completions beyond them wait in the kernel, at a cost.
const RING_COMPLETIONS: u32 = 4 * RING_ENTRIES;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    server::pin(&arguments)?;
    let mut ring = io_uring::IoUring::builder();
    ring.setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(RING_COMPLETIONS);
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(ring)
        .with_entries(RING_ENTRIES)
        .build()?;
    runtime.block_on(server::accept(arguments))
}
