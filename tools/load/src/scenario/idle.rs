//! The options of connections that only stay. Called by `scenario`.

use crate::arguments::{Common, duration};
use crate::dialect::Protocol;
use crate::pace::Pace;
use crate::plan::{Plan, Scenario};
use clap::Args;
use std::time::Duration;

/// Memory.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How long to stay.
    #[arg(long, default_value = "5s", value_parser = duration)]
    hold: Duration,
    /// Rooms; each connection joins one (native only).
    #[arg(long)]
    rooms: Option<u32>,
    /// In the end, one broadcast to each room and one to everyone: each connection must get both, once (native only).
    #[arg(long, requires = "rooms")]
    broadcast_once: bool,
}

impl Options {
    pub(super) fn plan(&self) -> Result<Plan, String> {
        if self.rooms.is_some() && self.common.protocol == Protocol::Raw {
            return Err("--rooms needs --protocol native".into());
        }
        let plan = Plan {
            hold: self.hold,
            subscribes: self.rooms.is_some(),
            ..Plan::new(&self.common, Scenario::Idle)?.with_rooms(self.rooms.unwrap_or(1))?
        };
        if self.broadcast_once {
            Ok(Plan {
                pace: Pace::Once,
                publishers: 2,
                ..plan
            })
        } else {
            Ok(plan)
        }
    }
}
