//! A client for Shardcast that comes back: one connection, or a pool of them, that reconnects,
//! recovers what its rooms said meanwhile, and publishes each message once. How it is used stands
//! below.
//!
//! # How it is made
//!
//! ```text
//!  Client, Subscription, Pending          what users hold
//!        │  lock, notify                  Shared
//!        ▼
//!  Core  = Link + Requests + Rooms        no I/O, no clock: bytes and times in and out
//!        ▲
//!        │  bytes, deadlines
//!  driver (one tokio task) ── connect     sockets, TLS, timers, tokens, handlers
//! ```
//!
//! - **One task for each connection**, however many subscriptions it has. It connects, moves bytes
//!   between socket and core, sleeps until the core's next deadline, and calls handlers.
//! - **The core is a state machine.** What it does depends on what came in and what time it is said
//!   to be, and on a seed; so a day of faults takes seconds in a test. It is behind one lock, which
//!   is held for moves in memory only.
//! - **Nothing grows without a bound.** What waits to be sent (`queue`), what is under way, what
//!   waits to be read (`buffer` of each subscription), what came before the answer to its join:
//!   each has a limit, and a rule for what is beyond it.
//! - **No silent gap.** A subscription hears `Recovered` or `Lost` after every reconnect, and
//!   `Lost` where its own buffer was too small.
//!
#![doc = include_str!("../../docs/client.md")]
#![forbid(unsafe_code)]

mod address;
mod backoff;
mod breaker;
mod client;
mod connect;
mod core;
mod counts;
mod delivered;
mod driver;
mod encoding;
mod end;
mod entry;
mod error;
#[cfg(feature = "metrics")]
mod facade;
mod inbox;
mod keyed;
mod link;
mod message;
mod options;
mod outbox;
mod pending;
mod policy;
mod pool;
mod publish;
mod refreshing;
mod requests;
mod room;
mod rooms;
mod shared;
mod sink;
mod state;
mod subscription;
mod tls;
mod token;
mod trace;

pub use backoff::Backoff;
pub use breaker::{
    Breaker, BreakerOpen, BreakerOptions, BreakerState, Budget, BudgetOptions, Paid,
};
pub use client::Client;
pub use counts::{Histogram, Snapshot};
pub use encoding::Encoding;
pub use entry::{QueueOptions, WhenQueueFull};
pub use error::{BoxError, Effect, Error, ErrorKind};
pub use message::{
    ConnectionStatus, Delivery, History, Item, Joined, KeptMessage, Loss, Lost, Member, Message,
    Missed, Position, Presence, PresenceEvent, Receipt, Recovered, RoomReceipt,
};
pub use options::{Adaptive, BatchOptions, Compression, Options, Proxy};
pub use pending::Pending;
pub use policy::PoolPolicy;
pub use pool::{Pool, PoolOptions};
pub use publish::{Ask, Publish, Target};
pub use sink::{BufferOptions, WhenBufferFull};
pub use state::{State, Status};
pub use subscription::{SubscribeOptions, Subscription};
pub use tls::{Authorities, Identity, Tls};
pub use token::{TokenFuture, TokenIn, TokenProvider};
pub use trace::{BadTraceContext, Sampling, TraceContext};
