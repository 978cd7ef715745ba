//! What carries a shard's operations out: the boundary, the platforms behind it, and listening
//! sockets. This file only names them.

pub(crate) mod boundary;
pub(crate) mod counters;
pub(crate) mod listen;
pub(crate) mod platform;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod uring;
pub(crate) mod waiting;

pub use boundary::{
    Completion, Driver, Millis, ReceiveEnd, ShortSend, StopAccept, TRACKED_SEGMENTS_MAX, Wait,
};
pub use counters::DriverCounters;
pub use listen::{Inherited, ListenAddress, ListenSocket, ListenSource, StillAccepts};
pub use platform::{Built, DriverParts, Platform, PlatformLimits, Unsupported, Waker};

/// What the engine runs on unless told otherwise.
pub type NativePlatform = uring::Uring;
