//! The options of a storm. Called by `scenario`.

use crate::motion::{Motion, StormPlan};
use crate::options::{CommonOptions, duration};
use crate::plan::{Plan, Scenario, pace};
use clap::{Args, ValueEnum};
use std::time::Duration;

/// A storm.
#[derive(Debug, Args)]
pub(crate) struct StormOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Of the connections: cut off at one time by a reset, as when a network fails, and all back as
    /// soon as they can.
    #[arg(long, default_value_t = 0.8, value_name = "SHARE")]
    storm_share: f64,
    /// When, from the begin of the measured window.
    #[arg(long, default_value = "2s", value_parser = duration)]
    storm_at: Duration,
    /// Time over which they begin to come back.
    #[arg(long, default_value = "0s", value_parser = duration)]
    spread: Duration,
    /// Connects under way at once.
    #[arg(long, default_value_t = 1024)]
    connecting: u32,
    /// What the rest does meanwhile.
    #[arg(long, value_enum, default_value = "echo")]
    talk: Talk,
    /// Messages a second, by the clock: round trips of the rest together, or publishes of one
    /// publisher to everyone.
    #[arg(long, value_name = "MESSAGES_PER_S")]
    rate: f64,
    /// Rooms; each connection that is cut off joins one before its echo (raw: 1, the topic).
    /// Default: none; with `--talk broadcast` 1.
    #[arg(long)]
    rooms: Option<u32>,
    /// What a connect with its join and echo may take before it has failed and is tried again.
    #[arg(long, default_value = "10s", value_parser = duration)]
    patience: Duration,
}

/// What the rest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Talk {
    /// Round trips.
    Echo,
    /// It gets what one publisher publishes, like those that are back.
    Broadcast,
}

impl StormOptions {
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let pace = pace(Some(self.rate), None, 1)?;
        if !(0.0..=1.0).contains(&self.storm_share) {
            return Err("--storm-share is 0 to 1".into());
        }
        if self.connecting == 0 || self.patience.is_zero() {
            return Err("--connecting and --patience are above 0".into());
        }
        if self.storm_at + self.spread >= self.common.duration {
            return Err("--storm-at and --spread together are below --duration".into());
        }
        let plan = Plan::new(&self.common, Scenario::Storm)?.with_joins(self.rooms)?;
        let storm = StormPlan {
            cut: (f64::from(plan.connections) * self.storm_share).round() as u32,
            at: self.storm_at,
            away: Duration::ZERO,
            recovers: false,
            spread: self.spread,
            connecting: self.connecting,
            patience: self.patience,
        };
        let plan = plan.with_motion(Motion::Storm(storm), self.common.workers)?;
        match self.talk {
            Talk::Echo => Ok(Plan { pace, ..plan }),
            Talk::Broadcast => plan.with_publishers(1, pace),
        }
    }
}
