//! The works, in the order in which they run and stand in tables; `work` explains the words.

mod centrifuge;
mod kept;
mod terms;

use crate::portable::RAW_PORTABLE;
use crate::product::{
    NATIVE, NATIVE_CHECKING, NATIVE_LIMITS, NATIVE_QUIET, NATIVE_REFUSING, NATIVE_TOKENS,
    NATIVE_USERS,
};
use crate::server::{
    BUN, BUN_DEFLATE, BUN_TLS, FLOOR, MONOIO, MONOIO_EPOLL_LEAN, RAW, RAW_BEFORE, RAW_DEFLATE,
    RAW_KEPT, RAW_TLS, RAW_TLS_BEFORE, RAW_TWO_SHARDS, TUNGSTENITE, TUNGSTENITE_EACH, UWEBSOCKETS,
};
use crate::work::Figure::{BytesPerConnection, CpuPerConnect, CpuPerMessage, P99};
use crate::work::{Baseline, Goal, Group, Work};
use terms::{
    BEFORE_CPU, BEST_PEER, BROADCAST_MONOIO, BURST_ENGINES, CROWD_ENGINES, ECHO_BUN, ECHO_MONOIO,
    ENGINES, FAST_ENGINES, FLOOR_CPU, MERGED_MONOIO, NATIVE_BROADCAST, NATIVE_ECHO,
    PORTABLE_BROADCAST, PORTABLE_BROADCAST_BUN, PORTABLE_BURSTS, PORTABLE_BURSTS_BUN, PORTABLE_CPU,
    PORTABLE_ECHO, PORTABLE_ECHO_BUN, PORTABLE_MONOIO, RAW_ENGINES, SATURATED_ENGINES,
    SECURE_ENGINES, TLS_CONNECT, WHOLE, ahead_of_raw_bun, ahead_of_tls_peers,
    ahead_of_whole_servers, large_echo, tls_echo,
};

