//! Several `shardcast serve` with a real broker between them (NATS with JetStream, Redis), and what
//! goes wrong with machines and networks: nodes and brokers that are killed, links that are silent,
//! slow, cut or flapping. Everybody stands in a network namespace of its own where the machine
//! allows it.

#![forbid(unsafe_code)]

mod broker;
mod cluster;
mod contract;
mod crowd;
mod fast;
mod link;
mod node;
mod ordered;
mod people;
mod place;
mod present;
mod redis;
mod scene;
mod schedules;
mod sessions;
mod store;
mod the_ground;
mod traced;
