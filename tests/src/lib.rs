//! What the end-to-end tests stand on: engines in this process or one of their own, and two kinds of client that share no code with them.
//!
//! Invariant: nothing here waits without a deadline ([`PATIENCE`]), and nothing waits by sleeping. Used by the tests beside it.

#![forbid(unsafe_code)]

mod certificates;
mod client;
mod echo;
pub mod events;
mod raw;
mod served;
mod server;

pub use certificates::{Certificates, SERVERS, secure};
pub use client::Client;
pub use echo::Echo;
pub use raw::{
    BINARY, CLOSE, CONTINUE, FIN, PING, PONG, Raw, TEXT, frame, header, upgrade, upgrade_with,
};
pub use served::{CPU_STEP, Served};
pub use server::{Server, VERSION, config, shard_of};

use std::time::Duration;

/// How long anything may take before a test fails. What is tested takes milliseconds; a busy machine may take seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);
