//! The options of a chat. Called by `scenario`.

use crate::chat::{Chat, Seats, Sizes};
use crate::dialect::Protocol;
use crate::options::CommonOptions;
use crate::plan::{Plan, STREAMS_MAX, Scenario, pace, within};
use clap::Args;

/// Rooms as people have them.
#[derive(Debug, Args)]
pub(crate) struct ChatOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Rooms; the k-th has members in proportion to 1/k.
    #[arg(long, default_value_t = 100)]
    rooms: u32,
    /// Rooms that each connection is in; it talks in them in turn.
    #[arg(long, default_value_t = 3)]
    rooms_per_connection: u32,
    /// Messages a second, all connections together (open loop).
    #[arg(long, value_name = "MESSAGES_PER_S")]
    rate: f64,
    /// Lengths of the messages: mixed, or all as --payload says.
    #[arg(long, value_enum, default_value = "mixed")]
    sizes: Sizes,
    /// Draws who is in which room and who talks when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Rooms of one connection.
const ROOMS_PER_CONNECTION_MAX: u32 = 128;

impl ChatOptions {
    pub(super) fn plan(&self) -> Result<Plan, String> {
        if self.common.protocol != Protocol::Native {
            return Err(
                "chat needs --protocol native: its connections are in several rooms, and raw has one topic"
                    .into(),
            );
        }
        let chat = Chat {
            rooms_per_connection: self.rooms_per_connection,
            seed: self.seed,
            sizes: self.sizes,
        };
        let rooms_max = self.rooms.min(ROOMS_PER_CONNECTION_MAX);
        let plan = Plan {
            pace: pace(Some(self.rate), None, 1)?,
            subscribes: true,
            chat: Some(chat),
            payload_bytes: self.sizes.bytes(self.common.payload).0,
            ..Plan::new(&self.common, Scenario::Chat)?.with_rooms(self.rooms)?
        };
        within(
            "--rooms-per-connection",
            self.rooms_per_connection,
            rooms_max,
        )?;
        let streams =
            Seats::new(plan.connections, plan.rooms, chat).streams() / u64::from(plan.workers);
        if streams > STREAMS_MAX {
            return Err(format!(
                "these rooms give each worker {streams} pairs of a member and a talker to verify, and {STREAMS_MAX} are the most: use more --rooms or --workers"
            ));
        }
        Ok(plan)
    }
}
