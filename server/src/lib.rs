//! The Shardcast server: handlers, rooms and dialects over the engine, the control plane, and the configuration of the binary.

#![forbid(unsafe_code)]

mod admin;
mod app;
mod board;
mod cli;
mod config;
mod control;
mod log;
mod metrics;
pub mod namespace;
mod passed;
mod reload;
mod serve;
mod tls;

pub(crate) use app::EVENTS_PATH;
pub use app::*;
pub use cli::run;
// What an application names of the crates below, so that it need not depend on them.
pub use shardcast_engine as engine;
pub use shardcast_engine::protocol::close::CloseCode;
pub use shardcast_engine::{
    Address, CloseReason, Config, ListenAddress, ListenSource, Listener, Listing, Member, Peer,
    Refusal, StartError,
};
pub use shardcast_protocol::dialect::{Code, Dialect, Problem, Rules, Value};
pub use shardcast_protocol::http::{HeaderError, Headers};

// The code on these pages compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
mod embedding {}
