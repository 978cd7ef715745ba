//! Who takes part in works, and what is promised of many of them. Used by [`crate::works`] alone.

use crate::portable::RAW_PORTABLE;
use crate::product::NATIVE;
use crate::server::{
    BUN, BUN_TLS, FASTWEBSOCKETS, FLOOR, GORILLA, MONOIO, MONOIO_EACH, MONOIO_EPOLL,
    MONOIO_EPOLL_LEAN, NATS, NCHAN, NODE_WS, RAW, RAW_BEFORE, RAW_KEPT, RAW_TLS, RAW_TLS_BEFORE,
    RAW_TWO_SHARDS, SOCKETIO_BUN, SOCKETIO_NODE, SOCKUDO, SOCKUDO_WS, Server, TUNGSTENITE,
    TUNGSTENITE_EACH, TUNGSTENITE_TLS, UWEBSOCKETS,
};
use crate::work::Figure::CpuPerMessage;
use crate::work::{Baseline, Figure, Goal, Group, Work};

/// Whom every engine's work can be asked of.
pub(super) const ENGINES: &[Server] = &[
    RAW,
    RAW_BEFORE,
    RAW_PORTABLE,
    NATIVE,
    UWEBSOCKETS,
    BUN,
    MONOIO,
    MONOIO_EPOLL,
    MONOIO_EPOLL_LEAN,
    FASTWEBSOCKETS,
    TUNGSTENITE,
    SOCKUDO_WS,
    NODE_WS,
    GORILLA,
    FLOOR,
];
/// Who delivers 100,000 messages a second on one core with time to spare.
pub(super) const FAST_ENGINES: &[Server] = &[
    RAW,
    RAW_KEPT,
    RAW_BEFORE,
    RAW_PORTABLE,
    NATIVE,
    UWEBSOCKETS,
    BUN,
    MONOIO,
    MONOIO_EPOLL,
    FASTWEBSOCKETS,
    TUNGSTENITE,
    SOCKUDO_WS,
    FLOOR,
];
/// Who speaks the raw protocol and nothing of ours.
pub(super) const RAW_ENGINES: &[Server] = &[
    RAW,
    RAW_BEFORE,
    RAW_PORTABLE,
    UWEBSOCKETS,
    BUN,
    MONOIO,
    MONOIO_EPOLL,
    MONOIO_EPOLL_LEAN,
    FASTWEBSOCKETS,
    TUNGSTENITE,
    SOCKUDO_WS,
    NODE_WS,
    GORILLA,
    FLOOR,
];
/// Who broadcasts to 10,000.
pub(super) const CROWD_ENGINES: &[Server] = &[
    RAW,
    RAW_BEFORE,
    RAW_TWO_SHARDS,
    NATIVE,
    UWEBSOCKETS,
    BUN,
    MONOIO,
    FASTWEBSOCKETS,
    TUNGSTENITE,
    SOCKUDO_WS,
    NODE_WS,
    GORILLA,
    FLOOR,
];
/// Whether what waits is merged is seen in bursts.
pub(super) const BURST_ENGINES: &[Server] = &[
    RAW,
    RAW_PORTABLE,
    RAW_BEFORE,
    NATIVE,
    UWEBSOCKETS,
    BUN,
    MONOIO,
    MONOIO_EACH,
    MONOIO_EPOLL,
    FASTWEBSOCKETS,
    TUNGSTENITE,
    TUNGSTENITE_EACH,
    SOCKUDO_WS,
    FLOOR,
];
/// Who is asked for as much as it can.
pub(super) const SATURATED_ENGINES: &[Server] = &[
    RAW,
    RAW_BEFORE,
    NATIVE,
    UWEBSOCKETS,
    BUN,
    MONOIO,
    MONOIO_EACH,
    FASTWEBSOCKETS,
    TUNGSTENITE,
    SOCKUDO_WS,
    FLOOR,
];
/// With [`BUN`] as the raw protocol's best known.
pub(super) const WHOLE: &[Server] = &[
    NATIVE,
    BUN,
    NATS,
    NCHAN,
    SOCKETIO_NODE,
    SOCKETIO_BUN,
    SOCKUDO,
];

pub(super) const BEST_PEER: Baseline = Baseline::Best(
    "best peer",
    &[
        UWEBSOCKETS,
        BUN,
        MONOIO,
        FASTWEBSOCKETS,
        TUNGSTENITE,
        SOCKUDO_WS,
    ],
);
pub(super) const BEST_WHOLE_SERVER: Baseline = Baseline::Best(
    "best whole server",
    &[NATS, NCHAN, SOCKETIO_NODE, SOCKETIO_BUN, SOCKUDO],
);

