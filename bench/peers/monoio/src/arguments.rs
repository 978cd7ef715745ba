//! The command line of both builds, on io_uring and on epoll. `main` reads it, the others do as it
//! says.

use std::net::SocketAddr;

#[derive(clap::Parser)]
#[command(about = "The raw protocol on monoio")]
pub(crate) struct Arguments {
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// The core that the thread runs on; unpinned without it.
    #[arg(long, value_name = "CPU")]
    pub(crate) pin: Option<usize>,
    /// When a subscriber's messages are written.
    #[arg(long, value_enum, default_value = "batch")]
    pub(crate) flush: Flush,
    /// Who has a buffer to receive into.
    #[arg(long, value_enum, default_value = "own")]
    pub(crate) buffers: Buffers,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Flush {
    /// Everything that waits leaves in one send.
    Batch,
    /// Each message leaves by itself: what most programs do.
    Each,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Buffers {
    /// Each connection: what most programs do.
    Own,
    /// Whoever is about to receive: a connection that waits has none.
    Shared,
}
