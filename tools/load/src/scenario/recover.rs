//! The options of a recovery. Called by `scenario`.

use crate::dialect::Protocol;
use crate::motion::{Motion, StormPlan};
use crate::options::{CommonOptions, duration};
use crate::plan::{Plan, Scenario, pace};
use clap::Args;
use std::time::Duration;

/// A recovery: a storm after which nobody may have missed anything.
#[derive(Debug, Args)]
pub(crate) struct RecoverOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Of the connections: cut off at one time by a reset. They come back with the place of the
    /// last message that they had.
    #[arg(long, default_value_t = 0.9, value_name = "SHARE")]
    recover_share: f64,
    /// When, from the begin of the measured window.
    #[arg(long, default_value = "1s", value_parser = duration)]
    cut_at: Duration,
    /// How long they stay away: what is published meanwhile they have missed.
    #[arg(long, default_value = "1s", value_parser = duration)]
    away: Duration,
    /// Time over which they begin to come back.
    #[arg(long, default_value = "0s", value_parser = duration)]
    spread: Duration,
    /// Connects under way at once.
    #[arg(long, default_value_t = 1024)]
    connecting: u32,
    /// Publishes a second, by the clock, of one publisher to the rooms in turn.
    #[arg(long, value_name = "MESSAGES_PER_S")]
    rate: f64,
    /// Rooms, which must keep history on the server.
    #[arg(long, default_value_t = 1)]
    rooms: u32,
    /// What a connect with its join and echo may take before it has failed and is tried again.
    #[arg(long, default_value = "10s", value_parser = duration)]
    patience: Duration,
}

impl RecoverOptions {
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let pace = pace(Some(self.rate), None, 1)?;
        if self.common.protocol != Protocol::Native {
            return Err("only --protocol native names the place that a client has".into());
        }
        if !(0.0..=1.0).contains(&self.recover_share) {
            return Err("--recover-share is 0 to 1".into());
        }
        if self.connecting == 0 || self.patience.is_zero() {
            return Err("--connecting and --patience are above 0".into());
        }
        if self.cut_at + self.away + self.spread >= self.common.duration {
            return Err("--cut-at, --away and --spread together are below --duration".into());
        }
        let plan = Plan::new(&self.common, Scenario::Storm)?.with_joins(Some(self.rooms))?;
        let storm = StormPlan {
            cut: (f64::from(plan.connections) * self.recover_share).round() as u32,
            at: self.cut_at,
            away: self.away,
            recovers: true,
            spread: self.spread,
            connecting: self.connecting,
            patience: self.patience,
        };
        let plan = plan.with_motion(Motion::Storm(storm), self.common.workers)?;
        plan.with_publishers(1, pace)
    }
}
