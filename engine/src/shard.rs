//! A shard: one thread's connections and its slice of every room, advanced tick by tick.

use crate::driver::Driver;
use crate::lane::Mailbox;
use crate::{Application, Config, ShardCounters};
use std::sync::Arc;

/// One shard. Deterministic: completions and letters in, operations and letters out.
pub struct Shard<A: Application, D: Driver> {
    application: A,
    driver: D,
}

impl<A: Application, D: Driver> Shard<A, D> {
    /// A shard without connections. `config` has been checked.
    pub fn new(config: &Config, application: A, driver: D, mailbox: Mailbox, counters: Arc<ShardCounters>) -> Shard<A, D> { todo!() }

    /// One tick: reap, intake, own requests, mail, deliveries, flush, submit-and-wait.
    pub fn tick(&mut self) { todo!() }

    /// Starts draining: see `Running::drain`.
    pub fn start_drain(&mut self) { todo!() }

    /// Draining, and no connection is left.
    pub fn is_drained(&self) -> bool { todo!() }

    /// The driver (the simulation inspects it).
    pub fn driver(&mut self) -> &mut D { &mut self.driver }

    /// Panics unless every account of the shard is consistent: slot lists, room members and memberships, outbox sums, timers.
    /// With `quiescent`, also that nothing is left over: no connection, room, home, letter, outbox byte.
    #[cfg(any(test, feature = "sim"))]
    pub fn check_invariants(&self, quiescent: bool) { todo!() }
}
