//! What it costs that rooms keep what is published, and who is there.

use crate::product::{NATIVE, NATIVE_KEPT, NATIVE_PRESENCE, NATIVE_STORED, NATIVE_UNSTORED};
use crate::work::Figure::{BytesPerConnection, CpuPerMessage};
use crate::work::{Goal, Group, Work};

pub(super) const HISTORY_1000: Work = Work {
    name: "history-1000",
    title: "native broadcast × 1,000, 100k deliveries/s, with history",
    group: Group::Engines,
    load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 100 --burst 1",
    figures: &[CpuPerMessage],
    servers: &[NATIVE, NATIVE_KEPT],
    goals: &[Goal::cpu(NATIVE_KEPT, NATIVE).must(1.02)],
};

pub(super) const HISTORY_1: Work = Work {
    name: "history-1",
    title: "native publishes to one subscriber, 10k/s, with history",
    group: Group::Engines,
    load: "broadcast --connections 1 --publishers 1 --payload 64 --rate 10000 --burst 1",
    figures: &[CpuPerMessage],
    servers: &[NATIVE, NATIVE_KEPT, NATIVE_UNSTORED, NATIVE_STORED],
    goals: &[
        Goal::cpu(NATIVE_KEPT, NATIVE).must(1.10),
        Goal::cpu(NATIVE_STORED, NATIVE_UNSTORED).must(1.15),
    ],
};

/// Members are idle once nobody has come for a while: by the end of the hold the shard has given
/// back what 10,000 joins on end have taken besides.
pub(super) const PRESENCE_IDLE: Work = Work {
    name: "presence-idle-10000",
    title: "10,000 idle in one room with history and presence, after 6 s",
    group: Group::Engines,
    load: "idle --connections 10000 --rooms 1 --hold 6s",
    figures: &[BytesPerConnection],
    servers: &[NATIVE, NATIVE_PRESENCE],
    goals: &[Goal::alone(BytesPerConnection, NATIVE_PRESENCE).must(260.0)],
};
