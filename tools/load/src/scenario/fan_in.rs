//! The options of many to few. Called by `scenario`.

use crate::options::CommonOptions;
use crate::plan::{PUBLISHERS_MAX, Plan, Scenario, pace, within};
use clap::Args;

/// Many to few: a broadcast with the numbers turned round.
#[derive(Debug, Args)]
pub(crate) struct FanInOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Connections that receive, besides the publishers.
    #[arg(long, default_value_t = 5)]
    listeners: u32,
    /// Publishes a second, all publishers together and one publisher after the other (open loop).
    #[arg(
        long,
        value_name = "PUBLISHES_PER_S",
        required_unless_present = "outstanding"
    )]
    rate: Option<f64>,
    /// Publishes that each publisher keeps undelivered: as fast as the server can.
    #[arg(long, conflicts_with = "rate")]
    outstanding: Option<u32>,
}

impl FanInOptions {
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let plan = Plan::new(&self.common, Scenario::FanIn)?;
        within("--connections", self.common.connections, PUBLISHERS_MAX)?;
        within("--listeners", self.listeners, LISTENERS_MAX)?;
        within("--workers", plan.workers, self.listeners)?;
        Plan {
            connections: self.listeners,
            ..plan
        }
        .with_publishers(
            self.common.connections,
            pace(self.rate, self.outstanding, 1)?,
        )
    }
}

/// Beyond, it is a broadcast.
const LISTENERS_MAX: u32 = 1_000;
