//! The options of round trips. Called by `scenario`.

use crate::options::CommonOptions;
use crate::plan::{Plan, Scenario, pace};
use clap::Args;

/// Round trips.
#[derive(Debug, Args)]
pub(crate) struct EchoOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Messages that each connection keeps unanswered (closed loop).
    #[arg(long, default_value_t = 1, conflicts_with = "rate")]
    in_flight: u32,
    /// Messages a second, all connections together, sent by the clock whether answers come or not
    /// (open loop).
    #[arg(long, value_name = "MESSAGES_PER_S")]
    rate: Option<f64>,
}

impl EchoOptions {
    pub(super) fn plan(&self) -> Result<Plan, String> {
        Ok(Plan {
            pace: pace(self.rate, Some(self.in_flight), 1)?,
            ..Plan::new(&self.common, Scenario::Echo)?
        })
    }
}
