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
mod reload;
mod serve;
mod tls;

pub(crate) use app::EVENTS_PATH;
pub use app::*;
pub use cli::run;
