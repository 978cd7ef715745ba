//! The options of one to many. Called by `scenario`.

use crate::options::CommonOptions;
use crate::plan::{Plan, Scenario, pace};
use clap::Args;

/// One to many.
#[derive(Debug, Args)]
pub(crate) struct BroadcastOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Connections that publish, besides the subscribers.
    #[arg(long, default_value_t = 1)]
    publishers: u32,
    /// Publishes a second, all publishers together (open loop).
    #[arg(
        long,
        value_name = "PUBLISHES_PER_S",
        required_unless_present = "outstanding"
    )]
    rate: Option<f64>,
    /// Publishes that each publisher keeps undelivered: as fast as the server can.
    #[arg(long, conflicts_with = "rate")]
    outstanding: Option<u32>,
    /// Publishes sent at once; the rate stays.
    #[arg(long, default_value_t = 1, conflicts_with = "outstanding")]
    burst: u32,
    /// Rooms; subscribers are spread evenly, publishers publish to them in turn (protocols with
    /// rooms).
    #[arg(long, default_value_t = 1)]
    rooms: u32,
}

impl BroadcastOptions {
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let pace = pace(self.rate, self.outstanding, self.burst)?;
        Plan::new(&self.common, Scenario::Broadcast)?
            .with_rooms(self.rooms)?
            .with_publishers(self.publishers, pace)
    }
}
