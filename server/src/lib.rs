//! The Shardcast server: configuration, the control plane and the native dialect over the engine.

#![forbid(unsafe_code)]

mod admin;
mod board;
mod cli;
mod config;
mod control;
mod log;
mod metrics;
pub mod namespace;
pub mod native;
mod reload;
mod serve;
mod tls;

pub use cli::run;
