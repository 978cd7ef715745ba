//! How connections come and go during a run, as the plan has it. Named by the plan, by the loads
//! that do it and by the report.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Of [`ChurnPlan::spare`].
const SPARE_MIN: u32 = 32;
const SPARE_MAX: u32 = 2_000;

/// How connections come and go during a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Motion {
    /// They stay.
    Still,
    /// Steadily.
    Churn(ChurnPlan),
    /// All at once.
    Storm(StormPlan),
}

/// How connections come and go, in the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChurnPlan {
    /// Connects a second, and as many ends; above 0.
    pub(crate) per_s: f64,
    /// Of the ends, 0 to 1: by a reset, not by a close handshake.
    pub(crate) reset_share: f64,
    /// What a connect with its join and echo, or a close handshake, may take.
    pub(crate) patience: Duration,
}

impl ChurnPlan {
    /// Connections beyond those held, so that some can come while others still leave: half a
    /// second's, of a worker that has this part of all.
    pub(crate) fn spare(&self, part: f64) -> u32 {
        ((self.per_s * part / 2.0) as u32).clamp(SPARE_MIN, SPARE_MAX)
    }
}

/// A storm, in the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StormPlan {
    /// Connections that are cut.
    pub(crate) cut: u32,
    /// When, from the window's begin.
    pub(crate) at: Duration,
    /// How long nobody comes back.
    pub(crate) away: Duration,
    /// Whether who comes back has missed nothing: it says what it had, and a hole since then is a
    /// loss.
    pub(crate) recovers: bool,
    /// Time over which the first attempts are spread.
    pub(crate) spread: Duration,
    /// Connects under way at once, at least 1.
    pub(crate) connecting: u32,
    /// What an attempt with its join and echo may take.
    pub(crate) patience: Duration,
}
