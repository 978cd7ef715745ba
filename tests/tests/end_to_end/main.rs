//! The server over real sockets and the real ring, with tungstenite and bare sockets as clients,
//! and our own where an honest one is meant. One file per promise.

#![forbid(unsafe_code)]

mod churn;
mod counters;
mod deadlines;
mod documented;
mod embedding;
mod encodings;
mod endings;
mod frames;
mod hosts;
mod http;
mod lagging;
mod large;
mod links;
mod listeners;
mod memory;
mod native;
mod order;
mod outside;
mod pieces;
mod pressure;
mod refusals;
mod rings;
mod slow;
mod streams;
mod upgrade;

/// What most tests run with: alone, one shard to one, and more shards than cores.
const SHARDS: [usize; 3] = [1, 2, 4];
