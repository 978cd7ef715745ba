//! What builds drivers, and the wakers and limits that come with them. The engine starts on any
//! [`Platform`] and names none.
//!
//! A platform is one process's: drivers of one platform can wake each other. Called by `start`,
//! before and on the shards' threads.

use super::DriverCounters;
use super::listen::ListenSocket;
use crate::config::Config;
use crate::driver::boundary::Driver;
use std::fmt;
use std::sync::Arc;

/// Builds the drivers of an engine's shards.
pub trait Platform: Send + Sync + 'static {
    /// What carries a shard's operations out.
    type Driver: Driver;

    /// As [`crate::DriverChoice`] names it.
    const NAME: &'static str;

    /// Tries whether this host has what the drivers need. Called once, before any socket is opened;
    /// leaves nothing behind.
    ///
    /// # Errors
    /// What is missing, and what to do about it.
    fn probe(&self) -> Result<(), Unsupported>;

    /// Tries each thing that the drivers use of the host by itself, for whoever examines a host;
    /// leaves nothing behind.
    fn features(&self) -> Vec<TriedFeature>;

    /// What each shard can hold of a checked configuration on this host. Called once the limit on
    /// open files has been raised.
    fn limits(&self, config: &Config) -> PlatformLimits;

    /// Builds a shard's driver, on the thread that will use it. No driver is used before all are
    /// built, because any may wake any.
    ///
    /// # Errors
    /// What the host refused, and what to do about it.
    fn build(&self, parts: DriverParts<'_>) -> Result<Built<Self::Driver>, Unsupported>;
}

/// What a driver is built from.
#[derive(Debug)]
pub struct DriverParts<'a> {
    /// Checked.
    pub config: &'a Config,
    /// The shard's index.
    pub shard: u16,
    /// The sockets to accept from, in the order of the configuration.
    pub listeners: Vec<ListenSocket>,
    /// Where the driver counts.
    pub counters: Arc<DriverCounters>,
}

/// A driver, and what the engine keeps of it on other threads.
#[derive(Debug)]
pub struct Built<D> {
    /// Carries the shard's operations out.
    pub driver: D,
    /// Ends the driver's wait.
    pub waker: Box<dyn Waker>,
    /// What the shard can hold: not more than was promised.
    pub limits: PlatformLimits,
    /// One line about the host and what of it is used.
    pub capabilities: String,
}

/// Ends the wait of one shard's driver, from any thread.
pub trait Waker: Send + Sync + fmt::Debug {
    /// The shard ticks once more, or soon. Never waits.
    fn wake(&self);
}

/// What one shard can hold on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformLimits {
    /// Rings that may be made, each when the one before it is full; 0 where a driver has none.
    pub rings: usize,
    /// Connections that may be admitted.
    pub connections_max: usize,
    /// Memory of the driver's buffers and queues when all rings are made and all buffers touched,
    /// in bytes.
    pub memory_bytes: u64,
}

/// One thing of a host that drivers use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedFeature {
    /// As documents of the kernel call it.
    pub name: &'static str,
    /// What a driver does with it.
    pub purpose: &'static str,
    /// What became of the trial.
    pub outcome: TrialOutcome,
}

/// What became of the trial of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
    /// It works.
    Works,
    /// It does not, and drivers do without: what they do instead.
    Replaced(&'static str),
    /// It does not, and no driver runs without it.
    Missing(Unsupported),
    /// What it takes to try it is missing itself.
    NotTried,
}

/// Something that a driver cannot do without, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    lack: String,
    remedy: String,
}

impl Unsupported {
    /// Both are parts of a sentence: what is missing, and what whoever runs the program can do.
    pub fn new(lack: impl Into<String>, remedy: impl Into<String>) -> Unsupported {
        Unsupported {
            lack: lack.into(),
            remedy: remedy.into(),
        }
    }
}

impl Unsupported {
    /// What is missing.
    pub fn lack(&self) -> &str {
        &self.lack
    }

    /// What whoever runs the program can do.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// There is another way out.
    pub(crate) fn or(mut self, remedy: &str) -> Unsupported {
        self.remedy = format!("{}; or {remedy}", self.remedy);
        self
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unsupported { lack, remedy } = self;
        write!(f, "this host cannot run the driver: {lack}; {remedy}")
    }
}

impl std::error::Error for Unsupported {}
