//! The raw protocol on monoio's epoll driver: the same server as `monoio`, file by file, on the
//! other driver. A package of its own, since a build with both would ask at each call which one
//! runs. `shardcast-bench compare` starts it beside our own server on epoll.
#![forbid(unsafe_code)]

#[path = "../../monoio/src/arguments.rs"]
mod arguments;
#[path = "../../monoio/src/connection.rs"]
mod connection;
#[path = "../../monoio/src/framing.rs"]
mod framing;
#[path = "../../monoio/src/handshake.rs"]
mod handshake;
#[path = "../../monoio/src/server.rs"]
mod server;
#[path = "../../monoio/src/topic.rs"]
mod topic;

use arguments::Arguments;
use clap::Parser;
use monoio::{LegacyDriver, RuntimeBuilder};
use std::io;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events that one turn takes from the kernel.
const EVENTS_PER_TURN: u32 = 4096;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    server::pin(&arguments)?;
    let mut runtime = RuntimeBuilder::<LegacyDriver>::new()
        .with_entries(EVENTS_PER_TURN)
        .build()?;
    runtime.block_on(server::accept(arguments))
}
