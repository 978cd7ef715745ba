//! The raw protocol the way a careful user of monoio would write it: one thread on io_uring with
//! deferred task running, a task per connection, own framing in the receive buffer, a writing task
//! and a bounded queue per subscriber. `shardcast-bench compare` starts it beside our own server.
#![forbid(unsafe_code)]

mod connection;
mod framing;
mod handshake;
mod topic;

use clap::Parser;
use connection::{Connection, READ_BUFFER_BYTES};
use monoio::net::{ListenerOpts, TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};
use std::io;
use std::net::SocketAddr;
use topic::Topic;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Entries of the ring's submission queue: a broadcast to as many is one system call.
const RING_ENTRIES: u32 = 4096;
/// Entries of its completion queue; completions beyond them wait in the kernel, at a cost.
const RING_COMPLETIONS: u32 = 4 * RING_ENTRIES;

#[derive(Parser)]
#[command(about = "The raw protocol on monoio")]
struct Arguments {
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The core that the thread runs on; unpinned without it.
    #[arg(long, value_name = "CPU")]
    pin: Option<usize>,
    /// When a subscriber's messages are written.
    #[arg(long, value_enum, default_value = "batch")]
    flush: Flush,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Flush {
    /// Everything that waits leaves in one send.
    Batch,
    /// Each message leaves by itself: what most programs do.
    Each,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    if let Some(id) = arguments.pin
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        return Err(io::Error::other(format!("cannot run on CPU {id}")));
    }
    let mut ring = io_uring::IoUring::builder();
    ring.setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(RING_COMPLETIONS);
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(ring)
        .with_entries(RING_ENTRIES)
        .build()?;
    runtime.block_on(accept(arguments.listen, arguments.flush))
}

async fn accept(address: SocketAddr, flush: Flush) -> io::Result<()> {
    let options = ListenerOpts::new().reuse_port(false).backlog(BACKLOG);
    let listener = TcpListener::bind_with_config(address, &options)?;
    println!(
        "monoio peer listens on {}, one thread",
        listener.local_addr()?
    );
    let topic = Topic::default();
    loop {
        // An accept fails for the connection at hand or for want of descriptors; either way the
        // next one may succeed.
        if let Ok((stream, _)) = listener.accept().await {
            monoio::spawn(serve(stream, topic.clone(), flush));
        }
    }
}

async fn serve(mut stream: TcpStream, topic: Topic, flush: Flush) {
    // Only fails on a socket that is already gone; the handshake then says so.
    let _ = stream.set_nodelay(true);
    if let Some(bytes) = handshake::accept(&mut stream, READ_BUFFER_BYTES).await {
        // A peer that breaks the protocol or vanishes ends its own task only.
        let _ = Connection::new(stream, bytes, topic, flush).run().await;
    }
}
