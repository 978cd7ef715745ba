//! What carries a shard's operations out: the boundary, the platforms behind it, and listening
//! sockets. This file only names them.

pub(crate) mod bell;
pub(crate) mod boundary;
pub(crate) mod choice;
#[cfg(test)]
mod contract;
pub(crate) mod counters;
pub(crate) mod listen;
pub(crate) mod platform;
pub mod portable;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub(crate) mod supply;
pub(crate) mod ticks;
pub mod uring;
pub(crate) mod waiting;

pub use boundary::{
    Completion, Driver, Millis, ReceiveEnd, ShortSend, StopAccept, TRACKED_SEGMENTS_MAX, Wait,
};
pub use choice::{DriverChoice, NoSuchDriver};
pub use counters::DriverCounters;
pub use listen::{Inherited, ListenAddress, ListenSocket, ListenSource, StillAccepts};
pub use platform::{
    Built, DriverParts, Platform, PlatformLimits, TrialOutcome, TriedFeature, Unsupported, Waker,
};

/// io_uring, where the host has it.
pub type NativePlatform = uring::Uring;
/// epoll, which every host has.
pub type PortablePlatform = portable::Portable;
