//! The shard: connections, rooms and lanes as a deterministic state machine, and the drivers that run it on a kernel or in a simulation.

mod application;
mod config;
mod context;
mod counters;
pub mod driver;
mod frame;
pub mod outgoing;
#[cfg(feature = "sim")]
pub mod lane;
#[cfg(not(feature = "sim"))]
mod lane;
mod running;
#[cfg(feature = "sim")]
pub mod shard;
#[cfg(not(feature = "sim"))]
mod shard;
mod ticket;

pub use application::{Accepted, Answer, Report, Application, CloseReason, Refusal, Tag};
pub use config::{Config, ConfigError, Pinning};
pub use context::{Context, Publish, PublishError, RoomError, Target};
pub use counters::{Counter, ShardCounters};
pub use frame::{Frame, Message};
pub use running::{Handle, Running, StartError, start};
pub use ticket::{Address, Ticket};

pub use shardcast_protocol as protocol;
