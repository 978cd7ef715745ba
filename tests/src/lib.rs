//! What the end-to-end tests stand on: engines in this process or one of their own, two kinds of
//! client that share no code with them, and an honest one, which is the project's own.
//!
//! Invariant: nothing here waits without a deadline ([`PATIENCE`]). Used by the tests beside it.

#![forbid(unsafe_code)]

mod certificates;
mod client;
mod driver;
mod echo;
pub mod events;
mod fragile;
mod honest;
pub mod proxy;
mod raw;
mod served;
mod server;

/// How long anything may take before a test fails.
pub use shardcast_patience::PATIENCE;
/// Waits of tests.
pub use shardcast_patience::{is_reached_within, patiently, wait_until, wait_within};

pub use certificates::{Certificates, SERVERS, secure};
pub use client::Client;
pub use driver::driver;
pub use echo::Echo;
pub use fragile::Fate;
pub use honest::{Honest, report};
pub use raw::{
    BINARY, CLOSE, CONTINUE, FIN, PING, PONG, Raw, TEXT, frame, header, upgrade, upgrade_with,
};
pub use served::{CPU_STEP, Served};
pub use server::{Server, VERSION, config, shard_of};
