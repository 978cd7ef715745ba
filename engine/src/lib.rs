//! The shard: connections, rooms and lanes as a deterministic state machine, and the drivers that run it on a kernel or in a simulation.

mod application;
mod audience;
mod batch;
mod config;
mod connection;
mod context;
mod core;
mod counters;
mod deadline;
mod doorbell;
pub mod driver;
mod frame;
mod home;
#[doc(hidden)] // Driven by the simulation tests.
pub mod lane;
mod letter;
mod listener;
mod membership;
mod memory;
mod outbox;
pub mod outgoing;
mod paged;
mod peer;
mod phase;
mod report;
mod room;
mod running;
#[doc(hidden)] // Driven by the simulation tests.
pub mod shard;
mod ticket;
mod tls;
mod unread;
mod wheel;

pub use application::{Accepted, Answer, Application, CloseReason, Refusal, Report, Tag};
pub use config::{Config, ConfigError, Pinning};
pub use context::{Context, Publish, PublishError, RoomError, Target};
pub use counters::{Counter, Reading, ShardCounters};
pub use deadline::Deadline;
pub use frame::{Frame, Message};
pub use listener::Listener;
pub use memory::Memory;
pub use running::{Handle, Running, StartError, start};
pub use ticket::{Address, Ticket};
pub use tls::{ClientCertificates, Identity, Tls, TlsError, TlsOptions, TlsVersion};

pub use shardcast_protocol as protocol;
