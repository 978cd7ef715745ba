//! The options of connections that only stay. Called by `scenario`.

use crate::options::{CommonOptions, duration};
use crate::pace::Pace;
use crate::plan::{Plan, Scenario};
use clap::Args;
use std::time::Duration;

/// Memory.
#[derive(Debug, Args)]
pub(crate) struct IdleOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// How long to stay.
    #[arg(long, default_value = "5s", value_parser = duration)]
    hold: Duration,
    /// Rooms; each connection joins one (more than one: protocols with rooms).
    #[arg(long)]
    rooms: Option<u32>,
    /// In the end, one broadcast to each room and one to everyone: each connection must get both,
    /// once (native only).
    #[arg(long, requires = "rooms")]
    broadcast_once: bool,
}

impl IdleOptions {
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let protocol = self.common.protocol;
        if self.broadcast_once && !protocol.has_everyone() {
            return Err("--broadcast-once needs --protocol native".into());
        }
        if self.rooms.is_some() && !protocol.has_topics() {
            return Err("an echo server has no rooms".into());
        }
        let plan = Plan {
            hold: self.hold,
            subscribes: self.rooms.is_some() && protocol.subscribes(),
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
