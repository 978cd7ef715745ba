//! What the Centrifuge protocol costs beside the native dialect, on the same rooms of the same
//! server.

use crate::product::{CENTRIFUGE_JSON, CENTRIFUGE_PROTOBUF, NATIVE, NATIVE_ROOM};
use crate::server::Server;
use crate::work::Figure::{BytesPerConnection, CpuPerMessage, P99};
use crate::work::{Goal, Group, Work};

const SERVERS: &[Server] = &[NATIVE, CENTRIFUGE_JSON, CENTRIFUGE_PROTOBUF];

/// A delivery is one write of shared bytes in every dialect.
const DELIVERIES: &[Goal] = &[
    Goal::cpu(CENTRIFUGE_JSON, NATIVE).must(1.05),
    Goal::cpu(CENTRIFUGE_PROTOBUF, NATIVE).must(1.05),
];

pub(super) const BROADCAST: Work = Work {
    name: "centrifuge-broadcast-1000",
    title: "Centrifuge broadcast × 1,000, 100 publishes/s",
    group: Group::Engines,
    load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 100 --burst 1",
    figures: &[CpuPerMessage, P99],
    servers: SERVERS,
    goals: DELIVERIES,
};

pub(super) const BURSTS: Work = Work {
    name: "centrifuge-bursts-1000",
    title: "Centrifuge broadcast × 1,000 in bursts of 10",
    group: Group::Engines,
    load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 100 --burst 10",
    figures: &[CpuPerMessage],
    servers: SERVERS,
    goals: DELIVERIES,
};

/// The protocol has no echo: a client publishes to a channel of its own, through the channel's
/// home, and is answered besides. So the native dialect does the same beside it; its own echo is
/// half the messages, and shown.
pub(super) const ROUND_TRIP: Work = Work {
    name: "centrifuge-echo-100",
    title: "Centrifuge round trips of 64 B × 100, by a channel",
    group: Group::Engines,
    load: "echo --connections 100 --payload 64",
    figures: &[CpuPerMessage, P99],
    servers: &[NATIVE, NATIVE_ROOM, CENTRIFUGE_JSON, CENTRIFUGE_PROTOBUF],
    goals: &[
        Goal::ratio(P99, CENTRIFUGE_JSON, NATIVE_ROOM).must(1.30),
        Goal::ratio(P99, CENTRIFUGE_PROTOBUF, NATIVE_ROOM).must(1.30),
        Goal::ratio(P99, CENTRIFUGE_JSON, NATIVE),
        Goal::ratio(P99, CENTRIFUGE_PROTOBUF, NATIVE),
    ],
};

pub(super) const IDLE: Work = Work {
    name: "centrifuge-idle-10000",
    title: "10,000 idle Centrifuge clients in one channel",
    group: Group::Engines,
    load: "idle --connections 10000 --rooms 1 --hold 2s",
    figures: &[BytesPerConnection],
    servers: SERVERS,
    goals: &[
        Goal::alone(BytesPerConnection, CENTRIFUGE_JSON).must(250.0),
        Goal::alone(BytesPerConnection, CENTRIFUGE_PROTOBUF).must(250.0),
    ],
};
