//! Bytes to events and back: RFC 6455 and what messages mean. No I/O, no clock, no randomness.
#![forbid(unsafe_code)]

mod assembly;
pub mod close;
pub mod deflate;
pub mod delta;
pub mod dialect;
pub mod events;
pub mod frame;
mod handshake_client;
mod head;
pub mod http;
pub mod json;
mod mask;
pub mod pack;
pub mod pieces;
pub mod problem;
pub mod proxy;
pub mod reader;
pub mod record;
pub mod trace_parent;
pub mod unfinished;
pub mod upgrade;
