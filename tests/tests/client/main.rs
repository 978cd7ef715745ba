//! Our client in Rust (`client/`) against `shardcast serve`: what it says and hears in both
//! encodings, over ws and wss, through proxies and with tokens; and what networks and servers do to
//! it: after each fault a subscriber has seen exactly the room's log, once.

#![forbid(unsafe_code)]

mod bench;
mod certificates;
mod closes;
mod conversation;
mod faults;
mod items;
mod pools;
mod scene;
mod stalled;