/// Every work.
pub static WORKS: &[Work] = &[
    Work {
        name: "echo-100",
        title: "echo 64 B × 100",
        group: Group::Engines,
        load: "echo --connections 100 --payload 64",
        figures: &[CpuPerMessage],
        servers: ENGINES,
        goals: &[
            PORTABLE_ECHO,
            PORTABLE_ECHO_BUN,
            PORTABLE_MONOIO,
            PORTABLE_CPU,
            ECHO_BUN,
            ECHO_MONOIO,
            BEFORE_CPU,
            FLOOR_CPU,
            NATIVE_ECHO,
        ],
    },
    Work {
        name: "echo-1000",
        title: "echo 64 B × 1,000",
        group: Group::Engines,
        load: "echo --connections 1000 --payload 64",
        figures: &[CpuPerMessage],
        servers: ENGINES,
        goals: &[
            PORTABLE_ECHO,
            PORTABLE_ECHO_BUN,
            PORTABLE_MONOIO,
            PORTABLE_CPU,
            ECHO_BUN,
            ECHO_MONOIO,
            Goal::cpu(RAW, TUNGSTENITE).must(0.75),
            BEFORE_CPU,
            FLOOR_CPU,
            NATIVE_ECHO,
        ],
    },
    Work {
        name: "echo-10000",
        title: "echo 64 B × 10,000",
        group: Group::Engines,
        load: "echo --connections 10000 --payload 64",
        figures: &[CpuPerMessage],
        servers: ENGINES,
        goals: &[
            PORTABLE_ECHO,
            PORTABLE_ECHO_BUN,
            PORTABLE_MONOIO,
            PORTABLE_CPU,
            ECHO_BUN,
            ECHO_MONOIO,
            BEFORE_CPU,
            FLOOR_CPU,
            NATIVE_ECHO,
        ],
    },
    Work {
        name: "echo-16k",
        title: "echo 16 KiB × 100",
        group: Group::Engines,
        load: "echo --connections 100 --payload 16384",
        figures: &[CpuPerMessage],
        servers: RAW_ENGINES,
        goals: &[
            PORTABLE_ECHO,
            PORTABLE_ECHO_BUN,
            PORTABLE_MONOIO,
            PORTABLE_CPU,
            Goal::cpu(RAW, BUN).must(0.93).stretch(0.80),
            Goal::cpu(RAW, MONOIO),
            BEFORE_CPU,
            FLOOR_CPU,
        ],
    },
    large_echo(
        "echo-32k",
        "echo 32 KiB × 100",
        "echo --connections 100 --payload 32768",
    ),
    large_echo(
        "echo-60k",
        "echo 60 KiB × 100",
        "echo --connections 100 --payload 61440",
    ),
    large_echo(
        "echo-60k-1000",
        "echo 60 KiB × 1,000",
        "echo --connections 1000 --payload 61440",
    ),
    large_echo(
        "echo-128k",
        "echo 128 KiB × 100",
        "echo --connections 100 --payload 131072",
    ),
    // The raw protocol's limit of a message is 1 MiB for every server.
    large_echo(
        "echo-1m",
        "echo 1 MiB × 20",
        "echo --connections 20 --payload 1048576",
    ),
    Work {
        name: "echo-open",
        title: "echo 64 B × 1,000 by the clock, 10k/s",
        group: Group::Engines,
        load: "echo --connections 1000 --payload 64 --rate 10000",
        figures: &[CpuPerMessage, P99],
        servers: ENGINES,
        goals: &[
            Goal::cpu(RAW, BUN).must(1.05),
            Goal::cpu(RAW, MONOIO),
            BEFORE_CPU,
            FLOOR_CPU,
            NATIVE_ECHO,
            Goal::new(P99, RAW, BEST_PEER),
        ],
    },
    Work {
        name: "broadcast-1000",
        title: "broadcast × 1,000, 25k deliveries/s, nothing to merge",
        group: Group::Engines,
        load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 25 --burst 1",
        figures: &[CpuPerMessage],
        servers: ENGINES,
        goals: &[
            PORTABLE_BROADCAST,
            PORTABLE_BROADCAST_BUN,
            PORTABLE_MONOIO,
            PORTABLE_CPU,
            Goal::cpu(RAW, BUN),
            Goal::cpu(RAW, MONOIO),
            Goal::cpu(RAW, TUNGSTENITE).must(0.70),
            BEFORE_CPU,
            FLOOR_CPU,
            NATIVE_BROADCAST,
        ],
    },
    Work {
        name: "broadcast-1000-100k",
        title: "broadcast × 1,000, 100 publishes/s, 100k deliveries/s",
        group: Group::Engines,
        load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 100 --burst 1",
        figures: &[CpuPerMessage, P99],
        servers: FAST_ENGINES,
        goals: &[
            PORTABLE_BROADCAST,
            PORTABLE_BROADCAST_BUN,
            PORTABLE_MONOIO,
            PORTABLE_CPU,
            Goal::cpu(RAW, BUN).must(0.82).stretch(0.70),
            BROADCAST_MONOIO,
            BEFORE_CPU,
            FLOOR_CPU,
            NATIVE_BROADCAST,
            Goal::cpu(RAW_KEPT, RAW).must(1.02),
            Goal::new(P99, RAW, BEST_PEER).must(1.00).stretch(0.85),
        ],
    },
    Work {
        name: "broadcast-10000",
        title: "broadcast × 10,000, 40k deliveries/s",
        group: Group::Engines,
        load: "broadcast --connections 10000 --publishers 1 --payload 64 --rate 4 --burst 1",
        figures: &[CpuPerMessage],
        servers: CROWD_ENGINES,
        goals: &[
            Goal::cpu(RAW, BUN).must(0.90).stretch(0.80),
            BROADCAST_MONOIO,
            BEFORE_CPU,
            FLOOR_CPU,
            Goal::cpu(RAW_TWO_SHARDS, RAW).must(1.10),
            NATIVE_BROADCAST,
        ],
    },
    Work {
        name: "broadcast-16k",
        title: "broadcast 16 KiB × 1,000, 20k deliveries/s",
        group: Group::Engines,
        load: "broadcast --connections 1000 --publishers 1 --payload 16384 --rate 20 --burst 1",
        figures: &[CpuPerMessage],
        servers: RAW_ENGINES,
        goals: &[
            Goal::cpu(RAW, BUN).must(0.90).stretch(0.80),
            BROADCAST_MONOIO,
            BEFORE_CPU,
            FLOOR_CPU,
        ],
    },
    Work {
        name: "bursts-1000",
        title: "broadcast × 1,000 in bursts of 10, 100k deliveries/s",
        group: Group::Engines,
        load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 100 --burst 10",
        figures: &[CpuPerMessage],
        servers: BURST_ENGINES,
        goals: &[
            PORTABLE_BURSTS,
            PORTABLE_BURSTS_BUN,
            PORTABLE_MONOIO,
            PORTABLE_CPU,
            Goal::cpu(RAW, BUN).must(0.87).stretch(0.70),
            MERGED_MONOIO,
            Goal::cpu(RAW, MONOIO),
            Goal::cpu(RAW, TUNGSTENITE_EACH).must(0.15),
            BEFORE_CPU,
            FLOOR_CPU,
            NATIVE_BROADCAST,
        ],
    },
    Work {
        name: "saturating-1000",
        title: "broadcast × 1,000, 8 publishes outstanding",
        group: Group::Engines,
        load: "broadcast --connections 1000 --publishers 1 --payload 64 --outstanding 8",
        figures: &[CpuPerMessage],
        servers: SATURATED_ENGINES,
        goals: &[
            Goal::cpu(RAW, BUN).must(0.80).stretch(0.60),
            MERGED_MONOIO,
            Goal::cpu(RAW, MONOIO),
            BEFORE_CPU,
            FLOOR_CPU,
            NATIVE_BROADCAST,
        ],
    },
    Work {
        name: "idle-15000",
        title: "15,000 idle",
        group: Group::Engines,
        load: "idle --connections 15000 --hold 2s",
        figures: &[BytesPerConnection],
        servers: RAW_ENGINES,
        goals: &[
            Goal::alone(BytesPerConnection, RAW_PORTABLE).must(257.0),
            Goal::ratio(BytesPerConnection, RAW_PORTABLE, UWEBSOCKETS),
            Goal::ratio(BytesPerConnection, RAW_PORTABLE, MONOIO_EPOLL_LEAN),
            Goal::alone(BytesPerConnection, RAW)
                .must(100.0)
                .stretch(72.0),
            Goal::new(BytesPerConnection, RAW, Baseline::Difference(RAW_BEFORE)),
            Goal::new(BytesPerConnection, RAW, Baseline::Difference(FLOOR)).must(40.0),
            Goal::ratio(BytesPerConnection, RAW, BUN),
        ],
    },
    Work {
        name: "connect-10000",
        title: "connect and upgrade × 10,000",
        group: Group::Engines,
        load: "idle --connections 10000 --hold 0s",
        figures: &[CpuPerConnect],
        servers: ENGINES,
        goals: &[
            Goal::ratio(CpuPerConnect, RAW, BUN)
                .must(0.95)
                .stretch(0.80),
            Goal::ratio(CpuPerConnect, RAW, MONOIO),
            Goal::ratio(CpuPerConnect, RAW, RAW_BEFORE).must(1.05),
            Goal::ratio(CpuPerConnect, RAW, FLOOR)
                .must(1.10)
                .stretch(1.03),
        ],
    },
    Work {
        name: "limits-echo-100",
        title: "echo 64 B × 100, all limits on",
        group: Group::Engines,
        load: "echo --connections 100 --payload 64",
        figures: &[CpuPerMessage],
        servers: &[NATIVE, NATIVE_LIMITS],
        goals: &[Goal::ratio(CpuPerMessage, NATIVE_LIMITS, NATIVE).must(1.03)],
    },
    Work {
        name: "limits-idle-10000",
        title: "10,000 idle, all limits on, after 6 s",
        group: Group::Engines,
        load: "idle --connections 10000 --hold 6s",
        figures: &[BytesPerConnection],
        servers: &[NATIVE, NATIVE_LIMITS],
        goals: &[Goal::new(
            BytesPerConnection,
            NATIVE_LIMITS,
            Baseline::Difference(NATIVE),
        )
        .must(64.0)],
    },
    Work {
        name: "tokens-connect-10000",
        title: "connect with an HS256 token × 10,000",
        group: Group::Engines,
        load: "idle --connections 10000 --hold 0s",
        figures: &[CpuPerConnect],
        servers: &[NATIVE, NATIVE_TOKENS, NATIVE_USERS],
        goals: &[
            Goal::ratio(CpuPerConnect, NATIVE_TOKENS, NATIVE).must(1.25),
            Goal::ratio(CpuPerConnect, NATIVE_USERS, NATIVE).must(1.25),
        ],
    },
    Work {
        name: "tokens-storm-1000",
        title: "broadcast × 1,000 at 20k/s in a storm of tokens",
        group: Group::Engines,
        load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 20 --burst 1",
        figures: &[P99, CpuPerMessage],
        servers: &[NATIVE_QUIET, NATIVE_REFUSING, NATIVE_CHECKING],
        goals: &[
            Goal::ratio(P99, NATIVE_CHECKING, NATIVE_QUIET).must(2.0),
            Goal::ratio(CpuPerMessage, NATIVE_CHECKING, NATIVE_REFUSING).must(1.05),
        ],
    },
    kept::HISTORY_1000,
    kept::HISTORY_1,
    kept::PRESENCE_IDLE,
    centrifuge::BROADCAST,
    centrifuge::BURSTS,
    centrifuge::ROUND_TRIP,
    centrifuge::IDLE,
    Work {
        name: "native-idle-10000",
        title: "10,000 idle in one room",
        group: Group::Engines,
        load: "idle --connections 10000 --rooms 1 --hold 2s",
        figures: &[BytesPerConnection],
        servers: &[NATIVE],
        goals: &[Goal::alone(BytesPerConnection, NATIVE)
            .must(320.0)
            .stretch(200.0)],
    },
    Work {
        name: "native-rooms-10000",
        title: "10,000 idle, each in a room of its own",
        group: Group::Engines,
        load: "idle --connections 10000 --rooms 10000 --hold 2s",
        figures: &[BytesPerConnection],
        servers: &[NATIVE],
        goals: &[],
    },
    Work {
        name: "native-rooms-100000",
        title: "100,000 in 1,000 rooms; each room gets a broadcast, then everyone",
        group: Group::Engines,
        load: "idle --connections 100000 --rooms 1000 --hold 2s --broadcast-once",
        figures: &[BytesPerConnection],
        servers: &[NATIVE],
        goals: &[Goal::alone(BytesPerConnection, NATIVE)
            .must(320.0)
            .stretch(200.0)],
    },
    tls_echo(
        "echo-tls-100",
        "TLS echo 64 B × 100",
        "echo --connections 100 --payload 64",
    ),
    tls_echo(
        "echo-tls-1000",
        "TLS echo 64 B × 1,000",
        "echo --connections 1000 --payload 64",
    ),
    tls_echo(
        "echo-tls-16k",
        "TLS echo 16 KiB × 100",
        "echo --connections 100 --payload 16384",
    ),
    Work {
        name: "idle-tls-5000",
        title: "5,000 idle over TLS",
        group: Group::Secure,
        load: "idle --connections 5000 --hold 3s",
        figures: &[BytesPerConnection],
        servers: SECURE_ENGINES,
        goals: &[
            Goal::ratio(BytesPerConnection, RAW_TLS, BUN_TLS).must(0.17),
            Goal::ratio(BytesPerConnection, RAW_TLS, RAW_TLS_BEFORE)
                .must(0.30)
                .stretch(0.20),
            ahead_of_tls_peers(BytesPerConnection),
        ],
    },
    Work {
        name: "connect-tls-5000",
        title: "connect, TLS handshake and upgrade × 5,000",
        group: Group::Secure,
        load: "idle --connections 5000 --hold 0s",
        figures: &[CpuPerConnect],
        servers: SECURE_ENGINES,
        goals: TLS_CONNECT,
    },
    Work {
        name: "resume-tls-5000",
        title: "connect, resumed TLS session and upgrade × 5,000",
        group: Group::Secure,
        load: "idle --connections 5000 --hold 0s --tls-resume",
        figures: &[CpuPerConnect],
        servers: SECURE_ENGINES,
        goals: &[ahead_of_tls_peers(CpuPerConnect)],
    },
    Work {
        name: "broadcast-json",
        title: "broadcast 1 KiB of JSON × 1,000, 25k deliveries/s",
        group: Group::Secure,
        load: "broadcast --connections 1000 --publishers 1 --payload 1024 --content json --rate 25 --burst 1",
        figures: &[CpuPerMessage],
        servers: &[RAW, RAW_DEFLATE, BUN, BUN_DEFLATE],
        goals: &[
            Goal::cpu(RAW_DEFLATE, RAW).must(1.30),
            Goal::cpu(RAW_DEFLATE, BUN_DEFLATE),
        ],
    },
    Work {
        name: "whole-broadcast-1000",
        title: "broadcast to 1,000 subscribers, 100k deliveries/s",
        group: Group::WholeServers,
        load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 100 --burst 1",
        figures: &[CpuPerMessage],
        servers: WHOLE,
        goals: &[
            ahead_of_whole_servers(CpuPerMessage),
            ahead_of_raw_bun(CpuPerMessage),
        ],
    },
    Work {
        name: "whole-bursts-1000",
        title: "broadcast to 1,000 subscribers in bursts of 10, 100k deliveries/s",
        group: Group::WholeServers,
        load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 100 --burst 10",
        figures: &[CpuPerMessage],
        servers: WHOLE,
        goals: &[
            ahead_of_whole_servers(CpuPerMessage),
            ahead_of_raw_bun(CpuPerMessage),
        ],
    },
    Work {
        name: "whole-latency-1000",
        title: "publish to delivery, 1,000 subscribers, 50 publishes/s",
        group: Group::WholeServers,
        load: "broadcast --connections 1000 --publishers 1 --payload 64 --rate 50 --burst 1",
        figures: &[P99],
        servers: WHOLE,
        goals: &[ahead_of_whole_servers(P99), ahead_of_raw_bun(P99)],
    },
    Work {
        name: "whole-echo-100",
        title: "round trip × 100",
        group: Group::WholeServers,
        load: "echo --connections 100 --payload 64",
        figures: &[CpuPerMessage],
        servers: WHOLE,
        goals: &[
            ahead_of_whole_servers(CpuPerMessage),
            ahead_of_raw_bun(CpuPerMessage),
        ],
    },
    Work {
        name: "whole-room-10000",
        title: "10,000 connect to one room and stay",
        group: Group::WholeServers,
        load: "idle --connections 10000 --rooms 1 --hold 2s",
        figures: &[BytesPerConnection, CpuPerConnect],
        servers: WHOLE,
        goals: &[
            ahead_of_whole_servers(BytesPerConnection),
            ahead_of_raw_bun(BytesPerConnection),
            ahead_of_whole_servers(CpuPerConnect),
            ahead_of_raw_bun(CpuPerConnect),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::find;

    #[test]
    fn goals_speak_of_servers_that_take_part_and_of_figures_that_are_shown() {
        for work in WORKS {
            for goal in work.goals {
                for server in goal.servers() {
                    assert!(
                        work.servers.contains(&server),
                        "{}: {}",
                        work.name,
                        server.key
                    );
                }
                assert!(work.figures.contains(&goal.figure), "{}", work.name);
            }
            assert!(!work.figures.is_empty(), "{}", work.name);
            assert!(
                std::ptr::eq(find(work.name).expect("found by its name"), work),
                "names are unique: {}",
                work.name
            );
        }
    }

    #[test]
    fn hopes_go_further_than_promises() {
        for goal in WORKS.iter().flat_map(|work| work.goals) {
            for limits in [goal.plain, goal.rps] {
                if let (Some(must), Some(stretch)) = (limits.must, limits.stretch) {
                    assert!(stretch < must, "{goal:?}");
                }
            }
        }
    }
}
