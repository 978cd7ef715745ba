//! The options of a broadcast to readers of whom some stall. Called by `scenario`.

use crate::options::{CommonOptions, duration};
use crate::plan::{Plan, Scenario, pace};
use crate::stall::Stall;
use clap::Args;
use std::time::Duration;

/// A broadcast, and readers who stall.
#[derive(Debug, Args)]
pub(crate) struct SlowOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Connections that publish, besides the subscribers.
    #[arg(long, default_value_t = 1)]
    publishers: u32,
    /// Publishes a second, all publishers together (open loop).
    #[arg(long, value_name = "PUBLISHES_PER_S")]
    rate: f64,
    /// Publishes sent at once; the rate stays.
    #[arg(long, default_value_t = 1)]
    burst: u32,
    /// Share of the subscribers that stop reading, above 0 and below 1.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    stall_share: f64,
    /// When they stop, from the beginning of the measured time.
    #[arg(long, default_value = "1s", value_parser = duration)]
    stall_after: Duration,
    /// How long they do not read; at most until the sending ends, which is the default.
    #[arg(long, value_parser = duration)]
    stall_for: Option<Duration>,
}

impl SlowOptions {
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let stall = Stall {
            share: self.stall_share,
            after: self.stall_after,
            length: self.stall_for,
        };
        if !(stall.share > 0.0 && stall.share < 1.0) {
            return Err("--stall-share is above 0 and below 1".into());
        }
        if stall.count(self.common.connections) == 0 {
            return Err("--stall-share of these --connections is nobody".into());
        }
        if stall.after >= self.common.duration {
            return Err("--stall-after is shorter than --duration".into());
        }
        let pace = pace(Some(self.rate), None, self.burst)?;
        Plan {
            stall: Some(stall),
            ..Plan::new(&self.common, Scenario::Slow)?
        }
        .with_publishers(self.publishers, pace)
    }
}
