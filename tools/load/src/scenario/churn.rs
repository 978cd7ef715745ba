//! The options of coming and going. Called by `scenario`.

use crate::motion::{ChurnPlan, Motion};
use crate::options::{CommonOptions, duration};
use crate::plan::{Plan, Scenario, pace};
use clap::Args;
use std::time::Duration;

/// Coming and going.
#[derive(Debug, Args)]
pub(crate) struct ChurnOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Connects a second, by the clock; as many connections leave, those that have stayed longest.
    #[arg(long, value_name = "CONNECTS_PER_S")]
    rate: f64,
    /// Of those that leave: by a reset instead of a close handshake, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    reset_share: f64,
    /// Rooms; each connection joins one (raw: 1, the topic). Default: none is joined.
    #[arg(long)]
    rooms: Option<u32>,
    /// What a connect with its join and echo, or a close handshake, may take before it has failed.
    #[arg(long, default_value = "10s", value_parser = duration)]
    patience: Duration,
}

impl ChurnOptions {
    pub(super) fn plan(&self) -> Result<Plan, String> {
        // Every worker has a part of it.
        pace(Some(self.rate), None, 1)?;
        if !(0.0..=1.0).contains(&self.reset_share) {
            return Err("--reset-share is 0 to 1".into());
        }
        if self.patience.is_zero() {
            return Err("--patience is above 0".into());
        }
        let churn = ChurnPlan {
            per_s: self.rate,
            reset_share: self.reset_share,
            patience: self.patience,
        };
        Plan::new(&self.common, Scenario::Churn)?
            .with_joins(self.rooms)?
            .with_motion(Motion::Churn(churn), self.common.workers)
    }
}