pub(super) const FLOOR_CPU: Goal = Goal::cpu(RAW, FLOOR).must(1.10).stretch(1.03);
/// Beside an older build: what was added costs nothing where it is off. 5 % can be measured here.
pub(super) const BEFORE_CPU: Goal = Goal::cpu(RAW, RAW_BEFORE).must(1.05).stretch(1.01);
/// epoll beside epoll: uWebSockets by itself, and inside of Bun.
pub(super) const PORTABLE_ECHO: Goal = Goal::cpu(RAW_PORTABLE, UWEBSOCKETS).must(1.00);
pub(super) const PORTABLE_ECHO_BUN: Goal = Goal::cpu(RAW_PORTABLE, BUN).must(1.00);
pub(super) const PORTABLE_BROADCAST: Goal = Goal::cpu(RAW_PORTABLE, UWEBSOCKETS).must(0.95);
pub(super) const PORTABLE_BROADCAST_BUN: Goal = Goal::cpu(RAW_PORTABLE, BUN).must(0.95);
pub(super) const PORTABLE_BURSTS: Goal = Goal::cpu(RAW_PORTABLE, UWEBSOCKETS).must(0.90);
pub(super) const PORTABLE_BURSTS_BUN: Goal = Goal::cpu(RAW_PORTABLE, BUN).must(0.90);
/// What a driver on monoio would have had to come to.
pub(super) const PORTABLE_MONOIO: Goal = Goal::cpu(RAW_PORTABLE, MONOIO_EPOLL);
/// What epoll costs beside io_uring: no promise, and no work without the figure.
pub(super) const PORTABLE_CPU: Goal = Goal::cpu(RAW_PORTABLE, RAW);
/// What JSON may cost an echo, and a delivery.
pub(super) const NATIVE_ECHO: Goal = Goal::cpu(NATIVE, RAW).must(1.40);
pub(super) const NATIVE_BROADCAST: Goal = Goal::cpu(NATIVE, RAW).must(1.25);
/// Bun has uWebSockets inside. The softirq of loopback hides what batching saves: two promises.
pub(super) const ECHO_BUN: Goal = Goal::cpu(RAW, BUN).must(0.92).stretch(0.85).rps(0.65, 0.55);
pub(super) const ECHO_MONOIO: Goal = Goal::cpu(RAW, MONOIO).must(1.00);
/// Every send is one of its own for both: parity is the floor.
pub(super) const BROADCAST_MONOIO: Goal = Goal::cpu(RAW, MONOIO).must(1.05);
/// Beside one that writes each message by itself.
pub(super) const MERGED_MONOIO: Goal = Goal::cpu(RAW, MONOIO_EACH).must(0.25);

pub(super) const fn ahead_of_whole_servers(figure: Figure) -> Goal {
    Goal::new(figure, NATIVE, BEST_WHOLE_SERVER).must(1.00)
}

pub(super) const fn ahead_of_raw_bun(figure: Figure) -> Goal {
    Goal::ratio(figure, NATIVE, BUN).stretch(1.00)
}

/// With one certificate and one cipher suite.
pub(super) const SECURE_ENGINES: &[Server] = &[RAW_TLS, RAW_TLS_BEFORE, BUN_TLS, TUNGSTENITE_TLS];
/// Beside them without TLS: what it costs us.
pub(super) const SECURE_AND_PLAIN: &[Server] =
    &[RAW, RAW_TLS, RAW_TLS_BEFORE, BUN_TLS, TUNGSTENITE_TLS];
pub(super) const BEST_TLS_PEER: Baseline =
    Baseline::Best("best TLS peer", &[BUN_TLS, TUNGSTENITE_TLS]);

pub(super) const fn ahead_of_tls_peers(figure: Figure) -> Goal {
    Goal::new(figure, RAW_TLS, BEST_TLS_PEER)
}

/// Whole handshakes.
pub(super) const TLS_CONNECT: &[Goal] = &[
    ahead_of_tls_peers(Figure::CpuPerConnect),
    Goal::ratio(Figure::CpuPerConnect, RAW_TLS, RAW_TLS_BEFORE).must(0.95),
];

const TLS_ECHO: &[Goal] = &[
    ahead_of_tls_peers(CpuPerMessage).must(0.90),
    Goal::cpu(RAW_TLS, RAW_TLS_BEFORE).must(1.00),
    Goal::cpu(RAW_TLS, RAW),
];

/// Echo over TLS.
pub(super) const fn tls_echo(name: &'static str, title: &'static str, load: &'static str) -> Work {
    Work {
        name,
        title,
        group: Group::Secure,
        load,
        figures: &[CpuPerMessage],
        servers: SECURE_AND_PLAIN,
        goals: TLS_ECHO,
    }
}

const LARGE_ECHO: &[Goal] = &[
    PORTABLE_CPU,
    Goal::new(CpuPerMessage, RAW, BEST_PEER).must(0.90),
    Goal::cpu(RAW, BUN),
    BEFORE_CPU,
    FLOOR_CPU,
];

/// Messages that are larger than a receive buffer.
pub(super) const fn large_echo(
    name: &'static str,
    title: &'static str,
    load: &'static str,
) -> Work {
    Work {
        name,
        title,
        group: Group::Engines,
        load,
        figures: &[CpuPerMessage],
        servers: RAW_ENGINES,
        goals: LARGE_ECHO,
    }
}
